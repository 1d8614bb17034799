"""What is wrong with a study although each of its keys is right."""

import difflib

from official_repro.core import flags as core_flags
from official_repro.scaling import axes as axes_lib
from official_repro.scaling import paper, presets, spec_types


def check(spec: spec_types.Spec, evaluates_pretraining: bool) -> None:
  """Checks the parts of a spec against each other.

  Args:
    spec: from spec.parse.
    evaluates_pretraining: whether its tasks name pretraining.

  Raises:
    ValueError: something does not fit, in one sentence.
  """
  if not spec.tasks and not evaluates_pretraining:
    raise ValueError(
      f'Key tasks is empty; name some of {", ".join(spec_types.TASKS)}.'
    )
  both = set(spec.generate) & set(spec.data)
  if both:
    raise ValueError(
      f'Data {min(both)} is in generate and in data; give it once.'
    )
  for prefix, training in _trainings(spec):
    _check_training(spec, prefix, training)
  _check_pretraining(spec, evaluates_pretraining)
  for init in spec.values('init'):
    _check_init(spec, init)
  _check_noise(spec)
  for flags in spec.dedup:
    if 'against_dir' in flags:
      _check_data(spec, flags['against_dir'], 'dedup.against_dir')
  _check_choice(spec)
  if spec.paper is not None:
    paper.find(spec.paper)


def _trainings(spec):
  if spec.pretrain:
    yield 'pretrain', spec.pretrain
  for name, task in spec.tasks.items():
    yield f'tasks.{name}', task
  for name, checkpoint in spec.checkpoints.items():
    if isinstance(checkpoint, spec_types.Training):
      yield f'checkpoints.{name}', checkpoint


def _check_training(spec, prefix, training):
  _check_data(spec, training.data, f'{prefix}.data')
  try:
    _check_presets(spec, training)
  except ValueError as e:
    raise ValueError(f'Key {prefix}.experiment: {e}') from e
  if training.freeze not in core_flags.STAGES:
    raise ValueError(
      f'Key {prefix}.freeze must be one of {", ".join(core_flags.STAGES)}, got '
      f'{training.freeze!r}.'
    )
  trainer = training.override.get('trainer')
  if 'trainer.train_steps' in training.override or (
    isinstance(trainer, dict) and 'train_steps' in trainer
  ):
    raise ValueError(
      f'Key {prefix}.override sets trainer.train_steps; use {prefix}.steps, '
      'with which the learning rate keeps pace.'
    )


def _check_presets(spec, training):
  for depth in spec.values('depth'):
    for name in (
      training.experiment,
      training.frozen_experiment,
      training.random_experiment,
    ):
      if name is None:
        continue
      if presets.DEPTH in name and depth is None:
        raise ValueError(f'{name!r} has a depth, but there is no axis depth.')
      presets.find(training.module, name.replace(presets.DEPTH, str(depth)))


def _check_data(spec, name, where):
  known = [*spec.generate, *spec.data]
  if name not in known:
    near = difflib.get_close_matches(str(name), known, 1, cutoff=0.4)
    hint = (
      f'did you mean {near[0]}?'
      if near
      else 'define it in generate or data'
      + (f'; known: {", ".join(known)}.' if known else '.')
    )
    raise ValueError(
      f'Key {where} is {name!r}, which is no data of this spec; {hint}'
    )


def _check_pretraining(spec, evaluated):
  """Checks that what needs pre-training finds it."""
  starts = [axes_lib.pretraining_start(v) for v in spec.values('init')]
  needed = evaluated or any(start is not None for start in starts)
  if needed and spec.pretrain is None:
    raise ValueError(
      'Key pretrain is missing, and runs are to start from it; add it, or give '
      'axes.init other starts.'
    )
  if spec.pretrain is None:
    concerned = [
      n for n, a in axes_lib.AXES.items() if not a.without_pretraining
    ]
    for name in concerned:
      if name in spec.axes:
        raise ValueError(
          f'Key axes.{name} varies pre-training, but there is no pretrain.'
        )
  elif 'epochs' in spec.axes and spec.pretrain.steps is not None:
    raise ValueError(
      'Keys axes.epochs and pretrain.steps both say how long to train; give '
      'one.'
    )


def _check_init(spec, init):
  start = axes_lib.pretraining_start(init)
  name = init if start is None else start
  if name in (axes_lib.RANDOM, *spec.checkpoints) or '/' in name:
    return
  known = [axes_lib.PRETRAINED, axes_lib.RANDOM, *spec.checkpoints]
  near = difflib.get_close_matches(name, known, 1)
  hint = (
    f'did you mean {near[0]}?'
    if near
    else f'known: {", ".join(known)}; a path has a / in it.'
  )
  raise ValueError(f'Key axes.init has {init!r}, which is unknown; {hint}')


def _check_noise(spec):
  if 'noise' not in spec.axes:
    return
  flags = spec.generate.get(spec.pretrain.data, {})
  if flags.get('source') != 'mini_jft':
    raise ValueError(
      'Key axes.noise needs data that mini_jft generates, but pretrain.data is '
      f'{spec.pretrain.data!r}.'
    )


def _check_choice(spec):
  choice = spec.choice
  if choice is None:
    for name, task in spec.tasks.items():
      if task.learning_rates:
        raise ValueError(
          f'Key tasks.{name}.learning_rates is given, but no learning_rate '
          'says where they are tried.'
        )
    return
  for name in choice.tasks:
    if name not in spec.tasks:
      raise ValueError(
        f'Key learning_rate.tasks has {name!r}, which is no transfer task of '
        f'this spec; known: {", ".join(spec.tasks)}.'
      )
    if not spec.tasks[name].learning_rates:
      raise ValueError(
        f'Key tasks.{name}.learning_rates is missing, and learning_rate.tasks '
        'names the task.'
      )
  for name, data in choice.data.items():
    if name not in choice.tasks:
      raise ValueError(
        f'Key learning_rate.data has {name!r}, which is not in '
        'learning_rate.tasks.'
      )
    _check_data(spec, data, f'learning_rate.data.{name}')
  _check_point(spec)


def _check_point(spec):
  """Checks that `at` is one point, and one that is not reported."""
  at = spec.choice.at
  for name, value in at.items():
    axes_lib.check_name(name, 'learning_rate.at.')
    axes_lib.check_value(name, value, f'learning_rate.at.{name}')
  for name, values in spec.axes.items():
    free = name in ('init', 'frozen', 'seed')  # of these it has one anyway
    if name not in at and len(values) > 1 and not free:
      raise ValueError(
        f'Key learning_rate.at lacks {name}, which has {len(values)} values; '
        'give one.'
      )
  if 'images' in at and 'fraction' in at:
    raise ValueError('Key learning_rate.at has images and fraction; give one.')
  if at.get('seed') is None or at['seed'] in spec.values('seed'):
    raise ValueError(
      f'Key learning_rate.at.seed is {at.get("seed")!r}; give a seed that is '
      'not reported, as 100.'
    )
  if 'init' in at:
    _check_init(spec, at['init'])
