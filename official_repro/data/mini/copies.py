"""Near-copies of pictures: changed a little, as copies on the web are."""

import math
from collections.abc import Iterator
from typing import NamedTuple, Optional

import cv2
import numpy as np

from official_repro.data.mini.encode import encode_jpeg

# Far below what hides an object or its colour.
_MAX_CROP = 0.05
_FACTORS = (0.6, 1.5)
_BRIGHTNESS = (0.9, 1.1)
_QUALITIES = (50, 95)


def resized(image, factor) -> np.ndarray:
  """Returns uint8 [H, W, 3] at another size."""
  height, width = (round(n * factor) for n in image.shape[:2])
  method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
  return cv2.resize(image, (width, height), interpolation=method)


def cropped(image, top, left, bottom, right) -> np.ndarray:
  """Returns uint8 [H, W, 3] without these shares of its sides."""
  height, width = image.shape[:2]
  rows = slice(round(top * height), height - round(bottom * height))
  return image[rows, round(left * width) : width - round(right * width)]


def mirrored(image) -> np.ndarray:
  """Returns uint8 [H, W, 3] mirrored."""
  return image[:, ::-1]


def brightened(image, factor) -> np.ndarray:
  """Returns uint8 [H, W, 3] times a factor, at most 255."""
  return cv2.convertScaleAbs(image, alpha=factor)


def recoded(image, quality) -> np.ndarray:
  """Returns uint8 [H, W, 3] RGB as a JPEG of this quality shows it."""
  encoded = np.frombuffer(encode_jpeg(image, quality), np.uint8)
  bgr = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
  return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


class Change(NamedTuple):
  """What a copy went through, in this order.

  Attributes:
    crop: shares of the sides cut off: (top, left, bottom, right).
    factor: of the sides' lengths.
    brightness: factor of the pixels.
    quality: of the JPEG.
  """

  crop: tuple
  factor: float
  brightness: float
  quality: int

  def of(self, image) -> np.ndarray:
    """Returns the copy of uint8 [H, W, 3] RGB, of another height and width."""
    changed = resized(cropped(image, *self.crop), self.factor)
    return recoded(brightened(changed, self.brightness), self.quality)


def sample_change(rng) -> Change:
  """Draws a small change.

  Args:
    rng: np.random.Generator.
  """
  crop = tuple(rng.uniform(0, _MAX_CROP, 4).tolist())
  # Half and twice are as likely.
  factor, brightness = (
    math.exp(rng.uniform(math.log(low), math.log(high)))
    for low, high in (_FACTORS, _BRIGHTNESS)
  )
  low, high = _QUALITIES
  return Change(crop, factor, brightness, int(rng.integers(low, high + 1)))


def originals(
  count: int, share: float, of_count: int, seed: int
) -> Iterator[Optional[int]]:
  """Says which pictures of a split are copies, and of what.

  They are spread evenly from a start that the seed gives, and copy the pictures
  0, 1, 2, ... in turn, so that fewer pictures are the first of more.

  Args:
    count: pictures of the split.
    share: of them that are copies, from 0 to below 1; the number that comes out
      is off by less than one.
    of_count: pictures that can be copied.
    seed: of the generator.

  Yields:
    For each picture the index of its original, or None.
  """
  start = np.random.default_rng(seed).random()
  for i in range(count):
    before = math.floor(i * share + start)
    copies = math.floor((i + 1) * share + start) > before
    yield before % of_count if copies else None
