"""The run's folder: lock, resume rule, params.yaml, run.json."""

import contextlib
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from typing import Any, Optional

import tensorflow as tf

from official_repro.core import checkpoint_files, checkpoints, folder_lock
from official_repro.core import config as config_lib
from official_repro.util import onednn


@contextlib.contextmanager
def locked(model_dir: str):
  """Makes the folder and holds it against a second run.

  The lock is the kernel's (flock): a killed run leaves none behind.

  Raises:
    ValueError: the folder cannot be written, or another run holds it.
  """
  with folder_lock.held(model_dir, '--model_dir', 'run'):
    yield


def resume_from(model_dir: str, resume: str) -> Optional[str]:
  """Applies the --resume rule.

  Args:
    model_dir: the run's folder.
    resume: auto, never or must.

  Returns:
    The newest checkpoint that can be read, or None to start anew.

  Raises:
    ValueError: never and there is one, or must and there is none; or none of
      them can be read.
  """
  found = checkpoint_files.newest_whole(model_dir)
  if found and resume == 'never':
    raise ValueError(
      f'Folder --model_dir {model_dir!r} holds {os.path.basename(found)}, and '
      '--resume=never forbids going on from it; choose an empty folder.'
    )
  if not found and resume == 'must':
    raise ValueError(
      f'Folder --model_dir {model_dir!r} holds no checkpoint to resume from; '
      'use --resume=auto to start anew.'
    )
  return found


def check_resumable(prefix: str, metadata: dict) -> None:
  """Checks that a checkpoint of this folder is of the same model.

  Raises:
    ValueError: another depth, width, label space or the like.
  """
  found = checkpoints.read_metadata(checkpoints.open_reader(prefix))
  for key, value in metadata.items():
    if key in found and found[key] != value:
      raise ValueError(
        f'Checkpoint {prefix!r} has {key} {found[key]!r}, this run has '
        f'{value!r}; repeat the command that made it, or choose another '
        '--model_dir.'
      )


def write_run_files(model_dir: str, config: Any, data_hash: str) -> None:
  """Writes params.yaml and run.json (one entry a start, newest last)."""
  config_lib.save(config, os.path.join(model_dir, 'params.yaml'))
  path = os.path.join(model_dir, 'run.json')
  starts = []
  if os.path.exists(path):
    with open(path, encoding='utf-8') as f:
      starts = json.load(f).get('earlier', []) + [_without_history(path)]
  entry = dict(_describe(), data_manifest=data_hash, earlier=starts)
  temporary = path + '.tmp'
  with open(temporary, 'w', encoding='utf-8') as f:
    json.dump(entry, f, indent=1, sort_keys=True)
  os.replace(temporary, path)


def _without_history(path):
  with open(path, encoding='utf-8') as f:
    entry = json.load(f)
  entry.pop('earlier', None)
  return entry


def _describe():
  return {
    'command': shlex.join(
      [os.path.basename(sys.executable)] + sys.orig_argv[1:]
    )
    if hasattr(sys, 'orig_argv')
    else shlex.join(sys.argv),
    'started': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
    'git_commit': _git_commit(),
    'versions': {
      'python': platform.python_version(),
      'tensorflow': tf.__version__,
    },
    'devices': [d.name for d in tf.config.list_logical_devices()],
    'onednn': onednn.describe(),
  }


def _git_commit():
  folder = os.path.dirname(os.path.abspath(__file__))
  try:
    done = subprocess.run(
      ['git', '-C', folder, 'describe', '--always', '--dirty', '--abbrev=40'],
      capture_output=True,
      text=True,
      timeout=10,
      check=False,
    )
  except (OSError, subprocess.TimeoutExpired):
    return None
  return done.stdout.strip() or None
