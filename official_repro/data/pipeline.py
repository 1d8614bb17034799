"""From TFRecord shards to batches of uint8 pictures and sparse labels.

Shuffling moves encoded records, never decoded pictures; labels stay lists of
ids, padded with -1, all the way to the device; pixels stay bytes.

Training is endless, and its record order is a pure function of seed, epoch and
index (see order.py): position p = step * batch_size + row. The crop and the
reflection of a row are a function of (seed, p). So a run that starts at
position p reads on exactly as one that came there, and every input pipeline of
a distributed run can cut its own slice out of the same global batches.

So the number of devices and hosts may change at each resume (elastic): the same
global batches come, row by row, whatever the number of replicas or workers.
Pipelines in step share each batch, and asynchronous workers deal whole batches
out among themselves, see slices.py. Each of them reads whole groups
from storage and decodes only its own rows.

In training a damaged record is replaced by the next sound one of its group, so
that positions stay arithmetic; in evaluation it is left out. Both are reported
on standard error with the shard's name.

Memory: two groups of `shuffle_group` encoded records, the one in use and the
next one.
"""

from typing import Optional

import tensorflow as tf

from official_repro.data import images, manifest, parsing, reading, slices
from official_repro.data import order as order_lib
from official_repro.data import parts as parts_lib

SHUFFLE_GROUP = 8192

# For what makes a dataset: functions that are mapped have no Python control
# flow on tensors, and looking for it takes up to half of the time of making it.
without_autograph = tf.autograph.experimental.do_not_convert


def _shard_columns(split: manifest.Split):
  """Arguments of `reading.read_shard`, each [shards]."""
  paths = tf.constant([str(shard.path) for shard in split.shards])
  sizes = tf.constant([shard.records for shard in split.shards], tf.int64)
  if not any(shard.selection for shard in split.shards):
    return paths, sizes
  selections = tf.constant([str(s.selection or '') for s in split.shards])
  return paths, sizes, selections


def _training_records(split, shuffle_group, seed, start, slice_of, parts=None):
  """Dataset of (draws float32 [3], serialized example) from `start` on.

  With parts: (draws, number of the part int64 [], serialized example).

  Args:
    split: what to read.
    shuffle_group: records that are shuffled together.
    seed: Python int.
    start: first position.
    slice_of: function from positions (int64 [n]) to bool [n], those to give.
    parts: parts.Parts, where these are the examples.
  """
  sizes = [shard.records for shard in split.shards]
  order = order_lib.TrainingOrder(
    parts.sizes if parts else sizes, shuffle_group, seed
  )
  columns = _shard_columns(split)
  table = parts.table() if parts else None

  def read_group(ordinal):
    group = order.group(ordinal)
    of_group = [tf.gather(column, group.shards) for column in columns]
    records = reading.read_shards(*of_group)
    sound = tf.not_equal(records, reading.HOLE)
    if parts:
      rows, numbers = table.of_group(group.shards, of_group[1])
      sound = tf.gather(sound, rows)
    check = tf.debugging.Assert(
      tf.reduce_any(sound) | tf.equal(group.size, 0),
      ['No readable record in', of_group[0]],
    )
    with tf.control_dependencies([check]):
      indices = order_lib.fill_holes(sound, order.record_order(group))
    positions = group.first + tf.range(group.size)
    wanted = slice_of(positions) & (positions >= start)
    seeds = order_lib.augment_seeds(seed, tf.boolean_mask(positions, wanted))
    indices = tf.boolean_mask(indices, wanted)
    if not parts:
      return images.draw(seeds), indices, records
    which = tf.gather(numbers, indices)
    return images.draw(seeds), which, tf.gather(rows, indices), records

  def one_by_one(*columns):
    # The group is captured, not sliced: its bytes are not copied once more.
    *columns, records = columns
    rows = tf.data.Dataset.from_tensor_slices(tuple(columns))
    return rows.map(lambda *row: (*row[:-1], tf.gather(records, row[-1])))

  with tf.device('CPU:0'):  # not every GPU sorts unsigned integers
    first = order.group_at(start)
  ordinals = tf.data.Dataset.range(first, tf.int64.max)
  return ordinals.map(read_group).prefetch(1).flat_map(one_by_one)


def _evaluation_records(split, slice_of):
  """Dataset of (number of the sound record, serialized example), one pass."""
  shards = tf.data.Dataset.from_tensor_slices(_shard_columns(split))
  records = shards.map(reading.read_shard).prefetch(1)
  records = records.unbatch().filter(
    lambda record: tf.not_equal(record, reading.HOLE)
  )
  return records.enumerate().filter(lambda number, _: slice_of(number))


def options() -> tf.data.Options:
  """Returns what keeps the order of a dataset of records."""
  chosen = tf.data.Options()
  chosen.deterministic = True
  # The slices are cut by position; sharding by file would break the order.
  chosen.experimental_distribute.auto_shard_policy = (
    tf.data.experimental.AutoShardPolicy.OFF
  )
  return chosen


def _check_arguments(
  *, batch_size, training, start_position, max_labels, labels, with_confidence
):
  if batch_size < 1:
    raise ValueError(f'batch_size must be at least 1; got {batch_size}.')
  if max_labels < 1:
    raise ValueError(f'max_labels must be at least 1; got {max_labels}.')
  if start_position < 0 or (start_position and not training):
    raise ValueError(
      'start_position must be 0 in evaluation and at least 0 in training; got '
      f'{start_position}.'
    )
  if labels not in parsing.LABEL_KEYS:
    raise ValueError(
      f'labels must be one of {sorted(parsing.LABEL_KEYS)}; got {labels!r}.'
    )
  if with_confidence and labels != 'filled':
    raise ValueError(
      "Confidences belong to the filled labels: use labels='filled' with "
      f'with_confidence=True; got {labels!r}.'
    )


@without_autograph
def make_dataset(
  data_dir: str,
  split: str,
  *,
  batch_size: int,
  training: bool,
  resize: int = 340,
  crop: int = 299,
  seed: int = 0,
  start_position: int = 0,
  max_labels: int = 64,
  labels: str = 'filled',
  shuffle_group: int = SHUFFLE_GROUP,
  input_context: Optional[tf.distribute.InputContext] = None,
  drop_remainder: Optional[bool] = None,
  with_source_id: Optional[bool] = None,
  with_confidence: bool = False,
) -> tf.data.Dataset:
  """Makes the input of training (endless, shuffled) or of one evaluation.

  Args:
    data_dir: folder with dataset.json.
    split: name of a split in it.
    batch_size: GLOBAL number of pictures in a step.
    training: endless shuffled random windows, or one pass in file order of
      central windows.
    resize: pixels; height and width before the crop.
    crop: pixels; height and width of a picture.
    seed: of record order, windows and reflections.
    start_position: training only: records already seen, that is
      step * batch_size. Only the group that holds it is read.
    max_labels: length L of a row of labels. A record with more is an error
      that names it: cutting labels off would turn them into negatives.
    labels: 'filled' (with all ancestors) or 'given' (as annotated).
    shuffle_group: training only: records that are shuffled together, at least;
      two groups are held in memory, as encoded records.
    input_context: in a distributed run; this pipeline gives its contiguous
      slice of every global batch, in batches of one replica's size. Under
      ParameterServerStrategy a worker gives whole batches, see `lane`.
    drop_remainder: whether to drop a last batch that is not full. By default
      as `training`, which fixes the batch's static shape; training has none.
    with_source_id: whether to give `source_id`; by default only in evaluation.
    with_confidence: whether to give `confidence`.

  Returns:
    Dataset of dictionaries, B the batch of one replica:
      image: uint8 [B, crop, crop, 3], RGB.
      label_ids: int32 [B, max_labels], padded with -1.
      source_id: string [B], if asked for.
      confidence: float32 [B, max_labels], aligned with label_ids and padded
        with 0, if asked for.

  Raises:
    FileNotFoundError: no such folder, or a file of it is missing.
    ValueError: no such split, an empty split, a damaged manifest, or an
      argument outside its range.
    tf.errors.InvalidArgumentError: (while reading) a label id outside the
      label space, or more than max_labels labels, naming the record; a
      picture that cannot be decoded; a group without any readable record.
  """
  _check_arguments(
    batch_size=batch_size,
    training=training,
    start_position=start_position,
    max_labels=max_labels,
    labels=labels,
    with_confidence=with_confidence,
  )
  images.check_sizes(resize, crop)
  dataset = manifest.Dataset.load(data_dir)
  source = dataset.split(split)
  serialized, batch_size = serialized_records(
    source,
    batch_size=batch_size,
    training=training,
    seed=seed,
    start_position=start_position,
    shuffle_group=shuffle_group,
    input_context=input_context,
  )
  parser = parsing.Parser(
    num_classes=dataset.hierarchy.num_classes,
    label_map=dataset.label_map,
    max_labels=max_labels,
    labels=labels,
    with_confidence=with_confidence,
    with_source_id=not training if with_source_id is None else with_source_id,
  )

  def parse(draws, record):
    def decode(encoded):
      if not training:
        return images.eval_image(encoded, resize=resize, crop=crop)
      return images.crop_and_flip(encoded, draws, resize=resize, crop=crop)

    return parser.parse(record, decode)

  if drop_remainder is None:
    drop_remainder = training
  batches = serialized.map(parse, num_parallel_calls=tf.data.AUTOTUNE).batch(
    batch_size, drop_remainder=drop_remainder
  )
  return batches.prefetch(tf.data.AUTOTUNE).with_options(options())


@without_autograph
def serialized_records(
  source: manifest.Split,
  *,
  batch_size: int,
  training: bool,
  seed: int = 0,
  start_position: int = 0,
  shuffle_group: int = SHUFFLE_GROUP,
  input_context: Optional[tf.distribute.InputContext] = None,
  parts: Optional[parts_lib.Parts] = None,
) -> tuple[tf.data.Dataset, int]:
  """Makes the stream of records that any task's batches are cut from.

  Args:
    source: the split.
    batch_size, training, seed, start_position, shuffle_group, input_context:
      as for `make_dataset`.
    parts: training only: what the examples are, if not the records. Positions
      and `shuffle_group` then count parts.

  Returns:
    Dataset of pairs, and the batch size of one replica. The second of a pair is
    the serialized example, string []. The first is, in training, float32 [3] of
    random numbers in [0, 1), a pure function of seed and position; else int64
    [], the number of the record among the sound ones. With parts there are
    three: the number of the part, int64 [], is between the two.

  Raises:
    ValueError: the batch cannot be divided among the replicas.
  """
  slice_of, batch_size = slices.slicer(
    batch_size,
    start_position,
    input_context or tf.distribute.InputContext(),
    slices.lane() if training else (0, 1),
  )
  if training:
    records = _training_records(
      source, shuffle_group, seed, start_position, slice_of, parts
    )
  else:
    records = _evaluation_records(source, slice_of)
  return records, batch_size


@without_autograph
def record_ids(
  data_dir: str,
  split: str,
  *,
  start_position: int,
  count: int,
  seed: int = 0,
  shuffle_group: int = SHUFFLE_GROUP,
  parts: Optional[parts_lib.Parts] = None,
) -> list[str]:
  """Returns the source ids of the training records at some positions.

  Args:
    data_dir: folder with dataset.json.
    split: name of a split in it.
    start_position: the first position; step * batch_size for a step's batch.
    count: number of positions, e.g. the global batch size.
    seed: as given to `make_dataset`.
    shuffle_group: as given to `make_dataset`.
    parts: as given to `serialized_records`.

  Returns:
    list of `count` source ids, in the order of the global batch; with parts
    each has '#' and the part's number behind it.

  Raises:
    FileNotFoundError, ValueError: as `make_dataset`.
  """
  source = manifest.Dataset.load(data_dir).split(split)
  records = _training_records(
    source,
    shuffle_group,
    seed,
    start_position,
    lambda positions: tf.ones_like(positions, tf.bool),
    parts,
  )
  feature = {'image/source_id': tf.io.FixedLenFeature([], tf.string)}
  ids = []
  for _, *number, record in records.take(count):
    example = tf.io.parse_single_example(record, feature)
    name = example['image/source_id'].numpy().decode()
    ids.append('#'.join([name, *(str(n.numpy()) for n in number)]))
  return ids
