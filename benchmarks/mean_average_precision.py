"""mAP@100 over FastEval14k's size, against scikit-learn; one JSON line.

  python -m benchmarks.mean_average_precision [--classes_of_peer=600]

Data: 14,000 images, 6,000 classes, 37 labels an image; normal scores, 2 higher
at true labels. Ours is streamed in batches; its memory is how far the peak of a
fresh process lies above what it held before the first batch. The time to make
the scores is in neither figure.

The peer is `sklearn.metrics.average_precision_score` on
  - the dense columns of each class (its common use; no cut at k), and
  - of each class only the images that have it in their top 100, which gives the
    very same number as ours (finding the top 100 is then not in its time).
It is measured on some classes, which are all alike, and scaled to all.
"""

import argparse
import multiprocessing
import os
import resource
import time
from concurrent import futures

import numpy as np

from benchmarks import machine
from official_repro import metrics

IMAGES, CLASSES, LABELS, K = 14_000, 6_000, 37, 100
BATCH = 100


def batches():
  """Yields (label_ids [B, LABELS] int, scores [B, CLASSES] float32)."""
  rng = np.random.default_rng(0)
  for _ in range(IMAGES // BATCH):
    ids = rng.integers(0, CLASSES, (BATCH, LABELS))
    scores = rng.standard_normal((BATCH, CLASSES), np.float32)
    scores[np.arange(BATCH)[:, None], ids] += 2
    yield ids, scores


def _resident_bytes():
  with open('/proc/self/statm', encoding='ascii') as f:
    return int(f.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def _peak_bytes():
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_ours():
  """Returns seconds, value and memory of the streamed metric."""
  before = _resident_bytes()
  metric = metrics.MeanAveragePrecisionAtK(CLASSES, K)
  seconds = 0.0
  for ids, scores in batches():
    start = time.perf_counter()
    metric.update_state(ids, scores)
    seconds += time.perf_counter() - start
  start = time.perf_counter()
  value = metric.result()
  seconds += time.perf_counter() - start
  megabytes = (_peak_bytes() - before) / 2**20
  return {'seconds': seconds, 'value': value, 'peak_mb': megabytes}


def measure_peer(classes):
  """Returns the peer's seconds on `classes` classes, and how far we differ."""
  import sklearn
  from sklearn.metrics import average_precision_score

  truth = np.zeros((IMAGES, classes), bool)
  inside = np.zeros((IMAGES, classes), bool)
  dense = np.zeros((IMAGES, classes), np.float32)
  metric = metrics.MeanAveragePrecisionAtK(CLASSES, K)
  for i, (ids, scores) in enumerate(batches()):
    metric.update_state(ids, scores)
    part = slice(i * BATCH, (i + 1) * BATCH)
    dense[part] = scores[:, :classes]
    chosen = np.zeros(scores.shape, bool)
    np.put_along_axis(chosen, metrics.top_k(scores, K), True, axis=1)
    inside[part] = chosen[:, :classes]
    rows, slots = np.nonzero(ids < classes)
    truth[part][rows, ids[rows, slots]] = True

  start = time.perf_counter()
  average_precision_score(truth, dense, average=None)
  seconds = time.perf_counter() - start

  start = time.perf_counter()
  precisions = np.zeros(classes)
  for c in range(classes):
    true, score = truth[inside[:, c], c], dense[inside[:, c], c]
    share = true.sum() / truth[:, c].sum()
    precisions[c] = share and share * average_precision_score(true, score)
  top_seconds = time.perf_counter() - start
  return {
    'seconds': seconds,
    'top_k_seconds': top_seconds,
    'largest_difference': float(
      np.abs(precisions - metric.per_class()[:classes]).max()
    ),
    'version': sklearn.__version__,
  }


def _in_new_process(function, *args):
  context = multiprocessing.get_context('spawn')
  with futures.ProcessPoolExecutor(1, mp_context=context) as pool:
    return pool.submit(function, *args).result()


def main():
  """Prints the JSON line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument(
    '--classes_of_peer', type=int, default=600, help=f'At most {CLASSES}.'
  )
  classes = parser.parse_args().classes_of_peer
  if not 1 <= classes <= CLASSES:
    parser.error(f'--classes_of_peer must be in 1..{CLASSES}, got {classes}')
  machine.prepare()
  ours = _in_new_process(measure_ours)
  peer = _in_new_process(measure_peer, classes)
  scale = CLASSES / classes
  machine.print_line(
    {
      'benchmark': 'mean_average_precision',
      'images': IMAGES,
      'classes': CLASSES,
      'labels_per_image': LABELS,
      'k': K,
      'map': round(ours['value'], 6),
      'seconds': round(ours['seconds'], 3),
      'peak_memory_growth_mb': round(ours['peak_mb'], 1),
      'peer': f'scikit-learn {peer["version"]}',
      'peer_seconds': round(peer['seconds'] * scale, 2),
      'peer_top_k_seconds': round(peer['top_k_seconds'] * scale, 2),
      'peer_classes_measured': classes,
      'peer_scaled_by': scale,
      'largest_difference_per_class': peer['largest_difference'],
      'times_faster': round(peer['seconds'] * scale / ours['seconds'], 1),
      'times_faster_top_k': round(
        peer['top_k_seconds'] * scale / ours['seconds'], 1
      ),
      'numpy': np.__version__,
    }
  )


if __name__ == '__main__':
  main()
