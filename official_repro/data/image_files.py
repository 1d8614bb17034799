"""Takes image files of any kind into a form that every reader decodes alike.

Records hold JPEG or PNG, 8 bits per channel, grey or RGB, upright. A file that
is that already is kept byte for byte; the rest is converted or refused.
"""

import dataclasses
import io
import warnings

import numpy as np
from PIL import Image, ImageOps

# Re-encoding must not be what a network learns from: near-lossless, and no
# chroma subsampling.
_JPEG_OPTIONS = {'quality': 95, 'subsampling': 0}
_ORIENTATION_TAG = 0x0112
# Start-of-frame markers of baseline, extended and progressive Huffman coding.
_PLAIN_FRAMES = (0xC0, 0xC1, 0xC2)
_ALL_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALPHA_MODES = ('LA', 'La', 'PA', 'RGBA', 'RGBa')
_WHITE = (255, 255, 255, 255)


class BadImageError(ValueError):
  """The file cannot be used; the message is the reason."""


@dataclasses.dataclass(frozen=True)
class UsableImage:
  """A picture in the form that records hold.

  Attributes:
    encoded: JPEG or PNG file.
    height: pixels, upright.
    width: pixels, upright.
    converted: whether `encoded` differs from the file.
  """

  encoded: bytes
  height: int
  width: int
  converted: bool


def usable_image(data: bytes) -> UsableImage:
  """Checks an image file by decoding all of it, and converts it if needed.

  JPEG in grey or RGB, upright, in baseline or progressive coding, and PNG in
  8-bit grey or RGB, upright, are kept as they are. Any other PNG (1 bit,
  palette, 16 bits, alpha, which is laid over white) becomes an 8-bit PNG, and
  any other picture (CMYK or EXIF-rotated JPEG, WebP, BMP, TIFF, GIF of one
  frame) a JPEG of quality 95.

  Raises:
    BadImageError: empty, truncated, animated, too large or not an image.
  """
  if not data:
    raise BadImageError('empty file')
  try:
    with warnings.catch_warnings():
      # What Pillow warns about, it also survives.
      warnings.simplefilter('ignore')
      return _usable(data)
  except Image.DecompressionBombError as e:
    raise BadImageError('more pixels than a photo has') from e
  except Image.UnidentifiedImageError as e:
    raise BadImageError('not an image in a known format') from e
  except BadImageError:
    raise
  # Pillow's decoders raise about any type on damaged data.
  except Exception as e:
    raise BadImageError(f'cannot be decoded: {" ".join(str(e).split())}') from e


def _usable(data):
  with Image.open(io.BytesIO(data)) as image:
    kind = image.format
    # MPO is a JPEG with further pictures behind the first.
    is_jpeg = kind in ('JPEG', 'MPO')
    if not is_jpeg and getattr(image, 'n_frames', 1) > 1:
      raise BadImageError(f'{kind} with {image.n_frames} frames')
    image.load()
    upright = image.getexif().get(_ORIENTATION_TAG, 1) in (0, 1)
    if is_jpeg:
      plain = image.mode in ('L', 'RGB') and _frame_marker(data) in (
        _PLAIN_FRAMES
      )
    else:
      plain = kind == 'PNG' and _is_plain_png(data)
    if plain and upright:
      return UsableImage(data, image.height, image.width, False)
    image = _to_grey_or_rgb(ImageOps.exif_transpose(image))
    out = io.BytesIO()
    if kind == 'PNG':
      image.save(out, 'PNG')
    else:
      image.save(out, 'JPEG', **_JPEG_OPTIONS)
    return UsableImage(out.getvalue(), image.height, image.width, True)


def _to_grey_or_rgb(image):
  """Returns the picture in mode L or RGB without colour profile or EXIF."""
  if image.mode.startswith('I') or image.mode == 'F':
    pixels = np.asarray(image, np.float64)
    if image.mode == 'F' or pixels.max(initial=0) > 65535:
      raise BadImageError(f'pixels of {image.mode} type beyond 16 bits')
    # Pillow's own conversion would clip at 255.
    return Image.fromarray(np.round(pixels / 257).astype(np.uint8))
  if image.mode in _ALPHA_MODES or 'transparency' in image.info:
    image = image.convert('RGBA')
    white = Image.new('RGBA', image.size, _WHITE)
    return Image.alpha_composite(white, image).convert('RGB')
  grey = image.mode in ('1', 'L')
  converted = image.convert('L' if grey else 'RGB')
  converted.info = {}
  return converted


def _is_plain_png(data):
  """Whether a PNG is 8-bit grey or RGB without transparency."""
  depth, colour_type = data[24], data[25]
  # The chunk stands before the pixels; deflated data may hold the letters too.
  transparent = b'tRNS' in data[: max(data.find(b'IDAT'), 0)]
  return depth == 8 and colour_type in (0, 2) and not transparent


def _frame_marker(data):
  """Returns the start-of-frame marker of a JPEG, or None."""
  at = 2
  while at + 4 <= len(data):
    if data[at] != 0xFF:
      return None
    marker = data[at + 1]
    if marker in _ALL_FRAMES:
      return marker
    if marker == 0xFF:  # fill byte
      at += 1
    else:
      at += 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
  return None
