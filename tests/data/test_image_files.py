import io
import pathlib
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from official_repro.data import image_files
from official_repro.data.image_files import (
  BadImageError,
  check_encoded,
  check_mask,
  usable_image,
)

HEIGHT, WIDTH = 24, 40


def gradient():
  """A smooth RGB picture; each corner has another colour."""
  y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
  channels = [y * 250 // HEIGHT, x * 250 // WIDTH, np.full_like(x, 90)]
  return np.stack(channels, axis=-1).astype(np.uint8)


def encode(image, kind, **options):
  if isinstance(image, np.ndarray):
    image = Image.fromarray(image)
  out = io.BytesIO()
  image.save(out, kind, **options)
  return out.getvalue()


def decode(data):
  with Image.open(io.BytesIO(data)) as image:
    assert image.getexif().get(0x0112, 1) == 1
    return image.format, image.mode, np.asarray(image)


def exif(orientation):
  tags = Image.Exif()
  tags[0x0112] = orientation
  return tags


KEPT = {
  'baseline': lambda: encode(gradient(), 'JPEG'),
  'progressive': lambda: encode(gradient(), 'JPEG', progressive=True),
  'grey JPEG': lambda: encode(gradient()[..., 1], 'JPEG'),
  'upright EXIF': lambda: encode(gradient(), 'JPEG', exif=exif(1)),
  'trailing bytes': lambda: encode(gradient(), 'JPEG') + b'rest',
  'RGB PNG': lambda: encode(gradient(), 'PNG'),
  'grey PNG': lambda: encode(gradient()[..., 0], 'PNG'),
}


@pytest.mark.parametrize('name', KEPT)
def test_usable_files_are_kept_byte_for_byte(name):
  data = KEPT[name]()
  image = usable_image(data)
  assert image.encoded == data
  assert not image.converted
  assert (image.height, image.width) == (HEIGHT, WIDTH)


@pytest.mark.parametrize('orientation', range(2, 9))
def test_rotated_jpeg_becomes_upright(orientation):
  upright = Image.fromarray(gradient())
  # What the camera stored: the inverse of what EXIF asks viewers to do.
  stored = upright.transpose(
    {
      2: Image.Transpose.FLIP_LEFT_RIGHT,
      3: Image.Transpose.ROTATE_180,
      4: Image.Transpose.FLIP_TOP_BOTTOM,
      5: Image.Transpose.TRANSPOSE,
      6: Image.Transpose.ROTATE_90,
      7: Image.Transpose.TRANSVERSE,
      8: Image.Transpose.ROTATE_270,
    }[orientation]
  )
  data = encode(stored, 'JPEG', quality=95, exif=exif(orientation))
  image = usable_image(data)
  kind, mode, pixels = decode(image.encoded)
  assert (kind, mode, image.converted) == ('JPEG', 'RGB', True)
  assert pixels.shape == (image.height, image.width, 3)
  assert (image.height, image.width) == (HEIGHT, WIDTH)
  assert np.abs(pixels.astype(int) - gradient()).mean() < 3


def test_cmyk_jpeg_becomes_rgb():
  data = encode(Image.fromarray(gradient()).convert('CMYK'), 'JPEG', quality=95)
  kind, mode, pixels = decode(usable_image(data).encoded)
  assert (kind, mode) == ('JPEG', 'RGB')
  assert np.abs(pixels.astype(int) - gradient()).mean() < 4


def test_16_bit_png_is_scaled_not_clipped():
  values = (np.arange(WIDTH * HEIGHT) * 65535 // (WIDTH * HEIGHT - 1)).reshape(
    HEIGHT, WIDTH
  )
  kind, mode, pixels = decode(
    usable_image(encode(values.astype(np.uint16), 'PNG')).encoded
  )
  assert (kind, mode) == ('PNG', 'L')
  np.testing.assert_array_equal(pixels, np.round(values / 257))


def test_one_bit_png_becomes_black_and_white():
  bits = gradient()[..., 1] > 100
  image = usable_image(encode(Image.fromarray(bits), 'PNG'))
  kind, mode, pixels = decode(image.encoded)
  assert (kind, mode, image.converted) == ('PNG', 'L', True)
  np.testing.assert_array_equal(pixels, bits * np.uint8(255))


def test_transparency_is_laid_over_white():
  alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
  alpha[:, :10] = 0
  rgba = np.dstack([gradient(), alpha])
  kind, mode, pixels = decode(usable_image(encode(rgba, 'PNG')).encoded)
  assert (kind, mode) == ('PNG', 'RGB')
  assert (pixels[:, :10] == 255).all()
  np.testing.assert_array_equal(pixels[:, 10:], gradient()[:, 10:])


def test_palette_and_grey_with_transparent_colour():
  palette = Image.fromarray(gradient()).quantize(16)
  expected = np.asarray(palette.convert('RGB'))
  kind, mode, pixels = decode(usable_image(encode(palette, 'PNG')).encoded)
  assert (kind, mode) == ('PNG', 'RGB')
  np.testing.assert_array_equal(pixels, expected)

  grey = np.where(gradient()[..., 1] > 100, 7, 50).astype(np.uint8)
  data = encode(grey, 'PNG', transparency=7)
  _, mode, pixels = decode(usable_image(data).encoded)
  assert mode == 'RGB'
  np.testing.assert_array_equal(pixels[..., 0], np.where(grey == 7, 255, 50))


@pytest.mark.parametrize('kind', ['BMP', 'TIFF', 'WEBP', 'GIF'])
def test_other_formats_become_jpeg(kind):
  image = usable_image(encode(gradient(), kind))
  found, mode, pixels = decode(image.encoded)
  assert (found, mode) == ('JPEG', 'RGB')
  assert np.abs(pixels.astype(int) - gradient()).mean() < 12


def jpeg_with_frame(marker):
  data = bytearray(encode(gradient(), 'JPEG'))
  data[data.index(b'\xff\xc0') + 1] = marker
  return bytes(data)


def animation(kind):
  frames = [Image.fromarray(gradient()[..., i]) for i in range(3)]
  return encode(frames[0], kind, save_all=True, append_images=frames[1:])


BAD = {
  'empty': (lambda: b'', 'empty file'),
  'text': (lambda: b'no image', 'not an image'),
  'cut JPEG': (lambda: encode(gradient(), 'JPEG')[:-2], 'truncated'),
  'half a JPEG': (lambda: encode(gradient(), 'JPEG')[:-100], 'truncated'),
  'cut PNG': (lambda: encode(gradient(), 'PNG')[:-30], 'cannot be decoded'),
  'JPEG header': (lambda: encode(gradient(), 'JPEG')[:20], 'decoded|not an'),
  'animated GIF': (lambda: animation('GIF'), 'GIF with 3 frames'),
  'animated PNG': (lambda: animation('PNG'), 'PNG with 3 frames'),
  'lossless JPEG': (lambda: jpeg_with_frame(0xC3), 'cannot be decoded'),
}


@pytest.mark.parametrize('name', BAD)
def test_unusable_files_are_refused_with_a_reason(name):
  make, reason = BAD[name]
  with pytest.raises(BadImageError, match=reason) as e:
    usable_image(make())
  assert '\n' not in str(e.value)


def test_a_flaw_that_pillow_passes_over_is_no_reason_to_refuse():
  data = encode(gradient(), 'JPEG')
  scan = data.index(b'\xff\xda')
  # Bytes between two segments, which libjpeg warns of.
  data = data[:scan] + b'\x00\x00' + data[scan:]
  image = usable_image(data)
  assert (image.height, image.width) == (HEIGHT, WIDTH)
  _, _, pixels = decode(image.encoded)
  assert np.abs(pixels.astype(int) - gradient()).mean() < 3


def test_the_content_counts_not_the_name(tmp_path):
  (tmp_path / 'photo.jpg').write_bytes(encode(gradient(), 'PNG'))
  image = usable_image((tmp_path / 'photo.jpg').read_bytes())
  assert not image.converted
  assert decode(image.encoded)[0] == 'PNG'


def with_bytes(data, at, new):
  return data[:at] + new + data[at + len(new) :]


def huge_png():
  """A sound PNG of 20,000 x 20,000 bits, all black, in 50 kB."""

  def chunk(kind, body):
    check = zlib.crc32(kind + body).to_bytes(4, 'big')
    return len(body).to_bytes(4, 'big') + kind + body + check

  side = 20000
  header = side.to_bytes(4, 'big') * 2 + bytes([1, 0, 0, 0, 0])
  packer, row = zlib.compressobj(9), bytes(1 + side // 8)
  packed = b''.join(packer.compress(row) for _ in range(side)) + packer.flush()
  return (
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', header)
    + chunk(b'IDAT', packed)
    + chunk(b'IEND', b'')
  )


def huge_jpeg():
  data = encode(gradient(), 'JPEG')
  side = (20000).to_bytes(2, 'big')
  return with_bytes(data, data.index(b'\xff\xc0') + 5, side + side)


def huge_other(kind):
  data, side = encode(gradient(), kind), (20000).to_bytes(4, 'little')
  if kind == 'GIF':  # the logical screen
    return with_bytes(data, 6, side[:2] + side[:2])
  if kind == 'BMP':
    return with_bytes(data, 18, side + side)
  if kind == 'WEBP':  # a lossy one: 14 bits a side behind the start code
    largest = (16383).to_bytes(2, 'little')
    return with_bytes(data, data.index(b'\x9d\x01\x2a') + 3, largest * 2)
  for tag, old in ((256, WIDTH), (257, HEIGHT)):  # TIFF: width and height
    entry = tag.to_bytes(2, 'little') + b'\x03\0\x01\0\0\0'
    if entry not in data:
      entry = entry.replace(b'\x03', b'\x04')
    at = data.index(entry + old.to_bytes(2, 'little')) + len(entry)
    data = with_bytes(data, at, side[:2])
  return data


HUGE = {
  'PNG': (huge_png, '20000 x 20000 pixels'),
  'JPEG': (huge_jpeg, '20000 x 20000 pixels'),
  'GIF': (lambda: huge_other('GIF'), '400,000,000 pixels'),
  'BMP': (lambda: huge_other('BMP'), '400,000,000 pixels'),
  'TIFF': (lambda: huge_other('TIFF'), '400,000,000 pixels'),
  'WebP': (lambda: huge_other('WEBP'), '268,402,689 pixels'),
}
# Reads a file and prints the reason and by how many kB the peak grew.
SMALL_MEMORY = """
import resource, sys
from official_repro.data import image_files
data = open(sys.argv[1], 'rb').read()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
image_files.usable_image(open(sys.argv[2], 'rb').read(), max_side=8)
before = peak()
for check in (
  image_files.usable_image,
  lambda data: image_files.usable_image(data, max_side=340),
  image_files.check_encoded,
):
  try:
    check(data)
  except image_files.BadImageError as e:
    reason = str(e)
  else:
    sys.exit('not refused')
assert 'tensorflow' not in sys.modules
print(peak() - before, reason)
"""


@pytest.mark.parametrize('name', HUGE)
def test_a_huge_picture_is_refused_from_its_header(name, tmp_path):
  make, size = HUGE[name]
  (tmp_path / 'huge').write_bytes(make())
  (tmp_path / 'small').write_bytes(encode(gradient(), 'JPEG'))
  done = subprocess.run(
    [sys.executable, '-c', SMALL_MEMORY, tmp_path / 'huge', tmp_path / 'small'],
    capture_output=True,
    text=True,
    cwd=pathlib.Path(__file__).parents[2],
  )
  assert done.returncode == 0, done.stderr
  grown, reason = done.stdout.strip().split(' ', 1)
  assert reason == f'{size}, more than the limit of 120,000,000'
  # Decoded it takes 400 MB and more; 50 MB as bits.
  assert int(grown) < 30_000


@pytest.mark.parametrize('kind', ['PNG', 'JPEG', 'BMP'])
def test_the_limit_is_on_the_number_of_pixels(kind, monkeypatch):
  data = encode(gradient(), kind)
  monkeypatch.setattr(image_files, 'MAX_PIXELS', HEIGHT * WIDTH)
  usable_image(data)
  monkeypatch.setattr(image_files, 'MAX_PIXELS', HEIGHT * WIDTH - 1)
  with pytest.raises(BadImageError, match='^40 x 24 pixels, .* limit of 959$'):
    usable_image(data)


def test_drawings_are_refused_before_a_program_draws_them():
  eps = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n'
  with pytest.raises(BadImageError, match='EPS is a drawing'):
    usable_image(eps)


@pytest.mark.parametrize('name', KEPT)
def test_records_pictures_pass_the_check(name):
  assert check_encoded(KEPT[name]()) == (HEIGHT, WIDTH)


NO_RECORD = {
  'WebP': (lambda: encode(gradient(), 'WEBP'), 'WEBP of mode RGB;'),
  'CMYK': (
    lambda: encode(Image.fromarray(gradient()).convert('CMYK'), 'JPEG'),
    'JPEG of mode CMYK;',
  ),
  'rotated': (
    lambda: encode(gradient(), 'JPEG', exif=exif(6)),
    'JPEG of mode RGB, turned by EXIF; a record holds an upright',
  ),
  'bits': (lambda: encode(np.eye(9, dtype=bool), 'PNG'), 'PNG of mode 1;'),
  'alpha': (
    lambda: encode(np.dstack([gradient()] * 2)[..., :4], 'PNG'),
    'PNG of mode RGBA;',
  ),
}


@pytest.mark.parametrize('name', [*NO_RECORD, *BAD])
def test_what_no_record_may_hold_is_told(name):
  make, reason = {**BAD, **NO_RECORD}[name]
  with pytest.raises(BadImageError, match=reason):
    check_encoded(make())


def test_a_mask_is_read_as_indices():
  indices = np.array([[0, 1, 20], [255, 7, 128]], np.uint8)
  mask = check_mask(encode(indices, 'PNG'))
  assert mask.dtype == np.uint8
  np.testing.assert_array_equal(mask, indices)


BAD_MASKS = {
  'empty': (lambda: b'', 'empty file'),
  'cut': (lambda: encode(gradient()[..., 1], 'PNG')[:-30], 'cannot be decoded'),
  'JPEG': (
    lambda: encode(gradient()[..., 1], 'JPEG'),
    'JPEG of mode L; a mask',
  ),
  'RGB': (lambda: encode(gradient(), 'PNG'), 'PNG of mode RGB; a mask'),
  'bits': (lambda: encode(np.eye(9, dtype=bool), 'PNG'), 'PNG of mode 1; a'),
  '16 bits': (
    lambda: encode(gradient()[..., 1].astype(np.uint16), 'PNG'),
    'PNG of mode I;16; a mask is a PNG in 8-bit grey',
  ),
  'palette': (
    lambda: encode(Image.fromarray(gradient()).quantize(8), 'PNG'),
    'PNG of mode P; a mask is a PNG in 8-bit grey',
  ),
  'huge': (huge_png, '20000 x 20000'),
}


@pytest.mark.parametrize('name', BAD_MASKS)
def test_bad_masks_are_refused_with_a_reason(name):
  make, reason = BAD_MASKS[name]
  with pytest.raises(BadImageError, match=reason):
    check_mask(make())


def test_tensorflow_decodes_what_is_kept_and_converted():
  import tensorflow as tf

  makers = [
    *KEPT.values(),
    lambda: encode(gradient(), 'JPEG', exif=exif(6)),
    lambda: encode(np.zeros((HEIGHT, WIDTH), bool), 'PNG'),
  ]
  for make in makers:
    image = usable_image(make())
    decoded = tf.io.decode_image(image.encoded, channels=3)
    assert decoded.shape == (image.height, image.width, 3)
    assert decoded.dtype == tf.uint8
