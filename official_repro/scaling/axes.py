"""What a study may vary: the axes, their values, and whom they concern."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, Callable

from official_repro.core import known_keys

KEPT, REMOVED = 'kept', 'removed'
ALL = 'all'
# Labels that none is below, and those that some are.
LEAVES, PARENTS = LISTS = 'leaves', 'parents'
PRETRAINED, RANDOM = 'pretrained', 'random'
# `NAME+pretrained`: pre-training starts from the checkpoint NAME, transfer from
# what that gives, the paper's "ImageNet+300M".
_THEN_PRETRAINED = f'+{PRETRAINED}'
_DEPTHS = (14, 26, 50, 101, 152)


def _is_whole(least):
  return lambda v: type(v) is int and v >= least  # a bool is an int


def _is_number(holds):
  return lambda v: type(v) in (int, float) and math.isfinite(v) and holds(v)


def _is_one_of(*known):
  return lambda v: type(v) in (str, int) and v in known


def _is_word(value):
  return isinstance(value, str) and bool(value.strip())


@dataclasses.dataclass(frozen=True)
class Axis:
  """One thing that a study may vary.

  Attributes:
    is_right: whether a value is one of it.
    wanted: what its values are, for messages.
    of_data: it changes the data that pre-training reads.
    of_pretraining: it changes pre-training.
    without_pretraining: it changes a transfer run that starts from something
      else than the study's pre-training.
  """

  is_right: Callable[[Any], bool]
  wanted: str
  of_data: bool = False
  of_pretraining: bool = True
  without_pretraining: bool = False


AXES: Mapping[str, Axis] = {
  'images': Axis(_is_whole(1), 'whole numbers from 1 on', of_data=True),
  'fraction': Axis(
    _is_number(lambda v: 0 < v <= 1),
    'numbers above 0 and up to 1',
    of_data=True,
  ),
  'epochs': Axis(_is_number(lambda v: v > 0), 'numbers above 0'),
  'vocabulary': Axis(
    _is_word, f'{ALL}, {LEAVES}, {PARENTS} or files of labels', of_data=True
  ),
  'depth': Axis(
    _is_one_of(*_DEPTHS),
    f'some of {", ".join(map(str, _DEPTHS))}',
    without_pretraining=True,
  ),
  'labels': Axis(_is_one_of('filled', 'given'), 'filled or given'),
  'noise': Axis(
    _is_number(lambda v: 0 <= v <= 1), 'numbers from 0 to 1', of_data=True
  ),
  'duplicates': Axis(
    _is_one_of(KEPT, REMOVED), f'{KEPT} or {REMOVED}', of_data=True
  ),
  'init': Axis(
    _is_word,
    f'{PRETRAINED}, {RANDOM}, a checkpoint, or CHECKPOINT{_THEN_PRETRAINED}',
    without_pretraining=True,
  ),
  'frozen': Axis(
    lambda v: isinstance(v, bool),
    'true or false',
    of_pretraining=False,
    without_pretraining=True,
  ),
  'seed': Axis(
    _is_whole(0), 'whole numbers from 0 on', without_pretraining=True
  ),
}
# Where a spec does not say: no such axis, and the setting of the preset.
DEFAULTS = {
  **dict.fromkeys(AXES),
  'vocabulary': ALL,
  'duplicates': KEPT,
  'init': PRETRAINED,
  'frozen': False,
  'seed': 0,
}


def check(axes: Any) -> dict:
  """Checks the axes of a spec.

  Args:
    axes: {axis: list of values}, as YAML holds it.

  Returns:
    {axis: tuple of values} in the order of AXES.

  Raises:
    ValueError: an unknown axis, none or repeated values, a wrong value, or
      axes that exclude each other.
  """
  if not isinstance(axes, Mapping):
    raise ValueError(f'Key axes must hold axes and their values, got {axes!r}.')
  for name, values in axes.items():
    check_name(name, 'axes.')
    if not isinstance(values, list) or not values:
      raise ValueError(
        f'Key axes.{name} must be a list with at least one value, got '
        f'{values!r}.'
      )
    for i, value in enumerate(values):
      check_value(name, value, f'axes.{name}')
      if value in values[:i]:
        raise ValueError(f'Key axes.{name} has {value!r} twice; give it once.')
  if 'images' in axes and 'fraction' in axes:
    raise ValueError(
      'Keys axes.images and axes.fraction both say how many pictures; give one.'
    )
  return {name: tuple(axes[name]) for name in AXES if name in axes}


def check_name(name: Any, prefix: str) -> None:
  """Raises ValueError where there is no such axis, with the nearest one."""
  known_keys.check_name(name, AXES, prefix, 'axis')


def check_value(name: str, value: Any, where: str) -> None:
  """Raises ValueError where a value is none of the axis."""
  if not AXES[name].is_right(value):
    raise ValueError(f'Key {where} takes {AXES[name].wanted}, got {value!r}.')


def label(point: Mapping[str, Any], names: Iterable[str]) -> str:
  """Returns 'images=1000,seed=0': readable, and fit for a folder's name.

  Args:
    point: {axis: value}.
    names: axes to show.
  """
  return ','.join(f'{n}={text(point[n])}' for n in AXES if n in set(names))


def text(value: Any) -> str:
  """Returns a value as a run's id shows it; of a path, the name's stem."""
  if isinstance(value, bool):
    return str(value).lower()
  if isinstance(value, float):
    return f'{value:g}'
  if isinstance(value, str):
    name = value.rstrip('/').rpartition('/')[2]
    return name[: -len('.txt')] if name.endswith('.txt') else name
  return str(value)


def pretraining_start(init: str) -> Any:
  """Returns what pre-training starts from, None where `init` needs none."""
  if init == PRETRAINED:
    return RANDOM
  if init.endswith(_THEN_PRETRAINED):
    return init[: -len(_THEN_PRETRAINED)]
  return None
