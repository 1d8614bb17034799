"""Examples that are parts of records, such as the people of a picture.

A task whose example is a part trains on each part once an epoch, in an order
that mixes the parts of all records of a group: a picture with five people comes
five times, one without people never.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Parts:
  """The parts of a split's records.

  Attributes:
    rows: for each shard, int64 [E], ascending: in which record of the shard
      an example is.
    numbers: for each shard, int64 [E]: which part of the record it is.
  """

  rows: Sequence[np.ndarray]
  numbers: Sequence[np.ndarray]

  @property
  def sizes(self) -> list[int]:
    """Examples of each shard."""
    return [len(rows) for rows in self.rows]

  def table(self) -> 'PartsTable':
    """The same as tensors."""
    return PartsTable(_ragged(self.rows), _ragged(self.numbers))


@dataclasses.dataclass(frozen=True)
class PartsTable:
  """Parts as ragged tensors [shards, E]."""

  rows: tf.RaggedTensor
  numbers: tf.RaggedTensor

  def of_group(self, shards, record_counts):
    """The parts of a group of shards, whose records are read as one list.

    Args:
      shards: int64 [S].
      record_counts: int64 [S], records of each of them.

    Returns:
      int64 [E'], where in the list of records each part's is; and int64 [E'],
      its number there.
    """
    before = tf.cumsum(record_counts, exclusive=True)
    rows = tf.gather(self.rows, shards)
    rows = rows + tf.cast(before, tf.int64)[:, None]
    return rows.flat_values, tf.gather(self.numbers, shards).flat_values


def _ragged(columns):
  lengths = tf.constant([len(c) for c in columns], tf.int64)
  values = np.concatenate([np.asarray(c, np.int64) for c in columns])
  return tf.RaggedTensor.from_row_lengths(tf.constant(values), lengths)
