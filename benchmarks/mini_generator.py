"""Speed of the picture generator on one core, as one JSON line.

  python -m benchmarks.mini_generator [--images=2000] [--size=64]

Processor time of one thread, so that other work on the machine counts little.
"render" is pictures with their labels and nothing else, "render_and_masks" adds
masks and boxes of all objects; "encode_*" is the encoding of finished pictures.
"""

import argparse
import time

import cv2

from benchmarks import machine
from official_repro.data.mini import MiniJft, encode_jpeg, encode_png


def _rate(function, count):
  """Calls per second of processor time."""
  start = time.process_time()
  for i in range(count):
    function(i)
  return round(count / (time.process_time() - start), 1)


def measure(images, size):
  """Returns {what: images per second and core} and the circumstances."""
  cv2.setNumThreads(1)
  mini = MiniJft(seed=0, size=size)
  pictures = [mini.example(i).image for i in range(min(images, 200))]
  at = lambda i: pictures[i % len(pictures)]
  return {
    'benchmark': 'mini_generator',
    'size': size,
    'images': images,
    'images_per_second_per_core': {
      'render': _rate(mini.example, images),
      'render_and_masks': _rate(
        lambda i: [d.box for d in mini.example(i).objects], images
      ),
      'labels_only': _rate(mini.content, images),
      'encode_jpeg': _rate(lambda i: encode_jpeg(at(i)), images),
      'encode_png': _rate(lambda i: encode_png(at(i)), images),
    },
    'opencv': cv2.__version__,
  }


def main():
  """Parses flags and prints the line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--images', type=int, default=2000)
  parser.add_argument('--size', type=int, default=64)
  args = parser.parse_args()
  machine.prepare()
  machine.print_line(measure(args.images, args.size))


if __name__ == '__main__':
  main()
