"""All runs of a study, in an order in which each finds what it needs."""

import dataclasses
import itertools
import os
from collections.abc import Mapping
from typing import Any, Optional

from official_repro.scaling import axes as axes_lib
from official_repro.scaling import commands, presets, spec_types
from official_repro.scaling import data_runs as data_lib
from official_repro.scaling import run as run_lib
from official_repro.scaling.run import CHOICE, PRETRAIN, TRANSFER, Run

_ORDER = (run_lib.DATA, CHOICE, PRETRAIN, TRANSFER)


def plan(spec: spec_types.Spec, output: str) -> list[Run]:
  """Plans a study.

  Axes that do not concern a stage do not multiply it. All of one seed comes
  before the next seed, so that a study cut short is a study with fewer seeds.
  A frozen trunk of random weights is no run.

  Args:
    spec: from spec.load.
    output: the study's folder.

  Returns:
    Its runs: data, the choice of learning rates, pre-training, transfer.

  Raises:
    ValueError: two runs get the same name, or the training binaries do not take
      a flag.
  """
  planner = _Planner(spec, output)
  if spec.choice:
    planner.add_choice()
  for point in _points(spec):
    planner.add_point(point)
  runs = sorted(planner.runs.values(), key=lambda r: _ORDER.index(r.stage))
  for run in runs:
    commands.check(run)
  return runs


def _points(spec):
  """Yields {axis: value} of every combination, seeds outermost."""
  names = ['seed', *(n for n in axes_lib.AXES if n != 'seed')]
  for values in itertools.product(*(spec.values(n) for n in names)):
    yield dict(zip(names, values))


@dataclasses.dataclass(frozen=True)
class _Start:
  """What a run's weights come from; a checkpoint of None is random ones."""

  checkpoint: Optional[str]
  run: Optional[Run] = None


class _Planner:
  """Collects the runs of a study."""

  def __init__(self, spec, output):
    self._spec, self._output = spec, output
    self.runs: dict = {}
    self._tries: dict = {}  # {task: ids of the runs that try its rates}
    self._data = data_lib.DataRuns(spec, output, self._add)
    self._evaluates_pretraining = bool(spec.pretrain and spec.pretrain.metrics)

  def add_point(self, point: Mapping[str, Any]) -> None:
    """Adds the runs of one combination of values."""
    start = axes_lib.pretraining_start(point['init'])
    if self._evaluates_pretraining or (start and self._spec.tasks):
      self._pretraining(point)
    for name in self._spec.tasks:
      rate_of = None
      if self._spec.choice and name in self._spec.choice.tasks:
        rate_of = name
      self._transfer(name, point, rate_of=rate_of)

  def add_choice(self) -> None:
    """Adds the runs that try learning rates."""
    spec, choice = self._spec, self._spec.choice
    point = {n: spec.values(n)[0] for n in axes_lib.AXES}
    if axes_lib.PRETRAINED in spec.values('init'):
      point['init'] = axes_lib.PRETRAINED
    point['frozen'] = False
    # Of the two axes of size only the one that `at` names.
    if {'images', 'fraction'} & set(choice.at):
      point['images'] = point['fraction'] = None
    point.update(choice.at)
    for name in choice.tasks:
      for rate in spec.tasks[name].learning_rates:
        self._transfer(name, point, CHOICE, rate=rate)
      self._tries[name] = [
        r.run_id
        for r in self.runs.values()
        if r.stage == CHOICE and r.task == name
      ]

  def _add(self, run):
    known = self.runs.setdefault(run.run_id, run)
    if known != run:
      raise ValueError(
        f'Two runs get the name {run.run_id!r}: values of an axis differ only '
        'in their folder; give the files other names.'
      )
    return known

  def _label(self, point, concerned):
    return axes_lib.label(point, set(self._spec.axes) & set(concerned))

  def _pretraining(self, point, stage=PRETRAIN):
    training = self._spec.pretrain
    begin = axes_lib.pretraining_start(point['init']) or axes_lib.RANDOM
    concerned = [n for n, a in axes_lib.AXES.items() if a.of_pretraining]
    point = {n: point[n] if n in concerned else None for n in axes_lib.AXES}
    point['init'] = begin
    shown = set(concerned)
    if not any('+' in v for v in self._spec.values('init')):
      shown.discard('init')
    prefix = 'choice/' if stage == CHOICE else ''
    start = self._start(begin, point)
    source = self._data.for_pretraining(point)
    epochs = point['epochs'] or training.epochs
    training = dataclasses.replace(training, epochs=epochs)
    run = self._training_run(
      f'{prefix}{training.name}/{self._name(point, shown)}',
      stage,
      training,
      point,
      source,
      start,
      override=_labels(point),
    )
    run = dataclasses.replace(
      run,
      metrics=training.metrics if stage == PRETRAIN else (),
      trained_on=source,
      pretrain_length=run.length,
    )
    return self._add(run)

  def _name(self, point, concerned):
    return self._label(point, concerned) or f'seed={point["seed"]}'

  def _transfer(self, name, point, stage=TRANSFER, rate=None, rate_of=None):
    training = self._spec.tasks[name]
    begin = axes_lib.pretraining_start(point['init'])
    if point['init'] == axes_lib.RANDOM and point['frozen']:
      return
    if begin is None:
      concerned = [n for n, a in axes_lib.AXES.items() if a.without_pretraining]
      start = self._start(point['init'], point)
    else:
      of_run = stage if stage == CHOICE else PRETRAIN
      concerned = list(axes_lib.AXES)
      before = self._pretraining(point, of_run)
      start = _Start(before.folder, before)
    point = {n: point[n] if n in concerned else None for n in axes_lib.AXES}
    label = self._name(point, concerned)
    run_id = f'{name}/{label}'
    data = training.data
    if stage == CHOICE:
      label = axes_lib.label(point, self._spec.choice.at)
      run_id = f'choice/{name}/learning_rate={rate:g},{label}'
      data = self._spec.choice.data.get(name, data)
    if rate is not None:
      training = dataclasses.replace(training, learning_rate=rate)
    training = dataclasses.replace(
      training, experiment=_experiment(training, point)
    )
    run = self._training_run(
      run_id, stage, training, point, self._data.whole(data), start, {}
    )
    flags = dict(run.flags)
    if point['frozen']:
      flags['freeze'] = training.freeze
    before = start.run
    self._add(
      dataclasses.replace(
        run,
        flags=flags,
        depends=(*run.depends, *(self._tries[name] if rate_of else ())),
        rate_of=rate_of,
        trained_on=before.trained_on if begin and before else None,
        pretrain_length=before.length if begin and before else None,
      )
    )

  def _start(self, name, point):
    """Returns what `init` means: nothing, a path, a checkpoint of the spec."""
    if name == axes_lib.RANDOM:
      return _Start(None)
    checkpoint = self._spec.checkpoints.get(name)
    if checkpoint is None:
      return _Start(os.path.join(self._spec.data_root, name))
    if isinstance(checkpoint, str):
      return _Start(checkpoint)
    concerned = ('depth', 'seed')
    point = {n: point[n] if n in concerned else None for n in axes_lib.AXES}
    point['init'] = axes_lib.RANDOM
    run = self._add(
      self._training_run(
        f'checkpoint/{name}/{self._name(point, concerned)}',
        PRETRAIN,
        dataclasses.replace(checkpoint, name=spec_types.PRETRAINING),
        point,
        self._data.whole(checkpoint.data),
        _Start(None),
        {},
      )
    )
    return _Start(run.folder, run)

  def _training_run(
    self, run_id, stage, training, point, source, start, override
  ):
    """Returns the run of a training, without what only some of them have."""
    depth = point['depth']
    experiment = training.experiment.replace(presets.DEPTH, str(depth))
    if depth is not None and presets.DEPTH not in training.experiment:
      override = commands.merged(
        override, {'task': {'model': {'depth': depth}}}
      )
    override = commands.merged(commands.nested(training.override), override)
    folder = os.path.join(self._output, 'runs', run_id)
    flags = {
      'experiment': experiment,
      'data_dir': source.path,
      'model_dir': folder,
      'init_checkpoint': start.checkpoint,
      'learning_rate': training.learning_rate,
      'seed': point['seed'],
    }
    made = [s for s in (source.run_id, start.run and start.run.run_id) if s]
    return Run(
      run_id,
      stage,
      training.name,
      training.module,
      {k: v for k, v in flags.items() if v is not None},
      folder,
      point,
      depends=tuple(made),
      experiment=experiment,
      override=override,
      length=_length(training, experiment, override, source),
      metrics=training.metrics,
      inputs=() if source.run_id else (source.path,),
    )


def _experiment(training, point):
  other = None
  if point['frozen']:
    other = training.frozen_experiment
  elif point['init'] == axes_lib.RANDOM:
    other = training.random_experiment
  return other or training.experiment


def _labels(point):
  if point['labels'] is None:
    return {}
  return {'task': {'train_data': {'labels': point['labels']}}}


def _length(training, experiment, override, source):
  preset = presets.find(training.module, experiment)
  data = override.get('task', {}).get('train_data', {})
  return run_lib.Length(
    preset,
    int(data.get('global_batch_size', preset.batch_size)),
    source,
    data.get('split', 'train'),
    training.steps,
    training.epochs,
  )
