"""From TFRecord shards to batches of crops, one person in each.

Training: a person is an example. The order of the people, the enlargement of
the crop and the mirroring are pure functions of (seed, position), see
official_repro.data.pipeline and data.parts: a run that starts at position p
reads on exactly as one that came there.

Evaluation: a crop for each box that is given, annotated or found by a
detector, in file order.

Glossary: B people of one replica, K joints, h x w pixels of the crop, O other
people of a picture. Joints are float32 (y, x, visibility), pixels have integer
centres.
"""

from collections.abc import Mapping
from typing import Optional

import numpy as np
import tensorflow as tf

from official_repro.data import (
  batching,
  images,
  manifest,
  parts,
  pipeline,
  slices,
)
from pose import crops, record_parser

K = record_parser.K


@pipeline.without_autograph
def training_dataset(
  split: manifest.Split,
  people: parts.Parts,
  *,
  batch_size: int,
  height: int,
  width: int,
  scale: tuple[float, float] = (1.0, 1.5),
  flip: bool = True,
  max_others: int = 20,
  seed: int = 0,
  start_position: int = 0,
  shuffle_group: int = 2048,
  input_context: Optional[tf.distribute.InputContext] = None,
) -> tf.data.Dataset:
  """Makes the endless input of training.

  Args:
    split: of a data folder.
    people: the examples of an epoch, see people.People.parts.
    batch_size: GLOBAL number of people in a step.
    height, width: h and w.
    scale: the crop is larger than the box by a factor drawn evenly from here.
    flip: half of the crops are mirrored, left and right joints exchanged.
    max_others: O; of more people on a picture the last are not told about.
    seed: of order, scale and mirroring.
    start_position: people already seen.
    shuffle_group: people that are shuffled together, see pipeline.
    input_context: see pipeline.make_dataset.

  Returns:
    Dataset of dictionaries:
      image: uint8 [B, h, w, 3]; grey beyond the picture.
      joints: float32 [B, K, 3] in crop coordinates.
      others: float32 [B, O, K, 3], joints of the other people on the picture,
        visibility 0 in what is padding.

  Raises:
    ValueError: an argument outside its range, or no people.
    tf.errors.InvalidArgumentError: (while reading) a wrong record, by name.
  """
  _check(batch_size, height, width, scale)
  if not sum(people.sizes):
    raise ValueError(
      f'No person in {split.shards[0].path.parent} has a box and a labelled '
      'joint: build the data folder from annotations with keypoints, such as '
      '--source=coco --kind=keypoints.'
    )
  records, batch_size = pipeline.serialized_records(
    split,
    batch_size=batch_size,
    training=True,
    seed=seed,
    start_position=start_position,
    shuffle_group=shuffle_group,
    input_context=input_context,
    parts=people,
  )

  def row(chance, number, record):
    found = record_parser.parse_objects(record)
    image = images.decode(record_parser.encoded(record))
    low, high = scale
    mirrored = (chance[2] < 0.5) if flip else tf.constant(False)
    crop = crops.around(
      found['boxes'][number],
      height,
      width,
      low + (high - low) * chance[0],
      mirrored,
    )
    joints = crops.joints_to_crop(crop, found['joints'], width)
    return {
      'image': crops.cut(image, crop, height, width),
      'joints': joints[number],
      'others': _others(joints, number, found['is_crowd'], max_others),
    }

  rows = records.map(row, num_parallel_calls=tf.data.AUTOTUNE)
  batches = rows.batch(batch_size, drop_remainder=True)
  return batches.prefetch(tf.data.AUTOTUNE).with_options(pipeline.options())


@pipeline.without_autograph
def evaluation_dataset(
  split: manifest.Split,
  boxes: Mapping[str, np.ndarray],
  *,
  batch_size: int,
  height: int,
  width: int,
  scale: float = 1.25,
  input_context: Optional[tf.distribute.InputContext] = None,
) -> tf.data.Dataset:
  """Makes one pass over the boxes of a split.

  Args:
    split: of a data folder.
    boxes: {source id: float [N, 4]}, ymin, xmin, ymax, xmax in pixels of the
      picture; those not named have none.
    batch_size: GLOBAL number of crops in a step; the last batch may have fewer.
    height, width: h and w.
    scale: the crop is larger than the box by this factor.
    input_context: see pipeline.make_dataset.

  Returns:
    Dataset of dictionaries:
      image: uint8 [B, h, w, 3]; grey beyond the picture.
      origin: float32 [B, 2], step: float32 [B]: see crops.Crop.
      box: float32 [B, 4]; number: int64 [B], which of the picture's boxes.
      source_id: uint8 [B, 256], see batching.text_of.

  Raises:
    ValueError: an argument outside its range, or no box.
  """
  _check(batch_size, height, width, (scale, scale))
  if not sum(len(b) for b in boxes.values()):
    raise ValueError('There is no box to look into for a person.')
  context = input_context or tf.distribute.InputContext()
  slice_of, batch_size = slices.slicer(batch_size, 0, context)
  table, ragged = _lookup(boxes)
  records, _ = pipeline.serialized_records(split, batch_size=1, training=False)

  def place_of(record):
    return table.lookup(record_parser.parse_objects(record)['source_id'])

  def crops_of(record):
    found = record_parser.parse_objects(record)
    own = ragged[place_of(record)]
    count = tf.shape(own)[0]
    crop = crops.around(own, height, width, scale)
    image = images.decode(record_parser.encoded(record))
    name = batching.source_id_bytes(found['source_id'])
    return {
      'image': crops.cut(image, crop, height, width),
      'origin': crop.origin,
      'step': crop.step,
      'box': own,
      'number': tf.range(tf.cast(count, tf.int64)),
      'source_id': tf.tile(name[None], [count, 1]),
    }

  wanted = records.map(lambda _, record: record).filter(
    lambda record: place_of(record) >= 0
  )
  rows = wanted.map(crops_of, num_parallel_calls=tf.data.AUTOTUNE).unbatch()
  rows = rows.enumerate().filter(lambda n, _: slice_of(n)).map(lambda _, r: r)
  batches = rows.batch(batch_size)
  return batches.prefetch(tf.data.AUTOTUNE).with_options(pipeline.options())


def _check(batch_size, height, width, scale):
  if batch_size < 1:
    raise ValueError(f'global_batch_size must be at least 1, got {batch_size}.')
  if min(height, width) < 2:
    raise ValueError(
      f'A crop must have at least 2 x 2 pixels, got {height} x {width}.'
    )
  if not 0 < scale[0] <= scale[1]:
    raise ValueError(
      f'The scale of a crop must be positive and ascending, got {scale}.'
    )


def _others(joints, number, is_crowd, count):
  """Joints of all but one person: [O, K, 3]; of crowds none are labelled."""
  rows = tf.range(tf.shape(joints, tf.int64)[0])
  labelled = tf.reduce_any(joints[..., 2] > 0, -1)
  joints = tf.boolean_mask(joints, (rows != number) & ~is_crowd & labelled)
  joints = joints[:count]
  joints = tf.pad(joints, [[0, count - tf.shape(joints)[0]], [0, 0], [0, 0]])
  return tf.ensure_shape(joints, [count, K, 3])


def _lookup(boxes):
  """A table from source ids to rows of a ragged tensor of boxes."""
  names = list(boxes)
  table = tf.lookup.StaticHashTable(
    tf.lookup.KeyValueTensorInitializer(
      tf.constant(names, tf.string), tf.range(len(names), dtype=tf.int64)
    ),
    default_value=-1,
  )
  rows = [np.asarray(boxes[name], np.float32).reshape(-1, 4) for name in names]
  ragged = tf.RaggedTensor.from_row_lengths(
    np.concatenate(rows), np.array([len(r) for r in rows], np.int64)
  )
  return table, ragged
