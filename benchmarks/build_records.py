"""csv -> records at 340 px on one core against plain loops; one JSON line.

  python -m benchmarks.build_records [--records=1024 --repeats=7 ...]

Three ways from the same JPEG files to TFRecords of 340 x 340 px, in turn, in
one process on one core:
  ours  `building.build` with `resize=340`, as build_records runs it with
        --processes=1 (Beam in memory), report and all;
  pil   a plain loop: Pillow opens, converts to RGB, resizes with its default
        filter and saves at our JPEG quality; tf.train.Example; TFRecordWriter;
  tfds  a TensorFlow Datasets builder: the same Pillow steps up to the resized
        pixels, and its own writer and JPEG encoding from there.
goal: ours >= 2 x pil and >= 2 x tfds, in pictures per second of CPU time.

Two mixes of originals, of synthetic pictures with the bytes of photos, JPEG
quality 88: `web`, 500x375 to 640x480, as in benchmarks/input_pipeline.py, and
`camera`, 1024x768 and 1600x1200.

Time is the process's CPU time on its one core. A fixed part (the start of the
engine, the plots of the report) does not grow with the pictures: each way also
does a sixteenth of them, and the rate is that of the rest; `fixed_seconds` is
what is taken out. Medians over repeats; the ratios are of runs right after
each other.

Then wall time with two worker processes against one, on two cores, of
--worker_records pictures of the mix `web` (goal: 1.7 x): with the start of the
workers, and without it, again by the difference to a small build.
"""

import argparse
import contextlib
import io
import os
import pathlib
import shutil
import tempfile
import time

# Before TensorFlow counts the cores.
ALL_CORES = os.sched_getaffinity(0)
os.sched_setaffinity(0, {min(ALL_CORES)})

from benchmarks import machine  # noqa: E402

machine.prepare()

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tensorflow_datasets as tfds  # noqa: E402
from PIL import Image  # noqa: E402

from benchmarks import input_pipeline  # noqa: E402
from official_repro.data import jpeg, sources  # noqa: E402
from official_repro.data.building import build  # noqa: E402

SIDE, CLASSES = 340, 1000
MIXES = {
  'web': input_pipeline.SIZES,
  'camera': ((768, 1024), (1200, 1600)),
}
# Pictures that differ; beyond, files are linked.
DISTINCT = 32
SMALL_SHARE = 16


def write_table(folder, sizes, count):
  """Writes pictures and their table; returns (table, bytes per picture)."""
  rng = np.random.default_rng(0)
  folder.mkdir()
  total = 0
  for number in range(count):
    path = folder / f'{number:06d}.jpg'
    if number < DISTINCT:
      size = sizes[number % len(sizes)]
      path.write_bytes(input_pipeline.encode(input_pipeline.photo(rng, *size)))
    else:
      os.link(folder / f'{number % DISTINCT:06d}.jpg', path)
    total += path.stat().st_size
  table = folder / f'{count}.csv'
  write_rows(table, count)
  return table, total // count


def write_rows(table, count):
  """Writes the table of the first `count` pictures."""
  rows = (f'{i:06d}.jpg,class_{i % CLASSES}\n' for i in range(count))
  table.write_text('image,labels\n' + ''.join(rows))


def resized(path):
  """The plain Pillow way from a file to 340 x 340 px."""
  with Image.open(path) as image:
    return image.convert('RGB').resize((SIDE, SIDE))


def rows_of(table):
  """Yields (path, name, label id) of a table."""
  for line in table.read_text().splitlines()[1:]:
    name, label = line.split(',')
    yield table.parent / name, name, int(label.split('_')[1])


def run_ours(table, output, processes=1):
  """Builds a data folder with this project."""
  # It tells that there is no labels.tsv.
  with contextlib.redirect_stderr(io.StringIO()):
    source = sources.CsvSource(table, eval_fraction=0)
    build.build(source, output, resize=SIDE, processes=processes)


def run_pil(table, output):
  """The plain loop."""
  output.mkdir()
  with tf.io.TFRecordWriter(str(output / 'train.tfrecord')) as writer:
    for path, name, label in rows_of(table):
      out = io.BytesIO()
      resized(path).save(out, 'JPEG', quality=jpeg.QUALITY)
      features = {
        'image/encoded': bytes_feature(out.getvalue()),
        'image/height': int_feature(SIDE),
        'image/width': int_feature(SIDE),
        'image/source_id': bytes_feature(name.encode()),
        'image/class/label': int_feature(label),
      }
      features = tf.train.Features(feature=features)
      writer.write(tf.train.Example(features=features).SerializeToString())


def bytes_feature(value):
  """A tf.train.Feature of one string."""
  return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def int_feature(value):
  """A tf.train.Feature of one number."""
  return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


class Photos(tfds.core.GeneratorBasedBuilder):
  """The pictures of a table as a TensorFlow Datasets builder."""

  VERSION = tfds.core.Version('1.0.0')
  pkg_dir_path = pathlib.Path(__file__).parent
  code_path = None  # no checksum files beside the code
  table: pathlib.Path

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Image(
            shape=(SIDE, SIDE, 3), encoding_format='jpeg'
          ),
          'name': tfds.features.Text(),
          'label': tfds.features.ClassLabel(num_classes=CLASSES),
        }
      ),
    )

  def _split_generators(self, dl_manager):
    return {'train': self._generate_examples()}

  def _generate_examples(self):
    for path, name, label in rows_of(self.table):
      image = np.asarray(resized(path))
      yield name, {'image': image, 'name': name, 'label': label}


def run_tfds(table, output):
  """TensorFlow Datasets' writer."""
  builder = Photos(data_dir=str(output))
  builder.table = table
  tfds.disable_progress_bar()
  with contextlib.redirect_stdout(io.StringIO()):
    builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )


WAYS = {'ours': run_ours, 'pil': run_pil, 'tfds': run_tfds}


def seconds(run, table, output, clock, **options):
  """How long a run takes; what it wrote is removed."""
  start = clock()
  run(table, output, **options)
  taken = clock() - start
  shutil.rmtree(output)
  return taken


def measure_mix(root, name, count, repeats):
  """Returns the numbers of one mix on one core."""
  table, size = write_table(root / name, MIXES[name], count)
  few = count // SMALL_SHARE
  small = table.with_name('small.csv')
  write_rows(small, few)
  rates = {way: [] for way in WAYS}
  fixed = {way: [] for way in WAYS}
  for repeat in range(repeats + 1):
    for way, run in WAYS.items():
      output = root / f'{name}_{way}'
      short = seconds(run, small, output, time.process_time)
      long = seconds(run, table, output, time.process_time)
      if repeat:  # the first round warms up
        each = (long - short) / (count - few)
        rates[way].append(1 / each)
        fixed[way].append(short - few * each)
  median = lambda values: round(float(np.median(values)), 2)
  result = {
    'images_per_second': {w: median(rates[w]) for w in WAYS},
    'fixed_seconds': {w: median(fixed[w]) for w in WAYS},
    'bytes_per_picture_before': size,
  }
  for way in ('pil', 'tfds'):
    ratios = np.divide(rates['ours'], rates[way])
    result[f'ratio_{way}'] = median(ratios)
    result[f'ratio_{way}_min_max'] = [
      round(float(ratio), 2) for ratio in (ratios.min(), ratios.max())
    ]
  return result


def measure_workers(root, count, repeats):
  """Returns the numbers of two workers against one."""
  table, _ = write_table(root / 'workers', MIXES['web'], count)
  small = table.with_name('small.csv')
  write_rows(small, count // SMALL_SHARE)
  with_start, without = [], []
  for repeat in range(repeats):
    taken = {}
    for processes in (1, 2):
      for path in (small, table):
        output = root / f'workers_{repeat}_{processes}'
        taken[processes, path] = seconds(
          run_ours, path, output, time.perf_counter, processes=processes
        )
    with_start.append(taken[1, table] / taken[2, table])
    without.append(
      (taken[1, table] - taken[1, small]) / (taken[2, table] - taken[2, small])
    )
  return {
    'records': count,
    'seconds_one': round(taken[1, table], 1),
    'seconds_two': round(taken[2, table], 1),
    'ratio': round(float(np.median(with_start)), 2),
    'ratio_without_start': round(float(np.median(without)), 2),
  }


def main():
  """Parses the arguments, measures, prints the JSON line."""
  arguments = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  arguments.add_argument('--records', type=int, default=1024)
  arguments.add_argument('--repeats', type=int, default=7)
  arguments.add_argument('--worker_records', type=int, default=16384)
  arguments.add_argument('--worker_repeats', type=int, default=3)
  options = arguments.parse_args()
  result = {'benchmark': 'build_records', 'cores': 1}
  with tempfile.TemporaryDirectory() as root:
    root = pathlib.Path(root)
    for name in MIXES:
      result[name] = measure_mix(root, name, options.records, options.repeats)
    if len(ALL_CORES) > 1 and options.worker_repeats:
      os.sched_setaffinity(0, sorted(ALL_CORES)[:2])
      result['workers'] = measure_workers(
        root, options.worker_records, options.worker_repeats
      )
  result['repeats'] = options.repeats
  machine.print_line(result)


if __name__ == '__main__':
  main()
