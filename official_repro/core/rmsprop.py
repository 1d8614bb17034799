"""TensorFlow 1's RMSProp, which the paper trains with."""

from typing import Any, Union

import tensorflow as tf

Schedule = tf.keras.optimizers.schedules.LearningRateSchedule


class TF1RMSprop(tf.keras.optimizers.legacy.RMSprop):
  """RMSProp exactly as `tf.compat.v1.train.RMSPropOptimizer`.

    rms <- rho * rms + (1 - rho) * g^2          (rms starts at ONE)
    mom <- momentum * mom + lr * g / sqrt(rms + epsilon)
    var <- var - mom

  Keras' starts `rms` at zero, which with epsilon 1 makes the first steps about
  a third longer, and without momentum puts epsilon outside the root.

  Args:
    learning_rate: number or schedule.
    rho: decay of the mean square, in [0, 1) (TF1 calls it `decay`).
    momentum: in [0, 1].
    epsilon: inside the root, >= 0.
    name: prefix of the operations.
    **kwargs: `clipnorm`, `clipvalue`, `global_clipnorm`, `gradient_aggregator`,
      `gradient_transformers` as in Keras.

  Raises:
    ValueError: rho, momentum or epsilon out of range.
  """

  def __init__(
    self,
    learning_rate: Union[float, Schedule] = 0.001,
    rho: float = 0.9,
    momentum: float = 0.9,
    epsilon: float = 1.0,
    name: str = 'RMSprop',
    **kwargs,
  ):
    if not 0 <= rho < 1:
      raise ValueError(f'rho of rmsprop_tf1 must be in [0, 1), got {rho}.')
    if epsilon < 0:
      raise ValueError(f'epsilon of rmsprop_tf1 must be >= 0, got {epsilon}.')
    super().__init__(
      learning_rate=learning_rate,
      rho=rho,
      momentum=momentum,
      epsilon=epsilon,
      name=name,
      **kwargs,
    )
    # Keras reads 0 as "the default"; and its branch without momentum has
    # another formula.
    self.epsilon = epsilon
    self._momentum = True

  def _create_slots(self, var_list):
    for var in var_list:
      self.add_slot(var, 'rms', initializer='ones')
      self.add_slot(var, 'momentum')

  def get_config(self) -> dict[str, Any]:
    """Returns the constructor's arguments, as Keras does."""
    config = super().get_config()
    del config['centered']
    return config
