"""What a curve is fitted to: one point a run."""

import dataclasses
import math
from collections.abc import Iterable
from typing import NamedTuple, Optional

import numpy as np


class Point(NamedTuple):
  """One run.

  Attributes:
    images: of pre-training.
    seed: of the run.
    value: of the metric, in its own unit.
    standard_error: of the value, from the scatter over the images or classes
      of the evaluation; None: not known.
  """

  images: int
  seed: Optional[int]
  value: float
  standard_error: Optional[float] = None


@dataclasses.dataclass(frozen=True)
class Sizes:
  """Points by size; S sizes, ascending.

  Attributes:
    images: [S] float64.
    seeds: [S] how many runs of each, float64.
    means: [S] of the values over the seeds.
    within: sum of squares of the values about their size's mean.
    evaluation: [S] standard error of the mean that comes from the images of
      the evaluation, 0 where not known. All seeds of a size meet the same
      images, so it does not fall with their number.
  """

  images: np.ndarray
  seeds: np.ndarray
  means: np.ndarray
  within: float
  evaluation: np.ndarray

  @property
  def x(self) -> np.ndarray:
    """Returns log10 of the sizes, [S]."""
    return np.log10(self.images)

  @property
  def runs(self) -> int:
    """Number of points."""
    return int(self.seeds.sum())

  @property
  def rounding(self) -> float:
    """Sum of squares, never 0, below which a misfit is one of rounding."""
    return 1e-14 * float((self.seeds * self.means**2).sum()) + 1e-300

  def without_largest(self) -> 'Sizes':
    """Returns all sizes but the largest; `within` is not kept apart, so 0."""
    return Sizes(
      self.images[:-1],
      self.seeds[:-1],
      self.means[:-1],
      0.0,
      self.evaluation[:-1],
    )


def count(images: float) -> str:
  """150000.0 -> '150,000'."""
  return f'{images:,.10g}'


def checked(points: Iterable[tuple]) -> list[Point]:
  """Returns the points, by size and seed.

  Args:
    points: Points, or tuples of the same order.

  Raises:
    ValueError: a number that cannot be, or the same size and seed twice.
  """
  points = [Point(*point) for point in points]
  seen = set()
  for point in points:
    if not 1 <= point.images < math.inf:
      raise ValueError(f'{point} has {point.images} images; give at least 1.')
    if point.value is None or not math.isfinite(point.value):
      raise ValueError(
        f'{point} has no finite value; leave out runs without a result.'
      )
    error = point.standard_error
    if error is not None and not 0 <= error < math.inf:
      raise ValueError(f'{point} has standard error {error}; give 0 or more.')
    if point[:2] in seen:
      raise ValueError(
        f'Two points have {point.images} images and seed {point.seed}; give '
        'one value for each size and seed.'
      )
    seen.add(point[:2])
  return sorted(points, key=lambda p: (p.images, p.seed or 0))


def by_size(points: Iterable[tuple]) -> Sizes:
  """Puts the points of each size together.

  Raises:
    ValueError: as `checked`; or there is no point.
  """
  groups: dict[int, list[Point]] = {}
  for point in checked(points):
    groups.setdefault(point.images, []).append(point)
  if not groups:
    raise ValueError('There is no point to fit a curve to; run the study.')
  values = [np.array([p.value for p in group]) for group in groups.values()]
  return Sizes(
    images=np.array(list(groups), float),
    seeds=np.array([len(v) for v in values], float),
    means=np.array([v.mean() for v in values]),
    within=float(sum(((v - v.mean()) ** 2).sum() for v in values)),
    evaluation=np.array(
      [
        np.mean([p.standard_error or 0.0 for p in group])
        for group in groups.values()
      ]
    ),
  )
