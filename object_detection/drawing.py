"""Pictures for people: boxes with names and scores, sheets of them.

Drawn with Pillow; no TensorFlow, no display. Boxes are [ymin, xmin, ymax, xmax]
in pixels of the picture, its far edges exclusive.
"""

import zlib
from collections.abc import Sequence
from typing import Optional

import numpy as np
from PIL import ImageDraw

from official_repro.core import drawing as core_drawing
from official_repro.core.drawing import pair_sheet

__all__ = [
  'SHOWN_FROM',
  'draw_objects',
  'pair_sheet',
  'sheet',
  'without_padding',
]

# Detections below this are not drawn.
SHOWN_FROM = 0.5
_COLORS = tuple(core_drawing.OKABE_ITO.values())
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
  picture, factor = core_drawing.enlarged(image, _LEAST_SIDE)
  draw = ImageDraw.Draw(picture)
  thick = max(2, round(max(picture.size) / 250))
  for box, name in reversed(list(zip(boxes * factor, names))):
    core_drawing.outline(draw, box, thick, _color(name), picture.size)
  taken = []
  for box, name, text in zip(boxes * factor, names, texts):
    core_drawing.tag(draw, box, text, _color(name), picture.size, taken)
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


def _color(name):
  name = name.removesuffix(' (crowd)')
  return _COLORS[zlib.crc32(name.encode()) % len(_COLORS)]
