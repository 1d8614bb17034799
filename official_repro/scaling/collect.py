"""The rows of results.csv from what the runs have left."""

import os
from collections.abc import Mapping
from typing import Optional

from official_repro.scaling import axes as axes_lib
from official_repro.scaling import commands, results
from official_repro.scaling import run as run_lib
from official_repro.scaling import state as state_lib

_NOT_RUN = 'not run'


def rows(
  state: state_lib.State, outcomes: Mapping[str, str] = {}
) -> list[results.Row]:
  """Returns a row for each run and metric, those not run included.

  A run without a metric (data, a checkpoint to start from) has a row, of metric
  '', only where it is not done.

  Args:
    state: the study's.
    outcomes: of the runs in this start of the study, from Scheduler.run.
  """
  found = []
  for run in state.runs.values():
    status = _status(state, run, outcomes.get(run.run_id))
    for metric in run.metrics or ('',):
      if metric or status != 'done':
        found.append(_row(state, run, status, metric))
  return found


def _status(state, run, outcome):
  status = state.status(run)
  if status in (state_lib.DONE, state_lib.STALE):
    return status
  if outcome == 'failed':
    return 'failed'
  # Of an earlier start; one that a signal ended is only not run to its end.
  code = state.record(run).get('exit_code')
  failed = code is not None and 0 < code < 128 and outcome is None
  return 'failed' if failed else _NOT_RUN


def _row(state, run, status, metric):
  evaluation = None
  if status == 'done' or (status == 'stale' and state.is_finished(run)):
    evaluation = state_lib.last_evaluation(run.folder)
  flags = state.flags(run) or run.flags
  return results.Row(
    study=state.spec.name,
    stage=run.stage,
    task=run.task,
    run_id=run.run_id,
    status=status,
    metric=metric,
    value=evaluation and evaluation.metrics.get(metric),
    step=evaluation and evaluation.step,
    examples_seen=evaluation and evaluation.examples_seen,
    **_point(state, run),
    learning_rate=flags.get('learning_rate'),
    model_dir=os.path.relpath(run.folder, state.output),
    command=commands.shown(run, state.rates),
  )


def _point(state, run):
  """Returns the axes of a run, what no axis says as the data has it."""
  point = dict(run.point)
  vocabulary = point['vocabulary']
  point['vocabulary'] = vocabulary and axes_lib.text(vocabulary)
  if run.stage == run_lib.DATA or run.trained_on is None:
    return {**point, 'init': point['init'] and axes_lib.text(point['init'])}
  source, length = run.trained_on, run.pretrain_length
  images = source.records(length.split) or source.expected
  whole = run_lib.records_of(source.whole, length.split)
  if point['images'] is None:
    point['images'] = images
  if point['fraction'] is None and images and whole:
    point['fraction'] = round(images / whole, 6)
  if point['epochs'] is None:
    point['epochs'] = length.epochs
    if length.epochs is None and images:
      seen = length.guess() * length.batch_size
      point['epochs'] = round(seen / images, 3)
  if point['noise'] is None:
    point['noise'] = _noise(state.spec)
  point['labels'] = point['labels'] or _labels(run, state)
  return point


def _noise(spec) -> Optional[float]:
  """Share of wrong labels of generated data, which is the flag's default."""
  flags = spec.generate.get(spec.pretrain.data, {})
  if flags.get('source') != 'mini_jft':
    return None
  return float(flags.get('noise', 0.2))


def _labels(run, state):
  override = commands.nested(state.spec.pretrain.override)
  data = override.get('task', {}).get('train_data', {})
  return data.get('labels', 'filled')
