"""Average precision as in PASCAL VOC: 11-point and every-point.

Rules of the VOC development kit. The surest detection goes first; it is held
against the object of its class and image that it overlaps most, taken or not:
right if that one is free and the overlap reaches the threshold, else wrong. A
detection of a DIFFICULT object counts neither as right nor as wrong, and such
an object need not be found.

The kit's boxes are inclusive pixel numbers from 1; with ymin - 1 and xmin - 1
(as the `voc` source stores them) continuous widths are the kit's widths.
"""

from typing import NamedTuple

import numpy as np
from pycocotools import mask as mask_lib

from object_detection import coco_matching
from object_detection.coco_matching import Detections, Objects

RECALLS_11 = 11


class ClassCurve(NamedTuple):
  """One class.

  Attributes:
    wanted: objects that are not difficult.
    precision: float64 [D], after each detection that counts, surest first.
    recall: float64 [D]; empty where nothing is wanted.
    right: int64 [D], right detections up to here.
  """

  wanted: int
  precision: np.ndarray
  recall: np.ndarray
  right: np.ndarray


def curves(
  objects: Objects,
  detections: Detections,
  num_classes: int,
  threshold: float = 0.5,
) -> list:
  """Precision and recall of each class.

  Args:
    objects: Objects with boxes; `is_crowd` is VOC's "difficult".
    detections: Detections with boxes. Equal scores keep their order.
    num_classes: K.
    threshold: least overlap of a right detection.

  Returns:
    [ClassCurve] of each class.
  """
  objects = coco_matching.sort_objects(objects)
  # Within a class the surest is first, whichever image it is of.
  order = np.argsort(-detections.score, kind='stable')
  detections = detections.take(order)
  nearest = _nearest(objects, detections, threshold)
  found = []
  for k in range(num_classes):
    wanted = int(np.sum((objects.category == k) & ~objects.is_crowd))
    of_class = nearest[detections.category == k]
    met = of_class >= 0
    ignored = np.zeros(len(of_class), bool)
    ignored[met] = objects.is_crowd[of_class[met]]
    of_class = of_class[~ignored]
    _, firsts = np.unique(of_class, return_index=True)
    right = np.zeros(len(of_class), np.int64)
    right[firsts] = of_class[firsts] >= 0
    right = np.cumsum(right)
    precision = right / (np.arange(len(right)) + 1)
    recall = right / wanted if wanted else np.zeros(0)
    found.append(ClassCurve(wanted, precision, recall, right))
  return found


def _nearest(objects, detections, threshold):
  """int64 [rows]: row of the object that a detection overlaps most, or -1."""
  nearest = np.full(len(detections.score), -1)
  by_pair = np.lexsort((detections.image, detections.category))
  ordered = detections.take(by_pair)
  for d0, d1, g0, g1 in coco_matching.pair_bounds(ordered, objects):
    of = objects.shapes[g0:g1]
    overlap = mask_lib.iou(
      ordered.shapes[d0:d1], of, np.zeros(len(of), np.uint8)
    )
    best = overlap.argmax(1)
    reached = overlap.max(1) >= threshold
    nearest[by_pair[d0:d1]] = np.where(reached, g0 + best, -1)
  return nearest


def every_point(curve: ClassCurve) -> float:
  """Area below the curve of the best precision at each recall (since 2010)."""
  if not len(curve.recall):
    return 0.0
  best = np.maximum.accumulate(curve.precision[::-1])[::-1]
  steps = np.diff(curve.recall, prepend=0.0)
  return float(np.sum(steps * best))


def eleven_point(curve: ClassCurve) -> float:
  """Mean of the best precision at recall 0, 0.1, ... 1 or above (VOC 2007)."""
  total = 0.0
  for tenth in range(RECALLS_11):
    # In whole numbers, so that a recall of exactly 3/10 reaches 0.3.
    reached = curve.precision[curve.right * 10 >= tenth * curve.wanted]
    total += float(reached.max()) if len(reached) else 0.0
  return total / RECALLS_11
