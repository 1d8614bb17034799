"""The command line of each task of a job, checked as the binary would."""

import copy
import difflib
import importlib
from collections.abc import Mapping
from typing import Any

from absl import flags

from official_repro.core import flags as core_flags

MODULES = (
  'official_repro.train',
  'object_detection.train',
  'deeplab.train',
  'pose.train',
)
# An evaluator looks at the checkpoints that the others write.
_OF_EVALUATOR = {'mode': 'continuous_eval', 'strategy': 'one_device'}


def words(module: str, values: Mapping[str, Any], kind: str) -> list:
  """Returns [module, '--flag=value', ...] of a task.

  Args:
    module: one of MODULES.
    values: {flag: value}, a list for a flag that may come several times.
    kind: chief, worker, ps or evaluator.
  """
  if kind == 'evaluator':
    values = {**values, **_OF_EVALUATOR}
  return [module, *_flag_words(values)]


def _flag_words(values):
  return [
    f'--{name}={_text(one)}'
    for name, value in values.items()
    for one in (value if isinstance(value, list) else [value])
  ]


def _text(value):
  return str(value).lower() if isinstance(value, bool) else str(value)


def parse(values: Mapping[str, Any]) -> flags.FlagValues:
  """Parses flags as a training binary does, without running it.

  Args:
    values: {flag: value}, as in `words`.

  Raises:
    ValueError: there is no such flag, or it does not take the value.
  """
  known = _training_flags()
  for name in values:
    if name not in known:
      near = difflib.get_close_matches(str(name), list(known), 1)
      hint = f'did you mean {near[0]}?' if near else 'see --help of the binary.'
      raise ValueError(
        f'Key command.flags.{name} is no flag of the training binaries; {hint}'
      )
  try:
    known(['train', *_flag_words(values)])
  except flags.Error as e:
    text = ' '.join(str(e).split()).rstrip('.')
    raise ValueError(f'Key command.flags has a wrong value: {text}.') from e
  return known


def check_experiment(module: str, experiment: str) -> None:
  """Checks that the binary has the preset; imports TensorFlow for it.

  Args:
    module: one of MODULES.
    experiment: of its flag --experiment.

  Raises:
    ValueError: there is no such preset, with the nearest one.
  """
  package = module.rpartition('.')[0]
  presets = importlib.import_module(f'{package}.experiments').EXPERIMENTS
  if experiment not in presets:
    near = difflib.get_close_matches(experiment, presets, 1, cutoff=0.4)
    hint = (
      f'did you mean {near[0]}?' if near else f'known: {", ".join(presets)}'
    )
    raise ValueError(
      f'Key command.flags.experiment got {experiment!r}, which {module} does '
      f'not have; {hint}'
    )


def _training_flags():
  """Returns a set of flags of its own, as `define_training_flags` defines."""
  # absl knows only the process' flags: they are defined there, copied, and
  # taken back unless this process had them before.
  every = flags.FLAGS
  before = set(every)
  if 'experiment' not in before:
    core_flags.define_training_flags()
  own = flags.FlagValues()
  for flag in every.get_flags_for_module(core_flags.__name__):
    own[flag.name] = copy.deepcopy(flag)
    own[flag.name].unparse()
  for name in set(every) - before:
    delattr(every, name)
  return own
