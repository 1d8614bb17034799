"""A study from its spec to its report."""

import dataclasses
import os
import sys
from collections.abc import Sequence
from typing import Optional

from official_repro.core import flags as core_flags
from official_repro.scaling import (
  choice,
  collect,
  estimates,
  folder,
  paper,
  results,
  reuse,
  runs,
  scheduler,
  spec_types,
)
from official_repro.scaling import run as run_lib
from official_repro.scaling import state as state_lib

_NAMED = 3  # runs in a message


@dataclasses.dataclass(frozen=True)
class Options:
  """How a study is run.

  Attributes:
    jobs: processes at a time.
    rerun_stale: delete runs made by another command, and make them again.
    keep_stale: leave them; what needs them is not run.
    reuse: folders of other studies, whose runs are taken where they are the
      same.
  """

  jobs: int = 1
  rerun_stale: bool = False
  keep_stale: bool = False
  reuse: tuple = ()


def planned(
  spec: spec_types.Spec, output: str, stream=None
) -> tuple[list[run_lib.Run], state_lib.State]:
  """Plans a study and tells which of its runs are stale.

  Args:
    spec: from spec.load.
    output: the study's folder, which may not be there.
    stream: for what is stale.

  Raises:
    ValueError: the folder holds another study.
  """
  folder.check(output, spec)
  plan = runs.plan(spec, output)
  state = state_lib.State(spec, plan, output)
  stale = _stale(state)
  if stale:
    print(
      f'{len(stale)} runs were made by another command than that of the spec:',
      file=stream or sys.stderr,
    )
    for run in stale:
      print(f'  {run.run_id}', file=stream or sys.stderr)
  return plan, state


def dry_run(
  spec: spec_types.Spec, output: str, jobs: int = 1, others: Sequence[str] = ()
) -> str:
  """Returns the runs in their order, how many are done, and the time left.

  Args:
    spec: from spec.load.
    output: the study's folder, which may not be there.
    jobs: runs at a time.
    others: folders of the studies of --reuse.

  Raises:
    ValueError: a folder holds another study, or one of the others none.
  """
  plan, state = planned(spec, output)
  lines = [f'{spec.name}: {spec.title}', *estimates.lines(state, plan, jobs)]
  if others:
    taken = reuse.ready(state, plan, reuse.index(others))
    lines.append(
      f'{len(taken)} of them would be taken from --reuse now; of the others it '
      'is known when their data is there. The time is without it.'
    )
  lines += [f'Data folder {path!r} is not there yet.' for path in _absent(plan)]
  return '\n'.join(lines)


def run(
  spec: spec_types.Spec, output: str, options: Optional[Options] = None
) -> None:
  """Runs what is not done, writes results.csv and the report.

  Args:
    spec: from spec.load.
    output: the study's folder.
    options: how.

  Raises:
    ValueError: bad input, or some run failed or could not be run.
    core_flags.StoppedError: a signal came, and the runs have saved.
  """
  # Here, as its plots take two seconds to import.
  from official_repro.scaling import console, report

  options = options or Options()
  if options.rerun_stale and options.keep_stale:
    raise ValueError('Flags --rerun_stale and --keep_stale: give one of them.')
  with folder.held(output, spec):
    plan, state = planned(spec, output)
    _check_inputs(plan)
    _deal_with_stale(state, options)
    work = scheduler.Scheduler(
      state,
      options.jobs,
      keep_stale=options.keep_stale,
      reusable=reuse.index(options.reuse),
    )
    outcomes = dict(work.run())
    rows = collect.rows(state, outcomes)
    results.write_csv(os.path.join(output, 'results.csv'), rows)
    if spec.choice:
      choice.write(output, state.choices(), spec.choice.at)
    axis = paper.find(spec.paper).axis if spec.paper else None
    print(console.summary(rows, axis))
    # A stop has a few seconds; the same command writes it at its end.
    if work.told is None:
      print(f'Report: {report.write_report(output, [spec])[0]}')
    sys.stdout.flush()
    _finish(outcomes, work.told, output)


def _stale(state):
  return [r for r in state.runs.values() if state.status(r) == state_lib.STALE]


def _absent(plan):
  """Returns {data folder that is not there: id of a run that reads it}."""
  readers = {path: one.run_id for one in plan for path in one.inputs}
  return {
    path: reader
    for path, reader in readers.items()
    if not os.path.exists(os.path.join(path, 'dataset.json'))
  }


def _check_inputs(plan):
  for path, reader in _absent(plan).items():
    raise ValueError(
      f'There is no data folder {path!r} (dataset.json), which the run '
      f'{reader} reads; build it, or give the right --data_root.'
    )


def _deal_with_stale(state, options):
  stale = _stale(state)
  if stale and options.rerun_stale:
    for one in stale:
      state.forget(one)
  elif stale and not options.keep_stale:
    raise ValueError(
      f'{len(stale)} runs in this folder were made by another command than the '
      f'spec gives now ({_names([r.run_id for r in stale])}); give '
      '--rerun_stale to delete and repeat them, or --keep_stale to leave them.'
    )


def _finish(outcomes, told, output):
  """Turns what happened into the exit code."""
  counted = {
    what: [name for name, outcome in outcomes.items() if outcome == what]
    for what in set(outcomes.values())
  }
  failed = counted.get(scheduler.FAILED, ())
  if failed:
    raise ValueError(
      f'{len(failed)} of {len(outcomes)} runs failed ({_names(failed)}) and '
      f'{len(counted.get(scheduler.BLOCKED, ()))} were not run; mend what '
      'their logs tell, and the same command goes on.'
    )
  if told is not None or scheduler.STOPPED in counted:
    done = len(counted.get(scheduler.DONE, ()))
    raise core_flags.StoppedError(
      f'Stopped after {done} of {len(outcomes)} runs; the same command goes on '
      f'in {output}.'
    )
  if scheduler.STALE in counted:
    names = counted[scheduler.STALE]
    raise ValueError(
      f'{len(names)} runs were made by another command ({_names(names)}); give '
      '--rerun_stale to delete and repeat them.'
    )


def _names(names: Sequence[str]) -> str:
  more = len(names) - _NAMED
  return ', '.join(names[:_NAMED]) + (f' and {more} more' if more > 0 else '')
