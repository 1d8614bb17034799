"""What training leaves of a pose run, with a tiny random network."""

import tensorflow as tf

from official_repro.core import checkpoints
from official_repro.core import config as config_lib
from pose import building, task_config

CONFIG = task_config.TaskConfig(
  model=task_config.ModelConfig(depth=14, width=1 / 16),
  crop=task_config.CropConfig(height=33, width=25, radius=3.0),
)


def save(folder, seed=3):
  """Writes params.yaml and a checkpoint.

  Args:
    folder: of the run, a pathlib.Path.
    seed: of the weights, which are large enough for sure joints.

  Returns:
    The folder as text, and the network.
  """
  config_lib.save(
    config_lib.ExperimentConfig(task=CONFIG), str(folder / 'params.yaml')
  )
  tf.keras.utils.set_random_seed(seed)
  model = building.build_model(CONFIG, (-1, 1))
  kernel = model.head.kernel
  kernel.assign(tf.random.normal(kernel.shape))
  write_checkpoint(folder, model)
  return str(folder), model


def write_checkpoint(folder, model):
  """Replaces the checkpoint of a run."""
  saved = tf.train.Checkpoint(
    model=model, metadata=checkpoints.Metadata(model.metadata())
  )
  tf.train.CheckpointManager(saved, str(folder), 1).save(checkpoint_number=7)
