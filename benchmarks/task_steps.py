"""A training step and an evaluation batch of each task, as the binaries run it.

  python -m benchmarks.task_steps [--tasks mini_jft ...] [--turns=9]
      [--base=CHECKOUT --base_onednn=off] [--profile]

The mini preset of each task on its generated data: the real Trainer, batches
already in memory. The sides (see versus) are processes that take turns; CPU
seconds of all threads beside the wall clock tell a busy machine from a slow
step. `ratio` is the median over the turns of our time by that of the side.
`--profile` prints the largest kinds of operations (thread-milliseconds) of the
two settings of this checkout to stderr.
"""

import argparse
import functools
import importlib
import os
import subprocess
import sys
import tempfile

from benchmarks import machine, turns, versus

# Preset and source of the data -> package, name of the Task.
TASKS = {
  'mini_jft': ('official_repro', 'ClassificationTask'),
  'mini_coco': ('object_detection', 'DetectionTask'),
  'mini_voc': ('deeplab', 'SegmentationTask'),
  'mini_person': ('pose', 'PoseTask'),
}
QUESTIONS = ('step', 'evaluation')
# Batches that take turns, as pictures and crops differ in size.
_BATCHES = 2


def build_data(name, folder):
  """Generates the data of a task."""
  subprocess.run(
    [
      *(sys.executable, '-m', 'official_repro.build_records'),
      *(f'--source={name}', f'--output={folder}'),
      *('--num_images=600', '--eval_images=128'),
    ],
    check=True,
    stdout=subprocess.DEVNULL,
  )


def make_trainer(name, data):
  """Returns the Trainer of a preset on a data folder."""
  import tensorflow as tf

  from official_repro.core import config as config_lib
  from official_repro.core import trainer

  package, task_name = TASKS[name]
  experiments = importlib.import_module(f'{package}.experiments')
  task_class = getattr(importlib.import_module(f'{package}.task'), task_name)
  folders = {f'task.{s}_data.data_dir': data for s in ('train', 'validation')}
  config = config_lib.resolve(
    experiments.EXPERIMENTS[name](), flag_values=folders
  )
  config = task_class.resolve(config)
  tf.keras.utils.set_random_seed(0)
  with tf.distribute.OneDeviceStrategy('CPU:0').scope():
    task = task_class(config.task)
    model = task.build_model()
    optimizer = task.create_optimizer(
      config.trainer.optimizer_config, config.runtime
    )
    return trainer.Trainer(
      config, task, model, optimizer, train=True, evaluate=False
    )


def make_side(sides, name, data, side):
  """Returns the questions that a side answers, see turns.players."""
  sides.enter(side)
  import tensorflow as tf

  trainer = make_trainer(name, data)
  step = tf.function(trainer.train_step, reduce_retracing=True, autograph=False)
  evaluate = tf.function(
    lambda batch: trainer.task.validation_step(batch, trainer.model, []),
    reduce_retracing=True,
    autograph=False,
  )
  training = _first(trainer.train_dataset)
  validation = _first(
    trainer.task.build_inputs(trainer.task.task_config.validation_data)
  )

  def waited(function, batches):
    # Waits for the result, which a graph function alone does not.
    tf.nest.map_structure(lambda x: x.numpy(), function(batches[0]))
    batches.append(batches.pop(0))

  def train():
    step(training[0])
    trainer.global_step.numpy()
    training.append(training.pop(0))

  def profile():
    from benchmarks import train_step

    return train_step.profile(train)

  return {
    'step': train,
    'evaluation': lambda: waited(evaluate, validation),
    'profile': profile,
    'peak_mb': lambda: round(turns.peak_mb()),
  }


def _first(dataset):
  iterator = iter(dataset)
  return [next(iterator) for _ in range(_BATCHES)]


def measure(sides, name, data, count, with_profile) -> dict:
  """Seconds of each side and ratios to them."""
  make = functools.partial(make_side, sides, name, data)
  with turns.players(make, sides.names) as ask:
    asked = [(side, q) for q in QUESTIONS for side in sides.names]
    found = turns.play(ask, asked, count, warm=_BATCHES)
    peaks = {side: ask(side, 'peak_mb').value for side in sides.names}
    if with_profile:
      for side in ('ours', 'off'):
        print(name, side, ask(side, 'profile').value, file=sys.stderr)
  out = {'peak_mb': peaks}
  for question in QUESTIONS:
    ours = found['ours', question]
    out[question] = {
      side: {
        'seconds': round(turns.seconds(found[side, question]), 4),
        'cpu_seconds': round(turns.cpu_seconds(found[side, question]), 4),
        **_ratios(ours, found[side, question]),
      }
      for side in sides.names
    }
  return out


def _ratios(ours, others):
  return {
    'ratio': round(1 / turns.times_faster(ours, others), 3),
    'cpu_ratio': round(1 / turns.times_faster(ours, others, 'cpu_seconds'), 3),
  }


def main():
  """Prints the JSON line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--tasks', nargs='+', choices=TASKS, default=[*TASKS])
  parser.add_argument('--turns', type=int, default=9, help='Turns measured.')
  parser.add_argument('--profile', action='store_true')
  versus.add_flags(parser)
  options = parser.parse_args()
  if options.turns < 1:
    parser.error(f'--turns must be at least 1, got {options.turns}')
  machine.prepare()
  sides = versus.from_flags(options)
  out = {'benchmark': 'task_steps', 'turns': options.turns}
  if sides.base:
    out['base_onednn'] = sides.base_onednn
  with tempfile.TemporaryDirectory() as folder:
    for name in options.tasks:
      data = os.path.join(folder, name)
      build_data(name, data)
      out[name] = measure(sides, name, data, options.turns, options.profile)
  machine.print_line(
    {**out, 'goal': 'step of ours by base: mini_jft 0.25, others 0.8'}
  )


if __name__ == '__main__':
  main()
