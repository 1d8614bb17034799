"""Pictures for people: skeletons, heatmaps over crops, sheets of them.

Drawn with Pillow; no TensorFlow, no display. Joints are (y, x, third) in pixels
whose centres are at whole numbers, the third a score or a visibility; boxes are
[ymin, xmin, ymax, xmax] in pixels, far edges exclusive. Left and right are the
person's own.

Shapes: P people, K joints.
"""

from collections.abc import Sequence
from typing import Optional, Union

import numpy as np
from PIL import ImageDraw

from official_repro.core import drawing as core_drawing
from pose import joints as joints_lib

# Found joints below this are not drawn. A joint's score is the largest sum of
# votes at one pixel; offsets that miss by a pixel or two already spread the
# votes over a dozen pixels.
SHOWN_FROM = 0.05
# Blue against red and yellow, and all three of another lightness.
SIDE_COLORS = {
  joints_lib.LEFT: core_drawing.OKABE_ITO['vermilion'],
  joints_lib.MIDDLE: core_drawing.OKABE_ITO['yellow'],
  joints_lib.RIGHT: core_drawing.OKABE_ITO['sky blue'],
}
SIDES = tuple(
  next(
    (side for side in SIDE_COLORS if name.startswith(f'{side}_')),
    joints_lib.MIDDLE,
  )
  for name in joints_lib.NAMES
)
_LEGEND = [
  (f'{side} of the person', color)
  if side != joints_lib.MIDDLE
  else ('between', color)
  for side, color in SIDE_COLORS.items()
]
_TITLES = ('crop', 'found', 'heatmaps')
# A small picture is enlarged so that limbs can be told apart.
_LEAST_SIDE = 480
# Side of a crop in a sheet, in pixels.
_CELL = 300
_OPACITY = 0.85


def draw_people(
  image: np.ndarray,
  joints: np.ndarray,
  shown: Union[np.ndarray, float] = SHOWN_FROM,
  boxes: Optional[np.ndarray] = None,
  scores: Optional[Sequence[float]] = None,
  least_side: int = _LEAST_SIDE,
) -> np.ndarray:
  """Draws skeletons; the first ones on top.

  Args:
    image: uint8 [H, W, 3] RGB.
    joints: float [P, K, 3].
    shown: bool [P, K], or the least `third` of a joint that is drawn. A bone is
      drawn if both of its joints are.
    boxes: float [P, 4], or None.
    scores: P numbers that are written at the boxes, or None.
    least_side: a picture whose longer side has fewer pixels is enlarged to it.

  Returns:
    uint8 [H', W', 3], aspect kept.

  Raises:
    ValueError: the lengths differ, or a joint to be drawn is not finite.
  """
  joints, shown = _checked(joints, shown, boxes, scores)
  picture, factor = core_drawing.enlarged(image, least_side)
  draw = ImageDraw.Draw(picture)
  thick = max(3, round(max(picture.size) / 160))
  if boxes is not None:
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4) * factor
    for box in boxes[::-1]:
      core_drawing.outline(draw, box, 1, core_drawing.LIGHT, picture.size)
  # Centres of pixels lie half a pixel from their edges, which are enlarged.
  points = (joints[..., :2] + 0.5) * factor - 0.5
  for person, seen in reversed(list(zip(points, shown))):
    _skeleton(draw, person[:, ::-1], seen, thick)
  if boxes is not None and scores is not None:
    taken = []
    for box, score in zip(boxes, scores):
      core_drawing.tag(
        draw, box, f'{score:.2f}', core_drawing.LIGHT, picture.size, taken
      )
  return np.asarray(picture)


def pair_sheet(pairs: Sequence[tuple], cell: int = 360) -> np.ndarray:
  """A grid of pairs of pictures: who was found beside who is there.

  Args:
    pairs: N tuples of two uint8 [H, W, 3], such as draw_people returns.
    cell: side of a picture's square in pixels; larger ones are reduced.

  Returns:
    uint8 [H', W', 3], titles above, below what the colours mean.

  Raises:
    ValueError: there is no pair.
  """
  return _with_legend(core_drawing.pair_sheet(pairs, cell))


def heatmap_overlay(image: np.ndarray, heatmaps: np.ndarray) -> np.ndarray:
  """Lays heatmaps over their crop, which turns grey.

  The joints of a side of the body share its colour: at each pixel the largest
  of their heatmaps counts. Where sides meet, their colours are mixed.

  Args:
    image: uint8 [h, w, 3] RGB.
    heatmaps: float [h, w, K], probabilities.

  Returns:
    uint8 [h, w, 3].

  Raises:
    ValueError: the sizes differ.
  """
  image, heatmaps = np.asarray(image), np.asarray(heatmaps, np.float64)
  if heatmaps.shape != (*image.shape[:2], len(SIDES)):
    raise ValueError(
      f'heatmap_overlay got a picture of shape {image.shape} and heatmaps of '
      f'shape {heatmaps.shape}; expected {(*image.shape[:2], len(SIDES))}.'
    )
  grey = np.repeat(image.mean(-1, keepdims=True), 3, -1)
  # [h, w, sides].
  heat = np.stack(
    [heatmaps[..., np.equal(SIDES, side)].max(-1) for side in SIDE_COLORS], -1
  )
  heat = np.clip(heat, 0, 1)
  total = np.maximum(heat.sum(-1, keepdims=True), 1e-9)
  color = (heat / total) @ np.array(list(SIDE_COLORS.values()), np.float64)
  share = _OPACITY * heat.max(-1, keepdims=True)
  return np.rint(grey + share * (color - grey)).astype(np.uint8)


def crop_row(
  crop: np.ndarray,
  joints: np.ndarray,
  shown: Union[np.ndarray, float],
  heatmaps: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns a crop, the crop with its skeleton, the crop under heatmaps.

  Args:
    crop: uint8 [h, w, 3].
    joints: float [K, 3] in the crop.
    shown: bool [K] or a number, see draw_people.
    heatmaps: float [h, w, K], probabilities.

  Returns:
    Three uint8 [h', w', 3] for a line of crop_sheet.
  """
  shown = shown if np.ndim(shown) == 0 else np.asarray(shown)[None]
  large = lambda pixels: np.asarray(core_drawing.enlarged(pixels, _CELL)[0])
  return (
    large(crop),
    draw_people(crop, np.asarray(joints)[None], shown, least_side=_CELL),
    large(heatmap_overlay(crop, heatmaps)),
  )


def crop_sheet(
  rows: Sequence[Sequence[np.ndarray]],
  titles: Sequence[str] = _TITLES,
  cell: int = _CELL,
) -> np.ndarray:
  """A grid of crops with what was found in them, about as wide as high.

  Args:
    rows: N times as many uint8 [h, w, 3] as there are titles.
    titles: of the pictures that belong together.
    cell: side of a picture's square in pixels; larger ones are reduced.

  Returns:
    uint8 [H', W', 3], titles above, below what the colours mean.

  Raises:
    ValueError: there is no crop, or a line of another length.
  """
  if not rows or {len(row) for row in rows} != {len(titles)}:
    raise ValueError(
      f'crop_sheet needs lines of {len(titles)} pictures '
      f'({", ".join(titles)}), got {[len(row) for row in rows]}.'
    )
  aside = max(1, round(np.sqrt(len(rows) / len(titles))))
  pictures = [picture for row in rows for picture in row]
  return _with_legend(
    core_drawing.grid(pictures, aside * len(titles), cell, titles)
  )


def _checked(joints, shown, boxes, scores):
  """Returns joints float64 [P, K, 3] and shown bool [P, K]."""
  number = len(joints_lib.NAMES)
  joints = np.asarray(joints, np.float64)
  joints = joints if joints.size else np.zeros((0, number, 3))
  if joints.shape[1:] != (number, 3):
    raise ValueError(
      f'draw_people takes joints [P, {number}, 3] (y, x, score or visibility), '
      f'got shape {joints.shape}.'
    )
  if np.ndim(shown) == 0:
    shown = joints[..., 2] >= shown
  shown = np.asarray(shown, bool).reshape(-1, number)
  lengths = [len(v) for v in (shown, boxes, scores) if v is not None]
  if set(lengths) != {len(joints)}:
    raise ValueError(
      f'draw_people got {len(joints)} people, but {lengths} rows of shown, '
      'boxes and scores where given; they must be as many.'
    )
  if not np.isfinite(joints[..., :2][shown]).all():
    raise ValueError('draw_people got a joint to draw that is not finite.')
  return joints, shown


def _skeleton(draw, points, shown, thick):
  """Draws one person; points are [K, 2], x before y as Pillow has it."""
  if not shown.any():
    return
  # Lines of a person who is small in the picture would hide it.
  extent = np.ptp(points[shown], axis=0).max()
  thick = int(np.clip(extent / 40, 2, thick))
  bones = [
    ((*points[a], *points[b]), SIDE_COLORS[side])
    for a, b, side in joints_lib.SKELETON
    if shown[a] and shown[b]
  ]
  for line, _ in bones:
    draw.line(line, fill=core_drawing.DARK, width=thick + 2)
  for line, color in bones:
    draw.line(line, fill=color, width=thick)
  for place, side in zip(points[shown], np.array(SIDES)[shown]):
    x, y = place
    radius = thick + 1
    draw.ellipse(
      (x - radius, y - radius, x + radius, y + radius),
      fill=SIDE_COLORS[side],
      outline=core_drawing.DARK,
    )


def _with_legend(page):
  return np.concatenate([page, core_drawing.legend(_LEGEND, page.shape[1])])
