import numpy as np
import tensorflow as tf

from object_detection import losses, targets
from tests.conftest import golden


def test_golden_huber():
  case = golden('losses')['huber_delta_1.0000']
  given = case['inputs']
  found = losses.smooth_l1(
    predictions=given['prediction'],
    targets=given['target'],
    delta=given['delta'],
  )
  np.testing.assert_allclose(
    found * np.array(given['weights']), case['expected'], atol=case['tol']
  )


def test_smooth_l1_and_its_gradient_by_hand():
  x = tf.constant([[0.0, 0.5, -1.0, 3.0], [-4.0, 0.0, 0.0, 0.0]])
  with tf.GradientTape() as tape:
    tape.watch(x)
    found = losses.smooth_l1(predictions=x, targets=tf.zeros_like(x))
  # 0 + 0.125 + 0.5 + (3 - 0.5); 4 - 0.5.
  np.testing.assert_allclose(found, [3.125, 3.5])
  np.testing.assert_allclose(
    tape.gradient(found, x), [[0, 0.5, -1, 1], [-1, 0, 0, 0]]
  )
  # delta 2: 0.5 * 0.25, 2 * 3 - 2, within and beyond.
  np.testing.assert_allclose(
    losses.smooth_l1(predictions=[[0.5, 3.0]], targets=[[0.0] * 2], delta=2.0),
    [4.125],
  )


def rpn(labels, sampled, logits=None, error=0.0):
  labels = np.array(labels, 'i4')
  given = targets.RpnTargets(
    labels,
    np.zeros((*labels.shape, 4), 'f4'),
    (labels > 0).astype('f4'),
  )
  logits = np.zeros((*labels.shape, 2)) if logits is None else logits
  found = losses.rpn_losses(
    objectness_logits=np.array(logits, 'f4'),
    codes=np.full((*labels.shape, 4), error, 'f4'),
    targets=given,
    sampled=np.array(sampled, bool),
  )
  return {name: float(value) for name, value in found.items()}


def test_rpn_normalisers_by_hand():
  # Image 0: 4 sampled, 1 of them an object; image 1: 2 sampled, 2 objects.
  found = rpn(
    [[1, 0, 0, 0, 1], [1, 1, 0, 0, -1]],
    [[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]],
    error=2.0,
  )
  # Every code is wrong by 2 in four numbers: 4 * (2 - 0.5) = 6.
  # ((1 * 6) / 4 + (2 * 6) / 2) / 2 images, times the weight 2.
  np.testing.assert_allclose(found['rpn_box_loss'], 2 * (1.5 + 6) / 2)
  # Two equal logits: log 2 each.
  np.testing.assert_allclose(found['rpn_objectness_loss'], np.log(2), rtol=1e-6)


def test_rpn_objectness_by_hand():
  # Softmax of (0, log 3): 1/4, 3/4.
  found = rpn([[1, 0]], [[1, 1]], [[[0, np.log(3)]] * 2])
  expected = (-np.log(3 / 4) - np.log(1 / 4)) / 2
  np.testing.assert_allclose(found['rpn_objectness_loss'], expected, rtol=1e-6)


def test_nothing_sampled_costs_nothing():
  found = rpn([[-1, -1]], [[0, 0]], error=5.0)
  assert found == {'rpn_objectness_loss': 0, 'rpn_box_loss': 0}
  found = rpn(np.zeros((0, 3)), np.zeros((0, 3)))
  assert found == {'rpn_objectness_loss': 0, 'rpn_box_loss': 0}


CLASSES = np.array([[2, 0, 1], [1, 0, 0]], 'i4')


def classifier(codes, logits=None, count=(3, 1), **options):
  given = targets.ClassifierTargets(
    CLASSES, np.zeros((2, 3, 4), 'f4'), (CLASSES > 0).astype('f4')
  )
  logits = np.zeros((2, 3, 3), 'f4') if logits is None else logits
  found = losses.classifier_losses(
    class_logits=logits,
    codes=np.array(codes, 'f4'),
    targets=given,
    count=np.array(count),
    **options,
  )
  return {name: float(value) for name, value in found.items()}


def test_classifier_losses_by_hand():
  # Two classes; the error of a class's codes is 10 * class, in one number.
  codes = np.zeros((2, 3, 2, 4))
  codes[..., 0, 1], codes[..., 1, 1] = 10, 20
  found = classifier(codes)
  # Image 0: class 2 (20 - 0.5) and class 1 (10 - 0.5) over 3 proposals; image
  # 1: class 1 over its one; mean of both, times 2.
  np.testing.assert_allclose(
    found['box_loss'], 2 * ((19.5 + 9.5) / 3 + 9.5 / 1) / 2, rtol=1e-6
  )
  # Three equal logits. Padding costs nothing.
  np.testing.assert_allclose(found['class_loss'], np.log(3), rtol=1e-6)
  assert classifier(codes, count=(3, 3))['box_loss'] < found['box_loss']


def test_classes_may_share_boxes():
  codes = np.zeros((2, 3, 1, 4))
  codes[..., 2] = 4
  found = classifier(codes, localisation_weight=1.0)
  np.testing.assert_allclose(found['box_loss'], (2 * 3.5 / 3 + 3.5) / 2)


def test_flat_predictions_are_the_same():
  rng = np.random.default_rng(0)
  codes, logits = rng.normal(size=(2, 3, 2, 4)), rng.normal(size=(2, 3, 3))
  assert classifier(codes, logits) == classifier(
    codes.reshape(6, 2, 4), logits.reshape(6, 3)
  )


def test_padding_has_no_influence():
  rng = np.random.default_rng(1)
  codes, logits = rng.normal(size=(2, 3, 2, 4)), rng.normal(size=(2, 3, 3))
  found = classifier(codes, logits)
  codes[1, 1:], logits[1, 1:] = 1e6, -1e6
  assert classifier(codes, logits) == found


def test_an_image_without_proposals_costs_nothing():
  found = classifier(np.ones((2, 3, 2, 4)), count=(0, 0))
  assert found == {'class_loss': 0, 'box_loss': 0}


def test_half_precision_is_computed_in_float32():
  codes = tf.zeros([1, 3, 4], tf.float16)
  found = losses.rpn_losses(
    objectness_logits=tf.zeros([1, 3, 2], tf.float16),
    codes=codes,
    targets=targets.RpnTargets(
      tf.ones([1, 3], tf.int32), tf.fill([1, 3, 4], 1e5), tf.ones([1, 3])
    ),
    sampled=tf.ones([1, 3], tf.bool),
  )
  # 4 * (1e5 - 0.5), more than float16 holds, times 2.
  np.testing.assert_allclose(found['rpn_box_loss'], 8 * (1e5 - 0.5))
  assert found['rpn_objectness_loss'].dtype == tf.float32
