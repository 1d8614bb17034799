"""Two training processes on a core each against one: images per second.

  python -m benchmarks.two_processes [--batch=256 --loops=4]

mini_jft, whole runs of the binary, one after the other on the same pictures:
  one           one process on core 0
  apart         two such processes that know nothing of each other, at the same
                time: what the machine itself can do
  synchronous   multi_worker_mirrored, two workers, twice the global batch
  asynchronous  parameter_server, two workers, a chief and a ps beside them
`batch` is what one process computes in a step. The first loop of a run, in
which TensorFlow builds its graphs, does not count; the rate is the median of
the others.

goal: synchronous 1.8 x one, asynchronous 1.9 x one. `share_of_apart` says how
much of the machine's own two processes is left.

Prints one JSON line.
"""

import argparse
import contextlib
import glob
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from benchmarks import machine
from cluster import local_cluster, supervisor

GOALS = {'synchronous': 1.8, 'asynchronous': 1.9}
STEPS_PER_LOOP = 10
TASKS = {
  'synchronous': {'workers': 2},
  'asynchronous': {'chiefs': 1, 'workers': 2, 'ps': 1},
}
STRATEGIES = {
  'one': 'one_device',
  'apart': 'one_device',
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
  twice = 2 if side in TASKS else 1
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
  if side not in TASKS:
    return lone_rate(data, run, batch, loops, 2 if side == 'apart' else 1)
  command, per_step = words(side, data, run, batch, loops)
  cluster = local_cluster.LocalCluster(command, **TASKS[side])
  with cluster as tasks, contextlib.redirect_stdout(sys.stderr):
    code = supervisor.Supervisor(tasks).run()
  if code:
    raise RuntimeError(f'The {side} run ended with exit code {code}.')
  return per_step * statistics.median(steps_per_second(run)[1:])


def lone_rate(data, run, batch, loops, count):
  """Trains in processes of their own, at the same time; see `rate`."""
  running, total = [], 0.0
  for core in range(count):
    command, _ = words('one', data, f'{run}-{core}', batch, loops)
    running.append(
      subprocess.Popen(
        [sys.executable, '-m', *command],
        stdout=sys.stderr,
        env=dict(os.environ, PINNED_CORE=str(core)),
      )
    )
  for core, process in enumerate(running):
    if process.wait():
      raise RuntimeError(f'Process {core} ended with {process.returncode}.')
    speeds = steps_per_second(f'{run}-{core}')[1:]
    total += batch * statistics.median(speeds)
  return total


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
  machine.prepare()
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
    'share_of_apart': {k: round(rates[k] / rates['apart'], 2) for k in GOALS},
    'goal': GOALS,
    'met': {k: times[k] >= goal for k, goal in GOALS.items()},
  }
  machine.print_line(out)


if __name__ == '__main__':
  main()
