"""The description of a job: one small YAML file for all targets.

See cluster/examples/. Keys, all but those with a default needed:

  name        of the job: lower case letters, digits and -, at most 40
  image       container image (made by the Dockerfile); Slurm does without
  command     module (one of the training binaries) and flags {name: value}
  volumes     {name: {mount: folder, pvc: claim}}, or instead of pvc: nfs
              {server, path}, or host_path; read_only (default: false); all
              tasks mount them, so a claim has to be ReadWriteMany
  workers     tasks that train (default: 1)
  ps          parameter servers (default: 0)
  chief       a chief beside the workers (default: false)
  evaluator   a task that evaluates each checkpoint (default: false)
  gpus        of each task that trains (default: 0); an evaluator has one
  cpus        of each task (default: 4)
  memory      of each task, such as 16Gi (default: 16Gi)
  tensorboard a TensorBoard of model_dir (default: false)
  namespace   of Kubernetes (default: default)
  retries     how often an interrupted job goes on (default: 3)
"""

import dataclasses
import math
import re
from typing import Any

import yaml

from cluster import checks, command
from cluster import job as job_lib
from official_repro.core import known_keys

# Pods are called NAME-evaluator-0-0 and so on; host names end at 63.
_NAME_LENGTH = 40
_LABEL = re.compile(r'[a-z]([-a-z0-9]*[a-z0-9])?')
_SOURCES = ('pvc', 'nfs', 'host_path')


def load(path: str) -> job_lib.JobSpec:
  """Reads and checks a spec.

  Args:
    path: YAML file.

  Raises:
    ValueError: it is no YAML, a key is unknown or missing, a value is wrong,
      or keys do not fit each other; in one sentence that names the file.
    OSError: it cannot be read.
  """
  with open(path, encoding='utf-8') as f:
    try:
      content = yaml.safe_load(f)
    except (yaml.YAMLError, UnicodeDecodeError) as e:
      reason = ' '.join(str(e).split())
      raise ValueError(f'Spec {path!r} is not YAML: {reason}.') from e
  try:
    return parse(content)
  except ValueError as e:
    raise ValueError(f'Spec {path!r}: {e}') from e


def parse(content: Any) -> job_lib.JobSpec:
  """Makes a JobSpec of what the YAML holds.

  Raises:
    ValueError: see `load`.
  """
  known = {f.name for f in dataclasses.fields(job_lib.JobSpec)}
  known = known - {'module', 'flags', 'strategy'} | {'command'}
  known_keys.check_keys('', content, sorted(known))
  for key in ('name', 'image', 'command', 'volumes'):
    if key not in content:
      raise ValueError(f'Key {key} is missing.')
  values = {k: v for k, v in content.items() if k != 'command'}
  for key, value in values.items():
    if key != 'volumes':
      _check_value(key, value)
  values.update(_command(content['command']))
  values['volumes'] = _volumes(content['volumes'])
  job = job_lib.JobSpec(**values)
  checks.check(job)
  return job


def _whole(least):
  def is_right(value):
    return type(value) is int and value >= least  # a bool is an int

  return is_right, f'a whole number from {least} on'


def _is_bool(value):
  return isinstance(value, bool)


def _is_label(length):
  def is_right(value):
    return (
      isinstance(value, str)
      and len(value) <= length
      and _LABEL.fullmatch(value) is not None
    )

  return (
    is_right,
    f'at most {length} lower case letters, digits and -, a letter first',
  )


def _is_amount(value):
  return type(value) in (int, float) and 0 < value < math.inf


def _is_word(value):
  return isinstance(value, str) and bool(value) and not re.search(r'\s', value)


def _is_memory(value):
  found = job_lib.memory(value)
  return bool(found and found[0])


def _is_path(value):
  return (
    isinstance(value, str)
    and value.startswith('/')
    and value.strip('/') != ''
    and '..' not in value.split('/')
  )


# {key: (is the value right?, what it must be)}
_VALUES = {
  'name': _is_label(_NAME_LENGTH),
  'namespace': _is_label(63),
  'image': (_is_word, 'the name of a container image'),
  'workers': _whole(1),
  'ps': _whole(0),
  'gpus': _whole(0),
  'retries': _whole(0),
  'chief': (_is_bool, 'true or false'),
  'evaluator': (_is_bool, 'true or false'),
  'tensorboard': (_is_bool, 'true or false'),
  'read_only': (_is_bool, 'true or false'),
  'cpus': (_is_amount, 'a number above 0'),
  'memory': (_is_memory, f'a number with a unit ({", ".join(job_lib.UNITS)})'),
  'mount': (_is_path, 'an absolute path below /'),
  'host_path': (_is_path, 'an absolute path below /'),
  'path': (_is_path, 'an absolute path below /'),
  'pvc': (_is_word, 'the name of a persistent volume claim'),
  'server': (_is_word, 'the name of an NFS server'),
}


def _check_value(key, value, prefix=''):
  is_right, wanted = _VALUES[key]
  if not is_right(value):
    raise ValueError(f'Key {prefix}{key} must be {wanted}, got {value!r}.')


def _command(content):
  """Returns the fields module, flags and strategy."""
  known_keys.check_keys('command.', content, ('module', 'flags'))
  module = content.get('module')
  if module not in command.MODULES:
    raise ValueError(
      f'Key command.module must be one of {", ".join(command.MODULES)}, got '
      f'{module!r}.'
    )
  flags = content.get('flags')
  if not isinstance(flags, dict):
    raise ValueError(
      f'Key command.flags must hold flags and their values, got {flags!r}.'
    )
  for name, value in flags.items():
    # Of the flags, only this one may come several times.
    several = name == 'config_file' and isinstance(value, list)
    for one in value if several else [value]:
      if not isinstance(one, (str, int, float)):
        raise ValueError(
          f'Key command.flags.{name} must be a text, a number or true/false, '
          f'got {one!r}.'
        )
  strategy = command.parse(flags).strategy or 'one_device'
  for name in ('experiment', 'data_dir', 'model_dir'):
    if not flags.get(name):
      raise ValueError(f'Key command.flags.{name} is missing.')
  return {'module': module, 'flags': flags, 'strategy': strategy}


def _volumes(content):
  known_keys.check_keys('volumes.', content, content)
  return tuple(_volume(name, value) for name, value in content.items())


def _volume(name, content):
  prefix = f'volumes.{name}.'
  is_right, wanted = _is_label(_NAME_LENGTH)
  if not is_right(name):
    raise ValueError(f'The names in volumes must be {wanted}, got {name!r}.')
  known_keys.check_keys(prefix, content, ('mount', 'read_only', *_SOURCES))
  kinds = [kind for kind in _SOURCES if kind in content]
  if 'mount' not in content or len(kinds) != 1:
    raise ValueError(
      f'Key volumes.{name} must have mount and one of {", ".join(_SOURCES)}, '
      f'got {content!r}.'
    )
  for key in {*content} - {'nfs'}:
    _check_value(key, content[key], prefix)
  source = content[kinds[0]]
  if kinds == ['nfs']:
    known_keys.check_keys(f'{prefix}nfs.', source, ('server', 'path'))
    for key in ('server', 'path'):
      _check_value(key, source.get(key), f'{prefix}nfs.')
  return job_lib.Volume(
    name, content['mount'], kinds[0], source, content.get('read_only', False)
  )
