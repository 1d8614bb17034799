"""What has become of each run: study.json, metrics.jsonl, hashes."""

import dataclasses
import json
import os
import shutil
import time
from collections.abc import Sequence
from typing import Any, Optional

from official_repro.scaling import choice as choice_lib
from official_repro.scaling import commands, spec_types
from official_repro.scaling import content as content_lib
from official_repro.scaling import run as run_lib

RECORD, LOG, METRICS = 'study.json', 'log.txt', 'metrics.jsonl'
# New: nothing is there. Begun: it goes on from its checkpoint. Stale: made by
# another command.
NEW, BEGUN, DONE, STALE = 'new', 'begun', 'done', 'stale'


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """The last line of a metrics.jsonl.

  Attributes:
    step, examples_seen: training so far.
    metrics: {name: number or None}.
    cut: whether the file ends in the middle of a line, or with a damaged one.
  """

  step: int
  examples_seen: int
  metrics: dict
  cut: bool = False


def last_evaluation(folder: str) -> Optional[Evaluation]:
  """Reads the last whole line of a run's metrics.jsonl.

  Args:
    folder: model_dir.

  Returns:
    It; None where there is no line at all.
  """
  try:
    with open(os.path.join(folder, METRICS), 'rb') as f:
      content = f.read()
  except FileNotFoundError:
    return None
  whole, _, rest = content.rpartition(b'\n')
  found, cut = (0, 0, {}), False
  for line in filter(None, whole.split(b'\n')):
    try:
      entry = json.loads(line)
      found = (entry['step'], entry['examples_seen'], entry['metrics'])
      cut = False
    except (KeyError, TypeError, ValueError):
      cut = True
  return Evaluation(*found, cut or bool(rest)) if content else None


def repair_metrics(folder: str) -> bool:
  """Cuts an incomplete last line off; returns whether there was one.

  Else the next line would be written behind it, and both would be lost.
  """
  path = os.path.join(folder, METRICS)
  if not os.path.exists(path):
    return False
  with open(path, 'rb+') as f:
    content = f.read()
    end = content.rfind(b'\n') + 1
    if end == len(content):
      return False
    f.truncate(end)
  return True


class State:
  """The runs of a study and what is known of each.

  Args:
    spec: the study.
    runs: from runs.plan.
    output: the study's folder.
  """

  def __init__(
    self, spec: spec_types.Spec, runs: Sequence[run_lib.Run], output: str
  ):
    self.spec, self.output = spec, output
    self.runs = {run.run_id: run for run in runs}
    self._finished: set = set()
    self._digests: dict = {}
    self._choices: dict = {}
    # {task: why no learning rate could be chosen}.
    self.undecided: dict = {}

  @property
  def rates(self) -> dict:
    """{task: learning rate} of those that are chosen."""
    return {name: c.learning_rate for name, c in self.choices().items()}

  def choices(self) -> dict:
    """Returns {task: choice.Chosen} of the tasks whose tries are all done."""
    for name in self.spec.choice.tasks if self.spec.choice else ():
      if name not in self._choices:
        tries = self._tries(name)
        if all(self.status(run) == DONE for run in tries):
          self._choose(name, tries)
    return dict(self._choices)

  def _tries(self, name):
    return [
      r
      for r in self.runs.values()
      if r.stage == run_lib.CHOICE and r.task == name
    ]

  def _choose(self, name, tries):
    metric = self.spec.tasks[name].metrics[0]
    tried = []
    for run in tries:
      evaluation = last_evaluation(run.folder)
      value = evaluation and evaluation.metrics.get(metric)
      tried.append((run.flags['learning_rate'], value))
    try:
      self._choices[name] = choice_lib.decide(metric, tried)
    except ValueError as e:
      self.undecided[name] = str(e)

  def flags(self, run: run_lib.Run) -> Optional[dict]:
    """See commands.values."""
    return commands.values(run, self.rates if run.rate_of else {})

  def digest(self, run: run_lib.Run) -> Optional[str]:
    """Returns the hash of a run's command, None while it is not known."""
    if run.run_id not in self._digests:
      flags = self.flags(run)
      before = [
        self.digest(self.runs[name])
        for name in run.depends
        # A chosen learning rate is in the flags, however it was chosen.
        if not (run.rate_of and self.runs[name].stage == run_lib.CHOICE)
      ]
      if flags is None or None in before:
        return None
      self._digests[run.run_id] = commands.digest(
        run, flags, self.output, before
      )
    return self._digests[run.run_id]

  def record(self, run: run_lib.Run) -> dict:
    """Returns a run's study.json, {} where there is none."""
    try:
      with open(os.path.join(run.folder, RECORD), encoding='utf-8') as f:
        return json.load(f)
    except (FileNotFoundError, ValueError):
      return {}

  def status(self, run: run_lib.Run) -> str:
    """Returns NEW, BEGUN, DONE or STALE; a run once DONE stays so."""
    if run.run_id not in self._finished:
      status = self._status(run)
      if status != DONE:
        return status
      self._finished.add(run.run_id)
    return DONE

  def _status(self, run):
    record = self.record(run)
    if not record or not _has_output(run):
      return BEGUN if record else NEW
    if any(self.status(self.runs[n]) == STALE for n in run.depends):
      return STALE
    digest = self.digest(run)
    if digest is None:  # what it was made from is gone, or not chosen yet
      return BEGUN
    if digest != record.get('hash'):
      return STALE
    return DONE if self.is_finished(run) else BEGUN

  def is_finished(self, run: run_lib.Run) -> bool:
    """Whether a run came to its end, by whichever command."""
    if run.stage == run_lib.DATA:
      # It comes last; the exit code may be lost with the study's process.
      return _has_output(run)
    record, evaluation = self.record(run), last_evaluation(run.folder)
    # Of a job on a cluster no exit code comes back.
    ended = record.get('exit_code') == 0 or record.get('on_cluster')
    if not ended or evaluation is None or evaluation.cut:
      return False
    return evaluation.step >= record.get('steps', 0)

  def begin(self, run: run_lib.Run, on_cluster: bool = False) -> None:
    """Writes that a run begins, before it does.

    Args:
      run: which one.
      on_cluster: whether it is a job, whose end is only seen in its folder.
    """
    os.makedirs(run.folder, exist_ok=True)
    self._write(
      run,
      **self._identity(run),
      started=time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
      steps=run.length.now() if run.length else 0,
      exit_code=None,
      on_cluster=on_cluster,
    )

  def adopt(self, run: run_lib.Run, origin: str) -> None:
    """Makes a finished run of another study, whose files are here, its own.

    Args:
      run: which one it is in this study.
      origin: study and run, for the report.
    """
    self._write(run, **self._identity(run), taken_from=origin)

  def _identity(self, run):
    return {
      'run_id': run.run_id,
      'hash': self.digest(run),
      'content': content_lib.of(self, run),
      'output': os.path.relpath(run.output, run.folder),
      'command': commands.shown(run, self.rates),
    }

  def end(self, run: run_lib.Run, code: int, seconds: float) -> None:
    """Writes that a run has ended.

    Args:
      run: which one.
      code: exit code, 128 + n for signal n.
      seconds: of this start; those of all starts are added up.
    """
    before = self.record(run).get('seconds', 0.0)
    self._write(run, exit_code=code, seconds=round(before + seconds, 2))

  def _write(self, run, **entries):
    path = os.path.join(run.folder, RECORD)
    with open(path + '.tmp', 'w', encoding='utf-8') as f:
      json.dump({**self.record(run), **entries}, f, indent=1)
    os.replace(path + '.tmp', path)

  def forget(self, run: run_lib.Run) -> None:
    """Deletes what a run has made, so that it begins anew."""
    for folder in {run.folder, run.output}:
      # Only below the study's own folder, whatever the spec says.
      if os.path.realpath(folder).startswith(
        os.path.join(os.path.realpath(self.output), '')
      ):
        shutil.rmtree(folder, ignore_errors=True)
    # Also what hangs on it is no longer known.
    self._finished.clear()
    self._digests.clear()
    self._choices.clear()


def _has_output(run: run_lib.Run) -> bool:
  """Whether there is something that a later command must not go on from."""
  names: Any = ('dataset.json',)
  if run.stage != run_lib.DATA:
    names = ('checkpoint', METRICS)
  return any(os.path.exists(os.path.join(run.output, name)) for name in names)
