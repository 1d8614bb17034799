"""What `messages` passes over is what the modules really print."""

import contextlib
import io
import subprocess
import sys
import types

import pytest
import tensorflow as tf

from official_repro.core import cluster_config, observers, peers
from official_repro.data import parallel
from official_repro.scaling import estimates, progress
from pose import people
from tests import binaries
from tests.pose import folders


class Clock:
  """Stands in for the module time: each look comes a minute later."""

  def __init__(self):
    self._now = 0.0

  def monotonic(self):
    self._now += 60
    return self._now

  perf_counter = monotonic

  def sleep(self, seconds):
    pass


@pytest.fixture(autouse=True)
def slow(monkeypatch):
  clock = Clock()
  for module in (observers, peers, people, progress):
    monkeypatch.setattr(module, 'time', clock)


def training(loss):
  trainer = types.SimpleNamespace(
    global_step=tf.Variable(0),
    batch_size=8,
    data_wait=0.0,
    optimizer=types.SimpleNamespace(learning_rate=1.25e-5),
  )
  shown = observers.Progress(trainer, 100)
  trainer.global_step.assign(3)
  shown.show(loss)


def cluster(*late):
  config = cluster_config.ClusterConfig(
    {'chief': ('me:1',), 'ps': ('[::1]:2', 'host.name:3')}, 'chief', 0
  )
  answers = [list(late), []]
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(peers, 'missing', lambda left: answers.pop(0))
    patch.setattr(peers, '_listening', contextlib.nullcontext)
    patch.setattr(peers, '_hang_up', lambda server: None)
    peers.wait_for_all(config, 600)


def study(seconds, measured, *names):
  progress.Progress(sys.stderr)(
    total=1000,
    outcomes=['done', 'failed'],
    running=dict.fromkeys(names, 7.0),
    left=lambda: estimates.Estimate(seconds, measured),
  )


def records(total, done):
  clock = Clock().monotonic
  parallel.Progress('comparing source ids', total, clock).update(done)


def joints(tmp_path):
  somebody = [folders.person((4, 2, 44, 22))]
  data = folders.write(tmp_path, train=[folders.example('a', somebody)])
  people._gathered(str(data), 'train', None)


@pytest.mark.parametrize(
  'show',
  [
    lambda _: records(7, 1),
    lambda _: records(300_000_000, 1_200),
    lambda _: training(6.25),
    lambda _: training(float('nan')),
    lambda _: observers.EvaluationProgress(10_000)(),
    lambda _: cluster('ps-1'),
    lambda _: cluster('ps-0', 'ps-1'),
    lambda _: study(7, False, 'pretraining/images=64,seed=0'),
    lambda _: study(1e9, True, 'a', 'b', 'c'),
    lambda _: study(0, True),
    joints,
  ],
)
def test_progress_is_no_message(show, tmp_path):
  printed = io.StringIO()
  with contextlib.redirect_stderr(printed):
    show(tmp_path)
  (line,) = printed.getvalue().splitlines()
  others = ['one', f'Error: {line}', '', 'Error: step 3 is bad.']
  text = '\n'.join([line, others[0], line, *others[1:], line, ''])
  done = subprocess.CompletedProcess([], 1, '', text)
  assert binaries.messages(done) == others
