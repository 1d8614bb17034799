"""The generated miniature of COCO's person keypoints as a source."""

import functools
from collections.abc import Iterator

import numpy as np

from official_repro.data import examples
from official_repro.data.mini import encode_jpeg, person
from official_repro.data.sources import source

# The quality of ordinary web photos, which COCO's are.
_JPEG_QUALITY = 92


class MiniPersonSource:
  """Scenes about people: keypoints, and the boxes of all objects.

  A record's boxes and joints are those of MiniPerson's examples, as shares of
  the picture; its image labels are the classes of its boxes.

  Args:
    num_images: pictures in `train`.
    eval_images: pictures in `validation`; 0 leaves the split out.
    **options: arguments of MiniPerson (seed, size, clutter, crowds).

  Raises:
    ValueError: a number is out of range.
  """

  name = 'mini_person'
  has_objects = True
  trusted = True

  def __init__(self, num_images: int, eval_images: int, **options):
    if num_images < 1 or eval_images < 0:
      raise ValueError(
        'mini_person needs at least 1 training and 0 evaluation images, got '
        f'num_images={num_images}, eval_images={eval_images}.'
      )
    key = tuple(sorted(options.items()))
    self.hierarchy = _generator(key).hierarchy
    self.options = options
    sizes = dict(zip(person.SPLITS, (num_images, eval_images)))
    self.sizes = {split: size for split, size in sizes.items() if size}
    self.reader = functools.partial(_draw, key)

  def items(self) -> Iterator[source.Item]:
    """Yields the pictures 0, 1, 2, ... of each split."""
    seed = self.options.get('seed', 0)
    for split, size in self.sizes.items():
      for i in range(size):
        yield source.Item(split, f'mini-person-{seed}-{split}-{i}', i)


@functools.lru_cache(maxsize=2)
def _generator(key):
  return person.MiniPerson(**dict(key))


def _draw(key, item):
  drawn = _generator(key).example(item.payload, item.split)
  height, width, _ = drawn.image.shape
  keypoints = drawn.keypoints.copy()
  keypoints[..., :2] /= (height, width)
  return examples.Example(
    encoded=encode_jpeg(drawn.image, _JPEG_QUALITY),
    height=height,
    width=width,
    source_id=item.source_id,
    label_ids=sorted(set((drawn.labels - 1).tolist())),
    boxes=(drawn.boxes / (height, width, height, width)).astype(np.float32),
    box_labels=drawn.labels,
    is_crowd=drawn.is_crowd,
    area=drawn.area,
    keypoints=keypoints,
  )
