"""Runs the processes of a study, so many at a time, each after what it needs.

The exit codes are those of every binary: 0 done; 143 and 138 stopped, and the
same command goes on; anything else is a failure.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from cluster import processes
from official_repro.core import flags as core_flags
from official_repro.data import parallel
from official_repro.scaling import commands, label_lists, progress, reuse
from official_repro.scaling import estimates as estimates_lib
from official_repro.scaling import state as state_lib

# What becomes of a run in this start of the study.
DONE, KEPT, FAILED, STOPPED, STALE = (
  'done',
  'kept',
  'failed',
  'stopped',
  'stale',
)
BLOCKED = 'not run'
_STOPPED_CODES = (128 + signal.SIGTERM, core_flags.LOST_PEER)
_POLL_SECONDS = 0.2
# For a step, a checkpoint, and the checksums of a data folder.
_SECONDS_TO_SAVE = 300
_LAST_LINES = 5
_NONE: Mapping[str, Any] = {}


class _Started(NamedTuple):
  """A process and when it began."""

  process: subprocess.Popen
  since: float


class Scheduler:
  """Runs what is not done.

  Args:
    state: the study's.
    jobs: processes at a time.
    keep_stale: runs of another command stay; what needs them is not run.
    reusable: from reuse.index, runs to take instead of running them.
    stream: for progress and failures.

  Attributes:
    outcomes: {run id: DONE, KEPT, FAILED, STOPPED, STALE or BLOCKED}.
    told: the signal that ended the study, if one did.
  """

  def __init__(
    self,
    state: state_lib.State,
    jobs: int = 1,
    *,
    keep_stale: bool = False,
    reusable: Mapping[str, Any] = _NONE,
    stream=None,
  ):
    self._state, self._jobs, self._keep_stale = state, jobs, keep_stale
    self._reusable = reusable
    self._stream = stream or sys.stderr
    self._running: dict = {}
    self._told_at: Optional[float] = None
    self.outcomes: dict = {}
    self.told: Optional[int] = None
    self._estimates = estimates_lib.Estimates(state)
    self._progress = progress.Progress(self._stream)

  def run(self) -> Mapping[str, str]:
    """Runs everything; returns `outcomes`."""
    self._take_done()
    try:
      with self._listening():
        while True:
          self._take_ended()
          if self.told is None:
            self._start_ready()
          if not self._running or (self.told and not self._wait_on()):
            break
          self._show()
          time.sleep(_POLL_SECONDS)
    finally:
      processes.end(started.process for started in self._running.values())
      self._progress.end_line()
    for run_id in self._state.runs:
      killed = run_id in self._running
      self.outcomes.setdefault(run_id, STOPPED if killed else BLOCKED)
    return self.outcomes

  def _take_done(self):
    """Takes note of what is done already, so that the first line counts it."""
    for run_id, run in self._state.runs.items():
      before = {self.outcomes.get(name) for name in run.depends}
      if before <= {DONE} and self._state.status(run) == state_lib.DONE:
        self.outcomes[run_id] = DONE

  @contextlib.contextmanager
  def _listening(self):
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {n: signal.signal(n, self._remember) for n in numbers}
    try:
      yield
    finally:
      for number, handler in before.items():
        signal.signal(number, handler)

  def _remember(self, number, frame):
    del frame
    if self.told is not None:  # asked twice: now
      self._told_at = -_SECONDS_TO_SAVE
    self.told = number

  def _wait_on(self):
    """Hands the signal on once; returns whether to wait on."""
    if self._told_at is None:
      self._told_at = time.monotonic()
      self._tell(f'Stopping: {len(self._running)} runs save what they have.')
      for started in self._running.values():
        started.process.terminate()
    return time.monotonic() < self._told_at + _SECONDS_TO_SAVE

  def _start_ready(self):
    again = True
    while again:  # what is done already may make others ready
      again = False
      for run_id, run in self._state.runs.items():
        if run_id in self.outcomes or run_id in self._running:
          continue
        before = {self.outcomes.get(name) for name in run.depends}
        if before - {DONE, None}:
          self.outcomes[run_id] = BLOCKED
          again = True
        elif before <= {DONE} and not self._done_or_started(run):
          return
        again = again or run_id in self.outcomes

  def _done_or_started(self, run):
    """Deals with a run whose turn it is; False: there is no room for it."""
    status = self._state.status(run)
    if status == state_lib.DONE:
      self.outcomes[run.run_id] = DONE
    elif status == state_lib.STALE:
      self._pass_over(run)
    elif status == state_lib.NEW and self._is_taken(run):
      self.outcomes[run.run_id] = DONE
    elif len(self._running) >= self._jobs:
      return False
    else:
      self._start(run)
    return True

  def _is_taken(self, run):
    """Takes a run from another study; False: it has to be run."""
    try:
      found = reuse.take(self._state, run, self._reusable)
    except OSError as e:
      self._tell(f'{run.run_id} cannot be taken, and is run: {e}')
      return False
    if found:
      self._estimates.learn(run)
      self._tell(f'{run.run_id} is taken from {found.study}: {found.run_id}')
    return found is not None

  def _pass_over(self, run):
    if self._keep_stale and self._state.is_finished(run):
      self.outcomes[run.run_id] = KEPT
      return
    self.outcomes[run.run_id] = STALE
    self._tell(
      f'{run.run_id} was made by another command, and is not run; give '
      '--rerun_stale to make it again.'
    )

  def _start(self, run):
    flags = self._state.flags(run)
    try:
      if flags is None:
        raise ValueError(
          self._state.undecided.get(run.rate_of)
          or f'the number of its steps is not known without {run.inputs}.'
        )
      os.makedirs(run.folder, exist_ok=True)
      if state_lib.repair_metrics(run.folder):
        self._tell(
          f'{run.run_id}: {state_lib.METRICS} ended in the middle of a line, '
          'so it was not finished; it goes on from its checkpoint.'
        )
      for which, data_dir, file in run.lists:
        label_lists.write(which, data_dir, file)
      self._state.begin(run)
      process = processes.start(
        commands.words(run, flags),
        os.path.join(run.folder, state_lib.LOG),
        _environment(self._jobs),
      )
    except (ValueError, OSError) as e:
      self.outcomes[run.run_id] = FAILED
      self._tell(f'{run.run_id} cannot start: {e}')
      return
    self._running[run.run_id] = _Started(process, time.monotonic())

  def _take_ended(self):
    for run_id, started in list(self._running.items()):
      code = processes.exit_code(started.process)
      if code is not None:
        del self._running[run_id]
        run = self._state.runs[run_id]
        self._state.end(run, code, time.monotonic() - started.since)
        self.outcomes[run_id] = self._outcome(run, code)

  def _outcome(self, run, code):
    if code in _STOPPED_CODES:
      if self.told is None:
        self._tell(f'{run.run_id} was stopped ({processes.describe(code)}).')
      return STOPPED
    if code == 0 and self._state.is_finished(run):
      self._estimates.learn(run)
      return DONE
    reason = processes.describe(code)
    if code == 0:
      reason = (
        f'it ended, but {state_lib.METRICS} has no whole line of its last step'
        if run.length
        else 'it ended without dataset.json'
      )
    self._fail(run, reason)
    return FAILED

  def _fail(self, run, reason):
    path = os.path.join(run.folder, state_lib.LOG)
    with open(path, encoding='utf-8', errors='replace') as f:
      last = f.read().replace('\r', '\n').splitlines()[-_LAST_LINES:]
    self._tell(f'{run.run_id} failed: {reason}. The end of {path}:')
    for line in last or ['(empty)']:
      self._tell(f'  | {line}')

  def _show(self):
    left = [
      run
      for run in self._state.runs.values()
      if run.run_id not in self.outcomes
    ]
    now = time.monotonic()
    self._progress(
      total=len(self._state.runs),
      outcomes=self.outcomes.values(),
      running={k: now - v.since for k, v in self._running.items()},
      left=lambda: self._left(left, now),
    )

  def _left(self, runs, now):
    """Estimate of the time until all is done."""
    total = self._estimates.total(runs)
    passed = sum(now - s.since for s in self._running.values())
    return estimates_lib.Estimate(
      max(total.seconds - passed, 0.0) / self._jobs, total.measured
    )

  def _tell(self, text):
    self._progress.end_line()
    print(text, file=self._stream, flush=True)


def _environment(jobs):
  threads = parallel.default_processes() // jobs
  return {
    # With all cores to each, the runs get into each other's way.
    'TF_NUM_INTRAOP_THREADS': str(max(1, threads)),
    'TF_CPP_MIN_LOG_LEVEL': '3',
    # Else the last lines of a killed run would be lost.
    'PYTHONUNBUFFERED': '1',
    # Several runs may share a GPU.
    'TF_FORCE_GPU_ALLOW_GROWTH': 'true',
    **os.environ,
  }
