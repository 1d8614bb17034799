"""Data folders of pictures with masks, made by hand."""

import io

import numpy as np
from PIL import Image

from official_repro.data import examples, records
from official_repro.data import hierarchy as hierarchy_lib

NAMES = ('cat', 'dog', 'bird')


def png(pixels, mode=None):
  """A PNG file of an array, or of one that is turned into a Pillow mode."""
  image = Image.fromarray(np.asarray(pixels))
  if mode == 'P':
    image.putpalette(list(range(256)) * 3)
  elif mode:
    image = image.convert(mode)
  file = io.BytesIO()
  image.save(file, 'PNG')
  return file.getvalue()


def picture(height, width, seed=0):
  """Random pixels, uint8 [H, W, 3]."""
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (height, width, 3), np.uint8)


def example(source_id, mask, seed=0, size=None):
  """A record of a random picture.

  Args:
    source_id: its name.
    mask: uint8 [H, W], or the bytes of a file, or None.
    seed: of the picture.
    size: (height, width) of the picture; None: that of the mask.
  """
  if isinstance(mask, np.ndarray):
    size, mask = size or mask.shape, png(mask)
  return examples.Example(
    encoded=png(picture(*size, seed)),
    height=size[0],
    width=size[1],
    source_id=source_id,
    segmentation_png=mask,
  )


def write(folder, names=NAMES, **splits):
  """Writes a data folder of Examples, {split: [Example]}; returns its path."""
  shards = {}
  for split, rows in splits.items():
    with records.RecordWriter(folder, split, num_shards=1) as writer:
      for row in rows:
        writer.write(row)
    shards[split] = writer.shards
  records.write_manifest(
    folder,
    name='folders',
    hierarchy=hierarchy_lib.Hierarchy.flat(list(names)),
    splits=shards,
  )
  return str(folder)
