"""From one serialized example to its picture and mask, in graph.

Every check names the record: a wrong mask is found where it is, not as a NaN
thousands of steps later.
"""

import tensorflow as tf

from deeplab.label_space import IGNORE
from official_repro.data import images

_MASK = 'image/segmentation/class/encoded'
_AGAIN = '(build the data set again)'
# Where a PNG has its bits per sample, followed by its colour type.
_PNG_DEPTH = 24
_GREY = 0
_PNG_START = b'\x89PNG\r\n\x1a\n'


class RecordParser:
  """Reads the picture and the mask of a record.

  Args:
    num_classes: with the background; mask values are below it, or 255.
  """

  def __init__(self, num_classes: int):
    self._num_classes = num_classes
    text = tf.io.FixedLenFeature([], tf.string)
    self._features = {
      'image/encoded': text,
      'image/source_id': text,
      _MASK: tf.io.FixedLenFeature([], tf.string, default_value=''),
    }

  def parse(self, record) -> dict:
    """Parses and decodes a record.

    Args:
      record: string [], the serialized example.

    Returns:
      image: uint8 [H, W, 3]; mask: uint8 [H, W, 1]; source_id: string [].

    Raises:
      tf.errors.InvalidArgumentError: (when run) no mask; one that is no PNG
        in 8-bit grey (a palette becomes colours when it is read, fewer bits
        become multiples); one of another size than the picture; a value
        outside the classes.
    """
    example = tf.io.parse_single_example(record, self._features)
    name = example['image/source_id']
    image = images.decode(example['image/encoded'])
    with tf.control_dependencies([_check_kind(name, example[_MASK])]):
      mask = tf.io.decode_png(tf.identity(example[_MASK]), channels=1)
    checks = [_check_size(name, image, mask), self._check_values(name, mask)]
    with tf.control_dependencies(checks):
      mask = tf.identity(mask)
    return {'image': image, 'mask': mask, 'source_id': name}

  def _check_values(self, name, mask):
    wrong = (mask >= self._num_classes) & (mask != IGNORE)
    return tf.debugging.Assert(
      ~tf.reduce_any(wrong),
      [
        f'Mask value above {self._num_classes - 1} and not {IGNORE} '
        '(build the data set again with its label space) in record',
        name,
        tf.boolean_mask(mask, wrong)[:1],
      ],
    )


def _check_kind(name, encoded):
  """One check after the other, as each needs what the one before found."""
  there = tf.debugging.Assert(
    tf.strings.length(encoded) > 0,
    [f'No mask ({_MASK}) {_AGAIN} in record', name],
  )
  with tf.control_dependencies([there]):
    is_png = tf.strings.substr(encoded, 0, len(_PNG_START)) == _PNG_START
    is_png &= tf.strings.length(encoded) > _PNG_DEPTH + 1
  png = tf.debugging.Assert(
    is_png, [f'The mask is no PNG file {_AGAIN} in record', name]
  )
  with tf.control_dependencies([png]):
    kind = tf.io.decode_raw(tf.strings.substr(encoded, _PNG_DEPTH, 2), tf.uint8)
  return tf.debugging.Assert(
    tf.reduce_all(kind == [8, _GREY]),
    [
      'The mask is no PNG of 8 bits in grey, whose values are class indices: '
      'its bits and colour type (0 grey, 2 colour, 3 palette, 4 or 6 with '
      f'transparency) are wrong {_AGAIN} in record',
      name,
      kind,
    ],
  )


def _check_size(name, image, mask):
  sizes = tf.stack([tf.shape(mask)[:2], tf.shape(image)[:2]])
  return tf.debugging.Assert(
    tf.reduce_all(sizes[0] == sizes[1]),
    [
      'The mask has another size (height, width) than its picture '
      f'{_AGAIN} in record',
      name,
      sizes[0],
      sizes[1],
    ],
  )
