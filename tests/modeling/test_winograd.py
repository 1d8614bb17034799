import numpy as np
import pytest
import tensorflow as tf

from official_repro.modeling import winograd


def both(height, width, batch=3, channels=5, filters=4):
  rng = np.random.default_rng(height * 10 + width)
  x = tf.constant(rng.normal(size=(batch, height, width, channels)), tf.float32)
  k = tf.constant(rng.normal(size=(3, 3, channels, filters)), tf.float32)
  return x, k


def direct(x, k):
  return tf.nn.conv2d(x, k, 1, 'SAME')


@pytest.mark.parametrize(
  'height, width', [(1, 1), (2, 7), (4, 4), (7, 7), (8, 5)]
)
def test_values_and_gradients_are_those_of_the_convolution(height, width):
  x, k = both(height, width)
  found = {}
  for function in (direct, winograd.conv3x3):
    with tf.GradientTape() as tape:
      tape.watch([x, k])
      y = function(x, k)
      total = tf.reduce_sum(tf.sin(y))
    found[function] = [y, *tape.gradient(total, [x, k])]
  for a, b in zip(*found.values()):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_by_hand():
  # One 1 in the middle of a 5 x 6 map: the kernel, turned around, about it.
  x = np.zeros((1, 5, 6, 1), np.float32)
  x[0, 2, 3] = 1
  k = np.arange(9, dtype=np.float32).reshape(3, 3, 1, 1)
  expected = np.zeros((5, 6))
  expected[1:4, 2:5] = [[8, 7, 6], [5, 4, 3], [2, 1, 0]]
  found = winograd.conv3x3(tf.constant(x), tf.constant(k))[0, ..., 0]
  np.testing.assert_allclose(found, expected, atol=1e-5)


def test_error_is_small_beside_the_largest_value():
  x, k = both(7, 7, batch=8, channels=256, filters=64)
  exact = direct(tf.cast(x, tf.float64), tf.cast(k, tf.float64)).numpy()
  error = np.abs(winograd.conv3x3(x, k) - exact).max()
  assert error < 1e-5 * np.abs(exact).max()


def test_batch_of_unknown_size_and_none():
  x, k = both(7, 7)
  graph = tf.function(
    lambda x: winograd.conv3x3(x, k),
    input_signature=[tf.TensorSpec([None, 7, 7, 5])],
  )
  np.testing.assert_allclose(graph(x), direct(x, k), rtol=1e-4, atol=1e-4)
  assert graph(x[:0]).shape == (0, 7, 7, 4)


@pytest.mark.parametrize(
  'height, width, rate', [(13, 13, 4), (9, 6, 2), (3, 5, 6), (16, 15, 3)]
)
def test_dilation(height, width, rate):
  x, k = both(height, width)
  expected = tf.nn.convolution(x, k, padding='SAME', dilations=rate)
  found = winograd.conv3x3(x, k, rate)
  assert found.shape == expected.shape
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('rate', [1, 2])
def test_maps_of_any_size_in_one_graph(rate):
  _, k = both(7, 7)
  graph = tf.function(
    lambda x: winograd.conv3x3(x, k, rate),
    input_signature=[tf.TensorSpec([None, None, None, 5])],
  )
  for height, width in ((1, 1), (2, 3), (4, 9), (17, 12)):
    x, _ = both(height, width)
    expected = tf.nn.convolution(x, k, padding='SAME', dilations=rate)
    np.testing.assert_allclose(graph(x), expected, rtol=1e-4, atol=1e-4)


def test_work_of_a_map():
  # Tiles of 4 x 4 outputs and 36 products, of 2 x 2 and 16 up to two pixels.
  assert winograd.work(7, 7)[:2] == (4, 4 * 36)
  assert winograd.work(2, 2)[:2] == (1, 16)
  assert winograd.work(2, 9)[:2] == (3, 3 * 24)
  # 12 points of 7 rows over 7 columns, then 12 x 12 points of 7 columns.
  assert winograd.work(7, 7).transforms == 12 * 7 * 7 + 12 * 12 * 7
  # At rate 4 a map of 13 x 13 is 16 maps of 4 x 4.
  assert winograd.work(13, 13, 4)[:2] == (16, 16 * 36)
  found = winograd.work(tf.constant(17), tf.constant(30), 2)
  assert [int(n) for n in found[:2]] == [4 * 3 * 4, 4 * 3 * 4 * 36]


def test_a_map_of_two_pixels_is_more_exact():
  x, k = both(2, 2, batch=8, channels=256, filters=64)
  exact = direct(tf.cast(x, tf.float64), tf.cast(k, tf.float64)).numpy()
  error = np.abs(winograd.conv3x3(x, k) - exact).max()
  assert error < 5e-6 * np.abs(exact).max()
