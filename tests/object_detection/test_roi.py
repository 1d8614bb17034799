import numpy as np
import pytest
import tensorflow as tf

from object_detection import roi
from tests.conftest import golden


@pytest.mark.parametrize(
  'name', ['2x2_to_1x1', '2x2_to_3x3_flipped', 'random_14']
)
def test_golden_crops(name):
  case = golden('crop_and_resize')[name]
  given = case['inputs']
  boxes = np.array(given['boxes'], 'f4')
  height, width = given['crop_size']
  assert height == width
  found = roi.crop_and_resize(
    np.array(given['image'], 'f4'),
    boxes[0],
    np.zeros(boxes.shape[1], 'i4'),
    height,
  )
  np.testing.assert_allclose(
    found[None], case['expected'], atol=case['tol'], rtol=case['tol']
  )


def test_golden_crops_pooled():
  case = golden('crop_and_resize')['random_14']
  image = np.array(case['inputs']['image'], 'f4')
  boxes = np.array(case['inputs']['boxes'], 'f4')
  # In pixels of an input of 70 x 90.
  found = roi.crop_and_pool(image, boxes * [70, 90, 70, 90], (70, 90), crop=4)
  expected = np.array(case['expected'])[0].reshape(3, 2, 2, 2, 2, 2)
  np.testing.assert_allclose(
    found, expected.max((2, 4)), atol=case['tol'], rtol=case['tol']
  )


def test_by_hand():
  # 3 x 3 cells of an input of 20 x 40; value = 10 row + column.
  features = (10.0 * np.arange(3)[:, None] + np.arange(3))[None, :, :, None]
  features = np.concatenate([features, features + 100]).astype('f4')
  whole, right = [0, 0, 20, 40], [0, 20, 20, 40]
  found = roi.crop_and_pool(features, [[whole, right]] * 2, (20, 40), crop=2)
  # Two samples a side, the corners, then their maximum: 22 each time.
  assert found.shape == (4, 1, 1, 1)
  np.testing.assert_allclose(found[:, 0, 0, 0], [22, 22, 122, 122])
  found = roi.crop_and_pool(features, [[whole, right]] * 2, (20, 40), crop=4)
  # Rows 0, 2/3, 4/3, 2 -> 2/3 and 2; columns likewise, right: 1 + half.
  expected = [[10 * r + c for c in (2 / 3, 2)] for r in (2 / 3, 2)]
  np.testing.assert_allclose(found[0, ..., 0], expected, rtol=1e-5)
  expected = [[10 * r + c for c in (4 / 3, 2)] for r in (2 / 3, 2)]
  np.testing.assert_allclose(found[1, ..., 0], expected, rtol=1e-5)


def test_gradient_flows_to_the_features_and_not_to_the_boxes():
  features = tf.random.stateless_normal([1, 5, 6, 2], (0, 1))
  boxes = tf.constant([[[0.0, 0, 40, 60], [10, 10, 70, 80]]])
  with tf.GradientTape() as tape:
    tape.watch([features, boxes])
    total = tf.reduce_sum(roi.crop_and_pool(features, boxes, (80, 96)))
  to_features, to_boxes = tape.gradient(total, [features, boxes])
  assert to_boxes is None
  # Every pooled value is a weighted mean of cells: its gradient sums to one.
  np.testing.assert_allclose(
    tf.reduce_sum(to_features), 2 * 7 * 7 * 2, rtol=1e-4
  )


def many_boxes(count=400, num_images=2):
  rng = np.random.default_rng(0)
  corners = np.sort(rng.uniform(-0.1, 1.1, (count, 2, 2)), axis=1)
  boxes = corners.reshape(count, 4).astype('f4')
  return boxes, np.sort(rng.integers(0, num_images, count)).astype('i4')


def gradient(crop_and_resize, features, boxes, owners, upstream):
  with tf.GradientTape() as tape:
    tape.watch(features)
    crops = crop_and_resize(features, boxes, owners)
  return tape.gradient(crops, features, upstream).numpy()


def test_gradient_is_tensorflows_box_by_box():
  # One box at a time, so that its threads do not meet.
  features = tf.random.stateless_normal([2, 9, 7, 5], (0, 1))
  boxes, owners = many_boxes(60)
  upstream = tf.random.stateless_normal([60, 6, 6, 5], (0, 2))

  def whole(features, boxes, owners):
    return roi.crop_and_resize(features, boxes, owners, 6)

  def tensorflows(features, boxes, owners):
    return tf.image.crop_and_resize(features, boxes, owners, [6, 6])

  found = gradient(whole, features, boxes, owners, upstream)
  expected = sum(
    gradient(tensorflows, features, *(x[i : i + 1] for x in parts))
    for parts in [(boxes, owners, upstream)]
    for i in range(60)
  )
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_gradient_loses_nothing_to_threads():
  features = tf.random.stateless_normal([2, 15, 15, 128], (0, 1))
  boxes, owners = many_boxes()
  upstream = tf.random.stateless_normal([400, 8, 8, 128], (0, 2))

  def crop(features, boxes, owners):
    return roi.crop_and_resize(features, boxes, owners, 8)

  first = gradient(crop, features, boxes, owners, upstream)
  for _ in range(3):
    again = gradient(crop, features, boxes, owners, upstream)
    np.testing.assert_array_equal(again, first)


def test_zero_padding_gives_finite_crops():
  features = tf.random.stateless_normal([2, 4, 4, 3], (0, 1))
  found = roi.crop_and_pool(features, tf.zeros([2, 5, 4]), (64, 64))
  assert found.shape == (10, 7, 7, 3)
  expected = np.repeat(features[:, 0, 0], 5, 0)[:, None, None]
  np.testing.assert_allclose(found, expected + np.zeros((10, 7, 7, 3)))


def test_in_a_graph_of_unknown_size_and_in_half_precision():
  features = tf.random.stateless_normal([2, 5, 6, 4], (0, 1))
  boxes = tf.constant([[[0.0, 0, 40, 60]], [[10.0, 10, 70, 80]]])
  eager = roi.crop_and_pool(features, boxes, (80, 96))
  graph = tf.function(
    lambda f, b, s: roi.crop_and_pool(f, b, s),
    input_signature=[
      tf.TensorSpec([None, None, None, 4]),
      tf.TensorSpec([None, None, 4]),
      tf.TensorSpec([2], tf.int32),
    ],
  )
  assert graph.get_concrete_function().output_shapes.as_list() == [
    None,
    7,
    7,
    4,
  ]
  np.testing.assert_allclose(graph(features, boxes, [80, 96]), eager)
  half = roi.crop_and_pool(tf.cast(features, tf.float16), boxes, (80, 96))
  assert half.dtype == tf.float16
  np.testing.assert_allclose(half, eager, atol=5e-3)


@pytest.mark.parametrize('crop', [0, 7])
def test_bad_crops(crop):
  with pytest.raises(ValueError, match=f'at least 2; got {crop}'):
    roi.crop_and_pool(tf.zeros([1, 2, 2, 1]), tf.zeros([1, 1, 4]), (9, 9), crop)
