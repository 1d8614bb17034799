"""What a run is, apart from its name and its folders.

Two runs of the same content give the same result, in whichever study: the same
command with the same numbers, on data of the same checksums, from weights of
the same content.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, Optional

from official_repro.scaling import presets
from official_repro.scaling import run as run_lib

# Of a run's flags, those that only say where its own files go.
_OWN_PLACES = ('output', 'model_dir')


def of(state: Any, run: run_lib.Run) -> Optional[str]:
  """Returns a hash of what a run is.

  Args:
    state: state.State of the study.
    run: one of its runs.

  Returns:
    The hash; None while a flag or the data that it reads is not known.
  """
  flags = state.flags(run)
  places = _places(state, run)
  if flags is None or None in places.values():
    return None
  override = json.loads(flags.pop('params_override', '{}'))
  if run.length:
    flags.setdefault('train_steps', run.length.preset.steps)
  for which, _, file in run.lists:  # of what data_dir holds
    for name in flags.keys() & {'labels', 'having'}:
      flags[name] = flags[name].replace(file, which)
  text = json.dumps(
    {
      'module': run.module,
      'flags': {
        name: places.get(value, value)
        for name, value in flags.items()
        if name not in _OWN_PLACES
      },
      'override': _without_defaults(override, run),
    },
    sort_keys=True,
  )
  return hashlib.sha256(text.encode()).hexdigest()


def _places(state, run):
  """Returns {folder that the run reads: hash of what is in it, or None}."""
  found = {path: _of_data(path) for path in run.inputs}
  for name in run.depends:
    before = state.runs[name]
    if before.stage == run_lib.DATA:
      found[before.output] = _of_data(before.output)
    elif before.stage != run_lib.CHOICE or not run.rate_of:
      found[before.output] = of(state, before)
  return found


def _of_data(folder):
  """The manifest holds the checksum of every shard."""
  try:
    with open(os.path.join(folder, 'dataset.json'), 'rb') as f:
      return hashlib.sha256(f.read()).hexdigest()
  except OSError:
    return None


def _without_defaults(override: Mapping[str, Any], run: run_lib.Run) -> dict:
  """Leaves out what the preset says itself."""
  if run.length is None:
    return dict(override)
  said = presets.defaults(run.module, run.experiment)
  task = dict(override.get('task', {}))
  for group, name in (('model', 'depth'), ('train_data', 'labels')):
    values = dict(task.get(group, {}))
    if name in said and values.get(name) == said[name]:
      del values[name]
      task[group] = values
  task = {k: v for k, v in task.items() if v != {}}
  rest = {k: v for k, v in override.items() if k != 'task'}
  return {**rest, 'task': task} if task else rest
