"""From one serialized example to its picture and objects, in graph.

Every check names the record: a wrong box is found where it is, not as a NaN
thousands of steps later.
"""

import tensorflow as tf

_SIDES = ('ymin', 'xmin', 'ymax', 'xmax')
# The builder keeps boxes inside the picture; float32 rounds.
_TOLERANCE = 1e-5


class RecordParser:
  """Reads the objects of a record.

  Args:
    class_map: int [stored labels + 1], see label_space.LabelSpace.
    max_boxes: a record with more objects is an error.
  """

  def __init__(self, class_map, max_boxes: int):
    self._class_map = tf.constant(class_map, tf.int32)
    self._stored = len(class_map) - 1
    self._max_boxes = max_boxes
    many = lambda dtype: tf.io.FixedLenSequenceFeature(
      [], dtype, allow_missing=True
    )
    self._features = {
      'image/encoded': tf.io.FixedLenFeature([], tf.string),
      'image/source_id': tf.io.FixedLenFeature([], tf.string),
      'image/height': tf.io.FixedLenFeature([], tf.int64),
      'image/width': tf.io.FixedLenFeature([], tf.int64),
      'image/object/class/label': many(tf.int64),
      'image/object/is_crowd': many(tf.int64),
      'image/object/area': many(tf.float32),
      **{f'image/object/bbox/{s}': many(tf.float32) for s in _SIDES},
    }

  def parse(self, record, keep_crowds: bool) -> dict:
    """Parses a record; a picture without objects is a good one.

    Left out: boxes without height or width, labels that are not wanted, and
    crowds where they are not.

    Args:
      record: string [], the serialized example.
      keep_crowds: whether to keep objects with is_crowd set.

    Returns:
      encoded: string []; source_id: string []; boxes: float32 [N, 4], 0 to 1;
      classes: int32 [N], from 1; is_crowd: bool [N]; area: float32 [N], square
      pixels of the original picture.

    Raises:
      tf.errors.InvalidArgumentError: a label outside the label space, a box
        outside the picture, too many objects, or lists of unequal length.
    """
    example = tf.io.parse_single_example(record, self._features)
    name = example['image/source_id']
    labels = tf.cast(example['image/object/class/label'], tf.int32)
    sides = [example[f'image/object/bbox/{s}'] for s in _SIDES]
    with tf.control_dependencies(self._length_checks(name, labels, sides)):
      boxes = tf.stack(sides, 1)
    with tf.control_dependencies(self._value_checks(name, labels, boxes)):
      boxes = tf.clip_by_value(boxes, 0.0, 1.0)
      labels = tf.identity(labels)
    shape = tf.stack([example['image/height'], example['image/width']])
    area = _area(example, boxes, tf.cast(shape, tf.float32))
    is_crowd = _or_zeros(example['image/object/is_crowd'], labels) > 0
    classes = tf.gather(self._class_map, labels)
    kept = (classes > 0) & (boxes[:, 2] > boxes[:, 0])
    kept &= boxes[:, 3] > boxes[:, 1]
    if not keep_crowds:
      kept &= ~is_crowd
    with tf.control_dependencies([self._check_number(name, kept)]):
      keep = lambda values: tf.boolean_mask(values, kept)
      return {
        'encoded': tf.identity(example['image/encoded']),
        'source_id': name,
        'boxes': keep(boxes),
        'classes': keep(classes),
        'is_crowd': keep(is_crowd),
        'area': keep(area),
      }

  def _length_checks(self, name, labels, sides):
    lengths = tf.stack([tf.size(labels), *(tf.size(s) for s in sides)])
    return [
      tf.debugging.Assert(
        tf.reduce_all(lengths == lengths[0]),
        ['Box labels and box sides differ in number in record', name, lengths],
      )
    ]

  def _value_checks(self, name, labels, boxes):
    inside = (boxes >= -_TOLERANCE) & (boxes <= 1 + _TOLERANCE)
    in_range = (labels >= 1) & (labels <= self._stored)
    upright = boxes[:, 2:] >= boxes[:, :2]
    bad = lambda good: tf.boolean_mask(boxes, ~tf.reduce_all(good, 1))[:1]
    return [
      tf.debugging.Assert(
        tf.reduce_all(in_range),
        [
          f'Box label outside 1..{self._stored} (build the data set again with '
          'its label space) in record',
          name,
          tf.boolean_mask(labels, ~in_range),
        ],
      ),
      tf.debugging.Assert(
        tf.reduce_all(inside),  # false for NaN, too
        [
          'A box lies outside the picture (ymin, xmin, ymax, xmax from 0 to 1) '
          'in record',
          name,
          bad(inside),
        ],
        summarize=4,
      ),
      tf.debugging.Assert(
        tf.reduce_all(upright),
        [
          'A box has its far edge before its near one (ymin, xmin, ymax, xmax) '
          'in record',
          name,
          bad(upright),
        ],
        summarize=4,
      ),
    ]

  def _check_number(self, name, kept):
    number = tf.reduce_sum(tf.cast(kept, tf.int32))
    return tf.debugging.Assert(
      number <= self._max_boxes,
      [
        f'More than max_boxes={self._max_boxes} objects (raise '
        'task.train_data.max_boxes and task.validation_data.max_boxes) in '
        'record',
        name,
        number,
      ],
    )


def _or_zeros(values, labels):
  """The values of all objects, or zeros where the record has none."""
  return tf.cond(
    tf.size(values) == tf.size(labels),
    lambda: values,
    lambda: tf.zeros(tf.shape(labels), values.dtype),
  )


def _area(example, boxes, shape):
  """Area of all objects; that of the box where the record has none."""
  sides = (boxes[:, 2:] - boxes[:, :2]) * shape
  values = example['image/object/area']
  return tf.cond(
    tf.size(values) == tf.shape(boxes)[0],
    lambda: values,
    lambda: sides[:, 0] * sides[:, 1],
  )
