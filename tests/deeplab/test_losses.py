"""The loss by hand, and what ignored pixels do to it: nothing."""

import math

import numpy as np
import pytest
import tensorflow as tf

from deeplab import losses
from official_repro.modeling import upsampling


def loss(logits, labels, **options):
  return losses.segmentation_loss(
    logits=tf.constant(logits, tf.float32),
    labels=tf.constant(labels, tf.uint8),
    **options,
  )


def random_case(seed=0, ignored=0.3):
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, 5, (2, 17, 25))
  labels[rng.random(labels.shape) < ignored] = 255
  return rng.normal(size=(2, 3, 4, 5)), labels


def test_by_hand():
  # Two cells of logits (log 3, 0, 0) and (0, 0, 0): right with probability
  # 3/5 and 1/3; the third is ignored.
  logits = np.zeros((1, 1, 3, 3))
  logits[0, 0, 0, 0] = math.log(3)
  labels = np.full((1, 1, 17), 7)
  labels[0, 0, ::8] = 0, 2, 255
  expected = -(math.log(3 / 5) + math.log(1 / 3)) / 2
  assert float(loss(logits, labels)) == pytest.approx(expected, rel=1e-6)


def test_labels_are_those_of_the_cells_centres():
  logits, labels = random_case()
  others = np.full_like(labels, 255)
  others[:, ::8, ::8] = labels[:, ::8, ::8]
  assert float(loss(logits, labels)) == float(loss(logits, others))


def test_full_size_is_the_loss_of_the_upsampled_logits():
  logits, labels = random_case()
  full = upsampling.upsample(tf.constant(logits, tf.float32), 17, 25)
  likely = np.asarray(tf.nn.log_softmax(full))
  kept = labels != 255
  rows = likely[kept]
  expected = -np.mean(rows[np.arange(len(rows)), labels[kept]])
  found = float(loss(logits, labels, full_size=True))
  assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('full_size', [False, True])
def test_ignored_pixels_contribute_nothing(full_size):
  logits, labels = random_case(ignored=0)
  labels[0] = 255
  labels[1, :, 8:] = 255

  def gradient(values):
    variable = tf.Variable(values, dtype=tf.float32)
    with tf.GradientTape() as tape:
      value = losses.segmentation_loss(
        logits=variable, labels=tf.constant(labels), full_size=full_size
      )
    return float(value), tape.gradient(value, variable).numpy()

  value, found = gradient(logits)
  # With the upsampled logits the pixels up to 7 reach the cells 0 and 1.
  seen = 2 if full_size else 1
  assert np.all(found[0] == 0)
  assert np.all(found[1, :, seen:] == 0)
  assert np.all(np.any(found[1, :, :seen] != 0, -1))
  # Whatever the network says there, nothing changes.
  other = logits.copy()
  other[0] = 1e4
  other[1, :, seen:] = -1e4
  again, same = gradient(other)
  assert again == value
  np.testing.assert_array_equal(same, found)


@pytest.mark.parametrize('full_size', [False, True])
def test_nothing_but_ignored_pixels_is_zero(full_size):
  logits = tf.Variable(tf.ones([1, 3, 3, 4]))
  labels = tf.fill([1, 17, 17], tf.constant(255, tf.uint8))
  with tf.GradientTape() as tape:
    value = losses.segmentation_loss(
      logits=logits, labels=labels, full_size=full_size
    )
  assert float(value) == 0
  assert not tape.gradient(value, logits).numpy().any()


def test_all_pixels_of_a_batch_count_alike():
  logits, labels = random_case()
  labels[0, 1:] = 255
  number = [np.sum(mask[::8, ::8] != 255) for mask in labels]
  each = [float(loss(logits[i : i + 1], labels[i : i + 1])) for i in range(2)]
  expected = np.dot(number, each) / np.sum(number)
  assert float(loss(logits, labels)) == pytest.approx(expected, rel=1e-6)


def test_sizes_that_do_not_fit_are_told():
  with pytest.raises(ValueError, match='Logits of .* cells do not fit labels'):
    loss(np.zeros((1, 4, 4, 3)), np.zeros((1, 17, 25)))
