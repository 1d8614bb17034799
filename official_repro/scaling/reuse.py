"""Runs that another study has made already are taken, not made again.

The paper's pre-training on all of JFT-300M is part of most of its experiments,
and takes months.
"""

import contextlib
import fnmatch
import json
import os
import pathlib
import shutil
from collections.abc import Iterable
from typing import NamedTuple, Optional

from official_repro.scaling import content as content_lib
from official_repro.scaling import run as run_lib
from official_repro.scaling import state as state_lib

_FINAL = '*-of-*'  # shards of records and of checkpoints


class Found(NamedTuple):
  """A finished run of another study.

  Attributes:
    study, run_id: whose it is.
    folder: of its study.json.
    output: of what it made, see run.Run.
  """

  study: str
  run_id: str
  folder: pathlib.Path
  output: pathlib.Path


def index(folders: Iterable[str]) -> dict:
  """Finds the finished runs of other studies.

  Args:
    folders: of studies, the first one wins.

  Returns:
    {content: Found}.

  Raises:
    ValueError: a folder holds no study.
  """
  found: dict = {}
  for folder in folders:
    name = _study(folder)
    for path in sorted(pathlib.Path(folder, 'runs').rglob(state_lib.RECORD)):
      record = _read(path)
      content = record.get('content')
      # No exit code comes back from a cluster; `take` looks at the files.
      ended = record.get('exit_code') == 0 or record.get('on_cluster')
      if content and ended:
        output = path.parent.joinpath(record['output']).resolve()
        found.setdefault(
          content, Found(name, record['run_id'], path.parent, output)
        )
  return found


def _study(folder):
  record = _read(pathlib.Path(folder, state_lib.RECORD))
  if 'name' not in record:
    raise ValueError(
      f'Flag --reuse: folder {folder!r} holds no study ({state_lib.RECORD}); '
      'give the --output of another study.'
    )
  return record['name']


def _read(path):
  try:
    entry = json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError):
    return {}
  return entry if isinstance(entry, dict) else {}


def take(
  state: state_lib.State, run: run_lib.Run, known: dict
) -> Optional[Found]:
  """Takes a run from another study, if there is one of the same content.

  Parts of a data folder are made here, as they point at its records.
  Its files are linked where both folders lie on one disk, else copied, so that
  either study may be deleted. They appear in the study's folder all at once.

  Args:
    state: of the study that wants it.
    run: which has not begun.
    known: from `index`.

  Returns:
    Where it is from; None: it has to be run.

  Raises:
    OSError: the files cannot be written.
  """
  found = _find(state, run, known)
  if found is None:
    return None
  places = {found.output: run.output, found.folder: run.folder}
  for source, target in places.items():
    _link(source, pathlib.Path(target))
  state.adopt(run, f'{found.study}: {found.run_id}')
  return found if state.status(run) == state_lib.DONE else None


def ready(
  state: state_lib.State, runs: Iterable[run_lib.Run], known: dict
) -> list[run_lib.Run]:
  """Returns the new runs that `take` would take now."""
  return [
    run
    for run in runs
    if state.status(run) == state_lib.NEW and _find(state, run, known)
  ]


def _find(state, run, known):
  if not known or (run.stage == run_lib.DATA and (run.depends or run.inputs)):
    return None  # a view on records beside it: it cannot go elsewhere alone
  found = known.get(content_lib.of(state, run))
  return found if found and _is_whole(found, run) else None


def _is_whole(found, run):
  """Whether its files are still there, to their last step."""
  name = 'dataset.json' if run.stage == run_lib.DATA else 'checkpoint'
  if not found.output.joinpath(name).exists():
    return False
  if run.stage == run_lib.DATA:
    return True
  evaluation = state_lib.last_evaluation(str(found.folder))
  steps = run.length.guess()
  return bool(evaluation and not evaluation.cut and evaluation.step >= steps)


def _link(source, target):
  target.parent.mkdir(parents=True, exist_ok=True)
  waiting = target.with_name(f'.{target.name}.tmp')
  shutil.rmtree(waiting, ignore_errors=True)
  shutil.copytree(source, waiting, copy_function=_link_or_copy)
  shutil.rmtree(target, ignore_errors=True)
  os.replace(waiting, target)


def _link_or_copy(source, target):
  # Only what is never written to again may be the same file.
  if fnmatch.fnmatch(os.path.basename(source), _FINAL):
    with contextlib.suppress(OSError):
      os.link(source, target)
      return target
  return shutil.copy2(source, target)


def sentences(folder: os.PathLike) -> list[str]:
  """Says which runs of a study were taken from others.

  Args:
    folder: the study's.

  Returns:
    A sentence for each run, by name.
  """
  told = []
  for path in sorted(pathlib.Path(folder, 'runs').rglob(state_lib.RECORD)):
    record = _read(path)
    if record.get('taken_from'):
      told.append(f'{record["run_id"]} from {record["taken_from"]}')
  return told
