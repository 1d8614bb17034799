"""The formulas against the network that TensorFlow builds."""

import dataclasses
import math

import pytest
import tensorflow as tf

from official_repro.modeling import classifier, convolution
from official_repro.planning import layout

CLASSES, SHARDS, SIDE = 23, 5, 64
SMALL = {'depth': 14, 'width': 0.5}
PLACEMENTS = ('slim', 'v1', 'v1.5')
pytestmark = pytest.mark.usefixtures('no_random_kernels')


@pytest.fixture(autouse=True)
def direct_convolutions(monkeypatch):
  """The formulas are of a GPU, which gets no other form of a convolution."""
  monkeypatch.setattr(convolution, '_on_cpu', lambda inputs: False)


def on_paper(side=SIDE, **options):
  return layout.make_network(
    classes=CLASSES, shards=SHARDS, side=side, **options
  )


def build(**options):
  """Returns the network, and its weights in the order of their making."""
  made = []

  def creator(make, **arguments):
    made.append(make(**arguments))
    return made[-1]

  with tf.variable_creator_scope(creator):
    model = classifier.Classifier(CLASSES, SHARDS, **options)
  # Keras counts steps in int64 scalars.
  return model, [v for v in made if v.dtype == tf.float32]


@dataclasses.dataclass
class Traced:
  """What the graph of one training step on one picture has.

  Attributes:
    backward: FLOPs of convolutions and products in the backward pass.
    kept: float values of the forward pass that the backward pass reads.
  """

  backward: int
  kept: int


def forward_flops(model, side):
  images = tf.zeros([1, side, side, 3])
  graph = tf.function(
    lambda x: model(x)['logits'], autograph=False
  ).get_concrete_function(images)
  options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
  options['output'] = 'none'
  return tf.compat.v1.profiler.profile(
    graph.graph, options=options
  ).total_float_ops


def trace(model, side=SIDE):
  out = Traced(0, 0)

  @tf.function(autograph=False)
  def step(images):
    graph = tf.compat.v1.get_default_graph()
    loss = tf.reduce_sum(model(images, training=True)['logits'])
    forward = set(graph.get_operations())
    gradients = tf.gradients(loss, model.trainable_variables)
    kept = {}
    # What nothing leads to is in the graph, but never runs.
    for op in _leading_to(gradients) - forward:
      out.backward += _product_flops(op)
      for tensor in op.inputs:
        if tensor.op in forward and _is_activation(tensor):
          kept[tensor.name] = tensor.shape.num_elements()
    out.kept = sum(kept.values())

  step.get_concrete_function(tf.zeros([1, side, side, 3]))
  return out


def _is_activation(tensor):
  """Of the one picture; neither weights nor statistics nor shapes."""
  return (
    tensor.dtype == tf.float32
    and tensor.shape.rank in (2, 4)
    and tensor.shape[0] == 1
    and tensor.op.type != 'ReadVariableOp'
  )


def _leading_to(tensors):
  found, todo = set(), [t.op for t in tensors]
  while todo:
    op = todo.pop()
    if op not in found:
      found.add(op)
      todo += [t.op for t in op.inputs]
  return found


def _product_flops(op):
  """By shapes; tf.profiler's own count takes padding for picture."""
  if op.type == 'Conv2DBackpropInput':
    kernel, gradient = op.inputs[1].shape, op.inputs[2].shape
  elif op.type == 'Conv2DBackpropFilter':
    kernel, gradient = op.outputs[0].shape, op.inputs[2].shape
  elif op.type == 'MatMul':
    inner = op.inputs[0].shape[0 if op.get_attr('transpose_a') else 1]
    return 2 * inner * op.outputs[0].shape.num_elements()
  else:
    return 0
  return 2 * math.prod(kernel[:3]) * gradient.num_elements()


@pytest.mark.parametrize(
  'options',
  [
    *({**SMALL, 'stride_placement': p} for p in PLACEMENTS),
    {**SMALL, 'freeze': 'conv1'},
    {**SMALL, 'freeze': 'conv3'},
    {**SMALL, 'freeze': 'conv5'},
    {'depth': 50, 'stride_placement': 'slim'},
  ],
  ids=str,
)
def test_as_the_built_network(options):
  network = on_paper(**options)
  model, made = build(**options)
  assert [(v.name, v.shape) for v in network.variables()] == [
    (v.name.split(':')[0], tuple(v.shape)) for v in made
  ]
  trained = {v.name.split(':')[0] for v in model.trainable_variables}
  assert {v.name for v in network.variables() if v.trained} == trained
  assert sum(v.bytes for v in network.variables()) == sum(
    v.numpy().nbytes for v in made
  )
  # The profiler also counts batch norm's, ReLU's and pooling's work; frozen
  # batch norm is a product with the kernel, which weighs more at one picture.
  counted = forward_flops(model, SIDE)
  assert network.forward_flops() <= counted
  if 'freeze' not in options:
    assert counted == pytest.approx(network.forward_flops(), rel=0.01)
  traced = trace(model)
  assert network.backward_flops() == traced.backward
  # The logits wait for the loss's gradient, which a sum does not need.
  logits = CLASSES
  assert network.kept_values() == traced.kept + logits


@pytest.mark.parametrize('placement', PLACEMENTS)
def test_odd_sides_and_depth_26(placement, side=75):
  options = {'depth': 26, 'width': 0.25, 'stride_placement': placement}
  network = on_paper(side, **options)
  model, _ = build(**options)
  assert forward_flops(model, side) == pytest.approx(
    network.forward_flops(), rel=0.02
  )


def test_the_backward_pass_is_twice_the_forward_one():
  network = on_paper(299, depth=101)
  assert network.backward_flops() == pytest.approx(
    2 * network.forward_flops(), rel=0.02
  )
  # All but the gradient of the pictures: 2 x 7^2 x 3 x 64 x 150^2.
  missing = 2 * network.forward_flops() - network.backward_flops()
  assert missing == 2 * 49 * 3 * 64 * 150**2


def test_known_counts():
  # He et al. 2015, table 1: 3.8, 7.6 and 11.3 billion products at 224 px with
  # 1000 labels and the stride on the first 1x1.
  for depth, products in ((50, 3.8e9), (101, 7.6e9), (152, 11.3e9)):
    network = layout.make_network(
      depth=depth, classes=1000, shards=1, side=224, stride_placement='v1'
    )
    assert network.forward_flops() == pytest.approx(2 * products, rel=0.04)


def test_the_papers_network():
  network = layout.make_network(
    depth=101, classes=18_291, shards=50, side=299, stride_placement='slim'
  )
  # 50 parts of 2048 x 366 and 366.
  assert sum(v.size for v in network.head_variables()) == 50 * 366 * 2049
  assert network.head_flops() == 2 * 2048 * 50 * 366
  # 299 px are 150 after conv1, 75 after the pooling; the last of the 3, 4 and
  # 23 units of conv2, conv3 and conv4 halves.
  assert (network.root.side, network.pooled_side) == (150, 75)
  sides = [u.conv3.side for u in network.units]
  assert sides == [75] * 2 + [38] * 4 + [19] * 23 + [10] * 4


def test_frozen_parts_need_no_gradient():
  head_only = on_paper(**SMALL, freeze='conv5')
  assert head_only.backward_flops() == head_only.head_flops()
  assert sum(v.trained for v in head_only.variables()) == 2 * SHARDS


@pytest.mark.parametrize(
  'options, words',
  [
    ({'depth': 34}, 'depth is 34; use one of 14, 26'),
    ({'stride_placement': 'x'}, "stride_placement is 'x'; use one of slim"),
    ({'freeze': 'fc'}, "freeze is 'fc'"),
    ({'width': 0.001}, 'width is 0.001'),
    ({'side': 0}, 'The crop is 0 pixels'),
  ],
)
def test_bad_input(options, words):
  with pytest.raises(ValueError, match=words):
    on_paper(**{'depth': 14, **options})


def test_classes_out_of_range():
  with pytest.raises(ValueError, match='units is 0'):
    layout.make_network(depth=14, classes=0, shards=1, side=64)
  # As in ClassificationTask, never more parts than labels.
  small = layout.make_network(depth=14, classes=3, shards=50, side=64)
  assert small.shards == 3
