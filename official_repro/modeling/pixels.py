"""What 0 and 255 become before a trunk's first convolution.

Pictures come to all networks in [-1, 1]. A checkpoint from elsewhere may have
learnt another range, such as mean subtraction; its metadata records that one,
and the network applies it.
"""

from collections.abc import Sequence
from typing import Union

import numpy as np
import tensorflow as tf

PixelRange = tuple[Union[float, Sequence[float]], Union[float, Sequence[float]]]


class PixelMap:
  """Maps [-1, 1] to a range.

  Args:
    pixel_range: what 0 and 255 become, each one number or three for red, green
      and blue.

  Raises:
    ValueError: of another form, or not ascending.
  """

  def __init__(self, pixel_range: PixelRange):
    low, high = (np.asarray(p, np.float64) for p in pixel_range)
    if low.shape not in ((), (3,)) or high.shape not in ((), (3,)):
      raise ValueError(
        f'pixel_range is {pixel_range!r}; give what 0 and 255 become, each one '
        'number or three.'
      )
    if np.any(high <= low):
      raise ValueError(
        f'pixel_range is {pixel_range!r}; what 255 becomes must lie above what '
        '0 becomes.'
      )
    self._identity = bool(np.all(low == -1) and np.all(high == 1))
    self._low = low.astype(np.float32)
    self._scale = ((high - low) / 2).astype(np.float32)
    # As it came: whole numbers stay whole in messages.
    self._range = [np.asarray(p).tolist() for p in pixel_range]

  def as_list(self) -> list:
    """Returns [what 0 becomes, what 255 becomes], for JSON."""
    return [*self._range]

  def __call__(self, images):
    """[N, H, W, 3] float in [-1, 1] -> the same in the range."""
    if self._identity:
      return images
    return self._low + (tf.cast(images, tf.float32) + 1) * self._scale
