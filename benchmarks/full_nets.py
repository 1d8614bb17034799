"""The paper's three transfer nets at full size: one step, one inference.

  python -m benchmarks.full_nets [--nets detection deeplab pose] [--turns=2]

ResNet-101 with the presets' values, batch 1, float32, random weights: Faster
R-CNN C4 at 600x1024 (coco_resnet101; as benchmarks.detection_step builds it),
DeepLab-ASPP-L at 513x513 (voc2012_resnet101) and the pose net at 353x257
(coco_resnet101, the head in the middle and the targets included; inference
with the decoder). Each net in a process of its own; prints seconds, seconds of
all threads, and the process' peak memory. There is no peer.
"""

import argparse
import functools
import json
import os
import platform

import numpy as np

from benchmarks import turns

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


def make_side(net):
  """Returns the questions that a net answers, see turns.players."""
  graphs, model = NETS[net]()

  def waited(graph):
    graph().numpy()

  return {
    **{q: functools.partial(waited, graphs[q]) for q in QUESTIONS},
    'parameters': lambda: int(sum(np.prod(v.shape) for v in model.variables)),
    'peak_mb': lambda: round(turns.peak_mb()),
  }


def measure(net, count) -> dict:
  """Seconds and memory of one net; inference first, whose peak is smaller."""
  out = {}
  with turns.players(make_side, [net]) as ask:
    out['parameters'] = ask(net, 'parameters').value
    for question in reversed(QUESTIONS):
      found = turns.play(ask, [(net, question)], count)[net, question]
      out[question] = {
        'seconds': round(turns.seconds(found), 2),
        'cpu_seconds': round(turns.cpu_seconds(found), 2),
        'peak_mb': ask(net, 'peak_mb').value,
      }
  return out


def main():
  """Prints the JSON line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--nets', nargs='+', choices=NETS, default=list(NETS))
  parser.add_argument('--turns', type=int, default=2, help='Turns measured.')
  options = parser.parse_args()
  if options.turns < 1:
    parser.error(f'--turns must be at least 1, got {options.turns}')
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  out = {'benchmark': 'full_nets'}
  for net in options.nets:
    out[net] = measure(net, options.turns)
  out |= {'python': platform.python_version(), 'cpus': os.cpu_count()}
  print(json.dumps(out))


if __name__ == '__main__':
  main()
