"""DetectionTask: Faster R-CNN on any pre-trained trunk.

Shapes: B images of one replica, G object slots, T detections, K classes.
"""

from typing import Any

import tensorflow as tf

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
from official_repro import record_task
from official_repro.core import checkpoints
from official_repro.data import images as images_lib

LOSSES = ('rpn_objectness_loss', 'rpn_box_loss', 'class_loss', 'box_loss')


class DetectionTask(record_task.RecordTask):
  """Estimator-style task: model, inputs, losses, steps, metrics.

  Attributes:
    labels: label_space.LabelSpace.
    hierarchy: that of the labels.
  """

  def __init__(
    self, params: task_config.TaskConfig, logging_dir=None, name=None
  ):
    super().__init__(params, logging_dir=logging_dir, name=name)
    dataset = record_task.load_dataset(params.train_data)
    self.labels = label_space.load(dataset, params.classes)
    self.hierarchy = self.labels.hierarchy
    self._pixel_range = building.pixel_range(params, logging_dir)

  @classmethod
  def resolve(cls, config):
    """Returns the configuration with what the data decides filled in.

    Raises:
      ValueError: a data folder or split is missing or empty, or the labels do
        not fit.
    """
    record_task.check_compilation(
      config,
      'XLA has no suppression of boxes and no crop_and_resize, which are in '
      'the middle of a detector',
    )
    task = config.task
    if task.metric not in host_evaluation.METRICS:
      raise ValueError(
        f'task.metric is {task.metric!r}; use one of '
        f'{", ".join(host_evaluation.METRICS)}.'
      )
    train, _ = record_task.load_datasets(task)
    classes = len(label_space.load(train, task.classes).names)
    return record_task.with_classes(
      config,
      classes,
      f'the data ({task.train_data.data_dir!r} and task.classes) has {classes} '
      'categories',
    )

  # --- what the runner asks for beside the Task interface -------------------

  def metadata(self) -> dict[str, Any]:
    """What travels with the weights and is checked when they are loaded."""
    config = self.task_config
    return {
      **building.model_metadata(config.model, self._pixel_range),
      'label_space': self.labels.hierarchy.hash(),
      'category_ids': [int(i) for i in self.labels.category_ids],
    }

  def input_sheets(self, count: int) -> dict[str, Any]:
    """Pictures as the network sees them, with their objects."""
    batch = self.one_batch(self.task_config.train_data, count)
    pictures = [
      drawing.draw_objects(
        drawing.without_padding(batch, i), *self._truth(batch, i)
      )
      for i in range(len(batch['image']))
    ]
    return {'inputs': drawing.sheet(pictures)}

  def prediction_sheets(self, model, count: int) -> dict[str, Any]:
    """Evaluation pictures: found objects on the left, true ones beside."""
    batch = self.one_batch(self.task_config.validation_data, count)
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

  def _truth(self, batch, i):
    valid = batch['valid'][i]
    names = [self.labels.names[k - 1] for k in batch['classes'][i][valid]]
    if 'is_crowd' in batch:
      crowd = batch['is_crowd'][i][valid]
      names = [f'{n} (crowd)' if c else n for n, c in zip(names, crowd)]
    return batch['boxes'][i][valid], names

  # --- Task interface -------------------------------------------------------

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

  def make_inputs(self, params, batch_size, input_context=None):
    """See base class and data.make_dataset."""
    return data.make_dataset(
      record_task.load_dataset(params),
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

    def forward():
      parts = model.losses_for(
        images_lib.normalize(inputs['image']),
        inputs['image_size'],
        inputs['boxes'],
        inputs['classes'],
        inputs['valid'],
        seed=inputs['seed'],
        options=model_lib.Sampling(**self.task_config.sampling.as_dict()),
      )
      return self.build_losses(None, parts, model.losses), parts

    loss, parts = record_task.descend(forward, model, optimizer)
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
