"""Whole runs of the binary: resume, signals, damaged input, wrong use."""

import json
import os
import pathlib
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf

from official_repro import evaluate, experiments
from official_repro import task as task_lib
from official_repro.core import checkpoints, runner
from official_repro.core import config as config_lib
from official_repro.core import flags as core_flags
from tests import binaries, tiny
from tests.conftest import optimize_graphs


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  return tiny.build(tmp_path_factory.mktemp('data') / 'mini')


@pytest.fixture(scope='module')
def trained(data, tmp_path_factory):
  """A run of two steps, not to be changed."""
  folder = tmp_path_factory.mktemp('trained') / 'run'
  _train(data, folder, steps=2)
  return folder


@pytest.fixture(scope='module')
def run(data, tmp_path_factory):
  """Folder of a run with an evaluation, not to be changed; its stderr."""
  folder = tmp_path_factory.mktemp('run')
  done = tiny.call(
    'train',
    **tiny.train_options(
      data,
      folder,
      mode='train_and_eval',
      override='trainer.sample_pictures=4',
    ),
  )
  assert done.returncode == 0, done.stderr
  return folder, done.stderr


def _options(data, model_dir, steps=8, override='', mode='train', **flags):
  config = config_lib.resolve(
    experiments.mini_jft(),
    params_override=tiny.OVERRIDE + (',' + override if override else ''),
    flag_values={
      'task.train_data.data_dir': data,
      'task.validation_data.data_dir': data,
      'task.train_data.global_batch_size': 8,
      'trainer.train_steps': steps,
      **flags,
    },
  )
  return core_flags.RunOptions(config, 'mini_jft', mode, str(model_dir))


def _train(*args, **kwargs):
  return runner.run(_options(*args, **kwargs), task_lib.ClassificationTask)


def _tensors(prefix):
  reader = tf.train.load_checkpoint(str(prefix))
  return {
    k: reader.get_tensor(k)
    for k in reader.get_variable_to_shape_map()
    if k != '_CHECKPOINTABLE_OBJECT_GRAPH' and 'save_counter' not in k
  }


def _assert_equal(a, b):
  assert set(a) == set(b)
  for key, value in a.items():
    np.testing.assert_array_equal(value, b[key], err_msg=key)


def _lines(path):
  return [json.loads(x) for x in path.read_text().splitlines()]


def test_run_leaves_the_files_of_the_contract(run):
  folder, errors = run
  for name in ('params.yaml', 'run.json', 'checkpoint', 'ckpt-8.index'):
    assert (folder / name).exists(), name
  (line,) = _lines(folder / 'metrics.jsonl')
  assert (line['step'], line['examples_seen']) == (8, 64)
  assert line['split'] == 'validation'
  assert set(line['metrics']) == {'mAP@100', 'top1', 'top5', 'loss'}
  assert 'step 8/8' in errors
  for word in ('loss', 'lr', 'images/s', 'data wait', 'ETA'):
    assert word in errors
  tags = {f: _event_tags(folder / f) for f in ('train', 'validation')}
  assert {'inputs', 'learning_rate', 'training_loss'} <= tags['train']
  assert {'predictions', 'mAP@100'} <= tags['validation']


def _event_tags(folder):
  tags = set()
  for path in folder.glob('events*'):
    for event in tf.compat.v1.train.summary_iterator(str(path)):
      tags |= {v.tag for v in event.summary.value}
  return tags


@pytest.fixture
def as_in_a_process():
  """Graphs of this process give the very numbers of a process of its own."""
  optimize_graphs(True)
  yield
  optimize_graphs(False)


@pytest.mark.usefixtures('as_in_a_process')
def test_interrupted_run_equals_a_straight_one_bit_for_bit(data, tmp_path):
  straight, broken = tmp_path / 'straight', tmp_path / 'broken'
  steps = 100
  override = 'trainer.checkpoint_interval=1000,trainer.steps_per_loop=4'
  options = {'steps': steps, 'override': override, 'mode': 'train'}
  _train(data, straight, **options)
  words = tiny.train_options(data, broken, **options)
  done = binaries.process('tests.stopped', 9, **words)
  assert done.returncode == 143, done.stderr
  saved = tf.train.latest_checkpoint(str(broken))
  step = int(saved.rsplit('-', 1)[1])
  assert 9 <= step <= 12  # at the end of the step or of the loop
  last = done.stderr.strip().splitlines()[-1]
  assert last.startswith(f'Stopped by SIGTERM at step {step}; saved {saved}')
  written = json.loads((broken / 'run.json').read_text())
  assert '--experiment=mini_jft' in written['command']
  again = tiny.call('train', **words)
  assert again.returncode == 0, again.stderr
  assert f'Resuming from {saved}' in again.stdout
  _assert_equal(
    _tensors(straight / f'ckpt-{steps}'), _tensors(broken / f'ckpt-{steps}')
  )


def test_signal_during_an_evaluation_saves_too(data, tmp_path, monkeypatch):
  add = evaluate.Evaluation.add

  def add_and_signal(self, *args):
    add(self, *args)
    os.kill(os.getpid(), signal.SIGTERM)

  monkeypatch.setattr(evaluate.Evaluation, 'add', add_and_signal)
  with pytest.raises(core_flags.StoppedError, match='step 8; saved .*ckpt-8'):
    _train(
      data,
      tmp_path,
      steps=12,
      mode='train_and_eval',
      override='trainer.validation_interval=8,task.freeze=conv5',
    )
  assert tf.train.latest_checkpoint(str(tmp_path)).endswith('ckpt-8')
  assert not (tmp_path / 'metrics.jsonl').exists()


def test_positive_weight_reaches_the_loss(data, trained, tmp_path):
  _train(data, tmp_path, steps=2, override='task.positive_weight=5')
  (one,) = _scalars(trained / 'train', 'label_loss')
  (five,) = _scalars(tmp_path / 'train', 'label_loss')
  assert five > one


def test_confidence_reaches_the_data(data, tmp_path):
  options = _options(data, tmp_path, override='task.train_data.confidence=true')
  config = task_lib.ClassificationTask.resolve(options.config).task
  task = task_lib.ClassificationTask(config)
  # Generated records carry no confidence: said, not passed over.
  with pytest.raises(tf.errors.InvalidArgumentError, match='confidence'):
    next(iter(task.build_inputs(config.train_data)))


def _scalars(folder, tag):
  for path in folder.glob('events*'):
    for event in tf.compat.v1.train.summary_iterator(str(path)):
      for value in event.summary.value:
        if value.tag == tag:
          yield float(tf.make_ndarray(value.tensor))


def test_resume_never_and_must(data, tmp_path):
  options = tiny.train_options(data, tmp_path, resume='must')
  done = tiny.call('train', **options)
  assert done.returncode == 1
  assert 'no checkpoint to resume' in done.stderr
  assert not list(tmp_path.glob('ckpt*'))


def test_evaluation_repeats_the_number_of_training(data, run, tmp_path):
  folder = shutil.copytree(run[0], tmp_path / 'copied')
  (line,) = _lines(folder / 'metrics.jsonl')
  trained = line['metrics']['mAP@100']
  for mode in ('eval', 'continuous_eval'):  # which ends with the training
    evaluated = _train(data, folder, mode=mode)
    assert evaluated['mAP@100'] == pytest.approx(trained, abs=1e-6)
  assert len(_lines(folder / 'metrics.jsonl')) == 3


def test_evaluation_without_checkpoint_is_refused(data, tmp_path):
  with pytest.raises(ValueError, match='holds no checkpoint to evaluate'):
    _train(data, tmp_path / 'none', mode='eval')


def test_loss_that_is_not_finite_stops_with_step_and_records(data, tmp_path):
  with pytest.raises(ValueError, match='not finite'):
    _train(
      data,
      tmp_path,
      override=(
        'task.freeze=conv5,trainer.optimizer_config.learning_rate.cosine.'
        'initial_learning_rate=1e30'
      ),
    )
  (path,) = tmp_path.glob('nonfinite-*.json')
  report = json.loads(path.read_text())
  assert len(report['records']) == 8
  assert report['position'] == (report['step'] - 1) * 8
  assert not list(tmp_path.glob('ckpt-*'))


def test_frozen_stages_do_not_move(data, trained, tmp_path):
  before = _tensors(trained / 'ckpt-2')
  init = {'task.init_checkpoint': str(trained), 'task.freeze': 'conv4'}
  _train(data, tmp_path, steps=2, **init)
  after = _tensors(tmp_path / 'ckpt-2')
  by_name = _names(trained / 'ckpt-2'), _names(tmp_path / 'ckpt-2')
  moved = {
    name
    for name, key in by_name[0].items()
    if not np.array_equal(before[key], after[by_name[1][name]])
  }
  assert moved
  assert all(name.startswith(('conv5/', 'fc/')) for name in moved)


def _names(prefix):
  return checkpoints.weight_keys(tf.train.load_checkpoint(str(prefix)))


def test_checkpoint_of_another_depth_is_refused(data, trained, tmp_path):
  other = 'task.model.depth=26'
  init = {'task.init_checkpoint': str(trained)}
  with pytest.raises(ValueError, match='depth 14, the model has 26'):
    _train(data, tmp_path, override=other, **init)
  with pytest.raises(ValueError, match='depth 14, this run has 26'):
    _train(data, trained, override=other)


def test_parameter_servers_do_not_evaluate(data, tmp_path):
  with pytest.raises(ValueError, match='continuous_eval'):
    _train(
      data,
      tmp_path,
      mode='train_and_eval',
      **{'runtime.strategy': 'parameter_server'},
    )


def test_missing_split_is_told_with_those_that_exist(data, tmp_path):
  with pytest.raises(ValueError, match='validation') as e:
    _train(data, tmp_path, override='task.train_data.split=trian')
  assert 'trian' in str(e.value)


def test_damaged_record_is_passed_over(data, tmp_path):
  copy = tmp_path / 'data'
  shutil.copytree(data, copy)
  shard = next(pathlib.Path(copy).glob('train-00001*.tfrecord'))
  content = bytearray(shard.read_bytes())
  content[200] ^= 0xFF
  shard.write_bytes(content)
  result = _train(str(copy), tmp_path / 'run', steps=12, mode='train_and_eval')
  assert np.isfinite(result['loss'])
