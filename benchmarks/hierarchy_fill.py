"""Hierarchy fill-in: all images at once against one by one.

JFT-300M's size: 18,291 categories, at most 12 deep, 1.26 labels an image
(Sun et al. 2017, sec. 3). Prints one JSON line.

  python -m benchmarks.hierarchy_fill [--images=1000000]
"""

import argparse
import time

import numpy as np

from benchmarks import machine
from official_repro.data.hierarchy import Hierarchy

NUM_CLASSES = 18_291
MAX_DEPTH = 12
ROOTS = 10
LABELS_PER_IMAGE = 1.26
SAMPLE = 20_000


def make_hierarchy(rng) -> Hierarchy:
  """A random tree; parents are drawn from the categories less than 12 deep."""
  parents, depth = [()] * ROOTS, [0] * ROOTS
  while len(parents) < NUM_CLASSES:
    # Most parents are recent categories, which makes the tree deep.
    parent = int(rng.integers(max(0, len(parents) - 1500), len(parents)))
    while depth[parent] == MAX_DEPTH:
      (parent,) = parents[parent]
    parents.append((parent,))
    depth.append(depth[parent] + 1)
  names = [f'category {i}' for i in range(NUM_CLASSES)]
  return Hierarchy(range(NUM_CLASSES), names, parents, [1.0] * NUM_CLASSES)


def main() -> None:
  """Times both ways and checks that they agree."""
  parser = argparse.ArgumentParser()
  parser.add_argument('--images', type=int, default=1_000_000)
  images = parser.parse_args().images
  machine.prepare()
  rng = np.random.default_rng(0)
  hierarchy = make_hierarchy(rng)
  lengths = 1 + (rng.random(images) < LABELS_PER_IMAGE - 1)
  splits = np.concatenate([[0], np.cumsum(lengths)])
  values = rng.integers(0, NUM_CLASSES, splits[-1])

  start = time.perf_counter()
  filled, filled_splits = hierarchy.fill_ragged(values, splits)
  seconds = time.perf_counter() - start

  sample = min(SAMPLE, images)
  lists = [values[splits[i] : splits[i + 1]].tolist() for i in range(sample)]
  start = time.perf_counter()
  looped = [hierarchy.fill(ids) for ids in lists]
  loop_seconds = (time.perf_counter() - start) * images / sample
  rows = np.split(filled, filled_splits[1 : sample + 1])[:sample]
  assert [row.tolist() for row in rows] == looped
  machine.print_line(
    {
      'benchmark': 'hierarchy_fill',
      'images': images,
      'categories': NUM_CLASSES,
      'max_depth': hierarchy.max_depth,
      'labels_given': len(values),
      'labels_filled': len(filled),
      'seconds': round(seconds, 3),
      'loop_seconds': round(loop_seconds, 3),
      'loop_over_vectorised': round(loop_seconds / seconds, 2),
    }
  )


if __name__ == '__main__':
  main()
