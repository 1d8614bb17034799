"""Two training processes on a core each against one: images per second.

  python -m benchmarks.two_processes [--batch=256 --loops=4]

mini_jft, whole runs of the binary, one after the other on the same pictures:
  one           one process on core 0
  synchronous   multi_worker_mirrored, two workers, twice the global batch
  asynchronous  parameter_server, two workers, a chief and a ps beside them
`batch` is what one process computes in a step. The first loop of a run, in
which TensorFlow builds its graphs, does not count; the rate is the median of
the others.

goal: synchronous 1.8 x one, asynchronous 1.9 x one.

Prints one JSON line.
"""

import argparse
import glob
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

from cluster import local_cluster, supervisor

GOALS = {'synchronous': 1.8, 'asynchronous': 1.9}
STEPS_PER_LOOP = 10
TASKS = {
  'synchronous': {'workers': 2},
  'asynchronous': {'chiefs': 1, 'workers': 2, 'ps': 1},
}
STRATEGIES = {
  'one': 'one_device',
  'synchronous': 'multi_worker_mirrored',
  'asynchronous': 'parameter_server',
}


def make_data(folder):
  """Generates the pictures with the binary."""
  options = {
    'source': 'mini_jft',
    'output': folder,
    'num_images': 4096,
    'eval_images': 64,
  }
  subprocess.run(
    [
      *(sys.executable, '-m', 'official_repro.build_records'),
      *(f'--{k}={v}' for k, v in options.items()),
    ],
    check=True,
    stdout=sys.stderr,
  )


def words(side, data, run, batch, loops):
  """The command of one run, as LocalCluster takes it."""
  # In a loop both asynchronous workers do as many steps as one does alone.
  twice = 1 if side == 'one' else 2
  per_loop = STEPS_PER_LOOP * (twice if side == 'asynchronous' else 1)
  options = {
    'experiment': 'mini_jft',
    'data_dir': data,
    'model_dir': run,
    'mode': 'train',
    'strategy': STRATEGIES[side],
    'batch_size': batch * (twice if side == 'synchronous' else 1),
    'train_steps': per_loop * loops,
    'params_override': (
      f'trainer.steps_per_loop={per_loop},trainer.sample_pictures=0,'
      f'trainer.summary_interval={per_loop},'
      f'trainer.checkpoint_interval={per_loop * loops}'
    ),
  }
  return [
    *('benchmarks.pinned', 'official_repro.train'),
    *(f'--{k}={v}' for k, v in options.items()),
  ], options['batch_size']


def rate(side, data, run, batch, loops):
  """Trains; returns images per second of all processes together."""
  command, per_step = words(side, data, run, batch, loops)
  if side == 'one':
    subprocess.run(
      [sys.executable, '-m', *command], check=True, stdout=sys.stderr
    )
  else:
    with local_cluster.LocalCluster(command, **TASKS[side]) as tasks:
      code = supervisor.Supervisor(tasks).run()
    if code:
      raise RuntimeError(f'The {side} run ended with exit code {code}.')
  speeds = steps_per_second(run)[1:]
  return per_step * statistics.median(speeds)


def steps_per_second(run):
  """Returns the speeds of a run's loops, from its events."""
  import tensorflow as tf  # here: the runs should have the machine

  found = {}
  for path in glob.glob(os.path.join(run, 'train', 'events*')):
    for event in tf.compat.v1.train.summary_iterator(path):
      for value in event.summary.value:
        if value.tag == 'steps_per_second':
          found[event.step] = float(tf.make_ndarray(value.tensor))
  return [found[step] for step in sorted(found)]


def main():
  """Prints the JSON line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--batch', type=int, default=256)
  parser.add_argument('--loops', type=int, default=4)
  options = parser.parse_args()
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  rates = {}
  with tempfile.TemporaryDirectory() as folder:
    data = pathlib.Path(folder) / 'data'
    make_data(data)
    for side in STRATEGIES:
      run = pathlib.Path(folder) / side
      rates[side] = rate(side, data, run, options.batch, options.loops)
  times = {side: rates[side] / rates['one'] for side in GOALS}
  out = {
    'benchmark': 'two_processes',
    'batch': options.batch,
    'images_per_second': {k: round(v, 1) for k, v in rates.items()},
    'times_one': {k: round(v, 2) for k, v in times.items()},
    'goal': GOALS,
    'met': {k: times[k] >= goal for k, goal in GOALS.items()},
    'python': platform.python_version(),
    'cpus': os.cpu_count(),
  }
  print(json.dumps(out))


if __name__ == '__main__':
  main()
