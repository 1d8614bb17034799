"""What the generated miniatures of scenes have in common as sources."""

import functools
from collections.abc import Iterator
from typing import Any, ClassVar

from official_repro.data import examples
from official_repro.data.mini import coco
from official_repro.data.sources import source

# The quality of ordinary web photos, which COCO's and VOC's are.
JPEG_QUALITY = 92


class MiniScenesSource:
  """Drawn scenes; a subclass says by which generator.

  Args:
    num_images: pictures in `train`.
    eval_images: pictures in `validation`; 0 leaves the split out.
    **options: arguments of the generator.

  Attributes:
    name: of the source.
    generator: class with `example(index, split)` and `hierarchy`.

  Raises:
    ValueError: a number is out of range.
  """

  name: ClassVar[str]
  generator: ClassVar[type]
  has_objects = True
  trusted = True

  def __init__(self, num_images: int, eval_images: int, **options):
    if num_images < 1 or eval_images < 0:
      raise ValueError(
        f'{self.name} needs at least 1 training and 0 evaluation images, got '
        f'num_images={num_images}, eval_images={eval_images}.'
      )
    key = tuple(sorted(options.items()))
    self.hierarchy = _generator(self.generator, key).hierarchy
    self.options = options
    sizes = dict(zip(coco.SPLITS, (num_images, eval_images)))
    self.sizes = {split: size for split, size in sizes.items() if size}
    self.reader = functools.partial(_draw, type(self), key)

  def items(self) -> Iterator[source.Item]:
    """Yields the pictures 0, 1, 2, ... of each split."""
    prefix = f'{self.name.replace("_", "-")}-{self.options.get("seed", 0)}'
    for split, size in self.sizes.items():
      for i in range(size):
        yield source.Item(split, f'{prefix}-{split}-{i}', i)

  @staticmethod
  def record(drawn: Any, source_id: str) -> examples.Example:
    """Returns the record of a drawn scene."""
    raise NotImplementedError


@functools.lru_cache(maxsize=4)
def _generator(kind, key):
  return kind(**dict(key))


def _draw(kind, key, item):
  drawn = _generator(kind.generator, key).example(item.payload, item.split)
  return kind.record(drawn, item.source_id)
