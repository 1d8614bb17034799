"""Programs that take turns, so that a busy machine slows all of them alike.

Each side is a process of its own; only one works at a time. CPU seconds (of all
threads) beside the wall clock tell a busy machine from a slow program.
"""

import contextlib
import multiprocessing
import resource
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable, NamedTuple


class Answer(NamedTuple):
  """What one call took, and what it returned."""

  seconds: float
  cpu_seconds: float
  value: Any


Ask = Callable[[str, str], Answer]


def peak_mb() -> float:
  """Largest memory that this process has held, TensorFlow included."""
  # Linux counts kilobytes.
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextlib.contextmanager
def players(
  make: Callable[[str], Mapping[str, Callable[[], Any]]], sides: Iterable[str]
) -> Iterator[Ask]:
  """Starts the sides, one after the other.

  Args:
    make: side -> {question: function}; a function of a module, called in the
      side's process. What the functions return must be picklable, and small.
    sides: names.

  Yields:
    ask(side, question) -> Answer. A side that fails makes it raise
    RuntimeError, with the trace on stderr.
  """
  context = multiprocessing.get_context('spawn')
  pipes, processes = {}, []

  def ask(side, question):
    try:
      pipes[side].send(question)
      return Answer(*pipes[side].recv())
    except (EOFError, BrokenPipeError) as e:
      raise RuntimeError(f'Side {side!r} failed at {question!r}.') from e

  try:
    for side in sides:
      pipes[side], theirs = context.Pipe()
      process = context.Process(target=_serve, args=(make, side, theirs))
      process.start()
      theirs.close()
      processes.append(process)
      try:
        pipes[side].recv()  # None, once it is made
      except EOFError as e:
        raise RuntimeError(f'Side {side!r} failed at the start.') from e
    yield ask
  finally:
    for pipe in pipes.values():
      pipe.close()
    for process in processes:
      process.join()


def play(ask: Ask, asked, turns: int, warm: int = 1) -> dict:
  """Asks all questions, turn by turn.

  Args:
    ask: see players.
    asked: [(side, question)], in the order of a turn.
    turns: that count.
    warm: turns before them.

  Returns:
    {(side, question): [Answer]}.
  """
  found = {key: [] for key in asked}
  for turn in range(warm + turns):
    for key in asked:
      answer = ask(*key)
      if turn >= warm:
        found[key].append(answer)
  return found


def seconds(answers) -> float:
  """Median wall time."""
  return statistics.median(a.seconds for a in answers)


def cpu_seconds(answers) -> float:
  """Median time of all threads."""
  return statistics.median(a.cpu_seconds for a in answers)


def times_faster(mine, theirs, key: str = 'seconds') -> float:
  """Median over the turns of their time by mine."""
  return statistics.median(
    getattr(b, key) / getattr(a, key) for a, b in zip(mine, theirs)
  )


def _serve(make, side, pipe):
  answers = make(side)
  pipe.send(None)
  while True:
    try:
      question = pipe.recv()
    except EOFError:
      return
    start, cpu_start = time.perf_counter(), time.process_time()
    value = answers[question]()
    took = time.perf_counter() - start, time.process_time() - cpu_start
    pipe.send((*took, value))
