"""The miniature VOC: rendered scenes with a class for every pixel.

Stands in for PASCAL VOC 2012's segmentation (Everingham et al.) at a small
scale: few and large objects of twenty classes on background, as VOC's are (2.4
objects a picture, background about three quarters of the pixels), and 255 along
the outlines, which VOC leaves to neither side. What hides an object is
background where nobody labels it.
"""

import dataclasses
import functools

import cv2
import numpy as np

from official_repro.data.mini import coco

SPLITS = coco.SPLITS
IGNORE = 255
# Longer side in which outlines take a pixel on each side; about VOC's share: 5
# pixels in 500.
_PIXEL_PER = 160

# MiniJft draws with 0 and 1 in this place, MiniCoco with 2, MiniPerson with 3.
_PURPOSE = 4
_COUNT_SHARES = (0.4, 0.28, 0.18, 0.14)
# Half extent as a share of the shorter side: the smallest, and the largest
# where there are so many objects.
_SMALLEST = 0.3
_LARGEST = (0.7, 0.58, 0.5, 0.45)


class _Scenes(coco.MiniCoco):
  """MiniCoco's scenes with fewer and larger objects, without crowds."""

  _purpose = _PURPOSE
  _prefix = 'mini-voc'

  def _groups(self, rng, height, width):
    count = 1 + int(rng.choice(len(_COUNT_SHARES), p=_COUNT_SHARES))
    place = functools.partial(
      coco.place_apart,
      rng,
      height,
      width,
      _LARGEST[count - 1],
      smallest=_SMALLEST,
    )
    groups = []
    for _ in range(count):
      coco.add_object(groups, rng, coco.draw_label(rng), place)
    return coco.far_to_near(groups)


@dataclasses.dataclass(frozen=True)
class MiniVocExample:
  """One picture with its mask.

  Attributes:
    image: uint8 [H, W, 3] RGB.
    mask: uint8 [H, W]: 0 background, k the class
      `taxonomy.SEGMENT_CLASSES[k - 1]`, 255 outline.
    source_id: unique in its split.
  """

  image: np.ndarray = dataclasses.field(repr=False)
  mask: np.ndarray = dataclasses.field(repr=False)
  source_id: str


class MiniVoc:
  """The generator; image i of a seed is a pure function of (seed, split, i).

  Args:
    seed: non-negative int.
    size: largest longer side of a picture in pixels, 64 to 1024.
    clutter: how much unlabelled stuff lies around, 0 (none) to 1.

  Attributes:
    scenes: draws the same pictures as MiniCocoExamples.
    hierarchy: flat label space; category k - 1 has the mask value k.

  Raises:
    ValueError: an argument is out of range.
  """

  def __init__(self, seed: int = 0, size: int = 128, clutter: float = 0.5):
    self.scenes = _Scenes(seed, size, clutter, crowds=0.0)
    self.hierarchy = self.scenes.hierarchy
    self._outline = max(1, round(size / _PIXEL_PER))

  def example(self, i: int, split: str = 'train') -> MiniVocExample:
    """Image i of a split.

    Raises:
      ValueError: negative index or unknown split.
    """
    scene = self.scenes.example(i, split)
    mask = np.zeros(scene.image.shape[:2], np.uint8)
    for label, visible in zip(scene.labels, scene.masks):
      mask[visible] = label
    return MiniVocExample(
      image=scene.image,
      mask=with_outlines(mask, self._outline),
      source_id=scene.source_id,
    )


def with_outlines(mask: np.ndarray, pixels: int = 1) -> np.ndarray:
  """Sets pixels near another class to 255, on both sides of the border.

  Args:
    mask: uint8 [H, W].
    pixels: how far from the border.

  Returns:
    uint8 [H, W].
  """
  side = 2 * pixels + 1
  window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
  # Outside of the picture there is no border.
  border = cv2.dilate(mask, window) != cv2.erode(mask, window)
  return np.where(border, np.uint8(IGNORE), mask)
