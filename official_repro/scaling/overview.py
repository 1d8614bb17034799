"""The numbers of a study by images in one table: task and metric by size."""

from collections.abc import Sequence
from typing import Optional

from official_repro.data.audit.tables import Table
from official_repro.scaling import panels

SIZES = 'images'
_ANY_SIZE = 'at any size'  # from scratch there are no pre-training images
_UNKNOWN = '-'


def is_by_size(panel: panels.Panel) -> bool:
  """Whether a panel has more than one number of images."""
  places = {c.place for s in panel.series for c in s.measured}
  return panel.axis == SIZES and len(places) > 1


def has_all(panel: panels.Panel) -> bool:
  """Whether the table says all of a panel: one series, one seed each."""
  cells = [c for s in panel.series for c in s.cells]
  alone = all(len(c.values) == 1 and not c.missing for c in cells)
  return is_by_size(panel) and len(panel.series) == 1 and alone


def table(found: Sequence[panels.Panel]) -> Optional[Table]:
  """Returns the means over seeds, each with half the range of its seeds.

  Args:
    found: panels of one study.

  Returns:
    A row for each panel, or each of its series, and a column for each size;
    None where no panel is by size.
  """
  found = [p for p in found if is_by_size(p)]
  if not found:
    return None
  rows = [(p, s) for p in found for s in p.series]
  sizes = sorted({c.place for _, s in rows for c in s.measured})
  heads = [panels.short(SIZES, n) for n in sizes]
  if any(s.reference for _, s in rows):
    sizes, heads = [*sizes, None], [*heads, _ANY_SIZE]
  lines = [_line(panel, series, sizes) for panel, series in rows]
  return Table(('task, metric', *heads), lines, f'{title(found)}.')


def title(found: Sequence[panels.Panel]) -> str:
  """Returns what the numbers of panels by size are."""
  counts = {len(c.values) for p in found for s in p.series for c in s.measured}
  few, many = min(counts), max(counts)
  if many == 1:
    return 'By pre-training images, 1 seed'
  seeds = f'{few} to {many}' if few < many else str(many)
  return f'By pre-training images, mean of {seeds} seeds ± half their range'


def mean(cell: panels.Cell) -> str:
  """Returns the mean of a cell with half the range of its seeds."""
  text = f'{cell.mean:.3f}'
  if len(cell.values) < 2:
    return text
  return f'{text}±{(max(cell.values) - min(cell.values)) / 2:.3f}'


def _line(panel, series, sizes):
  means = {c.place: mean(c) for c in series.cells if c.by_seed}
  label = '\n'.join(filter(None, [panel.name, series.label]))
  return (label, *(means.get(n, _UNKNOWN) for n in sizes))
