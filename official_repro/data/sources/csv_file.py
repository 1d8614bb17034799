"""A table of image files and their labels as a source.

Columns, in any order, named in the first line:
  image: path of the file, relative to the image root; unique.
  labels: label names, or else label_ids: ids; separated by ';'.
  confidence: optional, 0..1, one per label, separated by ';'.
  split: optional.
"""

import collections
import math
import pathlib
import sys
from collections.abc import Iterator
from typing import NamedTuple, Optional

from official_repro.data import csv_table, manifest
from official_repro.data import hierarchy as hierarchy_lib
from official_repro.data.sources import labelled, source

COLUMNS = ('image', 'labels', 'label_ids', 'confidence', 'split')
SEPARATOR = ';'
# A flat label space by id has every id up to the largest one.
_MAX_FLAT_ID = 1_000_000
_MAX_DIGITS = 18


class _Row(NamedTuple):
  where: str
  image: str
  labels: list
  confidence: Optional[list]
  split: Optional[str]


class CsvSource:
  """The pictures that a CSV file lists, in the order of its rows.

  The file is read row by row: here, to check and count it, and again for each
  call of `items`. What stays in memory are 8 bytes a row while it is
  checked, and the label space.

  Args:
    path: the CSV file, UTF-8.
    labels: labels.tsv. Without it the names in the table, in alphabetical
      order, make a flat label space (or the ids up to the largest do).
    image_root: folder of the images; None: the CSV file's.
    eval_fraction: share of the images that go to `validation`, chosen by a
      hash of the path, so that an image stays where it is when others come or
      go. None: 0.1, or the column `split` where there is one.

  Raises:
    FileNotFoundError: no such CSV file, labels.tsv or image root.
    ValueError: a column or value is wrong; names file and line.
  """

  has_objects = False

  def __init__(
    self,
    path,
    labels=None,
    image_root=None,
    eval_fraction: Optional[float] = None,
  ):
    self._path = pathlib.Path(path)
    root = labelled.checked_root(image_root or self._path.parent)
    self._header = _read_header(self._path)
    self._fraction = self._checked_fraction(eval_fraction)
    self.name = self._path.stem
    if labels:
      self.hierarchy = hierarchy_lib.Hierarchy.load(labels)
      self.sizes, _ = self._scan(self._ids)
    else:
      self.sizes, found = self._scan(_flat_labels)
      self.hierarchy = _flat_space(self._path, found)
    self._check_unique()
    self.options = {
      'csv': self._path.name,
      'csv_sha256': manifest.sha256_of_file(self._path),
      'eval_fraction': self._fraction,
    }
    self.reader = labelled.file_reader(root)

  def items(self) -> Iterator[source.Item]:
    """Yields the images in the order of the table.

    Raises:
      ValueError: the table was changed meanwhile, and is wrong.
    """
    return (self._item(row) for row in _rows(self._path, self._header))

  def _item(self, row):
    payload = labelled.merge_labels(self._ids(row), row.confidence)
    return source.Item(self._split(row), row.image, payload)

  def _split(self, row):
    return row.split or labelled.split_of(row.image, self._fraction)

  def _ids(self, row):
    """Returns the label ids of a row."""
    try:
      if 'label_ids' in self._header:
        return [_checked_id(self.hierarchy, i) for i in row.labels]
      return list(map(self.hierarchy.index, row.labels))
    except ValueError as e:
      raise ValueError(f'{row.where}: {e}') from e

  def _checked_fraction(self, fraction):
    if 'split' not in self._header:
      return labelled.checked_fraction(fraction)
    if fraction is not None:
      raise ValueError(
        f'{self._path} has a column split: leave '
        f'--eval_fraction={fraction} out.'
      )
    return None

  def _scan(self, labels_of):
    """Checks all rows; returns ({split: images}, set of `labels_of(row)`)."""
    sizes, labels = collections.Counter(), set()
    for row in _rows(self._path, self._header):
      labels.update(labels_of(row))
      sizes[self._split(row)] += 1
    if not sizes:
      raise ValueError(f'{self._path} lists no image.')
    return {split: sizes[split] for split in sorted(sizes)}, labels

  def _check_unique(self):
    column = self._header.index('image')

    def images():
      rows = csv_table.read_rows(self._path)
      next(rows)
      for line, fields in rows:
        if fields:
          yield (self._path, line), fields[column].strip()

    labelled.check_unique(
      images, f'give all its labels in one line, separated by {SEPARATOR!r}'
    )


def _read_header(path):
  """Returns the column names; reports those that mean nothing."""
  _, header = next(csv_table.read_rows(path), (1, []))
  header = [name.strip() for name in header]
  if len(set(header)) != len(header):
    raise ValueError(f'{path}, line 1: a column name occurs twice.')
  if 'image' not in header or ('labels' in header) == ('label_ids' in header):
    raise ValueError(
      f'{path}, line 1: the header must name the column image and one of '
      f'labels (names) and label_ids (numbers), got {",".join(header)!r}.'
    )
  unknown = [c for c in header if c not in COLUMNS]
  if unknown:
    print(f'{path}: column(s) not used: {", ".join(unknown)}', file=sys.stderr)
  return header


def _rows(path, header):
  """Yields the checked rows."""
  rows = csv_table.read_rows(path)
  next(rows, None)
  for line, fields in rows:
    if fields:
      yield _parse_row(f'{path}, line {line}', header, fields)


def _parse_row(where, header, fields):
  if len(fields) != len(header):
    raise ValueError(
      f'{where}: {len(header)} columns expected, got {len(fields)}.'
    )
  row = {name: field.strip() for name, field in zip(header, fields)}
  image = row['image']
  if not image:
    raise ValueError(f'{where}: the image path is empty.')
  source.check_relative(image, where)
  uses_ids = 'label_ids' in row
  labels = _split_field(row['label_ids' if uses_ids else 'labels'])
  if not labels:
    raise ValueError(f'{where}: image {image!r} has no label.')
  if uses_ids:
    labels = [_parse_id(where, label) for label in labels]
  split = row.get('split')
  if split is not None:
    try:
      manifest.check_split_name(split)
    except ValueError as e:
      raise ValueError(f'{where}: {e}') from e
  confidence = _parse_confidence(where, row.get('confidence'), len(labels))
  return _Row(where, image, labels, confidence, split)


def _parse_id(where, text):
  if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
    raise ValueError(
      f'{where}: label id {text[:40]!r} is no number from 0 on; names belong '
      'into a column called labels.'
    )
  return int(text)


def _parse_confidence(where, text, num_labels):
  if text is None:
    return None
  values = _split_field(text)
  if len(values) != num_labels:
    raise ValueError(
      f'{where}: {num_labels} label(s), but {len(values)} confidence value(s).'
    )
  return [_parse_probability(where, value) for value in values]


def _parse_probability(where, text):
  try:
    value = float(text)
  except ValueError:
    value = math.nan
  if not 0 <= value <= 1:
    raise ValueError(f'{where}: confidence {text!r} is no number from 0 to 1.')
  return value


def _split_field(text):
  return [part.strip() for part in text.split(SEPARATOR) if part.strip()]


def _flat_labels(row):
  """Returns the labels of a row for a flat space, names or ids."""
  for label in row.labels:
    if isinstance(label, int) and label > _MAX_FLAT_ID:
      raise ValueError(
        f'{row.where}: label id {label} is above {_MAX_FLAT_ID:,}, the '
        'largest without a label space: give --labels.'
      )
  return row.labels


def _flat_space(path, found):
  """Returns the label space of the labels that the table has."""
  by_id = all(isinstance(label, int) for label in found)
  names = list(map(str, range(max(found) + 1))) if by_id else sorted(found)
  print(
    f'No --labels given: {path} makes a flat label space of {len(names)} '
    f'categories, {"by id" if by_id else "in alphabetical order"}.',
    file=sys.stderr,
  )
  return hierarchy_lib.Hierarchy.flat(names)


def _checked_id(hierarchy, label_id):
  if label_id >= hierarchy.num_classes:
    raise ValueError(
      f'Label id {label_id} is outside the range '
      f'0..{hierarchy.num_classes - 1}.'
    )
  return label_id
