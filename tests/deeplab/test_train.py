"""Whole runs on a tiny network: files, resume, frozen parts, checkpoints."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.deeplab import folders, photo, tiny


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  return folders.write(
    tmp_path_factory.mktemp('data'), train=tiny.rows(7), validation=tiny.rows()
  )


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
  return tiny.save_classifier(tmp_path_factory.mktemp('classifier'))


@pytest.fixture(scope='module')
def run(data, classifier, tmp_path_factory):
  """Folder of a run of four steps with a x10 head, and what it printed."""
  folder = tmp_path_factory.mktemp('run')
  done = tiny.call(
    'deeplab.train',
    **tiny.train_options(
      data,
      folder,
      experiment='voc2012_resnet101_x10head',
      override='trainer.sample_pictures=2,trainer.checkpoint_interval=2',
      init_checkpoint=classifier,
    ),
  )
  assert done.returncode == 0, done.stderr
  assert 'Warning: batch norm' not in done.stderr
  return folder, done.stdout


def tensors(prefix):
  reader = tf.train.load_checkpoint(str(prefix))
  return {
    k: reader.get_tensor(k)
    for k in reader.get_variable_to_shape_map()
    if k != '_CHECKPOINTABLE_OBJECT_GRAPH' and 'save_counter' not in k
  }


def tags(folder):
  found = set()
  for path in folder.glob('events*'):
    for event in tf.compat.v1.train.summary_iterator(str(path)):
      found |= {v.tag for v in event.summary.value}
  return found


def test_run_leaves_the_files_of_the_contract(run):
  folder, out = run
  assert 'Loaded 85 variables' in out
  assert '8 missing in the checkpoint' in out
  assert 'head/rate_06/kernel' in out
  for name in ('params.yaml', 'run.json', 'labels.tsv', 'ckpt-4.index'):
    assert (folder / name).exists(), name
  (line,) = (
    json.loads(x) for x in (folder / 'metrics.jsonl').read_text().splitlines()
  )
  assert (line['step'], line['examples_seen']) == (4, 8)
  assert set(line['metrics']) == {'mIoU', 'pixel_accuracy'}
  assert 0 <= line['metrics']['mIoU'] <= 1
  table = (folder / 'classes-validation.txt').read_text()
  assert 'background' in table
  assert 'bird' in table
  assert {'inputs', 'segmentation_loss', 'learning_rate'} <= tags(
    folder / 'train'
  )
  assert {'predictions', 'mIoU'} <= tags(folder / 'validation')


def test_resumed_run_with_x10_head_equals_a_straight_one_bit_for_bit(
  data, run, tmp_path
):
  straight, _ = run
  for path in straight.glob('ckpt-2.*'):
    shutil.copy(path, tmp_path)
  (tmp_path / 'checkpoint').write_text('model_checkpoint_path: "ckpt-2"')
  tiny.train(data, tmp_path, steps=4, preset='voc2012_resnet101_x10head')
  a, b = (tensors(folder / 'ckpt-4') for folder in (straight, tmp_path))
  assert set(a) == set(b)
  for key, value in a.items():
    np.testing.assert_array_equal(value, b[key], err_msg=key)
  before = tensors(tmp_path / 'ckpt-2')
  # The steps did something, and so did the momentum that was saved.
  assert any(np.any(before[k] != a[k]) for k in a if 'SLOT' not in k)
  momentum = [k for k in before if 'SLOT' in k and 'head' in k]
  assert momentum
  assert all(before[k].any() for k in momentum)


def test_one_photo_is_learnt(tmp_path):
  folder = photo.write(tmp_path / 'data', max_side=193)
  found = tiny.train(
    folder,
    tmp_path / 'run',
    steps=50,
    mode='train_and_eval',
    override=(
      'task.model.width=0.25,task.full_size_loss=true,task.train_data.crop_size=193,'
      'task.validation_data.crop_size=193,task.train_data.flip=false,'
      'trainer.optimizer_config.learning_rate.cosine.decay_steps=50'
    ),
    **{'task.train_data.global_batch_size': 1},
  )
  assert found['mIoU'] >= 0.9
