import numpy as np
import pytest
import tensorflow as tf

from object_detection import anchors
from tests.conftest import golden


@pytest.mark.parametrize(
  'name', ['single_anchor', 'coco_4scales_3ratios_stride8']
)
def test_golden(name):
  case = golden('grid_anchors')[name]
  given = case['inputs']
  found = anchors.grid_anchors(
    *given['feature_map_shape'],
    stride=given['anchor_stride'],
    base_size=given['base_anchor_size'],
    scales=given['scales'],
    aspect_ratios=given['aspect_ratios'],
    offset=given['anchor_offset'],
  )
  assert found.dtype == tf.float32
  np.testing.assert_allclose(
    found, case['expected'], atol=case['tol'], rtol=case['tol']
  )


def test_order_is_row_column_ratio_scale():
  found = anchors.grid_anchors(2, 3).numpy().reshape(2, 3, 3, 4, 4)
  centre = (found[..., :2] + found[..., 2:]) / 2
  size = found[..., 2:] - found[..., :2]
  # Row 1, column 2, ratio 2 (wider than high), scale 0.25: 256 / 4 = 64 pixels
  # a side of the square, 64 / sqrt 2 high and 64 sqrt 2 wide.
  np.testing.assert_allclose(centre[1, 2, 2, 0], [16, 32], atol=1e-4)
  np.testing.assert_allclose(
    size[1, 2, 2, 0], [64 / 2**0.5, 64 * 2**0.5], rtol=1e-6
  )
  np.testing.assert_allclose(size[0, 0, 1, :, 0], [64, 128, 256, 512])
  np.testing.assert_allclose(
    size[0, 0, :, 1, 1] / size[0, 0, :, 1, 0], [0.5, 1, 2], rtol=1e-6
  )


def test_sizes_may_be_tensors():
  graph = tf.function(
    lambda h, w: anchors.grid_anchors(h, w),
    input_signature=[tf.TensorSpec([], tf.int32)] * 2,
  )
  found = graph(3, 5)
  np.testing.assert_array_equal(found, anchors.grid_anchors(3, 5))
  assert anchors.grid_anchors(3, 5).shape == (3 * 5 * 12, 4)


def test_inside_image_by_hand():
  # Stride 10, one square of 20 pixels: centres 0, 10, 20, 30 each way.
  grid = anchors.grid_anchors(4, 4, 10, 20, scales=[1], aspect_ratios=[1])
  # Wholly inside 40 x 30: centres 10..30 down, 10..20 across.
  expected = np.zeros((4, 4), bool)
  expected[1:4, 1:3] = True
  found = anchors.inside_image(grid, 40, 30)
  np.testing.assert_array_equal(found, expected.ravel())


@pytest.mark.parametrize('height,width', [(64, 48), (65, 33), (63, 1)])
def test_cells_of_an_image_in_a_padded_batch(height, width):
  # The image alone has ceil(side / 16) cells; as part of 8 x 8 cells exactly
  # the anchors on those cells count, however large they are.
  padded = anchors.grid_anchors(8, 8)
  mask = anchors.centred_in_image(padded, height, width)
  alone = anchors.grid_anchors(-(-height // 16), -(-width // 16))
  np.testing.assert_array_equal(tf.boolean_mask(padded, mask), alone)


def test_a_size_for_each_image():
  grid = anchors.grid_anchors(5, 6, base_size=64)
  sizes = np.array([[80, 96], [40, 70], [3, 3]])
  for function in (anchors.inside_image, anchors.centred_in_image):
    together = function(grid, sizes[:, :1], sizes[:, 1:])
    for row, (height, width) in zip(together, sizes):
      np.testing.assert_array_equal(row, function(grid, height, width))


@pytest.mark.parametrize(
  'wrong',
  [
    {'scales': []},
    {'scales': [1, 0]},
    {'aspect_ratios': [-1]},
    {'stride': 0},
    {'base_size': (256, -1)},
  ],
)
def test_bad_numbers_are_named(wrong):
  with pytest.raises(ValueError, match=f'{next(iter(wrong))} .* above 0; got'):
    anchors.grid_anchors(2, 2, **wrong)
