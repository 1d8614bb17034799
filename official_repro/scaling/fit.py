"""A curve through the points of a study, and what can be read from it.

Sun et al. 2017, sec. 5: the metric of a transfer task is linear in
log(pre-training images). `laws` has that line and two others, `bootstrap` says
what the intervals mean.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, Optional

import numpy as np

from official_repro.scaling import bootstrap, laws
from official_repro.scaling import bounds as bounds_lib
from official_repro.scaling import points as points_lib
from official_repro.scaling.bootstrap import Estimate
from official_repro.scaling.points import count

MIN_SIZES = 3
REACH = 10  # times the largest size, or a part of the smallest


@dataclasses.dataclass(frozen=True)
class Fit:
  """One law, fitted.

  Attributes:
    law: one of laws.LAWS.
    sizes: what it was fitted to.
    parameters: {name: with its interval}; b is the gain of ten times the
      images; m_inf is infinite where the power law does not bend.
    rss: sum of squares of the runs about the curve.
    aicc: see `aicc`.
    noise: of one run.
    note: what to know before it is believed; may be empty.
    solution: [1, P], for the law's methods.
    replicates: [B, P], fits to redrawn means.
    bounds: of the metric.
  """

  law: Any
  sizes: points_lib.Sizes
  parameters: dict[str, Estimate]
  rss: float
  aicc: float
  noise: bootstrap.Noise
  note: str
  solution: np.ndarray
  replicates: np.ndarray
  bounds: bounds_lib.Bounds = bounds_lib.NONE

  def values(self, images) -> np.ndarray:
    """Returns the curve at [M] images, [M], without a check of the range.

    It is cut at the metric's bounds, as are `band` and `at`.
    """
    drawn = self.law.predict(self.solution, np.log10(images))
    return self.bounds.clip(drawn[0])

  def band(self, images) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ends of the 90% interval of `values`, [M] each."""
    ends = [self.at(n) for n in images]
    return np.array([e.low for e in ends]), np.array([e.high for e in ends])

  def at(self, images: float) -> Estimate:
    """Returns the metric without a check: see `metric_at`."""
    x = np.log10([images])
    drawn = self.law.predict(self.replicates, x)[:, 0]
    value = self.law.predict(self.solution, x)[0, 0]
    return self.bounds.cut(bootstrap.interval(value, drawn))

  def change(self, start: float, end: float) -> Estimate:
    """Returns the metric at `end` images less that at `start`, not cut."""
    x = np.log10([start, end])
    drawn = np.diff(self.law.predict(self.replicates, x))[:, 0]
    value = np.diff(self.law.predict(self.solution, x))[0, 0]
    return bootstrap.interval(value, drawn)

  def leaves(self, images: float) -> Optional[tuple[float, float]]:
    """Returns (bound, images) where the uncut curve passes a bound.

    Args:
      images: up to which it is followed; None comes back where the curve is
        still inside there.
    """
    value = self.law.predict(self.solution, np.log10([images]))[0, 0]
    if self.bounds.contain(value):
      return None
    bound = float(self.bounds.clip(value))
    x = self.law.invert(self.solution, bound)[0]
    return bound, float(10 ** min(x, np.log10(images)))

  @property
  def rise(self) -> Estimate:
    """Change from the smallest measured size to the largest."""
    return self.change(self.sizes.images[0], self.sizes.images[-1])

  @property
  def flat(self) -> bool:
    """Whether the interval of the rise holds 0: the slope's, for a line."""
    return self.rise.contains(0)


def fit_law(
  points: Iterable[tuple],
  law: str = laws.LOG_LINEAR.name,
  replicates: int = bootstrap.REPLICATES,
  seed: int = 0,
  bounds: bounds_lib.Bounds = bounds_lib.NONE,
) -> Fit:
  """Fits a law by least squares, each run with the same weight.

  Args:
    points: (images, seed, value) or (images, seed, value, standard error) for
      each run; see points.Point.
    law: log-linear law, power law or broken line.
    replicates: of the bootstrap.
    seed: of the bootstrap.
    bounds: of the metric; see bounds.of.

  Returns:
    The fit, the same for the same arguments.

  Raises:
    ValueError: fewer than three sizes, fewer than the law wants, no scatter to
      take an interval from, or bad points.
  """
  law = laws.find(law)
  sizes = points_lib.by_size(points)
  check_sizes(sizes, law)
  solution = _solve(law, sizes)
  distance = _distance(law, sizes, solution)
  noise = bootstrap.measure_noise(sizes, distance, law.free)
  if noise is None:
    raise ValueError(
      f'{len(sizes.images)} sizes with one seed each leave nothing to tell '
      f'noise from the {law.name} by; run more seeds.'
    )
  means = bootstrap.redraw(sizes, noise, replicates, seed)
  drawn = law.solve(sizes.x, sizes.seeds, means)
  described, redescribed = law.describe(solution), law.describe(drawn)
  rss = sizes.within + distance
  return Fit(
    law=law,
    sizes=sizes,
    parameters={
      name: bootstrap.interval(described[name][0], redescribed[name])
      for name in law.parameters
    },
    rss=rss,
    aicc=aicc(max(rss, sizes.rounding), sizes.runs, law.free),
    noise=noise,
    note=_note(law, solution, noise),
    solution=solution,
    replicates=drawn,
    bounds=bounds,
  )


def aicc(rss: float, runs: int, free: int) -> float:
  """Akaike's criterion for small samples, in nats times 2; lower is better.

  AICc = n ln(RSS / n) + 2 k + 2 k (k + 1) / (n - k - 1), with n runs and k
  fitted numbers, of which the noise's variance is one (Hurvich and Tsai, 1989).

  Args:
    rss: sum of squares of the runs about the curve.
    runs: n.
    free: k - 1, the numbers that the law fits.

  Returns:
    Infinity where n - k - 1 <= 0: so few runs cannot judge the law.
  """
  k = free + 1
  if runs - k - 1 <= 0:
    return math.inf
  fit = runs * math.log(rss / runs) if rss > 0 else -math.inf
  return fit + 2 * k + 2 * k * (k + 1) / (runs - k - 1)


def left_out_error(points: Iterable[tuple], law: str) -> Optional[float]:
  """Fits without the largest size and predicts it.

  Returns:
    Predicted less measured mean, in the metric's unit; None where the other
    sizes are too few for the law.
  """
  law, sizes = laws.find(law), points_lib.by_size(points)
  others = sizes.without_largest()
  if len(others.images) < law.min_sizes:
    return None
  predicted = law.predict(_solve(law, others), sizes.x[-1:])
  return float(predicted[0, 0] - sizes.means[-1])


def metric_at(fit: Fit, images: float) -> Estimate:
  """Returns the metric, a mean over seeds, at a number of images.

  Returns:
    It, cut at the metric's bounds.

  Raises:
    ValueError: beyond ten times the largest size or below a tenth of the
      smallest; or beyond the largest on a flat curve.
  """
  low, high = _reach(fit)
  if not low <= images <= high:
    raise ValueError(
      f'{count(images)} images are outside {count(low)} to {count(high)}, a '
      'tenth of the smallest measured size to ten times the largest: no law is '
      'to be trusted further; measure a size nearer to it.'
    )
  if images > fit.sizes.images[-1]:
    check_not_flat(fit)
  return fit.at(images)


def images_needed(fit: Fit, metric: float) -> Estimate:
  """Returns the images that a metric, as a mean over seeds, takes.

  Returns:
    Number of images; the upper end is infinite where more than 5% of the
    replicates do not get there within ten times the largest size, and the lower
    one is a tenth of the smallest size or more.

  Raises:
    ValueError: a metric outside its bounds, a flat curve, or a metric that the
      curve does not have between a tenth of the smallest size and ten times the
      largest.
  """
  if not fit.bounds.contain(metric):
    raise ValueError(
      f'Metric {metric:g} is outside {fit.bounds}, its bounds; no number of '
      'images gives it: ask for one inside.'
    )
  check_not_flat(fit)
  low, high = _reach(fit)
  x = fit.law.invert(fit.solution, metric)[0]
  if not np.log10(low) - 1e-9 <= x <= np.log10(high) + 1e-9:
    ends = sorted(fit.values([low, high]))
    raise ValueError(
      f'Metric {metric:g} is outside {ends[0]:.3f} to {ends[1]:.3f}, what the '
      f'{fit.law.name} gives from a tenth of the smallest measured size to ten '
      'times the largest; ask for one inside, or measure more sizes.'
    )
  ends = fit.law.predict(fit.replicates, fit.sizes.x[[0, -1]])
  same_way = np.diff(ends)[:, 0] * fit.rise.value > 0
  drawn = fit.law.invert(fit.replicates, metric)
  drawn = np.where(same_way & (drawn <= np.log10(high)), drawn, np.inf)
  drawn = np.maximum(drawn, np.log10(low))
  found = bootstrap.interval(x, drawn)
  return Estimate(10**found.value, 10**found.low, 10**found.high)


def check_sizes(sizes: points_lib.Sizes, law=laws.LOG_LINEAR) -> None:
  """Checks that there are enough sizes.

  Raises:
    ValueError: there are not.
  """
  wanted = max(MIN_SIZES, law.min_sizes)
  if len(sizes.images) < wanted:
    measured = ', '.join(map(count, sizes.images))
    raise ValueError(
      f'The {law.name} wants at least {wanted} numbers of images, got '
      f'{len(sizes.images)} ({measured}); run more sizes.'
    )


def check_not_flat(fit: Fit) -> None:
  """Checks that the curve rises or falls.

  Raises:
    ValueError: it may do neither.
  """
  if fit.flat:
    told = 'More data does not help here'
    if fit.sizes.runs == len(fit.sizes.images):
      told = 'One seed of each size does not tell whether more data helps'
    raise ValueError(
      f'{told}: from {count(fit.sizes.images[0])} to '
      f'{count(fit.sizes.images[-1])} images the metric changes by '
      f'{fit.rise.text("+")}, which may be 0; run more seeds or a wider range '
      'of sizes.'
    )


def _solve(law, sizes):
  return law.solve(sizes.x, sizes.seeds, sizes.means[None])


def _distance(law, sizes, solution):
  """Sum of squares of the means about the curve, by seeds."""
  gap = sizes.means - law.predict(solution, sizes.x)[0]
  return float((sizes.seeds * gap**2).sum())


def _reach(fit):
  return fit.sizes.images[0] / REACH, fit.sizes.images[-1] * REACH


def _note(law, solution, noise):
  notes = []
  if law is laws.POWER_LAW:
    k = law.describe(solution)['k'][0]
    if k <= laws.MIN_EXPONENT:
      notes.append('it does not bend here: m_inf is not determined')
    elif k >= laws.MAX_EXPONENT:
      notes.append('it is flat after the smallest size: k is not determined')
  if noise.misfit is not None and noise.from_sizes:
    notes.append(
      f'the sizes lie further from it than seeds explain (p {noise.misfit:.2g})'
    )
  return '; '.join(notes)
