"""One training step of the pre-training network, beside Model Garden's.

  python -m benchmarks.train_step [--steps=9] [--profile]
      [--base=CHECKOUT] [--base_onednn=off]

ResNet-50, 224 px, batch 16, 18,291 labels, weight decay, RMSProp with momentum,
float32. The sides, each in a process of its own, take turns step by step;
medians, and the median of the ratios within a turn. CPU seconds (of all
threads) beside the wall clock tell a busy machine from a slow step.

  ours   our network with stride placement v1.5, which is Model Garden's
         network: the same products. 64 label ids an image go to the device.
  slim   the same with the paper's stride placement, which has fewer products.
  base   `ours` in another checkout (--base), see versus.
  peer   official.vision's ClassificationModel on its ResNet-50 backbone, dense
         [B, C] targets from the host, sigmoid cross-entropy, Keras' RMSprop;
         oneDNN as TensorFlow chooses, or --base_onednn.

`share_of_matmul_rate` is the rate of the step's products (3 times those of the
forward pass; first layer and head included) over the rate of one large
float32 product, measured in turn with the steps, and `share_per_cpu_second` the
same with CPU time in both. `--profile` adds where the step's time goes by kind
of operation (thread-milliseconds, which overlap).
Peak memory is that of the whole process, TensorFlow and inputs included.

Where a step of `ours` goes (2 cores, other programs running): convolutions 79%
of the thread time, of which the filter gradients take about twice as long as
the forward pass for the same products; batch norm 10%, RMSProp 3%, ReLU
gradients 3%, the head's products 2%, weight decay and sums 3%. The step runs at
.78 of the matmul rate. The peer spends more on Keras' RMSprop, separate
elementwise operations over 61M weights where the legacy one has a fused kernel.
Tried and slower: slicing before strided 1x1 convolutions, space-to-depth before
the first one, one product on the joined kernels of the head.
"""

import argparse
import collections
import contextlib
import functools
import glob
import tempfile
from unittest import mock

import numpy as np

from benchmarks import machine, turns, versus

DEPTH, SIZE, BATCH, CLASSES, LABELS, SLOTS = 50, 224, 16, 18291, 8, 64
WEIGHT_DECAY = 1e-4
RMSPROP = {
  'learning_rate': 1e-5,
  'rho': 0.9,
  'momentum': 0.9,
  'epsilon': 1.0,
}
SIDES = {'ours': 'v1.5', 'slim': 'slim', 'base': 'v1.5', 'peer': None}
MATMUL_SIDE = 2048


def make_inputs():
  """Returns uint8 images, label ids padded with -1, and dense targets."""
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (BATCH, SIZE, SIZE, 3), np.uint8)
  ids = np.full((BATCH, SLOTS), -1, np.int32)
  ids[:, :LABELS] = rng.integers(0, CLASSES, (BATCH, LABELS))
  dense = np.zeros((BATCH, CLASSES), np.float32)
  np.put_along_axis(dense, ids[:, :LABELS].astype(np.int64), 1, axis=1)
  return images, ids, dense


def ours(placement):
  """Returns model, optimizer and loss(model outputs, label ids)."""
  from official_repro import losses
  from official_repro.core import optimizers
  from official_repro.modeling import classifier

  model = classifier.Classifier(
    CLASSES,
    num_shards=50,
    depth=DEPTH,
    stride_placement=placement,
    weight_decay=WEIGHT_DECAY,
  )

  def loss(outputs, labels):
    return losses.per_label_logistic_loss(
      logits=outputs['logits'], label_ids=labels
    )

  return model, optimizers.TF1RMSprop(**RMSPROP), loss


def peer():
  """The same of Model Garden; the labels are dense."""
  import tensorflow as tf
  from official.vision.modeling import backbones, classification_model

  decay = tf.keras.regularizers.l2(WEIGHT_DECAY / 2)
  specs = tf.keras.layers.InputSpec(shape=[None, SIZE, SIZE, 3])
  batch_norm = {'norm_momentum': 0.997, 'norm_epsilon': 1e-5}
  model = classification_model.ClassificationModel(
    backbones.ResNet(
      DEPTH, input_specs=specs, kernel_regularizer=decay, **batch_norm
    ),
    CLASSES,
    input_specs=specs,
    kernel_regularizer=decay,
  )

  def loss(logits, labels):
    terms = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
    return tf.reduce_mean(tf.reduce_sum(terms, axis=1))

  return model, tf.keras.optimizers.RMSprop(**RMSPROP), loss


def make_step(model, optimizer, loss):
  """Returns the compiled training step of (uint8 images, labels)."""
  import tensorflow as tf

  @tf.function
  def step(images, labels):
    with tf.GradientTape() as tape:
      outputs = model(tf.cast(images, tf.float32) / 127.5 - 1, training=True)
      total = loss(outputs, labels) + tf.add_n(model.losses)
    variables = model.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(total, variables), variables))
    return total

  return step


def forward_products(model):
  """Multiply-adds of one image's forward pass, counted in the graph.

  Those of the direct convolutions: what other forms of them save is a gain.
  """
  import tensorflow as tf

  spec = tf.TensorSpec([1, SIZE, SIZE, 3])
  with _direct_convolutions():
    graph = tf.function(model).get_concrete_function(spec).graph
  total = 0
  for op in graph.get_operations():
    if op.type in ('Conv2D', 'MatMul'):
      out = op.outputs[0].shape.as_list()
      kernel = op.inputs[1].shape.as_list()
      total += int(np.prod(out[1:-1], dtype=np.int64) * np.prod(kernel))
  return total


def _direct_convolutions():
  try:
    from official_repro.modeling import convolution
  except ImportError:  # a checkout without other forms
    return contextlib.nullcontext()
  return mock.patch.object(convolution, '_on_cpu', lambda inputs: False)


def make_side(sides, side):
  """Returns the questions that a side answers, see turns.players."""
  sides.enter(side)
  import tensorflow as tf

  placement = SIDES[side]
  model, optimizer, loss = ours(placement) if placement else peer()
  images, ids, dense = make_inputs()
  labels = ids if placement else dense
  step = make_step(model, optimizer, loss)
  square = tf.random.normal([MATMUL_SIDE, MATMUL_SIDE])
  product = tf.function(tf.matmul)

  def waited(function, *arguments):
    function(*arguments).numpy()

  return {
    'step': lambda: waited(step, images, labels),
    'matmul': lambda: waited(product, square, square),
    'profile': lambda: profile(lambda: waited(step, images, labels)),
    'facts': lambda: {
      'label_bytes': labels.nbytes,
      'parameters': int(sum(np.prod(v.shape) for v in model.variables)),
      'peak_mb': turns.peak_mb(),
      'products': forward_products(model),
    },
  }


def profile(call):
  """Returns {kind of operation: thread-milliseconds} of one call."""
  import tensorflow as tf
  from tensorflow.tsl.profiler.protobuf import xplane_pb2

  with tempfile.TemporaryDirectory() as folder:
    with tf.profiler.experimental.Profile(folder):
      call()
    (path,) = glob.glob(f'{folder}/plugins/profile/*/*.xplane.pb')
    space = xplane_pb2.XSpace()
    with open(path, 'rb') as f:
      space.ParseFromString(f.read())
  total = collections.Counter()
  for plane in space.planes:
    if not plane.name.startswith('/host:CPU'):
      continue
    for line in plane.lines:
      for event in line.events:
        name = plane.event_metadata[event.metadata_id].name
        if ':' in name and not name.startswith('$'):
          total[name.split(':')[-1]] += event.duration_ps / 1e9
  return {
    kind: round(ms, 1)
    for kind, ms in total.most_common(20)
    if kind not in ('Process', 'Run') and '__inference' not in kind
  }


def measure(sides, steps, with_profile):
  """Returns the turns' answers and {side: facts}."""
  names = [side for side in SIDES if side != 'base' or sides.base]
  with turns.players(functools.partial(make_side, sides), names) as ask:
    asked = [*((side, 'step') for side in names), ('ours', 'matmul')]
    found = turns.play(ask, asked, steps, warm=3)
    facts = {side: ask(side, 'facts').value for side in names}
    if with_profile:
      for side in names:
        facts[side]['profile_ms'] = ask(side, 'profile').value
  return found, facts


def summary(found, facts):
  """Medians and ratios, ready for JSON."""
  matmul = 2 * MATMUL_SIDE**3
  rate = matmul / turns.seconds(found['ours', 'matmul'])
  cpu_rate = matmul / turns.cpu_seconds(found['ours', 'matmul'])
  out = {}
  for side in facts:
    took, facts_of = found[side, 'step'], facts[side]
    seconds, cpu = turns.seconds(took), turns.cpu_seconds(took)
    flops = 3 * 2 * facts_of['products'] * BATCH
    ratios = {}
    for other in ('peer', *(['base'] if 'base' in facts else [])):
      theirs = found[other, 'step']
      faster = turns.times_faster(took, theirs)
      less_cpu = turns.times_faster(took, theirs, 'cpu_seconds')
      ratios[f'times_faster_than_{other}'] = round(faster, 3)
      ratios[f'times_less_cpu_than_{other}'] = round(less_cpu, 3)
    out[side] = {
      'seconds': round(seconds, 3),
      'seconds_min': round(min(a.seconds for a in took), 3),
      'cpu_seconds': round(cpu, 3),
      'images_per_second': round(BATCH / seconds, 2),
      **ratios,
      'forward_gmac': round(facts_of['products'] / 1e9, 3),
      'share_of_matmul_rate': round(flops / seconds / rate, 3),
      'share_per_cpu_second': round(flops / cpu / cpu_rate, 3),
      'parameters': facts_of['parameters'],
      'label_bytes': facts_of['label_bytes'],
      'peak_mb': round(facts_of['peak_mb']),
    }
    if 'profile_ms' in facts_of:
      out[side]['profile_ms'] = facts_of['profile_ms']
  return {'matmul_gflops': round(rate / 1e9, 1), **out}


def main():
  """Prints the JSON line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--steps', type=int, default=9, help='Turns measured.')
  parser.add_argument('--profile', action='store_true')
  versus.add_flags(parser)
  options = parser.parse_args()
  if options.steps < 1:
    parser.error(f'--steps must be at least 1, got {options.steps}')
  machine.prepare()
  sides = versus.from_flags(options)
  out = summary(*measure(sides, options.steps, options.profile))
  machine.print_line(
    {
      'benchmark': 'train_step',
      'depth': DEPTH,
      'size': SIZE,
      'batch': BATCH,
      'labels': CLASSES,
      'turns': options.steps,
      'base_onednn': sides.base_onednn,
      **out,
      'goal': 'ours.times_faster_than_peer >= 1',
      'met': out['ours']['times_faster_than_peer'] >= 1,
    }
  )


if __name__ == '__main__':
  main()
