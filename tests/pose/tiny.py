"""A tiny data folder and preset for tests of whole pose runs."""

import json

from official_repro.core import config as config_lib
from official_repro.core import flags as core_flags
from official_repro.core import runner
from pose import experiments, task
from tests.deeplab.tiny import save
from tests.object_detection.tiny import WIDTH, call, save_classifier
from tests.pose import folders

__all__ = ['WIDTH', 'call', 'save', 'save_classifier']

HEIGHT, CROP_WIDTH = 33, 25
OVERRIDE = (
  f'task.model.depth=14,task.model.width={WIDTH},task.crop.height={HEIGHT},'
  f'task.crop.width={CROP_WIDTH},task.crop.radius=2.4,'
  'task.model.freeze_batch_norm=true,'
  'task.train_data.shuffle_group=16,task.validation_data.global_batch_size=2,'
  'task.validation_data.person_category=1,trainer.steps_per_loop=1,'
  'trainer.sample_pictures=0,trainer.validation_interval=1000'
)


def rows(count=3):
  """Pictures with 2, 0, 1, 2, 0, 1 ... people, of several sizes."""
  found = []
  for i in range(count):
    people = [
      folders.person((4 + i, 2, 44, 22 + i)),
      folders.person((10, 20, 60, 47), visible=[2, 1, 0] * 5 + [2, 2]),
    ]
    people = people[: (2, 0, 1)[i % 3]]
    found.append(folders.example(f'{i + 1}', people, (64, 48 + 4 * i)))
  return found


def config_for(folder, override='', preset='mini_person', **flags):
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


def make(folder, logging_dir=None, **options):
  """The task of a resolved configuration."""
  config = task.PoseTask.resolve(config_for(folder, **options))
  return task.PoseTask(config.task, logging_dir=logging_dir)


def evaluate(task, model, batch_size=2, batches=None):
  """Metrics of the validation split, or of its `batches`, without a runner."""
  state, params = None, task.task_config.validation_data
  for batch in batches or task.make_inputs(params, batch_size):
    logs = task.validation_step(batch, model)
    state = task.aggregate_logs(state, {k: (v,) for k, v in logs.items()})
  return task.reduce_aggregated_logs(state)


def train(folder, model_dir, steps=2, mode='train', **options):
  """Runs a tiny experiment in this process; returns the last metrics."""
  config = config_for(folder, **{'trainer.train_steps': steps, **options})
  return runner.run(
    core_flags.RunOptions(config, 'mini_person', mode, str(model_dir)),
    task.PoseTask,
  )


def train_options(data, model_dir, steps=2, override='', **options):
  """Flags of a tiny run of the binary."""
  return {
    'experiment': 'mini_person',
    'data_dir': data,
    'model_dir': model_dir,
    'train_steps': steps,
    'batch_size': 2,
    'params_override': OVERRIDE + (',' + override if override else ''),
    **options,
  }


def write_boxes(path, boxes, **fields):
  """Writes a results file of a detector; returns its path.

  Args:
    path: of the file.
    boxes: of (image id, [ymin, xmin, ymax, xmax], score).
    **fields: further ones of each entry.
  """
  entries = [
    {
      'image_id': image_id,
      'category_id': 1,
      'bbox': [x0, y0, x1 - x0, y1 - y0],
      'score': score,
      **fields,
    }
    for image_id, (y0, x0, y1, x1), score in boxes
  ]
  path.write_text(json.dumps(entries))
  return str(path)
