import io

import numpy as np
import pytest
from PIL import Image

from official_repro.data.image_files import BadImageError, usable_image

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


def test_too_many_pixels(monkeypatch):
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
  with pytest.raises(BadImageError, match='more pixels'):
    usable_image(encode(gradient(), 'PNG'))


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
