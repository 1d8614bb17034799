"""The folder in which a data set is made, and how it becomes one.

Everything is made in OUTPUT/.building, under a lock. A stopped or killed build
leaves its finished shards there, and the same build goes on with them. Moving
out follows a list written beforehand, dataset.json last, so that a move that
was cut off is completed by the next run.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
from collections.abc import Iterator

from official_repro.data import manifest
from official_repro.data.audit import report

FOLDER = '.building'
BUILD = 'build.json'
# What a build writes beside the records.
LEFT_BEHIND = (report.BAD_RECORDS, report.JSON, report.HTML)
_MOVES = 'moves.json'
_LOCK = 'lock'


@contextlib.contextmanager
def opened(output_dir: pathlib.Path, overwrite: bool) -> Iterator[pathlib.Path]:
  """Yields the staging folder of a build, locked.

  Where nothing in it is finished when the block ends, no trace is left.

  Args:
    output_dir: the data folder, made when absent.
    overwrite: whether output_dir may hold a data set.

  Raises:
    ValueError: a data set is there, or another process is building.
  """
  staging = output_dir / FOLDER
  if (output_dir / manifest.MANIFEST).exists() and not overwrite:
    raise ValueError(
      f'{output_dir} holds a data set already: choose another --output, or '
      'replace it with --overwrite.'
    )
  made = not output_dir.exists()
  staging.mkdir(parents=True, exist_ok=True)
  try:
    with _lock(staging):
      try:
        yield staging
      finally:
        _tidy(staging)
  finally:
    if made and not staging.exists():
      with contextlib.suppress(OSError):
        output_dir.rmdir()


def claim(staging: pathlib.Path, identity: dict, overwrite, keep) -> None:
  """Makes the staging folder that of one build.

  Args:
    staging: of `opened`.
    identity: what makes two builds the same; JSON.
    overwrite: whether an unfinished build of another one may go.
    keep: a folder in it to leave alone.

  Raises:
    ValueError: it holds the unfinished build of another one.
  """
  path = staging / BUILD
  if path.exists():
    if json.loads(path.read_text(encoding='utf-8')) == identity:
      return
    if finished_shards(staging) and not overwrite:
      raise ValueError(
        f'{staging} holds an unfinished build with another source, other '
        'options or other labels: run its command again to finish it, or '
        'throw it away with --overwrite.'
      )
  _remove_files(staging, keep)
  write_json(path, identity)


def finished_shards(staging: pathlib.Path) -> int:
  """Returns the number of finished shards."""
  return sum(1 for _ in staging.glob('*-[0-9]*.json'))


def move_in(staging: pathlib.Path, output_dir: pathlib.Path, names) -> None:
  """Moves files to the data folder; they replace the data set there.

  Args:
    staging: where the files are.
    output_dir: where they go.
    names: [(name here, name there)]; dataset.json is moved last.
  """
  old = _files_of(output_dir)
  moves = [list(n) for n in names]
  manifest_move = [manifest.MANIFEST, manifest.MANIFEST]
  write_json(staging / _MOVES, {'moves': [*moves, manifest_move], 'old': old})
  complete_move(staging, output_dir)


def complete_move(
  staging: pathlib.Path, output_dir: pathlib.Path, identity=None
) -> bool:
  """Does what is left of a move that an earlier run began.

  Returns:
    Whether the data set in output_dir is now the one of `identity`.
  """
  if not (staging / _MOVES).exists():
    return False
  content = json.loads((staging / _MOVES).read_text(encoding='utf-8'))
  build = json.loads((staging / BUILD).read_text(encoding='utf-8'))
  moves = content['moves']
  if all((staging / here).exists() for here, _ in moves):
    # Without dataset.json the folder is no data set while its files change.
    for name in (manifest.MANIFEST, *content['old']):
      (output_dir / name).unlink(missing_ok=True)
  for here, there in moves:
    if (staging / here).exists():
      os.replace(staging / here, output_dir / there)
  _remove_files(staging)
  build.pop('digest', None)
  return build == identity


def write_json(path: pathlib.Path, content) -> None:
  """Writes JSON under a temporary name, then renames it."""
  temporary = path.with_name(f'.{path.name}.tmp')
  temporary.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
  os.replace(temporary, path)


@contextlib.contextmanager
def _lock(staging):
  with open(staging / _LOCK, 'w') as f:
    try:
      fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
      raise ValueError(
        f'{staging} is in use: another build writes to {staging.parent}.'
      ) from None
    yield


def _remove_files(staging, keep=None):
  for path in staging.iterdir():
    if path.is_dir():
      if path != keep:
        shutil.rmtree(path)
    elif path.name != _LOCK:
      path.unlink()


def _tidy(staging):
  """Removes the folder, or what is unfinished in it."""
  if not finished_shards(staging) and not (staging / _MOVES).exists():
    shutil.rmtree(staging, ignore_errors=True)
    return
  for path in staging.glob('.*.tmp'):
    path.unlink(missing_ok=True)


def _files_of(data_dir):
  """Returns the names of the files of the data set that is there, if any."""
  try:
    content = json.loads((data_dir / manifest.MANIFEST).read_text())
    shards = [
      shard for split in content['splits'].values() for shard in split['shards']
    ]
    names = [shard['file'] for shard in shards]
    names += [f'{pathlib.PurePath(n).with_suffix(".offsets")}' for n in names]
    names += [s['selection']['file'] for s in shards if 'selection' in s]
  except (OSError, ValueError, KeyError, TypeError, AttributeError):
    return []
  # The shards of a subset belong to another folder.
  names = [n for n in names if pathlib.PurePath(n).name == n]
  return [*names, manifest.LABELS, manifest.LABEL_MAP, *LEFT_BEHIND]
