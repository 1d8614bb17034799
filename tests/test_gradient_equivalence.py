"""Two replicas of half a batch give the gradients of one with the whole batch.

The measurements are those of tests.two_replica_gradients, made once.
"""

import json
import pathlib

import pytest
import tensorflow as tf

from official_repro.core import replicas
from official_repro.modeling import resnet
from tests import binaries

TASKS = ('classification', 'softmax', 'segmentation', 'detection', 'pose')


@pytest.fixture(scope='module')
def found(tmp_path_factory):
  folder = tmp_path_factory.mktemp('data')
  done = binaries.process('tests.two_replica_gradients', folder)
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize('task', TASKS)
def test_two_replicas_give_the_gradients_of_one(found, task):
  """With weight decay, gradient multipliers and, in one, clipping."""
  assert found[task]['gradient'] < 1e-4
  assert found[task]['loss'] < 1e-6
  assert not found[task]['zero']


@pytest.mark.parametrize('task', ['softmax', 'segmentation'])
def test_a_mean_of_means_would_not(found, task):
  assert found[task]['apart']['gradient'] > 0.1


@pytest.mark.parametrize('task', TASKS)
def test_an_empty_share_of_an_evaluation_finds_nothing(found, task):
  assert found[task]['empty'] == 0


def test_synchronised_batch_norm_is_that_of_the_whole_batch(found):
  assert found['sync']['gradient'] < 1e-3
  assert found['sync']['moving'] < 1e-3
  assert found['sync']['loss'] < 1e-6
  assert found['sync']['apart']['gradient'] > 0.1
  assert found['sync']['apart']['moving'] > 0.1


def test_counts_of_replicas_become_their_mean(found):
  # (1 + 5) / 2 on both replicas; outside of a step there is nothing to share.
  assert found['counts'] == [3, 3, 3]


def test_nan_on_one_replica_ends_the_run(found):
  error, run = (found['one_bad_replica'][k] for k in ('error', 'run'))
  assert error.startswith('The loss of step 2 is not finite; nothing was saved')
  assert [p.name for p in pathlib.Path(run).glob('*.index')] == ['ckpt-1.index']
  batch = json.loads(pathlib.Path(run, 'nonfinite-2.json').read_text())
  assert sorted(batch['records']) == ['0', '1', '2', '3']  # of both replicas


def test_count_of_one_replica_is_its_own():
  assert replicas.mean_count(7.0) == 7
  strategy = tf.distribute.OneDeviceStrategy('CPU:0')
  assert strategy.run(replicas.mean_count, args=(7.0,)) == 7


def test_synchronised_batch_norm_changes_no_name():
  options = {'depth': 14, 'width': 1 / 16}
  plain = resnet.ResNet(**options)
  sync = resnet.ResNet(sync_batch_norm=True, **options)
  named = lambda model: [(v.name, v.shape) for v in model.variables]
  assert named(plain) == named(sync)
  with pytest.raises(ValueError, match='sync_batch_norm and freeze_batch_norm'):
    resnet.ResNet(sync_batch_norm=True, freeze_batch_norm=True, **options)
