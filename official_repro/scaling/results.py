"""results.csv, what the runs of a study hand to its report.

One row for each run and metric, those not run included, in the plan's order.
An empty cell is a missing value.
"""

import csv
import dataclasses
import os
import typing
from collections.abc import Iterable
from typing import Any, Optional

STATUSES = ('done', 'failed', 'not run', 'stale')
STAGES = ('data', 'pretrain', 'transfer', 'choice')


@dataclasses.dataclass(frozen=True)
class Row:
  """One metric of one run.

  Attributes:
    study: name of the study.
    stage: one of STAGES; choice: a run that only chooses a learning rate.
    task: pretraining, detection, segmentation, pose or classification.
    run_id: such as 'detection/images=1000,seed=0'.
    status: one of STATUSES. stale: made by another command than the spec's.
    metric: as in metrics.jsonl, such as 'AP50'.
    value: of the metric at the last step.
    step: optimizer steps of the run.
    examples_seen: examples of its training split, with repetitions.
    images: pre-training images, those of the checkpoint that a transfer run
      starts from.
    fraction: the same as a share of all, 0..1.
    epochs: of pre-training.
    vocabulary: labels of pre-training: all, leaves, parents or the name of a
      file.
    depth: layers of the ResNet.
    labels: of pre-training: filled or given.
    noise: share of wrong labels of pre-training, 0..1.
    duplicates: of pre-training: kept or removed.
    init: of a transfer run: pretrained, random or the name of a checkpoint.
    frozen: whether part of the trunk stays as it was in transfer.
    seed: of both stages, and of the part of the data that pre-training reads.
    learning_rate: None for the preset's.
    model_dir: folder of the run.
    command: what a user types to repeat it.
  """

  study: str
  stage: str
  task: str
  run_id: str
  status: str
  metric: str
  value: Optional[float] = None
  step: Optional[int] = None
  examples_seen: Optional[int] = None
  images: Optional[int] = None
  fraction: Optional[float] = None
  epochs: Optional[float] = None
  vocabulary: Optional[str] = None
  depth: Optional[int] = None
  labels: Optional[str] = None
  noise: Optional[float] = None
  duplicates: Optional[str] = None
  init: Optional[str] = None
  frozen: Optional[bool] = None
  seed: Optional[int] = None
  learning_rate: Optional[float] = None
  model_dir: str = ''
  command: str = ''


FIELDS = tuple(field.name for field in dataclasses.fields(Row))


def write_csv(path: str, rows: Iterable[Row]) -> None:
  """Writes rows to a file, which is whole at any time."""
  temporary = path + '.tmp'
  with open(temporary, 'w', encoding='utf-8', newline='') as f:
    writer = csv.writer(f, lineterminator='\n')
    writer.writerow(FIELDS)
    for row in rows:
      writer.writerow([_text(getattr(row, name)) for name in FIELDS])
  os.replace(temporary, path)


def read_csv(path: str) -> list[Row]:
  """Reads the rows of a results.csv.

  Args:
    path: file with a header line; columns in any order, others than a Row's
      are passed over.

  Raises:
    ValueError: it cannot be read, lacks a column, or a cell holds something
      else than its column.
  """
  try:
    with open(path, encoding='utf-8', newline='') as f:
      reader = csv.DictReader(f)
      lines = list(reader)
      header = reader.fieldnames or []
  except OSError as e:
    raise ValueError(
      f'Results file {path!r} cannot be read ({e.strerror}); '
      'python -m official_repro.study writes it.'
    ) from e
  absent = [name for name in FIELDS if name not in header]
  if absent:
    raise ValueError(
      f'Results file {path!r} lacks the column {absent[0]}; its header must '
      f'be {",".join(FIELDS)}.'
    )
  return [_row(line, f'{path!r}, row {i}') for i, line in enumerate(lines, 2)]


def _row(line, where):
  row = Row(**{name: _value(name, line[name], where) for name in FIELDS})
  if row.status not in STATUSES:
    raise ValueError(
      f'Results file {where}: status is {row.status!r}; known: '
      f'{", ".join(STATUSES)}.'
    )
  return row


def _text(value: Any) -> str:
  if value is None:
    return ''
  if isinstance(value, bool):
    return str(value).lower()
  # repr keeps every digit, so that a file read is the file written.
  return repr(value) if isinstance(value, float) else str(value)


def _value(name, text, where):
  kind = _TYPES[name]
  if not text:  # also None: the line was cut short
    return '' if kind is str and name not in _OPTIONAL else None
  try:
    return _PARSERS[kind](text)
  except (KeyError, ValueError) as e:
    raise ValueError(
      f'Results file {where}: column {name} wants {kind.__name__}, got '
      f'{text!r}.'
    ) from e


def _types():
  kinds, optional = {}, set()
  for name, hint in typing.get_type_hints(Row).items():
    known = [t for t in typing.get_args(hint) if t is not type(None)]
    kinds[name] = known[0] if known else hint
    if known:
      optional.add(name)
  return kinds, optional


_PARSERS = {
  str: str,
  int: int,
  float: float,
  bool: {'true': True, 'false': False}.__getitem__,
}
_TYPES, _OPTIONAL = _types()
