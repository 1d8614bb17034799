"""labels.tsv: the file form of a label space."""

import os
import pathlib
from collections.abc import Iterable

HEADER = ('id', 'name', 'parent_ids', 'weight')


def read_rows(path) -> list[tuple[int, str, list, float]]:
  """Returns (id, name, parent ids, weight) of each line, in file order.

  Args:
    path: tab-separated UTF-8 text under the line `id name parent_ids weight`;
      parent_ids are comma-separated, empty for a root.

  Raises:
    ValueError: a line breaks a rule; names file and line.
    FileNotFoundError: there is no such file.
  """
  try:
    with open(path, encoding='utf-8-sig') as f:
      lines = f.read().split('\n')
  except UnicodeDecodeError as e:
    raise ValueError(f'{path} is not UTF-8 text ({e.reason}).') from e
  while lines and not lines[-1]:
    lines.pop()
  if not lines or tuple(lines[0].split('\t')) != HEADER:
    raise ValueError(
      f'{path}, line 1: the header must be the tab-separated '
      f'{" ".join(HEADER)}, got {lines[0][:80] if lines else ""!r}.'
    )
  return [
    _parse_row(f'{path}, line {number}', line.split('\t'))
    for number, line in enumerate(lines[1:], start=2)
  ]


def write_rows(path, rows: Iterable[tuple]) -> None:
  """Writes (id, name, parent ids, weight) rows, the whole file or nothing."""
  temporary = pathlib.Path(f'{path}.tmp')
  try:
    with open(temporary, 'w', encoding='utf-8', newline='\n') as f:
      f.write('\t'.join(HEADER) + '\n')
      for label_id, name, parent_ids, weight in rows:
        parents = ','.join(map(str, parent_ids))
        f.write(f'{label_id}\t{name}\t{parents}\t{weight!s}\n')
    os.replace(temporary, path)
  except BaseException:
    temporary.unlink(missing_ok=True)
    raise


def _parse_row(where, columns):
  if len(columns) != len(HEADER):
    raise ValueError(
      f'{where}: {len(HEADER)} tab-separated columns expected, '
      f'got {len(columns)}.'
    )
  label_id, name, parents, weight = columns
  parent_ids = [
    _parse_int(where, 'parent id', p) for p in parents.split(',') if parents
  ]
  try:
    parsed_weight = float(weight)
  except ValueError:
    raise ValueError(f'{where}: weight {weight!r} is not a number.') from None
  return _parse_int(where, 'id', label_id), name, parent_ids, parsed_weight


def _parse_int(where, what, text):
  try:
    return int(text)
  except ValueError:
    raise ValueError(f'{where}: {what} {text!r} is not an integer.') from None
