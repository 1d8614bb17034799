"""What the pixels of a checkpoint from elsewhere are."""

import numpy as np
import pytest

from official_repro.modeling import pixels

IMAGES = np.float32([-1, 0, 1]).reshape(1, 1, 1, 3)


def test_own_range_is_left_alone():
  assert pixels.PixelMap((-1, 1))(IMAGES) is IMAGES


def test_range_by_hand():
  # Mean subtraction: 0 becomes -mean and 255 becomes 255 - mean.
  found = pixels.PixelMap(((-10, -20, -30), (245, 235, 225)))(IMAGES)
  np.testing.assert_allclose(found[0, 0, 0], [-10, 127.5 - 20, 225])
  np.testing.assert_allclose(pixels.PixelMap((0, 1))(IMAGES), (IMAGES + 1) / 2)


def test_range_as_it_came():
  given = ((-9, -8, -7), 9.5)
  assert pixels.PixelMap(given).as_list() == [[-9, -8, -7], 9.5]


@pytest.mark.parametrize(
  'given,sentence',
  [((1, -1), 'must lie above'), (((1, 2), 3), 'one number or three')],
)
def test_wrong_ranges_are_told(given, sentence):
  with pytest.raises(ValueError, match=sentence):
    pixels.PixelMap(given)
