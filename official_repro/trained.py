"""A trained classifier from its model_dir, for predict and export."""

import dataclasses
import os

import tensorflow as tf

from official_repro import task as task_lib
from official_repro import task_config
from official_repro.core import acceleration, checkpoints
from official_repro.core import config as config_lib
from official_repro.data import images as images_lib


@dataclasses.dataclass(frozen=True)
class TrainedClassifier:
  """Network with weights, label names and the input that it was trained on.

  Attributes:
    model: the network.
    task: gives `scores` and `hierarchy`.
    names: C label names, in id order.
    resize: pixels, side of the picture before the crop.
    crop: pixels, side of the central window.
    checkpoint: prefix that the weights came from.
  """

  model: tf.keras.Model
  task: task_lib.ClassificationTask
  names: list
  resize: int
  crop: int
  checkpoint: str

  def __call__(self, images: tf.Tensor, top: int) -> dict:
    """Runs the network.

    Args:
      images: [B, crop, crop, 3] uint8.
      top: k; more than there are labels means all of them.

    Returns:
      label_ids: [B, k] int32, best first.
      scores: [B, k] float32, their probabilities.
      features: [B, F] float32, what the last layer sees.
    """
    outputs = self.model(images_lib.normalize(images), training=False)
    # By logits: probabilities near one are equal in float32.
    ids = tf.math.top_k(outputs['logits'], min(top, len(self.names))).indices
    scores = self.task.scores(outputs['logits'])
    return {
      'label_ids': ids,
      'scores': tf.gather(scores, ids, batch_dims=1),
      'features': tf.cast(outputs['features'], tf.float32),
    }

  def decode(self, encoded: tf.Tensor) -> tf.Tensor:
    """Picture file's bytes (string []) -> uint8 [crop, crop, 3]."""
    return images_lib.eval_image(encoded, resize=self.resize, crop=self.crop)


@acceleration.in_float32()
def load(model_dir: str) -> TrainedClassifier:
  """Builds the network of a run and loads its newest checkpoint.

  Needs params.yaml, labels.tsv and the checkpoint of the folder, not the data.

  Args:
    model_dir: folder of a finished or running classification run.

  Returns:
    TrainedClassifier.

  Raises:
    ValueError: a file is missing or does not fit the others.
  """
  config = config_lib.read_task(model_dir, task_config.TaskConfig())
  data = config.validation_data
  # The label space is read from model_dir; the data may be gone.
  config.train_data.data_dir = ''
  prefix = checkpoints.find(model_dir)
  task = task_lib.ClassificationTask(config, logging_dir=model_dir)
  _check_labels(task, prefix, model_dir)
  model = task.build_model()
  loaded = checkpoints.load_weights(model.variables, prefix)
  lacking = [*loaded.missing, *(name for name, _, _ in loaded.mismatched)]
  if lacking:
    raise ValueError(
      f'Checkpoint {prefix!r} lacks {len(lacking)} variables of the network '
      f'in params.yaml beside it, first {lacking[0]}; they are not of the same '
      'run.'
    )
  return TrainedClassifier(
    model, task, task.hierarchy.names, data.resize, data.crop, prefix
  )


def _check_labels(task, prefix, model_dir):
  found = checkpoints.read_metadata(checkpoints.open_reader(prefix))
  classes = task.hierarchy.num_classes
  if task.task_config.model.num_classes != classes or (
    found.get('label_space', task.hierarchy.hash()) != task.hierarchy.hash()
  ):
    raise ValueError(
      f'File {os.path.join(model_dir, "labels.tsv")} ({classes} labels) is not '
      f'the label space that {prefix!r} was trained with; put back the one '
      'that training wrote.'
    )
