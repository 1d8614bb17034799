"""The range of a metric, at which what is said of it is cut.

The laws know no range: a line in log(images) passes any value. Their parameters
stay as fitted, as do those of their replicates; forecasts, the ends of their
intervals and what is drawn are cut.
"""

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from official_repro.scaling.bootstrap import Estimate

# As in metrics.jsonl, where the metrics of all tasks are shares of 1.
_SHARES = re.compile(r'm?AP|AR|m?IoU|top\d|pixel_accuracy')


class Bounds(NamedTuple):
  """The least and the most that a metric can be, in its unit."""

  low: float = -math.inf
  high: float = math.inf

  def contain(self, value: float) -> bool:
    """Tells whether `value` is possible."""
    return self.low <= value <= self.high

  def clip(self, values) -> np.ndarray:
    """Returns values of any shape, none outside."""
    return np.clip(values, *self)

  def cut(self, estimate: Estimate) -> Estimate:
    """Returns an estimate that lies inside, and says where it was cut."""
    ends = (estimate.value, estimate.low, estimate.high)
    at = []
    if min(ends) < self.low:
      at.append(self.low)
    if max(ends) > self.high:
      at.append(self.high)
    return Estimate(*self.clip(ends).tolist(), tuple(at))

  def cut_change(self, start: float, change: Estimate) -> Estimate:
    """Returns a change from `start` that does not lead outside."""
    ends = np.add((change.value, change.low, change.high), start)
    return Estimate(*(self.clip(ends) - start).tolist())

  def __str__(self):
    return f'{self.low:g} to {self.high:g}'


NONE = Bounds()


def of(metric: str, values: Iterable[float] = ()) -> Bounds:
  """Returns the bounds of a metric.

  Args:
    metric: as in results.csv. Precisions, recalls, IoU and accuracies are
      shares of 1; a loss has no upper bound; others have none at all.
    values: measured ones. With one outside, the metric has another unit, such
      as percent, and no bounds that are known.
  """
  found = NONE
  if _SHARES.match(metric):
    found = Bounds(0.0, 1.0)
  elif 'loss' in metric:
    found = Bounds(0.0)
  return found if all(map(found.contain, values)) else NONE
