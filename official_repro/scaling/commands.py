"""The command line of a run: exactly what a user could type."""

import hashlib
import json
import os
import shlex
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from cluster import command
from official_repro.scaling import run as run_lib

# What stands in a command that is shown before its numbers are known.
_LATER = {
  'train_steps': 'known-when-the-data-is-made',
  'learning_rate': 'chosen-before',
}


def values(run: run_lib.Run, rates: Mapping[str, float]) -> Optional[dict]:
  """Returns {flag: value} of a run.

  Args:
    run: from runs.plan.
    rates: {task: chosen learning rate}, as far as they are chosen.

  Returns:
    The flags; None while the data that decides on the number of steps is not
    made, or the learning rate is not chosen.
  """
  flags = _filled(run, rates)
  return None if None in flags.values() else flags


def _filled(run, rates):
  """Returns all flags, None for what is not known yet."""
  flags, override = dict(run.flags), run.override
  if run.length and run.length.given:
    steps = flags['train_steps'] = run.length.now()
    if steps is not None:
      override = merged(run.length.preset.stretched(steps), override)
  if run.rate_of:
    flags['learning_rate'] = rates.get(run.rate_of)
  if override:
    flags['params_override'] = json.dumps(override)
  return flags


def words(run: run_lib.Run, flags: Mapping[str, Any]) -> list[str]:
  """Returns [module, '--flag=value', ...]."""
  return command.words(run.module, flags, 'worker')


def shown(run: run_lib.Run, rates: Mapping[str, float]) -> str:
  """Returns the command as a user types it; says what is not known yet."""
  flags = {
    name: _LATER[name] if value is None else value
    for name, value in _filled(run, rates).items()
  }
  return shlex.join(['python', '-m', *words(run, flags)])


def check(run: run_lib.Run) -> None:
  """Checks that a training binary takes a run's flags.

  Raises:
    ValueError: there is no such flag, or it does not take the value.
  """
  if run.module not in command.MODULES:
    return
  try:
    command.parse(run.flags)
  except ValueError as e:
    text = str(e).replace('Key command.flags', f'Run {run.run_id}: flag')
    raise ValueError(text) from e


def digest(
  run: run_lib.Run,
  flags: Mapping[str, Any],
  output: str,
  before: Iterable[str],
) -> str:
  """Returns a hash that changes when the run would give something else.

  Args:
    run: from runs.plan.
    flags: from `values`.
    output: the study's folder, wherever it is now.
    before: hashes of the runs that it depends on.
  """
  content = {
    'command': [
      _without_places(word, run, output) for word in words(run, flags)
    ],
    'before': sorted(before),
    'inputs': [_hash(_manifest(path)) for path in run.inputs],
  }
  lists = _own_lists(run, flags)
  if lists:
    content['lists'] = [_hash(path) for path in lists]
  text = json.dumps(content, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def _without_places(word, run, output):
  """Folders may move; what is in them counts."""
  for path in run.inputs:
    if word.endswith(f'={path}'):
      return word[: -len(path)] + '{input}'
  return word.replace(f'={os.path.join(output, "")}', '={output}/')


def _manifest(folder):
  return os.path.join(folder, 'dataset.json')


def _own_lists(run, flags):
  """Files with labels that the user wrote; the study's are made from data."""
  named = [flags.get('labels', ''), *flags.get('having', '').split(',')]
  written = [file for _, _, file in run.lists]
  return [file for file in named if file and file not in written]


def _hash(path):
  try:
    with open(path, 'rb') as f:
      return hashlib.sha256(f.read()).hexdigest()
  except OSError:
    return ''


def nested(flat: Mapping[str, Any]) -> dict:
  """{'a.b': 1} -> {'a': {'b': 1}}, at any depth."""
  out: dict = {}
  for key, value in flat.items():
    value = nested(value) if isinstance(value, Mapping) else value
    for part in reversed(str(key).split('.')):
      value = {part: value}
    out = merged(out, value)
  return out


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict:
  """Lays a nested mapping over another one."""
  out = dict(below)
  for key, value in above.items():
    if isinstance(value, Mapping) and isinstance(out.get(key), Mapping):
      value = merged(out[key], value)
    out[key] = value
  return out
