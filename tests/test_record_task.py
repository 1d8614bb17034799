"""The step that all tasks take."""

import pytest
import tensorflow as tf

from official_repro import record_task


class Line(tf.keras.Model):
  """One weight."""

  def __init__(self):
    super().__init__()
    self.built = True
    self.weight = tf.Variable(2.0)


def step(optimizer):
  model = Line()
  loss, more = record_task.descend(
    lambda: (3.0 * model.weight, 'more'), model, optimizer
  )
  assert (float(loss), more) == (6.0, 'more')
  return float(model.weight)


def test_step_goes_down_the_gradient():
  # 2 - 0.1 * 3
  assert step(tf.keras.optimizers.legacy.SGD(0.1)) == pytest.approx(1.7)


def test_scaled_loss_takes_the_same_step():
  optimizer = tf.keras.mixed_precision.LossScaleOptimizer(
    tf.keras.optimizers.legacy.SGD(0.1)
  )
  assert step(optimizer) == pytest.approx(1.7)


def test_gradients_of_replicas_are_a_mean(monkeypatch):
  class Strategy:
    num_replicas_in_sync = 4

  monkeypatch.setattr(tf.distribute, 'get_strategy', Strategy)
  model, pairs = Line(), []

  class Optimizer:
    def apply_gradients(self, grads_and_vars):
      pairs.extend(grads_and_vars)

  record_task.descend(lambda: (3.0 * model.weight, None), model, Optimizer())
  ((gradient, variable),) = pairs
  assert float(gradient) == 3 / 4
  assert variable is model.weight
