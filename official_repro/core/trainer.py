"""The Trainer: Model Garden's, with a per-step view from Python.

Between two steps Python can measure the wait for data, show progress and
stop. The checkpoint gains `position`, the number of examples consumed, and
`metadata` (see checkpoints).
"""

import time
from typing import Callable, Optional

import orbit
import tensorflow as tf
from official.core import base_trainer

from official_repro.core import averaging, checkpoints


class Trainer(base_trainer.Trainer):
  """Runs a Task's steps under any strategy.

  Attributes:
    position: int64 variable, examples consumed since the start of training.
    data_wait: seconds that all steps so far waited for their batch.
    should_stop: asked before each step; True ends the loop early.
    on_step: called after each step.
    on_eval_step: called after each batch of an evaluation.
  """

  def __init__(self, config, task, model, optimizer, *, train, evaluate):
    self.position = tf.Variable(
      0,
      trainable=False,
      dtype=tf.int64,
      name='position',
      aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
    self.first_bad_step = tf.Variable(
      -1,
      trainable=False,
      dtype=tf.int64,
      name='first_bad_step',
      aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
    self.data_wait = 0.0
    self.should_stop: Callable[[], bool] = lambda: False
    self.on_step: Callable[[], None] = lambda: None
    self.on_eval_step: Callable[[], None] = lambda: None
    nothing = tf.data.Dataset.range(0)
    super().__init__(
      config,
      task,
      model,
      optimizer,
      train=train,
      evaluate=evaluate,
      train_dataset=None if train else nothing,
      validation_dataset=None if evaluate else nothing,
    )
    averages = averaging.is_averaging(optimizer)
    if train or averages:
      _make_slots(optimizer, model)
    self._swap = (
      averaging.Swap(optimizer, model.trainable_variables) if averages else None
    )
    self._checkpoint = tf.train.Checkpoint(
      global_step=self.global_step,
      model=model,
      optimizer=optimizer,
      position=self.position,
      metadata=checkpoints.Metadata(task.metadata()),
    )

  def initialize(self):
    """See base class; averages begin at the weights that were loaded."""
    super().initialize()
    if self._swap:
      averaging.restart(self.optimizer, self.model.trainable_variables)

  def eval_begin(self):
    """See base class; the averaged weights are evaluated where there are any.

    They stay in the model until use_weights is called, so that pictures can be
    drawn with them, too.
    """
    super().eval_begin()
    if self._swap:
      self._swap.use_averages()

  def use_weights(self) -> None:
    """Puts the weights that are trained back; to be called before saving."""
    if self._swap:
      self._swap.use_weights()

  @property
  def batch_size(self) -> int:
    """Images per step over all replicas."""
    return self.config.task.train_data.global_batch_size

  def create_train_loop_fn(self):
    """See base class; synchronous strategies step from Python."""
    if self._is_async:
      return self._async_loop()
    # Pictures of many sizes: one graph for all, not one for each. Without
    # AutoGraph, which no step needs and which takes a third of a short run.
    step = tf.function(self.train_step, reduce_retracing=True, autograph=False)

    def loop(iterator, num_steps):
      for _ in range(int(num_steps)):
        if self.should_stop():
          return
        start = time.perf_counter()
        inputs = next(iterator)
        self.data_wait += time.perf_counter() - start
        step(inputs)
        self.position.assign_add(self.batch_size)
        self.on_step()

    return loop

  def _async_loop(self):
    step = tf.function(
      lambda iterator: self.train_step(next(iterator)), autograph=False
    )

    def loop(iterator, num_steps):
      for _ in range(int(num_steps)):
        self.coordinator_for_async().schedule(step, args=(iterator,))
      self.join()
      self.position.assign_add(int(num_steps) * self.batch_size)
      self.on_step()

    return loop

  def create_eval_loop_fn(self, has_state: bool):
    """See base class; without AutoGraph, and never asynchronous."""
    del has_state
    step = tf.function(self.eval_step, autograph=False)
    return orbit.utils.create_loop_fn(step)

  def train_step(self, inputs):
    """One step on a batch that has already been taken from the iterator."""

    def step_fn(inputs):
      logs = self.task.train_step(
        inputs,
        model=self.model,
        optimizer=self.optimizer,
        metrics=self.train_metrics,
      )
      loss = logs[self.task.loss]
      self._train_loss.update_state(loss)
      self.global_step.assign_add(1)
      return loss

    losses = self.strategy.run(step_fn, args=(inputs,))
    loss = self.strategy.reduce(tf.distribute.ReduceOp.MEAN, losses, axis=None)
    bad = tf.logical_and(
      tf.logical_not(tf.math.is_finite(loss)), self.first_bad_step < 0
    )
    self.first_bad_step.assign(
      tf.where(bad, self.global_step, self.first_bad_step)
    )

  def eval_reduce(self, state=None, step_outputs=None):
    """See base class."""
    state = super().eval_reduce(state, step_outputs)
    self.on_eval_step()
    return state

  def bad_step(self) -> Optional[int]:
    """Returns the first step whose loss was not finite, or None."""
    step = int(self.first_bad_step.numpy())
    return None if step < 0 else step


def _make_slots(optimizer, model):
  """Makes the optimizer's variables now.

  A step that makes variables would be traced twice, which takes a minute for a
  large network.
  """
  make = getattr(optimizer, '_create_all_weights', None)
  if make:
    with tf.distribute.get_strategy().scope():
      make(model.trainable_variables)
