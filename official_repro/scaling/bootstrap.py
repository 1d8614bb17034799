"""Intervals of 90%: redrawing what another study would have measured.

A parametric bootstrap, as three seeds are too few to be drawn from: the plain
percentiles of resampled seeds cover far less than they say. One replicate of a
curve redraws the mean of each size, about the measured one, with

  seeds   normal noise of variance s^2 / seeds. s^2 is pooled over the sizes, so
          four sizes of three seeds have 8 degrees of freedom, and is itself
          redrawn, as s^2 df / chi^2(df): this makes the percentiles those of
          Student's t for a law that is linear, and near it for the others;
  images  where the points have standard errors, normal noise of theirs, one
          draw a size, as all seeds of a size are evaluated on the same images.

The law is fitted to each replicate; an interval runs from the 5th to the 95th
percentile of whatever is computed from the fits.

Where the sizes lie further from the law than their seeds scatter (F test at
10%), or each has one seed, s^2 is their mean square about the law instead. What
all seeds of a size share shows only there, such as the images of its subset
where the seeds do not draw their own: if it is as large as the seeds' scatter,
intervals of four sizes cover some 80%.

What an interval covers: the parameter, or the mean over seeds of the metric,
if the law is right and the noise as large at each size: simulated, 91 to 93% of
the time for the straight line and the power law on four sizes of three seeds.
It is not where one more run will fall. Draws of the images are independent
between the sizes; with one set of evaluation images for all they are in truth
alike, which makes the slope more certain than said and the level less.
"""

import dataclasses
import math
from typing import Optional

import numpy as np
from scipy import special

from official_repro.scaling.points import Sizes

CONFIDENCE = 0.9
REPLICATES = 2000
_MISFIT = 0.1  # p of the F test below which a law misses the sizes


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A number with its 90% interval; an end may be infinite.

  Attributes:
    value, low, high: the number and the ends.
    cut: bounds of the metric at which any of them was cut; see bounds.
  """

  value: float
  low: float
  high: float
  cut: tuple = ()

  def contains(self, value: float) -> bool:
    """Tells whether `value` lies in the interval."""
    return self.low <= value <= self.high

  def text(self, sign: str = '') -> str:
    """Returns it in words; a sign of '+' is shown, too."""
    cut = f', cut at {" and ".join(f"{b:g}" for b in self.cut)}'
    return (
      f'{self.value:{sign}.3f} (90% interval {self.low:{sign}.3f} to '
      f'{self.high:{sign}.3f}{cut if self.cut else ""})'
    )

  def __str__(self):
    return self.text()


@dataclasses.dataclass(frozen=True)
class Noise:
  """How much a run scatters.

  Attributes:
    variance: of one run, in the metric's unit squared.
    freedom: its degrees of freedom.
    misfit: p of the F test that the sizes lie as near the law as the seeds
      allow; None where it cannot be tested.
    from_sizes: the variance is that of the sizes about the law.
  """

  variance: float
  freedom: int
  misfit: Optional[float]
  from_sizes: bool


def measure_noise(sizes: Sizes, distance: float, free: int) -> Optional[Noise]:
  """Finds the noise of one run.

  Args:
    sizes: what the law was fitted to.
    distance: sum of squares of the sizes' means about the law, by seeds.
    free: numbers that the law fits.

  Returns:
    The noise; None where there are neither two seeds of a size nor more sizes
    than fitted numbers.
  """
  about_law = len(sizes.images) - free
  repeats = sizes.runs - len(sizes.images)
  if about_law <= 0 and repeats <= 0:
    return None
  seeds = sizes.within / repeats if repeats > 0 else math.nan
  if about_law <= 0:
    return Noise(seeds, repeats, None, False)
  distance = distance / about_law
  if repeats <= 0:
    return Noise(distance, about_law, None, True)
  # What the distance would be on average, were the law right.
  expected = seeds + float(np.mean(sizes.seeds * sizes.evaluation**2))
  expected = max(expected, sizes.rounding)
  misfit = float(special.fdtrc(about_law, repeats, distance / expected))
  if misfit < _MISFIT:
    return Noise(distance, about_law, misfit, True)
  return Noise(seeds, repeats, misfit, False)


def redraw(
  sizes: Sizes, noise: Noise, replicates: int = REPLICATES, seed: int = 0
) -> np.ndarray:
  """Returns [replicates, S] means of the sizes; see the top of the module.

  Args:
    sizes: S of them.
    noise: of one run.
    replicates: number of draws.
    seed: of the draws, so that a report does not change from call to call.
  """
  random = np.random.default_rng(seed)
  shape = (replicates, len(sizes.images))
  chi = random.chisquare(noise.freedom, (replicates, 1)) / noise.freedom
  seeds = random.standard_normal(shape)
  images = random.standard_normal(shape)
  scale = np.sqrt(noise.variance / chi / sizes.seeds)
  return sizes.means + seeds * scale + images * sizes.evaluation


def interval(value: float, replicates: np.ndarray) -> Estimate:
  """Returns the value between the 5th and 95th percentile of [B] replicates.

  These are two of the replicates, as some may be infinite.
  """
  tail = (1 - CONFIDENCE) / 2
  low, high = np.quantile(
    replicates, [tail, 1 - tail], method='inverted_cdf'
  ).tolist()
  return Estimate(float(value), low, high)


def t_quantile(freedom: int) -> float:
  """Returns Student's t that 90% lie within; infinite without freedom."""
  if freedom <= 0:
    return math.inf
  return float(special.stdtrit(freedom, (1 + CONFIDENCE) / 2))


def normal_quantile() -> float:
  """Returns the standard deviations that 90% lie within."""
  return float(special.ndtri((1 + CONFIDENCE) / 2))
