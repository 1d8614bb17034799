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


def measured(panel: panels.Panel) -> Table:
  """Returns the means of a panel with their intervals, and the seeds' values.

  Args:
    panel: one metric of one task.

  Returns:
    A row for each place of the axis, a column for each series.
  """
  places = list(dict.fromkeys(c.place for s in panel.series for c in s.cells))
  places.sort(key=lambda p: p is None)
  by_place = [{c.place: c for c in s.cells} for s in panel.series]
  rows = [
    (
      _NO_PLACE if place is None else panels.short(panel.axis, place),
      *(cell_text(panel, cells.get(place)) for cells in by_place),
    )
    for place in places
  ]
  header = (
    panels.AXIS_TITLES[panel.axis],
    *(s.label or panel.metric for s in panel.series),
  )
  return Table(header, rows, f'Measured here: {panel.name}.')


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
  """Returns the learning rates that were tried, and what they gave."""
  first = {}  # the metric that decides
  for row in rows:
    if row.stage == 'choice' and row.metric:
      first.setdefault(row.task, row.metric)
  tried = [
    r for r in rows if r.stage == 'choice' and r.metric == first.get(r.task)
  ]
  best = {}
  for row in filter(panels.counts, tried):
    if row.task not in best or row.value > best[row.task].value:
      best[row.task] = row
  lines = [
    (
      row.task,
      _UNKNOWN if row.learning_rate is None else f'{row.learning_rate:g}',
      row.metric,
      f'{row.value:.3f}' if panels.counts(row) else _status(row),
      'chosen' if row is best.get(row.task) else '',
    )
    for row in tried
  ]
  return Table(
    ('task', 'learning rate', 'metric', 'value', ''), lines, '', (0, 2, 4)
  )


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
