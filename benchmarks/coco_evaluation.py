"""COCO evaluation of 5,000 images, against plain pycocotools; one JSON line.

  python -m benchmarks.coco_evaluation [--images=5000]

Data: pictures of 640 x 480 with 7 objects each on average, of 80 classes with
COCO's gaps in their ids, one in 20 a crowd; 100 detections each: of most
objects a near hit and some duplicates, the rest anywhere, of a class that is
on the picture half the time; float32, as a detector gives them.

Ours: `CocoEvaluation.add` of each image, then all twelve numbers. Plain: the
detections go to a results file in COCO's format, which pycocotools loads and
evaluates (evaluate, accumulate, summarize). The truth is in memory for ours and
in a loaded COCO object for plain, before either clock starts. Each is measured
in a process of its own, and the tables of precision and recall are compared.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import tempfile
import time
from concurrent import futures
from importlib import metadata

import numpy as np

from benchmarks import machine
from object_detection import coco_files, evaluate

CLASSES, OBJECTS, DETECTIONS = 80, 7, 100
HEIGHT, WIDTH = 480, 640
# COCO's ids: ten of the ninety are not used.
_UNUSED = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
CATEGORY_IDS = [i for i in range(1, 91) if i not in _UNUSED]
_HITS_PER_OBJECT = 3


def _boxes(rng, count):
  """float32 [count, 4] ymin, xmin, ymax, xmax inside the picture."""
  size = np.exp(rng.uniform(np.log(12), np.log(400), (count, 2)))
  size = np.minimum(size, (HEIGHT, WIDTH))
  low = rng.random((count, 2)) * ((HEIGHT, WIDTH) - size)
  return np.concatenate([low, low + size], 1).astype(np.float32)


def image(i):
  """Truth (boxes, classes, crowds) and detections (boxes, classes, scores)."""
  rng = np.random.default_rng((0, i))
  count = 1 + rng.poisson(OBJECTS - 1)
  boxes = _boxes(rng, count)
  # A picture shows few kinds of things, some of them many times.
  kinds = rng.integers(1, CLASSES + 1, 1 + count // 2)
  classes = rng.choice(kinds, count)
  crowds = rng.random(count) < 0.05
  hits = np.repeat(np.arange(count), _HITS_PER_OBJECT)[:DETECTIONS]
  rest = DETECTIONS - len(hits)
  sides = np.tile(boxes[hits, 2:] - boxes[hits, :2], 2)
  near = boxes[hits] + 0.08 * sides * rng.standard_normal((len(hits), 4))
  near = np.concatenate([np.minimum(near[:, :2], near[:, 2:]), near[:, 2:]], 1)
  found = np.concatenate([near, _boxes(rng, rest)]).astype(np.float32)
  others = np.where(
    rng.random(rest) < 0.5,
    rng.choice(kinds, rest),
    rng.integers(1, CLASSES + 1, rest),
  )
  scores = np.concatenate([rng.beta(3, 2, len(hits)), rng.beta(1, 6, rest)])
  order = np.argsort(-scores)
  labels = np.concatenate([classes[hits], others])
  return (boxes, classes, crowds), (
    found[order],
    labels[order],
    scores[order].astype(np.float32),
  )


def measure_ours(images):
  """Returns (seconds, numbers, tables)."""
  names = list(map(str, CATEGORY_IDS))
  evaluation = evaluate.CocoEvaluation(names, CATEGORY_IDS)
  found = []
  for i in range(images):
    truth, detections = image(i)
    evaluation.add_truth(i, *truth)
    found.append(detections)
  start = time.perf_counter()
  for i, detections in enumerate(found):
    evaluation.add(i, *detections)
  numbers = evaluation.metrics()
  return time.perf_counter() - start, numbers, tuple(evaluation.tables())


def _truth_as_coco(images):
  """The truth as pycocotools' COCO, from memory."""
  from pycocotools import coco

  rows = []
  for i in range(images):
    boxes, classes, crowds = image(i)[0]
    for box, k, crowd in zip(coco_files.to_xywh(boxes), classes, crowds):
      rows.append(
        {
          'id': len(rows) + 1,
          'image_id': i,
          'category_id': CATEGORY_IDS[k - 1],
          'bbox': box.tolist(),
          'area': float(box[2] * box[3]),
          'iscrowd': int(crowd),
        }
      )
  truth = coco.COCO()
  truth.dataset = {
    'images': [
      {'id': i, 'height': HEIGHT, 'width': WIDTH} for i in range(images)
    ],
    'categories': [{'id': i, 'name': str(i)} for i in CATEGORY_IDS],
    'annotations': rows,
  }
  truth.createIndex()
  return truth


def measure_plain(images):
  """Returns (seconds, seconds of them for the file, numbers, tables)."""
  from pycocotools import cocoeval

  with contextlib.redirect_stdout(io.StringIO()):
    truth = _truth_as_coco(images)
    found = [image(i)[1] for i in range(images)]
    with tempfile.TemporaryDirectory() as folder:
      start = time.perf_counter()
      path = os.path.join(folder, 'results.json')
      rows = []
      for i, (boxes, classes, scores) in enumerate(found):
        boxes = coco_files.to_xywh(boxes).tolist()
        for box, k, score in zip(boxes, classes.tolist(), scores.tolist()):
          rows.append(
            {
              'image_id': i,
              'category_id': CATEGORY_IDS[k - 1],
              'bbox': box,
              'score': score,
            }
          )
      with open(path, 'w', encoding='utf-8') as f:
        json.dump(rows, f)
      results = truth.loadRes(path)
    file_seconds = time.perf_counter() - start
    evaluator = cocoeval.COCOeval(truth, results, 'bbox')
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
  seconds = time.perf_counter() - start
  tables = evaluator.eval['precision'], evaluator.eval['recall']
  return seconds, file_seconds, evaluator.stats.tolist(), tables


def _in_new_process(function, *args):
  context = multiprocessing.get_context('spawn')
  with futures.ProcessPoolExecutor(1, mp_context=context) as pool:
    return pool.submit(function, *args).result()


def main():
  """Prints the JSON line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--images', type=int, default=5000)
  images = parser.parse_args().images
  if images < 1:
    parser.error(f'--images must be 1 or more, got {images}')
  machine.prepare()
  ours, numbers, tables = _in_new_process(measure_ours, images)
  plain, file_seconds, stats, plain_tables = _in_new_process(
    measure_plain, images
  )
  equal = list(numbers.values()) == stats and all(
    map(np.array_equal, tables, plain_tables)
  )
  machine.print_line(
    {
      'benchmark': 'coco_evaluation',
      'images': images,
      'classes': CLASSES,
      'detections_per_image': DETECTIONS,
      **{name: round(numbers[name], 6) for name in ('AP', 'AP50', 'AR100')},
      'seconds': round(ours, 2),
      'peer': f'pycocotools {metadata.version("pycocotools")}',
      'peer_seconds': round(plain, 2),
      'peer_seconds_for_the_file': round(file_seconds, 2),
      'times_faster': round(plain / ours, 1),
      'times_faster_without_the_file': round((plain - file_seconds) / ours, 1),
      'all_numbers_equal': equal,
      'numpy': np.__version__,
    }
  )


if __name__ == '__main__':
  main()
