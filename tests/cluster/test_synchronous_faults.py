"""What happens to a synchronous cluster: one training, several accidents."""

import contextlib
import glob
import re
import signal

import tensorflow as tf

from official_repro.data import pipeline
from tests import recording, tiny
from tests.cluster import local, waiting

BIG = 100_000
BATCH, GROUP, SEED = 8, 32, 5
# TensorFlow takes a task for lost that is silent for 10 s.
MOST_SECONDS_STOPPED, TRIES = 8, 20
STEADY = (
  ',trainer.steps_per_loop=2,trainer.checkpoint_interval=4,'
  'trainer.stall_seconds=4'
)


def cluster(data, run, folder, override=''):
  """Two workers; logs and records of this start in `folder`."""
  options = {'params_override': tiny.OVERRIDE + STEADY + override, 'seed': SEED}
  return local.training(
    data,
    run,
    steps=BIG,
    workers=2,
    log_dir=folder,
    record=folder,
    options=options,
  )


def alone(data, run, steps, file):
  """Trains up to a step in this process; returns {step: records}, stdout."""
  options = tiny.train_options(data, run, steps=steps, mode='train', seed=SEED)
  with recording.to(file):
    done = tiny.call('train', **options)
  assert done.returncode == 0, done.stderr
  return recording.read(file), done.stdout


def of_both(folder):
  """Returns {step: records of the global batch} of a start of the cluster."""
  rows = [recording.read(folder / f'worker-{i}.jsonl') for i in (0, 1)]
  # Of a step that never ended one may have written more than the other.
  assert len(rows[0].keys() ^ rows[1].keys()) <= 1
  return {s: rows[0][s] + rows[1][s] for s in rows[0].keys() & rows[1].keys()}


def told_of_the_stopped(tasks):
  """Stops worker 1 for a while; returns what worker 0 prints meanwhile."""
  before = len(tasks.output('worker', 0))
  told = lambda: tasks.output('worker', 0)[before:]
  tasks.kill('worker', 1, signal.SIGSTOP)
  # The end of the alarm is a stack.
  alarm = lambda: 'trainer.py' in told()
  with contextlib.suppress(AssertionError):
    waiting.until(alarm, MOST_SECONDS_STOPPED, 'the alarm')
  tasks.kill('worker', 1, signal.SIGCONT)
  return told()


def test_accidents(tmp_path):
  data = tiny.build(tmp_path / 'data', images=48)
  run, starts = tmp_path / 'run', [tmp_path / str(i) for i in range(3)]
  # One worker never comes: the other one says so, and ends.
  with cluster(data, run, starts[0], ',runtime.cluster_timeout=1') as tasks:
    tasks.start_task('worker', 0)
    assert tasks.wait('worker', 0, waiting.SECONDS) == 138
    address = tasks.cluster['worker'][1]
    sentence = f'Error: worker-1 ({address}) did not come within 1'
    assert sentence in tasks.output('worker', 0)
  with cluster(data, run, starts[1]) as tasks:
    tasks.start()
    at = waiting.checkpoint(run)
    # A stopped worker: the other one tells who is missing, and waits. Not on
    # every try where steps are slow: what matters is the time since the last.
    for _ in range(TRIES):
      at = waiting.checkpoint(run, at)  # first of all, all has been traced
      told = told_of_the_stopped(tasks)
      if 'worker-1: MISSING, no sign of life' in told:
        break
    assert 'no progress for' in told
    assert 'worker-1: MISSING, no sign of life' in told
    assert 'trainer.py' in told
    at = waiting.checkpoint(run)
    waiting.checkpoint(run, at)
    # One is told to stop: both save at the same step.
    tasks.kill('worker', 1, signal.SIGTERM)
    for i in (0, 1):
      assert tasks.wait('worker', i, waiting.SECONDS) == 143
    saved = [
      re.search(r'at step (\d+); saved', tasks.output('worker', i))[1]
      for i in (0, 1)
    ]
    assert saved[0] == saved[1]
  step = int(saved[0])
  assert waiting.checkpoint(run) == step
  taken = of_both(starts[1])
  assert sorted(taken) == list(range(1, step + 1))
  # One worker alone goes on, from the checkpoint of two.
  found, output = alone(data, run, step + 2, tmp_path / 'alone.jsonl')
  assert f'at step {step}.' in output
  assert sorted(found) == [step + 1, step + 2]
  taken.update(found)
  # And two from its own.
  with cluster(data, run, starts[2]) as tasks:
    tasks.start()
    later = waiting.checkpoint(run, step + 2)
    for i in (0, 1):
      assert f'at step {step + 2}.' in tasks.output('worker', i)
    # One is killed: the other one ends, and may be started again.
    tasks.kill('worker', 1)
    assert tasks.wait('worker', 0, waiting.SECONDS) == 138
    # Threads of TensorFlow may print a line beside it.
    sentence = r'^Error: worker-1 was lost \(\w+\)\. .*ckpt-\d+\.$'
    assert re.search(sentence, tasks.output('worker', 0), re.M)
  found = of_both(starts[2])
  assert min(found) == step + 3 and max(found) >= later
  taken.update(found)
  check_records(data, taken)
  check_events(run)


def check_records(data, taken):
  """Whatever the number of workers, each step took the records planned."""
  last = max(taken)
  ids = pipeline.record_ids(
    data,
    'train',
    start_position=0,
    count=last * BATCH,
    seed=SEED,
    shuffle_group=GROUP,
  )
  batches = [ids[i : i + BATCH] for i in range(0, len(ids), BATCH)]
  assert [taken[step] for step in range(1, last + 1)] == batches


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
    'worker/0/images_per_second',
    'worker/1/images_per_second',
  } <= tags
