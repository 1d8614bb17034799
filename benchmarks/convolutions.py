"""The forms of a convolution, layer by layer, with oneDNN and without.

  python -m benchmarks.convolutions [--turns=5] [--layers NAME ...]

Layers of the presets' networks, a forward pass and a forward pass with both
gradients, float32: `direct` is tf.nn.convolution, `chosen` what
modeling.convolution takes for the sizes (named in `form`). Both sides are in
one process and take turns; a process for each setting of oneDNN. CPU seconds,
as maps are small: the time of all threads. `goal`: no chosen form takes more
than 1.1 of the direct one's time in training, and 1x1 convolutions over at most
4 x 4 pixels without oneDNN at most .5.
"""

import argparse
import functools
import math
from typing import NamedTuple

from benchmarks import machine, turns, versus


class Layer(NamedTuple):
  """A convolution: images, side, kernel, channels, filters, stride, rate."""

  batch: int
  side: int
  size: int
  channels: int
  filters: int
  stride: int = 1
  rate: int = 1


LAYERS = {
  # mini_jft: ResNet-14 at half width, 64 px.
  'mini_jft/conv5/shortcut': Layer(64, 2, 1, 512, 1024),
  'mini_jft/conv5/conv2': Layer(64, 2, 3, 256, 256),
  'mini_jft/conv4/shortcut': Layer(64, 4, 1, 256, 512),
  'mini_jft/conv4/conv2': Layer(64, 4, 3, 128, 128, stride=2),
  'mini_jft/conv1': Layer(64, 64, 7, 3, 32, stride=2),
  # mini_coco: crops, and the RPN.
  'mini_coco/conv5/conv2': Layer(256, 4, 3, 256, 256),
  'mini_coco/rpn': Layer(4, 10, 3, 512, 512),
  # mini_voc and mini_person: output stride 8.
  'mini_voc/conv5/conv2': Layer(16, 13, 3, 256, 256, rate=4),
  'mini_voc/conv4/conv2': Layer(16, 13, 3, 128, 128, rate=2),
  # ResNet-50, 224 px.
  'resnet50/conv5/conv3': Layer(16, 7, 1, 512, 2048),
  'resnet50/conv5/conv2': Layer(16, 7, 3, 512, 512),
  'resnet50/conv4/conv2': Layer(16, 14, 3, 256, 256),
  'resnet50/conv4/conv3': Layer(16, 14, 1, 256, 1024),
  'resnet50/conv3/conv2': Layer(16, 28, 3, 128, 128),
  'resnet50/conv2/conv2': Layer(16, 56, 3, 64, 64),
  # The transfer nets, one picture.
  'coco/conv4/conv2': Layer(1, 48, 3, 256, 256),
  'coco/rpn': Layer(1, 48, 3, 1024, 512),
  'voc2012/conv4/conv2': Layer(1, 65, 3, 256, 256, rate=2),
  'voc2012/conv5/conv2': Layer(1, 65, 3, 512, 512, rate=4),
}
QUESTIONS = ('forward', 'training')


def _tensors(layer):
  import tensorflow as tf

  fan = layer.size**2 * layer.channels
  inputs = [layer.batch, layer.side, layer.side, layer.channels]
  kernel = [layer.size, layer.size, layer.channels, layer.filters]
  return tf.random.normal(inputs), tf.random.normal(kernel) / math.sqrt(fan)


def _direct(inputs, kernel, layer):
  import tensorflow as tf

  return tf.nn.convolution(
    inputs,
    kernel,
    strides=layer.stride,
    padding='SAME',
    dilations=layer.rate if layer.rate > 1 else None,
  )


def _chosen(inputs, kernel, layer):
  from official_repro.modeling import convolution

  return convolution.conv2d(inputs, kernel, layer.stride, layer.rate)


def _graphs(convolution, layer):
  """{question: function of no arguments} of one form, and the form's name."""
  import tensorflow as tf

  inputs, kernel = _tensors(layer)

  @tf.function
  def forward(x, k):
    return convolution(x, k, layer)

  @tf.function
  def training(x, k):
    with tf.GradientTape() as tape:
      tape.watch([x, k])
      outputs = convolution(x, k, layer)
    # An image needs no gradient.
    wanted = [x, k] if layer.channels > 3 else [k]
    return tape.gradient(outputs, wanted, outputs)

  operations = forward.get_concrete_function(inputs, kernel).graph
  kinds = {op.type for op in operations.get_operations()}
  form = 'winograd' if 'BatchMatMulV2' in kinds else 'product'
  form = 'direct' if 'Conv2D' in kinds else form
  waited = lambda graph: tf.nest.map_structure(
    lambda y: y.numpy().shape, graph(inputs, kernel)
  )
  return {
    'forward': functools.partial(waited, forward),
    'training': functools.partial(waited, training),
  }, form


def make_side(names, sides, side):
  """Returns the questions that a setting answers, see turns.players."""
  sides.enter(side)
  answers = {}
  for name in names:
    for key, form in (('direct', _direct), ('chosen', _chosen)):
      graphs, taken = _graphs(form, LAYERS[name])
      for question, graph in graphs.items():
        answers[name, key, question] = graph
    answers[name, 'form'] = lambda taken=taken: taken
  return answers


def measure(names, count) -> dict:
  """{setting: {layer: form, milliseconds, ratios}}."""
  out = {}
  for setting, side in (('onednn_on', 'ours'), ('onednn_off', 'off')):
    make = functools.partial(make_side, names, versus.Sides(None, 'default'))
    with turns.players(make, [side]) as ask:
      keys = [
        (side, (name, key, question))
        for name in names
        for question in QUESTIONS
        for key in ('direct', 'chosen')
      ]
      found = turns.play(ask, keys, count, warm=2)
      out[setting] = {
        name: {
          'form': ask(side, (name, 'form')).value,
          **_of_layer({q: found[side, q] for _, q in keys if q[0] == name}),
        }
        for name in names
      }
  return out


def _of_layer(found):
  out = {}
  for question in QUESTIONS:
    direct, chosen = (
      next(a for k, a in found.items() if k[1:] == (key, question))
      for key in ('direct', 'chosen')
    )
    faster = turns.times_faster(chosen, direct, 'cpu_seconds')
    out[question] = {
      'direct_ms': round(turns.cpu_seconds(direct) * 1e3, 2),
      'chosen_ms': round(turns.cpu_seconds(chosen) * 1e3, 2),
      'ratio': round(1 / faster, 3),
    }
  return out


def met(found) -> bool:
  """Whether the goal of the module's text is reached."""
  ratios = {
    (setting, name): layer['training']['ratio']
    for setting, layers in found.items()
    for name, layer in layers.items()
  }
  small = [
    ratio
    for (setting, name), ratio in ratios.items()
    if setting == 'onednn_off'
    and LAYERS[name].size == 1
    and LAYERS[name].side <= 4
  ]
  return max(ratios.values()) <= 1.1 and max(small, default=0) <= 0.5


def main():
  """Prints the JSON line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--turns', type=int, default=5, help='Turns measured.')
  parser.add_argument('--layers', nargs='+', choices=LAYERS, default=[*LAYERS])
  options = parser.parse_args()
  if options.turns < 1:
    parser.error(f'--turns must be at least 1, got {options.turns}')
  machine.prepare()
  found = measure(options.layers, options.turns)
  machine.print_line(
    {
      'benchmark': 'convolutions',
      'turns': options.turns,
      **found,
      'goal': 'training <= 1.1 everywhere; small 1x1 without oneDNN <= 0.5',
      'met': met(found),
    }
  )


if __name__ == '__main__':
  main()
