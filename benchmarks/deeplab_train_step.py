"""A step of DeepLab training at output stride 8, beside Model Garden's.

  python -m benchmarks.deeplab_train_step [--turns=5] [--batch=2]

ResNet-50, 321x321 pixels, 21 classes, the loss at the logits' size (41x41
cells), L2 on all kernels, SGD with momentum, frozen statistics of batch norm,
float32. The sides take turns, see benchmarks.turns.

  ours   our network with ASPP-L; the trunk's strides are v1.5's, which are
         those of DilatedResNet up to conv3.
  slim   the same with the paper's stride placement, what the presets use: it
         has stride 8 after conv2, so that conv3 is as large as conv2 there.
  peer   official.vision's SegmentationModel: its DilatedResNet, and its
         DeepLab head, that is its ASPP decoder (rates 12, 24, 36, image
         pooling, 256 filters) and SegmentationHead without further layers, as
         in its DeepLab v3 presets; its SegmentationLoss. oneDNN as TensorFlow
         chooses, or by --peer_onednn, see benchmarks.peer.

The networks differ after the trunk: that is what both call a DeepLab head.
"""

import argparse
import functools

import numpy as np

from benchmarks import machine, turns
from benchmarks import peer as peer_lib
from official_repro.util import onednn

SIDE, CELLS, CLASSES, DEPTH = 321, 41, 21, 50
WEIGHT_DECAY = 5e-4
SGD = {'learning_rate': 1e-5, 'momentum': 0.9}
SIDES = {'ours': 'v1.5', 'slim': 'slim', 'peer': None}
GOAL = 1.1
_LEVEL = 3  # output stride 8


def make_inputs(batch):
  """Returns images [B, S, S, 3] in [-1, 1] and masks uint8 [B, S, S]."""
  rng = np.random.default_rng(0)
  images = rng.uniform(-1, 1, (batch, SIDE, SIDE, 3)).astype(np.float32)
  masks = rng.choice(np.uint8([*range(CLASSES), 255]), (batch, SIDE, SIDE))
  return images, masks


def ours(placement, tf):
  """Returns our network and its loss: (images, masks) -> scalar."""
  from deeplab import losses
  from deeplab import model as model_lib

  model = model_lib.DeepLab(
    CLASSES,
    depth=DEPTH,
    stride_placement=placement,
    weight_decay=WEIGHT_DECAY,
  )

  def loss(images, masks):
    logits = model(images, training=True)
    assert logits.shape[1:] == (CELLS, CELLS, CLASSES)
    own = losses.segmentation_loss(logits=logits, labels=masks)
    return own + tf.add_n(model.losses)

  return model, loss


def peer(tf):
  """As `ours`, of Model Garden."""
  from official.vision.losses import segmentation_losses
  from official.vision.modeling import segmentation_model
  from official.vision.modeling.backbones import resnet_deeplab
  from official.vision.modeling.decoders import aspp
  from official.vision.modeling.heads import segmentation_heads

  common = {
    'kernel_regularizer': tf.keras.regularizers.l2(WEIGHT_DECAY / 2),
  }
  model = segmentation_model.SegmentationModel(
    backbone=resnet_deeplab.DilatedResNet(
      DEPTH,
      output_stride=2**_LEVEL,
      input_specs=tf.keras.layers.InputSpec(shape=[None, SIDE, SIDE, 3]),
      **common,
    ),
    decoder=aspp.ASPP(_LEVEL, [12, 24, 36], **common),
    head=segmentation_heads.SegmentationHead(
      CLASSES, level=_LEVEL, num_convs=0, **common
    ),
  )
  own = segmentation_losses.SegmentationLoss(
    label_smoothing=0.0,
    class_weights=[],
    ignore_label=255,
    use_groundtruth_dimension=False,
  )

  def loss(images, masks):
    # Frozen statistics: its SegmentationModel takes no argument for it.
    logits = model(images, training=False)['logits']
    assert logits.shape[1:] == (CELLS, CELLS, CLASSES)
    return own(logits, masks[..., None]) + tf.add_n(model.losses)

  return model, loss


def make_side(batch, peer_onednn, side):
  """Returns the questions that a side answers, see turns.players."""
  if side == 'peer':
    peer_lib.enter(peer_onednn)
  import tensorflow as tf

  images, masks = (tf.constant(x) for x in make_inputs(batch))
  placement = SIDES[side]
  model, loss = ours(placement, tf) if placement else peer(tf)
  optimizer = tf.keras.optimizers.legacy.SGD(**SGD)

  @tf.function
  def step():
    with tf.GradientTape() as tape:
      value = loss(images, masks)
    variables = model.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(value, variables), variables))
    return value

  def waited():
    step().numpy()

  return {
    'step': waited,
    'facts': lambda: {
      'parameters': int(sum(np.prod(v.shape) for v in model.variables)),
      'peak_mb': round(turns.peak_mb()),
      'onednn': onednn.enabled(),
    },
  }


def summary(found, facts):
  """Medians and ratios, ready for JSON."""
  out = {}
  theirs = found['peer', 'step']
  for side in SIDES:
    mine = found[side, 'step']
    faster = turns.times_faster(mine, theirs)
    less_cpu = turns.times_faster(mine, theirs, 'cpu_seconds')
    out[side] = {
      'seconds': round(turns.seconds(mine), 3),
      'cpu_seconds': round(turns.cpu_seconds(mine), 3),
      'times_faster_than_peer': round(faster, 3),
      'times_less_cpu_than_peer': round(less_cpu, 3),
      **facts[side],
    }
  return out


def main():
  """Prints the JSON line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--turns', type=int, default=5, help='Turns measured.')
  parser.add_argument('--batch', type=int, default=2, help='Pictures a step.')
  peer_lib.add_flag(parser)
  options = parser.parse_args()
  for name in ('turns', 'batch'):
    if getattr(options, name) < 1:
      value = getattr(options, name)
      parser.error(f'--{name} must be at least 1, got {value}')
  peer_onednn = peer_lib.from_flags(options)
  machine.prepare()
  make = functools.partial(make_side, options.batch, peer_onednn)
  with turns.players(make, SIDES) as ask:
    found = turns.play(ask, [(side, 'step') for side in SIDES], options.turns)
    facts = {side: ask(side, 'facts').value for side in SIDES}
  out = summary(found, facts)
  machine.print_line(
    {
      'benchmark': 'deeplab_train_step',
      'depth': DEPTH,
      'side': SIDE,
      'batch': options.batch,
      'turns': options.turns,
      'peer_onednn': peer_onednn,
      **out,
      'goal': f'ours.times_faster_than_peer >= {GOAL}',
      'met': out['ours']['times_faster_than_peer'] >= GOAL,
    }
  )


if __name__ == '__main__':
  main()
