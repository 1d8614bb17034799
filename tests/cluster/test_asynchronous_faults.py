"""What happens to parameter servers, workers and chief: one training."""

import collections
import glob
import json
import math
import re
import signal
import statistics

import tensorflow as tf

from tests import tiny
from tests.cluster import local, waiting

BIG = 100_000
# A step of this network takes about 20 ms.
STEADY = (
  ',trainer.steps_per_loop=20,trainer.summary_interval=20,'
  'trainer.checkpoint_interval=20'
)
# Long enough, some seconds, for a signal that is to come before its end.
LAST = 200


def cluster(data, run, steps, logs, **tasks):
  options = {'params_override': tiny.OVERRIDE + STEADY}
  return local.training(
    data, run, steps=steps, log_dir=logs, options=options, chiefs=1, **tasks
  )


def test_accidents(tmp_path):
  data = tiny.build(tmp_path / 'data', images=48)
  run = tmp_path / 'run'
  with cluster(data, run, BIG, tmp_path / '1', workers=2, ps=2) as tasks:
    tasks.start()
    waiting.checkpoint(run)
    # A worker is killed: training goes on without it.
    tasks.kill('worker', 1)
    tasks.wait('worker', 1, waiting.SECONDS)
    at = waiting.checkpoint(run)
    for _ in range(2):
      at = waiting.checkpoint(run, at)
    of_one = at
    # It comes back: the chief gives it steps again.
    tasks.start_task('worker', 1)
    waiting.until(lambda: side_by_side(run, at), what='worker 1')
    # The chief is killed, workers and ps are left: a new one goes on.
    tasks.kill('chief', 0)
    tasks.wait('chief', 0, waiting.SECONDS)
    at = waiting.checkpoint(run)
    tasks.start_task('chief', 0)
    waiting.words(tasks, 'chief', 0, f'at step {at}.')
    waiting.checkpoint(run, at)
    # A parameter server is killed: its variables are gone. TensorFlow may well
    # wait for a step that does not come back.
    tasks.kill('worker', 1, signal.SIGSTOP)
    tasks.kill('ps', 0)
    assert tasks.wait('chief', 0, waiting.SECONDS) == 138
    # Threads of TensorFlow may print a line beside it.
    sentence = r'^Error: ps-0 was lost \(\w+\)\. .*ckpt-\d+\.$'
    assert re.search(sentence, tasks.output('chief', 0), re.M)
    at = waiting.checkpoint(run)
    check_tables(tasks.output('chief', 0), run)
  # One worker and one server go on where two of each were.
  with cluster(
    data, run, at + LAST, tmp_path / '2', workers=1, ps=1, evaluator=True
  ) as tasks:
    tasks.start()
    waiting.checkpoint(run, at)
    assert f'at step {at}.' in tasks.output('chief', 0)
    # The chief is told to stop: it saves.
    tasks.kill('chief', 0, signal.SIGTERM)
    assert tasks.wait('chief', 0, waiting.SECONDS) == 143
    saved = re.search(r'step (\d+); saved', tasks.output('chief', 0))
    assert int(saved[1]) == waiting.checkpoint(run)
    waiting.until((run / 'metrics.jsonl').exists, what='an evaluation')
    tasks.start_task('chief', 0)
    assert tasks.wait('chief', 0, waiting.SECONDS) == 0
    last = waiting.checkpoint(run)
    assert last >= at + LAST
    assert tasks.wait('evaluator', 0, waiting.SECONDS) == 0
  check_evaluations(run, last)
  check_numbers(run, of_one)


def check_tables(output, run):
  """Each server's variables and bytes add up; their bytes are about equal."""
  rows = re.findall(r'^(ps \d|all) +([\d,]+) +([\d,]+)$', output, re.M)
  assert [name for name, *_ in rows[:3]] == ['ps 0', 'ps 1', 'all']
  assert rows[3:] == rows[:3]  # of the chief that went on
  held = [[int(n.replace(',', '')) for n in numbers] for _, *numbers in rows]
  assert [a + b for a, b in zip(*held[:2])] == held[2]
  assert abs(held[0][1] - held[1][1]) <= largest(run)


def largest(run):
  """Bytes of the largest weight together with its slots of the optimizer."""
  reader = tf.train.load_checkpoint(str(run))
  sizes = collections.Counter()
  for name, shape in reader.get_variable_to_shape_map().items():
    if name.startswith('model/'):
      sizes[name.split('/.')[0]] += 4 * math.prod(shape)  # float32
  return max(sizes.values())


def values(run, tag):
  """Returns {step: value} of a curve."""
  found = {}
  for path in sorted(glob.glob(str(run / 'train' / 'events*'))):
    for event in tf.compat.v1.train.summary_iterator(path):
      for value in event.summary.value:
        if value.tag == tag:
          found[event.step] = float(tf.make_ndarray(value.tensor))
  return found


def side_by_side(run, after):
  """Whether, after a step, worker 1 does steps and the other does meanwhile."""
  rates = values(run, 'worker/1/images_per_second')
  staleness = values(run, 'staleness')
  return any(
    rate > 0 and staleness.get(step, 0) > 0.2
    for step, rate in rates.items()
    if step > after
  )


def check_evaluations(run, last):
  lines = (run / 'metrics.jsonl').read_text().splitlines()
  steps = [json.loads(line)['step'] for line in lines]
  assert len(steps) >= 2 and steps == sorted(set(steps))
  assert steps[-1] == last


def check_numbers(run, of_one):
  """What TensorBoard shows; at step `of_one` one worker was alone."""
  # One file for each time that the chief was started.
  assert len(glob.glob(str(run / 'train' / 'events*'))) == 4
  staleness = values(run, 'staleness')
  # Of two workers the other one applies about one step meanwhile, whatever
  # their speeds: more in a slow one's step, less in a fast one's.
  assert all(value >= 0 for value in staleness.values())
  assert statistics.mean(staleness.values()) < 1.5
  assert staleness[of_one] == 0
  assert max(values(run, 'worker/0/images_per_second').values()) > 0
  waits = values(run, 'worker/0/data_wait')
  assert all(value >= 0 for value in waits.values())
  # A wait counts for the point in which it ends, though it began before.
  assert statistics.median(waits.values()) < 1
