"""Open Images as a source: image-level labels, classes and their hierarchy."""

import collections
import math
import pathlib
import sys
from collections.abc import Iterator, Mapping
from typing import Optional, Union

from official_repro.data import csv_table, manifest
from official_repro.data.label_spaces import open_images
from official_repro.data.sources import labelled, source

# Columns that are read; Source ("verification", "machine") is not.
_COLUMNS = ('ImageID', 'LabelName', 'Confidence')
DEFAULT_PATTERN = '{image_id}.jpg'
DEFAULT_MIN_CONFIDENCE = 0.5
_SORT = 'sort the rows by ImageID and give each image in one file only'


class OpenImagesSource:
  """The pictures of labels files, in the order of these files.

  Each file is read row by row, here and in `items`; 8 bytes an image stay in
  memory while it is checked. The labels of an image are the rows that reach
  `min_confidence`, one per class, with the largest confidence. A row of
  confidence 0 says that people found the class absent: it takes the class
  away, unless another row of the image is sure of it (1). Images without any
  label left are left out, and their number is told on stderr.

  Args:
    labels: image-level labels CSV (ImageID, Source, LabelName, Confidence;
      the rows of an image together), or {split: CSV}.
    image_root: folder of the images; None: that of the (first) labels file.
    hierarchy: hierarchy JSON, in either form of `data.open_images`, or None.
    descriptions: class descriptions CSV, or None; one of the two is needed.
    min_confidence: in (0, 1].
    pattern: path of an image below the root, with {image_id} and {split}.
    eval_fraction: for one labels file: share that goes to `validation` by a
      hash of the image id; None: 0.1.

  Raises:
    FileNotFoundError: no such file or image root.
    ValueError: a column or value is wrong, or the rows of an image are not
      together; names file and line.
  """

  name = 'open_images'
  has_objects = False

  def __init__(
    self,
    labels: Union[str, pathlib.Path, Mapping],
    image_root=None,
    *,
    hierarchy=None,
    descriptions=None,
    min_confidence: float = DEFAULT_MIN_CONFIDENCE,
    pattern: str = DEFAULT_PATTERN,
    eval_fraction: Optional[float] = None,
  ):
    self._files, self._fraction = _files(labels, eval_fraction)
    root = labelled.checked_root(image_root or self._files[0][1].parent)
    if not 0 < min_confidence <= 1:
      raise ValueError(
        f'--min_confidence must be in (0, 1], got {min_confidence}.'
      )
    if '{image_id}' not in pattern:
      raise ValueError(
        f'--image_pattern={pattern} must hold {{image_id}}, such as '
        f'{DEFAULT_PATTERN}.'
      )
    self._least = min_confidence
    self._pattern = pattern.replace('{image_id}', '{source_id}')
    self._space = open_images.load_label_space(hierarchy, descriptions)
    self.hierarchy = self._space.hierarchy
    self.sizes = self._count()
    self.options = {
      'labels': {
        split or 'all': manifest.sha256_of_file(path)
        for split, path in self._files
      },
      'min_confidence': min_confidence,
      'pattern': pattern,
      'eval_fraction': self._fraction,
    }
    self.reader = labelled.file_reader(root, self._pattern)

  def items(self) -> Iterator[source.Item]:
    """Yields the images that have a label, in the order of the files."""
    return (item for _, item in self._all() if item.payload[0])

  def _all(self):
    """Yields (where, item) of every image, those without a label too."""
    for split, path in self._files:
      for where, image_id, rows in _images(path, self._space):
        payload = _labels(rows, self._least)
        its_split = split or labelled.split_of(image_id, self._fraction)
        yield where, source.Item(its_split, image_id, payload)

  def _starts(self):
    """Yields ((file, line), image id) where the rows of an image begin."""
    for _, path in self._files:
      last = None
      for line, fields, (image_at, _, _) in _rows(path):
        image_id = fields[image_at].strip()
        if image_id != last:
          yield (path, line), image_id
        last = image_id

  def _count(self):
    """Checks all rows and returns {split: number of images}."""
    sizes = collections.Counter()
    without = 0
    for where, item in self._all():
      source.check_relative(labelled.path_of(self._pattern, item), where)
      if item.payload[0]:
        sizes[item.split] += 1
      else:
        without += 1
    files = ', '.join(str(path) for _, path in self._files)
    if not sizes:
      raise ValueError(
        f'{files}: no image has a label of at least {self._least} confidence.'
      )
    labelled.check_unique(self._starts, _SORT)
    if without:
      print(
        f'{files}: {without:,} image(s) without a label of at least '
        f'{self._least} confidence left out.',
        file=sys.stderr,
      )
    return {split: sizes[split] for split in sorted(sizes)}


def _files(labels, eval_fraction):
  """Returns ([(split or None, path)], eval_fraction or None)."""
  if not isinstance(labels, Mapping):
    fraction = labelled.checked_fraction(eval_fraction)
    return [(None, pathlib.Path(labels))], fraction
  if not labels:
    raise ValueError('No labels file given.')
  if eval_fraction is not None:
    raise ValueError(
      f'The labels files are given by split ({", ".join(labels)}): leave '
      f'--eval_fraction={eval_fraction} out.'
    )
  files = [
    (manifest.check_split_name(split), pathlib.Path(path))
    for split, path in labels.items()
  ]
  return files, None


def _images(path, space):
  """Yields (where it begins, image id, [(label id, confidence)]), checked."""
  image_id, where, found = None, None, []
  for line, fields, columns in _rows(path):
    here = f'{path}, line {line}'
    row_image, label, confidence = (fields[i].strip() for i in columns)
    if not row_image:
      raise ValueError(f'{here}: the ImageID is empty.')
    if row_image != image_id:
      if image_id is not None:
        yield where, image_id, found
      image_id, where, found = row_image, here, []
    try:
      label_id = space.index(label)
    except ValueError as e:
      raise ValueError(f'{here}: {e}') from e
    found.append((label_id, _confidence(here, confidence)))
  if image_id is not None:
    yield where, image_id, found


def _rows(path):
  """Yields (line, fields, where in the fields _COLUMNS are)."""
  rows = csv_table.read_rows(path)
  _, header = next(rows, (1, []))
  header = [name.strip() for name in header]
  if not set(_COLUMNS) <= set(header):
    raise ValueError(
      f'{path}, line 1: the header must name {", ".join(_COLUMNS)}, got '
      f'{",".join(header)[:80]!r}.'
    )
  columns = tuple(map(header.index, _COLUMNS))
  for line, fields in rows:
    if fields and len(fields) != len(header):
      raise ValueError(
        f'{path}, line {line}: {len(header)} columns expected, got '
        f'{len(fields)}.'
      )
    if fields:
      yield line, fields, columns


def _confidence(where, text):
  try:
    value = float(text)
  except ValueError:
    value = math.nan
  if not 0 <= value <= 1:
    raise ValueError(f'{where}: Confidence {text!r} is no number from 0 to 1.')
  return value


def _labels(rows, least):
  """Returns (label ids, confidence) that count, of all rows of an image."""
  denied = {label_id for label_id, confidence in rows if confidence == 0}
  kept = [
    (label_id, confidence)
    for label_id, confidence in rows
    if confidence >= least and (label_id not in denied or confidence == 1)
  ]
  return labelled.merge_labels(
    [label_id for label_id, _ in kept], [c for _, c in kept]
  )
