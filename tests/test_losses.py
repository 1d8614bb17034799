import numpy as np
import pytest
import tensorflow as tf

from official_repro import losses
from tests.conftest import golden


def _dense(label_ids, num_classes, confidence=None):
  target = np.zeros((len(label_ids), num_classes), np.float32)
  for i, row in enumerate(label_ids):
    for j, c in enumerate(row):
      if c >= 0:
        t = 1.0 if confidence is None else confidence[i][j]
        target[i, c] = max(target[i, c], t)
  return target


def _random(seed, images=7, classes=23, slots=9):
  rng = np.random.default_rng(seed)
  logits = rng.normal(0, 4, (images, classes)).astype(np.float32)
  # Many repeats, padding anywhere in the row, one row without any label.
  ids = rng.integers(-1, classes // 3, (images, slots)).astype(np.int32)
  ids[0] = -1
  confidence = rng.uniform(0, 1, ids.shape).astype(np.float32)
  return logits, ids, confidence


def _value_and_gradient(fn, logits):
  x = tf.constant(logits)
  with tf.GradientTape() as tape:
    tape.watch(x)
    value = fn(x)
  return value.numpy(), tape.gradient(value, x).numpy()


def test_hand_computed():
  # Logits 0: every class costs log 2; image 1: log 2 + log 2.
  # Image 2: softplus(1) - 1 for the true class, softplus(-2) for the other.
  logits = [[0.0, 0.0], [1.0, -2.0]]
  loss = losses.per_label_logistic_loss(
    logits=tf.constant(logits), label_ids=tf.constant([[1], [0]])
  )
  expected = (2 * np.log(2) + np.log1p(np.exp(-1)) + np.log1p(np.exp(-2))) / 2
  assert loss.dtype == tf.float32
  np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_golden_sigmoid_cross_entropy():
  case = golden('losses')['sigmoid_cross_entropy']
  logits = np.float32(case['inputs']['logits']).reshape(-1, 3)
  target = np.float32(case['inputs']['target']).reshape(-1, 3)
  keep = np.float32(case['inputs']['weights']).reshape(-1) > 0
  expected = np.float32(case['expected']).reshape(-1, 3)
  ids = np.where(target > 0, np.arange(3), -1)
  for row in np.flatnonzero(keep):
    loss = losses.per_label_logistic_loss(
      logits=tf.constant(logits[row : row + 1]), label_ids=ids[row : row + 1]
    )
    np.testing.assert_allclose(loss, expected[row].sum(), atol=case['tol'])


@pytest.mark.parametrize('with_confidence', [False, True])
@pytest.mark.parametrize('positive_weight', [None, 0.0, 3.5])
@pytest.mark.parametrize('graph', [False, True])
def test_equals_dense_loss_and_gradient(
  with_confidence, positive_weight, graph
):
  logits, ids, confidence = _random(seed=3)
  confidence = confidence if with_confidence else None
  target = _dense(ids, logits.shape[1], confidence)

  def sparse(x):
    return losses.per_label_logistic_loss(
      logits=x,
      label_ids=tf.constant(ids),
      confidence=confidence,
      positive_weight=positive_weight,
    )

  def dense(x):
    terms = tf.nn.weighted_cross_entropy_with_logits(
      target, x, 1.0 if positive_weight is None else positive_weight
    )
    return tf.reduce_mean(tf.reduce_sum(terms, axis=1))

  loss, gradient = _value_and_gradient(
    tf.function(sparse) if graph else sparse, logits
  )
  expected_loss, expected_gradient = _value_and_gradient(dense, logits)
  np.testing.assert_allclose(loss, expected_loss, rtol=1e-6)
  np.testing.assert_allclose(gradient, expected_gradient, atol=1e-6)


def test_repeats_padding_and_order_change_nothing():
  logits, _, _ = _random(seed=5, images=1)
  plain = losses.per_label_logistic_loss(
    logits=logits, label_ids=tf.constant([[4, 17]])
  )
  messy = losses.per_label_logistic_loss(
    logits=logits, label_ids=tf.constant([[-1, 17, 4, -1, 17, 17, 4, -1]])
  )
  np.testing.assert_array_equal(plain, messy)


def test_no_label_at_all_leaves_all_negative():
  logits, _, _ = _random(seed=6)
  none = np.zeros((len(logits), 0), np.int32)
  expected = np.logaddexp(0, logits.astype(np.float64)).sum() / len(logits)
  for ids in (none, np.full((len(logits), 3), -1, np.int32)):
    loss = losses.per_label_logistic_loss(logits=logits, label_ids=ids)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_largest_confidence_of_an_id_wins():
  logits = tf.constant([[0.5, -1.0]])
  loss = losses.per_label_logistic_loss(
    logits=logits,
    label_ids=tf.constant([[1, 1, 1]]),
    confidence=tf.constant([[0.2, 0.9, 0.4]]),
  )
  expected = tf.nn.sigmoid_cross_entropy_with_logits([[0.0, 0.9]], logits)
  np.testing.assert_allclose(loss, tf.reduce_sum(expected), rtol=1e-6)


def test_extreme_logits_stay_finite_and_exact():
  logits = np.float32([[1000.0, -1000.0, 30.0, -30.0]])
  loss, gradient = _value_and_gradient(
    lambda x: losses.per_label_logistic_loss(
      logits=x, label_ids=tf.constant([[0, 2]])
    ),
    logits,
  )
  np.testing.assert_allclose(loss, 0.0, atol=1e-9)
  np.testing.assert_allclose(gradient, np.zeros((1, 4)), atol=1e-9)
  wrong = losses.per_label_logistic_loss(
    logits=logits, label_ids=tf.constant([[1]])
  )
  np.testing.assert_allclose(wrong, 2030.0, rtol=1e-6)


def test_half_precision_logits_are_summed_in_float32():
  # 20,000 terms of log 2: float16 would stop growing at 2048 or so.
  logits = tf.zeros([2, 20000], tf.float16)
  loss = losses.per_label_logistic_loss(
    logits=logits, label_ids=tf.constant([[3], [4]])
  )
  np.testing.assert_allclose(loss, 20000 * np.log(2), rtol=1e-5)


def test_unknown_static_shapes():
  fn = tf.function(
    lambda x, i: losses.per_label_logistic_loss(logits=x, label_ids=i),
    input_signature=[
      tf.TensorSpec([None, None]),
      tf.TensorSpec([None, None], tf.int64),
    ],
  )
  logits, ids, _ = _random(seed=8)
  eager = losses.per_label_logistic_loss(logits=logits, label_ids=ids)
  np.testing.assert_allclose(fn(logits, ids.astype(np.int64)), eager)
  assert fn(np.zeros((0, 4), np.float32), np.zeros((0, 2), np.int64)) == 0


def test_id_out_of_range_is_an_error():
  if tf.config.list_physical_devices('GPU'):
    pytest.skip('the CPU kernels check')
  with pytest.raises(tf.errors.InvalidArgumentError):
    losses.per_label_logistic_loss(
      logits=tf.zeros([1, 3]), label_ids=tf.constant([[3]])
    )


def test_negative_positive_weight_is_an_error():
  with pytest.raises(ValueError, match=r'positive_weight.*-1'):
    losses.per_label_logistic_loss(
      logits=tf.zeros([1, 3]), label_ids=tf.constant([[0]]), positive_weight=-1
    )


def test_softmax_takes_the_first_label_and_skips_unlabelled_images():
  logits, _, _ = _random(seed=9, images=3)
  ids = tf.constant([[2, 5], [-1, -1], [7, -1]])
  loss = losses.softmax_loss(logits=tf.constant(logits), label_ids=ids)
  log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
  np.testing.assert_allclose(loss, -(log_p[0, 2] + log_p[2, 7]) / 2, rtol=1e-5)
  nothing = losses.softmax_loss(
    logits=tf.constant(logits), label_ids=tf.fill([3, 2], -1)
  )
  assert nothing == 0
