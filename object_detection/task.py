"""DetectionTask: Faster R-CNN on any pre-trained trunk.

Shapes: B images of one replica, G object slots, T detections, K classes.
"""

import os
from typing import Any

import tensorflow as tf
from official.core import base_task

from object_detection import (
  building,
  data,
  drawing,
  host_evaluation,
  label_space,
  loading,
  task_config,
)
from object_detection import model as model_lib
from official_repro.core import checkpoints, optimizers
from official_repro.data import images as images_lib
from official_repro.data import manifest, pipeline

LOSSES = ('rpn_objectness_loss', 'rpn_box_loss', 'class_loss', 'box_loss')


class DetectionTask(base_task.Task):
  """Estimator-style task: model, inputs, losses, steps, metrics.

  Attributes:
    seed: of record order, flips and sampling.
    start_position: examples that an earlier part of the run has consumed.
    labels: label_space.LabelSpace.
  """

  def __init__(
    self, params: task_config.TaskConfig, logging_dir=None, name=None
  ):
    super().__init__(params, logging_dir=logging_dir, name=name)
    self.seed = 0
    self.start_position = 0
    self.labels = label_space.load(_dataset(params.train_data), params.classes)
    self._pixel_range = building.pixel_range(params, logging_dir)

  @classmethod
  def resolve(cls, config):
    """Returns the configuration with what the data decides filled in.

    Raises:
      ValueError: a data folder or split is missing or empty, or the labels do
        not fit.
    """
    task = config.task
    if task.metric not in host_evaluation.METRICS:
      raise ValueError(
        f'task.metric is {task.metric!r}; use one of '
        f'{", ".join(host_evaluation.METRICS)}.'
      )
    train = _dataset(task.train_data)
    validation = _dataset(task.validation_data)
    if train.hierarchy.hash() != validation.hierarchy.hash():
      raise ValueError(
        f'Data folders {task.train_data.data_dir!r} and '
        f'{task.validation_data.data_dir!r} have different labels.tsv.'
      )
    classes = len(label_space.load(train, task.classes).names)
    if task.model.num_classes not in (0, classes):
      raise ValueError(
        f'task.model.num_classes is {task.model.num_classes}, but the data '
        f'({task.train_data.data_dir!r} and task.classes) has {classes} '
        'categories; use 0 to take that number.'
      )
    return config.replace(task={'model': {'num_classes': classes}})

  # --- what the runner asks for beside the Task interface -------------------

  @classmethod
  def train_records(cls, config) -> int:
    """Returns the number of records of the training split."""
    params = config.task.train_data
    return _dataset(params).split(params.split).records

  def metadata(self) -> dict[str, Any]:
    """What travels with the weights and is checked when they are loaded."""
    config = self.task_config
    return {
      **building.model_metadata(config.model, self._pixel_range),
      'label_space': self.labels.hierarchy.hash(),
      'category_ids': [int(i) for i in self.labels.category_ids],
    }

  def data_hash(self) -> str:
    """Hash of the training data's manifest."""
    return _dataset(self.task_config.train_data).manifest_hash

  def write_assets(self, model_dir: str) -> None:
    """Puts labels.tsv beside the checkpoints, for predict and export."""
    self.labels.hierarchy.save(os.path.join(model_dir, 'labels.tsv'))

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
    records = _dataset(params).split(params.split).records
    return -(-records // params.global_batch_size)

  def input_sheets(self, count: int) -> dict[str, Any]:
    """Pictures as the network sees them, with their objects."""
    batch = self._one_batch(self.task_config.train_data, count)
    pictures = [
      drawing.draw_objects(
        drawing.without_padding(batch, i), *self._truth(batch, i)
      )
      for i in range(len(batch['image']))
    ]
    return {'inputs': drawing.sheet(pictures)}

  def prediction_sheets(self, model, count: int) -> dict[str, Any]:
    """Evaluation pictures: found objects on the left, true ones beside."""
    batch = self._one_batch(self.task_config.validation_data, count)
    found = model.detect(
      images_lib.normalize(batch['image']), batch['image_size']
    )
    found = {k: v.numpy() for k, v in found.items()}
    pairs = []
    for i in range(len(batch['image'])):
      picture = drawing.without_padding(batch, i)
      shown = found['scores'][i] >= drawing.SHOWN_FROM
      pairs.append(
        (
          drawing.draw_objects(
            picture,
            found['boxes'][i][shown],
            [self.labels.names[k - 1] for k in found['classes'][i][shown]],
            found['scores'][i][shown],
          ),
          drawing.draw_objects(picture, *self._truth(batch, i)),
        )
      )
    return {'predictions': drawing.pair_sheet(pairs)}

  def _one_batch(self, params, count):
    batch = next(iter(self._inputs(params, count)))
    return {k: v.numpy() for k, v in batch.items()}

  def _truth(self, batch, i):
    valid = batch['valid'][i]
    names = [self.labels.names[k - 1] for k in batch['classes'][i][valid]]
    if 'is_crowd' in batch:
      crowd = batch['is_crowd'][i][valid]
      names = [f'{n} (crowd)' if c else n for n, c in zip(names, crowd)]
    return batch['boxes'][i][valid], names

  # --- Task interface -------------------------------------------------------

  @classmethod
  def create_optimizer(cls, optimizer_config, runtime_config=None, **_):
    """See base class; float16 needs its loss scaled."""
    optimizer = optimizers.build_optimizer(optimizer_config)
    if runtime_config and runtime_config.mixed_precision == 'float16':
      return tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer

  def build_model(self) -> model_lib.FasterRCNN:
    """Returns the detector, built."""
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
      for key in ('label_space', 'anchors')
      if key in found and found[key] != own[key]
    ]
    if 'anchors' in found and other:
      print(
        f'The {" and ".join(other)} of {prefix} differ: the region proposal '
        'network and the head start anew.'
      )
    loaded = loading.initialize(
      model,
      prefix,
      use_head=not other,
      allow_partial=config.allow_partial_init,
    )
    print(loaded.report())

  def build_inputs(self, params: task_config.DataConfig, input_context=None):
    """See data.make_dataset."""
    return self._inputs(params, params.global_batch_size, input_context)

  def _inputs(self, params, batch_size, input_context=None):
    return data.make_dataset(
      _dataset(params),
      params.split,
      class_map=self.labels.class_map,
      batch_size=batch_size,
      training=params.training,
      min_side=params.min_side,
      max_side=params.max_side,
      pad_multiple=params.pad_multiple,
      max_boxes=params.max_boxes,
      crowds=params.crowds,
      seed=self.seed,
      start_position=self.start_position if params.training else 0,
      shuffle_group=params.shuffle_group,
      input_context=input_context,
    )

  def build_losses(self, labels, model_outputs, aux_losses=None):
    """Adds up the model's losses and the regularisers'.

    Args:
      labels: unused, the model's losses_for has seen them.
      model_outputs: {name: scalar}, of model.FasterRCNN.losses_for.
      aux_losses: scalars to add.

    Returns:
      A float32 scalar.
    """
    del labels
    parts = [*model_outputs.values(), *(aux_losses or ())]
    return tf.add_n([tf.cast(part, tf.float32) for part in parts])

  def build_metrics(self, training: bool = True):
    """See base class; evaluation metrics live on the host."""
    if not training:
      return []
    return [tf.keras.metrics.Mean(name) for name in LOSSES]

  def train_step(self, inputs, model, optimizer, metrics=None):
    """One optimizer step on one replica's share of the batch.

    Args:
      inputs: see data.make_dataset.
      model: the detector.
      optimizer: Keras optimizer.
      metrics: from build_metrics.

    Returns:
      {'loss': scalar}.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    scaling = isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer)
    with tf.GradientTape() as tape:
      parts = model.losses_for(
        images_lib.normalize(inputs['image']),
        inputs['image_size'],
        inputs['boxes'],
        inputs['classes'],
        inputs['valid'],
        seed=inputs['seed'],
        options=model_lib.Sampling(**self.task_config.sampling.as_dict()),
      )
      loss = self.build_losses(None, parts, model.losses)
      # The optimizer sums gradients over replicas; the loss is a mean.
      scaled = loss / replicas
      if scaling:
        scaled = optimizer.get_scaled_loss(scaled)
    variables = model.trainable_variables
    gradients = tape.gradient(scaled, variables)
    if scaling:
      gradients = optimizer.get_unscaled_gradients(gradients)
    optimizer.apply_gradients(zip(gradients, variables))
    for metric in metrics or ():
      metric.update_state(parts[metric.name])
    return {self.loss: loss}

  def validation_step(self, inputs, model, metrics=None):
    """Finds the objects of one batch; the host gathers them."""
    del metrics
    found = model.detect(
      images_lib.normalize(inputs['image']), inputs['image_size']
    )
    return {
      **{f'found_{k}': found[k] for k in host_evaluation.FOUND},
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
    state = state or host_evaluation.HostEvaluation(
      self.labels, self.task_config.metric
    )
    for replica in range(len(step_logs['image_size'])):
      state.add({k: v[replica].numpy() for k, v in step_logs.items()})
    return state

  def reduce_aggregated_logs(self, aggregated_logs, global_step=None):
    """Returns {metric: float}; writes results and the table of classes."""
    del global_step
    values = aggregated_logs.metrics()
    if self.logging_dir:
      aggregated_logs.save(
        self.logging_dir, self.task_config.validation_data.split
      )
    return values


def _dataset(params):
  """Loads the data folder of a DataConfig and checks its split."""
  if not params.data_dir:
    raise ValueError(
      'Flag --data_dir is missing: name a folder with dataset.json, as '
      'python -m official_repro.build_records writes it.'
    )
  dataset = manifest.Dataset.load(params.data_dir)
  dataset.split(params.split)
  return dataset
