import numpy as np
import pytest
import tensorflow as tf

from official_repro.core import optimizers

STEPS = 20


def _gradients(seed=0):
  rng = np.random.default_rng(seed)
  scales = 10.0 ** rng.uniform(-3, 2, (STEPS, 1, 1))
  return (rng.normal(size=(STEPS, 4, 3)) * scales).astype(np.float32)


def _learning_rate(step):
  return np.float32(0.01 * 0.9 ** (step // 6))


def _reference(start, gradients, **kwargs):
  """Variable after each step of TF1's own optimizer."""
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    v = tf.compat.v1.get_variable('v', initializer=start)
    g = tf.compat.v1.placeholder(tf.float32, start.shape)
    lr = tf.compat.v1.placeholder(tf.float32, [])
    optimizer = tf.compat.v1.train.RMSPropOptimizer(lr, **kwargs)
    step = optimizer.apply_gradients([(g, v)])
    session.run(tf.compat.v1.global_variables_initializer())
    out = []
    for i, gradient in enumerate(gradients):
      session.run(step, {g: gradient, lr: _learning_rate(i)})
      out.append(session.run(v))
    return np.stack(out)


@pytest.mark.parametrize(
  ('rho', 'momentum', 'epsilon'),
  [(0.9, 0.9, 1.0), (0.9, 0.0, 1.0), (0.99, 0.5, 1e-3), (0.9, 0.9, 0.0)],
)
def test_twenty_steps_as_tf1(rho, momentum, epsilon):
  gradients = _gradients()
  start = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
  expected = _reference(
    start, gradients, decay=rho, momentum=momentum, epsilon=epsilon
  )

  v = tf.Variable(start)
  optimizer = optimizers.TF1RMSprop(0.01, rho, momentum, epsilon)

  @tf.function
  def apply(gradient):
    optimizer.apply_gradients([(gradient, v)])

  for i, gradient in enumerate(gradients):
    optimizer.learning_rate = _learning_rate(i)
    apply(tf.constant(gradient))
    np.testing.assert_allclose(v.numpy(), expected[i], rtol=1e-6, atol=1e-7)


def test_sparse_gradient_with_repeated_rows_as_tf1():
  start = np.random.default_rng(2).normal(size=(4, 3)).astype(np.float32)
  gradients = _gradients(seed=3)
  dense = gradients.copy()
  dense[:, 1] = gradients[:, 0] + gradients[:, 1]
  dense[:, [0, 2, 3]] = 0
  expected = _reference(start, dense, decay=0.9, momentum=0.9, epsilon=1.0)
  v = tf.Variable(start)
  optimizer = optimizers.TF1RMSprop(0.01)
  for i in range(STEPS):
    optimizer.learning_rate = _learning_rate(i)
    rows = tf.IndexedSlices(
      tf.constant(gradients[i, :2]), tf.constant([1, 1]), tf.constant([4, 3])
    )
    optimizer.apply_gradients([(rows, v)])
    np.testing.assert_allclose(v[1], expected[i, 1], rtol=1e-5, atol=1e-6)
  np.testing.assert_array_equal(v.numpy()[[0, 2, 3]], start[[0, 2, 3]])
