"""A ResNet-50 "C4" detector at 600x800, beside Model Garden's.

  python -m benchmarks.detection_step [--turns=3] [--skip=inference]
  python -m benchmarks.detection_step --depth=101 --width=1024 --sides=slim

The second line is the paper's main run, coco_resnet101, at its largest picture.

One picture with 8 objects, 80 classes, 300 proposals, 256 of them for the
classifier (no more than that in a training step), SGD with momentum, clipped,
frozen batch norm, float32. The sides take turns, see benchmarks.turns.

  ours   our detector with stride placement v1.5, Model Garden's trunk.
  slim   the same with the paper's stride placement, what the presets use.
  peer   official.vision's MaskRCNNModel without masks as C4: its ResNet-50 up
         to level 4, no decoder, its RPN head, ROI generator, sampler, aligner
         and detection generator on that level, its losses; the detection head
         is three of its bottleneck blocks on 7x7 crops, as there is no conv5
         head in the package. Its RPN targets are made before the clock starts,
         ours within the step; its batch norm's gamma and beta are fixed, ours
         trained. oneDNN as TensorFlow chooses, or by --peer_onednn, see
         benchmarks.peer.
"""

import argparse
import dataclasses
import functools

import numpy as np

from benchmarks import machine, turns
from benchmarks import peer as peer_lib
from official_repro.util import onednn

CLASSES, OBJECTS, SLOTS = 80, 8, 100
PROPOSALS, SAMPLED, CROP = 300, 256, 7
SGD = {'learning_rate': 1e-5, 'momentum': 0.9, 'clipnorm': 10.0}
SIDES = {'ours': 'v1.5', 'slim': 'slim', 'peer': None}
QUESTIONS = ('training', 'inference')
GOAL = 1.2
_LEVEL = 4


@dataclasses.dataclass(frozen=True)
class Case:
  """What is measured: the trunk's depth and the picture's sides in pixels."""

  depth: int = 50
  height: int = 600
  width: int = 800

  @property
  def size(self):
    """Height and width."""
    return self.height, self.width


def make_inputs(case):
  """Returns image [1, H, W, 3] in [-1, 1], boxes and classes of the objects."""
  rng = np.random.default_rng(0)
  image = rng.uniform(-1, 1, (1, *case.size, 3)).astype(np.float32)
  low = rng.uniform(0, 0.6, (OBJECTS, 2))
  high = low + rng.uniform(0.1, 0.4, (OBJECTS, 2))
  boxes = np.concatenate([low, high], 1) * [*case.size, *case.size]
  return image, boxes.astype(np.float32), rng.integers(1, CLASSES, OBJECTS)


def ours(case, placement):
  """Returns {question: graph function} and the model's variables."""
  import tensorflow as tf

  from object_detection import model as model_lib

  image, boxes, classes = (tf.constant(x) for x in make_inputs(case))
  sizes = tf.constant([case.size])
  more = SLOTS - OBJECTS
  truth = (
    tf.pad(boxes, [[0, more], [0, 0]])[None],
    tf.pad(classes, [[0, more]])[None],
    tf.range(SLOTS)[None] < OBJECTS,
  )
  model = model_lib.FasterRCNN(
    CLASSES,
    depth=case.depth,
    stride_placement=placement,
    num_proposals=PROPOSALS,
  )
  options = model_lib.Sampling(rpn=256, classifier=SAMPLED)
  optimizer = tf.keras.optimizers.legacy.SGD(**SGD)

  @tf.function
  def training():
    with tf.GradientTape() as tape:
      parts = model.losses_for(
        image, sizes, *truth, seed=tf.constant([1, 2]), options=options
      )
      total = tf.add_n(list(parts.values()))
    variables = model.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(total, variables), variables))
    return total

  @tf.function
  def inference():
    return model.detect(image, sizes)['scores']

  return {'training': training, 'inference': inference}, model


def _peer_head(tf):
  """conv5 on crops, with Model Garden's blocks."""
  from official.vision.modeling.layers import nn_blocks

  class Head(tf.keras.layers.Layer):
    def __init__(self):
      super().__init__()
      self.blocks = [
        nn_blocks.BottleneckBlock(
          512, 1, use_projection=i == 0, bn_trainable=False
        )
        for i in range(3)
      ]
      self.classes = tf.keras.layers.Dense(CLASSES + 1)
      self.boxes = tf.keras.layers.Dense((CLASSES + 1) * 4)

    def call(self, crops, training=None):
      count = crops.shape[1]
      x = tf.reshape(crops, [-1, *crops.shape[2:]])
      for block in self.blocks:
        x = block(x, training=training)
      x = tf.reduce_mean(x, [1, 2])
      return (
        tf.reshape(self.classes(x), [-1, count, CLASSES + 1]),
        tf.reshape(self.boxes(x), [-1, count, (CLASSES + 1) * 4]),
      )

  return Head()


def peer_model(case):
  """MaskRCNNModel without masks on level 4."""
  import tensorflow as tf
  from official.vision.modeling import backbones, maskrcnn_model
  from official.vision.modeling.heads import dense_prediction_heads
  from official.vision.modeling.layers import (
    detection_generator,
    roi_aligner,
    roi_generator,
    roi_sampler,
  )

  specs = tf.keras.layers.InputSpec(shape=[1, *case.size, 3])
  trunk = backbones.ResNet(case.depth, input_specs=specs, bn_trainable=False)
  level = str(_LEVEL)
  return maskrcnn_model.MaskRCNNModel(
    backbone=tf.keras.Model(trunk.inputs, {level: trunk.output[level]}),
    decoder=None,
    rpn_head=dense_prediction_heads.RPNHead(
      _LEVEL, _LEVEL, num_anchors_per_location=12, num_filters=512
    ),
    detection_head=_peer_head(tf),
    roi_generator=roi_generator.MultilevelROIGenerator(
      num_proposals=PROPOSALS, test_num_proposals=PROPOSALS
    ),
    roi_sampler=roi_sampler.ROISampler(num_sampled_rois=SAMPLED),
    roi_aligner=roi_aligner.MultilevelROIAligner(crop_size=CROP),
    detection_generator=detection_generator.DetectionGenerator(
      nms_iou_threshold=0.6, max_num_detections=300, pre_nms_score_threshold=0.0
    ),
    min_level=_LEVEL,
    max_level=_LEVEL,
    num_scales=4,
    aspect_ratios=[0.5, 1.0, 2.0],
    anchor_size=4.0,
  )


def _peer_labels(tf, case, boxes, classes):
  """Anchors and RPN targets, as Model Garden's parser makes them."""
  from official.vision.ops import anchor

  grid = anchor.Anchor(
    min_level=_LEVEL,
    max_level=_LEVEL,
    num_scales=4,
    aspect_ratios=[0.5, 1.0, 2.0],
    anchor_size=4.0,
    image_size=case.size,
  )
  labeler = anchor.RpnAnchorLabeler(0.7, 0.3, 256, 0.5)
  scores, codes = labeler.label_anchors(
    grid.multilevel_boxes, boxes, tf.cast(classes, tf.float32)[:, None]
  )
  batched = lambda parts: {k: v[None] for k, v in parts.items()}
  return batched(grid.multilevel_boxes), {
    'rpn_score_targets': batched(scores),
    'rpn_box_targets': batched(codes),
  }


def peer(case):
  """As `ours`, of Model Garden."""
  import tensorflow as tf
  from official.vision.configs import maskrcnn as config
  from official.vision.tasks import maskrcnn as task_lib

  image, boxes, classes = (tf.constant(x) for x in make_inputs(case))
  more = SLOTS - OBJECTS
  true_boxes = tf.pad(boxes, [[0, more], [0, 0]], constant_values=-1)[None]
  true_classes = tf.pad(classes, [[0, more]], constant_values=-1)[None]
  shape = tf.constant([case.size], tf.float32)
  anchors, labels = _peer_labels(tf, case, boxes, classes)
  model = peer_model(case)
  task = task_lib.MaskRCNNTask(
    config.MaskRCNNTask(
      model=config.MaskRCNN(num_classes=CLASSES + 1, include_mask=False)
    )
  )
  optimizer = tf.keras.optimizers.SGD(**SGD)

  @tf.function
  def training():
    with tf.GradientTape() as tape:
      outputs = model(
        image, shape, anchors, true_boxes, true_classes, training=True
      )
      total = task.build_losses(outputs, labels)['total_loss']
    variables = model.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(total, variables), variables))
    return total

  @tf.function
  def inference():
    return model(image, shape, anchors, training=False)['detection_scores']

  return {'training': training, 'inference': inference}, model


def make_side(case, peer_onednn, side):
  """Returns the questions that a side answers, see turns.players."""
  if side == 'peer':
    peer_lib.enter(peer_onednn)
  placement = SIDES[side]
  graphs, model = ours(case, placement) if placement else peer(case)

  def waited(graph):
    graph().numpy()

  return {
    **{q: (lambda g=g: waited(g)) for q, g in graphs.items()},
    'facts': lambda: {
      'parameters': int(sum(np.prod(v.shape) for v in model.variables)),
      'peak_mb': round(turns.peak_mb()),
      'onednn': onednn.enabled(),
    },
  }


def summary(found, facts):
  """Medians, and ratios to the peer where it took part."""
  out = {side: dict(facts[side]) for side in facts}
  for (side, question), mine in found.items():
    out[side][question] = {
      'seconds': round(turns.seconds(mine), 3),
      'cpu_seconds': round(turns.cpu_seconds(mine), 3),
    }
    if ('peer', question) in found:
      faster = functools.partial(
        turns.times_faster, mine, found['peer', question]
      )
      out[side][question] |= {
        'times_faster_than_peer': round(faster(), 3),
        'times_less_cpu_than_peer': round(faster('cpu_seconds'), 3),
      }
  return out


def _options():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  add = parser.add_argument
  add('--turns', type=int, default=3, help='Turns measured.')
  add('--skip', choices=QUESTIONS, help='Leave this one out.')
  add('--sides', nargs='+', choices=SIDES, default=list(SIDES))
  for field in dataclasses.fields(Case):
    add(f'--{field.name}', type=int, default=field.default)
  peer_lib.add_flag(parser)
  options = parser.parse_args()
  if options.turns < 1:
    parser.error(f'--turns must be at least 1, got {options.turns}')
  return options


def main():
  """Prints the JSON line."""
  options = _options()
  peer_onednn = peer_lib.from_flags(options)
  machine.prepare()
  case = Case(options.depth, options.height, options.width)
  questions = [q for q in QUESTIONS if q != options.skip]
  make = functools.partial(make_side, case, peer_onednn)
  with turns.players(make, options.sides) as ask:
    asked = [(side, q) for q in questions for side in options.sides]
    found = turns.play(ask, asked, options.turns)
    facts = {side: ask(side, 'facts').value for side in options.sides}
  out = {
    'benchmark': 'detection_step',
    **dataclasses.asdict(case),
    'turns': options.turns,
    'peer_onednn': peer_onednn,
    **summary(found, facts),
  }
  if {'ours', 'peer'} <= set(options.sides):
    reached = [out['ours'][q]['times_faster_than_peer'] for q in questions]
    out['goal'] = f'ours.*.times_faster_than_peer >= {GOAL}'
    out['met'] = min(reached) >= GOAL
  machine.print_line(out)


if __name__ == '__main__':
  main()
