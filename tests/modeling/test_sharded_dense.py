import numpy as np
import pytest
import tensorflow as tf

from official_repro.modeling import sharded_dense


def pair(units, num_shards, features=5):
  """A sharded layer and one Keras layer on the same weights."""
  rng = np.random.default_rng(0)
  kernel = rng.normal(size=(features, units)).astype(np.float32)
  bias = rng.normal(size=units).astype(np.float32)
  sharded = sharded_dense.ShardedDense(units, num_shards, features)
  values = sharded_dense.dense_to_shards(kernel, bias, num_shards)
  for v in sharded.variables:
    v.assign(values[v.name[:-2]])
  dense = tf.keras.layers.Dense(units)
  dense.build((None, features))
  dense.set_weights([kernel, bias])
  return sharded, dense


@pytest.mark.parametrize(
  'units,num_shards', [(7, 1), (7, 2), (7, 7), (12, 3), (10, 6), (18291, 50)]
)
def test_values_and_gradients_are_one_dense_layers(units, num_shards):
  sharded, dense = pair(units, num_shards)
  rng = np.random.default_rng(1)
  x = tf.constant(rng.normal(size=(3, 5)), tf.float32)
  weights = tf.constant(rng.normal(size=(3, units)), tf.float32)
  results = []
  for layer in (sharded, dense):
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = layer(x)
      loss = tf.reduce_sum(tf.sin(y) * weights)
    results.append((y, tape.gradient(loss, [x, *layer.trainable_variables])))
  (y, grads), (want, want_grads) = results
  assert y.shape == (3, units)
  np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(grads[0], want_grads[0], rtol=1e-4, atol=1e-4)
  by_name = {
    v.name[:-2]: g.numpy()
    for v, g in zip(sharded.trainable_variables, grads[1:])
  }
  kernel, bias = sharded_dense.shards_to_dense(by_name, units)
  np.testing.assert_allclose(kernel, want_grads[1], rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(bias, want_grads[2], rtol=1e-4, atol=1e-5)
  # The padding learns nothing.
  total = sum(np.abs(g).sum() for n, g in by_name.items() if 'bias' in n)
  np.testing.assert_allclose(total, np.abs(bias).sum(), rtol=1e-5)


def test_the_papers_split():
  # 18,291 = 49 x 366 + 357, padded to 50 x 366 = 18,300.
  layer = sharded_dense.ShardedDense(18291, 50, 2)
  kernels = [v for v in layer.variables if 'kernel' in v.name]
  assert [v.name for v in kernels] == [
    f'fc/sub_{i:02d}/kernel:0' for i in range(50)
  ]
  assert {tuple(v.shape) for v in kernels} == {(2, 366)}
  assert layer(tf.zeros([1, 2])).shape == (1, 18291)


def test_split_by_hand():
  values = sharded_dense.dense_to_shards(
    np.array([[1, 2, 3], [4, 5, 6]]), np.array([7, 8, 9]), 2
  )
  assert {k: v.tolist() for k, v in values.items()} == {
    'fc/sub_00/kernel': [[1, 2], [4, 5]],
    'fc/sub_00/bias': [7, 8],
    'fc/sub_01/kernel': [[3, 0], [6, 0]],
    'fc/sub_01/bias': [9, 0],
  }


@pytest.mark.parametrize('num_shards', [1, 2, 5, 23])
def test_joining_and_another_number_of_shards(num_shards):
  rng = np.random.default_rng(0)
  kernel, bias = rng.normal(size=(4, 23)), rng.normal(size=23)
  shards = sharded_dense.dense_to_shards(kernel, bias, 5)
  again = sharded_dense.reshard(shards, 23, num_shards)
  assert len(again) == 2 * num_shards
  joined = sharded_dense.shards_to_dense({**again, 'conv1/conv/kernel': 0}, 23)
  np.testing.assert_array_equal(joined[0], kernel)
  np.testing.assert_array_equal(joined[1], bias)


def test_more_than_a_hundred_shards_keep_their_order():
  kernel, bias = np.arange(120.0)[None], np.arange(120.0)
  shards = sharded_dense.dense_to_shards(kernel, bias, 120)
  assert 'fc/sub_119/bias' in shards
  joined = sharded_dense.shards_to_dense(shards, 120)
  np.testing.assert_array_equal(joined[1], bias)


def test_made_at_the_first_call_too_and_within_a_model():
  layer = sharded_dense.ShardedDense(7, 2)
  inputs = tf.keras.Input((4,))
  tf.keras.Model(inputs, layer(inputs))
  eager = sharded_dense.ShardedDense(7, 2)
  eager(tf.zeros([1, 4]))
  assert [v.name for v in layer.variables] == [v.name for v in eager.variables]
  assert layer.variables[0].name == 'fc/sub_00/kernel:0'


def test_initial_biases_and_weight_decay():
  layer = sharded_dense.ShardedDense(
    3, 2, 4, bias_initial=[1.0, 2.0, 3.0], weight_decay=0.5, scope='head'
  )
  np.testing.assert_array_equal(layer.parts[0].bias, [1, 2])
  np.testing.assert_array_equal(layer.parts[1].bias, [3, 0])
  assert layer.variables[2].name == 'head/sub_01/kernel:0'
  expected = sum(0.25 * np.sum(p.kernel.numpy() ** 2) for p in layer.parts)
  np.testing.assert_allclose(tf.add_n(layer.losses), expected, rtol=1e-6)


def test_checkpoint_goes_back_and_forth(tmp_path):
  layer, _ = pair(7, 3)
  path = tf.train.Checkpoint(head=layer).write(str(tmp_path / 'ckpt'))
  other = sharded_dense.ShardedDense(7, 3, 5)
  tf.train.Checkpoint(head=other).read(path).assert_consumed()
  x = tf.ones([2, 5])
  np.testing.assert_array_equal(layer(x), other(x))


@pytest.mark.parametrize(
  'call,words',
  [
    (lambda: sharded_dense.ShardedDense(0, 1), 'units is 0'),
    (lambda: sharded_dense.ShardedDense(3, 4), 'num_shards is 4.*1 to 3'),
    (lambda: sharded_dense.ShardedDense(3, 0), 'num_shards is 0'),
    (
      lambda: sharded_dense.ShardedDense(3, 1, bias_initial=[1.0]),
      r'bias_initial has shape \(1,\).*3 units',
    ),
    (
      lambda: sharded_dense.dense_to_shards(np.ones((2, 3)), np.ones(2), 1),
      r'\(2, 3\) and bias of shape \(2,\)',
    ),
    (lambda: sharded_dense.shards_to_dense({}, 3), '0 parts .* hold 0 units'),
  ],
)
def test_wrong_arguments(call, words):
  with pytest.raises(ValueError, match=words):
    call()
