"""What a study found, held against what the paper claims.

All comparisons are of pairs of runs that differ in one axis only and have the
same seed. The places of a comparison are the settings of the other axes, such
as the sizes; its difference is the mean over them. The interval, of 90%, is
Student's over the seeds, each with its mean over the places. It covers what
another seed would change: weights, order and, where pre-training reads a part
of the data, which part; not other pictures of the evaluation. One seed has no
interval, and its finding is open, whatever its sign. So is one whose interval
holds 0: only an interval that is nowhere above 0 says that a difference does
not appear. `paired` counts the places.
"""

import collections
import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Optional

from official_repro.scaling import bootstrap, paired, panels, paper, results

FOUND, IN_PART, NOT_FOUND, OPEN = (
  'appears',
  'appears in part',
  'does not appear',
  'cannot be told',
)
# Of the level: within it two ways are on par. In the paper's own case, AP 31.2
# and 31.9†, they are 2% apart.
_PAR = 0.05
_NO_RUNS = 'this study has no runs that would tell'
_NO_PAIR = 'no two runs that are done, of the same seed and setting'


@dataclasses.dataclass(frozen=True)
class Finding:
  """A claim, and what a study says of it.

  Attributes:
    claim: the claim.
    task: of the results; '' where there are none.
    metric: of the results.
    verdict: FOUND, IN_PART, NOT_FOUND or OPEN.
    evidence: in words, with numbers.
  """

  claim: paper.Claim
  task: str
  metric: str
  verdict: str
  evidence: str

  @property
  def sentence(self) -> str:
    """The finding in one sentence."""
    where = f'{self.task}, {self.metric}: ' if self.task else ''
    return f'{where}{self.verdict}: {self.evidence}.'


class Comparison:
  """Differences between pairs of runs.

  Attributes:
    places: {setting of the other axes: {seed: difference}}.
    axes: the other axes.
  """

  def __init__(self, places: dict, axes: Sequence[str] = ()):
    self.places = places
    self.axes = tuple(axes)

  @property
  def seeds(self) -> list:
    """The seeds that tell of a scatter."""
    return sorted(self._offsets(), key=str)

  @property
  def above(self) -> int:
    """Places whose mean difference is positive."""
    return self._counted().above

  def mean(self) -> float:
    """Mean difference, each place with the same weight."""
    means = [_mean(d.values()) for d in self.places.values()]
    return _mean(means)

  def interval(self) -> Optional[tuple]:
    """Returns (low, high) of the mean; None with fewer than two seeds."""
    found = [_mean(offsets) for offsets in self._offsets().values()]
    if len(found) < 2:
      return None
    freedom = len(found) - 1
    deviation = math.sqrt(sum(d**2 for d in found) / freedom)
    half = bootstrap.t_quantile(freedom) * deviation / math.sqrt(len(found))
    return self.mean() - half, self.mean() + half

  def text(self) -> str:
    """Returns the mean with its interval, and the number of seeds."""
    found = self.interval()
    if not found:
      seeds = {s for by_seed in self.places.values() for s in by_seed}
      each = '' if len(seeds) == 1 else ' each'
      return f'{self.mean():+.3f} (one seed{each}, so no interval)'
    low, high = found
    return (
      f'{self.mean():+.3f} (90% interval {low:+.3f} to {high:+.3f}), '
      f'{len(self.seeds)} seeds'
    )

  def where(self) -> str:
    """Returns at how many places it is positive, such as 'at 4 of 4 sizes'."""
    if not self.axes:
      return ''
    count, found = len(self.places), self._counted()
    unit = 'size' if set(self.axes) <= {'images', 'fraction'} else 'setting'
    text = f' at {found.above} of {count} {unit}{"" if count == 1 else "s"}'
    scatter = any(d.difference.high < math.inf for d in found.differences)
    if scatter and found.above:
      text += f', clearly at {found.clear}'
    return text

  def extremes(self) -> str:
    """Returns the least and the largest mean of a place, '' if it is one."""
    means = [_mean(by_seed.values()) for by_seed in self.places.values()]
    if len(means) < 2:
      return ''
    return f', {min(means):+.3f} to {max(means):+.3f} by setting'

  def _counted(self):
    points = [
      (i, seed, difference)
      for i, by_seed in enumerate(self.places.values(), 1)
      for seed, difference in by_seed.items()
    ]
    return paired.finding(points, [(*p[:2], 0.0) for p in points])

  def _offsets(self):
    """Returns {seed: by how much it differs from the mean of each place}.

    So a seed that is missing at some places does not shift the others.
    """
    offsets = collections.defaultdict(list)
    for by_seed in self.places.values():
      mean = _mean(by_seed.values())
      for seed, difference in by_seed.items():
        if len(by_seed) > 1:  # one seed differs from itself by nothing
          offsets[seed].append(difference - mean)
    return offsets


def find(
  rows: Sequence[results.Row], claims: Sequence[paper.Claim]
) -> list[Finding]:
  """Holds the results of a study against claims.

  Args:
    rows: rows of results.csv, of one study.
    claims: the exhibit's.

  Returns:
    Findings for each claim and for each task and metric that has runs which
    differ in the claim's axis; one that is OPEN where none has.
  """
  groups = collections.defaultdict(list)
  for row in panels.shown(rows):
    groups[row.task, row.metric].append(row)
  found = []
  for claim in claims:
    here = []
    for (task, metric), group in groups.items():
      rows, where = _at_end(group, claim.at)
      for verdict, evidence in _JUDGES[claim.kind](rows, claim):
        here.append(Finding(claim, task, metric, verdict, where + evidence))
    found += here or [Finding(claim, '', '', OPEN, _NO_RUNS)]
  return found


def compare(
  rows: Sequence[results.Row], axis: str, high, low
) -> Optional[Comparison]:
  """Pairs runs that differ in one axis only.

  Args:
    rows: of one task and metric.
    axis: one of panels.AXES.
    high: its value in the runs from whose values is subtracted.
    low: its value in the others.

  Returns:
    The differences; None without a pair.
  """
  counted = [r for r in rows if panels.counts(r)]
  others = [a for a in panels.context(rows, axis) if a != axis]
  places = collections.defaultdict(dict)
  for a in (r for r in counted if getattr(r, axis) == high):
    for b in (r for r in counted if getattr(r, axis) == low):
      pairs = [(getattr(a, x), getattr(b, x)) for x in others]
      # None: the axis does not concern the run, so that it fits any value.
      if a.seed == b.seed and all(p == q or None in (p, q) for p, q in pairs):
        place = tuple(q if p is None else p for p, q in pairs)
        places[place][a.seed] = a.value - b.value
  differ = [x for x, found in zip(others, zip(*places)) if len(set(found)) > 1]
  return Comparison(dict(places), differ) if places else None


def _above(rows, claim):
  for high, low in _opposites(rows, claim):
    found = compare(rows, claim.axis, high, low)
    names = [panels.name(claim.axis, v) for v in (high, low)]
    if not found:
      yield OPEN, f'{names[0]} and {names[1]} have {_NO_PAIR}'
      continue
    evidence = f'{names[0]} above {names[1]}{found.where()}: {found.text()}'
    yield _verdict(found), evidence


def _verdict(found):
  """The verdict on 'above' or 'grows'."""
  interval, whole = found.interval(), found.above == len(found.places)
  if interval is None:
    return OPEN
  low, high = interval
  if high <= 0:
    return NOT_FOUND
  if low <= 0:  # not even the sign is known
    return OPEN
  return FOUND if whole else IN_PART


def _on_par(rows, claim):
  for high, low in _opposites(rows, claim):
    found = compare(rows, claim.axis, high, low)
    names = [panels.name(claim.axis, v) for v in (high, low)]
    if not found:
      yield OPEN, f'{names[0]} and {names[1]} have {_NO_PAIR}'
      continue
    level = _mean(
      [
        r.value
        for r in rows
        if panels.counts(r) and getattr(r, claim.axis) in (high, low)
      ]
    )
    margin = _PAR * abs(level)
    yield (
      _verdict_on_par(found, margin),
      f'{names[0]} less {names[1]}: {found.text()}{found.extremes()}; on par '
      f'is within {margin:.3f}, {_PAR:.0%} of the level',
    )


def _verdict_on_par(found, margin):
  interval = found.interval()
  if interval is None:
    return OPEN
  low, high = interval
  if high < -margin or margin < low:
    return NOT_FOUND
  if low < -margin or margin < high:  # the seeds are too few to say
    return OPEN
  means = [_mean(by_seed.values()) for by_seed in found.places.values()]
  # Places that differ both ways may be on par only on average.
  return FOUND if max(map(abs, means)) <= margin else IN_PART


def _monotone(rows, claim):
  places = sorted(panels.values_of(rows, claim.axis))
  places = [p for p in places if _has(rows, claim.axis, p)]
  if len(places) < 2:
    return
  sign = -1 if claim.kind == paper.FALLS else 1
  first, last = (places[0], places[-1])[::sign]
  found = compare(rows, claim.axis, last, first)
  if not found:
    yield OPEN, 'its two ends have no runs with the same seed and setting'
    return
  steps = [compare(rows, claim.axis, b, a) for a, b in zip(places, places[1:])]
  steps = [sign * s.mean() for s in steps if s]
  right = sum(s > 0 for s in steps)
  word = 'falls' if sign < 0 else 'rises'
  shown = found if sign > 0 else Comparison(_negated(found.places))
  evidence = (
    f'from {panels.short(claim.axis, places[0])} to '
    f'{panels.name(claim.axis, places[-1])} {shown.text()}; {word} at {right} '
    f'of {_steps(len(steps))}'
  )
  verdict = _verdict(found)
  if verdict == FOUND and right < len(steps):
    verdict = IN_PART
  yield verdict, evidence


def _gain_grows(rows, claim):
  """Whether what pre-training gains grows with depth, to the deep end."""
  counted = [r for r in rows if panels.counts(r)]
  depths = sorted(panels.values_of(counted, claim.axis))
  if len(depths) < 2:
    return
  for of, high, low in _gains(counted):
    at = {d: compare(_at(rows, claim.axis, d), of, high, low) for d in depths}
    what = f'{panels.name(of, high)} less {panels.name(of, low)}'
    small, large = at[depths[0]], at[depths[-1]]
    if small is None or large is None:
      yield OPEN, f'{what}: no pair of runs at both depths'
      continue
    differences = {
      place: {
        s: large.places[place][s] - small.places[place][s]
        for s in by_seed
        if s in large.places[place]
      }
      for place, by_seed in small.places.items()
      if place in large.places
    }
    differences = {p: d for p, d in differences.items() if d}
    if not differences:
      yield OPEN, f'{what}: no seed at both depths'
      continue
    found = Comparison(differences)
    means = [gain.mean() for gain in at.values() if gain]
    rises = [b > a for a, b in itertools.pairwise(means)]
    ends = ' to '.join(
      panels.name(claim.axis, d) for d in (depths[0], depths[-1])
    )
    steps = f', rises at {sum(rises)} of {len(rises)} steps'
    verdict = _verdict(found)
    yield (
      IN_PART if verdict == FOUND and not all(rises) else verdict,
      f'from {ends} the gain ({what}) changes by {found.text()}'
      + (steps if len(rises) > 1 else ''),
    )


def _gains(rows):
  """Returns (axis, high, low) of what pre-training may gain."""
  others = [v for v in panels.values_of(rows, 'init') if v != 'pretrained']
  if others and len(others) < len(panels.values_of(rows, 'init')):
    return [('init', 'pretrained', other) for other in others]
  sizes = sorted(panels.values_of(rows, 'images'))
  return [('images', sizes[-1], sizes[0])] if len(sizes) > 1 else []


def _opposites(rows, claim):
  """Returns the (high, low) that a claim compares in these rows."""
  known = panels.values_of(rows, claim.axis)
  if claim.high not in known:
    return []
  lows = [claim.low] if claim.low is not None else known
  return [
    (claim.high, low)
    for low in lows
    if low in known
    and low != claim.high
    and (claim.low is not None or not str(low).endswith(f'+{claim.high}'))
  ]


def _at_end(rows, end):
  """Returns the rows with the fewest or most epochs, and which these are."""
  epochs = sorted(panels.values_of(rows, 'epochs'))
  if end is None or len(epochs) < 2:
    # One length only is the last.
    return ([] if end == 'first' else rows), ''
  value = epochs[0 if end == 'first' else -1]
  return _at(rows, 'epochs', value), f'after {panels.name("epochs", value)} '


def _mean(values):
  return sum(values) / len(values)


def _at(rows, axis, value):
  return [r for r in rows if getattr(r, axis) == value]


def _has(rows, axis, value):
  return any(panels.counts(r) for r in _at(rows, axis, value))


def _negated(places):
  return {p: {s: -d for s, d in found.items()} for p, found in places.items()}


def _steps(count):
  return f'{count} step{"" if count == 1 else "s"}'


_JUDGES = {
  paper.ABOVE: _above,
  paper.ON_PAR: _on_par,
  paper.GROWS: _monotone,
  paper.FALLS: _monotone,
  paper.GAIN_GROWS: _gain_grows,
}
