"""What a run takes from a checkpoint, and what may move afterwards."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab import loading
from tests.deeplab import folders, tiny

STAGES = {f'conv{i}' for i in range(1, 6)}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  rows = tiny.rows(3)
  return folders.write(
    tmp_path_factory.mktemp('data'), train=rows, validation=rows
  )


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
  return tiny.save_classifier(tmp_path_factory.mktemp('classifier'))


def started(data, path, **options):
  """Task and model of a run from a checkpoint."""
  task = tiny.make(data, **{'task.init_checkpoint': str(path), **options})
  model = task.build_model()
  task.initialize(model)
  return task, model


def values(model):
  return {v.name: v.numpy() for v in model.variables}


def moved(data, path, **options):
  """Names of what one step changes."""
  task, model = started(data, path, **options)
  before = values(model)
  batch = next(iter(task.build_inputs(task.task_config.train_data)))
  task.train_step(batch, model, tf.keras.optimizers.legacy.SGD(0.1))
  after = values(model)
  return {name for name in before if np.any(before[name] != after[name])}


def test_frozen_variant_moves_nothing_below_conv5(data, classifier):
  changed = moved(data, classifier, **{'task.freeze': 'conv4'})
  assert {name.split('/')[0] for name in changed} == {'conv5', 'head'}
  assert not any('moving' in name for name in changed)


def test_frozen_batch_norm_moves_no_statistics(data, classifier):
  changed = moved(data, classifier)
  assert {name.split('/')[0] for name in changed} == {*STAGES, 'head'}
  assert any('gamma' in name for name in changed)
  assert not any('moving' in name for name in changed)


def test_free_batch_norm_moves_all_statistics(data, classifier):
  changed = moved(
    data, classifier, override='task.model.freeze_batch_norm=false'
  )
  assert {name.split('/')[0] for name in changed if 'moving' in name} == STAGES


def test_checkpoint_of_another_network_is_refused(data, tmp_path):
  path = tiny.save_classifier(tmp_path, stride_placement='v1.5')
  with pytest.raises(ValueError, match=r"placement 'v1.5', .* has 'slim'"):
    started(data, path)
  path = tiny.save_classifier(tmp_path / 'deep', depth=26)
  with pytest.raises(ValueError, match=r'depth 26, .* has 14'):
    started(data, path)


def test_preprocessing_of_the_checkpoint_is_taken_over(data, tmp_path):
  pixels = [[-123.68, -116.779, -103.939], [131.32, 138.221, 151.061]]
  path = tiny.save_classifier(tmp_path, pixel_range=pixels)
  task, model = started(data, path)
  assert task.metadata()['pixel_range'] == pixels
  assert model.metadata()['pixel_range'] == pixels


def test_net_goes_on_from_a_net(data, classifier, tmp_path, capsys):
  task, model = started(data, classifier)
  assert 'Loaded 85 variables' in capsys.readouterr().out
  path = tiny.save(tmp_path / 'own', model, task.metadata())
  _, again = started(data, path)
  assert 'Loaded 93 variables' in capsys.readouterr().out
  for name, value in values(again).items():
    np.testing.assert_array_equal(value, values(model)[name])
  started(data, path, override='task.model.rates=[6,12]')
  out = capsys.readouterr().out
  assert 'The rates of' in out
  assert 'Loaded 85 variables' in out
  # The same number of classes, but other ones.
  other = folders.write(
    tmp_path / 'other', ('a', 'b', 'c'), train=tiny.rows(1),
    validation=tiny.rows(1),
  )  # fmt: skip
  started(other, path)
  out = capsys.readouterr().out
  assert 'The label_space of' in out
  assert 'Loaded 85 variables' in out


def test_a_saved_net_comes_back_whole(data, classifier, tmp_path):
  task, model = started(data, classifier, override='task.model.rates=[2,4]')
  path = tiny.save(tmp_path, model, task.metadata())
  again = loading.from_checkpoint(path, freeze='conv4')
  assert again.metadata() == model.metadata()
  for name, value in values(again).items():
    np.testing.assert_array_equal(value, values(model)[name])
  with pytest.raises(ValueError, match='holds no segmentation net'):
    loading.from_checkpoint(classifier)
