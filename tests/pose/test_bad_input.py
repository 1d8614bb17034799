"""What a user sees of bad data and flags: one sentence and exit code 1."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf

from pose import targets
from tests.deeplab.folders import png
from tests.pose import folders, tiny

SOMEBODY = folders.person((4, 2, 44, 22))


def write(folder, train=None, validation=None):
  good = [folders.example(f'{i}', [SOMEBODY]) for i in range(2)]
  return folders.write(
    folder,
    train=good if train is None else train,
    validation=good if validation is None else validation,
  )


def fails(module, *words, **options):
  done = tiny.call(f'pose.{module}', **options)
  assert done.returncode == 1, done.stderr
  errors = [x for x in done.stderr.splitlines() if x.startswith('Error: ')]
  assert len(errors) == 1, done.stderr
  assert done.stderr.strip().endswith(errors[0])
  assert 'Traceback' not in done.stderr
  for word in words:
    assert word in errors[0]


def test_data_without_keypoints(tmp_path):
  rows = [folders.example('a', [SOMEBODY], keypoints=None)]
  data = write(tmp_path / 'data', train=rows)
  fails(
    'train',
    'No person in ',
    'data has a box and a labelled joint',
    '--kind=keypoints',
    **tiny.train_options(data, tmp_path / 'run'),
  )


def test_lists_of_wrong_length_in_a_record(tmp_path):
  rows = [
    folders.example('0', [SOMEBODY]),
    folders.example('odd-one', [SOMEBODY], keypoints=np.zeros((1, 14, 3))),
  ]
  data = write(tmp_path / 'data', train=rows)
  fails(
    'train',
    'Not 17 keypoints',
    'odd-one',
    'build the data set again',
    **tiny.train_options(data, tmp_path / 'run'),
  )


def test_results_file_of_other_pictures_and_with_nan(tmp_path):
  data = write(tmp_path / 'data')
  path = tmp_path / 'boxes.json'
  override = f'task.validation_data.boxes_file={path}'
  tiny.write_boxes(path, [(9, [0, 0, 9, 9], 0.9)])
  with pytest.raises(ValueError, match="pictures that the split 'validation'"):
    tiny.make(data, override=override).validation_batches()
  tiny.write_boxes(path, [(1, [0, 0, 9, 9], math.nan)])
  # Before the first step, not at the first evaluation.
  with pytest.raises(
    ValueError, match=r'boxes\.json: entry 0 has the score nan'
  ):
    tiny.train(data, tmp_path / 'run', mode='train_and_eval', override=override)
  assert not list((tmp_path / 'run').glob('ckpt*'))


def test_crop_and_checkpoint_that_do_not_fit(tmp_path):
  data = write(tmp_path / 'data')
  with pytest.raises(ValueError, match=r'crop\.height is 40; .* such as 41'):
    tiny.train(data, tmp_path / 'run', override='task.crop.height=40')
  path = tiny.save_classifier(tmp_path / 'deep', depth=26)
  with pytest.raises(ValueError, match=r'has 14; set task\.model\.depth'):
    tiny.train(data, tmp_path / 'run', **{'task.init_checkpoint': path})


def test_evaluation_without_anybody_is_told_before_training(tmp_path):
  nobody = [folders.example('a', [SOMEBODY._replace(crowd=True)])]
  task = tiny.make(write(tmp_path, validation=nobody))
  with pytest.raises(ValueError, match='there is nothing to evaluate'):
    task.make_inputs(task.task_config.validation_data, 2)


def test_unknown_experiment():
  fails('train', 'did you mean mini_person?', experiment='mini_persn')


def test_who_cannot_be_learnt_from_is_left_out(tmp_path):
  nobody = folders.person((4, 2, 44, 22), visible=0)
  nowhere = folders.person((10, 10, 10, 20))
  rows = [folders.example('a', [nobody, nowhere, SOMEBODY])]
  task = tiny.make(write(tmp_path, train=rows, validation=rows))
  assert task.record_ids(0) == ['a#2', 'a#2']
  (batch,) = task.make_inputs(task.task_config.validation_data, 2)
  np.testing.assert_allclose(batch['box'], [SOMEBODY.box], rtol=1e-6)


# Somebody behind, 2 pixels off, which is 1.1 to 1.6 pixels of a crop.
TWO_IN_ONE_BOX = folders.example(
  'two',
  [SOMEBODY, folders.person(SOMEBODY.box, visible=1, moved=2.0)],
)


def test_the_own_disk_counts_beside_somebody_hidden_in_the_same_box(tmp_path):
  task = tiny.make(write(tmp_path, train=[TWO_IN_ONE_BOX]))
  assert {*task.record_ids(0)} == {'two#0', 'two#1'}
  batch = next(iter(task.build_inputs(task.task_config.train_data)))
  assert {*batch['joints'][:, 0, 2].numpy()} == {1, 2}
  wanted = task._targets(batch)
  own, weights = wanted.heatmaps.numpy(), wanted.weights.numpy()
  assert own.any((1, 2)).all() and (weights[own == 1] == 1).all()
  # The two disks overlap; what is the other's alone is left out.
  others = batch['others'].numpy()
  others = others[others[..., 0, 2] > 0]
  theirs = targets.make_targets(others, 33, 25, 2.4).heatmaps.numpy()
  assert (theirs * own).any((1, 2)).all()
  np.testing.assert_array_equal(weights, 1 - theirs * (1 - own))


def test_boxes_and_joints_beyond_the_edges_are_no_matter(tmp_path):
  far = SOMEBODY.joints.copy()
  far[3:5, :2] = [[-40, 500], [63, 47]]
  rows = [
    folders.example(
      'edge',
      [folders.person((-20, -10, 30, 60)), SOMEBODY._replace(joints=far)],
    ),
    folders.example('dot', [folders.person((0, 0, 1, 1))], (1, 1)),
    folders.example('tower', [folders.person((10, 1, 2900, 190))], (3000, 200)),
    folders.example(
      'grey', [SOMEBODY], encoded=png(np.zeros((64, 48), np.uint8))
    ),
    TWO_IN_ONE_BOX,
  ]
  task = tiny.make(
    write(tmp_path, train=rows, validation=rows),
    **{'task.train_data.global_batch_size': 7},
  )
  model = task.build_model()
  batch = next(iter(task.build_inputs(task.task_config.train_data)))
  assert np.isfinite(batch['joints']).all()
  logs = task.train_step(batch, model, tf.keras.optimizers.legacy.SGD(0.01))
  assert np.isfinite(logs['loss'])
  found = tiny.evaluate(task, model, 7)
  assert 0 <= found['AP/gt_boxes'] <= 1


def test_results_hold_no_pose_that_is_not_finite(tmp_path):
  """A network that went wrong ends the evaluation, not the file."""
  task = tiny.make(write(tmp_path / 'data'), str(tmp_path / 'run'))
  model = task.build_model()
  model.head.bias.assign([math.nan] * 17 + [0.0] * 34)
  with pytest.raises(ValueError, match='not finite|are NaN'):
    tiny.evaluate(task, model)
  for variable in (model.head.kernel, model.head.bias):
    variable.assign(tf.zeros_like(variable))
  tiny.evaluate(task, model)
  poses = json.loads((tmp_path / 'run/poses-validation.json').read_text())
  assert len(poses) == 2
