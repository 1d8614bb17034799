"""Work on many items in several processes, and a progress line.

Results come in the order of the items, whatever the number of processes.
"""

import collections
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Generator, Sequence
from concurrent import futures
from typing import Callable

# Enough to hide the queue's cost, few enough to keep all processes busy.
CHUNK = 32
_CHUNKS_AHEAD = 4
_QUIET_SECONDS = 10.0


def ordered_map(
  function: Callable, items: Sequence, processes: int
) -> Generator:
  """Yields function(item) for each item, in the order of the items.

  Args:
    function: picklable; it and the items are all that a process knows.
    items: picklable too.
    processes: 1 runs in this process, and so do items too few to share out.

  Raises:
    OSError: a process was killed.
  """
  processes = min(processes, len(items) // CHUNK)
  if processes <= 1:
    yield from map(function, items)
    return
  # Fresh processes: a fork of one that has threads (TensorFlow's) can hang.
  executor = futures.ProcessPoolExecutor(
    processes,
    mp_context=multiprocessing.get_context('spawn'),
    initializer=_ignore_interrupt,
  )
  chunks = (items[i : i + CHUNK] for i in range(0, len(items), CHUNK))
  waiting = collections.deque()
  try:
    for chunk in chunks:
      waiting.append(executor.submit(_map_chunk, function, chunk))
      if len(waiting) >= processes * _CHUNKS_AHEAD:
        yield from waiting.popleft().result()
    while waiting:
      yield from waiting.popleft().result()
  except futures.process.BrokenProcessPool as e:
    raise OSError(
      'A worker process was killed, perhaps for want of memory: use fewer '
      '--processes.'
    ) from e
  finally:
    executor.shutdown(wait=True, cancel_futures=True)


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
      file=sys.stderr,
      flush=True,
    )


def _map_chunk(function, chunk):
  return [function(item) for item in chunk]


def _ignore_interrupt():
  # Ctrl-C reaches the whole group; the parent alone reports it.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
