"""Cost of finding near-duplicates; prints one JSON line.

  python -m benchmarks.dedup [--pictures=200 --repeats=5]

hashing: `ours`, all views of a picture (14 hashes) and its mean colour, from
the JPEG's bytes; against `imagehash.phash(PIL.Image.open(file))` in a loop, one
hash. The pictures are of benchmarks/input_pipeline.py: 500x375 to 640x480.
Seconds of CPU, medians of the repeats, in turn. `views_ratio` counts hashes,
`pictures_ratio` pictures.

search: candidates among n hashes of 64 random bits, of which a tenth are copies
of others with 0 to 5 bits changed; n = 1,000, 10,000, 100,000. `functions` is
the CPU time of the plain functions, `pipeline` that of the Beam pipeline,
`start` that of the pipeline without any hash, and `pipeline_slope` is measured
without it. slope: of log time against log n, by least squares; goal <= 1.15.
"""

import io
import math
import statistics
import time

import imagehash
import numpy as np
from absl import flags
from PIL import Image

from benchmarks import machine
from official_repro.core import flags as core_flags
from official_repro.data import engine, examples
from official_repro.data.dedup import banding, hashes, parts, pipeline

SIZES = (1_000, 10_000, 100_000)
RADIUS, CHANGED_BITS = 10, 5
_BLOCK = 4096


def synthetic_rows(count: int, seed: int = 0) -> tuple:
  """Returns (banding.ROW [count], int [count // 10, 2] pairs of copies)."""
  rng = np.random.default_rng(seed)
  rows = np.zeros(count, banding.ROW)
  rows['hash'] = rng.integers(0, 2**64, count, np.uint64)
  rows['number'] = np.arange(count)
  rows['order'] = rng.integers(0, 2**64, count, np.uint64)
  chosen = rng.permutation(count)[: count // 10 * 2].reshape(-1, 2)
  for original, copy in chosen:
    flips = rng.choice(64, rng.integers(0, CHANGED_BITS + 1), replace=False)
    mask = sum(1 << int(bit) for bit in flips)
    rows['hash'][copy] = rows['hash'][original] ^ np.uint64(mask)
  return rows, np.sort(chosen, axis=1)


def search(rows: np.ndarray, plan: banding.Plan) -> np.ndarray:
  """Finds the candidates with the plain functions, without Beam."""
  groups: dict = {}
  for start in range(0, len(rows), _BLOCK):
    for key, block in banding.split_rows(rows[start : start + _BLOCK], plan):
      groups.setdefault(key, []).append(block)
  ranges: dict = {}
  for element in groups.items():
    for of_range, block in banding.match_group(element, plan):
      ranges.setdefault(of_range, []).append(block)
  merged = [banding.merge(blocks) for blocks in ranges.values()]
  return np.concatenate([np.empty(0, banding.PAIR), *merged])


def _search_with_beam(rows, plan):
  def construct(p, tally):
    blocks = [
      rows[start : start + _BLOCK].tobytes()
      for start in range(0, len(rows), _BLOCK)
    ]
    found = pipeline.candidates(p | engine.beam.Create(blocks), plan)
    return found | engine.Map(_count)

  return sum(engine.run(construct, what='search', processes=1).values)


def _count(element):
  return len(element[1]) // banding.PAIR.itemsize


def _slope(seconds):
  x, y = np.log(SIZES), np.log(seconds)
  return round(float(np.polyfit(x, y, 1)[0]), 3)


def _cpu(function, *arguments):
  start = time.process_time()
  result = function(*arguments)
  return time.process_time() - start, result


def measure_search(repeats: int) -> dict:
  """Returns the numbers of the search."""
  plain, beam, recall = [], [], []
  start = statistics.median(
    _cpu(_search_with_beam, *_case(0)[:2])[0] for _ in range(max(repeats, 3))
  )
  for size in SIZES:
    rows, plan, planted = _case(size)
    runs = [_cpu(search, rows, plan) for _ in range(repeats)]
    plain.append(statistics.median(seconds for seconds, _ in runs))
    found = {(a, b) for a, b, *_ in runs[0][1].tolist()}
    recall.append(np.mean([(a, b) in found for a, b in planted.tolist()]))
    beam.append(_cpu(_search_with_beam, rows, plan)[0])
  return {
    'hashes': list(SIZES),
    'functions_s': [round(s, 4) for s in plain],
    'functions_slope': _slope(plain),
    'pipeline_s': [round(s, 3) for s in beam],
    'pipeline_start_s': round(start, 3),
    'pipeline_slope': _slope([max(s - start, 1e-4) for s in beam]),
    'slope_goal': 1.15,
    'planted_found': [round(float(r), 4) for r in recall],
  }


def _case(size):
  rows, planted = synthetic_rows(size)
  return rows, banding.make_plan(size, RADIUS, against=False), planted


def measure_hashing(pictures: int, repeats: int) -> dict:
  """Returns the numbers of the hashing."""
  # Imports TensorFlow.
  from benchmarks import input_pipeline as photos

  rng = np.random.default_rng(0)
  some = []
  for i in range(pictures):
    height, width = photos.SIZES[i % len(photos.SIZES)]
    encoded = photos.encode(photos.photo(rng, height, width))
    some.append(examples.Example(encoded, height, width, str(i)))
  ours, theirs = [], []
  for _ in range(repeats):
    ours.append(_cpu(_hash_all, some)[0] / pictures)
    theirs.append(_cpu(_library_loop, some)[0] / pictures)
  ratio = statistics.median(t / o for t, o in zip(theirs, ours))
  same = [
    int(hashes.distance(_library(e), parts.describe(e)['hashes'][0]))
    for e in some
  ]
  return {
    'pictures_per_s': round(1 / statistics.median(ours), 1),
    'library_pictures_per_s': round(1 / statistics.median(theirs), 1),
    'pictures_ratio': round(ratio, 2),
    'views_ratio': round(ratio * hashes.VIEWS, 1),
    'bits_from_library': [max(same), round(statistics.mean(same), 2)],
  }


def _hash_all(some):
  for example in some:
    parts.describe(example)


def _library_loop(some):
  for example in some:
    imagehash.phash(Image.open(io.BytesIO(example.encoded)))


def _library(example):
  value = imagehash.phash(Image.open(io.BytesIO(example.encoded)))
  return np.uint64(int(str(value), 16))


def main(_):
  """Measures and prints the line."""
  values = flags.FLAGS
  machine.prepare()
  line = {'benchmark': 'dedup'}
  line['search'] = measure_search(values.repeats)
  line['hashing'] = measure_hashing(values.pictures, values.repeats)
  slope = max(
    line['search'][key] for key in ('functions_slope', 'pipeline_slope')
  )
  line['goal_met'] = not math.isnan(slope) and slope <= 1.15
  machine.print_line(line)


if __name__ == '__main__':
  flags.DEFINE_integer('pictures', 200, 'Pictures to hash.', 1)
  flags.DEFINE_integer('repeats', 5, 'Times that each is measured.', 1)
  core_flags.run(main)
