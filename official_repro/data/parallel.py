"""The number of processes for long work, and its progress line."""

import os
import sys
import time

_QUIET_SECONDS = 10.0


def default_processes() -> int:
  """Returns the number of cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


class Progress:
  """A line on stderr every ten seconds: done, rate, time left.

  Short work prints nothing.
  """

  def __init__(self, what: str, total: int, clock=time.monotonic):
    self._what, self._total, self._clock = what, total, clock
    self._start = self._last = clock()
    self._file = sys.stderr

  def update(self, done: int) -> None:
    """Tells how many of `total` are done."""
    now = self._clock()
    if now - self._last < _QUIET_SECONDS or not done:
      return
    self._last = now
    rate = done / (now - self._start)
    left = int((self._total - done) / rate)
    print(
      f'{self._what}: {done:,} of {self._total:,} records, {rate:,.0f}/s, '
      f'{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left',
      file=self._file,
      flush=True,
    )
