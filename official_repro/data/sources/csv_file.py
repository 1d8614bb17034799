"""A table of image files and their labels as a source.

Columns, in any order, named in the first line:
  image: path of the file, relative to the image root; unique.
  labels: label names, or else label_ids: ids; separated by ';'.
  confidence: optional, 0..1, one per label, separated by ';'.
  split: optional.
"""

import csv
import dataclasses
import functools
import hashlib
import math
import pathlib
import sys
from collections.abc import Generator
from typing import Optional, Union

from official_repro.data import examples, image_files, manifest, parallel
from official_repro.data import hierarchy as hierarchy_lib
from official_repro.data.sources import source

COLUMNS = ('image', 'labels', 'label_ids', 'confidence', 'split')
SEPARATOR = ';'
DEFAULT_EVAL_FRACTION = 0.1


@dataclasses.dataclass(frozen=True)
class _Row:
  where: str
  image: str
  labels: tuple
  confidence: Optional[tuple]
  split: Optional[str]


class CsvSource:
  """The pictures that a CSV file lists.

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

  def __init__(
    self,
    path,
    labels=None,
    image_root=None,
    eval_fraction: Optional[float] = None,
  ):
    path = pathlib.Path(path)
    self._root = pathlib.Path(image_root) if image_root else path.parent
    if not self._root.is_dir():
      raise FileNotFoundError(f'There is no image root {self._root}.')
    rows, uses_ids = _read_table(path)
    self.name = path.stem
    if labels:
      self.hierarchy = hierarchy_lib.Hierarchy.load(labels)
    else:
      self.hierarchy = _flat_space(path, rows, uses_ids)
    in_table = rows[0].split is not None
    fraction = _checked_fraction(path, eval_fraction, in_table)
    self.options = {'csv': path.name, 'eval_fraction': fraction}
    to_id = (
      functools.partial(_checked_id, self.hierarchy.num_classes)
      if uses_ids
      else self.hierarchy.index
    )
    self._items = {}
    for row in rows:
      split = row.split or _split_of(row.image, fraction)
      self._items.setdefault(split, []).append(_item(row, to_id))
    self.sizes = {s: len(self._items[s]) for s in sorted(self._items)}

  def iterate(
    self, split: str, processes: int = 1
  ) -> Generator[Union[examples.Example, source.BadRecord], None, None]:
    """Yields the images in the order of the table."""
    read = functools.partial(_read_image, self._root)
    return parallel.ordered_map(read, self._items[split], processes)


def _read_image(root, item):
  """Returns the Example of (path, label ids, confidence), or a BadRecord."""
  path, label_ids, confidence = item
  try:
    image = image_files.usable_image((root / path).read_bytes())
  except image_files.BadImageError as e:
    return source.BadRecord(path, str(e))
  except OSError as e:
    return source.BadRecord(path, (e.strerror or str(e)).lower())
  return examples.Example(
    encoded=image.encoded,
    height=image.height,
    width=image.width,
    source_id=path,
    label_ids=list(label_ids),
    confidence=None if confidence is None else list(confidence),
  )


def _read_table(path):
  """Returns (rows, whether labels are ids)."""
  try:
    with open(path, encoding='utf-8-sig', newline='') as f:
      reader = csv.reader(f, strict=True)
      header = next(reader, [])
      uses_ids = _check_header(path, header)
      rows = [
        _parse_row(f'{path}, line {reader.line_num}', header, fields, uses_ids)
        for fields in reader
        if fields
      ]
  except UnicodeDecodeError as e:
    raise ValueError(f'{path} is not UTF-8 text ({e.reason}).') from e
  except csv.Error as e:
    raise ValueError(f'{path}, line {reader.line_num}: {e}.') from e
  if not rows:
    raise ValueError(f'{path} lists no image.')
  first = {}
  for row in rows:
    if row.image in first:
      raise ValueError(
        f'{row.where}: image {row.image!r} was listed before ('
        f'{first[row.image]}); give all its labels in one line, separated by '
        f'{SEPARATOR!r}.'
      )
    first[row.image] = row.where.split(', ')[-1]
  return rows, uses_ids


def _check_header(path, header):
  """Returns whether the labels are ids; reports columns that mean nothing."""
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
  return 'label_ids' in header


def _parse_row(where, header, fields, uses_ids):
  if len(fields) != len(header):
    raise ValueError(
      f'{where}: {len(header)} columns expected, got {len(fields)}.'
    )
  row = {name: field.strip() for name, field in zip(header, fields)}
  if not row['image']:
    raise ValueError(f'{where}: the image path is empty.')
  labels = _split_field(row['label_ids' if uses_ids else 'labels'])
  if not labels:
    raise ValueError(f'{where}: image {row["image"]!r} has no label.')
  if uses_ids:
    labels = [_parse_id(where, label) for label in labels]
  split = row.get('split')
  if split is not None:
    try:
      manifest.check_split_name(split)
    except ValueError as e:
      raise ValueError(f'{where}: {e}') from e
  return _Row(
    where,
    row['image'],
    tuple(labels),
    _parse_confidence(where, row.get('confidence'), len(labels)),
    split,
  )


def _parse_id(where, text):
  if not (text.isascii() and text.isdigit()):
    raise ValueError(
      f'{where}: label id {text!r} is no number from 0 on; names belong into '
      'a column called labels.'
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
  return tuple(_parse_probability(where, value) for value in values)


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


def _flat_space(path, rows, uses_ids):
  found = {label for row in rows for label in row.labels}
  names = list(map(str, range(max(found) + 1))) if uses_ids else sorted(found)
  print(
    f'No --labels given: {path} makes a flat label space of {len(names)} '
    f'categories, {"by id" if uses_ids else "in alphabetical order"}.',
    file=sys.stderr,
  )
  return hierarchy_lib.Hierarchy.flat(names)


def _checked_fraction(path, fraction, in_table):
  if in_table:
    if fraction is not None:
      raise ValueError(
        f'{path} has a column split: leave --eval_fraction={fraction} out.'
      )
    return None
  fraction = DEFAULT_EVAL_FRACTION if fraction is None else fraction
  if not 0 <= fraction < 1:
    raise ValueError(f'--eval_fraction must be in [0, 1), got {fraction}.')
  return fraction


def _split_of(image, fraction):
  digest = hashlib.blake2b(image.encode('utf-8'), digest_size=8).digest()
  share = int.from_bytes(digest, 'big') / 2**64
  return 'validation' if share < fraction else 'train'


def _item(row, to_id):
  """Returns (path, ids, confidence); of a repeated label the surer counts."""
  confidence = {}
  given = row.confidence or (1.0,) * len(row.labels)
  for label, value in zip(row.labels, given):
    try:
      label_id = to_id(label)
    except ValueError as e:
      raise ValueError(f'{row.where}: {e}') from e
    confidence[label_id] = max(value, confidence.get(label_id, 0.0))
  values = tuple(confidence.values()) if row.confidence is not None else None
  return row.image, tuple(confidence), values


def _checked_id(num_classes, label_id):
  if label_id >= num_classes:
    raise ValueError(
      f'Label id {label_id} is outside the range 0..{num_classes - 1}.'
    )
  return label_id
