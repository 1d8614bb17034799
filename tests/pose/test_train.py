"""Whole runs on a tiny network: files, averages, resume, detected boxes."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from pycocotools import coco as coco_lib

from official_repro.core import checkpoints
from official_repro.data import manifest
from pose import building, people, person_boxes
from tests.pose import folders, tiny

STEPS = 4
# Momentum and averages, which a resumed run must find again. Warm enough that
# four steps are seen in the poses.
OPTIMIZER = (
  'trainer.optimizer_config.optimizer.type=sgd,'
  'trainer.optimizer_config.optimizer.sgd.momentum=0.9,'
  'trainer.optimizer_config.learning_rate.type=constant,'
  'trainer.optimizer_config.learning_rate.constant.learning_rate=0.05,'
  'trainer.optimizer_config.averaging_decay=0.9,'
  'task.model.intermediate=conv4/unit_1'
)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  rows = tiny.rows()
  return folders.write(
    tmp_path_factory.mktemp('data'), train=rows, validation=rows
  )


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
  return tiny.save_classifier(tmp_path_factory.mktemp('classifier'))


@pytest.fixture(scope='module')
def run(data, classifier, tmp_path_factory):
  """Folder of a run with two evaluations, and what it printed."""
  folder = tmp_path_factory.mktemp('run')
  done = tiny.call(
    'pose.train',
    **tiny.train_options(
      data,
      folder,
      STEPS,
      OPTIMIZER + ',trainer.checkpoint_interval=1,trainer.max_to_keep=9,'
      'trainer.sample_pictures=2,trainer.validation_interval=2',
      init_checkpoint=classifier,
    ),
  )
  assert done.returncode == 0, done.stderr
  return folder, done.stdout


@pytest.fixture
def copied(run, tmp_path):
  """The folder of the run once more."""
  return shutil.copytree(run[0], tmp_path / 'copied')


def tensors(prefix):
  reader = tf.train.load_checkpoint(str(prefix))
  return {
    k: reader.get_tensor(k)
    for k in reader.get_variable_to_shape_map()
    if k != '_CHECKPOINTABLE_OBJECT_GRAPH' and 'save_counter' not in k
  }


def weights(prefix, averaged=False):
  """Weights, or their averages, of a checkpoint by name."""
  reader = checkpoints.open_reader(str(prefix))
  keys = checkpoints.weight_keys(reader, averaged)
  return {name: reader.get_tensor(key) for name, key in keys.items()}


def tags(folder):
  found = set()
  for path in folder.glob('events*'):
    for event in tf.compat.v1.train.summary_iterator(str(path)):
      found |= {v.tag for v in event.summary.value}
  return found


def poses(folder):
  rows = json.loads((folder / 'poses-validation.json').read_text())
  return np.array([[*r['keypoints'], r['score']] for r in rows])


def test_run_leaves_the_files_of_the_contract(run):
  folder, out = run
  # Without the two heads, and the classifier's own.
  assert 'Loaded 85 variables' in out
  assert '4 missing in the checkpoint' in out
  for name in (
    'params.yaml',
    'run.json',
    'labels.tsv',
    'joints-validation.txt',
    'people-train.npz',
    *(f'ckpt-{n}.index' for n in range(1, STEPS + 1)),
  ):
    assert (folder / name).exists(), name
  lines = [
    json.loads(x) for x in (folder / 'metrics.jsonl').read_text().splitlines()
  ]
  assert [(x['step'], x['examples_seen']) for x in lines] == [(2, 4), (4, 8)]
  assert all(0 <= x['metrics']['AP/gt_boxes'] <= 1 for x in lines)
  assert {
    'inputs',
    'heatmap_loss',
    'offset_loss',
    'intermediate_heatmap_loss',
    'learning_rate',
  } <= tags(folder / 'train')
  assert {'predictions', 'AP/gt_boxes'} <= tags(folder / 'validation')


def test_pycocotools_reads_the_poses(run):
  folder, _ = run
  truth = coco_lib.COCO()
  truth.dataset = {
    'images': [{'id': i} for i in (1, 2, 3)],
    'categories': [{'id': 1, 'name': 'person'}],
    'annotations': [],
  }
  truth.createIndex()
  found = truth.loadRes(str(folder / 'poses-validation.json'))
  rows = list(found.anns.values())
  assert 2 <= len(rows) <= 3
  assert {r['image_id'] for r in rows} == {1, 3}
  assert all(len(r['keypoints']) == 51 for r in rows)


def test_averages_begin_at_the_weights_of_the_checkpoint(run, classifier):
  # The first average is .1 of what was loaded and .9 of the first step's.
  start = weights(classifier)
  first = weights(run[0] / 'ckpt-1')
  averages = weights(run[0] / 'ckpt-1', averaged=True)
  trunk = [n for n in start if not n.startswith('fc/') and 'moving' not in n]
  assert len(trunk) > 40
  for name in trunk:
    np.testing.assert_allclose(
      averages[name], 0.1 * start[name] + 0.9 * first[name], atol=1e-6
    )
    assert np.any(start[name] != first[name])


def test_resumed_run_equals_a_straight_one_bit_for_bit(run, copied, data):
  # The straight one was interrupted by an evaluation, this one by its end.
  for path in [*copied.glob('ckpt-3*'), *copied.glob('ckpt-4*')]:
    path.unlink()
  (copied / 'checkpoint').write_text(
    'model_checkpoint_path: "ckpt-2"\nall_model_checkpoint_paths: "ckpt-2"\n'
  )
  tiny.train(data, copied, STEPS, override=OPTIMIZER)
  expected = tensors(run[0] / 'ckpt-4')
  found = tensors(copied / 'ckpt-4')
  assert set(found) == set(expected)
  for key, value in expected.items():
    np.testing.assert_array_equal(found[key], value, err_msg=key)
  before = tensors(run[0] / 'ckpt-2')
  for slot in ('average', 'momentum'):
    keys = [k for k in before if f'/{slot}/' in k and 'head' in k]
    assert keys
    assert all(np.any(before[k] != expected[k]) for k in keys)


def test_averages_are_what_is_evaluated_and_loaded(run, copied, data):
  expected = poses(run[0])
  trained = building.load_trained(str(copied))
  averages = weights(copied / 'ckpt-4', averaged=True)
  own = weights(copied / 'ckpt-4')
  for variable in trained.model.variables:
    name = variable.name[:-2]
    np.testing.assert_array_equal(variable, averages[name])
    assert np.any(own[name] != averages[name]) == ('moving' not in name)
  task = tiny.make(data, str(copied), override=OPTIMIZER)
  tiny.evaluate(task, trained.model)
  np.testing.assert_allclose(poses(copied), expected, atol=1e-4)
  # And the weights would have been seen to be others.
  for variable in trained.model.variables:
    variable.assign(own[variable.name[:-2]])
  tiny.evaluate(task, trained.model)
  found = poses(copied)
  assert found.shape != expected.shape or np.abs(found - expected).max() > 0.01


def test_boxes_of_a_detector_have_their_own_metric(run, copied, data, tmp_path):
  boxes = [
    (int(name), box, 0.9)
    for name, own in person_boxes.annotated(
      people.read(manifest.Dataset.load(data), 'validation')
    ).items()
    for box in own.tolist()
  ]
  path = tiny.write_boxes(tmp_path / 'boxes.json', boxes)
  metrics = tiny.train(
    data,
    copied,
    mode='eval',
    override=f'{OPTIMIZER},task.validation_data.boxes_file={path}',
  )
  lines = [
    json.loads(x)['metrics']
    for x in (copied / 'metrics.jsonl').read_text().splitlines()
  ]
  assert lines[-1] == pytest.approx(metrics)
  # The boxes are the annotated ones, so only the name is another.
  assert {k.replace('gt_', 'detected_'): v for k, v in lines[-2].items()} == (
    pytest.approx(metrics)
  )
  np.testing.assert_allclose(poses(copied), poses(run[0]), atol=1e-3)
  table = (copied / 'joints-validation.txt').read_text()
  assert table.startswith('detected_boxes')


def test_pose_net_goes_on_from_a_pose_net(run, data, tmp_path, capsys):
  """With both heads, from the weights, and not into another trunk."""
  task = tiny.make(
    data,
    override=OPTIMIZER,
    **{'task.init_checkpoint': str(run[0])},
  )
  model = task.build_model()
  task.initialize(model)
  assert 'Loaded 89 variables' in capsys.readouterr().out
  own = weights(run[0] / 'ckpt-4')
  for variable in model.variables:
    np.testing.assert_array_equal(variable, own[variable.name[:-2]])
  task = tiny.make(
    data,
    override='task.model.depth=26',
    **{'task.init_checkpoint': str(run[0])},
  )
  with pytest.raises(ValueError, match='depth 14, the model has 26'):
    task.initialize(task.build_model())
