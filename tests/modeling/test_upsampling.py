"""Upsampling by hand."""

import numpy as np
import pytest
import tensorflow as tf

from official_repro.modeling import upsampling


def test_upsampling_by_hand():
  maps = np.float32([[[[0.0], [8.0]], [[16.0], [24.0]]]])
  found = upsampling.upsample(tf.constant(maps), 9, 6, 8)[0, ..., 0]
  rows, columns = np.mgrid[:9, :6]
  np.testing.assert_allclose(found, 2 * rows + columns, atol=1e-5)


@pytest.mark.parametrize(
  'side, missing', [(353, 0), (257, 0), (513, 0), (1, 0), (2, 7), (96, 1)]
)
def test_padding_makes_sides_of_whole_cells_and_one_pixel(side, missing):
  assert upsampling.padding(side, 8) == missing


@pytest.mark.parametrize('shape', [[1, 3, 4, 2], [None, None, None, 2]])
@pytest.mark.parametrize('height, width', [(17, 25), (13, 25), (17, 20)])
@pytest.mark.parametrize('known', [True, False])
def test_sizes_of_maps_and_pictures_known_or_not(shape, height, width, known):
  maps = tf.random.normal([1, 3, 4, 2])
  size = tf.constant([height, width])

  @tf.function(
    input_signature=[tf.TensorSpec(shape), tf.TensorSpec([2], tf.int32)]
  )
  def graph(maps, size):
    sides = (height, width) if known else tf.unstack(size)
    return upsampling.upsample(maps, *sides, 8)

  found = graph(maps, size)
  assert found.shape == (1, height, width, 2)
  # On a cell's centre its own value.
  np.testing.assert_allclose(
    found[:, ::8, ::8], maps[:, : -(-height // 8), : -(-width // 8)], atol=1e-6
  )
