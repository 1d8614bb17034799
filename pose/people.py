"""Who is on the pictures of a split: read once, before training or evaluation.

One pass over the shards finds all boxes and joints, without decoding a picture.
It says what the examples of an epoch are (a person is one, see data.parts),
and what an evaluation compares with.
"""

import functools
import os
import sys
import time
import zipfile
from typing import NamedTuple, Optional

import numpy as np
import tensorflow as tf

from official_repro.data import manifest, parts, reading
from pose import record_parser

# A person with a box smaller than this, in pixels, cannot be cut out.
LEAST_SIDE = 1.0
_REPORT_EVERY = 10.0  # seconds


PERSON = 'person'
_FIELDS = ('numbers', 'boxes', 'joints', 'is_crowd', 'area')


class People(NamedTuple):
  """The annotated people of a split, in file order.

  P pictures with N people in all; those of picture p are
  starts[p] : starts[p + 1]. Damaged records are not among the pictures.

  Attributes:
    source_ids: P texts.
    shards: int64 [P], the shard of each picture.
    rows: int64 [P], its record there.
    starts: int64 [P + 1].
    numbers: int64 [N], which object of its record each person is.
    boxes: float32 [N, 4], ymin, xmin, ymax, xmax in pixels.
    joints: float32 [N, K, 3], y, x, visibility.
    is_crowd: bool [N].
    area: float32 [N], square pixels.
  """

  source_ids: np.ndarray
  shards: np.ndarray
  rows: np.ndarray
  starts: np.ndarray
  numbers: np.ndarray
  boxes: np.ndarray
  joints: np.ndarray
  is_crowd: np.ndarray
  area: np.ndarray

  def usable(self, min_joints: int = 1) -> np.ndarray:
    """Bool [N]: who can be learnt from: boxed, labelled, and no crowd.

    Args:
      min_joints: labelled joints (visibility 1 or 2) that are needed.
    """
    labelled = (self.joints[..., 2] > 0).sum(-1) >= max(1, min_joints)
    sides = self.boxes[:, 2:] - self.boxes[:, :2]
    return labelled & ~self.is_crowd & (sides >= LEAST_SIDE).all(-1)

  def parts(self, shards: int, min_joints: int = 1) -> parts.Parts:
    """The usable people as the examples of an epoch.

    Args:
      shards: number of shards of the split.
      min_joints: see usable.
    """
    picture = np.repeat(np.arange(len(self.source_ids)), np.diff(self.starts))
    usable = self.usable(min_joints)
    picture, number = picture[usable], self.numbers[usable]
    own = [self.shards[picture] == s for s in range(shards)]
    return parts.Parts(
      [self.rows[picture[o]] for o in own], [number[o] for o in own]
    )

  def of_picture(self, p: int) -> slice:
    """Where the people of picture p are."""
    return slice(self.starts[p], self.starts[p + 1])


def read(
  dataset: manifest.Dataset, split: str, cache: Optional[str] = None
) -> People:
  """Reads the people of a split; once in a process.

  Where the label space has a category `person`, objects of other categories are
  passed over.

  Args:
    dataset: the data folder.
    split: name of a split in it.
    cache: file that keeps them for the next process; used again if it was
      written for the same data.

  Raises:
    ValueError: no record can be read.
    tf.errors.InvalidArgumentError: a wrong record, by name.
  """
  key = (str(dataset.data_dir), split, dataset.manifest_hash)
  if cache and os.path.exists(cache):
    found = _cached(cache, ' '.join(key[1:]))
    if found:
      return found
  # A parameter server strategy asks for its datasets inside a graph.
  with tf.init_scope():
    people = _gathered(*key)
  if cache:
    os.makedirs(os.path.dirname(cache), exist_ok=True)
    with open(cache + '.tmp', 'wb') as f:
      np.savez(f, key=np.array(' '.join(key[1:])), **people._asdict())
    os.replace(cache + '.tmp', cache)
  return people


def _cached(path, key):
  try:
    with np.load(path) as stored:
      if str(stored['key']) == key:
        return People(*(stored[name] for name in People._fields))
  except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
    pass  # a damaged one is made anew
  return None


def _objects_of(split):
  """Dataset of (shard, row, the objects) of each record."""
  columns = tf.data.Dataset.from_tensor_slices(
    (
      tf.range(len(split.shards), dtype=tf.int64),
      [str(s.path) for s in split.shards],
      tf.constant([s.records for s in split.shards], tf.int64),
      [str(s.selection or '') for s in split.shards],
    )
  )

  def records_of(shard, *where):
    records = reading.read_shard(*where)
    rows = tf.range(tf.size(records, tf.int64))
    return tf.fill(tf.shape(rows), shard), rows, records

  return (
    columns.map(records_of)
    .prefetch(1)
    .unbatch()
    .filter(lambda shard, row, record: tf.not_equal(record, reading.HOLE))
    .map(
      lambda shard, row, record: (
        shard,
        row,
        record_parser.parse_objects(record),
      ),
      num_parallel_calls=tf.data.AUTOTUNE,
    )
    .prefetch(tf.data.AUTOTUNE)
  )


def _person_label(dataset):
  """Box label of people in the records; 0 if no category is called so."""
  names = list(dataset.hierarchy.names)
  if PERSON not in names:
    return 0
  new = names.index(PERSON)
  if dataset.label_map is None:
    return new + 1
  return int(np.flatnonzero(dataset.label_map == new)[0]) + 1


@functools.lru_cache(maxsize=4)
def _gathered(data_dir, name, _):
  """People of a split; the last argument tells versions of it apart."""
  dataset = manifest.Dataset.load(data_dir)
  split, label = dataset.split(name), _person_label(dataset)
  total = sum(s.records for s in split.shards)
  names, shards, rows, objects = [], [], [], []
  start = told = time.monotonic()
  for shard, row, found in _objects_of(split).as_numpy_iterator():
    names.append(found['source_id'].decode())
    shards.append(shard)
    rows.append(row)
    wanted = found['labels'] == label if label else found['labels'] > 0
    found['numbers'] = np.arange(len(wanted))
    objects.append([found[k][wanted] for k in _FIELDS])
    if time.monotonic() - told > _REPORT_EVERY:
      told = time.monotonic()
      left = (told - start) * (total / len(names) - 1)
      print(
        f'Reading who is on the pictures: {len(names)} of {total}, '
        f'{left:.0f} s left',
        file=sys.stderr,
        flush=True,
      )
  if not names:
    raise ValueError(
      f'Split {name!r} of {data_dir!r} has no record that can be read; build '
      'the data set again.'
    )
  counts = [len(numbers) for numbers, *_ in objects]
  return People(
    np.array(names),
    np.array(shards, np.int64),
    np.array(rows, np.int64),
    np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    *(np.concatenate(column) for column in zip(*objects)),
  )
