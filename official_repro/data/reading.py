"""Reads TFRecord shards in graph, past damaged records.

`Dataset.ignore_errors` drops the rest of a shard after a damaged record. So a
shard that gives fewer records than its manifest says is read again record by
record, at the byte offsets of its sidecar file, which works whatever was
damaged: data, length, or the end of the file. A record that cannot be read is
the empty string, a hole: every other record keeps its place.

There is no Python function in the graph: it also runs on remote workers.
"""

import tensorflow as tf

HOLE = b''
_RECORD_BUFFER_BYTES = 1 << 18
# Shards of a group read at the same time; the order does not depend on it.
PARALLEL_SHARDS = 8


def _records_at(path, offset) -> tf.data.Dataset:
  """The records of a shard from one byte offset on, up to the first error."""
  # The public TFRecordDataset has no byte_offsets; its op has.
  dataset = _TFRecordsFrom(path, offset)
  return dataset.ignore_errors()


class _TFRecordsFrom(tf.data.Dataset):
  """TFRecordDataset of one file that begins at a byte offset."""

  def __init__(self, path, offset):
    variant = tf.raw_ops.TFRecordDatasetV2(
      filenames=tf.reshape(path, [1]),
      compression_type='',
      buffer_size=tf.constant(_RECORD_BUFFER_BYTES, tf.int64),
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


def _salvage(path, size) -> tf.Tensor:
  """Reads a shard record by record: string [size], holes where damaged."""
  sidecar = tf.strings.regex_replace(path, r'\.tfrecord$', '.offsets')
  offsets = tf.io.decode_raw(tf.io.read_file(sidecar), tf.int64)
  records = tf.data.Dataset.from_tensor_slices(offsets).map(
    lambda offset: _gather(_records_at(path, offset).take(1), 1)[0]
  )
  records = _gather(records, size)
  lost = tf.reduce_sum(tf.cast(tf.equal(records, HOLE), tf.int64))
  tf.print('Damaged records in', path, ':', lost, 'of', size, 'left out.')
  return records


def read_shard(path, size) -> tf.Tensor:
  """Reads a whole shard.

  Args:
    path: string [], the .tfrecord file; its .offsets sidecar lies beside it.
    size: int64 [], number of records that the manifest promises.

  Returns:
    string [size] in file order, `HOLE` where a record is damaged. Damage is
    reported with the shard's name and count on standard error.
  """
  records = _gather(_records_at(path, 0), size)
  complete = tf.reduce_all(tf.not_equal(records, HOLE))
  return tf.cond(complete, lambda: records, lambda: _salvage(path, size))


def read_shards(paths, sizes) -> tf.Tensor:
  """Reads shards one after the other, as `read_shard`: string [sum(sizes)]."""
  shards = tf.data.Dataset.from_tensor_slices((paths, sizes)).map(
    read_shard, num_parallel_calls=PARALLEL_SHARDS, deterministic=True
  )
  return _gather(shards.unbatch(), tf.reduce_sum(sizes))
