"""Person boxes from a COCO results file, such as object_detection writes.

Boxes are ymin, xmin, ymax, xmax in pixels of the original picture here, and
x, y, width, height in the file. No TensorFlow.
"""

import math
import numbers
import sys
from typing import Optional

import numpy as np

from official_repro.data import coco_results
from official_repro.data.coco_results import image_id, save_results

__all__ = ['PERSON', 'box_nms', 'image_id', 'load_boxes', 'save_results']

# COCO's category id.
PERSON = 1
# G-RMI's choice among the detector's boxes (from memory, not confirmed).
SCORE_ABOVE = 0.3
NMS_THRESHOLD = 0.6
_KEYS = ('image_id', 'category_id', 'bbox', 'score')


def load_boxes(
  path,
  *,
  category_id: Optional[int] = PERSON,
  score_above: float = SCORE_ABOVE,
) -> dict:
  """Reads the boxes of a detection results file.

  Detectors give boxes without width or height now and then, at the edge of a
  picture. There is nothing to cut out, so they are left out, and a line on
  stderr says how many; a negative size is an error.

  Args:
    path: of the file: a list of {image_id, category_id, bbox [x, y, width,
      height], score}.
    category_id: of the boxes to take; None: of any category.
    score_above: a box with this score or a lower one is left out.

  Returns:
    {image id: (float32 [N, 4] ymin, xmin, ymax, xmax; float32 [N] scores)}, in
    the file's order. A picture of which no box is taken is not in it.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is no such file; names the first entry that is wrong.
  """
  found, empty = {}, 0
  for i, entry in enumerate(coco_results.load_list(path)):
    problem = _problem(entry)
    if problem:
      raise ValueError(f'{path}: entry {i} {problem}.')
    if category_id not in (None, entry['category_id']):
      continue
    if not entry['score'] > score_above:
      continue
    if 0 in entry['bbox'][2:]:
      empty += 1
      continue
    rows = found.setdefault(entry['image_id'], ([], []))
    rows[0].append(entry['bbox'])
    rows[1].append(entry['score'])
  if empty:
    print(
      f'{path}: left out {empty} box(es) without width or height.',
      file=sys.stderr,
      flush=True,
    )
  return {
    of: (coco_results.from_xywh(b).astype(np.float32), np.float32(scores))
    for of, (b, scores) in found.items()
  }


def _problem(entry):
  """Says what is wrong with an entry; '' if nothing is."""
  missing = set(_KEYS)
  if isinstance(entry, dict):
    missing -= set(entry)
  if missing:
    return f'has no {", ".join(k for k in _KEYS if k in missing)}'
  if not isinstance(entry['image_id'], (int, str)):
    return (
      f'has the image_id {entry["image_id"]!r}: whole number or text expected'
    )
  box, score = entry['bbox'], entry['score']
  if not _is_finite(score):
    return f'has the score {score!r}: a finite number expected'
  if (
    not isinstance(box, list) or len(box) != 4 or not all(map(_is_finite, box))
  ):
    return f'has the bbox {box!r}: four finite numbers expected'
  if box[2] < 0 or box[3] < 0:
    return f'has the bbox {box!r}, whose width or height is below 0'
  return ''


def _is_finite(value):
  return isinstance(value, numbers.Real) and math.isfinite(value)


def box_nms(boxes, scores, threshold: float = NMS_THRESHOLD) -> np.ndarray:
  """Keeps the best box, drops those that overlap it too much, and so on.

  Args:
    boxes: float [N, 4], ymin, xmin, ymax, xmax.
    scores: float [N], higher is surer; of equals the first one counts as surer.
    threshold: a box is dropped if its intersection over union with a kept one
      is above it.

  Returns:
    int64 [kept]: indices, best first.

  Raises:
    ValueError: a shape is wrong or a value is not finite.
  """
  boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
  scores = np.asarray(scores, np.float64)
  if scores.shape != (len(boxes),):
    raise ValueError(
      f'{len(boxes)} boxes need as many scores, got the shape {scores.shape}.'
    )
  wrong = np.flatnonzero(~np.isfinite(np.c_[boxes, scores]).all(1))
  if len(wrong):
    raise ValueError(
      f'{len(wrong)} of {len(boxes)} boxes are not finite, the first is number '
      f'{wrong[0]}: {boxes[wrong[0]].tolist()} with the score '
      f'{scores[wrong[0]]:g}.'
    )
  left = np.argsort(-scores, kind='stable')
  kept = []
  while len(left):
    best, left = left[0], left[1:]
    kept.append(best)
    left = left[_iou(boxes[best], boxes[left]) <= threshold]
  return np.array(kept, np.int64)


def _iou(box, others):
  """Overlap of a box with each of [N, 4]; 0 where both are without area."""
  low = np.maximum(box[:2], others[:, :2])
  high = np.minimum(box[2:], others[:, 2:])
  both = np.prod(np.maximum(high - low, 0), axis=1)
  area = lambda b: np.prod(b[..., 2:] - b[..., :2], axis=-1)
  union = area(box) + area(others) - both
  return np.divide(both, union, out=np.zeros_like(both), where=union > 0)
