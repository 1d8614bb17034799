"""The SavedModel finds what prediction finds."""

import numpy as np
import pytest
import tensorflow as tf

from pose import building, export, inference
from pose import joints as joints_lib
from tests.pose import fake_run

BOXES = np.float32([[5, 10, 45, 40], [0, 0, 50, 70], [-8, 50, 30, 90]])


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  return fake_run.save(tmp_path_factory.mktemp('run'))[0]


def test_saved_model_gives_the_same(run, tmp_path):
  folder = tmp_path / 'saved'
  export.export(run, str(folder), flip_test=True)
  serve = tf.saved_model.load(str(folder)).signatures['serving_default']
  rng = np.random.default_rng(1)
  pixels = rng.integers(0, 256, (50, 70, 3), np.uint8)
  size = np.float32([50, 70])
  found = serve(
    input_tensor=tf.constant(pixels[None]),
    boxes=tf.constant(BOXES / np.tile(size, 2)),
  )
  assert set(found) == {'keypoints', 'keypoint_scores', 'scores'}
  trained = building.load_trained(run)
  expected = inference.pose_function(trained, flip_test=True)(
    pixels, BOXES
  ).numpy()
  assert found['keypoints'].shape == (3, 17, 2)
  np.testing.assert_allclose(
    found['keypoints'] * size, expected[..., :2], atol=1e-3
  )
  np.testing.assert_allclose(
    found['keypoint_scores'], expected[..., 2], atol=1e-5
  )
  np.testing.assert_allclose(
    found['scores'], expected[..., 2].mean(1), atol=1e-5
  )
  # The network is random, but sees the pictures.
  assert np.ptp(expected, axis=0).max() > 1
  nobody = serve(input_tensor=tf.constant(pixels[None]), boxes=tf.zeros([0, 4]))
  assert nobody['keypoints'].shape == (0, 17, 2)
  assert nobody['scores'].shape == (0,)
  names = (folder / 'assets.extra' / 'keypoints.txt').read_text()
  assert names.splitlines() == list(joints_lib.NAMES)


def test_wrong_folders_are_told(run, tmp_path):
  with pytest.raises(ValueError, match=r'has no params\.yaml'):
    export.export(str(tmp_path), str(tmp_path / 'saved'))
  with pytest.raises(ValueError, match='is not an empty folder'):
    export.export(run, run)
