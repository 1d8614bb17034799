"""Objects of a record in pixels, and what is refused by name."""

import numpy as np
import pytest
import tensorflow as tf

from official_repro.data import examples
from pose import record_parser
from tests.pose import folders

SOMEBODY = folders.person((8, 4, 40, 20), visible=1)
CROWD = folders.person((0, 0, 64, 48), visible=0, crowd=True, area=99, label=3)


@pytest.fixture(scope='module')
def parse():
  return tf.function(
    record_parser.parse_objects,
    input_signature=[tf.TensorSpec([], tf.string)],
  )


def record(people, **fields):
  example = folders.example('the-odd-one', people, (64, 48), **fields)
  return examples.encode_example(example)


def changed(**lists):
  """A record of somebody with other lists under keys of image/object."""
  proto = tf.train.Example.FromString(record([SOMEBODY]))
  for key, values in lists.items():
    feature = proto.features.feature[f'image/object/{key.replace("__", "/")}']
    kind = feature.WhichOneof('kind')
    getattr(feature, kind).value[:] = values
  return proto.SerializeToString()


def test_objects_in_pixels(parse):
  found = parse(record([SOMEBODY, CROWD]))
  assert found['source_id'] == b'the-odd-one'
  assert found['size'].numpy().tolist() == [64, 48]
  np.testing.assert_allclose(found['boxes'], [SOMEBODY.box, CROWD.box], 1e-6)
  np.testing.assert_allclose(
    found['joints'], [SOMEBODY.joints, CROWD.joints], 1e-6
  )
  assert found['labels'].numpy().tolist() == [1, 3]
  assert found['is_crowd'].numpy().tolist() == [False, True]
  assert found['area'].numpy().tolist() == [32 * 16, 99]


def test_what_may_be_absent(parse):
  found = parse(record([SOMEBODY], is_crowd=None, area=None, keypoints=None))
  assert found['is_crowd'].numpy().tolist() == [False]
  assert found['area'].numpy().tolist() == [32 * 16]
  assert found['joints'].shape == (1, 17, 3)
  assert not found['joints'].numpy().any()


@pytest.mark.parametrize('boxes', [True, False])
def test_nobody(parse, boxes):
  fields = {} if boxes else dict.fromkeys(
    ('boxes', 'box_labels', 'is_crowd', 'area', 'keypoints')
  )  # fmt: skip
  found = parse(record([], **fields))
  assert found['boxes'].shape == (0, 4)
  assert found['joints'].shape == (0, 17, 3)
  assert found['area'].shape == found['labels'].shape == (0,)


@pytest.mark.parametrize(
  'lists, message',
  [
    ({'bbox__ymax': [0.5, 0.6]}, 'labels and box sides differ in number'),
    ({'class__label': []}, 'labels and box sides differ in number'),
    ({'keypoint__y': [0.1] * 16}, r'Not 17 keypoints .* \[16 17 17\] \[1\]'),
    ({'keypoint__visibility': [1] * 34}, r'\[17 17 34\]'),
    ({'keypoint__x': []}, 'Not 17 keypoints'),
    ({'keypoint__visibility': [3] * 17}, 'A visibility is not 0, 1 or 2'),
    ({'keypoint__y': [np.nan] * 17}, 'not a finite number'),
    ({'bbox__xmin': [np.inf]}, 'not a finite number'),
  ],
)
def test_wrong_lists_name_the_record(parse, lists, message):
  with pytest.raises(tf.errors.InvalidArgumentError, match=message) as error:
    parse(changed(**lists))
  assert 'the-odd-one' in str(error.value)
  assert 'build the data set again' in str(error.value)


def test_picture_of_a_record():
  example = folders.example('a', [SOMEBODY])
  found = record_parser.encoded(examples.encode_example(example))
  assert found.numpy() == example.encoded
