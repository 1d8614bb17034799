import tracemalloc

import numpy as np
from PIL import Image

from official_repro.data.hierarchy import Hierarchy


def save_image(path, shade=100, kind='PNG'):
  path.parent.mkdir(parents=True, exist_ok=True)
  image = Image.fromarray(np.full((6, 8, 3), shade, np.uint8))
  image.save(path, kind)


def labels_file(tmp_path):
  """fruit (0) <- apple (1); rock (2)."""
  path = tmp_path / 'labels.tsv'
  Hierarchy(
    range(3), ['fruit', 'apple', 'rock'], [(), (0,), ()], [1.0] * 3
  ).save(path)
  return path


def read(source, split='train'):
  """Returns what the source's reader gives for the items of a split."""
  return [source.reader(i) for i in source.items() if i.split == split]


def listed(source):
  """Returns [(split, source id, label ids, confidence)] of all items."""
  return [(i.split, i.source_id, *i.payload) for i in source.items()]


def check_sizes(source):
  """Asserts that `sizes` counts the items and that their order is fixed."""
  items = list(source.items())
  assert items == list(source.items())
  counts = {}
  for item in items:
    counts[item.split] = counts.get(item.split, 0) + 1
  assert source.sizes == counts
  assert list(source.sizes) == sorted(source.sizes)
  assert len({(i.split, i.source_id) for i in items}) == len(items)


def with_peak(make):
  """Returns (source, number of its items, bytes in use at the most)."""
  tracemalloc.start()
  try:
    source = make()
    count = sum(1 for _ in source.items())
    return source, count, tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
