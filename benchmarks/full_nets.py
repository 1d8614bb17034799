"""The paper's three transfer nets at full size: one step, one inference.

  python -m benchmarks.full_nets [--nets detection deeplab pose] [--turns=2]
      [--base=CHECKOUT] [--base_onednn=off]

ResNet-101 with the presets' values, batch 1, float32, random weights: Faster
R-CNN C4 at 600x1024 (coco_resnet101; as benchmarks.detection_step builds it),
DeepLab-ASPP-L at 513x513 (voc2012_resnet101) and the pose net at 353x257
(coco_resnet101, the head in the middle and the targets included; inference
with the decoder). Each net in a process of its own; prints seconds, seconds of
all threads, and the process' peak memory. There is no peer; with --base the
same of another checkout takes turns (see versus), and `ratio` is our time by
its.
"""

import argparse
import functools

import numpy as np

from benchmarks import machine, turns, versus

QUESTIONS = ('training', 'inference')


def _step(model, optimizer, loss):
  """Graph function of one optimizer step."""
  import tensorflow as tf

  @tf.function
  def training():
    with tf.GradientTape() as tape:
      value = loss() + tf.add_n(model.losses)
    variables = model.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(value, variables), variables))
    return value

  return training


def _of_preset(package, name):
  """The preset's experiment and its optimizer."""
  import importlib

  from official_repro.core import optimizers

  experiments = importlib.import_module(f'{package}.experiments')
  config = experiments.EXPERIMENTS[name]()
  return config, optimizers.build_optimizer(config.trainer.optimizer_config)


def detection():
  """Returns {question: graph function} and the model."""
  from benchmarks import detection_step

  case = detection_step.Case(depth=101, height=600, width=1024)
  return detection_step.ours(case, 'slim')


def deeplab():
  """As detection."""
  import tensorflow as tf

  from deeplab import building, losses

  config, optimizer = _of_preset('deeplab', 'voc2012_resnet101')
  task = config.task
  side = task.train_data.crop_size
  model = building.build_model(
    task.model.replace(num_classes=21), [-1, 1], weight_decay=task.weight_decay
  )
  rng = np.random.default_rng(0)
  image = tf.constant(rng.uniform(-1, 1, (1, side, side, 3)), tf.float32)
  mask = tf.constant(rng.integers(0, 21, (1, side, side)), tf.uint8)

  def loss():
    logits = model(image, training=True)
    return losses.segmentation_loss(logits=logits, labels=mask)

  inference = tf.function(lambda: model.labels(image))
  return {
    'training': _step(model, optimizer, loss),
    'inference': inference,
  }, model


def pose():
  """As detection."""
  import tensorflow as tf

  from pose import building, inference, losses, targets

  config, optimizer = _of_preset('pose', 'coco_resnet101')
  task = config.task
  height, width = task.crop.height, task.crop.width
  model = building.build_model(task, [-1, 1], weight_decay=task.weight_decay)
  rng = np.random.default_rng(0)
  pixels = rng.integers(0, 256, (1, height, width, 3))
  image = tf.constant(pixels / 127.5 - 1, tf.float32)
  points = rng.uniform(0, (height, width, 0), (1, 3, 17, 3))
  points = tf.constant(points + (0, 0, 2), tf.float32)

  def loss():
    found = model(image, training=True)
    parts = losses.pose_loss(
      logits=found['heatmaps'],
      offsets=found['offsets'],
      targets=targets.make_targets(
        points[:, 0], height, width, task.crop.radius, others=points[:, 1:]
      ),
      intermediate_logits=found['intermediate'],
    )
    return tf.add_n(list(parts.values()))

  crop = tf.constant(pixels, tf.uint8)
  infer = tf.function(lambda: inference.joints_in_crops(model, crop)[0])
  return {
    'training': _step(model, optimizer, loss),
    'inference': infer,
  }, model


NETS = {'detection': detection, 'deeplab': deeplab, 'pose': pose}


def make_side(sides, net, side):
  """Returns the questions that a net answers, see turns.players."""
  sides.enter(side)
  graphs, model = NETS[net]()

  def waited(graph):
    graph().numpy()

  return {
    **{q: functools.partial(waited, graphs[q]) for q in QUESTIONS},
    'parameters': lambda: int(sum(np.prod(v.shape) for v in model.variables)),
    'peak_mb': lambda: round(turns.peak_mb()),
  }


def measure(sides, net, count) -> dict:
  """Seconds and memory of one net; inference first, whose peak is smaller."""
  out = {}
  names = [side for side in sides.names if side != 'off']
  with turns.players(functools.partial(make_side, sides, net), names) as ask:
    out['parameters'] = ask('ours', 'parameters').value
    for question in reversed(QUESTIONS):
      found = turns.play(ask, [(side, question) for side in names], count)
      for side in names:
        took = found[side, question]
        out[question, side] = {
          'seconds': round(turns.seconds(took), 2),
          'cpu_seconds': round(turns.cpu_seconds(took), 2),
          'peak_mb': ask(side, 'peak_mb').value,
        }
      if sides.base:
        both = found['ours', question], found['base', question]
        out[question, 'ours'] |= {
          'ratio': round(1 / turns.times_faster(*both), 3),
          'cpu_ratio': round(1 / turns.times_faster(*both, 'cpu_seconds'), 3),
        }
  return {'/'.join(k) if isinstance(k, tuple) else k: v for k, v in out.items()}


def main():
  """Prints the JSON line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--nets', nargs='+', choices=NETS, default=list(NETS))
  parser.add_argument('--turns', type=int, default=2, help='Turns measured.')
  versus.add_flags(parser)
  options = parser.parse_args()
  if options.turns < 1:
    parser.error(f'--turns must be at least 1, got {options.turns}')
  machine.prepare()
  sides = versus.from_flags(options)
  out = {'benchmark': 'full_nets', 'base_onednn': sides.base_onednn}
  for net in options.nets:
    out[net] = measure(sides, net, options.turns)
  machine.print_line(out)


if __name__ == '__main__':
  main()
