import numpy as np
import pytest
import tensorflow as tf

from official_repro.data import batching


def test_pad_to_pads_at_the_bottom_and_right():
  images = np.arange(2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 3, 1)
  found = batching.pad_to(images, 3, 5).numpy()
  assert found.shape == (2, 3, 5, 1) and found.dtype == np.uint8
  np.testing.assert_array_equal(found[:, :2, :3], images)
  assert (found[:, 2] == 128).all() and (found[:, :, 3:] == 128).all()
  found = batching.pad_to(images[0], 3, 3, 255).numpy()[..., 0]
  assert found.tolist() == [[0, 1, 2], [3, 4, 5], [255] * 3]


def test_padding_is_near_zero_where_pixels_are_normalised():
  assert abs(batching.PADDING / 127.5 - 1) < 0.004


@pytest.mark.parametrize(
  'size, multiple, expected', [(1, 8, 8), (8, 8, 8), (9, 8, 16), (7, 1, 7)]
)
def test_round_up(size, multiple, expected):
  assert batching.round_up(size, multiple) == expected
  assert batching.round_up(tf.constant(size), multiple).numpy() == expected


@pytest.mark.parametrize('text', ['', 'a', 'VOC2012/2007_000032', 'ü' * 128])
def test_source_ids_come_back(text):
  found = batching.source_id_bytes(tf.constant(text))
  assert found.shape == (256,) and found.dtype == tf.uint8
  assert batching.text_of(found) == text


def test_too_long_source_id():
  with pytest.raises(tf.errors.InvalidArgumentError, match='256 bytes'):
    batching.source_id_bytes(tf.constant('x' * 257))
