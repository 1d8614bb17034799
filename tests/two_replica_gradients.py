"""Compares two replicas of half a batch with one replica of the whole batch.

python -m tests.two_replica_gradients FOLDER

Writes small data folders into FOLDER, and to stdout a line of JSON: {task: what
`compare` returns, and `empty`: see empty_share}. In NAME_apart each replica
divides by its own counts. `sync` compares batch norm over both replicas with
the plain one of one replica. `counts` and `one_bad_replica`: see those
functions.

A process of its own, on a machine that seems to have two CPUs.
"""

import json
import os
import sys
from unittest import mock

# With two devices in one process oneDNN's gradients crash now and then.
os.environ['TF_ENABLE_ONEDNN_OPTS'] = '0'

import numpy as np
import tensorflow as tf

import object_detection.experiments
import object_detection.task
import official_repro.experiments
import official_repro.task
from official_repro.core import config as config_lib
from official_repro.core import flags as core_flags
from official_repro.core import optimizers, replicas, runner
from official_repro.core import strategy as strategy_lib
from official_repro.data import hierarchy, records
from official_repro.modeling import classifier
from tests import tiny
from tests.deeplab import folders as mask_folders
from tests.deeplab import tiny as mask_tiny
from tests.object_detection import tiny as box_tiny
from tests.pose import folders as people_folders
from tests.pose import tiny as people_tiny

CLASSES = 8
# The slot of momentum after the first step is minus the gradient as it is after
# the replicas' sum, clipping and multipliers.
SGD = {
  'optimizer': {'type': 'sgd', 'sgd': {'momentum': 0.9}},
  'learning_rate': {'type': 'constant', 'constant': {'learning_rate': 1.0}},
  'gradient_multipliers': [{'pattern': 'bias', 'factor': 20.0}],
}
# So large that counting it twice would be seen.
DECAY = 0.05


def pixels(height, width):
  return np.random.default_rng(0).integers(
    0, 256, (4, height, width, 3), np.uint8
  )


# --- tasks, each with a batch whose halves have very different counts --------


def classification(folder, override='', frozen=True):
  """3, 1, 0 and 1 labels: of the second half's pictures only one has any."""
  config = classification_config(folder, override)
  task_class = official_repro.task.ClassificationTask
  task = task_class(task_class.resolve(config).task)
  if frozen:  # for which the task has no field
    task.build_model = lambda: classifier.Classifier(
      num_classes=CLASSES,
      num_shards=3,
      depth=14,
      width=0.125,
      weight_decay=DECAY,
      freeze_batch_norm=True,
    )
  labels = [[1, 2, 3], [4, -1, -1], [-1, -1, -1], [5, -1, -1]]
  return task, {'image': pixels(48, 48), 'label_ids': np.int32(labels)}


def classification_config(folder, override):
  """Of mini_jft on four pictures, which are written into the folder."""
  with records.RecordWriter(folder, 'train', num_shards=1) as writer:
    for i in range(4):
      picture = box_tiny.picture()
      writer.write(records.Example(picture, 40, 60, str(i), [1], [1]))
  records.write_manifest(
    folder,
    name='tiny',
    hierarchy=hierarchy.Hierarchy.flat([f'{i}' for i in range(CLASSES)]),
    splits={'train': writer.shards},
  )
  return config_lib.resolve(
    official_repro.experiments.mini_jft(),
    params_override=f'{tiny.OVERRIDE},task.weight_decay={DECAY},'
    f'task.model.fc_shards=3,task.validation_data.split=train{override}',
    flag_values={
      'task.train_data.data_dir': folder,
      'task.validation_data.data_dir': folder,
    },
  )


def segmentation(folder):
  """25, 20, 1 and 0 of 25 cells have a label."""
  rows = mask_tiny.rows(1)
  task = mask_tiny.make(
    mask_folders.write(folder, train=rows, validation=rows),
    override=f'task.weight_decay={DECAY}',
  )
  labels = np.full((4, 25), 255, np.uint8)
  for row, count in zip(labels, (25, 20, 1, 0)):
    row[:count] = np.arange(count) % 4
  mask = np.full((4, 33, 33), 255, np.uint8)
  mask[:, ::8, ::8] = labels.reshape(4, 5, 5)
  return task, {'image': pixels(33, 33), 'mask': mask}


def detection(folder):
  """4, 1, 0 and 2 objects."""
  rows = [box_tiny.example('0', [(0.2, 0.2, 0.8, 0.8)])]
  config = config_lib.resolve(
    object_detection.experiments.mini_coco(),
    params_override=f'{box_tiny.OVERRIDE},task.weight_decay={DECAY}',
    flag_values={
      f'task.{split}_data.data_dir': box_tiny.write(
        folder, train=rows, validation=rows
      )
      for split in ('train', 'validation')
    },
  )
  task_class = object_detection.task.DetectionTask
  number = np.arange(4)
  valid = number < np.array([[4], [1], [0], [2]])
  corners = np.stack([number, 2 * number, number + 30, 2 * number + 40], -1)
  return task_class(task_class.resolve(config).task), {
    'image': pixels(64, 64),
    'image_size': np.int32([[64, 64]] * 4),
    'boxes': np.float32(corners * valid[..., None]),
    'classes': np.int32((number % 3 + 1) * valid),
    'valid': valid,
    'seed': np.int32([[1, 2], [3, 4], [5, 6], [7, 8]]),
  }


def people(folder):
  """17, 17, 1 and 3 labelled joints."""
  rows = people_tiny.rows(1)
  task = people_tiny.make(
    people_folders.write(folder, train=rows, validation=rows),
    override=f'task.weight_decay={DECAY},task.model.intermediate=conv4/unit_1',
  )
  joints = [
    people_folders.person((2, 2, 31, 23), [2] * n + [0] * (17 - n)).joints
    for n in (17, 17, 1, 3)
  ]
  return task, {
    'image': pixels(people_tiny.HEIGHT, people_tiny.CROP_WIDTH),
    'joints': np.float32(joints),
    'others': np.zeros((4, 2, 17, 3), np.float32),
  }


# --- one step ---------------------------------------------------------------


def share(context, batch):
  """Rows of one replica, as tensors on it."""
  rows = 4 // context.num_replicas_in_sync
  first = context.replica_id_in_sync_group * rows
  return {k: tf.constant(v[first : first + rows]) for k, v in batch.items()}


def step(strategy, task, batch, weights, clipnorm=None):
  """Takes one training step.

  Args:
    strategy: one replica or two.
    task, batch: see above.
    weights: {name: array} to start from; what is absent is put there.
    clipnorm: of the optimizer.

  Returns:
    The loss, {name: gradient} and {name: moving average} after it.
  """
  config = optimizers.OptimizationConfig(SGD)
  config.optimizer.sgd.global_clipnorm = clipnorm
  with strategy.scope():
    model = task.build_model()
    optimizer = task.create_optimizer(config)
  for variable in model.variables:
    variable.assign(weights.setdefault(variable.name, variable.numpy()))
  inputs = strategy.experimental_distribute_values_from_function(
    lambda context: share(context, batch)
  )
  logs = strategy.run(task.train_step, args=(inputs, model, optimizer))
  losses = strategy.experimental_local_results(logs['loss'])
  gradients = {
    v.name: -optimizer.get_slot(v, 'momentum').numpy()
    for v in model.trainable_variables
  }
  moving = {v.name: v.numpy() for v in model.variables if 'moving_' in v.name}
  return np.mean([float(loss) for loss in losses]), gradients, moving


def worst(one, two):
  """The largest |a - b| of an array, by its largest |a|."""
  assert one.keys() == two.keys()
  return max(
    float(np.abs(a - two[name]).max() / max(np.abs(a).max(), 1e-30))
    for name, a in one.items()
  )


def compare(one, two):
  """Relative differences of what two steps returned; gradients that are 0."""
  return {
    'loss': float(abs(two[0] / one[0] - 1)),
    'gradient': worst(one[1], two[1]),
    'moving': worst(one[2], two[2]),
    'zero': [name for name, a in one[1].items() if not a.any()],
  }


def empty_share(task, batch):
  """Number of examples that an evaluation finds in a share without any."""
  batch = {k: tf.constant(v[:0]) for k, v in batch.items()}
  for name in ('source_id', 'is_crowd', 'area', 'box', 'step'):
    batch.setdefault(name, tf.zeros([0]))
  for name in ('image_size', 'original_size'):
    batch.setdefault(name, tf.zeros([0, 2], tf.int32))
  batch['origin'] = tf.zeros([0, 2])
  logs = task.validation_step(batch, task.build_model())
  return max(len(v) for v in logs.values() if v.shape.rank)


def both(one, two, made, apart=False, **options):
  """Compares strategies on a task; with `apart` also without mean_count."""
  task, batch = made
  weights = {}
  whole = step(one, task, batch, weights, **options)
  found = compare(whole, step(two, task, batch, weights, **options))
  found['empty'] = empty_share(task, batch)
  if apart:
    with mock.patch.object(replicas, 'mean_count', lambda count: count):
      halves = step(two, task, batch, weights, **options)
    found['apart'] = compare(whole, halves)
  return found


def batch_norm(one, two, plain, sync):
  """Compares `sync` on two replicas with `plain` on one, and on two."""
  task, batch = plain
  weights = {}
  whole = step(one, task, batch, weights)
  return {
    **compare(whole, step(two, sync[0], batch, weights)),
    'apart': compare(whole, step(two, task, batch, weights)),
  }


def counts(two):
  """The mean of 1 and 5 as both replicas get it; a 3 outside of a step."""
  own = two.experimental_distribute_values_from_function(
    lambda context: tf.constant([1.0, 5.0][context.replica_id_in_sync_group])
  )
  mean = two.run(replicas.mean_count, args=(own,))
  with two.scope():
    outside = replicas.mean_count(3.0)
  return [*map(float, two.experimental_local_results(mean)), outside]


class BadTask(official_repro.task.ClassificationTask):
  """Replica 1 gives NaN in the second step."""

  def train_step(self, inputs, model, optimizer, metrics=None):
    logs = super().train_step(inputs, model, optimizer, metrics)
    context = tf.distribute.get_replica_context()
    second = optimizer.iterations == 2
    bad = second & (context.replica_id_in_sync_group == 1)
    return {k: tf.where(bad, np.nan, v) for k, v in logs.items()}


def one_bad_replica(two, folder):
  """What a run with BadTask says, and its folder; it saves after each step."""
  override = (
    ',task.train_data.global_batch_size=4,runtime.strategy=mirrored'
    ',trainer.steps_per_loop=1,trainer.checkpoint_interval=1'
    ',trainer.train_steps=3,task.freeze=conv5'
  )
  config = classification_config(folder, override)
  run = os.path.join(folder, 'run')
  error = ''
  # A second strategy on these devices would mix its messages with `two`'s.
  with mock.patch.object(strategy_lib, 'create', lambda *_: two):
    try:
      runner.run(core_flags.RunOptions(config, '', 'train', run), BadTask)
    except ValueError as e:
      error = str(e)
  return {'error': error, 'run': run}


def main():
  cpu = tf.config.list_physical_devices('CPU')[0]
  tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
  )
  pair = (
    tf.distribute.OneDeviceStrategy('CPU:0'),
    tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1']),
  )
  tf.keras.utils.set_random_seed(1)
  folder = lambda name: os.path.join(sys.argv[1], name)
  softmax = classification(folder('softmax'), ',task.loss=softmax')
  free = classification(folder('free'), frozen=False)
  sync = ',task.model.sync_batch_norm=true'
  sync = classification(folder('sync'), sync, frozen=False)
  out = {
    'classification': both(
      *pair, classification(folder('labels')), clipnorm=0.01
    ),
    'softmax': both(*pair, softmax, apart=True),
    'segmentation': both(*pair, segmentation(folder('masks')), apart=True),
    'detection': both(*pair, detection(folder('boxes'))),
    'pose': both(*pair, people(folder('people'))),
    'sync': batch_norm(*pair, free, sync),
    'counts': counts(pair[1]),
    'one_bad_replica': one_bad_replica(pair[1], folder('bad')),
  }
  print(json.dumps(out))


if __name__ == '__main__':
  main()
