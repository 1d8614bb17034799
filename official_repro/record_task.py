"""What the tasks on data folders have in common: records, checks, the step."""

import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from official.core import base_task

from official_repro.core import acceleration, optimizers, server_variables
from official_repro.data import manifest, pipeline


class RecordTask(base_task.Task):
  """Estimator-style task on the records of a data folder.

  A subclass sets `hierarchy` (a hierarchy.Hierarchy) and has the rest of the
  Task interface; its configuration has train_data and validation_data, each
  with data_dir, split, global_batch_size and shuffle_group.

  Attributes:
    seed: of record order and augmentation.
    start_position: examples that an earlier part of the run has consumed.
  """

  def __init__(self, params, logging_dir=None, name=None):
    super().__init__(params, logging_dir=logging_dir, name=name)
    self.seed = 0
    self.start_position = 0

  @classmethod
  def train_records(cls, config) -> int:
    """Returns the number of records of the training split."""
    params = config.task.train_data
    return load_dataset(params).split(params.split).records

  def data_hash(self) -> str:
    """Hash of the training data's manifest."""
    return load_dataset(self.task_config.train_data).manifest_hash

  def write_assets(self, model_dir: str) -> None:
    """Puts labels.tsv beside the checkpoints, for predict and export."""
    self.hierarchy.save(os.path.join(model_dir, manifest.LABELS))

  def record_ids(self, position: int) -> list[str]:
    """Returns the record ids of the global batch that begins at `position`."""
    params = self.task_config.train_data
    return pipeline.record_ids(
      params.data_dir,
      params.split,
      start_position=position,
      count=params.global_batch_size,
      seed=self.seed,
      shuffle_group=params.shuffle_group,
    )

  def validation_batches(self) -> int:
    """Returns the number of batches of one whole evaluation."""
    params = self.task_config.validation_data
    records = load_dataset(params).split(params.split).records
    return -(-records // params.global_batch_size)

  @classmethod
  def create_optimizer(cls, optimizer_config, runtime_config=None, **_):
    """See base class; float16 needs its loss scaled."""
    optimizer = optimizers.build_optimizer(optimizer_config)
    if runtime_config and runtime_config.precision == acceleration.SCALED:
      return tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer

  def build_inputs(self, params, input_context=None):
    """See make_inputs."""
    return self.make_inputs(params, params.global_batch_size, input_context)

  def make_inputs(self, params, batch_size: int, input_context=None):
    """Makes the batches of a split.

    Args:
      params: a DataConfig.
      batch_size: GLOBAL, over that of `params`.
      input_context: see pipeline.make_dataset.

    Returns:
      A tf.data.Dataset.
    """
    raise NotImplementedError

  def one_batch(self, params, count: int) -> dict[str, Any]:
    """Returns the first `count` examples of a split as arrays."""
    batch = next(iter(self.make_inputs(params, count)))
    return {k: v.numpy() for k, v in batch.items()}


def descend(
  forward: Callable[[], tuple[tf.Tensor, Any]], model, optimizer
) -> tuple[tf.Tensor, Any]:
  """Takes one optimizer step on one replica's share of the batch.

  Args:
    forward: returns the loss, a float32 scalar that is a mean over the
      replica's share, and whatever the caller wants back. The step is on the
      mean of the replicas' losses; see core.replicas for what that asks of a
      loss. Weight decay, the same on each, counts once.
    model: its trainable variables move.
    optimizer: Keras optimizer, which sums gradients over the replicas.

  Returns:
    What forward returned.
  """
  replicas = tf.distribute.get_strategy().num_replicas_in_sync
  scaling = isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer)
  with tf.GradientTape() as tape:
    with server_variables.read_once(model.variables):
      loss, more = forward()
    scaled = loss / replicas
    if scaling:
      scaled = optimizer.get_scaled_loss(scaled)
  variables = model.trainable_variables
  gradients = tape.gradient(scaled, variables)
  if scaling:
    gradients = optimizer.get_unscaled_gradients(gradients)
  optimizer.apply_gradients(zip(gradients, variables))
  return loss, more


def check_compilation(config, obstacle: str = '') -> None:
  """Checks that runtime.jit_compile, where set, suits the task.

  Args:
    config: ExperimentConfig.
    obstacle: why the task's step cannot be compiled, if so.

  Raises:
    ValueError: it does not.
  """
  if not config.runtime.jit_compile:
    return
  if config.task.model.sync_batch_norm:
    obstacle = (
      'task.model.sync_batch_norm sends messages between replicas in the '
      'middle of the network'
    )
  if obstacle:
    raise ValueError(
      f'runtime.jit_compile is true, but {obstacle}; leave --jit_compile out.'
    )


def load_dataset(params) -> manifest.Dataset:
  """Loads the data folder of a DataConfig and checks its split.

  Raises:
    ValueError: no folder is named, or it lacks the split.
  """
  if not params.data_dir:
    raise ValueError(
      'Flag --data_dir is missing: name a folder with dataset.json, as '
      'python -m official_repro.build_records writes it.'
    )
  dataset = manifest.Dataset.load(params.data_dir)
  dataset.split(params.split)
  return dataset


def load_datasets(task) -> tuple[manifest.Dataset, manifest.Dataset]:
  """Loads the folders of training and validation.

  Args:
    task: a TaskConfig.

  Raises:
    ValueError: as load_dataset; or their labels differ.
  """
  train = load_dataset(task.train_data)
  validation = load_dataset(task.validation_data)
  if train.hierarchy.hash() != validation.hierarchy.hash():
    raise ValueError(
      f'Data folders {task.train_data.data_dir!r} and '
      f'{task.validation_data.data_dir!r} have different labels.tsv.'
    )
  return train, validation


def with_classes(config, classes: int, counted: str):
  """Fills in the number of classes that the data decides.

  Args:
    config: ExperimentConfig with task.model.num_classes.
    classes: the data's.
    counted: what has them, such as 'labels.tsv of X has 3 categories'.

  Returns:
    The configuration with that number.

  Raises:
    ValueError: it has another number, which is not 0.
  """
  wanted = config.task.model.num_classes
  if wanted not in (0, classes):
    raise ValueError(
      f'task.model.num_classes is {wanted}, but {counted}; use 0 to take that '
      'number.'
    )
  return config.replace(task={'model': {'num_classes': classes}})
