"""The laws fitted to a panel, and what more data would buy."""

import dataclasses
import math
from typing import Optional

import numpy as np

from official_repro.data.audit.tables import Table
from official_repro.scaling import bootstrap, laws, panels
from official_repro.scaling import fit as fit_lib
from official_repro.scaling import forecast as forecast_lib
from official_repro.scaling.points import count

_CURVE = 60  # points of a drawn law
_MOST_DIGITS = 5  # after the point, of a metric to ask for
_FACTOR = 10  # "ten times more data"
# Parameters of the laws: knees are sizes; of c and k the size tells little.
_OF_IMAGES, _WITHOUT_UNIT = ('knee',), ('c', 'k')
_ONE_SEED = (
  'One seed of each size: the interval is from how far the sizes lie off the '
  'law.'
)


@dataclasses.dataclass(frozen=True)
class Trend:
  """What is known of a series' dependence on the number of images.

  Attributes:
    series: the series.
    comparison: of the three laws; None where they could not be fitted.
    forecast: at ten times the largest size; None where it is refused.
    reason: why; '' with a forecast.
  """

  series: panels.Series
  comparison: Optional[forecast_lib.Comparison]
  forecast: Optional[forecast_lib.Forecast]
  reason: str

  @property
  def sentence(self) -> str:
    """The forecast and what a metric on the way takes, or why there is none."""
    text = f'No forecast: {self.reason}'
    if self.forecast:
      text = ' '.join(filter(None, [self.forecast.sentence, self._needed()]))
    return f'{text} {_ONE_SEED}' if self.comparison and self.one_seed else text

  @property
  def one_seed(self) -> bool:
    """Whether no size has a second seed."""
    return all(len(c.values) < 2 for c in self.series.measured)

  @property
  def tenfold(self) -> Optional[bootstrap.Estimate]:
    """Gain of ten times the images by the log-linear law; None: not fitted."""
    for candidate in self.comparison.candidates if self.comparison else ():
      if candidate.law == laws.LOG_LINEAR.name and candidate.fit:
        return candidate.fit.parameters['b']
    return None

  def _needed(self):
    """Says the images for a round metric between the last size and the end."""
    fit = self.comparison.preferred.fit
    metric = _roundest(*fit.values([fit.sizes.images[-1], self.end]))
    if metric is None:
      return ''
    try:
      images = fit_lib.images_needed(fit, metric)
    except ValueError:  # a broken line has it also far below the sizes
      return ''
    value, low, high = map(_about, (images.value, images.low, images.high))
    return (
      f'A metric of {metric:g} takes about {value} images (90% interval {low} '
      f'to {high}) by the {fit.law.name}.'
    )

  def curve(self) -> Optional[tuple]:
    """Returns ([N] images, [N] metric) of the preferred law, to draw."""
    if not self.comparison:
      return None
    fit = self.comparison.preferred.fit
    start, end = fit.sizes.images[0], fit.sizes.images[-1]
    images = np.geomspace(start, max(end, self.end), _CURVE)
    return images, fit.values(images)

  @property
  def end(self) -> float:
    """The size of the forecast; 0 without."""
    return self.forecast.images if self.forecast else 0.0

  def point(self) -> Optional[tuple]:
    """Returns (images, metric, low, high) of the forecast, to draw."""
    if not self.forecast:
      return None
    metric = self.forecast.metric
    return self.forecast.images, metric.value, metric.low, metric.high


def fit(panel: panels.Panel) -> list[Optional[Trend]]:
  """Fits the laws to each series of a panel.

  Args:
    panel: any; other axes than `images` have no trends.

  Returns:
    One for each series; None where no number of images concerns it.
  """
  return [
    _fit(s, panel.bounds) if panel.axis == 'images' and s.measured else None
    for s in panel.series
  ]


def table(trend: Trend) -> Table:
  """Returns the comparison of the laws, best first."""
  rows = [
    (
      f'{c.law}\n{c.note}' if c.note else c.law,
      _parameters(c.fit),
      '-' if math.isinf(c.aicc) else f'{c.aicc:.1f}',
      '-' if c.weight is None else f'{c.weight:.2f}',
      '-' if c.left_out_error is None else f'{c.left_out_error:+.3f}',
    )
    for c in trend.comparison.candidates
  ]
  return Table(
    (
      'law, best first',
      'parameters with 90% interval',
      'AICc',
      'Akaike weight',
      'error at the largest size, left out',
    ),
    rows,
    trend.series.label,
    (0, 1),
  )


def _fit(series, bounds):
  points = [
    (cell.place, seed, value)
    for cell in series.measured
    for seed, value in cell.by_seed.items()
  ]
  try:
    forecast = forecast_lib.forecast(points, _FACTOR, bounds=bounds)
    return Trend(series, forecast.comparison, forecast, '')
  except ValueError as e:
    reason = str(e)
  try:  # what is flat is fitted all the same
    comparison = forecast_lib.compare(points, bounds=bounds)
  except ValueError:
    return Trend(series, None, None, reason)
  fitted = comparison.preferred.fit is not None
  return Trend(series, comparison if fitted else None, None, reason)


def _roundest(start, end):
  """Returns the number of fewest digits strictly between two; None if equal."""
  low, high = sorted((start, end))
  for digits in range(_MOST_DIGITS):
    found = round((math.floor(low * 10**digits) + 1) / 10**digits, digits)
    if low < found < high:
      return found
  return None


def _about(images):
  """4641.6 -> '4,600'."""
  if math.isinf(images):
    return 'more than can be told'
  return count(float(f'{images:.2g}'))


def _parameters(fit_):
  if fit_ is None:
    return 'not fitted'
  return '; '.join(
    '{} {} ({} to {})'.format(
      name, *(_parameter(name, v) for v in (e.value, e.low, e.high))
    )
    for name, e in fit_.parameters.items()
  )


def _parameter(name, value):
  if name in _OF_IMAGES:
    return count(round(value))
  if name in _WITHOUT_UNIT:
    return f'{value:.3g}'
  return f'{value:.3f}'  # in the metric's unit
