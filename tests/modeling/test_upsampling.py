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
