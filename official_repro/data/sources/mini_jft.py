"""The generated miniature of JFT-300M as a source."""

import functools
from collections.abc import Iterator

from official_repro.data import examples
from official_repro.data.mini import MiniJft, encode_jpeg
from official_repro.data.mini import copies as copies_lib
from official_repro.data.sources import source

# The quality of ordinary web photos, which JFT-300M's are.
_JPEG_QUALITY = 92
_SPLITS = ('train', 'validation', 'clean')


class MiniJftSource:
  """Sparse noisy `train` pictures and densely labelled `validation` ones.

  Args:
    num_images: pictures in `train`.
    eval_images: pictures in `validation`; 0 leaves the split out.
    clean_images: the first so many training pictures also make the split
      `clean`, with all their true labels, to measure the noise of the others.
    copies: share of the training pictures that are near-copies of
      evaluation pictures, from 0 to below 1.
    **options: arguments of MiniJft (seed, size, noise, num_classes, ...).

  Raises:
    ValueError: a number is out of range.
  """

  name = 'mini_jft'
  has_objects = False
  trusted = True

  def __init__(
    self,
    num_images: int,
    eval_images: int,
    clean_images: int = 0,
    copies: float = 0.0,
    **options,
  ):
    if num_images < 1 or eval_images < 0:
      raise ValueError(
        'mini_jft needs at least 1 training and 0 evaluation images, got '
        f'num_images={num_images}, eval_images={eval_images}.'
      )
    if not 0 <= clean_images <= num_images:
      raise ValueError(
        'mini_jft can give true labels to at most its '
        f'num_images={num_images}, got clean_images={clean_images}.'
      )
    if not 0 <= copies < 1:
      raise ValueError(
        'mini_jft takes --copies, the share of training images that are '
        f'near-copies, from 0 to below 1, got {copies}.'
      )
    if copies and not eval_images:
      raise ValueError(
        f'mini_jft has nothing to copy for --copies={copies}: set '
        f'--eval_images to at least 1, got {eval_images}.'
      )
    key = tuple(sorted(options.items()))
    self.hierarchy = _generator(key).hierarchy
    # Without copies the data sets stay what they were before the option.
    self.options = {**options, 'copies': copies} if copies else options
    self._copies = copies
    sizes = dict(zip(_SPLITS, (num_images, eval_images, clean_images)))
    self.sizes = {split: size for split, size in sizes.items() if size}
    self.reader = functools.partial(_draw, key)

  def items(self) -> Iterator[source.Item]:
    """Yields the pictures 0, 1, 2, ... of each split."""
    seed, of_count = self.options.get('seed', 0), self.sizes.get('validation')
    for split, size in self.sizes.items():
      if split == 'validation':
        for i in range(size):
          yield source.Item(split, f'mini-{seed}-dense-{i}', i)
        continue
      originals = copies_lib.originals(size, self._copies, of_count, seed)
      for i, of in enumerate(originals):
        source_id = f'mini-{seed}-train-{i}'
        if of is None:
          yield source.Item(split, source_id, i)
        else:
          yield source.Item(split, f'{source_id}-of-dense-{of}', (i, of))


@functools.lru_cache(maxsize=2)
def _generator(key):
  return MiniJft(**dict(key))


def _draw(key, item):
  generator = _generator(key)
  if item.split == 'validation':
    drawn = generator.dense_example(item.payload)
  elif isinstance(item.payload, tuple):
    drawn = generator.near_copy(*item.payload)
  else:
    drawn = generator.example(item.payload)
  clean = item.split == 'clean'
  height, width, _ = drawn.image.shape
  return examples.Example(
    encoded=encode_jpeg(drawn.image, _JPEG_QUALITY),
    height=height,
    width=width,
    source_id=item.source_id,
    label_ids=list(drawn.true_labels if clean else drawn.given_labels),
  )
