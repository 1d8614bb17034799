"""From one serialized example to one row of a batch, in graph.

Every check names the record: a wrong label is found where it is, not as a NaN
or a silent negative later.
"""

import tensorflow as tf

PADDING = -1
LABEL_KEYS = {
  'filled': 'image/class/label',
  'given': 'image/class/given_label',
}


class Parser:
  """Turns one serialized example into one row of a batch."""

  def __init__(
    self,
    *,
    num_classes,
    max_labels,
    labels,
    with_confidence,
    with_source_id,
    label_map=None,
  ):
    self._label_map = label_map
    # Of the label space of the records, which that of a subset is a part of.
    self._num_stored = num_classes if label_map is None else len(label_map)
    self._max_labels = max_labels
    self._key = LABEL_KEYS[labels]
    self._with_confidence = with_confidence
    self._with_source_id = with_source_id
    many = lambda dtype: tf.io.FixedLenSequenceFeature(
      [], dtype, allow_missing=True
    )
    self._features = {
      'image/encoded': tf.io.FixedLenFeature([], tf.string),
      'image/source_id': tf.io.FixedLenFeature([], tf.string),
      'image/class/label': many(tf.int64),
    }
    if labels == 'given':
      self._features[self._key] = many(tf.int64)
    if with_confidence:
      self._features['image/class/confidence'] = many(tf.float32)

  def parse(self, record, decode):
    """Parses a record; `decode` maps the picture's bytes to its pixels."""
    example = tf.io.parse_single_example(record, self._features)
    with tf.control_dependencies(self._checks(example)):
      label_ids = tf.identity(example[self._key])
    confidence = example.get('image/class/confidence')
    if self._label_map is not None:
      mapped = tf.gather(tf.constant(self._label_map, tf.int64), label_ids)
      kept = mapped >= 0
      label_ids = tf.boolean_mask(mapped, kept)
      if self._with_confidence:
        confidence = tf.boolean_mask(confidence, kept)
    with tf.control_dependencies([self._check_number(example, label_ids)]):
      label_ids = tf.cast(label_ids, tf.int32)
    row = {
      'image': decode(example['image/encoded']),
      'label_ids': self._pad(label_ids, PADDING),
    }
    if self._with_confidence:
      with tf.control_dependencies([label_ids]):
        row['confidence'] = self._pad(tf.identity(confidence), 0.0)
    if self._with_source_id:
      row['source_id'] = example['image/source_id']
    return row

  def _pad(self, values, padding):
    missing = self._max_labels - tf.size(values)
    values = tf.pad(values, [[0, missing]], constant_values=padding)
    return tf.ensure_shape(values, [self._max_labels])

  def _check_number(self, example, label_ids):
    return tf.debugging.Assert(
      tf.size(label_ids) <= self._max_labels,
      [
        f'More than max_labels={self._max_labels} labels (raise it) in record',
        example['image/source_id'],
        tf.size(label_ids),
      ],
    )

  def _checks(self, example):
    """Errors that name the record; one comparison each where all is well."""
    name = example['image/source_id']
    label_ids = example[self._key]
    in_range = (label_ids >= 0) & (label_ids < self._num_stored)
    checks = [
      tf.debugging.Assert(
        tf.reduce_all(in_range),
        [
          f'Label id outside 0..{self._num_stored - 1} in record',
          name,
          label_ids,
        ],
        summarize=self._max_labels,
      ),
    ]
    if self._key != LABEL_KEYS['filled']:
      checks.append(
        tf.debugging.Assert(
          tf.equal(
            tf.size(label_ids) > 0, tf.size(example['image/class/label']) > 0
          ),
          [f'No {self._key} beside image/class/label in record', name],
        )
      )
    if self._with_confidence:
      checks.append(
        tf.debugging.Assert(
          tf.equal(
            tf.size(example['image/class/confidence']), tf.size(label_ids)
          ),
          [
            'image/class/confidence and labels differ in number in record',
            name,
          ],
        )
      )
    return checks
