"""Contact sheets: many small pictures with captions, for people to look at."""

import cv2
import numpy as np

_CAPTION = 34
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def contact_sheet(examples, names, columns=8, tile=128):
  """Lays pictures out in a grid, each with its labels below.

  Args:
    examples: MiniExamples, or anything with `image` and `given_labels`.
    names: category names by id.
    columns: pictures in a row.
    tile: side of a picture on the sheet, pixels.

  Returns:
    uint8 [H, W, 3] RGB.

  Raises:
    ValueError: no examples.
  """
  examples = list(examples)
  if not examples:
    raise ValueError('contact_sheet() needs at least one example, got none.')
  rows = -(-len(examples) // columns)
  sheet = np.full((rows * (tile + _CAPTION), columns * tile, 3), 255, np.uint8)
  for k, example in enumerate(examples):
    y, x = k // columns * (tile + _CAPTION), k % columns * tile
    sheet[y : y + tile, x : x + tile] = cv2.resize(
      example.image,
      (tile, tile),
      interpolation=cv2.INTER_AREA
      if example.image.shape[0] > tile
      else cv2.INTER_LINEAR,
    )
    for line, label in enumerate(list(example.given_labels)[:3]):
      at = (x + 2, y + tile + 10 + 11 * line)
      cv2.putText(sheet, names[label][:24], at, _FONT, 0.32, (0, 0, 0), 1)
  return sheet
