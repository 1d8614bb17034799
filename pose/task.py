"""PoseTask: G-RMI on any pre-trained trunk.

Shapes: B people of one replica, h x w pixels of a crop, K joints.
"""

import os
from typing import Any

import tensorflow as tf

from official_repro import record_task
from official_repro.core import acceleration, checkpoints
from official_repro.data import images as images_lib
from official_repro.data import pipeline
from pose import (
  building,
  data,
  drawing,
  host_evaluation,
  inference,
  losses,
  person_boxes,
  targets,
  task_config,
)
from pose import evaluate as evaluate_lib
from pose import model as model_lib
from pose import people as people_lib


class PoseTask(record_task.RecordTask):
  """Estimator-style task: model, inputs, losses, steps, metrics.

  A position is a person, not a picture.

  Attributes:
    hierarchy: categories of the data's boxes.
  """

  def __init__(
    self, params: task_config.TaskConfig, logging_dir=None, name=None
  ):
    super().__init__(params, logging_dir=logging_dir, name=name)
    self.hierarchy = record_task.load_dataset(params.train_data).hierarchy
    self._pixel_range = building.pixel_range(params, logging_dir)

  @classmethod
  def resolve(cls, config):
    """Returns the configuration as it is.

    Raises:
      ValueError: a data folder or split is missing or empty, or the crop does
        not fit the network's cells.
    """
    record_task.check_compilation(config)
    record_task.load_datasets(config.task)
    _check_crop(config.task.crop)
    return config

  @classmethod
  def train_records(cls, config) -> int:
    """Returns the number of people to be learnt from, an epoch's examples."""
    params = config.task.train_data
    dataset = record_task.load_dataset(params)
    people = people_lib.read(dataset, params.split)
    return int(people.usable(params.min_joints).sum())

  # --- what the runner asks for beside the Task interface -------------------

  def metadata(self) -> dict[str, Any]:
    """What travels with the weights and is checked when they are loaded."""
    return building.model_metadata(self.task_config, self._pixel_range)

  def record_ids(self, position: int) -> list[str]:
    """Returns the people of the global batch that begins at `position`."""
    params = self.task_config.train_data
    return pipeline.record_ids(
      params.data_dir,
      params.split,
      start_position=position,
      count=params.global_batch_size,
      seed=self.seed,
      shuffle_group=params.shuffle_group,
      parts=self._parts(params),
    )

  def validation_batches(self) -> int:
    """Returns the number of batches of one whole evaluation."""
    params = self.task_config.validation_data
    boxes, _ = person_boxes.of_config(params, self._people(params))
    total = sum(len(b) for b in boxes.values())
    return -(-total // params.global_batch_size)

  def input_sheets(self, count: int) -> dict[str, Any]:
    """Crops as the network sees them, with their joints and disks."""
    batch = self.one_batch(self.task_config.train_data, count)
    disks = self._targets(batch).heatmaps.numpy()
    rows = [
      drawing.crop_row(image, joints, joints[..., 2] > 0, maps)
      for image, joints, maps in zip(batch['image'], batch['joints'], disks)
    ]
    return {'inputs': drawing.crop_sheet(rows, ('crop', 'true', 'disks'))}

  def prediction_sheets(self, model, count: int) -> dict[str, Any]:
    """Evaluation crops with the joints and heatmaps that were found."""
    batch = self.one_batch(self.task_config.validation_data, count)
    joints, heatmaps = inference.joints_in_crops(model, batch['image'])
    rows = [
      drawing.crop_row(image, found, found[..., 2] >= drawing.SHOWN_FROM, maps)
      for image, found, maps in zip(
        batch['image'], joints.numpy(), heatmaps.numpy()
      )
    ]
    return {'predictions': drawing.crop_sheet(rows)}

  def _people(self, params):
    cache = None
    if self.logging_dir:
      cache = os.path.join(self.logging_dir, f'people-{params.split}.npz')
    return people_lib.read(
      record_task.load_dataset(params), params.split, cache
    )

  def _parts(self, params):
    shards = record_task.load_dataset(params).split(params.split).shards
    return self._people(params).parts(len(shards), params.min_joints)

  # --- Task interface -------------------------------------------------------

  def build_model(self) -> model_lib.PoseNet:
    """Returns the network, built."""
    config = self.task_config
    return building.build_model(
      config,
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
    if config.init_checkpoint:
      loaded = checkpoints.initialize(
        model,
        config.init_checkpoint,
        head_prefix=model_lib.NEW_LAYERS,
        use_head=True,
        allow_partial=config.allow_partial_init,
      )
      print(loaded.report())

  def make_inputs(self, params, batch_size, input_context=None):
    """See base class, data.training_dataset and data.evaluation_dataset."""
    split = record_task.load_dataset(params).split(params.split)
    crop = self.task_config.crop
    options = {
      'batch_size': batch_size,
      'height': crop.height,
      'width': crop.width,
      'input_context': input_context,
    }
    if params.training:
      return data.training_dataset(
        split,
        self._parts(params),
        scale=tuple(crop.train_scales),
        flip=params.flip,
        seed=self.seed,
        start_position=self.start_position,
        shuffle_group=params.shuffle_group,
        **options,
      )
    boxes, _ = person_boxes.of_config(params, self._people(params))
    return data.evaluation_dataset(
      split, boxes, scale=crop.test_scale, **options
    )

  def _targets(self, inputs):
    crop = self.task_config.crop
    return targets.make_targets(
      inputs['joints'],
      crop.height,
      crop.width,
      crop.radius,
      others=inputs['others'],
    )

  def build_losses(self, labels, model_outputs, aux_losses=None):
    """The losses of the heads, plus the regularisers' where given.

    Args:
      labels: targets.Targets of the crops.
      model_outputs: what the network gave, see model.PoseNet.call.
      aux_losses: scalars to add.

    Returns:
      {name: float32 scalar}; their sum is to be minimised.
    """
    config = self.task_config
    parts = losses.pose_loss(
      logits=model_outputs['heatmaps'],
      offsets=model_outputs['offsets'],
      targets=labels,
      intermediate_logits=model_outputs.get('intermediate'),
      heatmap_weight=config.heatmap_weight,
      offset_weight=config.offset_weight,
    )
    if aux_losses:
      parts['regularization'] = tf.add_n(
        [tf.cast(part, tf.float32) for part in aux_losses]
      )
    return parts

  def build_metrics(self, training: bool = True):
    """See base class; evaluation metrics live on the host."""
    names = ['heatmap_loss', 'offset_loss']
    if self.task_config.model.intermediate:
      names.append('intermediate_heatmap_loss')
    return [tf.keras.metrics.Mean(n) for n in names] if training else []

  def train_step(self, inputs, model, optimizer, metrics=None):
    """One optimizer step on one replica's share of the batch.

    Args:
      inputs: see data.training_dataset.
      model: the network.
      optimizer: Keras optimizer.
      metrics: from build_metrics.

    Returns:
      {'loss': scalar}.
    """
    network = acceleration.compiled(model)

    def forward():
      found = network(images_lib.normalize(inputs['image']), training=True)
      parts = self.build_losses(self._targets(inputs), found, model.losses)
      return tf.add_n(list(parts.values())), parts

    _, parts = record_task.descend(forward, model, optimizer)
    for metric in metrics or ():
      metric.update_state(parts[metric.name])
    own = [v for k, v in parts.items() if k != 'regularization']
    return {self.loss: tf.add_n(own)}

  def validation_step(self, inputs, model, metrics=None):
    """Finds the joints of one batch's people; the host compares them."""
    del metrics
    joints, _ = inference.joints_in_crops(
      model, inputs['image'], self.task_config.flip_test
    )
    found = inference.in_picture(
      joints, inputs['origin'], inputs['step'], self.task_config.crop.width
    )
    true = {k: inputs[k] for k in host_evaluation.TRUE}
    return {'found_joints': found, **true}

  def aggregate_logs(self, state=None, step_logs=None):
    """Adds one batch to the host's evaluation.

    Args:
      state: host_evaluation.HostEvaluation, or None at the first batch.
      step_logs: {name: tuple of one tensor a replica}.

    Returns:
      host_evaluation.HostEvaluation.
    """
    if state is None:
      params = self.task_config.validation_data
      people = self._people(params)
      _, boxes = person_boxes.of_config(params, people)
      state = host_evaluation.HostEvaluation(
        people, boxes, self.task_config.oks_threshold
      )
    for replica in range(len(step_logs['box'])):
      state.add({k: v[replica].numpy() for k, v in step_logs.items()})
    return state

  def reduce_aggregated_logs(self, aggregated_logs, global_step=None):
    """Returns {metric: float}; writes the poses and the table of joints."""
    del global_step
    evaluation = aggregated_logs.evaluation()
    values = evaluation.metrics()
    if self.logging_dir:
      split = self.task_config.validation_data.split
      host_evaluation.save(evaluation, self.logging_dir, split)
    return {k: v for k, v in values.items() if v != evaluate_lib.UNDEFINED}


def _check_crop(crop):
  """Else cells and pixels would not begin and end together."""
  for name in ('height', 'width'):
    side = getattr(crop, name)
    if side < 2 or (side - 1) % model_lib.STRIDE:
      nearest = max(1, round((side - 1) / model_lib.STRIDE))
      raise ValueError(
        f'task.crop.{name} is {side}; it must be one more than a multiple of '
        f'{model_lib.STRIDE}, such as {nearest * model_lib.STRIDE + 1}.'
      )
