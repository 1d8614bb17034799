"""Three laws of a metric against the number of images, by least squares.

With x = log10(images):

  log-linear    m = a + b x                        (Sun et al. 2017, sec. 5)
  power law     m = m_inf - c images^-k, k > 0: it saturates at m_inf
  broken line   m = a + b1 x + (b2 - b1) max(0, x - knee); the knee is one of
                the measured sizes, neither the first nor the last

All are linear but for k and the knee. For a given k or knee the rest is a
projection, so a fit is a search along one line: it needs no start value, gives
the same answer each time, and is done for thousands of sets of values at once,
which the bootstrap wants.

Shapes: S sizes, ascending; B sets of values; P numbers of a solution, which
only its law reads. In a set each size has one value, the mean over its seeds,
and weighs as much as it has seeds: the same fit as with one value a seed.
"""

from collections.abc import Callable

import numpy as np

# An exponent below cannot be told from a straight line in log(images), one
# above from a step after the smallest size.
MIN_EXPONENT, MAX_EXPONENT = 0.01, 3.0
_GRID = 48  # exponents looked at before the search narrows
_NARROWINGS = 40  # by 0.618 each: to 1e-8 of the grid's step


class LogLinear:
  """A straight line in log10(images).

  Attributes (of all laws):
    name: in reports and calls.
    parameters: names of what `describe` returns.
    free: numbers that are fitted.
    min_sizes: fewest sizes that it can be fitted to.
  """

  name = 'log-linear law'
  parameters = ('a', 'b')
  free = 2
  min_sizes = 2

  def solve(
    self, x: np.ndarray, weights: np.ndarray, values: np.ndarray
  ) -> np.ndarray:
    """Fits.

    Args:
      x: [S] log10 of the sizes.
      weights: [S] seeds of each size.
      values: [B, S].

    Returns:
      [B, P] solutions.
    """
    return _line(x, weights, values)

  def predict(self, solutions: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Returns the metric, [B, M], of [B, P] solutions at [M] x."""
    a, b = solutions.T
    return a[:, None] + b[:, None] * x

  def describe(self, solutions: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the parameters of [B, P] solutions, [B] each."""
    return dict(zip(self.parameters, solutions.T))

  def invert(self, solutions: np.ndarray, metric: float) -> np.ndarray:
    """Returns the x, [B], with that metric; infinite where there is none."""
    a, b = solutions.T
    return _ratio(metric - a, b)


class PowerLaw:
  """What saturates; methods as those of LogLinear.

  Solutions are m_inf, c at the middle of the sizes, k, and that middle.
  """

  name = 'power law'
  parameters = ('m_inf', 'c', 'k')
  free = 3
  min_sizes = 3

  def solve(self, x, weights, values):
    """See LogLinear."""
    middle = x.mean()
    x = x - middle
    weighted = weights * (values - _mean(values, weights))

    def explained(exponents):  # [B], one for each set of values
      return (weighted * _unit_curves(exponents, x, weights)).sum(-1) ** 2

    grid = np.geomspace(MIN_EXPONENT, MAX_EXPONENT, _GRID)
    best = ((weighted @ _unit_curves(grid, x, weights).T) ** 2).argmax(-1)
    low = np.log(grid[np.maximum(best - 1, 0)])
    high = np.log(grid[np.minimum(best + 1, _GRID - 1)])
    k = np.exp(_maximise(lambda log_k: explained(np.exp(log_k)), low, high))
    for end in (MIN_EXPONENT, MAX_EXPONENT):  # the search stops just short
      at_end = np.full_like(k, end)
      k = np.where(explained(at_end) >= explained(k), end, k)
    line = _line(-_decay(k, x), weights, values)
    return np.column_stack([line, k, np.full_like(k, middle)])

  def predict(self, solutions, x):
    """See LogLinear."""
    m_inf, c, k, middle = solutions.T
    return m_inf[:, None] - c[:, None] * _decay(k, x - middle[:, None])

  def describe(self, solutions):
    """See LogLinear; m_inf is infinite where the curve does not bend."""
    m_inf, c, k, middle = solutions.T
    m_inf = np.where(k <= MIN_EXPONENT, np.copysign(np.inf, c), m_inf)
    return {'m_inf': m_inf, 'c': c * 10 ** (k * middle), 'k': k}

  def invert(self, solutions, metric):
    """See LogLinear."""
    m_inf, c, k, middle = solutions.T
    left = _ratio(m_inf - metric, c)  # of the way to m_inf; 1 at the middle
    reached = (left > 0) & (left < np.inf)
    return np.where(
      reached, middle - np.log10(np.where(reached, left, 1)) / k, np.inf
    )


class BrokenLine:
  """Two straight lines that meet at a measured size; methods as LogLinear's.

  Solutions are a, b1, b2, and the x of the knee.
  """

  name = 'broken line'
  parameters = ('a', 'b1', 'b2', 'knee')
  free = 4
  min_sizes = 4

  def solve(self, x, weights, values):
    """See LogLinear."""
    root = np.sqrt(weights)
    fits, errors = [], []
    for knee in x[1:-1]:
      basis = np.stack([np.ones_like(x), x, np.maximum(0, x - knee)])
      fits.append((values * root) @ np.linalg.pinv(basis * root))
      errors.append((weights * (values - fits[-1] @ basis) ** 2).sum(-1))
    # Rounding must not choose the knee of what has none.
    floor = 1e-24 * (weights * values**2).sum(-1)
    best = np.maximum(errors, floor).argmin(0)
    a, b1, change = np.stack(fits)[best, np.arange(len(values))].T
    return np.column_stack([a, b1, b1 + change, x[1:-1][best]])

  def predict(self, solutions, x):
    """See LogLinear."""
    a, b1, b2, knee = solutions.T[..., None]
    return a + b1 * x + (b2 - b1) * np.maximum(0, x - knee)

  def describe(self, solutions):
    """See LogLinear; the knee in images."""
    a, b1, b2, knee = solutions.T
    return {'a': a, 'b1': b1, 'b2': b2, 'knee': 10**knee}

  def invert(self, solutions, metric):
    """See LogLinear; the smaller one of two."""
    a, b1, b2, knee = solutions.T
    before = _ratio(metric - a, b1)
    after = knee + _ratio(metric - a - b1 * knee, b2)
    after = np.where(after >= knee, after, np.inf)
    return np.where(before <= knee, before, after)


LOG_LINEAR, POWER_LAW, BROKEN_LINE = LogLinear(), PowerLaw(), BrokenLine()
LAWS = (LOG_LINEAR, POWER_LAW, BROKEN_LINE)


def find(name: str):
  """Returns the law of that name.

  Raises:
    ValueError: there is none.
  """
  for law in LAWS:
    if law.name == name:
      return law
  known = ', '.join(law.name for law in LAWS)
  raise ValueError(f'Law {name!r} is not known; use one of {known}.')


def _mean(values, weights):
  return (values * weights).sum(-1, keepdims=True) / weights.sum()


def _line(x, weights, values):
  """Returns intercept and slope, [B, 2]; x is [S], or [B, S] one a set."""
  x_mean, mean = _mean(x, weights), _mean(values, weights)
  apart = weights * (x - x_mean)
  slope = (apart * (values - mean)).sum(-1, keepdims=True)
  slope = slope / (apart * (x - x_mean)).sum(-1, keepdims=True)
  return np.concatenate([mean - slope * x_mean, slope], axis=-1)


def _decay(k, x):
  """Returns 10^(-k x), [B, S], of [B] k and [S] or [B, S] x."""
  return np.exp(-np.log(10) * k[:, None] * x)


def _unit_curves(k, x, weights):
  """Power laws of mean 0 and weighted square 1, [B, S].

  The square of such a curve's product with the values is what it explains of
  their scatter.
  """
  curves = _decay(k, x)
  curves -= _mean(curves, weights)
  return curves / np.sqrt((weights * curves**2).sum(-1, keepdims=True))


def _maximise(function: Callable, low: np.ndarray, high: np.ndarray):
  """Golden section in [B] intervals at once; `function` maps [B] to [B]."""
  ratio = (np.sqrt(5) - 1) / 2
  for _ in range(_NARROWINGS):
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    up = function(left) < function(right)
    low, high = np.where(up, left, low), np.where(up, high, right)
  return (low + high) / 2


def _ratio(a, b):
  with np.errstate(divide='ignore', invalid='ignore'):
    return np.where(b == 0, np.inf, a / b)
