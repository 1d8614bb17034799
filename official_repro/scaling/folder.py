"""The study's folder: whose it is, one study at a time."""

import contextlib
import json
import os

from official_repro.core import folder_lock
from official_repro.scaling import spec_types

FILE, SPEC = 'study.json', 'spec.yaml'


def check(output: str, spec: spec_types.Spec) -> None:
  """Checks that the folder holds no other study.

  Raises:
    ValueError: it does, or its study.json cannot be read.
  """
  path = os.path.join(output, FILE)
  if not os.path.exists(path):
    return
  try:
    with open(path, encoding='utf-8') as f:
      name = json.load(f)['name']
  except (KeyError, TypeError, ValueError) as e:
    raise ValueError(
      f'File {path!r} is no record of a study; choose another --output.'
    ) from e
  if name != spec.name:
    raise ValueError(
      f'Folder --output {output!r} holds the study {name!r}, this is '
      f'{spec.name!r}; choose another folder.'
    )


@contextlib.contextmanager
def held(output: str, spec: spec_types.Spec):
  """Makes the folder, writes whose it is, and holds it against a second study.

  The lock is the kernel's (flock): a killed study leaves none behind.

  Raises:
    ValueError: it cannot be written, another process works in it, or it holds
      another study.
  """
  with folder_lock.held(output, '--output', 'study'):
    check(output, spec)
    _write(os.path.join(output, SPEC), spec.text)
    entry = {'name': spec.name, 'title': spec.title, 'paper': spec.paper}
    _write(os.path.join(output, FILE), json.dumps(entry, indent=1) + '\n')
    yield


def _write(path, text):
  with open(path + '.tmp', 'w', encoding='utf-8') as f:
    f.write(text)
  os.replace(path + '.tmp', path)
