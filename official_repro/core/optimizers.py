"""Optimizers and learning rate schedules, on top of Model Garden's.

The configuration is `official.modeling.optimization.OptimizationConfig` with
four additions: the optimizer `rmsprop_tf1`, one number that scales a stepwise
schedule, learning rate multipliers for chosen variables, and Polyak averaging.
"""

import dataclasses
import re
from typing import Any, Callable, Optional, Union

import tensorflow as tf
from official.modeling import optimization
from official.modeling.hyperparams import base_config

from official_repro.core import averaging
from official_repro.core.rmsprop import TF1RMSprop

GradsAndVars = list[tuple[tf.Tensor, tf.Variable]]
Schedule = tf.keras.optimizers.schedules.LearningRateSchedule


optimization.register_optimizer_cls('rmsprop_tf1', TF1RMSprop)


@dataclasses.dataclass
class RMSPropTF1Config(optimization.BaseOptimizerConfig):
  """Arguments of TF1RMSprop and of gradient clipping."""

  name: str = 'RMSprop'
  rho: float = 0.9
  momentum: float = 0.9
  epsilon: float = 1.0


@dataclasses.dataclass
class OptimizerConfig(optimization.OptimizerConfig):
  """Model Garden's choice of optimizers and `rmsprop_tf1`."""

  rmsprop_tf1: RMSPropTF1Config = dataclasses.field(
    default_factory=RMSPropTF1Config
  )


@dataclasses.dataclass
class StepwiseLrConfig(optimization.StepwiseLrConfig):
  """Model Garden's `boundaries` and `values`, scaled by one number.

  Attributes:
    initial_learning_rate: when given, all values are multiplied so that the
      first one is this; a factor of ten stays a factor of ten.
  """

  initial_learning_rate: Optional[float] = None


@dataclasses.dataclass
class LrConfig(optimization.LrConfig):
  """Model Garden's schedules; see StepwiseLrConfig."""

  stepwise: StepwiseLrConfig = dataclasses.field(
    default_factory=StepwiseLrConfig
  )


@dataclasses.dataclass
class GradientMultiplier(base_config.Config):
  """Learning rate factor of some variables.

  Attributes:
    pattern: regular expression searched in the variable's name.
    factor: its gradient is multiplied by this, after clipping. For SGD with
      and without momentum that is a factor on the learning rate (and on the
      weight decay in the loss); for RMSProp and Adam it is not.
  """

  pattern: str = ''
  factor: float = 1.0


@dataclasses.dataclass
class OptimizationConfig(optimization.OptimizationConfig):
  """Optimizer, schedule, warm-up, gradient multipliers, averaging.

  Clipping is a field of each optimizer, e.g. `optimizer.sgd.global_clipnorm`.

  Attributes:
    averaging_decay: of Polyak averaging, see averaging.wrap; 0 for none.
  """

  optimizer: OptimizerConfig = dataclasses.field(
    default_factory=OptimizerConfig
  )
  learning_rate: LrConfig = dataclasses.field(default_factory=LrConfig)
  gradient_multipliers: list[GradientMultiplier] = dataclasses.field(
    default_factory=list
  )
  averaging_decay: float = 0.0

  def learning_rate_key(self) -> str:
    """Returns the dotted key that holds the base learning rate.

    Raises:
      ValueError: no schedule is chosen, or it has no base learning rate.
    """
    kind = self.learning_rate.type
    if kind == 'constant':
      return 'learning_rate.constant.learning_rate'
    if hasattr(_chosen(self, 'learning_rate'), 'initial_learning_rate'):
      return f'learning_rate.{kind}.initial_learning_rate'
    raise ValueError(
      f'The schedule learning_rate.type={kind} has no base learning rate: '
      f'set its values in learning_rate.{kind} instead.'
    )


def cosine_with_warmup(
  learning_rate: float,
  total_steps: int,
  warmup_steps: int,
  warmup_learning_rate: float = 0.0,
) -> dict[str, Any]:
  """Settings of a linear warm-up followed by a half cosine down to zero.

  As `cosine_decay_with_warmup` of the TF Object Detection API: the cosine
  counts from the end of the warm-up and reaches 0 at `total_steps`.

  Args:
    learning_rate: at the end of the warm-up.
    total_steps: of the whole run, warm-up included.
    warmup_steps: below `total_steps`; 0 for none.
    warmup_learning_rate: at step 0.

  Returns:
    {'learning_rate': ..., 'warmup': ...} for OptimizationConfig.

  Raises:
    ValueError: the warm-up is as long as the run, or longer.
  """
  if not 0 <= warmup_steps < total_steps:
    raise ValueError(
      f'warmup_steps must be in [0, total_steps), got {warmup_steps} of '
      f'{total_steps}.'
    )
  cosine = {
    'initial_learning_rate': learning_rate,
    'decay_steps': total_steps - warmup_steps,
    'offset': warmup_steps,
  }
  config = {'learning_rate': {'type': 'cosine', 'cosine': cosine}}
  if warmup_steps:
    linear = {
      'warmup_steps': warmup_steps,
      'warmup_learning_rate': warmup_learning_rate,
    }
    config['warmup'] = {'type': 'linear', 'linear': linear}
  return config


def build_learning_rate(config: OptimizationConfig) -> Union[float, Schedule]:
  """Builds the schedule.

  Steps are counted in float32: beyond 16.7 million a change may come a few
  steps early or late.

  Args:
    config: with `learning_rate.type` set.

  Returns:
    A Keras schedule, or the number itself for a constant one.

  Raises:
    ValueError: no, an unknown or an incomplete schedule.
  """
  schedule = _chosen(config, 'learning_rate')
  missing = [k for k in _REQUIRED if getattr(schedule, k, 0) is None]
  kind = config.learning_rate.type
  if kind == 'stepwise':
    config = config.replace()
    config.learning_rate.stepwise = _stepwise(schedule)
    missing = []
  if missing:
    raise ValueError(
      f'learning_rate.{kind}.{missing[0]} is not set: give it a value.'
    )
  return optimization.OptimizerFactory(
    _factory_config(config)
  ).build_learning_rate()


def build_optimizer(
  config: OptimizationConfig,
) -> tf.keras.optimizers.legacy.Optimizer:
  """Builds the optimizer with its schedule, clipping and multipliers.

  Its step counter and slots are restored bit for bit from a
  `tf.train.Checkpoint` that tracks it.

  Args:
    config: with `optimizer.type` and `learning_rate.type` set.

  Returns:
    A legacy Keras optimizer, with averaging.wrap around it where wanted.

  Raises:
    ValueError: no, an unknown or an incomplete optimizer or schedule.
  """
  _chosen(config, 'optimizer')
  learning_rate = build_learning_rate(config)
  _check_ema(config)
  # As an option of the wrapper, which is the one that sees the gradients.
  transformers = None
  if config.gradient_multipliers or config.averaging_decay:
    config = config.replace()
    transformers = _take_clipping(config)
  if config.gradient_multipliers:
    factors = {m.pattern: m.factor for m in config.gradient_multipliers}
    transformers = [*transformers, gradient_multiplier(factors)]
  averaged = bool(config.averaging_decay)
  optimizer = optimization.OptimizerFactory(
    _factory_config(config)
  ).build_optimizer(
    learning_rate, gradient_transformers=None if averaged else transformers
  )
  if not isinstance(optimizer, tf.keras.optimizers.legacy.Optimizer):
    raise ValueError(
      f'optimizer.type={config.optimizer.type} is not a legacy Keras '
      'optimizer: use rmsprop_tf1, sgd or adam.'
    )
  if not averaged:
    return optimizer
  return averaging.wrap(
    optimizer, config.averaging_decay, gradient_transformers=transformers
  )


def gradient_multiplier(
  multipliers: dict[str, float],
) -> Callable[[GradsAndVars], GradsAndVars]:
  """Returns a gradient transformer that scales by variable name.

  Args:
    multipliers: {regular expression: factor}. The first expression found in a
      variable's name decides; a variable that none fits keeps its gradient.

  Returns:
    Function on a list of (gradient, variable), for `gradient_transformers`.
    It raises ValueError when an expression fits no variable.

  Raises:
    ValueError: a broken expression.
  """
  rules = []
  for pattern, factor in multipliers.items():
    try:
      rules.append((re.compile(pattern), factor))
    except re.error as e:
      raise ValueError(
        f'gradient_multipliers: {pattern!r} is no regular expression: {e}.'
      ) from e

  def transform(grads_and_vars):
    pairs = list(grads_and_vars)
    names = [v.name for _, v in pairs]
    for rule, _ in rules:
      if not any(rule.search(name) for name in names):
        raise ValueError(
          f'gradient_multipliers: {rule.pattern!r} fits no trained variable; '
          f'the last of them is {names[-1] if names else None!r}.'
        )
    return [(_scale(g, _factor(rules, v.name)), v) for g, v in pairs]

  return transform


# Fields that Model Garden leaves at None and then fails on, deep inside.
_REQUIRED = (
  'initial_learning_rate',
  'decay_steps',
  'decay_rate',
  'total_decay_steps',
  'boundaries',
  'values',
)


def _chosen(config, field):
  """Returns the chosen part of a OneOfConfig, or raises a clear error."""
  one_of = getattr(config, field)
  known = sorted(set(vars(one_of)) - {'type'} - set(one_of.RESERVED_ATTR))
  if one_of.type not in known:
    raise ValueError(
      f'{field}.type must be one of {", ".join(known)}, got {one_of.type!r}.'
    )
  return one_of.get()


def _check_ema(config):
  """Model Garden's averaging is not what the trainer evaluates with."""
  if config.ema is not None:
    raise ValueError(
      'Key ema of the optimizer_config is not used here: set averaging_decay '
      'for the moving average of the weights.'
    )


def _stepwise(schedule):
  """Model Garden's form of a StepwiseLrConfig, with the values scaled."""
  boundaries, values = schedule.boundaries, schedule.values
  if not values or boundaries is None or len(values) != len(boundaries) + 1:
    raise ValueError(
      'learning_rate.stepwise wants one value more than boundaries, got '
      f'boundaries={boundaries}, values={values}.'
    )
  if schedule.initial_learning_rate is not None:
    if not values[0]:
      raise ValueError(
        'learning_rate.stepwise.values starts with 0, so that '
        'initial_learning_rate cannot scale it: give the values themselves.'
      )
    scale = schedule.initial_learning_rate / values[0]
    values = [v * scale for v in values]
  return StepwiseLrConfig(
    boundaries=list(boundaries), values=list(values), offset=schedule.offset
  )


def _factory_config(config):
  """The configuration without what Model Garden's factory does not know."""
  learning_rate = config.learning_rate.as_dict()
  learning_rate.get('stepwise', {}).pop('initial_learning_rate', None)
  out = config.replace()
  out.learning_rate = optimization.LrConfig(learning_rate)
  # The factory wants an optimizer even where only the schedule is built.
  out.optimizer.type = out.optimizer.type or 'sgd'
  return out


def _take_clipping(config):
  """Clears the clipping options of `config`; returns them as transformers.

  Keras does not take both clipping options and transformers.
  """
  chosen = config.optimizer.get()
  if chosen.clipnorm is not None or chosen.clipvalue is not None:
    raise ValueError(
      'gradient_multipliers and averaging_decay go with global_clipnorm only, '
      f'got clipnorm={chosen.clipnorm}, clipvalue={chosen.clipvalue}.'
    )
  norm, chosen.global_clipnorm = chosen.global_clipnorm, None
  if norm is None:
    return []

  def clip(grads_and_vars):
    gradients, variables = zip(*grads_and_vars)
    clipped, _ = tf.clip_by_global_norm(gradients, norm)
    return list(zip(clipped, variables))

  return [clip]


def _factor(rules, name):
  return next((f for rule, f in rules if rule.search(name)), 1.0)


def _scale(gradient, factor):
  if factor == 1.0:
    return gradient
  if isinstance(gradient, tf.IndexedSlices):
    return tf.IndexedSlices(
      gradient.values * factor, gradient.indices, gradient.dense_shape
    )
  return gradient * factor
