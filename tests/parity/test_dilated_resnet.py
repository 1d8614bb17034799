"""Our trunk at output stride 8 against Model Garden's DilatedResNet.

The same weights, on sides of 8 * k + 1 pixels. Up to conv3 theirs is v1.5 (the
stride on the first 3x3 of conv3). From there on it dilates all units of conv4
by 2 and of conv5 by 4, as our slim and v1 do; our v1.5 keeps the rate of the
stage before in the first unit, whose stride was taken away. So no placement is
theirs from one end to the other: the halves are compared, and both together.
"""

import functools

import numpy as np
import pytest
import tensorflow as tf
from official.vision.modeling.backbones import resnet_deeplab

from official_repro.modeling import resnet

SIDE, DEPTH = 65, 50


@pytest.fixture(scope='module')
def theirs():
  tf.keras.utils.set_random_seed(0)
  return resnet_deeplab.DilatedResNet(
    DEPTH,
    output_stride=8,
    input_specs=tf.keras.layers.InputSpec(shape=[None, SIDE, SIDE, 3]),
    norm_epsilon=1e-5,
  )


def is_norm(layer):
  return isinstance(layer, tf.keras.layers.BatchNormalization)


def layers_of(theirs):
  """{our name: their layer}."""
  convs = [x for x in theirs.layers if isinstance(x, tf.keras.layers.Conv2D)]
  norms = [x for x in theirs.layers if is_norm(x)]
  blocks = [x for x in theirs.layers if hasattr(x, '_conv3')]
  found = {'conv1/conv': convs[0], 'conv1/bn': norms[0]}
  assert len(convs) == len(norms) == 1
  scopes = [
    f'conv{stage}/unit_{unit}'
    for stage, count in enumerate(resnet.UNITS[DEPTH], 2)
    for unit in range(1, count + 1)
  ]
  assert len(blocks) == len(scopes)
  for scope, block in zip(scopes, blocks):
    for i in (1, 2, 3):
      found[f'{scope}/conv{i}'] = getattr(block, f'_conv{i}')
      found[f'{scope}/bn{i}'] = getattr(block, f'_norm{i}')
    if scope.endswith('unit_1'):
      found[f'{scope}/shortcut/conv'] = block._shortcut
      found[f'{scope}/shortcut/bn'] = block._norm0
  return found


@pytest.fixture(scope='module')
def weights(theirs):
  """{our variable: value}, with uneven batch norm; theirs has it, too."""
  rng = np.random.default_rng(0)
  out = {}
  for name, layer in layers_of(theirs).items():
    for variable in layer.variables:
      kind = variable.name.split('/')[-1].split(':')[0]
      if kind != 'kernel':
        low = 0.5 if kind in ('gamma', 'moving_variance') else -0.2
        variable.assign(rng.uniform(low, low + 0.7, variable.shape))
      out[f'{name}/{kind}:0'] = variable.numpy()
  return out


@pytest.fixture(scope='module')
def ours(weights):
  """Placement -> our network, made once."""

  @functools.cache
  def make(placement):
    model = resnet.ResNet(
      DEPTH, output_stride=8, stride_placement=placement, freeze_batch_norm=True
    )
    assert {v.name for v in model.variables} == set(weights)
    for variable in model.variables:
      variable.assign(weights[variable.name])
    return model

  return make


@pytest.fixture(scope='module')
def endpoints(theirs, weights):
  """Their conv3 and conv5 of a batch of pictures, and the pictures."""
  del weights
  rng = np.random.default_rng(1)
  images = tf.constant(rng.uniform(-1, 1, (2, SIDE, SIDE, 3)), tf.float32)
  counts = np.cumsum(resnet.UNITS[DEPTH])
  blocks = [x for x in theirs.layers if hasattr(x, '_conv3')]
  both = tf.keras.Model(
    theirs.inputs, [blocks[counts[1] - 1].output, blocks[-1].output]
  )
  conv3, conv5 = both(images, training=False)
  # Their endpoint of this level is the last stage's.
  np.testing.assert_array_equal(theirs(images, training=False)['3'], conv5)
  return images, conv3, conv5


def close(found, expected):
  scale = np.abs(expected).max()
  np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * scale)


def test_conv1_to_conv3_are_v15(endpoints, ours):
  images, conv3, _ = endpoints
  close(ours('v1.5')(images)['conv3'], conv3)


@pytest.mark.parametrize('placement', ['slim', 'v1'])
def test_conv4_and_conv5_are_those_of_slim_and_v1(placement, endpoints, ours):
  _, conv3, conv5 = endpoints
  model = ours(placement)
  assert conv3.shape[1:3] == (9, 9)
  close(model.conv5(model.conv4(conv3)), conv5)


def test_both_halves_together(endpoints, ours):
  images, _, conv5 = endpoints
  first, second = ours('v1.5')(images), ours('slim')
  found = second.conv5(second.conv4(first['conv3']))
  close(found, conv5)
  # And a placement of its own is another function.
  other = np.abs(first['conv5'] - conv5).max()
  assert other > 0.05 * np.abs(conv5).max()
