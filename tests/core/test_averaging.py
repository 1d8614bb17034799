"""Polyak averages: the formula, and how they go into the model and out."""

import numpy as np
import pytest
import tensorflow as tf

from official_repro.core import averaging, checkpoints, optimizers


def make(decay, optimizer=None, **fields):
  """An averaging optimizer with a learning rate of .5."""
  return optimizers.build_optimizer(
    optimizers.OptimizationConfig(
      {
        'optimizer': {'type': 'sgd', **(optimizer or {})},
        'learning_rate': {
          'type': 'constant',
          'constant': {'learning_rate': 0.5},
        },
        'averaging_decay': decay,
        **fields,
      }
    )
  )


def descend(optimizer, *gradients):
  """Steps from 1 with these gradients: the weight and its average of each."""
  weight = tf.Variable(1.0, name='w')
  found = []
  for gradient in gradients:
    optimizer.apply_gradients([(tf.constant(gradient), weight)])
    average = optimizer.get_slot(weight, averaging.SLOT)
    found.append((float(weight), float(average)))
  return found


def test_three_steps_by_hand():
  # d is (1 + n) / (10 + n) with n from 0: 1 / 10, 2 / 11, 3 / 12.
  # .1 * 1 + .9 * .5; .55 * 2 / 11 + 0 * 9 / 11; .1 * .25 - .5 * .75.
  found = descend(make(0.9), 1.0, 1.0, 1.0)
  expected = [(0.5, 0.55), (0.0, 0.1), (-0.5, -0.35)]
  np.testing.assert_allclose(found, expected, atol=1e-6)


def test_decay_is_a_limit():
  # d is .1, then .15 in place of 2 / 11 and 3 / 12.
  # .55 * .15; .0825 * .15 - .5 * .85.
  found = descend(make(0.15), 1.0, 1.0, 1.0)
  expected = [(0.5, 0.55), (0.0, 0.0825), (-0.5, -0.412625)]
  np.testing.assert_allclose(found, expected, atol=1e-6)


def test_weights_go_as_without_averages():
  momentum = {'sgd': {'momentum': 0.9}}
  plain, weight = make(0.0, momentum), tf.Variable(1.0)
  found = descend(make(0.9, momentum), 1.0, 2.0, 3.0)
  for gradient, (value, _) in zip((1.0, 2.0, 3.0), found):
    plain.apply_gradients([(tf.constant(gradient), weight)])
    assert float(weight) == value
  assert averaging.is_averaging(make(0.9))
  assert not averaging.is_averaging(plain)


def test_schedule_counts_on():
  # .5, then .05 from the second step on.
  stepwise = {'boundaries': [0], 'values': [0.5, 0.05]}
  rate = {'type': 'stepwise', 'stepwise': stepwise}
  found = descend(make(0.9, learning_rate=rate), 1.0, 1.0)
  np.testing.assert_allclose([w for w, _ in found], [0.5, 0.45], rtol=1e-6)


def test_clipping_and_multipliers_act():
  # |(3, 4)| = 5 is clipped to 1: (.6, .8); then the head's gradient x10.
  optimizer = make(
    0.9,
    {'sgd': {'global_clipnorm': 1.0}},
    gradient_multipliers=[{'pattern': 'head', 'factor': 10.0}],
  )
  weights = [tf.Variable([0.0], name=n) for n in ('trunk', 'head')]
  optimizer.apply_gradients(zip(tf.constant([[3.0], [4.0]]), weights))
  np.testing.assert_allclose(
    [w[0] for w in weights], [-0.5 * 0.6, -0.5 * 8], rtol=1e-6
  )
  # A tenth of it is the 0 from before.
  for weight in weights:
    np.testing.assert_allclose(
      optimizer.get_slot(weight, averaging.SLOT), 0.9 * weight, rtol=1e-6
    )
  with pytest.raises(ValueError, match='averaging_decay go with global_clip'):
    make(0.9, {'sgd': {'clipnorm': 1.0}})


@pytest.mark.parametrize('policy', ['mixed_float16', 'mixed_bfloat16'])
def test_averages_behind_a_scaled_loss(policy):
  layer = tf.keras.layers.Dense(
    2, dtype=tf.keras.mixed_precision.Policy(policy)
  )
  layer.build([None, 3])
  optimizer = make(0.9)
  if policy == 'mixed_float16':
    optimizer = tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
  assert averaging.is_averaging(optimizer)
  variables = layer.trainable_variables
  optimizer._create_all_weights(variables)
  averaging.restart(optimizer, variables)
  before = copies(variables)
  optimizer.apply_gradients((tf.ones_like(v), v) for v in variables)
  swap = averaging.Swap(optimizer, variables)
  swap.use_averages()
  # w - .5, of which .9 count.
  for variable, value in zip(variables, before):
    np.testing.assert_allclose(variable, value - 0.45, atol=1e-6)
  swap.use_weights()
  for variable, value in zip(variables, before):
    np.testing.assert_allclose(variable, value - 0.5, atol=1e-6)


@pytest.mark.parametrize('decay', [-0.1, 1.0, 5.0])
def test_decay_out_of_range(decay):
  with pytest.raises(ValueError, match=rf'in \(0, 1\), got {decay}'):
    make(decay)


def copies(variables):
  return [v.numpy() for v in variables]


@pytest.fixture
def trained():
  """Optimizer and two variables after three steps."""
  rng = np.random.default_rng(0)
  optimizer = make(0.9, {'sgd': {'momentum': 0.9}})
  values = [rng.normal(size=s).astype(np.float32) for s in ([3, 4], [5])]
  variables = [
    tf.Variable(v, name=n) for v, n in zip(values, ('conv1/kernel', 'head'))
  ]
  for _ in range(3):
    gradients = [rng.normal(size=v.shape) for v in variables]
    optimizer.apply_gradients(
      (tf.constant(g, tf.float32), v) for g, v in zip(gradients, variables)
    )
  return optimizer, variables


def test_swap_is_exact_and_twice_is_once(trained):
  optimizer, variables = trained
  weights = copies(variables)
  slots = [optimizer.get_slot(v, averaging.SLOT) for v in variables]
  averages = copies(slots)
  swap = averaging.Swap(optimizer, variables)
  swap.use_weights()
  for _ in range(2):
    for _ in range(2):
      swap.use_averages()
      for found, expected in zip(variables, averages):
        np.testing.assert_array_equal(found, expected)
    for _ in range(2):
      swap.use_weights()
      for found, expected in zip(variables, weights):
        np.testing.assert_array_equal(found, expected)
  for found, expected in zip(slots, averages):
    np.testing.assert_array_equal(found, expected)
  assert all(np.any(a != w) for a, w in zip(averages, weights))


def test_restart_begins_at_the_weights(trained):
  optimizer, variables = trained
  averaging.restart(optimizer, variables)
  for variable in variables:
    np.testing.assert_array_equal(
      optimizer.get_slot(variable, averaging.SLOT), variable
    )


def test_averages_of_a_checkpoint_by_name(trained, tmp_path):
  optimizer, variables = trained
  statistics = tf.Variable([7.0], trainable=False, name='conv1/moving_mean')
  model = tf.Module()
  model.all = [*variables, statistics]
  prefix = tf.train.Checkpoint(model=model, optimizer=optimizer).save(
    str(tmp_path / 'ckpt')
  )
  averages = [optimizer.get_slot(v, averaging.SLOT) for v in variables]
  for averaged, expected in ((False, variables), (True, averages)):
    target = [
      tf.Variable(tf.zeros_like(v), name=v.name[:-2]) for v in model.all
    ]
    loaded = checkpoints.load_weights(target, prefix, averaged=averaged)
    assert len(loaded.loaded) == 3
    assert not loaded.unused
    # What is not trained has no average.
    for found, value in zip(target, [*expected, statistics]):
      np.testing.assert_array_equal(found, value)


def test_resumed_run_is_bit_equal(tmp_path):
  rng = np.random.default_rng(1)
  gradients = rng.normal(size=(6, 5)).astype(np.float32)

  def start():
    variable = tf.Variable(tf.ones([5]), name='v')
    optimizer = make(0.9, {'sgd': {'momentum': 0.9}})
    optimizer._create_all_weights([variable])
    saved = tf.train.Checkpoint(v=variable, optimizer=optimizer)
    return variable, optimizer, saved

  def train(variable, optimizer, some):
    for gradient in some:
      optimizer.apply_gradients([(tf.constant(gradient), variable)])

  variable, optimizer, saved = start()
  train(variable, optimizer, gradients[:3])
  path = saved.write(str(tmp_path / 'ckpt'))
  train(variable, optimizer, gradients[3:])
  again, restored, saved = start()
  status = saved.read(path)
  train(again, restored, gradients[3:])
  status.assert_consumed()
  np.testing.assert_array_equal(variable, again)
  for slot in ('average', 'momentum'):
    owner = lambda o, name=slot: o if name == 'average' else o._optimizer
    np.testing.assert_array_equal(
      owner(optimizer).get_slot(variable, slot),
      owner(restored).get_slot(again, slot),
    )
