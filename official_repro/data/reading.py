"""Reads TFRecord shards in graph, past damaged records.

`Dataset.ignore_errors` drops the rest of a shard after a damaged record. So a
shard that gives fewer records than its manifest says is read again record by
record, at the byte offsets of its sidecar file, which works whatever was
damaged: data, length, or the end of the file. A record that cannot be read is
the empty string, a hole: every other record keeps its place.

Of a shard that a subset takes a part of, the records of the part are read: one
by one where they are few, and otherwise by reading on from the first.

There is no Python function in the graph: it also runs on remote workers.
"""

import tensorflow as tf

HOLE = b''
_RECORD_BUFFER_BYTES = 1 << 18
# Shards of a group read at the same time; the order does not depend on it.
PARALLEL_SHARDS = 8
# Share of the records from which on reading all of them is the faster way:
# measured 0.3 to 0.5 with records of 20 KB in the page cache.
_DENSE = 0.5


def _records_at(path, offset, buffer=_RECORD_BUFFER_BYTES) -> tf.data.Dataset:
  """The records of a shard from one byte offset on, up to the first error."""
  # The public TFRecordDataset has no byte_offsets; its op has.
  dataset = _TFRecordsFrom(path, offset, buffer)
  return dataset.ignore_errors()


class _TFRecordsFrom(tf.data.Dataset):
  """TFRecordDataset of one file that begins at a byte offset."""

  def __init__(self, path, offset, buffer):
    variant = tf.raw_ops.TFRecordDatasetV2(
      filenames=tf.reshape(path, [1]),
      compression_type='',
      buffer_size=tf.constant(buffer, tf.int64),
      byte_offsets=tf.reshape(tf.cast(offset, tf.int64), [1]),
      metadata='',
    )
    super().__init__(variant)

  @property
  def element_spec(self):
    return tf.TensorSpec([], tf.string)

  def _inputs(self):
    return []


def _gather(dataset, size) -> tf.Tensor:
  """The first `size` strings of a dataset, filled up with holes: [size]."""
  holes = tf.data.Dataset.from_tensors(HOLE).repeat()
  batch = tf.maximum(tf.cast(size, tf.int64), 1)
  strings = dataset.concatenate(holes).batch(batch).take(1).get_single_element()
  return strings[:size]


def _one_by_one(path, offsets, size) -> tf.Tensor:
  """The records at byte offsets: string [size], holes where damaged."""
  records = tf.data.Dataset.from_tensor_slices(offsets).map(
    # Without a buffer: it would read what lies behind the record.
    lambda offset: _gather(_records_at(path, offset, 0).take(1), 1)[0]
  )
  return _gather(records, size)


def _salvage(path, offsets, size) -> tf.Tensor:
  """As `_one_by_one`; tells how many are damaged, if any."""
  records = _one_by_one(path, offsets, size)
  lost = tf.reduce_sum(tf.cast(tf.equal(records, HOLE), tf.int64))
  with tf.control_dependencies([_tell_damage(path, lost, size)]):
    return tf.identity(records)


def _tell_damage(path, lost, size):
  def tell():
    with tf.control_dependencies(
      [tf.print('Damaged records in', path, ':', lost, 'of', size, 'left out.')]
    ):
      return tf.constant(True)

  return tf.cond(lost > 0, tell, lambda: tf.constant(False))


def _or_salvage(records, path, offsets, size) -> tf.Tensor:
  """Returns the records, read again one by one if there is a hole in them."""
  complete = tf.reduce_all(tf.not_equal(records, HOLE))
  return tf.cond(
    complete, lambda: records, lambda: _salvage(path, offsets(), size)
  )


def _whole_shard(path, size) -> tf.Tensor:
  def offsets():
    sidecar = tf.strings.regex_replace(path, r'\.tfrecord$', '.offsets')
    return tf.io.decode_raw(tf.io.read_file(sidecar), tf.int64)

  records = _gather(_records_at(path, 0), size)
  return _or_salvage(records, path, offsets, size)


def _selected(path, size, selection) -> tf.Tensor:
  """Reads the records whose rows the file `selection` holds."""
  numbers = tf.io.decode_raw(tf.io.read_file(selection), tf.int64)
  rows = tf.reshape(numbers, [-1, 2])[:size]
  indices, offsets = rows[:, 0] - rows[0, 0], rows[:, 1]
  span = indices[-1] + 1

  def read_on():
    wanted = tf.scatter_nd(indices[:, None], tf.ones_like(indices), [span])
    records = _records_at(path, offsets[0]).take(span).enumerate()
    records = records.filter(lambda i, _: wanted[i] > 0)
    return _gather(records.map(lambda _, record: record), size)

  records = tf.cond(
    tf.cast(size, tf.float32) > _DENSE * tf.cast(span, tf.float32),
    read_on,
    lambda: _one_by_one(path, offsets, size),
  )
  return _or_salvage(records, path, lambda: offsets, size)


def read_shard(path, size, selection=None) -> tf.Tensor:
  """Reads the records of a shard that belong to a data set.

  Args:
    path: string [], the .tfrecord file; its .offsets sidecar lies beside it.
    size: int64 [], number of records that the manifest promises.
    selection: string [], file with the rows of a subset's records, as
      `manifest.Shard` describes it; '' for all records of the shard. None
      says so before the graph is built, which is then a quarter smaller.

  Returns:
    string [size] in file order, `HOLE` where a record is damaged. Damage is
    reported with the shard's name and count on standard error.
  """
  if selection is None:
    return _whole_shard(path, size)
  return tf.cond(
    tf.equal(selection, ''),
    lambda: _whole_shard(path, size),
    lambda: _selected(path, size, selection),
  )


def read_shards(paths, sizes, *selections) -> tf.Tensor:
  """Reads shards one after the other, as `read_shard`: string [sum(sizes)]."""
  shards = tf.data.Dataset.from_tensor_slices((paths, sizes, *selections)).map(
    read_shard, num_parallel_calls=PARALLEL_SHARDS, deterministic=True
  )
  return _gather(shards.unbatch(), tf.reduce_sum(sizes))
