"""Writes down which records each step of a run took, from inside the step.

python -m tests.recording FILE KILL_AT --FLAG=VALUE ...

Trains, and kills itself (as kill -9) within step KILL_AT.
"""

import contextlib
import json
import os
import signal
import sys
from unittest import mock

import tensorflow as tf


@contextlib.contextmanager
def to(path, kill_at=None):
  """Within it, classification runs append {"step", "ids"} lines to a file.

  Args:
    path: of the file.
    kill_at: step, from 1, in the middle of which the process dies.
  """
  from official_repro.core import trainer
  from official_repro.data import pipeline

  make, train_step = pipeline.make_dataset, trainer.Trainer.train_step

  def make_with_ids(*args, **kwargs):
    return make(*args, **{**kwargs, 'with_source_id': True})

  def write(step, ids):
    line = {'step': int(step) + 1, 'ids': [i.decode() for i in ids]}
    with open(path, 'a', encoding='utf-8') as f:
      f.write(json.dumps(line) + '\n')
    if line['step'] == kill_at:
      os.kill(os.getpid(), signal.SIGKILL)

  def step_and_write(self, inputs):
    inputs = dict(inputs)
    # One tensor a replica, in the order of the global batch.
    ids = self.strategy.experimental_local_results(inputs.pop('source_id'))
    with tf.device('CPU:0'):
      tf.numpy_function(write, [self.global_step, tf.concat(ids, 0)], [])
    return train_step(self, inputs)

  makes = mock.patch.object(pipeline, 'make_dataset', make_with_ids)
  steps = mock.patch.object(trainer.Trainer, 'train_step', step_and_write)
  with makes, steps:
    yield


def read(path):
  """Returns {step: record ids} of a file; no step came twice."""
  lines = [json.loads(x) for x in path.read_text().splitlines()]
  found = {line['step']: line['ids'] for line in lines}
  assert len(found) == len(lines)
  return found


def main():
  from tests import tiny
  from tests.conftest import optimize_graphs

  optimize_graphs(False)
  path, kill_at, *words = sys.argv[1:]
  with to(path, int(kill_at)):
    done = tiny.call('train', **dict(w[2:].split('=', 1) for w in words))
  print(done.stderr, file=sys.stderr)
  sys.exit(done.returncode)


if __name__ == '__main__':
  main()
