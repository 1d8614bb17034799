"""Which law a curve follows, how sure that is, and what more data would buy."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Optional

import numpy as np

from official_repro.scaling import bootstrap, laws
from official_repro.scaling import bounds as bounds_lib
from official_repro.scaling import fit as fit_lib
from official_repro.scaling import points as points_lib
from official_repro.scaling.bootstrap import Estimate
from official_repro.scaling.points import count

RIVAL = 0.1  # Akaike weight from which a law is not ruled out


@dataclasses.dataclass(frozen=True)
class Candidate:
  """A law as one of those compared.

  Attributes:
    law: its name.
    fit: None where it could not be fitted.
    aicc: infinite where the runs are too few to judge it.
    weight: Akaike weight, 0..1, among those judged; None: not judged.
    left_out_error: see fit.left_out_error; None: too few sizes.
    note: why it is not fitted or judged, or the fit's note; may be empty.
  """

  law: str
  fit: Optional[fit_lib.Fit]
  aicc: float
  weight: Optional[float]
  left_out_error: Optional[float]
  note: str


@dataclasses.dataclass(frozen=True)
class Comparison:
  """The laws, best first.

  Attributes:
    candidates: by AICc; among those not judged, fewer fitted numbers first.
    rivals: names of the laws that the points do not rule out: of weight 0.1
      or more, or not judged.
    sentence: in words.
  """

  candidates: tuple[Candidate, ...]
  rivals: tuple[str, ...]
  sentence: str

  @property
  def preferred(self) -> Candidate:
    """The best one."""
    return self.candidates[0]

  @property
  def told_apart(self) -> bool:
    """Whether all laws but the preferred one are ruled out."""
    return not self.rivals


@dataclasses.dataclass(frozen=True)
class Forecast:
  """The metric with more data.

  Attributes:
    images: that many.
    law: by which it is said: the preferred one.
    metric: a mean over seeds.
    gain: over the same curve at the largest measured size; cut with metric.
    rivals: {law: the metric by it}, of the laws not ruled out that could be
      fitted.
    passed: {law: (bound, images at which it passes it)}, of these laws and the
      preferred one: none of them can hold as far as the forecast.
    comparison: of the laws.
    sentence: in words, rivals included.
  """

  images: float
  law: str
  metric: Estimate
  gain: Estimate
  rivals: dict[str, Estimate]
  passed: dict[str, tuple]
  comparison: Comparison
  sentence: str


def compare(
  points: Iterable[tuple],
  replicates: int = bootstrap.REPLICATES,
  seed: int = 0,
  bounds: bounds_lib.Bounds = bounds_lib.NONE,
) -> Comparison:
  """Fits all laws and sets them in order by AICc.

  AICc takes runs as independent. Beside it stands the error at the largest
  size of a fit to the others, which is what a forecast is like.

  Args:
    points: see fit.fit_law.
    replicates: of the bootstrap.
    seed: of the bootstrap.
    bounds: of the metric; see bounds.of.

  Raises:
    ValueError: fewer than three sizes, or bad points.
  """
  points = points_lib.checked(points)
  sizes = points_lib.by_size(points)
  fit_lib.check_sizes(sizes)
  found = [
    _candidate(points, law, replicates, seed, bounds) for law in laws.LAWS
  ]
  found = sorted(found, key=lambda c: (c.fit is None, c.aicc))  # stable
  best = found[0].aicc
  if math.isfinite(best):
    odds = np.exp([-(c.aicc - best) / 2 for c in found])
    found = [
      dataclasses.replace(c, weight=float(w)) if math.isfinite(c.aicc) else c
      for c, w in zip(found, odds / odds.sum())
    ]
  rivals = [c.law for c in found[1:] if c.weight is None or c.weight >= RIVAL]
  return Comparison(tuple(found), tuple(rivals), _compared(found, rivals))


def forecast(
  points: Iterable[tuple],
  factor: float = fit_lib.REACH,
  replicates: int = bootstrap.REPLICATES,
  seed: int = 0,
  bounds: bounds_lib.Bounds = bounds_lib.NONE,
) -> Forecast:
  """Says what `factor` times the largest size would give.

  Args:
    points: see fit.fit_law.
    factor: above 1, at most 10.
    replicates: of the bootstrap.
    seed: of the bootstrap.
    bounds: of the metric, at which metric, gain and rivals are cut; see
      bounds.of.

  Raises:
    ValueError: another factor; fewer than three sizes; a flat curve; bad
      points.
  """
  if not 1 < factor <= fit_lib.REACH:
    raise ValueError(
      f'factor is {factor:g}; a forecast goes beyond the largest size, by at '
      f'most {fit_lib.REACH} times: give a number in that range.'
    )
  comparison = compare(points, replicates, seed, bounds)
  fit = comparison.preferred.fit
  largest = float(fit.sizes.images[-1])
  images = largest * factor
  metric = fit_lib.metric_at(fit, images)  # refuses a flat curve
  others = {
    c.law: c.fit
    for c in comparison.candidates
    if c.law in comparison.rivals and c.fit
  }
  # Rivals say their number even where they are flat.
  rivals = {law: other.at(images) for law, other in others.items()}
  passed = {
    law: there
    for law, one in {fit.law.name: fit, **others}.items()
    if (there := one.leaves(images))
  }
  now = fit.values([largest])[0]
  gain = bounds.cut_change(now, fit.change(largest, images))
  told = [
    _forecast(factor, images, fit, metric, gain, rivals, comparison),
    *(_passed(law, *there) for law, there in passed.items()),
  ]
  return Forecast(
    images=images,
    law=fit.law.name,
    metric=metric,
    gain=gain,
    rivals=rivals,
    passed=passed,
    comparison=comparison,
    sentence=' '.join(told),
  )


def _candidate(points, law, replicates, seed, bounds):
  try:
    fit = fit_lib.fit_law(points, law.name, replicates, seed, bounds)
  except ValueError as e:  # three sizes are enough for the straight line
    return Candidate(law.name, None, math.inf, None, None, str(e))
  note = fit.note
  if math.isinf(fit.aicc):
    runs, k = fit.sizes.runs, law.free + 1
    note = '; '.join(
      filter(None, [f'not judged: {runs} runs for {k} numbers', note])
    )
  error = fit_lib.left_out_error(points, law.name)
  return Candidate(law.name, fit, fit.aicc, None, error, note)


def _compared(found, rivals):
  best = found[0]
  if best.weight is None:
    text = f'{best.law}, as the runs are too few to judge any law'
  else:
    text = f'{best.law} is preferred (Akaike weight {best.weight:.2f})'
  if rivals:
    text += f', but {_list(rivals)} cannot be ruled out'
  errors = [
    f'{c.left_out_error:+.3f} ({c.law})'
    for c in found
    if c.left_out_error is not None
  ]
  text += f'; error at the largest size, left out: {", ".join(errors)}'
  return f'{text[0].upper()}{text[1:]}.'


def _forecast(factor, images, fit, metric, gain, rivals, comparison):
  text = (
    f'{factor:g} times the largest size, {count(images)} images, would give '
    f'{metric} by the {fit.law.name}, a gain of {gain.text("+")}'
  )
  if comparison.rivals:
    text += f'; {_list(comparison.rivals)} cannot be ruled out'
  if rivals:
    said = ', '.join(f'{value} by the {law}' for law, value in rivals.items())
    text += f': {said}'
  if fit.note:
    text += f' (the {fit.law.name}: {fit.note})'
  return text + '.'


def _passed(law, bound, images):
  about = count(float(f'{images:.2g}'))
  return (
    f'The {law} passes {bound:g}, a bound of the metric, at about {about} '
    'images, so that it cannot hold so far.'
  )


def _list(names):
  return ' and '.join(f'the {name}' for name in names)
