"""How long a run will take: from runs that are done, else a rough rate."""

import collections
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from official_repro.core import observers
from official_repro.scaling import run as run_lib
from official_repro.scaling import state as state_lib

# Rough, on two CPU cores: (seconds at all, records a second).
_DATA = {
  'official_repro.build_records': (15.0, 200.0),
  'official_repro.dedup': (20.0, 100.0),
  'official_repro.subset': (8.0, 20_000.0),
}
# TensorFlow's import, the graph, the evaluation; at most half of a run, so that
# short runs say something about long ones.
_START_SECONDS = 25.0
_DAYS_FROM = 4 * 86_400


class Estimate(NamedTuple):
  """Seconds of a run, and whether runs like it were measured here."""

  seconds: float
  measured: bool

  def __str__(self):
    sign = '' if self.measured else '~'
    if self.seconds < _DAYS_FROM:
      return sign + observers.duration(self.seconds)
    return f'{sign}{self.seconds / 86_400:,.0f} days'


class Estimates:
  """Estimates runs from those of the same kind that are done.

  Args:
    state: the study's.
  """

  def __init__(self, state: state_lib.State):
    self._state = state
    self._rates: dict = collections.defaultdict(list)
    for run in state.runs.values():
      self.learn(run)

  def learn(self, run: run_lib.Run) -> None:
    """Takes the seconds of a run into account, if it is done."""
    record = self._state.record(run)
    if record.get('exit_code') == 0 and record.get('seconds'):
      start = min(_START_SECONDS, record['seconds'] / 2)
      rate = (record['seconds'] - start) / _amount(run)
      self._rates[_kind(run)].append((start, rate))

  def of(self, run: run_lib.Run) -> Estimate:
    """Returns the seconds that a run takes from its beginning."""
    known = self._rates.get(_kind(run))
    if known:
      every = [start + rate * _amount(run) for start, rate in known]
      return Estimate(statistics.median(every), True)
    if run.length:
      preset = run.length.preset
      seconds = _START_SECONDS + preset.seconds_per_step * _amount(run)
      return Estimate(seconds, False)
    start, per_second = _DATA[run.module]
    return Estimate(start + _amount(run) / per_second, False)

  def total(self, runs: Iterable[run_lib.Run], jobs: int = 1) -> Estimate:
    """Returns the time of several runs on so many processes at a time."""
    every = [self.of(run) for run in runs]
    return Estimate(
      sum(e.seconds for e in every) / min(jobs, max(len(every), 1)),
      all(e.measured for e in every),
    )


def _kind(run):
  point = run.point
  source = run.flags.get('source')
  return (run.module, run.experiment, source, point['depth'], point['frozen'])


def _amount(run):
  """Steps of a training, records of a data folder."""
  if run.length:
    return run.length.guess()
  return int(run.flags.get('num_images') or 10_000)


def lines(
  state: state_lib.State, runs: Sequence[run_lib.Run], jobs: int
) -> list[str]:
  """Returns a plan for reading: each run, its state and time, and the sum.

  A ~ marks times from a rough rate on two CPU cores.
  """
  estimates = Estimates(state)
  shown, left = [], []
  width = max((len(run.run_id) for run in runs), default=0)
  for run in runs:
    status = state.status(run)
    time = ''
    if status != state_lib.DONE:
      left.append(run)
      time = str(estimates.of(run))
    shown.append(f'  {status:6s} {time:>12s}  {run.run_id:{width}s}'.rstrip())
  stages = collections.Counter(run.stage for run in runs)
  counts = ', '.join(f'{n} {stage}' for stage, n in stages.items())
  total = estimates.total(left, jobs)
  shown.append(
    f'{len(runs)} runs ({counts}): {len(runs) - len(left)} done, {len(left)} '
    f'to do, about {total}'
    + (f' with {jobs} at a time' if jobs > 1 else '')
    + ('.' if total.measured else '; ~ is a rough rate of two CPU cores.')
  )
  return shown
