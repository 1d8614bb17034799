"""One line on stderr while a study runs."""

import time
from collections.abc import Collection, Mapping
from typing import Any, Callable

from official_repro.core import observers

_LOG_SECONDS = 60.0  # between lines in a log; studies take hours
_SHOWN = 2  # names of running runs


class Progress:
  """Runs done, running and failed, the time left, who runs since when.

  On a terminal the line is rewritten every second; in a log a new one comes
  every minute, and whenever the counts have changed.

  Args:
    stream: where it goes.
  """

  def __init__(self, stream):
    self._stream, self._tty = stream, stream.isatty()
    self._shown_at, self._counts = -_LOG_SECONDS, ()
    self._open = False

  def __call__(
    self,
    *,
    total: int,
    outcomes: Collection[str],
    running: Mapping[str, float],
    left: Callable[[], Any],
  ) -> None:
    """Shows a new line when it is time.

    Args:
      total: runs of the study.
      outcomes: of the runs that are dealt with.
      running: {run id: seconds}.
      left: gives the time left, which is shown as it prints.
    """
    outcomes = list(outcomes)
    counts = tuple(outcomes.count(w) for w in ('done', 'failed'))
    now = time.monotonic()
    waited = now - self._shown_at
    every = 1.0 if self._tty else _LOG_SECONDS
    if waited < every and (self._tty or counts == self._counts):
      return
    self._shown_at, self._counts = now, counts
    done, failed = counts
    names = [
      f'{name} {observers.duration(seconds)}'
      for name, seconds in list(running.items())[:_SHOWN]
    ]
    more = len(running) - len(names)
    text = (
      f'runs {done}/{total} done, {len(running)} running, {failed} failed  '
      f'ETA {left()}  {", ".join(names)}' + (f' +{more}' if more > 0 else '')
    )
    print(
      f'\r{text[:118]:<118}' if self._tty else text,
      end='' if self._tty else '\n',
      file=self._stream,
      flush=True,
    )
    self._open = self._tty

  def end_line(self) -> None:
    """Ends a rewritten line, so that other text starts on a new one."""
    if self._open:
      print(file=self._stream)
      self._open = False
