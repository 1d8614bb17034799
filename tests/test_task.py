"""ClassificationTask: loading weights, losses, steps of a tiny net."""

import numpy as np
import pytest
import tensorflow as tf

from official_repro import experiments
from official_repro import task as task_lib
from official_repro.core import checkpoints
from official_repro.core import config as config_lib
from tests import tiny


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  return tiny.build(tmp_path_factory.mktemp('data') / 'mini', images=16)


@pytest.fixture(scope='module')
def other_data(tmp_path_factory):
  folder = tmp_path_factory.mktemp('data') / 'other'
  return tiny.build(folder, images=16, num_classes=60)


def _task(data, override='', **fields):
  config = config_lib.resolve(
    experiments.mini_jft(),
    params_override=tiny.OVERRIDE + (',' + override if override else ''),
    flag_values={
      'task.train_data.data_dir': data,
      'task.validation_data.data_dir': data,
      **fields,
    },
  )
  return task_lib.ClassificationTask(
    task_lib.ClassificationTask.resolve(config).task
  )


def _save(task, model, path):
  return tf.train.Checkpoint(
    model=model, metadata=checkpoints.Metadata(task.metadata())
  ).save(str(path / 'ckpt'))


def _head(model):
  from official_repro.modeling import sharded_dense

  values = {v.name.split(':')[0]: v.numpy() for v in model.head.variables}
  return sharded_dense.shards_to_dense(values, model.head.units)


def test_head_is_cut_anew_for_another_number_of_parts(data, tmp_path, capsys):
  task = _task(data)
  source = task.build_model()
  prefix = _save(task, source, tmp_path)
  task = _task(
    data, 'task.model.fc_shards=3', **{'task.init_checkpoint': prefix}
  )
  target = task.build_model()
  task.initialize(target)
  assert target.head.num_shards == 3
  for a, b in zip(_head(source), _head(target)):
    np.testing.assert_array_equal(a, b)
  printed = capsys.readouterr().out
  assert 'Loaded' in printed
  assert 'cut anew into 3 parts' in printed


def test_another_label_space_starts_a_new_head(
  data, other_data, tmp_path, capsys
):
  task = _task(data)
  source = task.build_model()
  prefix = _save(task, source, tmp_path)
  task = _task(other_data, **{'task.init_checkpoint': prefix})
  target = task.build_model()
  before = _head(target)[0].copy()
  task.initialize(target)
  np.testing.assert_array_equal(_head(target)[0], before)
  trunk = {v.name: v.numpy() for v in source.trunk.variables}
  for variable in target.trunk.variables:
    np.testing.assert_array_equal(variable.numpy(), trunk[variable.name])
  printed = capsys.readouterr().out
  assert 'label space differs' in printed
  assert 'missing in the checkpoint' in printed


def test_another_stride_placement_is_refused_unless_allowed(data, tmp_path):
  task = _task(data)
  prefix = _save(task, task.build_model(), tmp_path)
  options = {'task.init_checkpoint': prefix}
  task = _task(data, 'task.model.stride_placement=v1', **options)
  with pytest.raises(ValueError, match=r"stride_placement 'slim'.*'v1'"):
    task.initialize(task.build_model())
  task = _task(
    data,
    'task.model.stride_placement=v1,task.allow_partial_init=true',
    **options,
  )
  task.initialize(task.build_model())


def test_weight_decay_is_slims(data):
  """decay * sum(w^2) / 2 over kernels, nothing on biases and batch norm."""
  task = _task(data, 'task.weight_decay=0.01')
  model = task.build_model()
  kernels = [v for v in model.trainable_variables if 'kernel' in v.name]
  expected = sum(0.01 * np.sum(v.numpy() ** 2) / 2 for v in kernels)
  assert float(tf.add_n(model.losses)) == pytest.approx(expected, rel=1e-5)


def test_validation_loss_counts_pictures_not_batches(data):
  """Two batches of unequal size: the mean is over the three pictures."""
  task = _task(data)
  labels = np.array([[0, -1], [1, 2], [3, -1]], np.int32)
  scores = np.zeros((3, task.hierarchy.num_classes), np.float32)
  state = None
  for rows, loss in ((slice(0, 2), 4.0), (slice(2, 3), 1.0)):
    step = {
      'label_ids': (tf.constant(labels[rows]),),
      'scores': (tf.constant(scores[rows]),),
      'mean_loss': (tf.constant(loss),),
    }
    state = task.aggregate_logs(state, step)
  result = task.reduce_aggregated_logs(state)
  assert result['loss'] == pytest.approx((2 * 4.0 + 1.0) / 3)


def test_softmax_reads_the_given_label(data):
  task = _task(data, 'task.loss=softmax')
  logits = tf.constant([[0.0, 1.0, 2.0]])
  loss = task.build_losses(tf.constant([[1, -1]]), logits)
  # log(e^0 + e^1 + e^2) - 1
  assert float(loss) == pytest.approx(np.log(1 + np.e + np.e**2) - 1, rel=1e-5)


def test_unknown_loss_is_refused(data):
  with pytest.raises(ValueError, match='hinge'):
    _task(data, 'task.loss=hinge')
