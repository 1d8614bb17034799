"""From TFRecord shards to padded batches of pictures with their masks.

Record order, crop and flip are pure functions of (seed, position), see
official_repro.data.pipeline: a run that starts at position p reads on exactly
as one that came there. Pictures keep their scale: the paper's recipe has no
augmentation (Sun et al. 2017), and no picture of VOC 2012 is larger than the
513 pixels of a batch, so that none is cut.

Glossary: B images of one replica, H x W pixels of the padded batch, S the side
of a training batch, C + 1 classes with the background.
"""

from typing import Optional

import tensorflow as tf

from deeplab import record_parser
from deeplab.label_space import IGNORE
from official_repro.data import batching, images, manifest, pipeline

# A side that is one more than a multiple of this has its first and last pixel
# in the centre of a cell of the logits: 513 pixels, 65 cells.
STRIDE = 8


@pipeline.without_autograph
def make_dataset(
  dataset: manifest.Dataset,
  split: str,
  *,
  num_classes: int,
  batch_size: int,
  training: bool,
  crop_size: int = 513,
  seed: int = 0,
  start_position: int = 0,
  shuffle_group: int = 2048,
  flip: bool = False,
  input_context: Optional[tf.distribute.InputContext] = None,
) -> tf.data.Dataset:
  """Makes the input of training (endless, shuffled) or of one evaluation.

  Args:
    dataset: the data folder.
    split: name of a split in it.
    num_classes: C + 1; mask values are below it, or 255.
    batch_size: GLOBAL number of pictures in a step.
    training: endless and shuffled, or one pass in file order.
    crop_size: S. In training pictures are padded to S x S, and cut at random
      where they are larger. In evaluation nothing is cut: a batch has the
      size of its largest picture and at least S x S, sides rounded up to one
      more than a multiple of STRIDE. Only a picture larger than S changes how
      the others of its batch are padded; inference.labels_of_batch takes that
      away again.
    seed: of record order, crops and flips.
    start_position: training only: records already seen.
    shuffle_group: see pipeline.make_dataset.
    flip: training only: whether half of the pictures are mirrored.
    input_context: see pipeline.make_dataset.

  Returns:
    Dataset of dictionaries:
      image: uint8 [B, H, W, 3], padded at the bottom and right with grey.
      mask: uint8 [B, H, W], padded with 255.
      image_size: int32 [B, 2], height and width without padding.
      source_id: uint8 [B, 256], in evaluation, see batching.text_of.

  Raises:
    ValueError: an argument outside its range, or no such split.
    tf.errors.InvalidArgumentError: (while reading) a wrong record, by name.
  """
  _check(batch_size, crop_size, num_classes)
  parser = record_parser.RecordParser(num_classes)
  records, batch_size = pipeline.serialized_records(
    dataset.split(split),
    batch_size=batch_size,
    training=training,
    seed=seed,
    start_position=start_position,
    shuffle_group=shuffle_group,
    input_context=input_context,
  )

  def training_row(chance, record):
    example = parser.parse(record)
    # One tensor, so that picture and mask are always cut and turned alike.
    pixels = tf.concat([example['image'], example['mask']], -1)
    pixels = _random_crop(pixels, chance[:2], crop_size)
    if flip:
      pixels = tf.cond(
        chance[2] < 0.5, lambda: tf.reverse(pixels, [1]), lambda: pixels
      )
    image, mask = pixels[..., : images.CHANNELS], pixels[..., images.CHANNELS :]
    row = _padded(image, mask, crop_size, crop_size)
    row['image'].set_shape([crop_size, crop_size, images.CHANNELS])
    row['mask'].set_shape([crop_size, crop_size, 1])
    return row

  def evaluation_row(_, record):
    example = parser.parse(record)
    size = tf.maximum(tf.shape(example['image'])[:2], crop_size)
    return {
      **_padded(example['image'], example['mask'], size[0], size[1]),
      'source_id': batching.source_id_bytes(example['source_id']),
    }

  if training:
    rows = records.map(training_row, num_parallel_calls=tf.data.AUTOTUNE)
    batches = rows.batch(batch_size, drop_remainder=True).map(_without_channel)
  else:
    rows = records.map(evaluation_row, num_parallel_calls=tf.data.AUTOTUNE)
    batches = _evaluation_batches(rows, batch_size)
  return batches.prefetch(tf.data.AUTOTUNE).with_options(pipeline.options())


def padded_side(side):
  """Returns the next side that is one more than a multiple of STRIDE.

  Args:
    side: pixels, int or int tensor, at least 1.

  Returns:
    Of the same type, at least `side`.
  """
  return batching.round_up(side - 1, STRIDE) + 1


def _check(batch_size, crop_size, num_classes):
  for name, value in (
    ('global_batch_size', batch_size),
    ('crop_size', crop_size),
  ):
    if value < 1:
      raise ValueError(f'{name} must be at least 1, got {value}.')
  if not 1 < num_classes <= IGNORE:
    raise ValueError(
      f'num_classes must be from 2 to {IGNORE}, the background included, got '
      f'{num_classes}.'
    )


def _random_crop(pixels, chance, side):
  """Cuts what is larger than side x side; chance float32 [2] (y, x)."""
  size = tf.shape(pixels)[:2]
  excess = tf.maximum(size - side, 0)
  offset = tf.cast(chance * tf.cast(excess + 1, tf.float32), tf.int32)
  # The largest chance can round up to one pixel too many.
  offset = tf.minimum(offset, excess)
  size = tf.minimum(size, side)
  return tf.slice(pixels, tf.concat([offset, [0]], 0), [size[0], size[1], -1])


def _padded(image, mask, height, width):
  return {
    'image': batching.pad_to(image, height, width),
    'mask': batching.pad_to(mask, height, width, IGNORE),
    'image_size': tf.shape(image)[:2],
  }


def _evaluation_batches(rows, batch_size):
  batches = rows.padded_batch(
    batch_size,
    padding_values={
      'image': tf.constant(batching.PADDING, tf.uint8),
      'mask': tf.constant(IGNORE, tf.uint8),
      'image_size': 0,
      'source_id': tf.constant(0, tf.uint8),
    },
  )

  def rounded(batch):
    size = tf.shape(batch['image'])
    sides = padded_side(size[1]), padded_side(size[2])
    image = batching.pad_to(batch['image'], *sides)
    mask = batching.pad_to(batch['mask'], *sides, IGNORE)
    return _without_channel({**batch, 'image': image, 'mask': mask})

  return batches.map(rounded, num_parallel_calls=tf.data.AUTOTUNE)


def _without_channel(batch):
  return {**batch, 'mask': tf.squeeze(batch['mask'], -1)}
