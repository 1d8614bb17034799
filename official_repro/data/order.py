"""The order of the training records: a pure function of seed, epoch and index.

Every epoch permutes the shards, cuts the permuted list into groups of
`shards_per_group`, and permutes the records of a group as a whole. Nothing is
carried from one record to the next, so training can start at any position p:
epoch p // N, slot p % N, N the number of records; only the group that holds
the slot has to be read. The number of workers is no part of it: they cut their
rows out of one and the same order (see pipeline.py), whoever else reads.

The random numbers are a hash (splitmix64's finaliser) of the seed and the
place where they are used, in TensorFlow ops: the same eagerly, in a
`tf.data` graph, on a remote worker, and in every version of TensorFlow.
"""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

# Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014).
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB

# What a hash is used for; two uses of one seed must not share their numbers.
SHARD_STREAM = 1
RECORD_STREAM = 2
AUGMENT_STREAM = 3


def _u64(value) -> tf.Tensor:
  if isinstance(value, int):
    return tf.constant(value & (2**64 - 1), tf.uint64)
  return tf.cast(value, tf.uint64)


def fold(key, value) -> tf.Tensor:
  """Mixes a value into a key.

  Args:
    key: Python int (taken modulo 2**64) or integer tensor.
    value: Python int or integer tensor that broadcasts with `key`.

  Returns:
    uint64 tensor of the broadcast shape.
  """
  z = _u64(key) + (_u64(value) + _u64(1)) * _u64(_GOLDEN)
  for shift, factor in ((30, _MIX_1), (27, _MIX_2)):
    z = tf.bitwise.bitwise_xor(z, tf.bitwise.right_shift(z, _u64(shift)))
    z = z * _u64(factor)
  return tf.bitwise.bitwise_xor(z, tf.bitwise.right_shift(z, _u64(31)))


def permutation(key, size) -> tf.Tensor:
  """Returns a permutation of 0..size-1, int64 [size], chosen by `key`."""
  draws = fold(key, tf.range(tf.cast(size, tf.int64)))
  # Equal hashes keep their order, so the result is defined even then.
  return tf.cast(tf.argsort(draws, stable=True), tf.int64)


def uniform(key, count: int) -> tf.Tensor:
  """Draws float32 [..., count] in [0, 1) for integer keys [...]."""
  bits = fold(tf.expand_dims(_u64(key), -1), tf.range(count))
  # 24 bits are as many as float32 holds.
  bits = tf.bitwise.right_shift(bits, _u64(64 - 24))
  return tf.cast(bits, tf.float32) * 2.0**-24


def augment_seeds(seed: int, positions) -> tf.Tensor:
  """Returns the stateless seeds of positions [...]: int64 [..., 2]."""
  key = fold(fold(seed, AUGMENT_STREAM), positions)
  return tf.stack(
    [tf.bitcast(key, tf.int64), tf.bitcast(fold(key, 0), tf.int64)], axis=-1
  )


@dataclasses.dataclass(frozen=True)
class Group:
  """One group of shards at one place of the endless training order.

  Attributes:
    epoch: int64 [], from 0.
    index: int64 [], the group's number within its epoch.
    shards: int64 [K], indices of its shards in reading order.
    first: int64 [], position of its first record since the start of training.
    size: int64 [], its number of records (holes included).
  """

  epoch: tf.Tensor
  index: tf.Tensor
  shards: tf.Tensor
  first: tf.Tensor
  size: tf.Tensor


class TrainingOrder:
  """Where every training position finds its record.

  Attributes:
    num_records: N, records of the split.
    shards_per_group: shards that are shuffled together.
    groups_per_epoch: groups of one epoch; the last may have fewer shards.
  """

  def __init__(self, shard_sizes: Sequence[int], shuffle_group: int, seed: int):
    """Plans the order.

    Args:
      shard_sizes: records of each shard, as in the manifest.
      shuffle_group: records that a group should at least hold. Shards of even
        size, as `RecordWriter` makes them, are assumed: a group is
        ceil(shuffle_group / (records of a mean shard)) shards.
      seed: Python int.

    Raises:
      ValueError: no records, or a group of less than one record.
    """
    self.num_records = sum(shard_sizes)
    if self.num_records < 1:
      raise ValueError(
        f'The record order needs at least one record; got {shard_sizes}.'
      )
    if shuffle_group < 1:
      raise ValueError(
        f'shuffle_group must be at least 1; got {shuffle_group}.'
      )
    num_shards = len(shard_sizes)
    mean = max(1, self.num_records // num_shards)
    self.shards_per_group = min(num_shards, -(-shuffle_group // mean))
    self.groups_per_epoch = -(-num_shards // self.shards_per_group)
    self._sizes = tuple(shard_sizes)
    self._seed = seed

  def _shard_order(self, epoch) -> tf.Tensor:
    key = fold(fold(self._seed, SHARD_STREAM), epoch)
    return permutation(key, len(self._sizes))

  def _ends(self, shard_order) -> tf.Tensor:
    """Slot after the last record of each permuted shard, int64 [shards]."""
    sizes = tf.constant(self._sizes, tf.int64)
    return tf.cumsum(tf.gather(sizes, shard_order))

  def group_at(self, position) -> tf.Tensor:
    """Returns the ordinal (int64 []) of the group that holds a position."""
    position = tf.cast(position, tf.int64)
    epoch, slot = position // self.num_records, position % self.num_records
    ends = self._ends(self._shard_order(epoch))
    shard = tf.searchsorted(ends, slot[None], side='right', out_type=tf.int64)
    return epoch * self.groups_per_epoch + shard[0] // self.shards_per_group

  def group(self, ordinal) -> Group:
    """Returns the group with the given ordinal (int64 [])."""
    ordinal = tf.cast(ordinal, tf.int64)
    epoch = ordinal // self.groups_per_epoch
    index = ordinal % self.groups_per_epoch
    order = self._shard_order(epoch)
    begin = index * self.shards_per_group
    shards = order[begin : begin + self.shards_per_group]
    sizes = tf.gather(tf.constant(self._sizes, tf.int64), shards)
    before = tf.concat([[0], self._ends(order)], 0)[begin]
    return Group(
      epoch=epoch,
      index=index,
      shards=shards,
      first=epoch * self.num_records + before,
      size=tf.reduce_sum(sizes),
    )

  def record_order(self, group: Group) -> tf.Tensor:
    """Returns the group's permutation: slot -> index in reading order."""
    key = fold(self._seed, RECORD_STREAM)
    return permutation(fold(fold(key, group.epoch), group.index), group.size)


def fill_holes(sound, order) -> tf.Tensor:
  """Replaces damaged records by the next sound one of their group.

  Args:
    sound: bool [n], by index in reading order; at least one is true.
    order: int64 [n], slot -> index in reading order.

  Returns:
    int64 [n], the order with every damaged index replaced by that of the next
    slot that is sound, wrapping round at the end of the group.
  """
  slots = tf.range(tf.size(order, out_type=tf.int64))
  sound_slots = tf.boolean_mask(slots, tf.gather(sound, order))
  following = tf.searchsorted(sound_slots, slots, side='left')
  following = following % tf.size(sound_slots)
  return tf.gather(order, tf.gather(sound_slots, following))
