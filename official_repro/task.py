"""ClassificationTask: pre-training on noisy labels, ImageNet, fine-tuning.

Shapes: B images of one replica, C labels, L label slots an image (-1 empty).
"""

import os
from typing import Any, Optional

import tensorflow as tf
from official.core import base_task

from official_repro import evaluate, losses, task_config
from official_repro.core import checkpoints, drawing, optimizers
from official_repro.data import hierarchy, pipeline, records
from official_repro.data import images as images_lib
from official_repro.modeling import classifier, sharded_dense


class ClassificationTask(base_task.Task):
  """Estimator-style task: model, inputs, losses, steps, metrics.

  Attributes:
    seed: of record order and augmentation.
    start_position: examples that an earlier part of the run has consumed.
  """

  def __init__(
    self, params: task_config.TaskConfig, logging_dir=None, name=None
  ):
    super().__init__(params, logging_dir=logging_dir, name=name)
    self.seed = 0
    self.start_position = 0
    self.hierarchy = _load_hierarchy(params, logging_dir)

  @classmethod
  def resolve(cls, config):
    """Returns the configuration with what the data decides filled in.

    Raises:
      ValueError: a data folder or split is missing or empty, or the labels do
        not fit.
    """
    task = config.task
    if task.loss not in ('per_label_logistic', 'softmax'):
      raise ValueError(
        f'task.loss is {task.loss!r}; use per_label_logistic or softmax.'
      )
    train = _dataset(task.train_data)
    validation = _dataset(task.validation_data)
    if task.loss == 'softmax' and (
      task.train_data.confidence or task.positive_weight != 1
    ):
      raise ValueError(
        'task.train_data.confidence and task.positive_weight belong to the '
        'per_label_logistic loss, task.loss is softmax.'
      )
    if train.hierarchy.hash() != validation.hierarchy.hash():
      raise ValueError(
        f'Data folders {task.train_data.data_dir!r} and '
        f'{task.validation_data.data_dir!r} have different labels.tsv.'
      )
    classes = train.hierarchy.num_classes
    wanted = task.model.num_classes
    if wanted not in (0, classes):
      raise ValueError(
        f'task.model.num_classes is {wanted}, but labels.tsv of '
        f'{task.train_data.data_dir!r} has {classes} categories; use 0 to take '
        'that number.'
      )
    return config.replace(task={'model': {'num_classes': classes}})

  # --- what the runner asks for beside the Task interface -------------------

  @classmethod
  def train_records(cls, config) -> int:
    """Returns the number of records of the training split."""
    data = config.task.train_data
    return _dataset(data).split(data.split).records

  def metadata(self) -> dict[str, Any]:
    """What travels with the weights and is checked when they are loaded."""
    model = self.task_config.model
    return {
      'depth': model.depth,
      'width': model.width,
      'stride_placement': model.stride_placement,
      'num_classes': model.num_classes,
      'label_space': self.hierarchy.hash(),
      'pixel_range': [-1, 1],
    }

  def data_hash(self) -> str:
    """Hash of the training data's manifest."""
    return _dataset(self.task_config.train_data).manifest_hash

  def write_assets(self, model_dir: str) -> None:
    """Puts labels.tsv beside the checkpoints, for predict and export."""
    self.hierarchy.save(os.path.join(model_dir, 'labels.tsv'))

  def record_ids(self, position: int) -> list[str]:
    """Returns the record ids of the global batch that begins at `position`."""
    data = self.task_config.train_data
    return pipeline.record_ids(
      data.data_dir,
      data.split,
      start_position=position,
      count=data.global_batch_size,
      seed=self.seed,
      shuffle_group=data.shuffle_group,
    )

  def validation_batches(self) -> int:
    """Returns the number of batches of one whole evaluation."""
    data = self.task_config.validation_data
    return -(
      -_dataset(data).split(data.split).records // data.global_batch_size
    )

  def input_sheets(self, count: int) -> dict[str, Any]:
    """Pictures as the network sees them, with their labels."""
    batch = next(iter(self._dataset(self.task_config.train_data, count)))
    texts = [
      [self.hierarchy.names[i] for i in row if i >= 0]
      for row in batch['label_ids'].numpy()
    ]
    return {'inputs': drawing.label_sheet(batch['image'].numpy(), texts)}

  def prediction_sheets(self, model, count: int) -> dict[str, Any]:
    """Evaluation pictures with the model's five best labels."""
    batch = next(iter(self._dataset(self.task_config.validation_data, count)))
    images = images_lib.normalize(batch['image'])
    scores = self.scores(model(images, training=False)['logits'])
    top = tf.math.top_k(scores, min(5, scores.shape[-1]))
    true = [set(row) for row in batch['label_ids'].numpy()]
    texts = []
    for row, (values, ids) in enumerate(
      zip(top.values.numpy(), top.indices.numpy())
    ):
      texts.append(
        [
          f'{"+" if i in true[row] else "-"} {v:.2f} {self.hierarchy.names[i]}'
          for v, i in zip(values, ids)
        ]
      )
    return {'predictions': drawing.label_sheet(batch['image'].numpy(), texts)}

  # --- Task interface -------------------------------------------------------

  @classmethod
  def create_optimizer(cls, optimizer_config, runtime_config=None, **_):
    """See base class; float16 needs its loss scaled."""
    optimizer = optimizers.build_optimizer(optimizer_config)
    if runtime_config and runtime_config.mixed_precision == 'float16':
      return tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer

  def build_model(self) -> tf.keras.Model:
    """Returns the classifier, built."""
    config = self.task_config
    return classifier.Classifier(
      depth=config.model.depth,
      width=config.model.width,
      num_classes=config.model.num_classes,
      num_shards=min(config.model.fc_shards, config.model.num_classes),
      stride_placement=config.model.stride_placement,
      weight_decay=config.weight_decay,
      freeze=config.freeze,
      batch_norm_momentum=config.model.batch_norm_momentum,
      batch_norm_epsilon=config.model.batch_norm_epsilon,
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
    if not config.allow_partial_init:
      checkpoints.check_metadata(found, self.metadata(), prefix)
    same_labels = found.get('label_space') == self.hierarchy.hash()
    if not same_labels:
      print('The label space differs: the head starts anew.')
    loaded = checkpoints.load_weights(
      model.variables,
      prefix,
      use_head=same_labels,
      allow_partial=config.allow_partial_init,
    )
    print(loaded.report())
    left = [*loaded.missing, *(name for name, _, _ in loaded.mismatched)]
    if same_labels and any(name.startswith('fc/') for name in left):
      self._recut_head(model, prefix)

  def _recut_head(self, model, prefix):
    """Loads a head that was saved in another number of parts."""
    config = self.task_config.model
    values = sharded_dense.reshard(
      checkpoints.read_weights(prefix, 'fc/'),
      config.num_classes,
      model.head.num_shards,
    )
    for variable in model.head.variables:
      variable.assign(values[variable.name.split(':')[0]])
    print(f'Loaded the head, cut anew into {model.head.num_shards} parts.')

  def build_inputs(self, params: task_config.DataConfig, input_context=None):
    """See pipeline.make_dataset."""
    return self._dataset(params, params.global_batch_size, input_context)

  def _dataset(self, data, batch_size, input_context=None):
    return pipeline.make_dataset(
      data.data_dir,
      data.split,
      batch_size=batch_size,
      training=data.training,
      resize=data.resize,
      crop=data.crop,
      seed=self.seed,
      start_position=self.start_position if data.training else 0,
      max_labels=data.max_labels,
      labels=data.labels,
      shuffle_group=data.shuffle_group,
      input_context=input_context,
      with_source_id=False,  # strings do not travel to a GPU
      with_confidence=data.confidence,
    )

  def build_losses(
    self, labels, model_outputs, aux_losses=None, confidence=None
  ):
    """Label loss, plus the regularisers' where given.

    Args:
      labels: [B, L] int32 padded with -1.
      model_outputs: [B, C] float logits.
      aux_losses: scalars to add.
      confidence: [B, L] float32 targets of the labels; 1 where None.

    Returns:
      A float32 scalar.
    """
    logits = tf.cast(model_outputs, tf.float32)
    if self.task_config.loss == 'softmax':
      loss = losses.softmax_loss(logits=logits, label_ids=labels)
    else:
      loss = losses.per_label_logistic_loss(
        logits=logits,
        label_ids=labels,
        confidence=confidence,
        positive_weight=self.task_config.positive_weight,
      )
    if aux_losses:
      loss += tf.add_n(aux_losses)
    return loss

  def scores(self, logits):
    """Turns [B, C] logits into probabilities."""
    logits = tf.cast(logits, tf.float32)
    if self.task_config.loss == 'softmax':
      return tf.nn.softmax(logits)
    return tf.sigmoid(logits)

  def build_metrics(self, training: bool = True):
    """See base class; evaluation metrics live on the host."""
    return [tf.keras.metrics.Mean('label_loss')] if training else []

  def train_step(self, inputs, model, optimizer, metrics=None):
    """One optimizer step on one replica's share of the batch.

    Args:
      inputs: dict of `image` uint8 [B, crop, crop, 3] and `label_ids`.
      model: the classifier.
      optimizer: Keras optimizer.
      metrics: from build_metrics.

    Returns:
      {'loss': scalar}.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    with tf.GradientTape() as tape:
      images = images_lib.normalize(inputs['image'])
      outputs = model(images, training=True)
      label_loss = self.build_losses(
        inputs['label_ids'],
        outputs['logits'],
        confidence=inputs.get('confidence'),
      )
      loss = label_loss
      if model.losses:
        loss += tf.cast(tf.add_n(model.losses), tf.float32)
      # The optimizer sums gradients over replicas; the loss is a mean.
      scaled = loss / replicas
      if isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer):
        scaled = optimizer.get_scaled_loss(scaled)
    variables = model.trainable_variables
    gradients = tape.gradient(scaled, variables)
    if isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer):
      gradients = optimizer.get_unscaled_gradients(gradients)
    optimizer.apply_gradients(zip(gradients, variables))
    for metric in metrics or ():
      metric.update_state(label_loss)
    return {self.loss: loss}

  def validation_step(self, inputs, model, metrics=None):
    """Scores one batch; the host gathers them in aggregate_logs."""
    del metrics
    labels = inputs['label_ids']
    outputs = model(images_lib.normalize(inputs['image']), training=False)
    return {
      'label_ids': labels,
      # Not probabilities: those near one are equal in float32.
      'scores': tf.cast(outputs['logits'], tf.float32),
      'mean_loss': self.build_losses(labels, outputs['logits']),
    }

  def aggregate_logs(self, state=None, step_logs=None):
    """Adds one batch to the host's metrics.

    Args:
      state: evaluate.Evaluation, or None at the first batch.
      step_logs: {name: tuple of one tensor a replica}.

    Returns:
      evaluate.Evaluation.
    """
    state = state or evaluate.Evaluation(
      self.hierarchy.num_classes,
      self.task_config.top_k,
      self.hierarchy.weights,
    )
    for labels, scores, loss in zip(
      step_logs['label_ids'], step_logs['scores'], step_logs['mean_loss']
    ):
      state.add(labels.numpy(), scores.numpy(), float(loss))
    return state

  def reduce_aggregated_logs(self, aggregated_logs, global_step=None):
    """Returns {metric: float} over the whole split."""
    del global_step
    return aggregated_logs.result()


def _dataset(data):
  """Loads the data folder of a DataConfig and checks its split."""
  if not data.data_dir:
    raise ValueError(
      'Flag --data_dir is missing: name a folder with dataset.json, as '
      'python -m official_repro.build_records writes it.'
    )
  dataset = records.Dataset.load(data.data_dir)
  dataset.split(data.split)
  return dataset


def _load_hierarchy(params, model_dir: Optional[str]):
  """From the data, else from the model_dir that training left it in."""
  if params.train_data.data_dir:
    return records.Dataset.load(params.train_data.data_dir).hierarchy
  return hierarchy.Hierarchy.load(os.path.join(model_dir, 'labels.tsv'))
