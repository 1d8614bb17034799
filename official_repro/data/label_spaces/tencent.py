"""The label space and label lists of Tencent ML-Images.

11,166 categories with WordNet ids, the public hierarchy closest to that of
JFT-300M, and lists of images with several labels each
(github.com/Tencent/tencent-ml-images: dictionary_and_semantic_hierarchy.txt,
train_im_list_tiny.txt, train_urls_tiny.txt).
"""

import collections
import dataclasses
from collections.abc import Iterator

from official_repro.data import hierarchy as hierarchy_lib

_HEADER = (
  'category_index',
  'category_id',
  'index_of_parent_category',
  'category name',
)
_NO_PARENT = -1


@dataclasses.dataclass(frozen=True)
class Annotation:
  """One line of a list.

  Attributes:
    name: file name or URL of the image.
    label_ids: category indices, in the order of the line.
    confidence: float from 0 to 1 per label.
    line: its number in the file, from 1.
  """

  name: str
  label_ids: tuple
  confidence: tuple
  line: int = dataclasses.field(default=0, compare=False)


def load_dictionary(path) -> hierarchy_lib.Hierarchy:
  """Reads dictionary_and_semantic_hierarchy.txt; all weights are 1.

  A name that several categories share ("water") is followed by the category's
  WordNet id, so that every name leads to one category. Write labels.tsv with
  `load_dictionary(path).save('labels.tsv')`.

  Raises:
    ValueError: a line or the hierarchy breaks a rule; names it.
  """
  rows = list(_read_dictionary(path))
  count = collections.Counter(name for _, _, _, name in rows)
  try:
    return hierarchy_lib.Hierarchy(
      [index for index, _, _, _ in rows],
      [f'{n} ({w})' if count[n] > 1 else n for _, w, _, n in rows],
      [() if p == _NO_PARENT else (p,) for _, _, p, _ in rows],
      [1.0] * len(rows),
    )
  except ValueError as e:
    raise ValueError(f'{path}: {e}') from e


def load_wordnet_ids(path) -> list[str]:
  """Returns the WordNet id ("n00002452") of each category, in id order.

  The 1,000 ids of ImageNet's classes are among them.
  """
  rows = sorted(_read_dictionary(path))
  return [wordnet_id for _, wordnet_id, _, _ in rows]


def read_annotations(path, num_classes: int) -> Iterator[Annotation]:
  """Yields the lines `name index:confidence index:confidence ...` of a list.

  Args:
    path: tab-separated text; empty lines are passed over.
    num_classes: of the dictionary that the indices point into.

  Raises:
    ValueError: a field is not index:confidence, an index is outside the
      dictionary or a confidence outside 0..1; names file and line.
  """
  for number, line in _read_lines(path):
    name, *fields = line.split('\t')
    if not name and not fields:
      continue
    where = f'{path}, line {number}'
    pairs = [_parse_pair(where, field, num_classes) for field in fields]
    label_ids, confidence = zip(*pairs) if pairs else ((), ())
    yield Annotation(name, label_ids, confidence, number)


def _read_lines(path):
  """Yields (number from 1, line without its end)."""
  number = 0
  try:
    with open(path, encoding='utf-8-sig') as f:
      for number, line in enumerate(f, start=1):
        yield number, line.rstrip('\r\n')
  except UnicodeDecodeError as e:
    raise ValueError(
      f'{path} is not UTF-8 text ({e.reason}), somewhere after line {number}.'
    ) from e


def _read_dictionary(path):
  """Yields (index, WordNet id, parent index, name)."""
  lines = _read_lines(path)
  _, header = next(lines, (1, ''))
  if tuple(header.split('\t')) != _HEADER:
    raise ValueError(
      f'{path}, line 1: the header must be {" | ".join(_HEADER)}, got '
      f'{header[:80]!r}.'
    )
  for number, line in lines:
    try:
      index, wordnet_id, parent, name = line.split('\t')
      yield int(index), wordnet_id, int(parent), name
    except ValueError as e:
      raise ValueError(
        f'{path}, line {number}: index, WordNet id, parent index and name '
        f'expected, got {line[:80]!r}.'
      ) from e


def _parse_pair(where, field, num_classes):
  index, _, confidence = field.partition(':')
  try:
    label_id, value = int(index), float(confidence)
  except ValueError:
    raise ValueError(
      f'{where}: {field!r} is not index:confidence, such as 17:0.9.'
    ) from None
  if not 0 <= label_id < num_classes:
    raise ValueError(
      f'{where}: label id {label_id} is outside the range 0..{num_classes - 1}.'
    )
  if not 0 <= value <= 1:
    raise ValueError(f'{where}: confidence {confidence} is outside 0..1.')
  return label_id, value
