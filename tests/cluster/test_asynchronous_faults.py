"""What happens to parameter servers, workers and chief: one training."""

import glob
import re
import signal

import tensorflow as tf

from tests import tiny
from tests.cluster import local, waiting

BIG = 100_000
# A step of this network takes about 20 ms.
STEADY = (
  ',trainer.steps_per_loop=20,trainer.summary_interval=20,'
  'trainer.checkpoint_interval=20'
)
LAST = 60


def cluster(data, run, steps, logs):
  options = {'params_override': tiny.OVERRIDE + STEADY}
  tasks = {'chiefs': 1, 'workers': 2, 'ps': 1}
  return local.training(
    data, run, steps=steps, log_dir=logs, options=options, **tasks
  )


def test_accidents(tmp_path):
  data = tiny.build(tmp_path / 'data', images=48)
  run = tmp_path / 'run'
  with cluster(data, run, BIG, tmp_path / '1') as tasks:
    tasks.start()
    at = waiting.checkpoint(run)
    check_table(tasks.output('chief', 0))
    # A worker is killed: training goes on without it.
    tasks.kill('worker', 1)
    tasks.wait('worker', 1, 10)
    for _ in range(2):
      at = waiting.checkpoint(run, at)
    # It comes back: the chief gives it steps again.
    tasks.start_task('worker', 1)
    waiting.until(lambda: worker_rate(run, 1, at) > 0, what='worker 1')
    # The chief is killed, workers and ps are left: a new one goes on.
    tasks.kill('chief', 0)
    tasks.wait('chief', 0, 10)
    at = waiting.checkpoint(run)
    tasks.start_task('chief', 0)
    waiting.words(tasks, 'chief', 0, f'at step {at}.')
    waiting.checkpoint(run, at)
    # A parameter server is killed: its variables are gone.
    tasks.kill('ps', 0)
    assert tasks.wait('chief', 0, 90) == 138
    # Threads of TensorFlow may print a line after it.
    sentence = r'^Error: ps-0 was lost \(\w+\)\. .*ckpt-\d+\.$'
    assert re.search(sentence, tasks.output('chief', 0), re.M)
    at = waiting.checkpoint(run)
  with cluster(data, run, at + LAST, tmp_path / '2') as tasks:
    tasks.start()
    waiting.checkpoint(run, at)
    # The chief is told to stop: it saves.
    tasks.kill('chief', 0, signal.SIGTERM)
    assert tasks.wait('chief', 0, 60) == 143
    saved = re.search(r'step (\d+); saved', tasks.output('chief', 0))
    assert int(saved[1]) == waiting.checkpoint(run)
    tasks.start_task('chief', 0)
    assert tasks.wait('chief', 0, 120) == 0
    assert waiting.checkpoint(run) >= at + LAST
  check_numbers(run)


def check_table(output):
  rows = re.findall(r'^(ps 0|all) +([\d,]+) +([\d,]+)$', output, re.M)
  assert [r[0] for r in rows] == ['ps 0', 'all']
  assert rows[0][1:] == rows[1][1:]


def values(run, tag):
  """Returns {step: value} of a curve."""
  found = {}
  for path in sorted(glob.glob(str(run / 'train' / 'events*'))):
    for event in tf.compat.v1.train.summary_iterator(path):
      for value in event.summary.value:
        if value.tag == tag:
          found[event.step] = float(tf.make_ndarray(value.tensor))
  return found


def worker_rate(run, worker, after):
  """Images per second of a worker in the newest point after a step."""
  curve = values(run, f'worker/{worker}/images_per_second')
  later = {step: rate for step, rate in curve.items() if step > after}
  return later[max(later)] if later else 0


def check_numbers(run):
  staleness = values(run, 'staleness')
  # Of two workers the other one applies about one step meanwhile.
  assert all(0 <= value < 3 for value in staleness.values())
  assert max(staleness.values()) > 0.2
  assert max(values(run, 'worker/0/images_per_second').values()) > 0
  waits = values(run, 'worker/0/data_wait')
  assert all(0 <= value < 1 for value in waits.values())
