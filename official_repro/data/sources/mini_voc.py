"""The generated miniature of VOC's segmentation as a source."""

import functools
from collections.abc import Iterator

import numpy as np

from official_repro.data import examples
from official_repro.data.mini import encode_jpeg, encode_png, voc
from official_repro.data.sources import source

# The quality of ordinary web photos, which VOC's are.
_JPEG_QUALITY = 92


class MiniVocSource:
  """Scenes with a mask of classes, in the form of VOC's records.

  Image labels are the classes in the mask.

  Args:
    num_images: pictures in `train`.
    eval_images: pictures in `validation`; 0 leaves the split out.
    **options: arguments of MiniVoc (seed, size, clutter).

  Raises:
    ValueError: a number is out of range.
  """

  name = 'mini_voc'
  has_objects = True
  trusted = True

  def __init__(self, num_images: int, eval_images: int, **options):
    if num_images < 1 or eval_images < 0:
      raise ValueError(
        'mini_voc needs at least 1 training and 0 evaluation images, got '
        f'num_images={num_images}, eval_images={eval_images}.'
      )
    key = tuple(sorted(options.items()))
    self.hierarchy = _generator(key).hierarchy
    self.options = options
    sizes = dict(zip(voc.SPLITS, (num_images, eval_images)))
    self.sizes = {split: size for split, size in sizes.items() if size}
    self.reader = functools.partial(_draw, key)

  def items(self) -> Iterator[source.Item]:
    """Yields the pictures 0, 1, 2, ... of each split."""
    seed = self.options.get('seed', 0)
    for split, size in self.sizes.items():
      for i in range(size):
        yield source.Item(split, f'mini-voc-{seed}-{split}-{i}', i)


@functools.lru_cache(maxsize=2)
def _generator(key):
  return voc.MiniVoc(**dict(key))


def _draw(key, item):
  drawn = _generator(key).example(item.payload, item.split)
  height, width = drawn.mask.shape
  values = np.unique(drawn.mask).tolist()
  return examples.Example(
    encoded=encode_jpeg(drawn.image, _JPEG_QUALITY),
    height=height,
    width=width,
    source_id=item.source_id,
    label_ids=[v - 1 for v in values if v not in (0, voc.IGNORE)],
    segmentation_png=encode_png(drawn.mask),
  )
