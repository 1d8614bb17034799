import io

import numpy as np
import pytest
from PIL import Image

from official_repro.data import jpeg
from official_repro.data.image_files import BadImageError, usable_image

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)


def encode(image, kind='JPEG', **options):
  if isinstance(image, np.ndarray):
    image = Image.fromarray(image)
  out = io.BytesIO()
  image.save(out, kind, **options)
  return out.getvalue()


def cmyk():
  return encode(Image.fromarray(PIXELS).convert('CMYK'))


def with_exif():
  tags = Image.Exif()
  tags[0x0112] = 6
  return encode(PIXELS, exif=tags)


def with_frame(marker):
  data = bytearray(encode(PIXELS))
  data[data.index(b'\xff\xc0') + 1] = marker
  return bytes(data)


def with_fill_bytes():
  data = encode(PIXELS)
  at = data.index(b'\xff\xc0')
  return data[:at] + b'\xff\xff' + data[at:]


Header = jpeg.Header
HEADERS = {
  'colour': (lambda: encode(PIXELS), Header(24, 40, 3, True, False)),
  'grey': (lambda: encode(PIXELS[..., 0]), Header(24, 40, 1, True, False)),
  'progressive': (
    lambda: encode(PIXELS, progressive=True),
    Header(24, 40, 3, True, False),
  ),
  'fill bytes': (with_fill_bytes, Header(24, 40, 3, True, False)),
  'EXIF': (with_exif, Header(24, 40, 3, True, True)),
  'CMYK': (cmyk, Header(24, 40, 4, False, False)),
  'arithmetic coding': (
    lambda: with_frame(0xC9),
    Header(24, 40, 3, False, False),
  ),
  'lossless': (lambda: with_frame(0xC3), Header(24, 40, 3, False, False)),
  'PNG': (lambda: encode(PIXELS, 'PNG'), None),
  'empty': (lambda: b'', None),
  'cut before the frame': (lambda: encode(PIXELS)[:60], None),
  'no segments': (lambda: b'\xff\xd8 is how a JPEG starts', None),
}


@pytest.mark.parametrize('name', HEADERS)
def test_header(name):
  make, expected = HEADERS[name]
  assert jpeg.read_header(make()) == expected


def test_pixels_are_those_of_pillow():
  smooth = np.asarray(Image.fromarray(PIXELS[:6, :10]).resize((40, 24)))
  for image in (smooth, smooth[..., 0]):
    data = encode(image, quality=95, subsampling=0)
    found = jpeg.decode(data, jpeg.read_header(data), 24, 40)
    with Image.open(io.BytesIO(data)) as expected:
      expected = np.asarray(expected).reshape(found.shape)
    np.testing.assert_allclose(found.astype(int), expected, atol=1)


def test_encoding_keeps_grey_and_halves_the_colours():
  with Image.open(io.BytesIO(jpeg.encode(PIXELS))) as image:
    assert image.mode == 'RGB'
    assert image.size == (40, 24)
    # Sampling factors of Y, Cb and Cr.
    assert [layer[1:3] for layer in image.layer] == [(2, 2), (1, 1), (1, 1)]
  with Image.open(io.BytesIO(jpeg.encode(PIXELS[..., :1]))) as image:
    assert image.mode == 'L'
  # Pixels need not lie in order in memory.
  assert jpeg.encode(PIXELS[:, ::-1]) == jpeg.encode(PIXELS[:, ::-1].copy())


@pytest.mark.parametrize('progressive', [False, True])
@pytest.mark.parametrize('cut', [1, 2, 5, 200])
def test_damage_is_found_by_both(cut, progressive):
  data = encode(PIXELS, progressive=progressive)
  header = jpeg.read_header(data)
  jpeg.check(data, header)
  with pytest.raises(ValueError):
    jpeg.check(data[:-cut], header)
  with pytest.raises(ValueError):
    jpeg.decode(data[:-cut], header, 12, 20)


def pillow_accepts(data):
  try:
    with Image.open(io.BytesIO(data)) as image:
      image.load()
  except Exception:
    return False
  return True


def accepts(data, **options):
  try:
    usable_image(data, **options)
  except BadImageError:
    return False
  return True


def test_damaged_files_are_accepted_where_pillow_accepts_them():
  rng = np.random.default_rng(1)
  sound = np.frombuffer(encode(PIXELS, progressive=True), np.uint8)
  accepted = 0
  for _ in range(300):
    data = sound.copy()
    at = rng.integers(2, len(data), rng.integers(1, 4))
    data[at] = rng.integers(0, 256, len(at))
    data = data.tobytes()[: rng.choice([None, len(data) - 9])]
    expected = pillow_accepts(data)
    accepted += expected
    assert accepts(data) == expected
    assert accepts(data, max_side=10) == expected
  assert 50 < accepted < 250
