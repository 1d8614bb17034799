"""A tiny data folder and preset for tests of whole segmentation runs."""

import numpy as np
import tensorflow as tf

from deeplab import experiments, task
from official_repro.core import checkpoints, runner
from official_repro.core import config as config_lib
from official_repro.core import flags as core_flags
from tests.binaries import call, process
from tests.deeplab import folders
from tests.object_detection.tiny import WIDTH, save_classifier

__all__ = ['WIDTH', 'call', 'process', 'save_classifier']

SIDE = 33
OVERRIDE = (
  f'task.model.depth=14,task.model.width={WIDTH},'
  'task.model.freeze_batch_norm=true,task.model.rates=[6,12,18,24],'
  f'task.train_data.crop_size={SIDE},task.validation_data.crop_size={SIDE},'
  'task.train_data.shuffle_group=16,task.validation_data.global_batch_size=2,'
  'trainer.steps_per_loop=2,trainer.sample_pictures=0,'
  'trainer.validation_interval=1000'
)


def mask(height=SIDE, width=SIDE, value=1):
  """A square of a class on background, with an outline."""
  out = np.zeros((height, width), np.uint8)
  top, left = height // 4, width // 4
  out[top : 3 * top + 1, left : 3 * left + 1] = 255
  out[top + 1 : 3 * top, left + 1 : 3 * left] = value
  return out


def rows(count=5):
  """Examples of the classes 1, 2, 3 in turn, of several sizes."""
  return [
    folders.example(f'{i}', mask(SIDE - 3 * i, SIDE - i, i % 3 + 1), seed=i)
    for i in range(count)
  ]


def config_for(folder, override='', preset='mini_voc', **flags):
  """The configuration before the data is looked at."""
  return config_lib.resolve(
    experiments.EXPERIMENTS[preset](),
    params_override=OVERRIDE + (',' + override if override else ''),
    flag_values={
      'task.train_data.data_dir': folder,
      'task.validation_data.data_dir': folder,
      'task.train_data.global_batch_size': 2,
      **flags,
    },
  )


def make(folder, **options):
  """The task of a resolved configuration."""
  config = task.SegmentationTask.resolve(config_for(folder, **options))
  return task.SegmentationTask(config.task)


def gathered(task, batches, step):
  """HostEvaluation of the batches of an evaluation; step: batch -> logs."""
  state = None
  for batch in batches:
    logs = step(batch)
    state = task.aggregate_logs(state, {k: (v,) for k, v in logs.items()})
  return state


def evaluate(task, model, batch_size):
  """Metrics of the validation split, without a runner."""
  batches = task.make_inputs(task.task_config.validation_data, batch_size)
  step = lambda batch: task.validation_step(batch, model)
  return task.reduce_aggregated_logs(gathered(task, batches, step))


def save(folder, model, metadata):
  """Writes a checkpoint as a run does; returns its path."""
  saved = tf.train.Checkpoint(
    model=model, metadata=checkpoints.Metadata(metadata)
  )
  manager = tf.train.CheckpointManager(saved, str(folder), 1)
  return manager.save(checkpoint_number=7)


def train(folder, model_dir, steps=2, mode='train', **options):
  """Runs a tiny experiment in this process; returns the last metrics."""
  config = config_for(
    folder,
    **{'trainer.train_steps': steps, **options},
  )
  return runner.run(
    core_flags.RunOptions(config, 'mini_voc', mode, str(model_dir)),
    task.SegmentationTask,
  )


def train_options(data, model_dir, steps=4, override='', **options):
  """Flags of a tiny run of the binary."""
  return {
    'experiment': 'mini_voc',
    'data_dir': data,
    'model_dir': model_dir,
    'train_steps': steps,
    'batch_size': 2,
    'params_override': OVERRIDE + (',' + override if override else ''),
    **options,
  }
