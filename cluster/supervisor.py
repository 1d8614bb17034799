"""Watches a cluster on this machine: when it ends, what is started again.

The rules are those of the rendered jobs (jobset.py, slurm.py), with the exit
codes of the binaries: 1 to 127 are permanent, others may be tried again.
"""

import collections
import contextlib
import math
import signal
import sys
import time
from collections.abc import Sequence

from cluster import processes
from official_repro.core import flags as core_flags

STOPPED = 143
_POLL_SECONDS = 0.05
# After SIGTERM: for one step and one checkpoint, as in pods.
_SECONDS_TO_SAVE = 300
# When one of several synchronous tasks has failed, the others save or tell that
# they have lost it; after a permanent error there is little to wait for.
_SECONDS_TO_NOTICE = 60
_SECONDS_AFTER_ERROR = 5
_LAST_LINES = 15


class Supervisor:
  """Runs a cluster to its end.

  With parameter servers the chief's end is the end of the training: workers
  and servers never end by themselves, so one that does has failed, and is
  started again where restarts are left. Without, all tasks end, and the failure
  of one is that of all. After it an evaluator is waited for.
  """

  def __init__(self, cluster):
    """Takes a local_cluster.LocalCluster that is not started."""
    self._cluster = cluster
    self._alone = collections.Counter()  # {task: times that it came again}
    self._whole = 0  # times that the cluster came again
    self._signal = False
    # Of the present life of the cluster:
    self._running = set()
    self._failures = []  # [(task, code)]
    self._lost = []  # [(task, code)] of servers that came again
    self._deadline = math.inf  # for those that run, after a failure or signal
    self._follow = processes.Follower(cluster.log(*cluster.leaders[0]))

  def run(self) -> int:
    """Runs it; returns the exit code.

    0: all done; 143: SIGTERM came, and the tasks have saved; else the code of
    the task that failed first and not because of another, 128 + n for signal n.
    On failure stderr has that task, its last lines and the folder of the logs.
    """
    with self._listening():
      self._cluster.start()
      while True:
        failures = self._live()
        self._follow()
        if not failures or not self._starts_all_again(failures):
          break
        self._cluster.end()
        self._cluster.start()
    self._cluster.end()
    if failures:
      return self._report(failures)
    return STOPPED if self._signal else 0

  @contextlib.contextmanager
  def _listening(self):
    before = signal.signal(signal.SIGTERM, self._remember)
    try:
      yield
    finally:
      signal.signal(signal.SIGTERM, before)

  def _remember(self, *_):
    self._signal = True

  def _live(self):
    """Returns [(task, code)] that failed in one life of the cluster."""
    self._running, self._failures = set(self._cluster.tasks), []
    self._lost, self._deadline = [], math.inf
    told = False
    while self._running and time.monotonic() < self._deadline:
      time.sleep(_POLL_SECONDS)
      self._follow()
      if self._signal and not told:
        told = True
        self._hand_on()
      for task in self._cluster.tasks:  # leaders first
        if task in self._running and self._cluster.code(*task) is not None:
          self._take(task, self._cluster.code(*task))
      training = self._running.intersection(self._cluster.leaders)
      if not training and (self._signal or self._failures):
        break
    return self._after_signal() if self._signal else self._failures

  def _take(self, task, code):
    """Takes note of a task's end."""
    if task in self._cluster.leaders:
      self._running.discard(task)
      if self._cluster.asynchronous:
        self._end_helpers(code)
      if code:
        self._fail(task, code)
      return
    if task[0] != 'evaluator':
      code = code or STOPPED  # nothing asked it to end
    if code and self._starts_again(task, code):
      if task[0] == 'ps':  # its variables are lost: the chief will end
        self._lost.append((task, code))
      return
    self._running.discard(task)
    if code:
      self._fail(task, code)

  def _end_helpers(self, code):
    """Ends workers and parameter servers after the chief."""
    helpers = [t for t in self._cluster.tasks if t[0] in ('worker', 'ps')]
    if code == core_flags.LOST_PEER:
      # Whom it has lost: servers that came again, and who is gone just now.
      self._failures += self._lost
      for task in self._running.intersection(helpers):
        if self._cluster.code(*task) is not None:
          self._failures.append((task, self._cluster.code(*task) or STOPPED))
    self._cluster.end(helpers)
    self._running.difference_update(helpers)

  def _fail(self, task, code):
    """Remembers a failure and how long it leaves the others."""
    self._failures.append((task, code))
    if self._signal:
      return  # they are saving
    seconds = 0
    if task in self._cluster.leaders and not self._cluster.asynchronous:
      seconds = _SECONDS_AFTER_ERROR
      if _may_be_tried(code):
        seconds = _SECONDS_TO_NOTICE
    self._deadline = min(self._deadline, time.monotonic() + seconds)

  def _starts_again(self, task, code):
    """Whether a task other than the leaders was started again."""
    if self._signal or not _may_be_tried(code):
      return False
    if self._alone[task] >= self._cluster.restarts:
      return False
    self._alone[task] += 1
    _tell(
      f'{_name(task)} ended with {processes.describe(code)}; started again '
      f'({self._alone[task]} of {self._cluster.restarts}).'
    )
    self._cluster.start_task(*task)
    return True

  def _starts_all_again(self, failures):
    """Whether the cluster is to be started again."""
    # A helper that ends the cluster has used up its own restarts.
    if self._signal or failures[-1][0] not in self._cluster.leaders:
      return False
    if not all(_may_be_tried(code) for _, code in failures):
      return False
    restarts = self._cluster.restarts
    if self._whole >= restarts:
      return False
    self._whole += 1
    ends = ', '.join(f'{_name(t)} {processes.describe(c)}' for t, c in failures)
    _tell(
      f'The cluster ended ({ends}); started again ({self._whole} of '
      f'{restarts}).'
    )
    return True

  def _hand_on(self):
    self._deadline = time.monotonic() + _SECONDS_TO_SAVE
    for task in self._running.intersection(self._cluster.leaders):
      self._cluster.kill(*task, signal.SIGTERM)

  def _after_signal(self):
    """Returns the failures that are no part of a stop."""
    leaders = self._cluster.leaders
    late = [task for task in leaders if task in self._running]
    for task in late:
      _tell(f'{_name(task)} still runs {_SECONDS_TO_SAVE} s after SIGTERM.')
    return [
      (task, code)
      for task, code in self._failures
      if task in leaders and code not in (STOPPED, core_flags.LOST_PEER)
    ] + [(task, 128 + signal.SIGKILL) for task in late]

  def _report(self, failures):
    """Shows what failed; returns the exit code."""
    task, code = _cause(failures)
    lines = self._cluster.output(*task).splitlines()[-_LAST_LINES:]
    _tell(
      f'\n{_name(task)} failed: {processes.describe(code)}. Its last lines:'
    )
    for line in lines or ['(none)']:
      _tell(f'  | {line}')
    for other, its in failures:
      if other != task:
        _tell(f'{_name(other)} ended, too: {processes.describe(its)}.')
    _tell(f'Logs of all tasks: {self._cluster.log_dir}')
    return code


def _cause(failures: Sequence) -> tuple:
  """Returns the first failure that is not due to another's."""
  own = [f for f in failures if f[1] != core_flags.LOST_PEER]
  return (own or failures)[0]


def _may_be_tried(code):
  return code >= 128


def _name(task):
  return f'{task[0]}-{task[1]}'


def _tell(text):
  print(text, file=sys.stderr, flush=True)
