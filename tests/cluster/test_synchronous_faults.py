"""What happens to a synchronous cluster: one training, several accidents."""

import glob
import re
import signal

import tensorflow as tf

from tests import tiny
from tests.cluster import local, waiting

BIG = 100_000
STEADY = (
  ',trainer.steps_per_loop=2,trainer.checkpoint_interval=4,'
  'trainer.stall_seconds=3'
)


def cluster(data, run, steps, logs):
  options = {'params_override': tiny.OVERRIDE + STEADY}
  return local.training(
    data, run, steps=steps, workers=2, log_dir=logs, options=options
  )


def test_accidents(tmp_path):
  data = tiny.build(tmp_path / 'data', images=48)
  run = tmp_path / 'run'
  with cluster(data, run, BIG, tmp_path / '1') as tasks:
    tasks.start()
    waiting.checkpoint(run)
    # A stopped worker: the other one tells who is missing, and waits.
    tasks.kill('worker', 1, signal.SIGSTOP)
    waiting.words(tasks, 'worker', 0, 'Stacks of this process')
    tasks.kill('worker', 1, signal.SIGCONT)
    told = tasks.output('worker', 0)
    assert 'no progress for' in told and 'trainer.py' in told
    at = waiting.checkpoint(run)
    waiting.checkpoint(run, at)
    # One is told to stop: both save at the same step.
    tasks.kill('worker', 1, signal.SIGTERM)
    assert tasks.wait('worker', 0, 60) == tasks.wait('worker', 1, 60) == 143
    saved = [
      re.search(r'at step (\d+); saved', tasks.output('worker', i))[1]
      for i in (0, 1)
    ]
    assert saved[0] == saved[1]
  step = int(saved[0])
  assert waiting.checkpoint(run) == step
  with cluster(data, run, BIG, tmp_path / '2') as tasks:
    tasks.start()
    later = waiting.checkpoint(run, step)
    for i in (0, 1):
      assert f'at step {step}.' in tasks.output('worker', i)
    # One is killed: the other one ends, and may be started again.
    tasks.kill('worker', 1)
    assert tasks.wait('worker', 0, 90) == 138
    last = tasks.output('worker', 0).strip().splitlines()[-1]
    assert re.match(r'Error: worker-1 was lost \(\w+\)\. .*ckpt-\d+\.$', last)
  # One worker alone goes on, from the checkpoint of two.
  newest = waiting.checkpoint(run)
  assert newest >= later
  done = tiny.call(
    'train', **tiny.train_options(data, run, steps=newest + 2, mode='train')
  )
  assert done.returncode == 0, done.stderr
  assert f'at step {newest}.' in done.stdout
  assert waiting.checkpoint(run) == newest + 2
  check_events(run)


def check_events(run):
  """One folder of events, each start in one file, with what each worker did."""
  files = glob.glob(str(run / 'train' / 'events*'))
  assert len(files) == 3
  tags = {
    value.tag
    for path in files
    for event in tf.compat.v1.train.summary_iterator(path)
    for value in event.summary.value
  }
  assert {
    'training_loss',
    'data_wait_seconds',
    'worker/0/data_wait_seconds',
    'worker/1/data_wait_seconds',
  } <= tags
