"""The description of a study: one YAML file, see scaling/specs/.

Keys, all but name, axes and tasks with a default or left out at will:

  name           [a-z0-9_]+, which the study's folder keeps
  title          a line for the report
  paper          key of scaling/paper.py: the exhibit beside the result
  generate       {data name: {flag: value}} of official_repro.build_records
  data           {data name: folder}, which exist; paths from --data_root on
  checkpoints    {name: path}, or {name: {experiment, data, ...}} for one that
                 the study trains, once for each seed and depth
  dedup          list of {flag: value} of official_repro.dedup, one after the
                 other, for duplicates: removed; against_dir may be a data name.
                 Default: against the split validation of the data itself
  pretrain       experiment, data, epochs or steps, override, learning_rate
  axes           {axis: values}, see scaling/axes.py; with seed, each seed also
                 draws its own images, or fraction, of the data
  tasks          {task: {experiment, data, metric, ...}} of TASKS. metric: of
                 metrics.jsonl, the larger the better, or a list of them.
                 freeze: stage for frozen: true (default conv5).
                 frozen_experiment, random_experiment: other presets for it and
                 for init: random. learning_rates: to be tried, see below.
                 pretraining has a metric only
  learning_rate  at: {axis: value}, tasks: [...], data: {task: data name}: each
                 task's learning_rates are tried at this one point (on other
                 data where given), the best is used in all its runs
  cluster        keys of cluster/spec.py (image, volumes, ...), for
                 --render_target

`{depth}` in the name of an experiment becomes the depth; without it the axis
depth overrides task.model.depth.
"""

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Any, Optional

import yaml

from official_repro.core import known_keys
from official_repro.scaling import axes as axes_lib
from official_repro.scaling import presets, spec_checks
from official_repro.scaling.spec_types import (
  DEFAULT_FREEZE,
  PRETRAINING,
  TASKS,
  Choice,
  Spec,
  Training,
)

_NAME = re.compile(r'[a-z0-9_]+')
_KEYS = (
  'name',
  'title',
  'paper',
  'generate',
  'data',
  'checkpoints',
  'dedup',
  'pretrain',
  'axes',
  'tasks',
  'learning_rate',
  'cluster',
)
_LENGTH_KEYS = ('epochs', 'steps')
_TRAINING_KEYS = (
  'experiment',
  'data',
  *_LENGTH_KEYS,
  'override',
  'learning_rate',
)
_TASK_KEYS = (
  *_TRAINING_KEYS,
  'metric',
  'freeze',
  'frozen_experiment',
  'random_experiment',
  'learning_rates',
)


def load(path: str, data_root: Optional[str] = None) -> Spec:
  """Reads and checks a spec.

  Args:
    path: YAML file.
    data_root: folder from which paths in it count; None: the file's.

  Raises:
    ValueError: it is no YAML, a key, axis or task is unknown, a value is wrong,
      or keys do not fit each other; in one sentence that names the file.
    OSError: it cannot be read.
  """
  with open(path, encoding='utf-8') as f:
    text = f.read()
  try:
    content = yaml.safe_load(text)
  except yaml.YAMLError as e:
    reason = ' '.join(str(e).split())
    raise ValueError(f'Spec {path!r} is not YAML: {reason}.') from e
  try:
    return parse(content, data_root or os.path.dirname(path) or '.', text)
  except ValueError as e:
    raise ValueError(f'Spec {path!r}: {e}') from e


def parse(content: Any, data_root: str = '.', text: str = '') -> Spec:
  """Makes a Spec of what the YAML holds.

  Args:
    content: the parsed file.
    data_root: folder from which paths count.
    text: of the file.

  Raises:
    ValueError: see `load`.
  """
  known_keys.check_keys('', content, _KEYS)
  for key in ('name', 'axes', 'tasks'):
    if key not in content:
      raise ValueError(f'Key {key} is missing.')
  name = content['name']
  if not isinstance(name, str) or not _NAME.fullmatch(name):
    raise ValueError(
      f'Key name must be lower case letters, digits and _, got {name!r}.'
    )
  tasks = dict(_mapping(content, 'tasks'))
  pretraining = tasks.pop(PRETRAINING, None)
  spec = Spec(
    name=name,
    title=str(content.get('title', name)),
    paper=content.get('paper'),
    generate=_generated(_mapping(content, 'generate')),
    data=_data(_mapping(content, 'data'), data_root),
    checkpoints={
      k: _checkpoint(k, v, data_root)
      for k, v in _mapping(content, 'checkpoints').items()
    },
    dedup=_dedup(content),
    pretrain=_pretrain(content.get('pretrain'), pretraining),
    axes=axes_lib.check(content['axes']),
    tasks={k: _task(k, v) for k, v in tasks.items()},
    choice=_choice(content.get('learning_rate')),
    cluster=_mapping(content, 'cluster'),
    data_root=data_root,
    text=text,
  )
  spec_checks.check(spec, pretraining is not None)
  return spec


def _mapping(content, key):
  value = content.get(key)
  value = {} if value is None else value
  if not isinstance(value, Mapping):
    raise ValueError(f'Key {key} must hold names and values, got {value!r}.')
  return value


def _generated(content):
  for name, flags in content.items():
    prefix = f'generate.{name}'
    if not isinstance(name, str) or not _NAME.fullmatch(name):
      raise ValueError(
        f'Names in generate must be lower case letters, digits and _, got '
        f'{name!r}.'
      )
    _check_flags(prefix, flags)
    if 'source' not in flags:
      raise ValueError(f'Key {prefix}.source is missing.')
  return content


def _check_flags(prefix, flags, taken=('output', 'data_dir', 'overwrite')):
  known_keys.check_keys(f'{prefix}.', flags, flags)
  for flag, value in flags.items():
    if flag in taken:
      raise ValueError(
        f'Key {prefix}.{flag} is set by the study; leave it out.'
      )
    if not isinstance(value, (str, int, float, list)):
      raise ValueError(
        f'Key {prefix}.{flag} must be a text, a number or true/false, got '
        f'{value!r}.'
      )


def _data(content, data_root):
  for name, path in content.items():
    if not isinstance(path, str) or not path:
      raise ValueError(f'Key data.{name} must be a folder, got {path!r}.')
  return {k: os.path.join(data_root, v) for k, v in content.items()}


def _dedup(content):
  steps = content.get('dedup', [{'against': 'validation'}])
  if not isinstance(steps, list) or not steps:
    raise ValueError(
      f'Key dedup must be a list of flags and their values, got {steps!r}.'
    )
  for i, flags in enumerate(steps):
    _check_flags(f'dedup[{i}]', flags)
  return tuple(steps)


def _checkpoint(name, content, data_root):
  if isinstance(content, str):
    return os.path.join(data_root, content)
  prefix = f'checkpoints.{name}'
  known_keys.check_keys(f'{prefix}.', content, _TRAINING_KEYS)
  return _training(name, presets.TRAIN, content, prefix)


def _pretrain(content, pretraining):
  """Returns pre-training with the metric that tasks.pretraining names."""
  metrics = ()
  if pretraining is not None:
    known_keys.check_keys(f'tasks.{PRETRAINING}.', pretraining, ('metric',))
    metrics = _metrics(pretraining, f'tasks.{PRETRAINING}')
  if content is None:
    return None
  known_keys.check_keys('pretrain.', content, _TRAINING_KEYS)
  training = _training(PRETRAINING, presets.TRAIN, content, 'pretrain')
  return dataclasses.replace(training, metrics=metrics)


def _task(name, content):
  if name not in TASKS:
    known_keys.check_name(name, TASKS, 'tasks.', 'task')
  prefix = f'tasks.{name}'
  known_keys.check_keys(f'{prefix}.', content, _TASK_KEYS)
  rates = content.get('learning_rates', [])
  if not isinstance(rates, list):
    raise ValueError(
      f'Key {prefix}.learning_rates must be a list, got {rates!r}.'
    )
  rates = tuple(_rate(v, f'{prefix}.learning_rates') for v in rates)
  if len(set(rates)) < len(rates):
    raise ValueError(f'Key {prefix}.learning_rates has a value twice: {rates}.')
  if rates and content.get('learning_rate') is not None:
    raise ValueError(
      f'Keys {prefix}.learning_rate and learning_rates exclude each other.'
    )
  return dataclasses.replace(
    _training(name, TASKS[name], content, prefix),
    metrics=_metrics(content, prefix),
    freeze=str(content.get('freeze', DEFAULT_FREEZE)),
    frozen_experiment=content.get('frozen_experiment'),
    random_experiment=content.get('random_experiment'),
    learning_rates=rates,
  )


def _training(name, module, content, prefix):
  for key in ('experiment', 'data'):
    if not isinstance(content.get(key), str):
      raise ValueError(
        f'Key {prefix}.{key} must be a name, got {content.get(key)!r}.'
      )
  rate = content.get('learning_rate')
  override = content.get('override') or {}
  if not isinstance(override, Mapping):
    raise ValueError(
      f'Key {prefix}.override must hold keys and values, got {override!r}.'
    )
  return Training(
    name,
    module,
    content['experiment'],
    content['data'],
    **_length(content, prefix),
    override=override,
    learning_rate=(
      None if rate is None else _rate(rate, f'{prefix}.learning_rate')
    ),
  )


def _length(content, prefix):
  given = {k: content[k] for k in _LENGTH_KEYS if content.get(k) is not None}
  if len(given) > 1:
    raise ValueError(
      f'Keys {prefix}.epochs and {prefix}.steps both say how long to train; '
      'give one.'
    )
  if 'epochs' in given:
    axes_lib.check_value('epochs', given['epochs'], f'{prefix}.epochs')
  if 'steps' in given:
    axes_lib.check_value('images', given['steps'], f'{prefix}.steps')
  return given


def _metrics(content, prefix):
  found = content.get('metric')
  names = found if isinstance(found, list) else [found]
  if not names or not all(isinstance(n, str) and n for n in names):
    raise ValueError(
      f'Key {prefix}.metric must be the name of a metric as in metrics.jsonl, '
      f'such as AP50, or a list of them, got {found!r}.'
    )
  return tuple(names)


def _rate(value, where):
  try:  # YAML 1.1 reads 1e-3 as text
    number = float(value)
  except (TypeError, ValueError):
    number = 0.0
  if isinstance(value, bool) or not 0 < number < float('inf'):
    raise ValueError(f'Key {where} takes numbers above 0, got {value!r}.')
  return number


def _choice(content):
  if content is None:
    return None
  known_keys.check_keys('learning_rate.', content, ('at', 'tasks', 'data'))
  at, tasks = content.get('at'), content.get('tasks')
  if not isinstance(at, Mapping):
    raise ValueError(
      f'Key learning_rate.at must hold axes and values, got {at!r}.'
    )
  if not isinstance(tasks, list) or not tasks:
    raise ValueError(
      f'Key learning_rate.tasks must be a list of tasks, got {tasks!r}.'
    )
  return Choice(dict(at), tuple(tasks), dict(content.get('data') or {}))
