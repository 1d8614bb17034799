"""From TFRecord shards to padded batches of pictures with their objects.

Record order and flip are pure functions of (seed, position), see
official_repro.data.pipeline: a run that starts at position p reads on exactly
as one that came there. Flipping is the only augmentation (Sun et al. 2017,
sec. 4).

Glossary: B images of one replica, G object slots of an image, H x W pixels of
the padded batch. Boxes are float32 [ymin, xmin, ymax, xmax] in pixels of the
resized picture.
"""

from typing import Optional

import tensorflow as tf

from object_detection import boxes as boxes_lib
from object_detection import input_images, record_parser
from official_repro.data import batching, images, manifest, pipeline


@pipeline.without_autograph
def make_dataset(
  dataset: manifest.Dataset,
  split: str,
  *,
  class_map,
  batch_size: int,
  training: bool,
  min_side: int = 600,
  max_side: int = 1024,
  pad_multiple: int = 32,
  max_boxes: int = 100,
  crowds: bool = False,
  seed: int = 0,
  start_position: int = 0,
  shuffle_group: int = 2048,
  input_context: Optional[tf.distribute.InputContext] = None,
) -> tf.data.Dataset:
  """Makes the input of training (endless, shuffled) or of one evaluation.

  Args:
    dataset: the data folder.
    split: name of a split in it.
    class_map: see label_space.LabelSpace.
    batch_size: GLOBAL number of pictures in a step.
    training: endless and shuffled, flipped half of the time; or one pass in
      file order.
    min_side, max_side: see input_images.resized_size.
    pad_multiple: the sides of a batch are the largest of its pictures, rounded
      up to a multiple of this; 0: always max_side x max_side, which makes the
      shape static.
    max_boxes: G; a record with more objects is an error that names it.
    crowds: training only: whether objects marked as crowd (COCO) or difficult
      (VOC) are learnt like others. The reference does learn them. Without
      them, what lies there counts as background.
    seed: of record order and flips, and of what the losses sample.
    start_position: training only: records already seen.
    shuffle_group: see pipeline.make_dataset.
    input_context: see pipeline.make_dataset.

  Returns:
    Dataset of dictionaries:
      image: uint8 [B, H, W, 3], padded at the bottom and right.
      image_size: int32 [B, 2], height and width without padding.
      boxes: float32 [B, G, 4], padded with zeros.
      classes: int32 [B, G], from 1, padded with 0.
      valid: bool [B, G], what is no padding.
      seed: int32 [B, 2], in training.
      original_size: int32 [B, 2], in evaluation, height and width in the file.
      is_crowd: bool [B, G], in evaluation.
      area: float32 [B, G], in evaluation, square pixels of the original.
      source_id: uint8 [B, 256], in evaluation, see batching.text_of.

  Raises:
    ValueError: an argument outside its range, or no such split.
    tf.errors.InvalidArgumentError: (while reading) a wrong record, by name.
  """
  _check(batch_size, min_side, max_side, pad_multiple, max_boxes)
  parser = record_parser.RecordParser(class_map, max_boxes)
  records, batch_size = pipeline.serialized_records(
    dataset.split(split),
    batch_size=batch_size,
    training=training,
    seed=seed,
    start_position=start_position,
    shuffle_group=shuffle_group,
    input_context=input_context,
  )

  def row(chance, record):
    example = parser.parse(record, keep_crowds=crowds or not training)
    original = images.decode(example['encoded'])
    image = input_images.resize(original, min_side, max_side)
    size = tf.shape(image)[:2]
    boxes = _in_pixels(example['boxes'], size)
    if training:
      image, boxes = _flip(image, boxes, chance[2] < 0.5)
      more = {'seed': _seed(chance)}
    else:
      more = _truth(example, tf.shape(original)[:2], max_boxes)
    if not pad_multiple:
      image = batching.pad_to(image, max_side, max_side)
      image = tf.ensure_shape(image, [max_side, max_side, 3])
    return {
      'image': image,
      'image_size': size,
      'boxes': _pad(boxes, max_boxes),
      'classes': _pad(example['classes'], max_boxes),
      'valid': tf.range(max_boxes) < tf.size(example['classes']),
      **more,
    }

  rows = records.map(row, num_parallel_calls=tf.data.AUTOTUNE)
  batches = _batched(rows, batch_size, training, pad_multiple)
  return batches.prefetch(tf.data.AUTOTUNE).with_options(pipeline.options())


def _check(batch_size, min_side, max_side, pad_multiple, max_boxes):
  for name, value in (
    ('global_batch_size', batch_size),
    ('min_side', min_side),
    ('max_boxes', max_boxes),
  ):
    if value < 1:
      raise ValueError(f'{name} must be at least 1, got {value}.')
  if max_side < min_side:
    raise ValueError(
      f'max_side must be at least min_side, got {max_side} and {min_side}.'
    )
  if pad_multiple < 0:
    raise ValueError(f'pad_multiple must be 0 or more, got {pad_multiple}.')


def _in_pixels(boxes, size):
  size = tf.cast(size, tf.float32)
  return boxes_lib.scale(boxes, size[0], size[1])


def _flip(image, boxes, flipped):
  width = tf.cast(tf.shape(image)[1], tf.float32)
  return tf.cond(
    flipped,
    lambda: (
      tf.reverse(image, [1]),
      boxes_lib.flip_left_right(boxes, width),
    ),
    lambda: (image, boxes),
  )


def _seed(chance):
  """Two integers from two of the random numbers, which have 24 bits each."""
  return tf.cast(chance[:2] * 2.0**24, tf.int32)


def _truth(example, size, max_boxes):
  """What an evaluation needs beside the boxes of the resized picture."""
  return {
    'original_size': size,
    'is_crowd': _pad(example['is_crowd'], max_boxes),
    'area': _pad(example['area'], max_boxes),
    'source_id': batching.source_id_bytes(example['source_id']),
  }


def _pad(values, length):
  """Pads [N, ...] with zeros to [length, ...]."""
  more = [[0, 0]] * (values.shape.rank - 1)
  values = tf.pad(values, [[0, length - tf.shape(values)[0]], *more])
  return tf.ensure_shape(values, [length, *values.shape[1:]])


def _batched(rows, batch_size, training, pad_multiple):
  if not pad_multiple:
    return rows.batch(batch_size, drop_remainder=training)
  zeros = {k: tf.zeros([], s.dtype) for k, s in rows.element_spec.items()}
  batches = rows.padded_batch(
    batch_size,
    padding_values={
      **zeros,
      'image': tf.constant(batching.PADDING, tf.uint8),
    },
    drop_remainder=training,
  )

  def rounded(batch):
    size = tf.shape(batch['image'])
    height, width = (batching.round_up(size[i], pad_multiple) for i in (1, 2))
    return {
      **batch,
      'image': batching.pad_to(batch['image'], height, width),
    }

  return batches.map(rounded, num_parallel_calls=tf.data.AUTOTUNE)
