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

from official_repro.core import async_steps, averaging, checkpoints


class Trainer(base_trainer.Trainer):
  """Runs a Task's steps under any strategy.

  Attributes:
    position: int64 variable, examples consumed since the start of training.
    data_wait: seconds that all steps so far waited for their batch.
    should_stop: asked before each step; True ends the loop early. In a
      synchronous cluster all processes must give the same answer.
    on_step: called after each step; under parameter servers now and then.
    on_wait: called with what the loop waits for next: data, step or workers.
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
    self.on_wait: Callable[[str], None] = lambda what: None
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
    self.worker_counts = (
      async_steps.WorkerCounts(self.workers) if self._is_async else None
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
  def workers(self) -> int:
    """Processes that compute steps on their own batches; 1 if synchronous."""
    if not self._is_async:
      return 1
    return (
      self.strategy.extended._num_workers
    )  # TensorFlow 2.15 has no other way

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
        self.on_wait('data')
        start = time.perf_counter()
        inputs = next(iterator)
        self.data_wait += time.perf_counter() - start
        self.on_wait('step')
        step(inputs)
        self.position.assign_add(self.batch_size)
        self.on_step()

    return loop

  def _async_loop(self):
    counts = self.worker_counts
    step = async_steps.make_step(
      counts, self.optimizer.iterations, self.train_step
    )

    def loop(iterator, num_steps):
      first = int(self.global_step.numpy())
      shown = [0]

      def on_poll(ended):
        if ended != shown[0]:
          shown[0] = ended
          self.on_step()
          self.on_wait('workers')

      begun = async_steps.run(
        self.coordinator_for_async(),
        step,
        iterator,
        int(num_steps),
        done=lambda: int(self.global_step.numpy()) - first,
        workers=counts.workers,
        should_stop=self.should_stop,
        on_poll=on_poll,
      )
      self.position.assign_add(begun * self.batch_size)

    return loop

  def train_loop_end(self):
    """See base class; with the workers' own numbers under servers."""
    logs = super().train_loop_end()
    if self.worker_counts:
      logs.update(self.worker_counts.logs(self.batch_size))
    return logs

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
