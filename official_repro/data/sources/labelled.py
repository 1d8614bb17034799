"""What the sources of image files with image labels have in common."""

import functools
import hashlib
import pathlib
from collections.abc import Iterable, Iterator
from typing import Callable, Optional, Union

from official_repro.data import examples, image_files, unique
from official_repro.data.sources import source

DEFAULT_EVAL_FRACTION = 0.1
TRAIN, EVAL = 'train', 'validation'


def checked_root(root) -> pathlib.Path:
  """Returns the folder of the images; FileNotFoundError if it is none."""
  root = pathlib.Path(root)
  if not root.is_dir():
    raise FileNotFoundError(f'There is no image root {root}.')
  return root


def file_reader(root, pattern: str = '{source_id}') -> source.Reader:
  """Returns a reader of items whose payload is (label ids, confidence).

  Args:
    root: folder of the images.
    pattern: path below it, with `{source_id}` and `{split}` filled in.
  """
  return functools.partial(read_file, str(root), pattern)


def read_file(
  root: str, pattern: str, item: source.Item
) -> Union[examples.Example, source.BadRecord]:
  """Returns the Example of an item, its picture as it is in the file."""
  try:
    encoded = source.read_image_file(root, path_of(pattern, item))
  except image_files.BadImageError as e:
    return source.BadRecord(item.source_id, str(e))
  label_ids, confidence = item.payload
  return examples.Example(
    encoded=encoded,
    height=0,
    width=0,
    source_id=item.source_id,
    label_ids=list(label_ids),
    confidence=None if confidence is None else list(confidence),
  )


def path_of(pattern: str, item: source.Item) -> str:
  """Returns the path of an item's picture below the image root."""
  # Not str.format: a source id may hold braces.
  path = pattern.replace('{split}', item.split)
  return path.replace('{source_id}', item.source_id)


def checked_fraction(fraction: Optional[float]) -> float:
  """Returns the share of the images for evaluation; None means 0.1.

  Raises:
    ValueError: it is not in [0, 1).
  """
  fraction = DEFAULT_EVAL_FRACTION if fraction is None else fraction
  if not 0 <= fraction < 1:
    raise ValueError(f'--eval_fraction must be in [0, 1), got {fraction}.')
  return fraction


def split_of(path: str, fraction: float) -> str:
  """Returns the split of an image, chosen by a hash of its path.

  An image stays where it is when others come or go, and a larger fraction
  moves images to `validation` only.
  """
  data = path.encode('utf-8', 'surrogatepass')
  digest = hashlib.blake2b(data, digest_size=8).digest()
  share = int.from_bytes(digest, 'big') / 2**64
  return EVAL if share < fraction else TRAIN


def merge_labels(
  label_ids: Iterable[int], confidence: Optional[Iterable[float]]
) -> tuple:
  """Returns (label ids, confidence), each label once, in the order given.

  Of a label that is given twice the surer one counts.
  """
  if confidence is None:
    return tuple(dict.fromkeys(label_ids)), None
  best = {}
  for label_id, value in zip(label_ids, confidence):
    best[label_id] = max(value, best.get(label_id, 0.0))
  return tuple(best), tuple(best.values())


def check_unique(rows: Callable[[], Iterator[tuple]], advice: str) -> None:
  """Checks that no image is listed twice.

  Args:
    rows: called up to three times; yields ((file, line number), image name).
    advice: what to do about it.

  Raises:
    ValueError: an image is; names both places.
  """
  found = unique.first_duplicate(lambda: (name for _, name in rows()))
  if found is None:
    return
  *positions, name = found
  first, second = (
    f'{file}, line {line}'
    for i, ((file, line), _) in enumerate(rows())
    if i in positions
  )
  raise ValueError(
    f'{second}: image {name!r} was listed before ({first}); {advice}.'
  )
