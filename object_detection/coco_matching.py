"""COCO's matching of detections to objects, for many images at a time.

The rules are those of pycocotools' COCOeval.evaluateImg; overlaps come from its
C code. What is ours is the order of the loops: pairs of equal size go
together, and all thresholds and area ranges at once.

Glossary: a PAIR is an image and a category; P pairs, D detections and G objects
of a pair, T overlap thresholds, A area ranges.
"""

from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as mask_lib

# Elements of the largest array of a step, which bounds the memory.
_CHUNK = 4_000_000


class Objects(NamedTuple):
  """What is truly on the images, a row per object, in the order of the file.

  Attributes:
    image: int64 [rows], position of the image in ascending order of the ids.
    category: int64 [rows], from 0.
    shapes: float64 [rows, 4] boxes x, y, width, height in pixels, or object
      [rows] of run-length encodings.
    area: float64 [rows], square pixels.
    is_crowd: bool [rows].
  """

  image: np.ndarray
  category: np.ndarray
  shapes: np.ndarray
  area: np.ndarray
  is_crowd: np.ndarray

  def take(self, rows) -> 'Objects':
    """Returns the given rows."""
    return Objects(*(column[rows] for column in self))


class Detections(NamedTuple):
  """What a detector says, a row per detection.

  Attributes:
    image: as in Objects.
    category: as in Objects.
    shapes: as in Objects.
    area: as in Objects.
    score: float64 [rows], higher is surer.
  """

  image: np.ndarray
  category: np.ndarray
  shapes: np.ndarray
  area: np.ndarray
  score: np.ndarray

  def take(self, rows) -> 'Detections':
    """Returns the given rows."""
    return Detections(*(column[rows] for column in self))


class Matches(NamedTuple):
  """What became of each detection.

  Attributes:
    matched: bool [A, T, rows]: it met an object.
    ignored: bool [A, T, rows]: it counts neither as right nor as wrong.
  """

  matched: np.ndarray
  ignored: np.ndarray


class _Pair(NamedTuple):
  """The detections of a pair that can match, and the pair's objects."""

  rows: np.ndarray  # of the detections, best first
  first: int  # row of the first object
  overlap: np.ndarray  # float64 [D, G]


def sort_objects(objects: Objects) -> Objects:
  """Returns the objects by category, then image, then as they were."""
  return objects.take(np.lexsort((objects.image, objects.category)))


def sort_detections(detections: Detections) -> Detections:
  """Returns the detections by category, image and descending score.

  Equal scores keep their order.
  """
  keys = (-detections.score, detections.image, detections.category)
  return detections.take(np.lexsort(keys))


def pair_starts(rows) -> np.ndarray:
  """Returns int64 [P + 1]: where the pairs of sorted rows start, and the end.

  Args:
    rows: sorted Objects or Detections.
  """
  if not len(rows.image):
    return np.zeros(1, np.int64)
  new = (np.diff(rows.category) != 0) | (np.diff(rows.image) != 0)
  return np.concatenate([[0], np.flatnonzero(new) + 1, [len(rows.image)]])


def pair_bounds(detections: Detections, objects: Objects) -> list:
  """Returns where the pairs lie that have detections as well as objects.

  Args:
    detections: sorted by category and image, at least.
    objects: the same.

  Returns:
    [[d0, d1, g0, g1]]: rows d0 to d1 - 1 of the detections, and so on.
  """
  starts = pair_starts(detections), pair_starts(objects)
  # One number per pair; images are fewer than 2 ** 32.
  keys = [
    rows.category[at[:-1]] << 32 | rows.image[at[:-1]]
    for rows, at in zip((detections, objects), starts)
  ]
  _, mine, theirs = np.intersect1d(
    *keys, assume_unique=True, return_indices=True
  )
  ends = (
    starts[0][mine],
    starts[0][mine + 1],
    starts[1][theirs],
    starts[1][theirs + 1],
  )
  return np.stack(ends, 1).tolist()


def ranks(detections: Detections) -> np.ndarray:
  """Returns int64 [rows]: place of sorted detections in their pair, from 0."""
  starts = pair_starts(detections)
  return np.arange(starts[-1]) - np.repeat(starts[:-1], np.diff(starts))


def match(
  objects: Objects, detections: Detections, thresholds, area_ranges
) -> Matches:
  """Matches detections to objects of their image and category.

  The surest detection chooses first: of the objects that are free and overlap
  it by the threshold or more, the one that overlaps most; of equals, the last.
  Objects that do not count (crowds, and those outside of the area range) are
  chosen only where no other can be. A crowd is never used up.

  Args:
    objects: sorted Objects.
    detections: sorted Detections.
    thresholds: float64 [T], each above 0.
    area_ranges: float64 [A, 2], square pixels, both ends inside.

  Returns:
    Matches.
  """
  low, high = area_ranges[:, :1], area_ranges[:, 1:]
  outside = (detections.area < low) | (detections.area > high)
  unwanted = objects.is_crowd | (objects.area < low) | (objects.area > high)
  shape = (len(area_ranges), len(thresholds), len(detections.image))
  found = Matches(np.zeros(shape, bool), np.zeros(shape, bool))
  # As pycocotools has it, so that a threshold of 1 can be met.
  thresholds = np.minimum(thresholds, 1 - 1e-10)
  buckets = {}
  for pair in _pairs(objects, detections, thresholds.min()):
    size = tuple(1 << (n - 1).bit_length() for n in pair.overlap.shape)
    buckets.setdefault(size, []).append(pair)
  for size, pairs in buckets.items():
    chunk = max(1, _CHUNK // (size[1] * max(shape[0] * shape[1], size[0])))
    for start in range(0, len(pairs), chunk):
      _match_alike(
        pairs[start : start + chunk],
        size,
        thresholds,
        unwanted,
        objects.is_crowd,
        found,
      )
  found.ignored[...] |= ~found.matched & outside[:, None]
  return found


def overlaps(detections, objects) -> np.ndarray:
  """Returns float64 [D, G]: intersection over union, by pycocotools' C code.

  A crowd's is the intersection over the detection's own area.

  Args:
    detections: Detections, at least one row.
    objects: Objects, at least one row.
  """
  a, b = detections.shapes, objects.shapes
  if a.ndim == 1:
    a, b = list(a), list(b)
  return mask_lib.iou(a, b, objects.is_crowd.astype(np.uint8))


def _pairs(objects, detections, threshold):
  """Yields a _Pair for each pair in which something can match."""
  for d0, d1, g0, g1 in pair_bounds(detections, objects):
    overlap = overlaps(
      detections.take(slice(d0, d1)), objects.take(slice(g0, g1))
    )
    able = overlap.max(1) >= threshold
    if able.any():
      yield _Pair(d0 + np.flatnonzero(able), g0, overlap[able])


def _match_alike(pairs, size, thresholds, unwanted, is_crowd, found):
  """Matches pairs of at most D detections and G objects; writes into `found`.

  Objects are laid out last first, as the first of equals is what argmax takes.
  """
  count, areas, steps = len(pairs), len(unwanted), len(thresholds)
  overlap = np.full((size[0], count, size[1]), -1.0)
  barred = np.zeros((count, areas, 1, size[1]), bool)
  crowd = np.zeros((count, 1, 1, size[1]), bool)
  rows = np.zeros((size[0], count), np.int64)
  for p, pair in enumerate(pairs):
    d, g = pair.overlap.shape
    of = slice(pair.first, pair.first + g)
    overlap[:d, p, :g] = pair.overlap[:, ::-1]
    barred[p, :, 0, :g] = unwanted[:, of][:, ::-1]
    crowd[p, ..., :g] = is_crowd[of][::-1]
    rows[:d, p] = pair.rows
  taken = np.zeros((count, areas, steps, size[1]), bool)
  for d in range(size[0]):
    chosen, hit, poor = _choose(overlap[d], taken, barred, thresholds)
    is_chosen = chosen[..., None] == np.arange(size[1])
    taken |= is_chosen & hit[..., None] & ~crowd
    active = np.flatnonzero(overlap[d].max(1) >= 0)
    at = rows[d, active]
    found.matched[:, :, at] = hit[active].transpose(1, 2, 0)
    found.ignored[:, :, at] = poor[active].transpose(1, 2, 0)


def _choose(overlap, taken, barred, thresholds) -> tuple[Any, Any, Any]:
  """One detection of each pair chooses.

  Args:
    overlap: float64 [P, G], -1 where there is no object.
    taken: bool [P, A, T, G].
    barred: bool [P, A, 1, G]: only where nothing else can be had.
    thresholds: float64 [T].

  Returns:
    chosen: int64 [P, A, T], where in G.
    hit: bool [P, A, T]: whether anything could be chosen.
    poor: bool [P, A, T]: it is a barred one.
  """
  overlap = overlap[:, None, None]
  able = (overlap >= thresholds[:, None]) & ~taken
  good = able & ~barred
  has_good = good.any(-1, keepdims=True)
  able = np.where(has_good, good, able)
  chosen = np.where(able, overlap, -1.0).argmax(-1)
  hit = able.any(-1)
  return chosen, hit, hit & ~has_good[..., 0]
