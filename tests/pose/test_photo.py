"""Real people: what is read of them, and that they can be learnt."""

import numpy as np
import pytest
import tensorflow as tf

from official_repro.data import manifest
from pose import people as people_lib
from tests.pose import photo, tiny

STEPS = 20


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return photo.write(tmp_path_factory.mktemp('data'))


def test_people_of_the_photos_are_those_of_cocos_file(folder):
  found = people_lib.read(manifest.Dataset.load(folder), 'train')
  assert found.source_ids.tolist() == ['785', '196141']
  assert found.starts.tolist() == [0, 1, 6]
  # COCO's num_keypoints; the fourth one has no joint to learn from.
  assert (found.joints[..., 2] > 0).sum(-1).tolist() == [17, 15, 15, 0, 12, 17]
  assert found.usable().tolist() == [True] * 3 + [False] + [True] * 2
  # x, y, width, height of the skier: 280.79, 44.73, 218.7, 346.68.
  np.testing.assert_allclose(
    found.boxes[0], [44.73, 280.79, 391.41, 499.49], atol=1e-3
  )
  # Her nose, in the file: 367, 81, 2.
  np.testing.assert_allclose(found.joints[0, 0], [81, 367, 2], atol=1e-3)
  assert found.area[0] == pytest.approx(27789.11, abs=0.01)


def test_a_few_steps_lower_the_loss(folder):
  task = tiny.make(
    folder,
    override='task.crop.train_scales=[1.25,1.25],task.train_data.flip=false',
    **{'task.train_data.global_batch_size': 5},
  )
  tf.keras.utils.set_random_seed(0)
  model = task.build_model()
  # All five people, the same crops in each step.
  batch = next(iter(task.build_inputs(task.task_config.train_data)))
  optimizer = tf.keras.optimizers.legacy.Adam(0.01)
  step = tf.function(lambda: task.train_step(batch, model, optimizer)['loss'])
  losses = [float(step()) for _ in range(STEPS)]
  assert losses[-1] < 0.7 * losses[0]
