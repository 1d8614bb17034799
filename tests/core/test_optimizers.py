import numpy as np
import pytest
import tensorflow as tf
from official.modeling import optimization

from official_repro.core import optimizers
from tests.conftest import golden


def _config(learning_rate=None, **kwargs):
  constant = {'type': 'constant', 'constant': {'learning_rate': 0.5}}
  return optimizers.OptimizationConfig(
    {
      'optimizer': {'type': 'sgd'},
      'learning_rate': learning_rate or constant,
      **kwargs,
    }
  )


def _rates(config, steps):
  rate = optimizers.build_learning_rate(config)
  return [float(rate(tf.constant(s, tf.int64))) for s in steps]


def test_first_rmsprop_step():
  # rms = .9 * 1 + .1 * 1 = 1; .008 / sqrt(1 + 1) = .005657.
  # From zero, and with Keras' place of epsilon, it would be .007628.
  config = _config(
    {'type': 'constant', 'constant': {'learning_rate': 0.008}},
    optimizer={'type': 'rmsprop_tf1'},
  )
  optimizer = optimizers.build_optimizer(config)
  v = tf.Variable(0.0)
  optimizer.apply_gradients([(tf.constant(1.0), v)])
  np.testing.assert_allclose(v, -0.005657, atol=1e-6)
  assert isinstance(optimizer, tf.keras.optimizers.legacy.Optimizer)


def test_rmsprop_config_round_trip():
  optimizer = optimizers.TF1RMSprop(0.1, 0.8, 0.7, 0.0)
  again = optimizers.TF1RMSprop.from_config(optimizer.get_config())
  assert again.get_config() == optimizer.get_config()
  assert again.epsilon == 0.0


@pytest.mark.parametrize('wrong', [{'rho': 1.0}, {'epsilon': -1}])
def test_rmsprop_refuses(wrong):
  with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
    optimizers.TF1RMSprop(0.1, **wrong)


@pytest.mark.parametrize('case', ['cosine_warmup', 'cosine_more'])
def test_golden_cosine_with_warmup(case):
  case = golden('learning_rate')[case]
  inputs = case['inputs']
  config = optimizers.OptimizationConfig(
    optimizers.cosine_with_warmup(
      inputs['learning_rate_base'],
      inputs['total_steps'],
      inputs['warmup_steps'],
      inputs['warmup_learning_rate'],
    )
  )
  np.testing.assert_allclose(
    _rates(config, inputs['steps']), case['expected'], atol=case['tol']
  )


def test_cosine_without_warmup_starts_at_the_base_rate():
  config = optimizers.OptimizationConfig(
    optimizers.cosine_with_warmup(0.4, 10, 0)
  )
  np.testing.assert_allclose(_rates(config, [0, 5, 10]), [0.4, 0.2, 0.0], 1e-6)
  with pytest.raises(ValueError, match='10 of 10'):
    optimizers.cosine_with_warmup(0.4, 10, 10)


def test_staircase_of_the_paper():
  # Sun et al. 2017, sec. 4: 1e-3, x0.9 every 3M steps.
  config = _config(
    {
      'type': 'exponential',
      'exponential': {
        'initial_learning_rate': 1e-3,
        'decay_steps': 3_000_000,
        'decay_rate': 0.9,
        'staircase': True,
      },
    }
  )
  np.testing.assert_allclose(
    _rates(config, [0, 2_999_999, 3_000_000, 35_999_000, 36_000_000]),
    [1e-3, 1e-3, 0.9e-3, 0.9**11 * 1e-3, 0.9**12 * 1e-3],
    rtol=1e-5,
  )


def test_stepwise_and_its_scale():
  stepwise = {'boundaries': [10, 20], 'values': [1.0, 0.1, 0.01]}
  config = _config({'type': 'stepwise', 'stepwise': stepwise})
  steps = [0, 10, 11, 20, 21]
  expected = np.array([1, 1, 0.1, 0.1, 0.01])
  np.testing.assert_allclose(_rates(config, steps), expected, rtol=1e-6)
  assert config.learning_rate_key() == (
    'learning_rate.stepwise.initial_learning_rate'
  )
  config.override({'learning_rate': {'stepwise': {'initial_learning_rate': 3}}})
  np.testing.assert_allclose(_rates(config, steps), 3 * expected, rtol=1e-6)
  # Building leaves the configuration as it was.
  assert config.learning_rate.stepwise.values == [1.0, 0.1, 0.01]


def test_polynomial_of_deeplab():
  config = _config(
    {
      'type': 'polynomial',
      'polynomial': {
        'initial_learning_rate': 3e-4,
        'decay_steps': 30_000,
        'end_learning_rate': 0.0,
        'power': 0.9,
      },
    }
  )
  np.testing.assert_allclose(
    _rates(config, [0, 15_000, 30_000]), [3e-4, 3e-4 * 0.5**0.9, 0], rtol=1e-5
  )


@pytest.mark.parametrize(
  ('learning_rate', 'message'),
  [
    ({'type': None}, r'learning_rate\.type must be one of .*None'),
    ({'type': 'cosine'}, r'cosine\.initial_learning_rate is not set'),
    (
      {'type': 'stepwise', 'stepwise': {'boundaries': [1], 'values': [1.0]}},
      r'one value more than boundaries.*\[1\].*\[1\.0\]',
    ),
    (
      {
        'type': 'stepwise',
        'stepwise': {
          'boundaries': [1],
          'values': [0.0, 1.0],
          'initial_learning_rate': 1.0,
        },
      },
      'starts with 0',
    ),
  ],
)
def test_incomplete_schedule(learning_rate, message):
  with pytest.raises(ValueError, match=message):
    optimizers.build_optimizer(_config(learning_rate))


def test_optimizer_must_be_chosen_and_legacy():
  with pytest.raises(ValueError, match=r'optimizer\.type must be one of'):
    optimizers.build_optimizer(_config(optimizer={'type': None}))
  with pytest.raises(ValueError, match='sgd_experimental is not a legacy'):
    optimizers.build_optimizer(_config(optimizer={'type': 'sgd_experimental'}))


def test_learning_rate_key_needs_a_base_rate():
  assert _config().learning_rate_key() == 'learning_rate.constant.learning_rate'
  with pytest.raises(ValueError, match='step_cosine_with_offset'):
    _config({'type': 'step_cosine_with_offset'}).learning_rate_key()


def test_config_survives_dict_and_overrides():
  config = _config(
    optimizer={'type': 'rmsprop_tf1', 'rmsprop_tf1': {'epsilon': 0.1}},
    gradient_multipliers=[{'pattern': 'head/', 'factor': 10.0}],
  )
  again = optimizers.OptimizationConfig(config.as_dict())
  assert again.as_dict() == config.as_dict()
  assert again.optimizer.get().epsilon == 0.1
  assert again.gradient_multipliers[0].factor == 10.0
  assert isinstance(again, optimization.OptimizationConfig)
  again.override({'optimizer': {'rmsprop_tf1': {'rho': 0.5}}})
  assert optimizers.build_optimizer(again).rho == 0.5


def test_momentum():
  config = _config(optimizer={'type': 'sgd', 'sgd': {'momentum': 0.9}})
  optimizer = optimizers.build_optimizer(config)
  v = tf.Variable(0.0)
  for _ in range(2):
    optimizer.apply_gradients([(tf.constant(1.0), v)])
  # .5 * 1, then .5 * (1 + .9).
  np.testing.assert_allclose(v, -0.5 - 0.95, rtol=1e-6)


def _step(config, gradients):
  optimizer = optimizers.build_optimizer(config)
  variables = [
    tf.Variable(tf.zeros([1]), name=n) for n in ('trunk/w', 'head/w', 'head/b')
  ]
  optimizer.apply_gradients(
    [(tf.constant([g]), v) for g, v in zip(gradients, variables)]
  )
  return [-float(v[0]) / 0.5 for v in variables]


def test_multipliers_act_by_the_first_expression_that_fits():
  multipliers = [
    {'pattern': 'head/b', 'factor': 20.0},
    {'pattern': '^head/', 'factor': 10.0},
  ]
  config = _config(gradient_multipliers=multipliers)
  np.testing.assert_allclose(_step(config, [1.0, 1.0, 1.0]), [1, 10, 20])


def test_clipping_comes_before_the_multipliers():
  # |(0, 3, 4)| = 5, clipped to 1: (0, .6, .8), then x10 on the head's weight.
  sgd = {'type': 'sgd', 'sgd': {'global_clipnorm': 1.0}}
  multipliers = [{'pattern': 'head/w', 'factor': 10.0}]
  np.testing.assert_allclose(
    _step(_config(optimizer=sgd), [0.0, 3.0, 4.0]), [0, 0.6, 0.8], rtol=1e-6
  )
  config = _config(optimizer=sgd, gradient_multipliers=multipliers)
  np.testing.assert_allclose(
    _step(config, [0.0, 3.0, 4.0]), [0, 6, 0.8], rtol=1e-6
  )
  assert config.optimizer.sgd.global_clipnorm == 1.0
  config.optimizer.sgd.clipnorm = 1.0
  with pytest.raises(ValueError, match='global_clipnorm only'):
    optimizers.build_optimizer(config)


def test_multiplier_of_a_sparse_gradient():
  v = tf.Variable(tf.zeros([3]), name='table')
  rows = tf.IndexedSlices(tf.constant([2.0]), tf.constant([1]))
  [(out, _)] = optimizers.gradient_multiplier({'table': 3.0})([(rows, v)])
  np.testing.assert_array_equal(out.values, [6.0])


def test_multiplier_that_fits_nothing_is_an_error():
  with pytest.raises(ValueError, match=r"'haed/' fits no trained variable"):
    _step(
      _config(gradient_multipliers=[{'pattern': 'haed/', 'factor': 2.0}]),
      [1.0, 1.0, 1.0],
    )
  with pytest.raises(ValueError, match='no regular expression'):
    optimizers.gradient_multiplier({'(': 2.0})


@pytest.mark.parametrize('kind', ['rmsprop_tf1', 'sgd'])
def test_resumed_run_is_bit_equal(kind, tmp_path):
  config = _config(
    {
      'type': 'exponential',
      'exponential': {
        'initial_learning_rate': 0.1,
        'decay_steps': 2,
        'decay_rate': 0.5,
        'staircase': True,
      },
    },
    optimizer={'type': kind, kind: {'momentum': 0.9}},
  )
  gradients = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)

  def start():
    v = tf.Variable(tf.ones([5]), name='v')
    optimizer = optimizers.build_optimizer(config)
    return v, optimizer, tf.train.Checkpoint(v=v, optimizer=optimizer)

  def train(v, optimizer, some):
    for g in some:
      optimizer.apply_gradients([(tf.constant(g), v)])

  v, optimizer, checkpoint = start()
  train(v, optimizer, gradients[:4])
  path = checkpoint.write(str(tmp_path / 'ckpt'))
  train(v, optimizer, gradients[4:])

  resumed, optimizer, checkpoint = start()
  status = checkpoint.read(path)
  train(resumed, optimizer, gradients[4:])
  status.assert_consumed()
  np.testing.assert_array_equal(v, resumed)
  assert int(optimizer.iterations) == 8


def test_ema_of_model_garden_names_our_key():
  config = _config(ema={'average_decay': 0.5})
  with pytest.raises(ValueError, match=r'Key ema .* set averaging_decay'):
    optimizers.build_optimizer(config)
