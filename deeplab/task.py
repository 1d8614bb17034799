"""SegmentationTask: DeepLab-ASPP-L on any pre-trained trunk.

Shapes: B images of one replica, S the side of a training picture, H x W pixels
of an evaluation batch.
"""

import sys
from typing import Any

import tensorflow as tf

from deeplab import (
  building,
  data,
  drawing,
  guard,
  host_evaluation,
  inference,
  label_space,
  loading,
  losses,
  task_config,
)
from deeplab import model as model_lib
from official_repro import record_task
from official_repro.core import acceleration, checkpoints
from official_repro.data import images as images_lib


class SegmentationTask(record_task.RecordTask):
  """Estimator-style task: model, inputs, losses, steps, metrics.

  Attributes:
    labels: label_space.LabelSpace.
    hierarchy: that of the labels.
  """

  def __init__(
    self, params: task_config.TaskConfig, logging_dir=None, name=None
  ):
    super().__init__(params, logging_dir=logging_dir, name=name)
    self.labels = label_space.load(record_task.load_dataset(params.train_data))
    self.hierarchy = self.labels.hierarchy
    self._pixel_range = building.pixel_range(params, logging_dir)
    self._warned = False

  @classmethod
  def resolve(cls, config):
    """Returns the configuration with what the data decides filled in.

    Raises:
      ValueError: a data folder or split is missing or empty, or the labels or
        the crop's size do not fit.
    """
    record_task.check_compilation(config)
    task = config.task
    train, _ = record_task.load_datasets(task)
    for name in ('train_data', 'validation_data'):
      side = getattr(task, name).crop_size
      _check_crop(name, side, task.model.output_stride)
    classes = label_space.load(train).num_classes
    return record_task.with_classes(
      config,
      classes,
      f'the data ({task.train_data.data_dir!r}) has {classes} classes with the '
      'background',
    )

  # --- what the runner asks for beside the Task interface -------------------

  def metadata(self) -> dict[str, Any]:
    """What travels with the weights and is checked when they are loaded."""
    return {
      **building.model_metadata(self.task_config.model, self._pixel_range),
      'label_space': self.hierarchy.hash(),
    }

  def input_sheets(self, count: int) -> dict[str, Any]:
    """Pictures as the network sees them, beside their masks."""
    batch = self.one_batch(self.task_config.train_data, count)
    return {'inputs': self._sheet(batch, ('image', 'mask'))}

  def prediction_sheets(self, model, count: int) -> dict[str, Any]:
    """Evaluation pictures, beside their masks and what was found."""
    batch = self.one_batch(self.task_config.validation_data, count)
    batch['found'] = self._found(model, batch).numpy()
    return {'predictions': self._sheet(batch, ('image', 'mask', 'found'))}

  def _sheet(self, batch, keys):
    rows = [
      [drawing.without_padding(batch, i, key) for key in keys]
      for i in range(len(batch['image']))
    ]
    return drawing.sheet(rows, self.labels.names)

  def _found(self, model, batch):
    side = self.task_config.validation_data.crop_size
    return inference.labels_of_batch(
      model, batch['image'], batch['image_size'], side
    )

  # --- Task interface -------------------------------------------------------

  def build_model(self) -> model_lib.DeepLab:
    """Returns the network, built."""
    config = self.task_config
    return building.build_model(
      config.model,
      self._pixel_range,
      freeze=config.freeze,
      weight_decay=config.weight_decay,
    )

  def initialize(self, model: tf.keras.Model) -> None:
    """Loads --init_checkpoint by name; prints what was loaded.

    Raises:
      ValueError: the checkpoint is of another trunk or preprocessing.
    """
    config = self.task_config
    if not config.init_checkpoint:
      return
    prefix = checkpoints.find(config.init_checkpoint)
    found = checkpoints.read_metadata(checkpoints.open_reader(prefix))
    own = self.metadata()
    other = [
      key
      for key in ('label_space', 'rates')
      if key in found and found[key] != own[key]
    ]
    if 'rates' in found and other:
      print(
        f'The {" and ".join(other)} of {prefix} differ: the head starts anew.'
      )
    loaded = loading.initialize(
      model,
      prefix,
      use_head=not other,
      allow_partial=config.allow_partial_init,
    )
    print(loaded.report())

  def build_inputs(self, params: task_config.DataConfig, input_context=None):
    """See base class; a small batch with free batch norm is told once."""
    if params.training and not self._warned:
      self._warned = True
      warning = guard.small_batch(
        params.global_batch_size,
        freeze_batch_norm=self.task_config.model.freeze_batch_norm,
        freeze=self.task_config.freeze,
        replicas=input_context.num_replicas_in_sync if input_context else 1,
        sync_batch_norm=self.task_config.model.sync_batch_norm,
      )
      if warning:
        print(warning, file=sys.stderr, flush=True)
    return super().build_inputs(params, input_context)

  def make_inputs(self, params, batch_size, input_context=None):
    """See base class and data.make_dataset."""
    return data.make_dataset(
      record_task.load_dataset(params),
      params.split,
      num_classes=self.labels.num_classes,
      batch_size=batch_size,
      training=params.training,
      crop_size=params.crop_size,
      seed=self.seed,
      start_position=self.start_position if params.training else 0,
      shuffle_group=params.shuffle_group,
      flip=params.flip,
      input_context=input_context,
    )

  def build_losses(self, labels, model_outputs, aux_losses=None):
    """Loss of the pixels, plus the regularisers' where given.

    Args:
      labels: uint8 [B, S, S], the masks.
      model_outputs: float [B, s, s, K], the logits.
      aux_losses: scalars to add.

    Returns:
      A float32 scalar.
    """
    loss = losses.segmentation_loss(
      logits=model_outputs,
      labels=labels,
      stride=self.task_config.model.output_stride,
      full_size=self.task_config.full_size_loss,
    )
    if aux_losses:
      loss += tf.cast(tf.add_n(aux_losses), tf.float32)
    return loss

  def build_metrics(self, training: bool = True):
    """See base class; evaluation metrics live on the host."""
    return [tf.keras.metrics.Mean('segmentation_loss')] if training else []

  def train_step(self, inputs, model, optimizer, metrics=None):
    """One optimizer step on one replica's share of the batch.

    Args:
      inputs: see data.make_dataset.
      model: the network.
      optimizer: Keras optimizer.
      metrics: from build_metrics.

    Returns:
      {'loss': scalar}.
    """
    network = acceleration.compiled(model)

    def forward():
      logits = network(images_lib.normalize(inputs['image']), training=True)
      own = self.build_losses(inputs['mask'], logits)
      return tf.add_n([own, *_float32(model.losses)]), own

    loss, own = record_task.descend(forward, model, optimizer)
    for metric in metrics or ():
      metric.update_state(own)
    return {self.loss: loss}

  def validation_step(self, inputs, model, metrics=None):
    """Finds the classes of one batch's pixels; the host counts them."""
    del metrics
    return {
      'found_labels': self._found(model, inputs),
      **{k: inputs[k] for k in host_evaluation.TRUE},
    }

  def aggregate_logs(self, state=None, step_logs=None):
    """Adds one batch to the host's evaluation.

    Args:
      state: host_evaluation.HostEvaluation, or None at the first batch.
      step_logs: {name: tuple of one tensor a replica}.

    Returns:
      host_evaluation.HostEvaluation.
    """
    state = state or host_evaluation.HostEvaluation(self.labels)
    for replica in range(len(step_logs['image_size'])):
      state.add({k: v[replica].numpy() for k, v in step_logs.items()})
    return state

  def reduce_aggregated_logs(self, aggregated_logs, global_step=None):
    """Returns {metric: float}; writes the table of classes."""
    del global_step
    values = aggregated_logs.metrics()
    if self.logging_dir:
      aggregated_logs.save(
        self.logging_dir, self.task_config.validation_data.split
      )
    return values


def _float32(parts):
  return [tf.cast(part, tf.float32) for part in parts]


def _check_crop(name, crop_size, stride):
  """Else cells and pixels would not begin and end together."""
  if (crop_size - 1) % stride:
    raise ValueError(
      f'task.{name}.crop_size is {crop_size}; it must be one more than a '
      f'multiple of the output stride {stride}, such as '
      f'{crop_size // stride * stride + 1}.'
    )
