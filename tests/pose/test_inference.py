"""From crops and boxes to poses, with a network that knows the answer."""

import numpy as np
import pytest
import tensorflow as tf

from pose import building, crops, inference, task_config
from tests.pose import folders, perfect

SIZE = 150, 200
LEFT = folders.person((10, 5, 140, 80))
RIGHT = folders.person((30, 100, 110, 190), visible=[2] * 11 + [0] * 6)
HEIGHT, WIDTH, RADIUS = 65, 49, 5.0


@pytest.fixture(scope='module')
def found():
  """Crops of both, and what is found in them, plain and with the mirror."""
  boxes = tf.constant([LEFT.box, RIGHT.box], tf.float32)
  crop = crops.around(boxes, HEIGHT, WIDTH, 1.25)
  images = crops.cut(perfect.picture(*SIZE, 1), crop, HEIGHT, WIDTH)
  net = perfect.PerfectNet({1: [LEFT, RIGHT]}, RADIUS)
  return crop, [
    inference.joints_in_crops(net, images, flip) for flip in (False, True)
  ]


@pytest.mark.parametrize('flip_test', [False, True])
def test_joints_of_perfect_maps_are_the_true_ones(found, flip_test):
  crop, answers = found
  joints, heatmaps = answers[flip_test]
  assert joints.shape == (2, 17, 3)
  assert heatmaps.shape == (2, HEIGHT, WIDTH, 17)
  assert 0 <= np.min(heatmaps) < 1e-6
  assert np.max(heatmaps) == pytest.approx(1, abs=1e-6)
  placed = inference.in_picture(joints, crop.origin, crop.step, WIDTH)
  for truth, answer in zip((LEFT, RIGHT), placed.numpy()):
    labelled = truth.joints[:, 2] > 0
    # A pixel of the crop is two or three of the picture.
    np.testing.assert_allclose(
      answer[labelled, :2], truth.joints[labelled, :2], atol=0.2
    )
    # A disk's votes, on one pixel or shared by up to four.
    assert np.all(answer[labelled, 2] > 0.23)
    assert np.all(answer[labelled, 2] < 1.06)
    assert np.all(answer[~labelled, 2] < 1e-6)


def test_in_picture_by_hand():
  joints = tf.constant([[[1.0, 2, 0.5]], [[3, 4, 0.25]]])
  placed = inference.in_picture(
    joints, tf.constant([[10.0, 20], [-1, 0]]), tf.constant([2.0, 0.5]), 49
  )
  # 10 + 2 * 1, 20 + 2 * 2; -1 + .5 * 3, .5 * 4.
  assert placed.numpy().tolist() == [[[12, 24, 0.5]], [[0.5, 2, 0.25]]]


@pytest.fixture(scope='module')
def trained():
  """A tiny random net with sure answers."""
  tf.keras.utils.set_random_seed(3)
  crop = task_config.CropConfig(height=33, width=25, radius=2.4)
  config = task_config.TaskConfig(
    model=task_config.ModelConfig(depth=14, width=1 / 16), crop=crop
  )
  model = building.build_model(config, (-1, 1))
  model.head.kernel.assign(tf.random.normal(model.head.kernel.shape))
  return building.TrainedPose(model, crop, 0.5, 'CHECKPOINT')


def test_find_is_the_same_in_any_number_of_boxes(trained):
  image = folders.picture(60, 80)
  run = inference.pose_function(trained)
  rng = np.random.default_rng(0)
  low = rng.uniform(0, 40, (inference._BATCH + 3, 2))
  boxes = np.concatenate([low, low + rng.uniform(5, 40, low.shape)], 1)
  # Nothing is more alike than 1.
  joints, scores, kept = inference.find(run, image, boxes, 1.0)
  assert sorted(kept) == list(range(len(boxes)))
  assert (np.diff(scores) <= 0).all()
  np.testing.assert_allclose(scores, joints[..., 2].mean(-1))
  for i in (0, inference._BATCH + 2):
    (alone,), _, _ = inference.find(run, image, boxes[i : i + 1], 1.0)
    np.testing.assert_allclose(joints[kept == i][0], alone, atol=1e-3)


def test_of_the_same_box_twice_one_pose_is_left(trained):
  run = inference.pose_function(trained)
  boxes = [[5, 5, 50, 40], [10, 45, 60, 79], [5, 5, 50, 40]]
  image = folders.picture(60, 80)
  joints, scores, kept = inference.find(run, image, boxes, 0.999)
  assert len(joints) == len(scores) == 2
  # The first of equals.
  assert set(kept) == {0, 1}


def test_no_box_is_nobody(trained):
  run = inference.pose_function(trained)
  joints, scores, kept = inference.find(run, folders.picture(9, 9), [], 0.5)
  assert len(joints) == len(scores) == len(kept) == 0


def test_boxes_without_size_and_outside_give_finite_poses(trained):
  run = inference.pose_function(trained)
  boxes = [[5, 5, 5, 5], [-50, -60, -40, -30], [-9, -9, 99, 99]]
  joints, scores, _ = inference.find(run, folders.picture(40, 30), boxes, 1.0)
  assert len(joints) == 3
  assert np.isfinite(joints).all()
  assert np.isfinite(scores).all()
