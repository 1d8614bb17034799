"""Pictures for people: masks in PASCAL VOC's colours, overlays, sheets.

Drawn with Pillow; no TensorFlow, no display. Masks are class indices, 0 the
background and 255 what does not count.
"""

import functools
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from deeplab.label_space import IGNORE
from official_repro.core import drawing as core_drawing

_COLORS = 256
_TITLES = ('picture', 'truth', 'prediction')
# A small picture is enlarged so that it can be seen.
_LEAST_SIDE = 240


@functools.lru_cache(maxsize=1)
def _color_map():
  numbers = np.arange(_COLORS)
  colors = np.zeros((_COLORS, 3), np.uint8)
  for place in range(8):
    for channel in range(3):
      bit = numbers >> (3 * place + channel) & 1
      colors[:, channel] |= (bit << (7 - place)).astype(np.uint8)
  colors.flags.writeable = False
  return colors


def color_map() -> np.ndarray:
  """Returns PASCAL VOC's colours of the mask values: uint8 [256, 3] RGB.

  Bit 3 * j + c of the value is bit 7 - j of channel c, so that neighbouring
  values have colours far apart: 0 is black, 1 (128, 0, 0), 2 (0, 128, 0),
  3 (128, 128, 0), 255 (224, 224, 192).
  """
  return _color_map().copy()


def colored(mask: np.ndarray) -> np.ndarray:
  """Returns a mask in VOC's colours.

  Args:
    mask: integers [H, W] from 0 to 255.

  Returns:
    uint8 [H, W, 3].
  """
  return _color_map()[np.asarray(mask)]


def palette_png(mask: np.ndarray) -> bytes:
  """Returns a PNG file of class indices with VOC's palette, as VOC's own.

  Args:
    mask: integers [H, W] from 0 to 255.
  """
  image = Image.fromarray(_checked(mask))
  image.putpalette(_color_map().tobytes())
  file = io.BytesIO()
  image.save(file, 'PNG')
  return file.getvalue()


def overlay(
  image: np.ndarray, mask: np.ndarray, opacity: float = 0.6
) -> np.ndarray:
  """Lays a mask's colours over its picture; the background stays as it is.

  Args:
    image: uint8 [H, W, 3] RGB.
    mask: integers [H, W].
    opacity: of the colours, 0 to 1.

  Returns:
    uint8 [H, W, 3]; what does not count is greyed out.

  Raises:
    ValueError: the sizes differ.
  """
  image, mask = np.asarray(image), _checked(mask)
  if image.shape[:2] != mask.shape:
    raise ValueError(
      f'overlay got a picture of {image.shape[:2]} and a mask of {mask.shape} '
      'pixels (height, width); they must be equal.'
    )
  share = np.where(mask > 0, opacity, 0.0)[..., None]
  mixed = image + share * (colored(mask) - image.astype(np.float64))
  return np.rint(mixed).astype(np.uint8)


def without_padding(batch: dict, i: int, key: str = 'image') -> np.ndarray:
  """Returns entry i of a batch of data.make_dataset without its padding.

  Args:
    batch: arrays, `image_size` among them.
    i: row.
    key: an array [B, H, W, ...], such as image or mask.
  """
  height, width = batch['image_size'][i]
  return np.asarray(batch[key][i])[:height, :width]


def sheet(
  rows: Sequence[Sequence[np.ndarray]],
  names: Sequence[str] = (),
  cell: int = 320,
) -> np.ndarray:
  """A grid with a line for each picture: picture, truth, prediction.

  Args:
    rows: N times a picture, uint8 [H, W, 3], and one or two masks, [H, W].
    names: of the mask values; with them, a line below tells which colours
      stand for what.
    cell: side of a picture's square in pixels.

  Returns:
    uint8 [H', W', 3].

  Raises:
    ValueError: there is no picture, or lines of different lengths.
  """
  lengths = {len(row) for row in rows}
  if len(lengths) != 1 or not lengths <= {2, 3}:
    raise ValueError(
      'sheet needs lines of a picture and one or two masks each, got '
      f'{[len(row) for row in rows]} entries.'
    )
  (columns,) = lengths
  pictures = []
  for image, *masks in rows:
    pictures.append(_enlarged(image, Image.Resampling.BICUBIC))
    pictures += [
      _enlarged(colored(mask), Image.Resampling.NEAREST) for mask in masks
    ]
  # About as wide as high.
  aside = max(1, round(np.sqrt(len(rows) / columns)))
  titles = _TITLES[:columns]
  page = core_drawing.grid(pictures, columns * aside, cell, titles)
  if not len(names):
    return page
  values = {int(v) for _, *masks in rows for m in masks for v in np.unique(m)}
  shown = [
    (names[v], tuple(_color_map()[v].tolist()))
    for v in sorted(values)
    if v < len(names)
  ]
  if IGNORE in values:
    shown.append(('not counted', tuple(_color_map()[IGNORE].tolist())))
  return np.concatenate([page, core_drawing.legend(shown, page.shape[1])])


def _checked(mask):
  """Returns a mask as uint8 [H, W]."""
  mask = np.asarray(mask)
  if mask.ndim != 2 or not np.issubdtype(mask.dtype, np.integer):
    raise ValueError(
      f'A mask is integers [H, W], got {mask.dtype} of shape {mask.shape}.'
    )
  if mask.min(initial=0) < 0 or mask.max(initial=0) >= _COLORS:
    raise ValueError(
      f'A mask has values from 0 to {_COLORS - 1}, got {mask.min()} to '
      f'{mask.max()}.'
    )
  return mask.astype(np.uint8)


def _enlarged(pixels, how):
  picture = Image.fromarray(np.asarray(pixels, np.uint8))
  factor = -(-_LEAST_SIDE // max(picture.size))
  if factor > 1:
    size = tuple(n * factor for n in picture.size)
    picture = picture.resize(size, how)
  return np.asarray(picture)
