import numpy as np
import pytest
import tensorflow as tf

from official_repro.modeling import blocks, resnet
from tests.conftest import golden

TINY = {'depth': 26, 'width': 1 / 16}


def images(height, width, batch=2, seed=0):
  rng = np.random.default_rng(seed)
  return tf.constant(rng.uniform(-1, 1, (batch, height, width, 3)), tf.float32)


def shapes(endpoints):
  return {name: tuple(x.shape) for name, x in endpoints.items()}


def names(model):
  return [v.name for v in model.variables]


def shake(model, seed=0):
  """Uneven batch-norm state, so that a mix-up of two layers shows."""
  rng = np.random.default_rng(seed)
  for v in model.variables:
    if 'kernel' not in v.name:
      low = 0.5 if 'gamma' in v.name or 'variance' in v.name else -0.2
      v.assign(rng.uniform(low, low + 0.7, v.shape))


def copy_weights(source, target):
  by_name = {v.name: v for v in source.variables}
  for v in target.variables:
    v.assign(by_name[v.name])


@pytest.mark.parametrize('case', ['ResNet50', 'ResNet152'])
def test_parameter_counts_are_those_of_keras_applications(case, monkeypatch):
  # Random numbers for 60 million parameters take longer than all else.
  zeros = tf.keras.initializers.Zeros()
  monkeypatch.setattr(blocks, 'slim_initializer', lambda fan_in: zeros)
  expected = golden('resnet_params')[case]['expected']
  model = resnet.ResNet(depth=int(case[6:]))
  count = sum(int(np.prod(v.shape)) for v in model.variables)
  fixed = sum(int(np.prod(v.shape)) for v in model.non_trainable_variables)
  head = 2048 * 1000 + 1000
  # Keras' convolutions have biases, ours have none.
  assert count + head == expected['total'] - expected['conv_bias_params']
  assert fixed == expected['non_trainable']


def small_slim(**kwargs):
  # Base depths 1, 2, 4, 8 with three units each, as the reference's test.
  return resnet.ResNet(units=(3, 3, 3, 3), width=1 / 64, **kwargs)


@pytest.mark.parametrize(
  'case',
  ['resnet_v1_beta_small_classification_224', 'atrous_output_stride_8_321'],
)
def test_atrous_shapes(case):
  case = golden('atrous_shapes')[case]
  model = small_slim(output_stride=case['inputs']['output_stride'])
  endpoints = tf.function(model, autograph=False).get_concrete_function(
    tf.TensorSpec(case['inputs']['input'])
  )
  expected = {
    f'conv{int(name[-1]) + 1}': tuple(shape)
    for name, shape in case['expected'].items()
  }
  found = {
    name: tuple(shape) for name, shape in endpoints.output_shapes.items()
  }
  assert expected.items() <= found.items()


def test_atrous_shapes_of_an_unknown_size():
  case = golden('atrous_shapes')['unknown_size_65']
  for stride, expected in zip((32, 8), case['expected']):
    model = small_slim(output_stride=stride)
    step = tf.function(
      model,
      input_signature=[tf.TensorSpec([None] * 3 + [3])],
      autograph=False,
    )
    assert list(step(images(65, 65))['conv5'].shape) == expected


@pytest.mark.parametrize(
  'placement,strides',
  [
    ('slim', (2, 8, 16, 32, 32)),
    ('v1', (2, 4, 8, 16, 32)),
    ('v1.5', (2, 4, 8, 16, 32)),
  ],
)
@pytest.mark.parametrize('output_stride', [32, 16, 8])
def test_table_of_endpoint_strides(placement, strides, output_stride):
  model = resnet.ResNet(
    stride_placement=placement, output_stride=output_stride, **TINY
  )
  out = tf.function(model, autograph=False).get_concrete_function(
    tf.TensorSpec([1, 65, 97, 3])
  )
  for name, stride in zip(resnet.STAGES, strides):
    stride = min(stride, output_stride)
    shape = out.output_shapes[name].as_list()
    assert shape == [
      1,
      64 // stride + 1,
      96 // stride + 1,
      model.channels[name],
    ]


@pytest.mark.parametrize('placement', resnet.PLACEMENTS)
def test_dense_features_subsampled_are_the_strided_ones(placement):
  strided = resnet.ResNet(stride_placement=placement, **TINY)
  shake(strided)
  pictures = images(97, 65), images(96, 70)
  expected = [strided(x) for x in pictures]
  for output_stride in (16, 8):
    dense = resnet.ResNet(
      stride_placement=placement, output_stride=output_stride, **TINY
    )
    copy_weights(strided, dense)
    for x, of_strided in zip(pictures, expected):
      of_dense = dense(x)
      for name, features in of_dense.items():
        want = of_strided[name].numpy()
        step = -(-features.shape[1] // want.shape[1])
        found = features[:, ::step, ::step].numpy()
        assert found.shape == want.shape
        np.testing.assert_allclose(found, want, atol=1e-5 * np.abs(want).max())
      assert of_dense['conv5'].shape[1] > of_strided['conv5'].shape[1]


def test_units_by_hand():
  def table(*args):
    return [
      [(u.stride, u.on_first, u.rate) for u in stage]
      for stage in resnet.plan_units(*args)
    ]

  assert table((1, 2, 1, 2), 'slim', 16) == [
    [(2, False, 1)],  # 4 -> 8
    [(1, False, 1), (2, False, 1)],  # 8 -> 16, reached
    [(1, False, 1)],  # its stride becomes a rate after it
    [(1, False, 2), (1, False, 2)],
  ]
  assert table((1, 1, 2, 2), 'v1', 8) == [
    [(1, True, 1)],
    [(2, True, 1)],  # 4 -> 8, reached
    [(1, True, 2), (1, True, 2)],  # the stride would be before the 3x3
    [(1, True, 4), (1, True, 4)],
  ]
  assert table((1, 1, 2, 2), 'v1.5', 8)[2:] == [
    [(1, False, 1), (1, False, 2)],  # the stride would be the first 3x3's
    [(1, False, 2), (1, False, 4)],
  ]


def test_bottleneck_by_hand():
  # One channel in, one filter, everything 1 but the statistics of fresh batch
  # norm: 1x1 then 3x3 box sum, ReLU, beside the projected input.
  unit = blocks.Bottleneck(
    1,
    1,
    blocks.UnitPlan(stride=2),
    project=True,
    scope='u',
    options=blocks.BlockOptions(batch_norm_epsilon=0.0),
  )
  for v in unit.variables:
    if 'kernel' in v.name:
      v.assign(tf.ones_like(v))
  x = tf.reshape(tf.range(16.0), [1, 4, 4, 1])
  # Rows and columns 0 and 2; 3x3 sums with a border of zeros:
  # at (0, 0) 0+1+4+5 = 10, at (0, 2) 1+2+3+5+6+7 = 24,
  # at (2, 0) 4+5+8+9+12+13 = 51, at (2, 2) 9 * 10 = 90; plus 0, 2, 8, 10.
  expected = [[10, 26], [59, 100]]
  out = unit(x)
  assert out.shape == (1, 2, 2, 4)
  for channel in range(4):
    np.testing.assert_allclose(out[0, :, :, channel], expected, rtol=1e-6)


def test_names_are_stable_and_the_same_for_two_models_and_in_any_scope():
  first = resnet.ResNet(**TINY)
  with tf.name_scope('somewhere'):
    second = resnet.ResNet(**TINY)
  first(images(32, 32))
  tf.function(second, autograph=False)(images(32, 32))
  assert names(first) == names(second)
  assert len(set(names(first))) == len(names(first))
  # conv1, and in each of 4 stages 2 x 3 and a projection; 5 variables each.
  assert len(names(first)) == 5 * (1 + 4 * 7)
  assert {
    'conv1/conv/kernel:0',
    'conv1/bn/moving_variance:0',
    'conv2/unit_1/shortcut/conv/kernel:0',
    'conv2/unit_1/shortcut/bn/gamma:0',
    'conv4/unit_2/conv2/kernel:0',
    'conv4/unit_2/bn2/gamma:0',
    'conv5/unit_1/bn3/moving_mean:0',
  } <= set(names(first))


def test_conv5_alone_takes_the_weights_of_the_whole_network():
  whole = resnet.ResNet(**TINY)
  shake(whole)
  stage = resnet.conv5_stage(26, stride=1, width=1 / 16)
  assert set(names(stage)) == {n for n in names(whole) if n[:5] == 'conv5'}
  copy_weights(whole, stage)
  ends = whole(images(64, 64))
  np.testing.assert_allclose(
    stage(ends['conv4']), ends['conv5'], rtol=1e-4, atol=1e-4
  )
  strided = resnet.conv5_stage(
    26, stride=2, width=1 / 16, stride_placement='v1'
  )
  assert strided(tf.zeros([2, 7, 7, 64])).shape == (2, 4, 4, 128)


def test_last_stage_and_extra_endpoints():
  model = resnet.ResNet(
    last_stage='conv4', extra_endpoints=['conv4/unit_1'], **TINY
  )
  assert not [n for n in names(model) if n.startswith('conv5')]
  ends = model(images(64, 64))
  assert sorted(ends) == ['conv1', 'conv2', 'conv3', 'conv4', 'conv4/unit_1']
  assert ends['conv4/unit_1'].shape == (2, 4, 4, 64)


@pytest.mark.parametrize('freeze', resnet.STAGES)
def test_frozen_stages_have_no_training_at_all(freeze):
  model = resnet.ResNet(depth=14, width=1 / 16, freeze=freeze, weight_decay=1.0)
  frozen = resnet.STAGES[: resnet.STAGES.index(freeze) + 1]
  assert model.trainable_variables == [
    v
    for v in model.variables
    if v.name.split('/')[0] not in frozen and 'moving' not in v.name
  ]
  kernels = [v for v in model.trainable_variables if 'kernel' in v.name]
  assert len(model.losses) == len(kernels)
  before = {v.name: v.numpy() for v in model.variables}
  inference = model(images(64, 64))
  training = model(images(64, 64), training=True)
  for name in frozen:
    np.testing.assert_array_equal(inference[name], training[name])
  moved = {
    v.name.split('/')[0]
    for v in model.variables
    if not np.array_equal(v, before[v.name])
  }
  assert moved == set(resnet.STAGES) - set(frozen)


def test_frozen_batch_norm_still_trains_its_scale():
  model = resnet.ResNet(depth=14, width=1 / 16, freeze_batch_norm=True)
  before = [v.numpy() for v in model.non_trainable_variables]
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(model(images(64, 64), training=True)['conv5'])
  gamma = next(
    v for v in model.variables if v.name == 'conv3/unit_1/bn2/gamma:0'
  )
  assert np.abs(tape.gradient(loss, gamma)).max() > 0
  for old, new in zip(before, model.non_trainable_variables):
    np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize('placement', resnet.PLACEMENTS)
def test_frozen_batch_norm_is_batch_norm_by_its_averages(placement):
  # Folded into the kernels: the same values and the same gradients.
  options = {'depth': 14, 'width': 1 / 16, 'stride_placement': placement}
  frozen = resnet.ResNet(freeze_batch_norm=True, **options)
  plain = resnet.ResNet(**options)
  shake(frozen)
  copy_weights(frozen, plain)
  x = images(33, 48)

  def run(model, training):
    with tf.GradientTape() as tape:
      out = model(x, training=training)
      total = tf.add_n([tf.reduce_sum(tf.sin(v)) for v in out.values()])
    variables = sorted(model.trainable_variables, key=lambda v: v.name)
    return [*out.values(), *tape.gradient(total, variables)]

  for a, b in zip(run(frozen, training=True), run(plain, training=False)):
    # Rounding of activations of 100 and more shows in their sine.
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(b).max())


def test_weight_decay_is_half_the_sum_of_squares_of_kernels_only():
  model = resnet.ResNet(depth=14, width=1 / 16, weight_decay=0.1)
  shake(model)
  expected = sum(
    0.1 * np.sum(v.numpy().astype(np.float64) ** 2) / 2
    for v in model.variables
    if 'kernel' in v.name
  )
  np.testing.assert_allclose(tf.add_n(model.losses), expected, rtol=1e-5)


def test_initial_spread_is_tf_slims():
  tf.keras.utils.set_random_seed(0)
  kernel = resnet.ResNet(depth=14).conv5.units[0].conv2.kernel.numpy()
  # Truncated normal of variance 2.6 / n, cut at two standard deviations:
  # its variance is .7737 of that. n = 3 * 3 * 512.
  scale = (2.6 / 4608) ** 0.5
  np.testing.assert_allclose(kernel.std(), scale * 0.7737**0.5, rtol=5e-3)
  assert np.abs(kernel).max() <= 2 * scale


def test_same_seed_same_weights():
  values = []
  for _ in range(2):
    tf.keras.utils.set_random_seed(3)
    values.append(resnet.ResNet(depth=14, width=1 / 16).get_weights())
  for a, b in zip(*values):
    np.testing.assert_array_equal(a, b)
  first, second = (
    v.numpy()
    for v in resnet.ResNet(depth=26, width=1 / 16).conv2.variables
    if v.name.endswith('conv2/kernel:0')
  )
  assert not np.array_equal(first, second)


def test_batch_norm_moves_as_tf_slims():
  model = resnet.ResNet(depth=14, width=1 / 16, batch_norm_momentum=0.75)
  x = images(32, 32)
  y = model.conv1.conv(x).numpy()
  model(x, training=True)
  # .75 * 0 + .25 * mean; the variance is the unbiased one, from 1.
  np.testing.assert_allclose(
    model.conv1.bn.moving_mean, 0.25 * y.mean((0, 1, 2)), atol=1e-6
  )
  np.testing.assert_allclose(
    model.conv1.bn.moving_variance,
    0.75 + 0.25 * y.reshape(-1, 4).var(0, ddof=1),
    rtol=1e-5,
  )


@pytest.mark.parametrize(
  'kwargs,words',
  [
    ({'depth': 18}, ['depth', '18', '14, 26, 50, 101, 152']),
    ({'output_stride': 12}, ['output_stride', '12']),
    ({'stride_placement': 'v2'}, ['stride_placement', "'v2'", 'slim']),
    ({'freeze': 'conv6'}, ['freeze', "'conv6'"]),
    ({'last_stage': 'fc'}, ['last_stage', "'fc'"]),
    ({'width': 0.001}, ['width', '0.001', 'conv1']),
    ({'extra_endpoints': ['conv4/unit_9']}, ['conv4/unit_9']),
  ],
)
def test_wrong_arguments(kwargs, words):
  with pytest.raises(ValueError) as error:
    resnet.ResNet(**{**TINY, **kwargs})
  assert all(word in str(error.value) for word in words)


def test_integer_images_are_refused():
  model = resnet.ResNet(depth=14, width=1 / 16)
  with pytest.raises(ValueError, match='uint8.*normalize'):
    model(tf.zeros([1, 32, 32, 3], tf.uint8))


def test_stride_and_rate_do_not_go_together():
  with pytest.raises(ValueError, match='stride 2 and rate 2'):
    resnet.conv5_stage(14, stride=2, rate=2, width=1 / 16)
