"""Takes image files of any kind into a form that every reader decodes alike.

Records hold JPEG or PNG, 8 bits per channel, grey or RGB, upright. A file that
is that already is kept byte for byte; the rest is converted or refused. On
request pictures are reduced to the size that training looks at.

Plain JPEGs, the bulk of any data set, go through libjpeg-turbo (`jpeg.py`).
Pillow sees to everything else, and has the last word on what is an image.
"""

import contextlib
import dataclasses
import io
import re
import warnings
from typing import Optional

import numpy as np
from PIL import Image, ImageOps

from official_repro.data import jpeg, resizing

# As many as the largest phone cameras give (108 million), and few enough for a
# process to hold them decoded: 0.5 GB, 1.5 GB where transparency is laid over.
MAX_PIXELS = 120_000_000

# Re-encoding a picture at its size must not be what a network learns from:
# near-lossless, and no chroma subsampling.
_JPEG_OPTIONS = {'quality': 95, 'subsampling': 0}
_ORIENTATION_TAG = 0x0112
# What turns the stored pixels upright, by EXIF orientation.
_TURN = {
  2: lambda pixels: pixels[:, ::-1],
  3: lambda pixels: pixels[::-1, ::-1],
  4: lambda pixels: pixels[::-1],
  5: lambda pixels: pixels.swapaxes(0, 1),
  6: lambda pixels: np.rot90(pixels, -1),
  7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
  8: lambda pixels: np.rot90(pixels),
}
_ALPHA_MODES = ('LA', 'La', 'PA', 'RGBA', 'RGBa')
_WHITE = (255, 255, 255, 255)
_PNG_START = b'\x89PNG\r\n\x1a\n'
# Pillow would start other programs to draw them.
_DRAWINGS = ('EPS', 'WMF')


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


def usable_image(data: bytes, max_side: Optional[int] = None) -> UsableImage:
  """Checks an image file by reading all of it, and converts it if needed.

  JPEG in grey or RGB, upright, in baseline or progressive coding, and PNG in
  8-bit grey or RGB, upright, are kept as they are. Any other PNG (1 bit,
  palette, 16 bits, alpha, which is laid over white) becomes an 8-bit PNG, and
  any other picture (CMYK or EXIF-rotated JPEG, WebP, BMP, TIFF, GIF of one
  frame) a JPEG of quality 95. What the file is called does not matter.

  Args:
    data: the file.
    max_side: pixels; a longer side is reduced to this, each side by itself, so
      the shape may change. A reduced PNG stays PNG; all else that is reduced
      becomes a JPEG of quality `jpeg.QUALITY`. None: sizes stay.

  Raises:
    BadImageError: empty, truncated, animated, more than `MAX_PIXELS` pixels
      (seen in the header, before they take memory) or not an image.
    ValueError: `max_side` is below 1.
  """
  if max_side is not None and max_side < 1:
    raise ValueError(f'max_side must be at least 1 pixel, got {max_side}.')
  _check_start(data)
  image = _usable_jpeg(data, max_side)
  if image is None:
    with _pillow(data) as pillow_image:
      image = _usable(pillow_image, data, max_side)
  return image


def check_encoded(encoded: bytes) -> tuple[int, int]:
  """Checks that a record's picture is whole and in the form of records.

  Returns:
    Its height and width in pixels.

  Raises:
    BadImageError: it is not; the message is the reason.
  """
  image = usable_image(encoded)
  if image.converted:
    with _pillow(encoded) as found:
      is_turned = not _is_upright(found)
      what = f'{found.format} of mode {found.mode}'
    raise BadImageError(
      f'{what}{", turned by EXIF" if is_turned else ""}; a record holds an '
      'upright JPEG or PNG in 8-bit grey or RGB'
    )
  return image.height, image.width


def is_upright(data: bytes) -> bool:
  """Whether an image file is shown as it is stored, by its EXIF orientation.

  Raises:
    BadImageError: it is no image.
  """
  with _pillow(data, load=False) as image:
    return _is_upright(image)


def check_mask(png: bytes) -> np.ndarray:
  """Decodes a record's segmentation mask.

  Returns:
    uint8 [H, W], class indices.

  Raises:
    BadImageError: truncated, too large, or no PNG of 8-bit grey (readers would
      turn a palette into colours, and fewer bits into multiples).
  """
  _check_start(png)
  with _pillow(png) as image:
    if image.format != 'PNG' or (png[24], png[25]) != (8, 0):
      raise BadImageError(
        f'{image.format} of mode {image.mode}; a mask is a PNG in 8-bit grey '
        'whose values are class indices'
      )
    return np.array(image)


def _check_start(data):
  """Refuses what the first bytes tell: nothing there, or a huge PNG."""
  if not data:
    raise BadImageError('empty file')
  if data.startswith(_PNG_START) and len(data) >= 24:
    width, height = (int.from_bytes(data[i : i + 4], 'big') for i in (16, 20))
    _check_size(height, width)


def _check_size(height, width):
  if height * width > MAX_PIXELS:
    raise BadImageError(
      f'{width} x {height} pixels, more than the limit of {MAX_PIXELS:,}'
    )


def _usable_jpeg(data, max_side):
  """Returns a plain JPEG's UsableImage; None: Pillow must look at the file."""
  header = jpeg.read_header(data)
  if header is None:
    return None
  _check_size(header.height, header.width)
  if not header.plain or not header.height or not header.width:
    return None
  orientation = 1
  if header.has_app1:
    with _pillow(data, load=False) as image:
      orientation = _orientation(image)
  height, width = header.height, header.width
  if max_side is not None:
    height, width = resizing.reduced_size(height, width, max_side)
  same_size = (height, width) == (header.height, header.width)
  if same_size and orientation in _TURN:
    return None
  try:
    if same_size:
      jpeg.check(data, header)
      return UsableImage(data, height, width, False)
    pixels = jpeg.decode(data, header, height, width)
  except ValueError:
    # Pillow may accept it still, and has the better words if not.
    return None
  pixels = resizing.reduce(pixels, height, width)
  if orientation in _TURN:
    pixels = _TURN[orientation](pixels)
  return UsableImage(jpeg.encode(pixels), *pixels.shape[:2], True)


@contextlib.contextmanager
def _pillow(data, load=True):
  """Yields the file as a Pillow image; any error becomes a BadImageError."""
  try:
    with warnings.catch_warnings():
      # What Pillow warns about, it also survives.
      warnings.simplefilter('ignore')
      with Image.open(io.BytesIO(data)) as image:
        _check_pillow_image(image)
        if load:
          image.load()
        yield image
  except Image.DecompressionBombError as e:
    # Pillow's own, higher limit: it has only the product of the sides.
    count = re.search(r'\d+', str(e))
    pixels = f'{int(count[0]):,} pixels, ' if count else ''
    raise BadImageError(f'{pixels}more than the limit of {MAX_PIXELS:,}') from e
  except Image.UnidentifiedImageError as e:
    raise BadImageError('not an image in a known format') from e
  except BadImageError:
    raise
  # Pillow's decoders raise about any type on damaged data.
  except Exception as e:
    raise BadImageError(f'cannot be decoded: {" ".join(str(e).split())}') from e


def _check_pillow_image(image):
  _check_size(image.height, image.width)
  kind = image.format
  if kind in _DRAWINGS:
    raise BadImageError(f'{kind} is a drawing, not a picture of pixels')
  # MPO is a JPEG with further pictures behind the first.
  frames = 1 if _is_jpeg(image) else getattr(image, 'n_frames', 1)
  if frames > 1:
    raise BadImageError(f'{kind} with {frames} frames')


def _is_jpeg(image):
  return image.format in ('JPEG', 'MPO')


def _orientation(image):
  return image.getexif().get(_ORIENTATION_TAG, 1)


def _is_upright(image):
  return _orientation(image) not in _TURN


def _usable(image, data, max_side):
  """Returns the UsableImage of a Pillow image and the file it is from."""
  if _is_jpeg(image):
    header = jpeg.read_header(data)
    plain = image.mode in ('L', 'RGB') and header is not None and header.plain
  else:
    plain = image.format == 'PNG' and _is_plain_png(data)
  plain = plain and _is_upright(image)
  is_png = image.format == 'PNG'
  if not plain:
    image = _to_grey_or_rgb(ImageOps.exif_transpose(image))
  height, width = image.height, image.width
  if max_side is not None:
    height, width = resizing.reduced_size(height, width, max_side)
  reduced = (height, width) != (image.height, image.width)
  if plain and not reduced:
    return UsableImage(data, height, width, False)
  if reduced:
    image = _reduce(image, height, width)
  return UsableImage(_encode(image, is_png, reduced), height, width, True)


def _reduce(image, height, width):
  pixels = np.asarray(image).reshape(image.height, image.width, -1)
  pixels = resizing.reduce(pixels, height, width)
  return Image.fromarray(pixels[..., 0] if image.mode == 'L' else pixels)


def _encode(image, is_png, reduced):
  """Returns the file of a Pillow image in mode L or RGB."""
  if reduced and not is_png:
    pixels = np.asarray(image).reshape(image.height, image.width, -1)
    return jpeg.encode(pixels)
  out = io.BytesIO()
  if is_png:
    image.save(out, 'PNG')
  else:
    image.save(out, 'JPEG', **_JPEG_OPTIONS)
  return out.getvalue()


def _to_grey_or_rgb(image):
  """Returns the picture in mode L or RGB without colour profile or EXIF."""
  if image.mode.startswith('I') or image.mode == 'F':
    pixels = np.asarray(image)
    if image.mode == 'F' or pixels.max(initial=0) > 65535:
      raise BadImageError(f'pixels of {image.mode} type beyond 16 bits')
    # 65535 / 257 = 255, rounded; Pillow's own conversion would clip at 255.
    pixels = (pixels.astype(np.uint32) + 128) // 257
    return Image.fromarray(pixels.astype(np.uint8))
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
