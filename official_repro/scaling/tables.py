"""The tables of a study, as text ready to print."""

import collections
from collections.abc import Sequence

from official_repro.data.audit.tables import Table
from official_repro.scaling import panels, paper, results

_NO_PLACE = 'any'  # the axis does not concern the runs
_UNKNOWN = '-'
_COLUMNS = 80


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
      *(_cell(panel, cells.get(place)) for cells in by_place),
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


def summary(rows: Sequence[results.Row]) -> str:
  """Returns a study's results for the console, at most 80 columns.

  Args:
    rows: rows of results.csv.

  Returns:
    For each task and metric a line for each setting: mean, 90% interval and
    number of seeds.
  """
  lines = []
  for study in dict.fromkeys(r.study for r in rows):
    own = [r for r in rows if r.study == study]
    told = ', '.join(f'{n} {s}' for s, n in counts(own).items())
    lines.append(f'{study}: runs {told}')
    for panel in panels.panels(own):
      lines += ['', panel.name, *_lines(panel)]
  return '\n'.join(lines) if lines else 'There are no results.'


def _lines(panel):
  for series in panel.series:
    for cell in series.cells:
      place = '' if cell.place is None else panels.name(panel.axis, cell.place)
      words = ', '.join(w for w in (place, series.label) if w) or 'the run'
      value = _cell(panel, cell).split('\n')[0]
      seeds = f'{len(cell.values)} seeds' if len(cell.values) > 1 else ''
      room = _COLUMNS - 30
      words = words if len(words) <= room else f'{words[: room - 1]}…'
      yield f'  {words:<{room}s}  {value:<16s} {seeds}'.rstrip()


def _cell(panel, cell):
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
