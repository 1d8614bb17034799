"""COCO's twelve numbers, equal to those of pycocotools to the last bit.

`tables` is the fast way; `reference_tables` lets pycocotools do all of it. The
tests hold the two equal, element by element.

Glossary: T overlap thresholds, R recall levels, K categories, A area ranges, M
limits of detections per image and category.
"""

import contextlib
import io
from typing import NamedTuple

import numpy as np
from pycocotools import coco as coco_lib
from pycocotools import cocoeval

from object_detection import coco_matching
from object_detection.coco_matching import Detections, Objects

# From pycocotools, so that they have the very same bits.
_PARAMS = cocoeval.Params('bbox')
THRESHOLDS = np.array(_PARAMS.iouThrs)
RECALLS = np.array(_PARAMS.recThrs)
AREA_RANGES = np.array(_PARAMS.areaRng, np.float64)
LIMITS = tuple(_PARAMS.maxDets)

_ALL, _SMALL, _MEDIUM, _LARGE = range(4)
NAMES = (
  'AP',
  'AP50',
  'AP75',
  'AP_small',
  'AP_medium',
  'AP_large',
  'AR1',
  'AR10',
  'AR100',
  'AR_small',
  'AR_medium',
  'AR_large',
)
# A number that has nothing to be measured on.
UNDEFINED = -1.0


class Tables(NamedTuple):
  """COCOeval.eval's arrays.

  Attributes:
    precision: float64 [T, R, K, A, M], -1 where a category has no object.
    recall: float64 [T, K, A, M], the same.
  """

  precision: np.ndarray
  recall: np.ndarray


def tables(
  objects: Objects, detections: Detections, num_categories: int
) -> Tables:
  """Evaluates detections.

  Args:
    objects: Objects, in any order of rows; equals keep theirs.
    detections: Detections, likewise.
    num_categories: K.

  Returns:
    Tables.
  """
  objects = coco_matching.sort_objects(objects)
  detections = coco_matching.sort_detections(detections)
  rank = coco_matching.ranks(detections)
  kept = rank < LIMITS[-1]
  detections, rank = detections.take(kept), rank[kept]
  matches = coco_matching.match(objects, detections, THRESHOLDS, AREA_RANGES)
  shape = (num_categories, len(AREA_RANGES), len(LIMITS))
  out = Tables(
    np.full((len(THRESHOLDS), len(RECALLS), *shape), UNDEFINED),
    np.full((len(THRESHOLDS), *shape), UNDEFINED),
  )
  wanted = _wanted(objects, num_categories)
  bounds = np.searchsorted(detections.category, np.arange(num_categories + 1))
  for k in np.flatnonzero(wanted.any(1)):
    of = slice(bounds[k], bounds[k + 1])
    order = of.start + np.argsort(-detections.score[of], kind='stable')
    for a in np.flatnonzero(wanted[k]):
      counted = ~matches.ignored[a][:, order]
      right = matches.matched[a][:, order] & counted
      wrong = counted & ~right
      for m, limit in enumerate(LIMITS):
        if m and not (rank[order] >= LIMITS[m - 1]).any():
          # No pair has more detections: as with the limit before.
          out.precision[:, :, k, a, m] = out.precision[:, :, k, a, m - 1]
          out.recall[:, k, a, m] = out.recall[:, k, a, m - 1]
          continue
        few = rank[order] < limit
        curve = _curve(right[:, few], wrong[:, few], wanted[k, a])
        out.precision[:, :, k, a, m], out.recall[:, k, a, m] = curve
  return out


def _wanted(objects, num_categories):
  """int64 [K, A]: objects that a detector has to find."""
  counts = []
  for low, high in AREA_RANGES:
    inside = (objects.area >= low) & (objects.area <= high)
    rows = inside & ~objects.is_crowd
    counts.append(np.bincount(objects.category[rows], minlength=num_categories))
  return np.stack(counts, 1)


def _curve(right, wrong, wanted):
  """Precision at each recall level, and the recall in the end.

  Args:
    right: bool [T, D], surest detection first.
    wrong: bool [T, D]; what is neither does not count.
    wanted: number of objects, above 0.

  Returns:
    float64 [T, R], float64 [T].
  """
  precision = np.zeros((len(THRESHOLDS), len(RECALLS)))
  if not right.shape[1]:
    return precision, np.zeros(len(THRESHOLDS))
  rights = np.cumsum(right, axis=1, dtype=np.float64)
  wrongs = np.cumsum(wrong, axis=1, dtype=np.float64)
  recall = rights / wanted
  exact = rights / (wrongs + rights + np.spacing(1))
  # The best precision at this recall or any higher one.
  best = np.maximum.accumulate(exact[:, ::-1], axis=1)[:, ::-1]
  for t in range(len(THRESHOLDS)):
    at = np.searchsorted(recall[t], RECALLS, side='left')
    reached = at < right.shape[1]
    precision[t, reached] = best[t, at[reached]]
  return precision, recall[:, -1]


def summary(found: Tables) -> dict:
  """Returns {name: float} with the twelve `NAMES`.

  A number without any object to measure it on is -1, as in pycocotools.
  """
  precision = lambda area, t=slice(None): _mean(
    found.precision[t, :, :, area, -1]
  )
  recall = lambda area, m=-1: _mean(found.recall[:, :, area, m])
  values = (
    precision(_ALL),
    precision(_ALL, THRESHOLDS == 0.5),
    precision(_ALL, THRESHOLDS == 0.75),
    *map(precision, (_SMALL, _MEDIUM, _LARGE)),
    *(recall(_ALL, m) for m in range(len(LIMITS))),
    *map(recall, (_SMALL, _MEDIUM, _LARGE)),
  )
  return dict(zip(NAMES, values))


def by_category(found: Tables) -> list:
  """Returns a dict per category: `summary` of it alone."""
  return [
    summary(
      Tables(found.precision[:, :, k : k + 1], found.recall[:, k : k + 1])
    )
    for k in range(found.precision.shape[2])
  ]


def _mean(values):
  defined = values[values > UNDEFINED]
  return float(np.mean(defined)) if len(defined) else UNDEFINED


def reference_tables(
  objects: Objects,
  detections: Detections,
  num_categories: int,
  num_images: int,
  iou_type: str = 'bbox',
) -> Tables:
  """Like `tables`, by pycocotools itself; slow.

  Args:
    objects: Objects.
    detections: Detections.
    num_categories: K.
    num_images: how many there are.
    iou_type: 'bbox' or 'segm'.

  Returns:
    Tables.
  """
  truth, results = coco_lib.COCO(), coco_lib.COCO()
  key = 'segmentation' if iou_type == 'segm' else 'bbox'
  base = {
    # The masks are encoded already, so that their size is not needed.
    'images': [{'id': i, 'height': 0, 'width': 0} for i in range(num_images)],
    'categories': [{'id': k} for k in range(num_categories)],
  }
  truth.dataset = base | {'annotations': _rows(objects, key, 'iscrowd')}
  results.dataset = base | {'annotations': _rows(detections, key, 'score')}
  with contextlib.redirect_stdout(io.StringIO()):
    truth.createIndex()
    results.createIndex()
    evaluator = cocoeval.COCOeval(truth, results, iou_type)
    evaluator.evaluate()
    evaluator.accumulate()
  return Tables(evaluator.eval['precision'], evaluator.eval['recall'])


def _rows(table, key, last):
  """The rows as COCO's annotations; ids count from 1."""
  flags = table[-1].astype(int if last == 'iscrowd' else float).tolist()
  shapes = table.shapes
  shapes = shapes.tolist() if shapes.ndim == 2 else list(shapes)
  columns = (table.image.tolist(), table.category.tolist(), shapes)
  return [
    {
      'id': n + 1,
      'image_id': image,
      'category_id': category,
      key: shape,
      'area': area,
      'iscrowd': 0,
      last: flag,
    }
    for n, (image, category, shape, area, flag) in enumerate(
      zip(*columns, table.area.tolist(), flags)
    )
  ]
