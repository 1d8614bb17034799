"""Whole runs of the binary: resume, signals, damaged input, wrong use."""

import json
import os
import pathlib
import signal
import subprocess
import time

import numpy as np
import pytest
import tensorflow as tf

from official_repro import evaluate, experiments
from official_repro import task as task_lib
from official_repro.core import config as config_lib
from official_repro.core import flags as core_flags
from official_repro.core import runner
from tests import tiny


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  return tiny.build(tmp_path_factory.mktemp('data') / 'mini')


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


def test_run_leaves_the_files_of_the_contract(data, tmp_path):
  done = tiny.call(
    'train',
    **tiny.train_options(data, tmp_path, mode='train_and_eval'),
  )
  assert done.returncode == 0, done.stderr
  for name in ('params.yaml', 'run.json', 'checkpoint', 'ckpt-8.index'):
    assert (tmp_path / name).exists(), name
  (line,) = _lines(tmp_path / 'metrics.jsonl')
  assert (line['step'], line['examples_seen']) == (8, 64)
  assert line['split'] == 'validation'
  assert set(line['metrics']) == {'mAP@100', 'top1', 'top5', 'loss'}
  assert 'step 8/8' in done.stderr
  for word in ('loss', 'lr', 'images/s', 'data wait', 'ETA'):
    assert word in done.stderr
  tags = {f: _event_tags(tmp_path / f) for f in ('train', 'validation')}
  assert {'inputs', 'learning_rate', 'training_loss'} <= tags['train']
  assert {'predictions', 'mAP@100'} <= tags['validation']
  run = json.loads((tmp_path / 'run.json').read_text())
  assert '--experiment=mini_jft' in run['command']


def _event_tags(folder):
  tags = set()
  for path in folder.glob('events*'):
    for event in tf.compat.v1.train.summary_iterator(str(path)):
      tags |= {v.tag for v in event.summary.value}
  return tags


def test_interrupted_run_equals_a_straight_one_bit_for_bit(data, tmp_path):
  straight, broken = tmp_path / 'straight', tmp_path / 'broken'
  steps = 150
  override = 'trainer.checkpoint_interval=1000,trainer.steps_per_loop=4'
  options = {'steps': steps, 'override': override, 'mode': 'train'}
  _train(data, straight, **options)
  command = tiny.command('train', **tiny.train_options(data, broken, **options))
  process = subprocess.Popen(
    command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
  )
  deadline = time.time() + 120
  while not (broken / 'ckpt-4.index').exists() and time.time() < deadline:
    time.sleep(0.02)
  time.sleep(0.3)
  process.send_signal(signal.SIGTERM)
  _, errors = process.communicate(timeout=120)
  assert process.returncode == 143, errors
  saved = tf.train.latest_checkpoint(str(broken))
  step = int(saved.rsplit('-', 1)[1])
  assert 4 < step < steps
  last = errors.strip().splitlines()[-1]
  assert last.startswith(f'Stopped by SIGTERM at step {step}; saved {saved}')
  again = subprocess.run(command, capture_output=True, text=True, check=False)
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
      override=('trainer.validation_interval=8'),
    )
  assert tf.train.latest_checkpoint(str(tmp_path)).endswith('ckpt-8')
  assert not (tmp_path / 'metrics.jsonl').exists()


def test_confidence_and_positive_weight_reach_the_loss(data, tmp_path):
  losses = {}
  for weight in (1, 5):
    _train(
      data,
      tmp_path / str(weight),
      steps=2,
      override=f'task.positive_weight={weight}',
    )
    (event,) = _scalars(tmp_path / str(weight) / 'train', 'label_loss')
    losses[weight] = event
  assert losses[5] > losses[1]
  # Generated records carry no confidence: said, not passed over.
  with pytest.raises(tf.errors.InvalidArgumentError, match='confidence'):
    _train(
      data, tmp_path / 'c', override='task.train_data.confidence=true', steps=2
    )


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


def test_evaluation_repeats_the_number_of_training(data, tmp_path):
  trained = _train(data, tmp_path, mode='train_and_eval')
  evaluated = _train(data, tmp_path, mode='eval')
  assert evaluated['mAP@100'] == pytest.approx(trained['mAP@100'], abs=1e-6)
  assert len(_lines(tmp_path / 'metrics.jsonl')) == 2


def test_continuous_evaluation_ends_with_the_training(data, tmp_path):
  _train(data, tmp_path)
  result = _train(data, tmp_path, mode='continuous_eval')
  assert 0 <= result['mAP@100'] <= 1


def test_evaluation_without_checkpoint_is_refused(data, tmp_path):
  with pytest.raises(ValueError, match='holds no checkpoint to evaluate'):
    _train(data, tmp_path / 'none', mode='eval')


def test_loss_that_is_not_finite_stops_with_step_and_records(data, tmp_path):
  with pytest.raises(ValueError, match='not finite'):
    _train(
      data,
      tmp_path,
      override=(
        'trainer.optimizer_config.learning_rate.cosine.'
        'initial_learning_rate=1e30'
      ),
    )
  (path,) = tmp_path.glob('nonfinite-*.json')
  report = json.loads(path.read_text())
  assert len(report['records']) == 8
  assert report['position'] == (report['step'] - 1) * 8
  assert not list(tmp_path.glob('ckpt-*'))


def test_frozen_stages_do_not_move(data, tmp_path):
  _train(data, tmp_path / 'a', steps=2)
  before = _tensors(tmp_path / 'a' / 'ckpt-2')
  _train(
    data,
    tmp_path / 'b',
    steps=3,
    **{
      'task.init_checkpoint': str(tmp_path / 'a'),
      'task.freeze': 'conv4',
    },
  )
  after = _tensors(tmp_path / 'b' / 'ckpt-3')
  by_name = _names(tmp_path / 'a' / 'ckpt-2'), _names(tmp_path / 'b' / 'ckpt-3')
  moved = {
    name
    for name, key in by_name[0].items()
    if not np.array_equal(before[key], after[by_name[1][name]])
  }
  assert moved
  assert all(name.startswith(('conv5/', 'fc/')) for name in moved)


def _names(prefix):
  from official_repro.core import checkpoints

  return checkpoints.weight_keys(tf.train.load_checkpoint(str(prefix)))


def test_checkpoint_of_another_depth_is_refused(data, tmp_path):
  _train(data, tmp_path / 'a', steps=1)
  with pytest.raises(ValueError, match='depth 14, the model has 26'):
    _train(
      data,
      tmp_path / 'b',
      steps=1,
      override='task.model.depth=26',
      **{'task.init_checkpoint': str(tmp_path / 'a')},
    )
  with pytest.raises(ValueError, match='depth 14, this run has 26'):
    _train(data, tmp_path / 'a', steps=2, override='task.model.depth=26')


def test_parameter_servers_do_not_evaluate(data, tmp_path):
  with pytest.raises(ValueError, match='continuous_eval'):
    _train(
      data,
      tmp_path,
      mode='train_and_eval',
      **{'runtime.strategy': 'parameter_server'},
    )


@pytest.mark.parametrize('kind', ['bfloat16', 'float16'])
def test_mixed_precision_trains_and_keeps_float32_weights(data, tmp_path, kind):
  result = _train(
    data,
    tmp_path,
    mode='train_and_eval',
    override='trainer.validation_steps=1',
    **{'runtime.mixed_precision': kind},
  )
  assert np.isfinite(result['loss'])
  kernels = [
    v for k, v in _tensors(tmp_path / 'ckpt-8').items() if 'kernel' in k
  ]
  assert kernels
  assert {v.dtype for v in kernels} == {np.dtype('float32')}


def test_missing_split_is_told_with_those_that_exist(data, tmp_path):
  with pytest.raises(ValueError, match='validation') as e:
    _train(data, tmp_path, override='task.train_data.split=trian')
  assert 'trian' in str(e.value)


def test_damaged_record_is_passed_over(data, tmp_path):
  import shutil

  copy = tmp_path / 'data'
  shutil.copytree(data, copy)
  shard = next(pathlib.Path(copy).glob('train-00001*.tfrecord'))
  content = bytearray(shard.read_bytes())
  content[200] ^= 0xFF
  shard.write_bytes(content)
  result = _train(str(copy), tmp_path / 'run', steps=12, mode='train_and_eval')
  assert np.isfinite(result['loss'])


def test_two_replicas_train_and_resume(data, tmp_path):
  code = (
    'import sys, tensorflow as tf\n'
    'cpu = tf.config.list_physical_devices("CPU")[0]\n'
    'tf.config.set_logical_device_configuration('
    'cpu, [tf.config.LogicalDeviceConfiguration()] * 2)\n'
    'from official_repro import train\n'
    'from official_repro.core import flags\n'
    'flags.define_training_flags()\n'
    'flags.run(train.main)\n'
  )
  for steps in (4, 8):
    command = tiny.command(
      'train',
      **tiny.train_options(
        data, tmp_path, steps, strategy='mirrored', mode='train_and_eval'
      ),
    )
    import sys

    done = subprocess.run(
      [sys.executable, '-c', code, *command[3:]],
      capture_output=True,
      text=True,
      check=False,
    )
    assert done.returncode == 0, done.stderr
  assert 'at step 4' in done.stdout
  line = _lines(tmp_path / 'metrics.jsonl')[-1]
  assert line['examples_seen'] == 64
