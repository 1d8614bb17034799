"""A copy of a study's results to be committed, without folders of a machine."""

import dataclasses
import os
import pathlib
import re
import shlex
from collections.abc import Sequence
from typing import Any, Union

from official_repro.scaling import folder as folder_lib
from official_repro.scaling import page, report, results

ELSEWHERE = 'PATH_TO'  # stands for folders of which nothing is known
_RUNS = 'runs'
# From the first slash; a comma may be part of a name or end it.
_ABSOLUTE = re.compile(r'(?<![^\s"\'=:,\[(])/(?:[^\s"\',\])}]|,(?!/))+')
_MODEL_DIR = '--model_dir='


def publish(
  spec: Any,
  spec_name: str,
  output: Union[str, os.PathLike],
  target: Union[str, os.PathLike],
) -> list[pathlib.Path]:
  """Writes report.md, its plots and results.csv of a study that was run.

  In commands the study's folder is runs/NAME, with the name of `target`; other
  folders count from the working folder, and `PATH_TO` stands for those
  elsewhere. The study's folder stays as it is.

  Args:
    spec: spec_types.Spec of the study.
    spec_name: the flag --spec, for the command of the whole study.
    output: folder of the study, with results.csv.
    target: folder to be committed, made when absent.

  Returns:
    The files, report.md first.

  Raises:
    ValueError: the folder has no results or another study's, or `target` is
      the study's folder.
  """
  source, target = pathlib.Path(output), pathlib.Path(target)
  if source.resolve() == target.resolve():
    raise ValueError(
      f'Flag --publish is {str(target)!r}, the folder of the study itself, '
      'whose results.csv has to keep its paths; choose another folder.'
    )
  folder_lib.check(str(source), spec)
  rows = results.read_csv(str(source / report.CSV))
  if not rows:
    raise ValueError(
      f'There is nothing to publish, as {str(source / report.CSV)!r} holds no '
      'run; run python -m official_repro.study without --publish.'
    )
  shown = f'{_RUNS}/{target.resolve().name}'
  rows = portable(rows, source, shown)
  made = report.build(rows, [spec], source)
  blocks = [*made.blocks, _whole(spec_name, shown, rows)]
  target.mkdir(parents=True, exist_ok=True)
  files = report.write(
    dataclasses.replace(made, blocks=blocks), target, with_html=False
  )
  results.write_csv(str(target / report.CSV), rows)
  return [*files, target / report.CSV]


def portable(
  rows: Sequence[results.Row], output: os.PathLike, shown: str
) -> list[results.Row]:
  """Returns rows whose paths say nothing of the machine.

  Args:
    rows: of one study.
    output: its folder, now; where the commands name another one, in which it
      was run, that counts as well.
    shown: what stands for it in commands.
  """
  places = _places(rows, output)
  return [
    dataclasses.replace(
      row,
      command=_command(row.command, places, shown),
      model_dir=_inside(row.model_dir, places),
    )
    for row in rows
  ]


def _places(rows, output):
  """Returns the study's folder as the rows and the user write it."""
  found = {os.fspath(output), os.path.abspath(output), os.path.realpath(output)}
  for row in rows:
    for word in shlex.split(row.command):
      end = f'/{row.model_dir}'
      if word.startswith(_MODEL_DIR) and row.model_dir and word.endswith(end):
        found.add(word[len(_MODEL_DIR) : -len(end)])
  # The longest one first, as one may begin as another does.
  return sorted((p.rstrip('/') for p in found), key=len, reverse=True)


def _command(command, places, shown):
  return shlex.join(_word(w, places, shown) for w in shlex.split(command))


def _word(word, places, shown):
  for place in filter(None, places):
    word = re.sub(_path(place), lambda _: shown, word)
  word = re.sub(_path(os.getcwd()) + '/', '', word)
  return _ABSOLUTE.sub(_unknown, word)


def _path(place):
  """Matches a folder where a path begins, and no longer name."""
  return r'(?<![^\s"\'=:,\[(])' + re.escape(place) + r'(?![^/\s"\',\])}])'


def _unknown(found):
  return f'{ELSEWHERE}/{found.group().rstrip("/").rpartition("/")[2]}'


def _inside(model_dir, places):
  """Returns a run's folder, seen from the study's."""
  for place in filter(None, places):
    if model_dir.startswith(f'{place}/'):
      return model_dir[len(place) + 1 :]
  return _ABSOLUTE.sub(_unknown, model_dir)


def _whole(spec_name, shown, rows):
  """Returns the command of all runs, and what is shown for folders."""
  name = _word(spec_name, (), '')
  words = ['python', '-m', 'official_repro.study', f'--spec={name}']
  told = f'all runs; the folder of this study is shown as {shown}'
  command = shlex.join([*words, f'--output={shown}'])
  if any(ELSEWHERE in text for text in (command, *(r.command for r in rows))):
    told += f', and {ELSEWHERE} stands for folders outside of it'
  return page.Commands([(told, command)])
