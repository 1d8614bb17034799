"""A study's results for a terminal of 80 columns.

By the number of images: a table of task by size, and below it what the fitted
laws say of each row. By anything else: a line for each setting.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Optional

from official_repro.scaling import (
  fit,
  laws,
  overview,
  panels,
  results,
  tables,
  trends,
)

_COLUMNS = 80
_MOST_LABEL = 28  # columns; leaves room for four sizes
_GAP = '  '
_MAY_BE_FLAT = 'refused: may be flat'
_OTHER_LAW, _CUT = '*', '^'


def summary(rows: Sequence[results.Row], axis: Optional[str] = None) -> str:
  """Returns a study's results, at most 80 columns wide.

  Args:
    rows: rows of results.csv.
    axis: see panels.panels.

  Returns:
    For each study: its runs, then tables by the number of images, or for each
    setting its mean, 90% interval and number of seeds.
  """
  lines = []
  for study in dict.fromkeys(r.study for r in rows):
    own = [r for r in rows if r.study == study]
    told = ', '.join(f'{n} {s}' for s, n in tables.counts(own).items())
    lines.append(f'{study}: runs {told}')
    found = panels.panels(own, axis)
    by_size = [p for p in found if overview.is_by_size(p)]
    if by_size:
      lines += ['', *_by_size(by_size)]
    for panel in found:
      if panel not in by_size:
        lines += ['', panel.name, *_settings(panel)]
  return '\n'.join(lines) if lines else 'There are no results.'


class _Row(NamedTuple):
  """A line of the tables; a heading has no series."""

  label: str
  series: Optional[panels.Series] = None
  trend: Optional[trends.Trend] = None


def _by_size(found):
  rows = list(_rows(found))
  width = min(max(len(r.label) for r in rows), _MOST_LABEL)
  yield from _values(found, rows, width)
  yield ''
  yield from _laws([r for r in rows if not r.series or r.trend], width)


def _rows(found) -> Iterator[_Row]:
  for panel in found:
    name, fitted = f'{panel.task} {panel.metric}', trends.fit(panel)
    if len(panel.series) == 1:
      yield _Row(name, panel.series[0], fitted[0])
      continue
    yield _Row(name)
    for series, trend in zip(panel.series, fitted):
      yield _Row(f'  {series.label}', series, trend)


def _values(found, rows, width):
  """Yields the table of task by size, in parts where it is too wide."""
  sizes = sorted({c.place for r in rows for c in _measured(r)})
  shown = [{c.place: overview.mean(c) for c in _measured(r)} for r in rows]
  heads = [panels.short(overview.SIZES, n) for n in sizes]
  cell = max(map(len, [*heads, *(t for s in shown for t in s.values())]))
  many = max((_COLUMNS - width) // (cell + len(_GAP)), 1)
  yield overview.title(found)
  for i in range(0, len(sizes), many):
    part = sizes[i : i + many]
    yield ''
    yield _line(width, '', [h.rjust(cell) for h in heads[i : i + many]])
    for row, means in zip(rows, shown):
      cells = [means.get(n, '-').rjust(cell) for n in part]
      if not row.series:
        cells = []
      elif row.series.reference and not means:
        text = overview.mean(row.series.reference).rjust(cell)
        cells = [text, '(at any size)'] if i == 0 else []
      if cells or i == 0:
        yield _line(width, row.label, cells)


def _measured(row) -> list:
  return row.series.measured if row.series else []


def _laws(rows, width):
  """Yields what the fits say, a line a row."""
  fitted = [r.trend for r in rows if r.trend]
  if not any(t.tenfold for t in fitted):
    most = max(len(t.series.measured) for t in fitted)
    yield f'No fit: it takes {fit.MIN_SIZES} sizes, and there are {most}.'
    return
  titles = ('gain of ten times as many', _forecast_title(fitted))
  told = [_told(t) for t in fitted]
  columns = [max(map(len, column)) for column in zip(titles, *told)]
  width = min(width, _COLUMNS - sum(columns) - 2 * len(_GAP))
  yield 'What a line in log10(images) says, with 90% intervals'
  yield ''
  yield _line(width, '', [t.ljust(n) for t, n in zip(titles, columns)])
  for row in rows:
    pair = _told(row.trend) if row.trend else ()
    cells = [t.ljust(n) for t, n in zip(pair, columns)]
    yield _line(width, row.label, cells)
  yield from _notes(fitted)


def _told(trend):
  """Returns (gain of ten times the images, forecast or why there is none)."""
  if not trend.tenfold:
    few = len(trend.series.measured)
    return f'no fit: {few} of {fit.MIN_SIZES} sizes', ''
  gain = _estimate(trend.tenfold, '+')
  if not trend.forecast:
    return gain, _MAY_BE_FLAT
  mark = '' if _is_line(trend.forecast.law) else _OTHER_LAW
  if trend.forecast.metric.cut:
    mark += _CUT
  return gain, _estimate(trend.forecast.metric) + mark


def _forecast_title(fitted):
  ends = {t.end for t in fitted if t.forecast}
  if len(ends) == 1:
    return f'at {ends.pop():,.0f} images'
  return 'at ten times the largest' if ends else ''


def _estimate(estimate, sign=''):
  return '{:{s}.3f} ({:{s}.3f} to {:{s}.3f})'.format(
    estimate.value, estimate.low, estimate.high, s=sign
  )


def _is_line(law):
  return law == laws.LOG_LINEAR.name


def _notes(fitted: Iterable[trends.Trend]) -> Iterator[str]:
  forecasts = [t.forecast for t in fitted if t.forecast]
  others = {f.law for f in forecasts if not _is_line(f.law)}
  if others:
    yield f'{_OTHER_LAW} By the {" or the ".join(sorted(others))} instead.'
  bounds = sorted({b for f in forecasts for b in f.metric.cut})
  if bounds:
    told = ' and '.join(f'{b:g}' for b in bounds)
    yield f'{_CUT} Cut at {told}, a bound of the metric.'
  if any(f.law in f.passed for f in forecasts):
    yield 'A law that passes the bound by itself cannot hold so far.'
  if any(f.comparison.rivals for f in forecasts):
    yield 'Other laws are not ruled out; the report has what they say.'
  if any(t.comparison and t.one_seed for t in fitted):
    yield 'One seed: the intervals are from how far the sizes lie off the law.'


def _line(width, label, cells):
  label = _shortened(label, width if cells else _COLUMNS)
  return _GAP.join([label.ljust(width), *cells]).rstrip()


def _settings(panel):
  for series in panel.series:
    for cell in series.cells:
      place = '' if cell.place is None else panels.name(panel.axis, cell.place)
      words = ', '.join(w for w in (place, series.label) if w) or 'the run'
      value = tables.cell_text(panel, cell).split('\n')[0]
      room = _COLUMNS - 30
      words = _shortened(words, room)
      yield f'  {words:<{room}s}  {value:<16s} {_seeds(cell)}'.rstrip()


def _seeds(cell):
  if None in cell.by_seed:  # a row of results.csv may have no seed
    return '1 run'
  count = len(cell.values)
  return f'{count} seed{"" if count == 1 else "s"}' if count else ''


def _shortened(text, most):
  return text if len(text) <= most else f'{text[: most - 1]}…'
