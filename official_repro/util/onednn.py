"""Whether a process uses oneDNN, the library of CPU kernels in TensorFlow.

TensorFlow reads the choice from an environment variable when it is imported,
and turns oneDNN on by itself only on x86 CPUs with AVX512_VNNI. Where a CPU has
AVX2 a training step with it takes .3 to .8 of the time without (measured, see
benchmarks/task_steps.py), so here it is on there, too.
"""

import json
import os
import platform
import sys
from collections.abc import Mapping
from typing import NamedTuple, Optional

CHOICES = ('auto', 'on', 'off')
# TensorFlow's own.
VARIABLE = 'TF_ENABLE_ONEDNN_OPTS'
# What kernels are written for, from the smallest to the largest.
_EXTENSIONS = (
  'sse4_2',
  'avx',
  'avx2',
  'fma',
  'avx512f',
  'avx512_vnni',
  'asimd',
)


class Cpu(NamedTuple):
  """A CPU; empty where the system does not tell.

  Attributes:
    name: as its maker calls it.
    extensions: those of its vector extensions that kernels are written for.
  """

  name: str
  extensions: tuple[str, ...]


class Choice(NamedTuple):
  """Whether to use oneDNN.

  Attributes:
    enabled: None: as TensorFlow has it.
    chosen_by: flag, environment, earlier start or auto.
  """

  enabled: Optional[bool]
  chosen_by: str


_choice = Choice(None, 'auto')


def choose(
  wanted: str,
  environ: Mapping[str, str],
  earlier: Optional[Choice] = None,
  cpu: Optional[Cpu] = None,
) -> Choice:
  """Decides: flag > environment variable > earlier start of the run > CPU.

  Args:
    wanted: one of CHOICES.
    environ: os.environ.
    earlier: of the run that is to be resumed, see `of_run`.
    cpu: this machine's by default.

  Raises:
    ValueError: the variable has a value that TensorFlow would not take.
  """
  if wanted != 'auto':
    return Choice(wanted == 'on', 'flag')
  if _by_environment(environ):
    return Choice(None, 'environment')
  if earlier is not None:
    return earlier
  extensions = (read_cpu() if cpu is None else cpu).extensions
  # Others, such as Arm's, could not be measured.
  measured = {'avx2', 'fma'} <= set(extensions)
  return Choice(True if measured else None, 'auto')


def _by_environment(environ):
  value = environ.get(VARIABLE, '').strip()
  if value and value.lower() not in ('0', '1', 'false', 'true'):
    raise ValueError(
      f'Environment variable {VARIABLE} is {value!r}, which TensorFlow passes '
      'over; set it to 0 or 1, or unset it.'
    )
  return bool(value)


def of_run(model_dir: Optional[str]) -> Optional[Choice]:
  """Returns what the newest start of a run chose, None where there is none.

  A run of a version that did not write it down had what TensorFlow chose.

  Args:
    model_dir: folder of the run; None or '': there is none.

  Raises:
    ValueError: its run.json is damaged.
  """
  path = os.path.join(model_dir or '', 'run.json')
  if not model_dir or not os.path.exists(path):
    return None
  try:
    with open(path, encoding='utf-8') as f:
      found = json.load(f).get('onednn')
    enabled = None if found is None else found['enabled']
    if not isinstance(enabled, (bool, type(None))):
      raise ValueError(f'onednn.enabled is {enabled!r}')
    return Choice(enabled, 'earlier start')
  except (AttributeError, KeyError, TypeError, ValueError) as e:
    raise ValueError(
      f'{path} is damaged ({e}); delete it, or name another --model_dir.'
    ) from e


def apply(wanted: str, model_dir: Optional[str] = None) -> None:
  """Sets what this process uses; to be called before TensorFlow is imported.

  Args:
    wanted: one of CHOICES.
    model_dir: folder of the run that is begun or resumed, if any.

  Raises:
    ValueError: TensorFlow is there already, with the other setting.
  """
  global _choice
  # A run.json that decides nothing is not looked at.
  decided = wanted != 'auto' or _by_environment(os.environ)
  earlier = None if decided else of_run(model_dir)
  _choice = choose(wanted, os.environ, earlier)
  if _choice.enabled is None:
    return
  if 'tensorflow' in sys.modules:
    if wanted != 'auto' and enabled() != _choice.enabled:
      raise ValueError(
        f'--onednn={wanted} comes too late: TensorFlow is imported with the '
        'other setting; start a process of its own.'
      )
    return
  os.environ[VARIABLE] = '1' if _choice.enabled else '0'


def enabled() -> bool:
  """Whether TensorFlow uses oneDNN; imports TensorFlow."""
  from tensorflow.python.util import _pywrap_util_port

  return bool(_pywrap_util_port.IsMklEnabled())


def describe() -> dict:
  """Returns what run.json says of the setting and the CPU."""
  cpu = read_cpu()
  return {
    'enabled': enabled(),
    'chosen_by': _choice.chosen_by,
    'cpu': cpu.name,
    'extensions': list(cpu.extensions),
  }


def difference(tasks: Mapping[str, bool]) -> Optional[str]:
  """Says which tasks of a cluster use oneDNN and which do not.

  Args:
    tasks: {name: enabled}.

  Returns:
    A sentence, None where all are alike.
  """
  if len(set(tasks.values())) < 2:
    return None
  having = lambda wanted: ', '.join(
    n for n, on in tasks.items() if on == wanted
  )
  return (
    f'Warning: the tasks differ in oneDNN: it is on at {having(True)} and off '
    f'at {having(False)}, so the same values differ in their last digits and '
    'the slower tasks hold up the others; give all of them --onednn=on or '
    '--onednn=off.'
  )


def read_cpu(path: str = '/proc/cpuinfo') -> Cpu:
  """Reads what Linux says of the CPU; without extensions on other systems."""
  try:
    with open(path, encoding='utf-8', errors='replace') as f:
      lines = f.read().split('\n\n')[0].splitlines()
  except OSError:
    lines = []
  pairs = (line.partition(':') for line in lines)
  values = {key.strip().lower(): value.strip() for key, _, value in pairs}
  flags = values.get('flags', values.get('features', '')).lower().split()
  return Cpu(
    values.get('model name') or platform.processor() or platform.machine(),
    tuple(x for x in _EXTENSIONS if x in flags),
  )
