"""Polyak averaging of the weights; the only place that knows TensorFlow Addons.

The optimizer keeps, beside each weight, the moving average of its values. The
average is what is evaluated, predicted with and exported; training goes on
from the weights themselves. Both are in the checkpoint.
"""

import warnings
from collections.abc import Sequence

import tensorflow as tf

SLOT = 'average'


def wrap(
  optimizer: tf.keras.optimizers.legacy.Optimizer, decay: float, **options
) -> tf.keras.optimizers.legacy.Optimizer:
  """Returns an optimizer that also keeps averages.

  average <- d * average + (1 - d) * weight after step n, counted from 0, with
  d = min(decay, (1 + n) / (10 + n)), as tf.train.ExponentialMovingAverage with
  num_updates = n, so that the first steps are soon forgotten.

  Args:
    optimizer: legacy Keras optimizer; its own clipping is not asked.
    decay: from 0 to 1, both exclusive.
    **options: `gradient_transformers` and the like of the outer optimizer.

  Raises:
    ValueError: decay out of range.
  """
  if not 0 < decay < 1:
    raise ValueError(f'averaging_decay must be in (0, 1), got {decay}.')
  with warnings.catch_warnings():
    # Of Addons' end of life, and of versions that it was not tested with.
    warnings.simplefilter('ignore', UserWarning)
    # Here, as most runs do without it and it takes a second.
    import tensorflow_addons as tfa
  return tfa.optimizers.MovingAverage(
    optimizer, average_decay=decay, dynamic_decay=True, **options
  )


def is_averaging(optimizer) -> bool:
  """Whether the optimizer comes from `wrap`, maybe with a scaled loss."""
  inner = getattr(optimizer, 'inner_optimizer', optimizer)
  return hasattr(inner, 'assign_average_vars')


def restart(optimizer, variables: Sequence[tf.Variable]) -> None:
  """Sets the averages to the weights, as when weights have been loaded."""
  for variable in variables:
    optimizer.get_slot(variable, SLOT).assign(variable)


class Swap:
  """Puts the averages into the model and takes them out again, bit for bit.

  Args:
    optimizer: from `wrap`, with its slots made.
    variables: those that it trains.
  """

  def __init__(self, optimizer, variables: Sequence[tf.Variable]):
    self._optimizer, self._variables = optimizer, list(variables)
    self._weights = None

  def use_averages(self) -> None:
    """The model has the averages from now on; a second call does nothing."""
    if self._weights is None:
      # Adding and subtracting, as MovingAverage.swap_weights does, would
      # round the weights at each evaluation.
      self._weights = [tf.identity(v) for v in self._variables]
      for variable in self._variables:
        variable.assign(self._optimizer.get_slot(variable, SLOT))

  def use_weights(self) -> None:
    """The model has its own weights again; a second call does nothing."""
    if self._weights is not None:
      for variable, value in zip(self._variables, self._weights):
        variable.assign(value)
      self._weights = None
