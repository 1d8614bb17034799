"""The results of a study in the order in which they are shown.

A panel is one metric of one task; the panel's axis is the one its values are
set against, and what else varies makes its series, of one line each. The seeds
at one place of a series are its values there.
"""

import collections
import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any, Optional

from official_repro.scaling import bootstrap, results
from official_repro.scaling import bounds as bounds_lib

NUMERIC = ('images', 'fraction', 'epochs', 'depth', 'noise')
AXES = (
  *NUMERIC,
  'vocabulary',
  'labels',
  'duplicates',
  'init',
  'frozen',
)
AXIS_TITLES = {
  'images': 'pre-training images',
  'fraction': 'share of the pre-training images',
  'epochs': 'epochs of pre-training',
  'depth': 'layers of the ResNet',
  'noise': 'wrong labels in pre-training',
  'vocabulary': 'labels of pre-training',
  'labels': 'labels of pre-training',
  'duplicates': 'near-duplicates in pre-training',
  'init': 'start',
  'frozen': 'trunk in transfer',
}
_WORDS = {
  ('init', 'random'): 'from scratch',
  ('init', 'pretrained'): 'pre-trained',
  ('frozen', True): 'frozen',
  ('frozen', False): 'fine-tuned',
  ('labels', 'filled'): 'filled in',
  ('labels', 'given'): 'as given',
  ('duplicates', 'kept'): 'duplicates kept',
  ('duplicates', 'removed'): 'duplicates removed',
  ('vocabulary', 'all'): 'all labels',
  ('vocabulary', 'leaves'): 'leaves only',
  ('vocabulary', 'parents'): 'parents only',
}


@dataclasses.dataclass(frozen=True)
class Cell:
  """The runs at one place of a series.

  Attributes:
    place: value of the panel's axis; None: the axis does not concern the runs
      (from scratch there are no pre-training images).
    by_seed: {seed: value}; the seed may be None.
    missing: runs without a value.
  """

  place: Any
  by_seed: dict
  missing: int = 0

  @property
  def values(self) -> list:
    """The values, in the order of the seeds."""
    return list(self.by_seed.values())

  @property
  def mean(self) -> float:
    """Mean over the seeds; NaN without any."""
    return sum(self.values) / len(self.values) if self.by_seed else math.nan


@dataclasses.dataclass(frozen=True)
class Series:
  """The cells of one setting of all other axes.

  Attributes:
    setting: ((axis, value), ...) of the axes that tell the series apart.
    cells: in the order of the axis; those without values included.
  """

  setting: tuple
  cells: tuple

  @property
  def label(self) -> str:
    """Its name, such as 'fine-tuned'; '' if it is the only one."""
    return ', '.join(
      name(*pair) for pair in self.setting if pair[1] is not None
    )

  @property
  def measured(self) -> list:
    """The cells that have a value and a place."""
    return [c for c in self.cells if c.by_seed and c.place is not None]

  @property
  def reference(self) -> Optional[Cell]:
    """The cell without a place, if it has a value."""
    found = [c for c in self.cells if c.by_seed and c.place is None]
    return found[0] if found else None


@dataclasses.dataclass(frozen=True)
class Panel:
  """One metric of one task.

  Attributes:
    task: as in results.csv.
    metric: as in results.csv.
    axis: one of AXES.
    series: Series, the first one first in the spec.
    steps: {optimizer steps of the runs: runs}.
  """

  task: str
  metric: str
  axis: str
  series: tuple
  steps: dict

  @property
  def name(self) -> str:
    """Such as 'detection, AP50'."""
    return f'{self.task}, {self.metric}'

  @property
  def varied(self) -> tuple:
    """All axes that vary, the panel's first."""
    others = [pair[0] for s in self.series[:1] for pair in s.setting]
    return (self.axis, *others)

  @functools.cached_property
  def spread(self) -> tuple:
    """(standard deviation over seeds, its degrees of freedom).

    Pooled over all cells: one cell's few seeds say little of their spread.
    """
    cells = [c for s in self.series for c in s.cells if c.by_seed]
    freedom = sum(len(c.values) - 1 for c in cells)
    squares = sum((v - c.mean) ** 2 for c in cells for v in c.values)
    return (math.sqrt(squares / freedom) if freedom else math.nan), freedom

  def half_width(self, runs: int) -> Optional[float]:
    """Returns half of the interval of a mean over seeds, None without spread.

    Args:
      runs: number of values in the mean.
    """
    deviation, freedom = self.spread
    if not freedom or not runs:
      return None
    return bootstrap.t_quantile(freedom) * deviation / math.sqrt(runs)

  def interval(self, cell: Cell) -> Optional[tuple]:
    """Returns (low, high) of a cell's mean, cut at the metric's bounds.

    None without spread; see half_width.
    """
    half = self.half_width(len(cell.values))
    if half is None:
      return None
    return tuple(self.bounds.clip([cell.mean - half, cell.mean + half]))

  @functools.cached_property
  def bounds(self) -> bounds_lib.Bounds:
    """The metric's."""
    values = (v for s in self.series for c in s.cells for v in c.values)
    return bounds_lib.of(self.metric, values)

  def seeds(self) -> list:
    """Returns the seeds that have a value, sorted."""
    found = {n for s in self.series for c in s.cells for n in c.by_seed}
    return sorted(found, key=lambda n: (n is None, n))


def counts(row: results.Row) -> bool:
  """Whether a row's number is a result: done, and finite."""
  return (
    row.status == 'done' and row.value is not None and math.isfinite(row.value)
  )


def shown(rows: Iterable[results.Row]) -> list:
  """Returns the rows that belong in the panels: no choice, no data."""
  return [r for r in rows if r.stage not in ('choice', 'data') and r.metric]


def panels(
  rows: Sequence[results.Row], axis: Optional[str] = None
) -> list[Panel]:
  """Puts the rows of one study into panels.

  Args:
    rows: rows of results.csv, of one study.
    axis: the axis that the study is about; another one is taken for a panel
      in which it does not vary.

  Returns:
    A Panel for each task and metric, those without any value included.
  """
  groups = collections.defaultdict(list)
  for row in shown(rows):
    groups[row.task, row.metric].append(row)
  return [_panel(key, group, axis) for key, group in groups.items()]


def name(axis: str, value: Any) -> str:
  """Returns a value of an axis in words, such as '1,000 images'."""
  if value is None:
    return 'any'
  if (axis, value) in _WORDS:
    return _WORDS[axis, value]
  if axis == 'images':
    return f'{value:,} images'
  if axis == 'fraction':
    return f'{100 * value:g}% of the images'
  if axis == 'epochs':
    return f'{value:g} epoch{"" if value == 1 else "s"}'
  if axis == 'depth':
    return f'ResNet-{value}'
  if axis == 'noise':
    return f'{100 * value:g}% wrong labels'
  if axis == 'init' and value.endswith('+pretrained'):
    return f'{name(axis, value[: -len("+pretrained")])}, then pre-trained'
  stem = str(value).rstrip('/').rsplit('/', 1)[-1]
  return stem.rsplit('.', 1)[0] if axis == 'vocabulary' else stem


def short(axis: str, value: Any) -> str:
  """Returns a value of an axis for a tick or a cell, such as '1,000'."""
  if value is None:
    return '-'
  if axis in ('images', 'depth'):
    return f'{value:,}'
  if axis in ('fraction', 'noise'):
    return f'{100 * value:g}%'
  return f'{value:g}' if axis == 'epochs' else name(axis, value)


def values_of(rows: Iterable[results.Row], axis: str) -> list:
  """Returns the values of an axis, the first one first; without None."""
  found = {getattr(r, axis): 0 for r in rows}
  return [v for v in found if v is not None]


def context(rows: Sequence[results.Row], axis: str) -> list:
  """Returns the other axes that vary, but for those that follow this one.

  So the fraction follows the number of images, and the number of images
  whether duplicates are removed.
  """
  return [a for a in _varied(rows) if a != axis and not _follows(rows, axis, a)]


def _panel(key, rows, wanted):
  axis = _choose_axis(rows, wanted)
  others = context(rows, axis)
  groups = collections.defaultdict(list)
  for row in rows:
    groups[tuple((a, getattr(row, a)) for a in others)].append(row)
  order = lambda value: (value is None, value) if axis in NUMERIC else 0
  series = []
  for setting, group in groups.items():
    places = sorted({getattr(r, axis): 0 for r in group}, key=order)
    cells = (_cell(axis, place, group) for place in places)
    series.append(Series(setting, tuple(cells)))
  steps = collections.Counter(r.step for r in rows if counts(r))
  return Panel(*key, axis, tuple(series), dict(steps))


def _cell(axis, place, rows):
  here = [r for r in rows if getattr(r, axis) == place]
  found = sorted(
    (r for r in here if counts(r)), key=lambda r: (r.seed is None, r.seed)
  )
  by_seed = {r.seed: r.value for r in found}
  if len(by_seed) < len(found):
    raise ValueError(_twice(found))
  return Cell(place, by_seed, len(here) - len(found))


def _twice(rows):
  seen = {}
  for row in rows:
    if row.seed in seen:
      return (
        f'Study {row.study!r}: runs {seen[row.seed]!r} and {row.run_id!r} have '
        'the same settings and seed; give each its own in results.csv.'
      )
    seen[row.seed] = row.run_id
  return ''


def _choose_axis(rows, wanted):
  varied = _varied(rows)
  if wanted in varied:
    return wanted
  if not varied:
    return next(
      (a for a in (wanted, *AXES) if a and values_of(rows, a)), 'init'
    )
  first = varied[0]
  for axis in varied[1:]:
    # What was chosen, rather than the number of images that came of it.
    same = _follows(rows, first, axis) and _follows(rows, axis, first)
    if same and axis not in ('fraction', 'epochs'):
      return axis
  return first


def _varied(rows):
  return [a for a in AXES if len(values_of(rows, a)) > 1]


def _follows(rows, axis, other):
  """Whether each value of an axis has but one of the other."""
  pairs = {(getattr(r, axis), getattr(r, other)) for r in rows}
  pairs = [p for p in pairs if p[0] is not None]
  varied = len({p[1] for p in pairs}) > 1
  return varied and len(pairs) == len({p[0] for p in pairs})
