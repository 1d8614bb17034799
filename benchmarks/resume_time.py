"""Time to the first batch at a resume, by the place in the epoch.

  python -m benchmarks.resume_time [--images=20000 --size=64 --repeats=7]

A mini_jft folder of small pictures is made in a temporary folder. Then, in one
process, a training input is made at 0, 50 and 99% of an epoch, in turn, and its
first batch taken: what a resumed run waits for its data. `read_on` is what it
would wait without a position: from 0% on, all batches up to 50%.
goal: flat, that is the longest median below 1.5 x the shortest.
`making` is the part that TensorFlow takes to build the graph, from no record.

Prints one JSON line; times are wall seconds, medians over repeats.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks import machine
from official_repro.data import manifest

SHARDS, BATCH, GROUP = 64, 32, 1024
PLACES = (0.0, 0.5, 0.99)
FLAT = 1.5


def make_folder(folder, images, size):
  """Generates the data with the binary."""
  options = {
    'source': 'mini_jft',
    'output': folder,
    'num_images': images,
    'eval_images': 1,
    'image_size': size,
    'num_shards': SHARDS,
  }
  words = [f'--{name}={value}' for name, value in options.items()]
  subprocess.run(
    [sys.executable, '-m', 'official_repro.build_records', *words],
    check=True,
    stdout=sys.stderr,
  )


def dataset(folder, size, position):
  """The training input from a position on."""
  from official_repro.data import pipeline  # imports TensorFlow

  return pipeline.make_dataset(
    str(folder),
    'train',
    batch_size=BATCH,
    training=True,
    resize=size,
    crop=size,
    start_position=position,
    shuffle_group=GROUP,
  )


def seconds_to_batch(folder, size, position, number=1):
  """Until the input is made, and until its batch of that number has come."""
  start = time.perf_counter()
  made = dataset(folder, size, position)
  making = time.perf_counter() - start
  batches = iter(made)
  for _ in range(number):
    next(batches)
  return making, time.perf_counter() - start


def main():
  """Parses the arguments, measures, prints the JSON line."""
  arguments = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  arguments.add_argument('--images', type=int, default=20_000)
  arguments.add_argument('--size', type=int, default=64)
  arguments.add_argument('--repeats', type=int, default=7)
  options = arguments.parse_args()
  machine.prepare()
  with tempfile.TemporaryDirectory() as root:
    folder = pathlib.Path(root) / 'data'
    make_folder(folder, options.images, options.size)
    records = manifest.Dataset.load(str(folder)).split('train').records
    positions = [int(place * records) // BATCH * BATCH for place in PLACES]
    times, making = {place: [] for place in PLACES}, []
    for repeat in range(options.repeats + 1):
      for place, position in zip(PLACES, positions):
        made, took = seconds_to_batch(folder, options.size, position)
        if repeat:  # the first round warms up
          times[place].append(took)
          making.append(made)
    _, read_on = seconds_to_batch(
      folder, options.size, 0, positions[1] // BATCH + 1
    )
  medians = {place: statistics.median(t) for place, t in times.items()}
  ratio = max(medians.values()) / min(medians.values())
  result = {
    'benchmark': 'resume_time',
    'seconds': {f'{100 * p:.0f}%': round(m, 3) for p, m in medians.items()},
    'min_max': {
      f'{100 * p:.0f}%': [round(min(t), 3), round(max(t), 3)]
      for p, t in times.items()
    },
    'making_seconds': round(statistics.median(making), 3),
    'longest_to_shortest': round(ratio, 2),
    'flat': ratio < FLAT,
    'read_on_seconds': round(read_on, 3),
    'records': records,
    'records_in_a_group': GROUP,
    'repeats': options.repeats,
  }
  machine.print_line(result)


if __name__ == '__main__':
  main()
