"""The tables of a study, as text ready to print."""

import collections
from collections.abc import Sequence
from typing import Optional

from official_repro.data.audit.tables import Table
from official_repro.scaling import panels, paper, results

_NO_PLACE = 'any'  # the axis does not concern the runs
_UNKNOWN = '-'


def from_paper(exhibit: paper.Exhibit) -> Table:
  """Returns the paper's table or figure, each number with its mark."""
  rows = [(row[0], *map(str, row[1:])) for row in exhibit.rows]
  return Table(exhibit.columns, rows, f'The paper. {exhibit.note}'.strip())


def measured(found: Sequence[panels.Panel]) -> list[Table]:
  """Returns the means with their intervals, and the seeds' values.

  Args:
    found: panels of one study.

  Returns:
    A table for each panel, with a row for each place of the axis and a column
    for each series; panels of one series that share the axis share a table.
  """
  groups = {}
  for i, panel in enumerate(found):
    key = panel.axis if len(panel.series) == 1 else i
    groups.setdefault(key, []).append(panel)
  return [_measured(group) for group in groups.values()]


def _measured(group):
  axis = group[0].axis
  columns = [
    (p, {c.place: c for c in s.cells}) for p in group for s in p.series
  ]
  places = list(dict.fromkeys(p for _, cells in columns for p in cells))
  numeric = axis in panels.NUMERIC
  places.sort(key=lambda p: (p is None, p if numeric and p is not None else 0))
  rows = [
    (
      _NO_PLACE if place is None else panels.short(axis, place),
      *(cell_text(panel, cells.get(place)) for panel, cells in columns),
    )
    for place in places
  ]
  names = [p.name for p in group]
  caption = 'Measured here.'
  if len(group) == 1:
    names = [s.label or p.metric for p in group for s in p.series]
    caption = f'Measured here: {group[0].name}.'
  return Table((panels.AXIS_TITLES[axis], *names), rows, caption)


def missing(rows: Sequence[results.Row]) -> Table:
  """Returns the runs without a result, the done ones without a number too.

  Args:
    rows: of one study, those without a metric included: data, checkpoints.
  """
  found = {
    r.run_id: (r.run_id, _status(r))
    for r in rows
    if (r.metric or r.status != 'done') and not panels.counts(r)
  }
  return Table(('run', 'status'), list(found.values()), '', (0, 1))


def learning_rates(rows: Sequence[results.Row]) -> Table:
  """Returns the learning rates that were tried, and what they gave.

  Nothing is chosen before all tries of a task are done.
  """
  first = {}  # the metric that decides
  for row in rows:
    if row.stage == 'choice' and row.metric:
      first.setdefault(row.task, row.metric)
  lines = []
  for task, metric in first.items():
    tried = [
      r for r in rows if (r.stage, r.task, r.metric) == ('choice', task, metric)
    ]
    tried.sort(key=lambda r: r.learning_rate or 0.0)
    told = _choice(tried)
    lines += [
      (
        task,
        _UNKNOWN if row.learning_rate is None else f'{row.learning_rate:g}',
        metric,
        f'{row.value:.3f}' if panels.counts(row) else _status(row),
        told if i == _best(tried) else '',
      )
      for i, row in enumerate(tried)
    ]
  return Table(
    ('task', 'learning rate', 'metric', 'value', ''), lines, '', (0, 2, 4)
  )


def _best(tried):
  """Returns the place of the best one, the first of equals; None: no value."""
  places = [i for i, row in enumerate(tried) if panels.counts(row)]
  return max(places, key=lambda i: tried[i].value, default=None)


def _choice(tried):
  """Returns what the best one is, as choice.Chosen has it."""
  if any(row.status != 'done' for row in tried):
    return 'best so far'
  if len(tried) > 1 and _best(tried) in (0, len(tried) - 1):
    return 'chosen, the last one tried on its side: a better one may lie beyond'
  return 'chosen'


def counts(rows: Sequence[results.Row]) -> dict:
  """Returns {status: runs}, the most telling first; without empty ones."""
  by_run = {(r.study, r.stage, r.run_id): r.status for r in rows}
  found = collections.Counter(by_run.values())
  return {s: found[s] for s in results.STATUSES if found[s]}


def cell_text(panel: panels.Panel, cell: Optional[panels.Cell]) -> str:
  """Returns the mean of a cell with its interval; below it the seeds' values.

  Args:
    panel: from whose cells the interval's scatter is pooled.
    cell: one of them; None: there are no such runs.
  """
  if cell is None:
    return _UNKNOWN
  gone = f'{cell.missing} without result' if cell.missing else ''
  if not cell.values:
    return gone
  half = panel.half_width(len(cell.values))
  first = f'{cell.mean:.3f}' + (f' ± {half:.3f}' if half else '')
  seeds = ' '.join(f'{v:.3f}' for v in cell.values)
  notes = [seeds] if len(cell.values) > 1 else []
  return '\n'.join([first, *notes, *filter(None, [gone])])


def _status(row):
  if row.status == 'done':
    return 'done, but the metric is not a number'
  if row.status == 'stale':
    return 'stale: made by another command than the spec has now'
  return row.status
