"""Whole runs on a tiny network: files, resume, frozen parts, checkpoints."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from object_detection import experiments, task
from official_repro.core import checkpoints, runner
from official_repro.core import config as config_lib
from official_repro.core import flags as core_flags
from tests import binaries
from tests.object_detection import tiny

# As caffe's networks have it, 0..255 with each channel's mean taken off.
PIXELS = [[-123.68, -116.779, -103.939], [131.32, 138.221, 151.061]]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  return tiny.build(tmp_path_factory.mktemp('data') / 'mini')


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
  return tiny.save_classifier(tmp_path_factory.mktemp('classifier'))


@pytest.fixture(scope='module')
def other_pixels(tmp_path_factory):
  folder = tmp_path_factory.mktemp('other_pixels')
  return tiny.save_classifier(folder, pixel_range=PIXELS)


@pytest.fixture(scope='module')
def run(data, classifier, tmp_path_factory):
  """Folder of a run of four steps, not to be changed; what it printed."""
  folder = tmp_path_factory.mktemp('run')
  done = tiny.call(
    'object_detection.train',
    **tiny.train_options(
      data,
      folder,
      override='trainer.sample_pictures=2,trainer.checkpoint_interval=2',
      init_checkpoint=classifier,
    ),
  )
  assert done.returncode == 0, done.stderr
  return folder, done.stdout


@pytest.fixture(scope='module')
def frozen(data, other_pixels, tmp_path_factory):
  """Folder of a run of another kind, its options, and its metrics."""
  folder = tmp_path_factory.mktemp('frozen')
  override = (
    'task.metric=voc,task.train_data.pad_multiple=16,'
    'task.train_data.min_side=48,task.validation_data.pad_multiple=16'
  )
  words = {
    'override': override,
    'task.init_checkpoint': other_pixels,
    'task.freeze': 'conv4',
  }
  return folder, words, train(data, folder, mode='train_and_eval', **words)


def options(data, model_dir, steps=2, override='', mode='train', **flags):
  config = config_lib.resolve(
    experiments.mini_coco(),
    params_override=tiny.OVERRIDE + (',' + override if override else ''),
    flag_values={
      'task.train_data.data_dir': data,
      'task.validation_data.data_dir': data,
      'task.train_data.global_batch_size': 2,
      'trainer.train_steps': steps,
      **flags,
    },
  )
  return core_flags.RunOptions(config, 'mini_coco', mode, str(model_dir))


def train(*args, **kwargs):
  return runner.run(options(*args, **kwargs), task.DetectionTask)


def tensors(prefix):
  reader = tf.train.load_checkpoint(str(prefix))
  return {
    k: reader.get_tensor(k)
    for k in reader.get_variable_to_shape_map()
    if k != '_CHECKPOINTABLE_OBJECT_GRAPH' and 'save_counter' not in k
  }


def weights(path):
  return checkpoints.read_weights(str(path))


def tags(folder):
  found = set()
  for path in folder.glob('events*'):
    for event in tf.compat.v1.train.summary_iterator(str(path)):
      found |= {v.tag for v in event.summary.value}
  return found


def test_run_leaves_the_files_of_the_contract(run):
  folder, out = run
  # Both stages come from the one checkpoint; only the new layers lack.
  assert 'Loaded 85 variables' in out
  assert '10 missing in the checkpoint' in out
  assert 'rpn/conv/kernel' in out
  for name in ('params.yaml', 'run.json', 'labels.tsv', 'ckpt-4.index'):
    assert (folder / name).exists(), name
  (line,) = (
    json.loads(x) for x in (folder / 'metrics.jsonl').read_text().splitlines()
  )
  assert (line['step'], line['examples_seen']) == (4, 8)
  assert {'AP', 'AP50', 'AP75', 'AP_small', 'AR1', 'AR100'} <= set(
    line['metrics']
  )
  results = json.loads((folder / 'detections-validation.json').read_text())
  assert results
  for entry in results:
    assert set(entry) == {'image_id', 'category_id', 'bbox', 'score'}
    assert 1 <= entry['category_id'] <= 20
    x, y, width, height = entry['bbox']
    # Original pixels: the pictures have 51 to 64 on the longer side.
    assert min(x, y, width, height) >= 0
    assert max(x + width, y + height) <= 64.01
  table = (folder / 'classes-validation.txt').read_text()
  assert 'person' in table
  assert 'AP50' in table
  assert {'inputs', *task.LOSSES, 'learning_rate'} <= tags(folder / 'train')
  assert {'predictions', 'AP50'} <= tags(folder / 'validation')


def test_resumed_run_equals_a_straight_one_bit_for_bit(
  data, classifier, run, tmp_path
):
  straight, _ = run
  for path in straight.glob('ckpt-2.*'):
    shutil.copy(path, tmp_path)
  (tmp_path / 'checkpoint').write_text('model_checkpoint_path: "ckpt-2"')
  # Going on needs the first checkpoint no more.
  gone = {'task.init_checkpoint': str(tmp_path / 'gone')}
  train(data, tmp_path, steps=4, **gone)
  a, b = (tensors(folder / 'ckpt-4') for folder in (straight, tmp_path))
  assert set(a) == set(b)
  for key, value in a.items():
    np.testing.assert_array_equal(value, b[key], err_msg=key)
  # And the steps did something: all stages have moved, no statistics have.
  before = tensors(tmp_path / 'ckpt-2')
  assert any(np.any(before[k] != a[k]) for k in a if 'SLOT' not in k)
  changed = moved(classifier, straight)
  assert {name.split('/')[0] for name in changed} == {
    f'conv{i}' for i in range(1, 6)
  }
  assert not any('moving' in name for name in changed)


def moved(before, after):
  before, after = weights(before), weights(after)
  return {n for n in before if n in after and np.any(before[n] != after[n])}


def test_frozen_variant_moves_nothing_below_conv5(other_pixels, frozen):
  changed = moved(other_pixels, frozen[0])
  assert changed
  assert all(name.startswith('conv5/') for name in changed)
  assert not any('moving' in name for name in changed)


@pytest.mark.parametrize(
  'metadata, message',
  [
    ({'depth': 26}, 'depth 26, the model has 14'),
    (
      {'stride_placement': 'v1.5'},
      "stride_placement 'v1.5', the model has 'slim'",
    ),
  ],
)
def test_checkpoint_of_another_network_is_refused(
  data, tmp_path, metadata, message
):
  path = tiny.save_classifier(tmp_path, **metadata)
  with pytest.raises(ValueError, match='was trained with') as e:
    initialized(data, **{'task.init_checkpoint': path})
  assert message in str(e.value)


def initialized(data, **flags):
  """The model of a run before its first step."""
  config = task.DetectionTask.resolve(options(data, 'none', **flags).config)
  detection = task.DetectionTask(config.task)
  model = detection.build_model()
  detection.initialize(model)
  return model


def test_preprocessing_of_the_checkpoint_is_taken_over(frozen):
  saved = checkpoints.read_metadata(
    checkpoints.open_reader(checkpoints.find(str(frozen[0])))
  )
  assert saved['pixel_range'] == PIXELS


def test_voc_metric_and_batches_of_unequal_sizes(data, frozen):
  folder, words, found = frozen
  assert set(found) == {'mAP', 'mAP_11_point'}
  assert (folder / 'detections-validation.json').exists()
  again = train(data, folder, mode='eval', **words)
  assert again == pytest.approx(found, abs=1e-6)


@pytest.mark.parametrize(
  'override, words',
  [
    ('', ['Loaded 95 variables']),
    (
      'task.classes=[person]',
      ['The label_space of', 'Loaded 85 variables'],
    ),
  ],
)
def test_detector_goes_on_from_a_detector(data, run, capsys, override, words):
  init = {'task.init_checkpoint': str(run[0])}
  model = initialized(data, override=override, **init)
  out = capsys.readouterr().out
  for word in words:
    assert word in out
  trained = weights(run[0])
  for variable in model.variables:
    own = np.array_equal(variable, trained[variable.name[:-2]])
    new = bool(override) and variable.name.startswith(('rpn/', 'head/'))
    assert own != new or not variable.numpy().any(), variable.name


def test_two_replicas_train(data, tmp_path):
  words = tiny.train_options(
    data, tmp_path, 2, override='task.freeze=conv4', strategy='mirrored'
  )
  done = binaries.process(
    'tests.two_replicas', 'object_detection.train', **words
  )
  assert done.returncode == 0, done.stderr
  lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  assert json.loads(lines[-1])['examples_seen'] == 4
