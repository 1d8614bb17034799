"""The generated miniature of JFT-300M as a source."""

import functools
from collections.abc import Generator

from official_repro.data import examples, parallel
from official_repro.data.mini import MiniJft, encode_jpeg

# The quality of ordinary web photos, which JFT-300M's are.
_JPEG_QUALITY = 92
_SPLITS = {'train': MiniJft.example, 'validation': MiniJft.dense_example}


class MiniJftSource:
  """Sparse noisy `train` pictures and densely labelled `validation` ones.

  Args:
    num_images: pictures in `train`.
    eval_images: pictures in `validation`; 0 leaves the split out.
    **options: arguments of MiniJft (seed, size, noise, num_classes, ...).

  Raises:
    ValueError: a number is out of range.
  """

  name = 'mini_jft'

  def __init__(self, num_images: int, eval_images: int, **options):
    if num_images < 1 or eval_images < 0:
      raise ValueError(
        'mini_jft needs at least 1 training and 0 evaluation images, got '
        f'num_images={num_images}, eval_images={eval_images}.'
      )
    self._key = tuple(sorted(options.items()))
    self.hierarchy = _generator(self._key).hierarchy
    self.options = options
    self.sizes = {'train': num_images, 'validation': eval_images}
    if not eval_images:
      del self.sizes['validation']

  def iterate(
    self, split: str, processes: int = 1
  ) -> Generator[examples.Example, None, None]:
    """Yields the pictures 0, 1, 2, ... of a split; none is bad."""
    make = functools.partial(_make, self._key, split)
    return parallel.ordered_map(make, range(self.sizes[split]), processes)


@functools.lru_cache(maxsize=2)
def _generator(key):
  return MiniJft(**dict(key))


def _make(key, split, i):
  drawn = _SPLITS[split](_generator(key), i)
  height, width, _ = drawn.image.shape
  return examples.Example(
    encoded=encode_jpeg(drawn.image, _JPEG_QUALITY),
    height=height,
    width=width,
    source_id=drawn.source_id,
    label_ids=list(drawn.given_labels),
  )
