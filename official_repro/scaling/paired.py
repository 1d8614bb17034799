"""Whether one way is better than another at the same sizes and seeds."""

import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from official_repro.scaling import bootstrap
from official_repro.scaling import points as points_lib
from official_repro.scaling.bootstrap import Estimate


@dataclasses.dataclass(frozen=True)
class Difference:
  """At one size.

  Attributes:
    images: the size.
    seeds: those that both have.
    difference: mean over them of the first less the second.
  """

  images: int
  seeds: tuple
  difference: Estimate


@dataclasses.dataclass(frozen=True)
class Finding:
  """At all sizes that both have.

  Attributes:
    differences: one a size, ascending.
    mean: of the differences, each size with the same weight.
    above: sizes where the first is the larger one.
    clear: of these, sizes whose interval lies above 0.
    sentence: in words.
  """

  differences: tuple[Difference, ...]
  mean: Estimate
  above: int
  clear: int
  sentence: str


def finding(
  points_a: Iterable[tuple],
  points_b: Iterable[tuple],
  names: tuple[str, str] = ('the first', 'the second'),
) -> Finding:
  """Compares two ways, run by run.

  Runs of the same size and seed are a pair. The scatter of the pairs'
  differences is pooled over the sizes, and each size's 90% interval is
  Student's t with the degrees of freedom of all: mean -+ t s / sqrt(seeds). It
  covers the difference of the means over seeds, at that size alone; of four
  such intervals one misses in a third of the cases. Standard errors of the
  points, where given, are added as if both ways had met different images,
  which is too wide where they met the same.

  Args:
    points_a: see fit.fit_law.
    points_b: the other way.
    names: for the sentence, such as ('fine-tuned', 'frozen').

  Raises:
    ValueError: no size and seed in common, or bad points.
  """
  pairs = _pairs(points_a, points_b)
  if not pairs:
    raise ValueError(
      f'{names[0]} and {names[1]} have no number of images and seed in common; '
      'run both with the same sizes and seeds.'
    )
  gaps = [np.array([a.value - b.value for a, b in p]) for p in pairs.values()]
  means = np.array([g.mean() for g in gaps])
  seeds = np.array([len(g) for g in gaps])
  freedom = int((seeds - 1).sum())
  scatter = sum(((g - g.mean()) ** 2).sum() for g in gaps)
  variance = scatter / freedom / seeds if freedom else np.zeros(len(gaps))
  images = np.array([_evaluation(p) for p in pairs.values()])
  differences = tuple(
    Difference(
      size,
      tuple(a.seed for a, _ in pair),
      _estimate(mean, of_seeds, of_images, freedom),
    )
    for (size, pair), mean, of_seeds, of_images in zip(
      pairs.items(), means, variance, images
    )
  )
  above = int((means > 0).sum())
  clear = sum(d.difference.low > 0 for d in differences)
  return Finding(
    differences=differences,
    mean=_estimate(
      means.mean(),
      variance.sum() / len(gaps) ** 2,
      images.sum() / len(gaps) ** 2,
      freedom,
    ),
    above=above,
    clear=clear,
    sentence=_sentence(names, len(gaps), above, clear, seeds, freedom),
  )


def _pairs(points_a, points_b):
  others = {p[:2]: p for p in points_lib.checked(points_b)}
  pairs = {}
  for point in points_lib.checked(points_a):
    if point[:2] in others:
      pairs.setdefault(point.images, []).append((point, others[point[:2]]))
  return pairs


def _evaluation(pair):
  """Variance of a size's difference that comes from the evaluated images."""
  errors = [(p.standard_error or 0.0) for both in pair for p in both]
  return float(np.square(errors).sum()) / len(pair)


def _estimate(mean, of_seeds, of_images, freedom):
  if not freedom:
    return Estimate(float(mean), -math.inf, math.inf)
  half = math.hypot(
    bootstrap.t_quantile(freedom) * math.sqrt(of_seeds),
    bootstrap.normal_quantile() * math.sqrt(of_images),
  )
  return Estimate(float(mean), float(mean) - half, float(mean) + half)


def _sentence(names, sizes, above, clear, seeds, freedom):
  where = ' at every size' if above == sizes else ''
  few, many = int(seeds.min()), int(seeds.max())
  counted = f'{few} to {many}' if few < many else str(few)
  text = (
    f'{names[0]} above {names[1]}{where}: {above} of {sizes} sizes, {counted} '
    f'seed{"s" if many > 1 else ""}'
  )
  if not freedom:
    return f'{text}, too few for an interval'
  return f'{text}; the 90% interval is above 0 at {clear}'
