"""Signs of life of each task, and what to do when something does not end.

Each task of a run writes model_dir/.tasks/NAME.json every few seconds: what it
does, since when, at which step. When a task's own step does not end in time,
its watchdog prints who shows no sign of life and the stacks of its threads,
and waits on: the pause may end, and a scheduler decides about a restart.
"""

import contextlib
import faulthandler
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Optional

_FOLDER = '.tasks'
_EVERY_SECONDS = 2.0
# A task that has not written for so many periods is taken for dead or stopped.
_PERIODS = 5
# Of the time until the alarm: who has stopped then has long been silent.
_SHARE = 1 / 8
# A process traces and compiles in its first step, which may take minutes.
_FIRST_STEP = 3


class Watchdog:
  """Writes this task's signs of life and watches over its steps.

  Args:
    model_dir: the run's folder, which the tasks share.
    name: of this task, such as worker-1.
    tasks: names of all tasks of the run.
    seconds: without progress until the alarm, three times as long until the
      first step of this process has ended; 0: never.
    stream: for the alarm.
    facts: what else the signs say of this task.
  """

  def __init__(
    self,
    model_dir: str,
    name: str,
    tasks: Sequence[str],
    seconds: float,
    stream=None,
    facts: Optional[Mapping[str, Any]] = None,
  ):
    self._folder = os.path.join(model_dir, _FOLDER)
    self._name, self._tasks, self._seconds = name, tasks, seconds
    self._stream = stream or sys.stderr
    self._facts = dict(facts or {})
    self._step, self._doing, self._since = 0, 'starting', time.time()
    self._first: Optional[int] = None  # step of the first beat
    self._told: Optional[float] = None
    self._end = threading.Event()
    self._thread = threading.Thread(target=self._run, daemon=True)

  def __enter__(self):
    os.makedirs(self._folder, exist_ok=True)
    self._write(self._doing)
    self._thread.start()
    return self

  def __exit__(self, *_):
    self._end.set()
    self._thread.join()
    self._write('ended')

  def beat(self, step: int, doing: str) -> None:
    """Tells of progress.

    Args:
      step: optimizer steps done.
      doing: what comes now, such as 'step' or 'waiting for data'.
    """
    if self._first is None:
      self._first = step
    self._step, self._doing, self._since = step, doing, time.time()

  def _run(self):
    period = _period(self._seconds)
    while True:
      self._write(self._doing)
      stalled = time.time() - self._since
      late = self._seconds and stalled > self._patience()
      if late and self._told != self._since:  # once for each stall
        self._told = self._since
        self._alarm(stalled)
      if self._end.wait(period):
        return

  def _patience(self):
    begun = self._first is not None and self._step > self._first
    return self._seconds * (1 if begun else _FIRST_STEP)

  def _write(self, doing):
    content = {
      **self._facts,
      'step': self._step,
      'doing': doing,
      'since': self._since,
      'written': time.time(),
    }
    path = os.path.join(self._folder, f'{self._name}.json')
    try:
      with open(path + '.tmp', 'w', encoding='utf-8') as f:
        json.dump(content, f)
      os.replace(path + '.tmp', path)
    except OSError:
      pass  # a full disk is for the checkpoint to tell

  def _alarm(self, stalled):
    lines = [
      f'Warning: no progress for {stalled:.0f} s at step {self._step} '
      f'({self._doing}) of {self._name}. Still waiting; the tasks:',
      *describe(self._folder, self._tasks, self._seconds),
      'Stacks of this process:',
    ]
    print('\n'.join(lines), file=self._stream, flush=True)
    faulthandler.dump_traceback(self._stream, all_threads=True)
    self._stream.flush()


def _period(seconds):
  """Returns the seconds between two signs of life, for those until an alarm."""
  if not seconds:
    return _EVERY_SECONDS
  return min(_EVERY_SECONDS, seconds * _SHARE)


def read(folder: str, name: str) -> Optional[dict]:
  """Returns a task's last sign of life, None where there is none.

  Args:
    folder: model_dir/.tasks.
    name: of the task.
  """
  try:
    with open(os.path.join(folder, f'{name}.json'), encoding='utf-8') as f:
      return json.load(f)
  except (OSError, ValueError):
    return None


def fact(model_dir: str, tasks: Sequence[str], key: str) -> dict[str, Any]:
  """Returns {task: what its last sign says of `key`}, of those that say it."""
  folder = os.path.join(model_dir, _FOLDER)
  signs = {name: read(folder, name) or {} for name in tasks}
  return {name: sign[key] for name, sign in signs.items() if key in sign}


def describe(folder: str, tasks: Sequence[str], seconds: float) -> list[str]:
  """Returns a line about each task from its last sign of life.

  Args:
    folder: model_dir/.tasks.
    tasks: names.
    seconds: until the alarm, as all tasks of the run have it.
  """
  lines, now = [], time.time()
  for name in tasks:
    sign = read(folder, name)
    if sign is None:
      lines.append(f'  {name}: MISSING, gave no sign of life yet')
      continue
    silent = now - sign['written']
    state = (
      f'step {sign["step"]}, {sign["doing"]} for {now - sign["since"]:.0f} s'
    )
    if sign['doing'] == 'ended':
      state = f'ended at step {sign["step"]}'
    elif silent > _PERIODS * _period(seconds):
      state = f'MISSING, no sign of life for {silent:.0f} s, last: {state}'
    lines.append(f'  {name}: {state}')
  return lines


@contextlib.contextmanager
def time_limit(seconds: float):
  """Within it, the process ends when it takes longer; for the main thread.

  For calls that keep threads of Python from running, so that only the system
  can end them: stacks are printed, and a second later SIGALRM kills the process
  (exit code 142, which is worth another try).

  Args:
    seconds: 0: no limit.
  """
  if not seconds:
    yield
    return
  faulthandler.dump_traceback_later(seconds, file=sys.__stderr__)
  signal.setitimer(signal.ITIMER_REAL, seconds + 1)
  try:
    yield
  finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
    faulthandler.cancel_dump_traceback_later()
