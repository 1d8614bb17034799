"""Pictures for people: boxes with names and scores, sheets of them.

Drawn with Pillow; no TensorFlow, no display. Boxes are [ymin, xmin, ymax, xmax]
in pixels of the picture, its far edges exclusive.
"""

import functools
import zlib
from collections.abc import Sequence
from typing import Optional

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from official_repro.core import drawing as core_drawing

# Detections below this are not drawn.
SHOWN_FROM = 0.5
# Okabe and Ito's colours, told apart with any colour vision; without black.
_COLORS = (
  (230, 159, 0),
  (86, 180, 233),
  (0, 158, 115),
  (240, 228, 66),
  (0, 114, 178),
  (213, 94, 0),
  (204, 121, 167),
)
_DARK, _LIGHT = (20, 20, 20), (255, 255, 255)
# A small picture is enlarged so that names can be read.
_LEAST_SIDE = 480


def without_padding(batch: dict, i: int) -> np.ndarray:
  """Returns picture i of a batch of data.make_dataset, uint8 [H, W, 3]."""
  height, width = batch['image_size'][i]
  return np.asarray(batch['image'][i])[:height, :width]


def draw_objects(
  image: np.ndarray,
  boxes: np.ndarray,
  names: Sequence[str],
  scores: Optional[Sequence[float]] = None,
) -> np.ndarray:
  """Draws boxes with their names; the first ones on top.

  A class always has the same colour. Small pictures are enlarged.

  Args:
    image: uint8 [H, W, 3] RGB.
    boxes: float [N, 4].
    names: N texts.
    scores: N numbers from 0 to 1, written behind the names; or None.

  Returns:
    uint8 [H', W', 3], aspect kept.

  Raises:
    ValueError: the lengths differ.
  """
  boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
  texts = list(names)
  if scores is not None:
    texts = [f'{n} {100 * s:.0f}%' for n, s in zip(names, scores)]
  if len(boxes) != len(texts) or len(texts) != len(names):
    raise ValueError(
      f'draw_objects got {len(boxes)} boxes, {len(names)} names'
      + ('.' if scores is None else f' and {len(scores)} scores.')
    )
  picture = Image.fromarray(np.asarray(image, np.uint8))
  factor = max(1.0, _LEAST_SIDE / max(picture.size))
  if factor > 1:
    size = tuple(max(1, round(n * factor)) for n in picture.size)
    picture = picture.resize(size, Image.Resampling.BICUBIC)
  draw = ImageDraw.Draw(picture)
  thick = max(2, round(max(picture.size) / 250))
  for box, name in reversed(list(zip(boxes * factor, names))):
    _outline(draw, box, thick, _color(name), picture.size)
  taken = []
  for box, name, text in zip(boxes * factor, names, texts):
    _label(draw, box, text, _color(name), picture.size, taken)
  return np.asarray(picture)


def sheet(pictures: Sequence[np.ndarray], cell: int = 360) -> np.ndarray:
  """Puts pictures of any size into a grid, as square as can be.

  Args:
    pictures: N uint8 [H, W, 3].
    cell: side of a picture's square in pixels; larger ones are reduced.

  Returns:
    uint8 [H', W', 3].

  Raises:
    ValueError: there is no picture.
  """
  if not len(pictures):
    raise ValueError('sheet got no picture to draw.')
  columns = int(np.ceil(np.sqrt(len(pictures))))
  return core_drawing.grid(pictures, columns, cell)


def pair_sheet(pairs: Sequence[tuple], cell: int = 360) -> np.ndarray:
  """A grid of pairs of pictures: what was found beside what is true.

  Args:
    pairs: N tuples of two uint8 [H, W, 3].
    cell: as for `sheet`.

  Returns:
    uint8 [H', W', 3], a line of text above each picture.

  Raises:
    ValueError: there is no pair.
  """
  if not pairs:
    raise ValueError('pair_sheet got no picture to draw.')
  columns = 2 * max(1, int(np.ceil(np.sqrt(len(pairs) / 2))))
  pictures = [picture for pair in pairs for picture in pair]
  return core_drawing.grid(pictures, columns, cell, ('found', 'true'))


def _outline(draw, box, thick, color, size):
  ymin, xmin, ymax, xmax = np.round(box).astype(int).tolist()
  xmin, ymin = max(0, xmin), max(0, ymin)
  xmax = max(xmin + 1, min(size[0], xmax)) - 1
  ymax = max(ymin + 1, min(size[1], ymax)) - 1
  draw.rectangle((xmin, ymin, xmax, ymax), outline=_DARK, width=thick + 2)
  inner = (xmin + 1, ymin + 1, xmax - 1, ymax - 1)
  if inner[2] > inner[0] and inner[3] > inner[1]:
    draw.rectangle(inner, outline=color, width=thick)


def _label(draw, box, text, color, size, taken):
  """Writes at the box's upper edge, or where it hides no other label."""
  font = _font(max(13, round(max(size) / 45)))
  left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
  width, height = right - left + 8, bottom - top + 6
  ymin, xmin, ymax, _ = np.round(box).astype(int).tolist()
  x = int(np.clip(xmin, 0, max(0, size[0] - width)))
  for y in (ymin - height, ymin, ymax - height, ymax, ymin + height):
    y = int(np.clip(y, 0, max(0, size[1] - height)))
    place = (x, y, x + width, y + height)
    if not any(_overlap(place, other) for other in taken):
      break
  taken.append(place)
  draw.rectangle(place, fill=color, outline=_DARK)
  draw.text((x + 4 - left, y + 3 - top), text, fill=_ink(color), font=font)


def _overlap(a, b):
  return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _ink(color):
  """Black or white, whichever stands out."""
  light = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
  return _DARK if light > 110 else _LIGHT


def _color(name):
  name = name.removesuffix(' (crowd)')
  return _COLORS[zlib.crc32(name.encode()) % len(_COLORS)]


@functools.lru_cache(maxsize=8)
def _font(size):
  return ImageFont.load_default(size)
