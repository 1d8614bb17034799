"""The branches by hand, where cells lie, what is named how."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab import model as model_lib
from official_repro.modeling import classifier, resnet

SMALL = {'depth': 14, 'width': 1 / 16}


def pictures(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return tf.constant(rng.uniform(-1, 1, (*shape, 3)), tf.float32)


@pytest.fixture(scope='module')
def net():
  tf.keras.utils.set_random_seed(1)
  model = model_lib.DeepLab(4, **SMALL)
  for variable in model.head.variables:
    variable.assign(tf.random.normal(variable.shape, stddev=0.2))
  return model


def test_sum_of_branches_by_hand():
  layer = model_lib.ASPPL(1, rates=(1, 2))
  x = np.zeros((1, 5, 5, 1), np.float32)
  x[0, 2, 2] = 3
  layer(x)
  taps = np.arange(1.0, 10).reshape(3, 3, 1, 1)
  for kernel, factor in zip(layer.kernels, (1, 10)):
    kernel.assign(factor * taps)
  layer.biases[0].assign([100])
  layer.biases[1].assign([1000])
  # A pixel at (2, 2) reaches (2 - dy, 2 - dx) through the tap (dy, dx): the
  # kernel upside down and mirrored around it, 1 and 2 pixels apart.
  expected = np.full((5, 5), 1100.0)
  for i in range(3):
    for j in range(3):
      tap = 3 * (9 - 3 * i - j)
      expected[1 + i, 1 + j] += tap
      expected[2 * i, 2 * j] += 10 * tap
  np.testing.assert_allclose(layer(x)[0, ..., 0], expected)


@pytest.mark.parametrize('size', [(9, 7), (30, 26), (1, 1)])
def test_branches_are_atrous_convolutions(size):
  rng = np.random.default_rng(0)
  x = tf.constant(rng.normal(size=(2, *size, 5)), tf.float32)
  layer = model_lib.ASPPL(3)
  layer(x)
  for variable in layer.variables:
    variable.assign(rng.normal(size=variable.shape))

  def slow(inputs):
    return sum(
      tf.nn.convolution(inputs, kernel, padding='SAME', dilations=rate) + bias
      for rate, kernel, bias in zip(layer.rates, layer.kernels, layer.biases)
    )

  weights = tf.constant(rng.normal(size=(2, *size, 3)), tf.float32)
  found = []
  for function in (layer, slow):
    with tf.GradientTape() as tape:
      tape.watch(x)
      outputs = function(x)
      total = tf.reduce_sum(outputs * weights)
    found.append([outputs, *tape.gradient(total, [x, *layer.variables])])
  for ours, theirs in zip(*found):
    scale = np.abs(theirs).max()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * scale)


def test_head_starts_as_in_the_paper():
  tf.keras.utils.set_random_seed(0)
  layer = model_lib.ASPPL(21, weight_decay=0.5)
  layer.build((None, None, None, 64))
  values = np.concatenate([k.numpy().ravel() for k in layer.kernels])
  assert values.std() == pytest.approx(0.01, rel=0.02)
  assert abs(values.mean()) < 2e-4
  assert all(not b.numpy().any() for b in layer.biases)
  # The weight decay is half of Keras', and not on the biases.
  decay = 0.5 * (values.astype(np.float64) ** 2).sum() / 2
  assert float(tf.add_n(layer.losses)) == pytest.approx(decay, rel=1e-4)


def test_names_are_those_of_a_classifier_and_the_head(net):
  names = {v.name for v in net.variables}
  trunk = classifier.Classifier(num_classes=3, num_shards=1, **SMALL)
  of_trunk = {v.name for v in trunk.variables if not v.name.startswith('fc/')}
  assert names - of_trunk == {
    f'head/rate_{rate:02d}/{part}:0'
    for rate in (6, 12, 18, 24)
    for part in ('kernel', 'bias')
  }
  assert of_trunk <= names


def test_513_pixels_are_65_cells():
  step = tf.function(model_lib.DeepLab(21, **SMALL)).get_concrete_function(
    tf.TensorSpec([1, 513, 513, 3])
  )
  assert step.output_shapes == [1, 65, 65, 21]


def test_cells_are_exact_on_every_eighth_pixel(net):
  images = pictures(2, 33, 41)
  full = net.full_logits(images)
  assert full.shape == (2, 33, 41, 4)
  cells = net(images)
  np.testing.assert_allclose(full[:, ::8, ::8], cells, atol=1e-6)
  # Halfway between two cells is their mean.
  middle = (cells[:, :-1] + cells[:, 1:]) / 2
  np.testing.assert_allclose(full[:, 4::8, ::8], middle, atol=1e-6)


@pytest.mark.parametrize('size', [(1, 1), (20, 18), (26, 33)])
def test_any_size_is_padded_with_grey(net, size):
  images = pictures(1, *size)
  full = [8 * -(-(n - 1) // 8) + 1 for n in size]
  padded = np.full((1, *full, 3), 128 / 127.5 - 1, np.float32)
  padded[:, : size[0], : size[1]] = images
  found = net.full_logits(images)
  assert found.shape == (1, *size, 4)
  np.testing.assert_allclose(
    found, net.full_logits(padded)[:, : size[0], : size[1]], atol=1e-6
  )
  labels, likely = net.labels(images), net.probabilities(images)
  assert labels.dtype == tf.uint8
  np.testing.assert_array_equal(labels, np.argmax(likely, -1))
  np.testing.assert_allclose(np.sum(likely, -1), 1, atol=1e-6)


def test_conv5_has_stride_8_and_the_rates_of_the_paper():
  plans = resnet.plan_units(resnet.UNITS[101], 'slim', 8)
  assert [{unit.rate for unit in stage} for stage in plans] == [
    {1}, {1}, {2}, {4}
  ]  # fmt: skip


def test_batch_norm_is_frozen_unless_told():
  images = pictures(2, 17, 17)

  def moved(**options):
    tf.keras.utils.set_random_seed(0)
    model = model_lib.DeepLab(3, batch_norm_momentum=0.5, **SMALL, **options)
    before = {v.name: v.numpy() for v in model.variables}
    model(images, training=True)
    return {
      v.name.split('/')[0]
      for v in model.variables
      if np.any(v.numpy() != before[v.name])
    }

  assert not moved()
  stages = [f'conv{i}' for i in range(1, 6)]
  assert moved(freeze_batch_norm=False) == set(stages)
  assert moved(freeze_batch_norm=False, freeze='conv3') == set(stages[3:])


def test_frozen_stages_are_not_trained():
  model = model_lib.DeepLab(3, freeze='conv4', weight_decay=0.1, **SMALL)
  trained = {v.name.split('/')[0] for v in model.trainable_variables}
  assert trained == {'conv5', 'head'}
  # Four convolutions of conv5, four of the head.
  assert len(model.losses) == 8


def test_pixel_range_of_a_checkpoint_from_elsewhere():
  tf.keras.utils.set_random_seed(0)
  plain = model_lib.DeepLab(3, **SMALL)
  other = model_lib.DeepLab(3, pixel_range=((-1, -2, -3), (1, 2, 3)), **SMALL)
  for a, b in zip(plain.variables, other.variables):
    b.assign(a)
  images = pictures(1, 17, 17)
  np.testing.assert_allclose(other(images), plain(images * [1.0, 2, 3]), 1e-5)
  assert other.metadata()['pixel_range'] == [[-1, -2, -3], [1, 2, 3]]


@pytest.mark.parametrize(
  'options,sentence',
  [
    ({'num_classes': 1}, 'num_classes is 1; it must be at least 2'),
    ({'rates': ()}, r'rates is \[\]'),
    ({'rates': (6, 0)}, r'rates is \[6, 0\]'),
    ({'rates': (6, 6)}, 'only once'),
    ({'output_stride': 4}, 'output_stride is 4'),
    ({'freeze': 'conv9'}, "freeze is 'conv9'"),
    ({'pixel_range': (1, -1)}, 'must lie above'),
  ],
)
def test_wrong_arguments(options, sentence):
  with pytest.raises(ValueError, match=sentence):
    model_lib.DeepLab(**{'num_classes': 3, **SMALL, **options})
