"""What candidates are confirmed by: thumbnails or features, from files."""

import functools
import pathlib
from collections.abc import Sequence
from typing import Callable, Optional

import numpy as np

from official_repro.data.dedup import confirm, parts
from official_repro.data.dedup.grouping import CONFIRMED

# Takes a list of JPEG or PNG files, returns float32 [N, F]; picklable.
Features = Callable[[list], np.ndarray]
_BATCH = 64


def make_looks(
  part: parts.Part, folder, features: Optional[Features], add
) -> list:
  """Writes the looks of the pictures of a part that are in candidate pairs.

  Args:
    part: the shard; the file `needed` tells the numbers of the pictures.
    folder: for the file `looks`, uint8 [N, 64, 64, 3] or float32 [N, F].
    features: None: thumbnails.
    add: takes the numbers for the progress line.

  Returns:
    [index of the part, number of pictures].
  """
  numbers = np.load(parts.file_of(folder, 'needed', part.index))
  found, encoded = [], []
  for example in parts.read_pictures(part, numbers):
    if example is None:
      raise ValueError(
        f'{part.shard.path} changed while it was read: start again.'
      )
    encoded.append(example.encoded)
    if len(encoded) == _BATCH:
      found.append(_look(encoded, features))
      add(len(encoded))
      encoded = []
  if encoded:
    found.append(_look(encoded, features))
    add(len(encoded))
  parts.save(parts.file_of(folder, 'looks', part.index), np.concatenate(found))
  return [part.index, len(numbers)]


def score_pairs(
  task: Sequence, folder, part_firsts: Sequence, min_score: float, add
) -> list:
  """Scores candidates and writes those that are confirmed.

  Args:
    task: (path of a file of banding.PAIR, first row, end).
    folder: with the files of `make_looks`; for the result.
    part_firsts: number of the first picture of each part.
    min_score: from which a pair is confirmed.
    add: takes the numbers for the progress line.

  Returns:
    [path of a file of CONFIRMED, its rows].
  """
  path, start, end = task
  pairs = np.load(path, mmap_mode='r')[start:end]
  result = np.empty(len(pairs), CONFIRMED)
  for name in pairs.dtype.names:
    result[name] = pairs[name]
  find = functools.partial(_find, str(folder), tuple(part_firsts))
  for i, pair in enumerate(pairs):
    first, second = find(int(pair['first'])), find(int(pair['second']))
    result['score'][i] = _score(first, second, int(pair['view']))
    if (i + 1) % _BATCH == 0:
      add(_BATCH)
  add(len(pairs) % _BATCH)
  result = result[result['score'] >= min_score]
  path = pathlib.Path(folder) / f'scored-{pathlib.Path(path).stem}-{start}.npy'
  parts.save(path, result)
  return [str(path), len(result)]


def _look(encoded, features):
  if features is not None:
    return features(encoded)
  return np.stack([confirm.thumbnail(e) for e in encoded])


def _score(first, second, view):
  if first.ndim == 1:
    return confirm.cosine(first, second)
  return confirm.pixel_score(first, second, view)


def _find(folder, part_firsts, number):
  """Returns the look of a picture."""
  part = int(np.searchsorted(part_firsts, number, 'right')) - 1
  numbers, looks = _files(folder, part)
  return looks[np.searchsorted(numbers, number)]


@functools.lru_cache(maxsize=256)
def _files(folder, part):
  return tuple(
    np.load(parts.file_of(folder, kind, part), mmap_mode='r')
    for kind in ('needed', 'looks')
  )
