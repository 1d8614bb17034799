"""Training input on one core against Model Garden's; prints one JSON line.

  python -m benchmarks.input_pipeline [--records=512 --repeats=25]

Three pipelines run in one process on one core, in turn, on the same pictures:
  peer      `official.vision` classification input (its InputReader, Decoder and
            Parser at their training defaults: random area crop of 8-100%, flip,
            float32) to 299 px, from records with the original JPEGs;
  original  `official_repro.data.pipeline.make_dataset`, 340 -> 299 px, from the
            same original JPEGs;
  small     the same from records that were built at 340 x 340 px (area
            averages, the same JPEG quality).
goal: original >= 1.3 x peer, small >= 4 x peer.

The pictures are synthetic, with the sizes and bytes of photos: noise of several
scales under polygons with sharp edges, 500x375 to 640x480, JPEG quality 88.

Time is the process's CPU time on its one core, between two moments at which all
buffers are full: other programs on the machine do not count, nor do pictures
that were prepared while another pipeline was measured. Medians over repeats;
the ratios are of pipelines measured right after each other.
"""

import argparse
import os
import pathlib
import tempfile
import time

import numpy as np

# Before TensorFlow counts the cores.
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

from benchmarks import machine  # noqa: E402

machine.prepare()

import cv2  # noqa: E402
import tensorflow as tf  # noqa: E402
from official.core import input_reader  # noqa: E402
from official.vision.configs import image_classification  # noqa: E402
from official.vision.dataloaders import classification_input  # noqa: E402

from official_repro.data import hierarchy, pipeline, records  # noqa: E402

RESIZE, CROP, BATCH, CLASSES = 340, 299, 32, 1000
SIZES = ((375, 500), (500, 375), (480, 640), (427, 640))
QUALITY = 88


def photo(rng, height, width):
  """A picture with the spectrum and the edges of a photo, uint8 [H, W, 3]."""
  image = np.full((height, width, 3), 128, np.float32)
  for cells, strength in ((4, 60), (16, 40), (64, 25), (128, 15)):
    noise = rng.standard_normal((cells, cells, 3)).astype(np.float32)
    image += strength * cv2.resize(
      noise, (width, height), interpolation=cv2.INTER_CUBIC
    )
  for _ in range(25):
    corners = rng.integers(0, [width, height], (4, 2)).astype(np.int32)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [corners], 1)
    image[mask > 0] = (image[mask > 0] + rng.uniform(0, 255, 3)) / 2
  image += 7 * rng.standard_normal((height, width, 1))
  return np.clip(image, 0, 255).astype(np.uint8)


def encode(image):
  """The picture as a JPEG's bytes."""
  options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
  return cv2.imencode('.jpg', image, options)[1].tobytes()


def write_folder(folder, pictures):
  """Writes (encoded, height, width) with one label each as a data folder."""
  with records.RecordWriter(folder, 'train', num_shards=8) as writer:
    for number, (encoded, height, width) in enumerate(pictures):
      labels = [number % CLASSES]
      writer.write(
        records.Example(encoded, height, width, str(number), labels, labels)
      )
  records.write_manifest(
    folder,
    name='benchmark',
    hierarchy=hierarchy.Hierarchy.flat([f'class_{i}' for i in range(CLASSES)]),
    splits={'train': writer.shards},
  )


def make_folders(root, count):
  """Writes both forms of the same pictures; returns bytes per picture."""
  rng = np.random.default_rng(0)
  original, small = [], []
  for number in range(count):
    image = photo(rng, *SIZES[number % len(SIZES)])
    original.append((encode(image), *image.shape[:2]))
    image = cv2.resize(image, (RESIZE, RESIZE), interpolation=cv2.INTER_AREA)
    small.append((encode(image), RESIZE, RESIZE))
  write_folder(root / 'original', original)
  write_folder(root / 'small', small)
  return [int(np.mean([len(p[0]) for p in form])) for form in (original, small)]


def peer_dataset(folder):
  """Model Garden's classification input at its training defaults."""
  config = image_classification.DataConfig(
    input_path=str(folder / 'train*.tfrecord'),
    global_batch_size=BATCH,
    is_training=True,
  )
  parser = classification_input.Parser(
    output_size=[CROP, CROP],
    num_classes=CLASSES,
    aug_rand_hflip=config.aug_rand_hflip,
    aug_crop=config.aug_crop,
    crop_area_range=config.crop_area_range,
    dtype=config.dtype,
  )
  return input_reader.InputReader(
    config,
    decoder_fn=classification_input.Decoder().decode,
    parser_fn=parser.parse_fn(config.is_training),
  ).read()


def our_dataset(folder):
  """This project's training input."""
  return pipeline.make_dataset(
    str(folder),
    'train',
    batch_size=BATCH,
    training=True,
    resize=RESIZE,
    crop=CROP,
  )


def one_thread(dataset):
  """The dataset, run by one thread."""
  options = tf.data.Options()
  options.threading.private_threadpool_size = 1
  return dataset.with_options(options)


def settle():
  """Waits until all buffers are full, that is until the process idles."""
  idle = 0
  while idle < 3:
    before = time.process_time()
    time.sleep(0.1)
    idle = idle + 1 if time.process_time() - before < 0.004 else 0


def images_per_second(iterator, batches=8):
  """Pictures per second of CPU time, from full buffers to full buffers."""
  settle()
  start = time.process_time()
  for _ in range(batches):
    next(iterator)
  settle()
  return batches * BATCH / (time.process_time() - start)


def main():
  """Parses the arguments, measures, prints the JSON line."""
  arguments = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  arguments.add_argument('--records', type=int, default=512)
  arguments.add_argument('--repeats', type=int, default=25)
  options = arguments.parse_args()
  with tempfile.TemporaryDirectory() as root:
    root = pathlib.Path(root)
    sizes = make_folders(root, options.records)
    iterators = {
      'peer': iter(one_thread(peer_dataset(root / 'original'))),
      'original': iter(one_thread(our_dataset(root / 'original'))),
      'small': iter(one_thread(our_dataset(root / 'small'))),
    }
    rates = {name: [] for name in iterators}
    for repeat in range(options.repeats + 1):
      for name, iterator in iterators.items():
        rate = images_per_second(iterator)
        if repeat:  # the first round warms up
          rates[name].append(rate)
  rates = {name: np.array(values) for name, values in rates.items()}
  result = {
    'benchmark': 'input_pipeline',
    'images_per_second': {
      name: round(float(np.median(values)), 1) for name, values in rates.items()
    },
    'bytes_per_picture': dict(zip(('original', 'small'), sizes)),
    'repeats': options.repeats,
    'cores': 1,
  }
  for name in ('original', 'small'):
    ratios = rates[name] / rates['peer']
    result[f'ratio_{name}'] = round(float(np.median(ratios)), 2)
    result[f'ratio_{name}_min_max'] = [
      round(float(ratio), 2) for ratio in (ratios.min(), ratios.max())
    ]
  machine.print_line(result)


if __name__ == '__main__':
  main()
