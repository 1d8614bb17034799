"""ClassificationTask: pre-training on noisy labels, ImageNet, fine-tuning.

Shapes: B images of one replica, C labels, L label slots an image (-1 empty).
"""

import os
from typing import Any, Optional

import tensorflow as tf

from official_repro import evaluate, losses, record_task, task_config
from official_repro.core import acceleration, checkpoints, drawing
from official_repro.data import hierarchy, pipeline, records
from official_repro.data import images as images_lib
from official_repro.modeling import classifier, sharded_dense


class ClassificationTask(record_task.RecordTask):
  """Estimator-style task: model, inputs, losses, steps, metrics.

  Attributes:
    hierarchy: the label space.
  """

  def __init__(
    self, params: task_config.TaskConfig, logging_dir=None, name=None
  ):
    super().__init__(params, logging_dir=logging_dir, name=name)
    self.hierarchy = _load_hierarchy(params, logging_dir)

  @classmethod
  def resolve(cls, config):
    """Returns the configuration with what the data decides filled in.

    Raises:
      ValueError: a data folder or split is missing or empty, or the labels do
        not fit.
    """
    record_task.check_compilation(config)
    task = config.task
    if task.loss not in ('per_label_logistic', 'softmax'):
      raise ValueError(
        f'task.loss is {task.loss!r}; use per_label_logistic or softmax.'
      )
    if task.loss == 'softmax' and (
      task.train_data.confidence or task.positive_weight != 1
    ):
      raise ValueError(
        'task.train_data.confidence and task.positive_weight belong to the '
        'per_label_logistic loss, task.loss is softmax.'
      )
    train, _ = record_task.load_datasets(task)
    classes = train.hierarchy.num_classes
    return record_task.with_classes(
      config,
      classes,
      f'labels.tsv of {task.train_data.data_dir!r} has {classes} categories',
    )

  # --- what the runner asks for beside the Task interface -------------------

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

  def input_sheets(self, count: int) -> dict[str, Any]:
    """Pictures as the network sees them, with their labels."""
    batch = self.one_batch(self.task_config.train_data, count)
    texts = [
      [self.hierarchy.names[i] for i in row if i >= 0]
      for row in batch['label_ids']
    ]
    return {'inputs': drawing.label_sheet(batch['image'], texts)}

  def prediction_sheets(self, model, count: int) -> dict[str, Any]:
    """Evaluation pictures with the model's five best labels."""
    batch = self.one_batch(self.task_config.validation_data, count)
    images = images_lib.normalize(batch['image'])
    scores = self.scores(model(images, training=False)['logits'])
    top = tf.math.top_k(scores, min(5, scores.shape[-1]))
    true = [set(row) for row in batch['label_ids']]
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
    return {'predictions': drawing.label_sheet(batch['image'], texts)}

  # --- Task interface -------------------------------------------------------

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
      sync_batch_norm=config.model.sync_batch_norm,
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

  def make_inputs(self, params, batch_size, input_context=None):
    """See base class and pipeline.make_dataset."""
    return pipeline.make_dataset(
      params.data_dir,
      params.split,
      batch_size=batch_size,
      training=params.training,
      resize=params.resize,
      crop=params.crop,
      seed=self.seed,
      start_position=self.start_position if params.training else 0,
      max_labels=params.max_labels,
      labels=params.labels,
      shuffle_group=params.shuffle_group,
      input_context=input_context,
      with_source_id=False,  # strings do not travel to a GPU
      with_confidence=params.confidence,
    )

  def build_losses(
    self,
    labels,
    model_outputs,
    aux_losses=None,
    confidence=None,
    over_replicas=False,
  ):
    """Label loss, plus the regularisers' where given.

    Args:
      labels: [B, L] int32 padded with -1.
      model_outputs: [B, C] float logits.
      aux_losses: scalars to add.
      confidence: [B, L] float32 targets of the labels; 1 where None.
      over_replicas: see losses.softmax_loss.

    Returns:
      A float32 scalar.
    """
    logits = tf.cast(model_outputs, tf.float32)
    if self.task_config.loss == 'softmax':
      loss = losses.softmax_loss(
        logits=logits, label_ids=labels, over_replicas=over_replicas
      )
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
    network = acceleration.compiled(model)

    def forward():
      outputs = network(images_lib.normalize(inputs['image']), training=True)
      label_loss = self.build_losses(
        inputs['label_ids'],
        outputs['logits'],
        confidence=inputs.get('confidence'),
        over_replicas=True,
      )
      loss = label_loss
      if model.losses:
        loss += tf.cast(tf.add_n(model.losses), tf.float32)
      return loss, label_loss

    loss, label_loss = record_task.descend(forward, model, optimizer)
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


def _load_hierarchy(params, model_dir: Optional[str]):
  """From the data, else from the model_dir that training left it in."""
  if params.train_data.data_dir:
    return records.Dataset.load(params.train_data.data_dir).hierarchy
  return hierarchy.Hierarchy.load(os.path.join(model_dir, 'labels.tsv'))
