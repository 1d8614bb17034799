"""From one serialized example to its people, in graph.

Every check names the record: a wrong joint is found where it is, not as a NaN
thousands of steps later.
"""

import tensorflow as tf

from pose import joints as joints_lib

K = len(joints_lib.NAMES)
_SIDES = ('ymin', 'xmin', 'ymax', 'xmax')
_AGAIN = '(build the data set again)'


def features() -> dict:
  """Keys to read for parse_objects, without the picture itself."""
  many = lambda dtype: tf.io.FixedLenSequenceFeature(
    [], dtype, allow_missing=True
  )
  return {
    'image/source_id': tf.io.FixedLenFeature([], tf.string),
    'image/height': tf.io.FixedLenFeature([], tf.int64),
    'image/width': tf.io.FixedLenFeature([], tf.int64),
    'image/object/class/label': many(tf.int64),
    'image/object/is_crowd': many(tf.int64),
    'image/object/area': many(tf.float32),
    'image/object/keypoint/y': many(tf.float32),
    'image/object/keypoint/x': many(tf.float32),
    'image/object/keypoint/visibility': many(tf.int64),
    **{f'image/object/bbox/{s}': many(tf.float32) for s in _SIDES},
  }


def parse_objects(record) -> dict:
  """Parses the objects of a record; a picture without any is a good one.

  Args:
    record: string [], the serialized example.

  Returns:
    source_id: string [].
    size: int32 [2], height and width of the picture.
    boxes: float32 [N, 4], ymin, xmin, ymax, xmax in pixels.
    joints: float32 [N, K, 3], y and x in pixels, visibility; zeros where
      nothing is labelled, and everywhere if the record has no keypoints.
    labels: int64 [N], from 1.
    is_crowd: bool [N].
    area: float32 [N], square pixels; that of the box where there is none.

  Raises:
    tf.errors.InvalidArgumentError: (when run) lists of other lengths, a
      visibility that is not 0, 1 or 2, a number that is not finite.
  """
  example = tf.io.parse_single_example(record, features())
  name = example['image/source_id']
  sides = [example[f'image/object/bbox/{s}'] for s in _SIDES]
  parts = [example[f'image/object/keypoint/{p}'] for p in ('y', 'x')]
  seen = tf.cast(example['image/object/keypoint/visibility'], tf.float32)
  size = tf.cast(
    tf.stack([example['image/height'], example['image/width']]), tf.int32
  )
  columns = [*sides, example['image/object/class/label']]
  with tf.control_dependencies(_length_checks(name, columns, [*parts, seen])):
    boxes, joints = tf.stack(sides, 1), tf.stack([*parts, seen], 1)
  count = tf.shape(boxes)[0]
  joints = tf.cond(
    tf.size(joints) > 0,
    lambda: tf.reshape(joints, [count, K, 3]),
    lambda: tf.zeros([count, K, 3]),
  )
  with tf.control_dependencies(_value_checks(name, boxes, joints)):
    boxes, joints = tf.identity(boxes), tf.identity(joints)
  scale = tf.cast(size, tf.float32)
  boxes = boxes * tf.tile(scale, [2])
  joints = joints * tf.concat([scale, [1.0]], 0)
  return {
    'source_id': name,
    'size': size,
    'boxes': boxes,
    'joints': tf.ensure_shape(joints, [None, K, 3]),
    'labels': example['image/object/class/label'],
    'is_crowd': _or_zeros(example['image/object/is_crowd'], count) > 0,
    'area': _area(example['image/object/area'], boxes),
  }


def encoded(record):
  """The file of the picture: string []."""
  feature = {'image/encoded': tf.io.FixedLenFeature([], tf.string)}
  return tf.io.parse_single_example(record, feature)['image/encoded']


def _length_checks(name, columns, parts):
  lengths = tf.stack([tf.size(c) for c in columns])
  joints = tf.stack([tf.size(p) for p in parts])
  right = (joints == 0) | (joints == K * lengths[0])
  return [
    tf.debugging.Assert(
      tf.reduce_all(lengths == lengths[0]),
      [f'Box labels and box sides differ in number {_AGAIN} in record', name],
    ),
    tf.debugging.Assert(
      tf.reduce_all(right & (joints == joints[0])),
      [
        f'Not {K} keypoints (y, x, visibility) for each object, as COCO has '
        f'them {_AGAIN} in record',
        name,
        joints,
        lengths[:1],
      ],
    ),
  ]


def _value_checks(name, boxes, joints):
  visibility = joints[..., 2]
  known = tf.reduce_any(visibility[..., None] == [0.0, 1.0, 2.0], -1)
  finite = lambda values: tf.reduce_all(tf.math.is_finite(values))
  return [
    tf.debugging.Assert(
      tf.reduce_all(known),
      [f'A visibility is not 0, 1 or 2 {_AGAIN} in record', name],
    ),
    tf.debugging.Assert(
      finite(boxes) & finite(joints),
      [f'A box or joint is not a finite number {_AGAIN} in record', name],
    ),
  ]


def _or_zeros(values, count):
  return tf.cond(
    tf.size(values) == count,
    lambda: values,
    lambda: tf.zeros([count], values.dtype),
  )


def _area(values, boxes):
  sides = boxes[:, 2:] - boxes[:, :2]
  return tf.cond(
    tf.size(values) == tf.shape(boxes)[0],
    lambda: values,
    lambda: sides[:, 0] * sides[:, 1],
  )
