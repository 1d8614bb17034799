"""The loss against Model Garden's, where the two agree."""

import numpy as np
import pytest
import tensorflow as tf
from official.vision.losses import segmentation_losses

from deeplab import losses
from official_repro.modeling import upsampling

CLASSES = 5


def reference(logits, labels, full_size):
  loss = segmentation_losses.SegmentationLoss(
    label_smoothing=0.0,
    class_weights=[],
    ignore_label=255,
    use_groundtruth_dimension=full_size,
  )
  return loss(logits, labels[..., None])


def case(cells, pixels, seed=0):
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, CLASSES, (2, *pixels))
  labels[rng.random(labels.shape) < 0.3] = 255
  logits = tf.constant(rng.normal(size=(2, *cells, CLASSES)), tf.float32)
  return logits, tf.constant(labels, tf.int32)


def both(function, logits):
  """Value and gradient."""
  with tf.GradientTape() as tape:
    tape.watch(logits)
    value = function(logits)
  return value, tape.gradient(value, logits)


def agree(ours, theirs, logits):
  for found, expected in zip(both(ours, logits), both(theirs, logits)):
    # Theirs adds 1e-5 to the number of pixels.
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize('seed', range(2))
@pytest.mark.parametrize('full_size', [False, True])
def test_labels_of_the_logits_size(full_size, seed):
  logits, labels = case((9, 11), (9, 11), seed)
  agree(
    lambda x: losses.segmentation_loss(
      logits=x, labels=labels, stride=1, full_size=full_size
    ),
    lambda x: reference(x, labels, full_size),
    logits,
  )


def test_nearest_labels_where_the_grids_agree():
  # With 8 * h pixels, not ours of 8 * (h - 1) + 1, their nearest pixel of cell
  # i is 8 * i + 4: ours on labels that are moved by four.
  logits, labels = case((4, 6), (32, 48))
  moved = tf.roll(labels, [-4, -4], [1, 2])
  agree(
    lambda x: losses.segmentation_loss(logits=x, labels=moved),
    lambda x: reference(x, labels, False),
    logits,
  )


def test_full_size_is_theirs_on_logits_that_we_have_upsampled():
  logits, labels = case((3, 4), (17, 25))
  agree(
    lambda x: losses.segmentation_loss(logits=x, labels=labels, full_size=True),
    lambda x: reference(upsampling.upsample(x, 17, 25), labels, False),
    logits,
  )


def test_nothing_but_ignored_pixels_is_zero_in_both():
  logits, labels = case((3, 3), (3, 3))
  labels = tf.fill(labels.shape, 255)
  found = losses.segmentation_loss(logits=logits, labels=labels, stride=1)
  assert float(found) == float(reference(logits, labels, False)) == 0
