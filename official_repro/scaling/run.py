"""One process of a study: what it is, what it needs, how long it trains."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Optional

from official_repro.scaling import presets, results

DATA, PRETRAIN, TRANSFER, CHOICE = results.STAGES
_MANIFEST = 'dataset.json'


@dataclasses.dataclass(frozen=True)
class Source:
  """A data folder, which may not be there yet.

  Attributes:
    path: the folder.
    run_id: of the run that makes it; None: it is not the study's.
    expected: training records until the folder is there; None: unknown.
    whole: path of the folder that it is a part of, else its own.
  """

  path: str
  run_id: Optional[str] = None
  expected: Optional[int] = None
  whole: str = ''

  def records(self, split: str = 'train') -> Optional[int]:
    """Returns the records of a split, None while the folder is not there."""
    return records_of(self.path, split)


def records_of(folder: str, split: str) -> Optional[int]:
  """Returns the records of a split of a data folder, None without folder.

  Raises:
    ValueError: dataset.json is damaged, or has no such split.
  """
  path = os.path.join(folder, _MANIFEST)
  if not os.path.exists(path):
    return None
  try:
    with open(path, encoding='utf-8') as f:
      return int(json.load(f)['splits'][split]['records'])
  except (KeyError, TypeError, ValueError) as e:
    raise ValueError(
      f'Data folder {folder!r} has no readable split {split!r} in its '
      f'{_MANIFEST}; build it again, or name another split.'
    ) from e


@dataclasses.dataclass(frozen=True)
class Length:
  """How long a run trains.

  Attributes:
    preset: its steps and schedule.
    batch_size: of the run, which an override may change.
    data: what it trains on.
    split: of it.
    steps, epochs: as the spec says; neither: the preset's steps.
  """

  preset: presets.Preset
  batch_size: int
  data: Source
  split: str = 'train'
  steps: Optional[int] = None
  epochs: Optional[float] = None

  @property
  def given(self) -> bool:
    """Whether it is another one than the preset's."""
    return self.steps is not None or self.epochs is not None

  def now(self) -> Optional[int]:
    """Returns the steps, None while they depend on data that is not there."""
    if self.epochs is None:
      return self.steps or self.preset.steps
    records = self.data.records(self.split)
    return None if records is None else self._of_epochs(records)

  def guess(self) -> int:
    """Returns the steps as well as is known."""
    steps = self.now()
    if steps is None and self.data.expected is not None:
      steps = self._of_epochs(self.data.expected)
    return steps or self.preset.steps

  def _of_epochs(self, records):
    # As official_repro.train counts: 1.3 epochs are 13 / 10.
    passes = Fraction(str(self.epochs))
    return max(math.ceil(passes * records / self.batch_size), 1)


@dataclasses.dataclass(frozen=True)
class Run:
  """One process of a study.

  Attributes:
    run_id: such as 'detection/images=1000,frozen=true,seed=0'.
    stage: one of results.STAGES.
    task: of the spec, or data.
    module: binary.
    flags: {flag: value} that are known from the start.
    folder: of study.json and the log; of training also --model_dir.
    point: {axis: value}, None where the axis is none of the run's.
    depends: ids of runs that have to be done before.
    experiment: preset, '' for data.
    override: nested, for --params_override.
    length: None for data.
    metrics: names, from metrics.jsonl.
    rate_of: task whose chosen learning rate it takes.
    trained_on: data of the pre-training that it is or starts from.
    pretrain_length: length of that pre-training.
    inputs: data folders that it reads and the study does not make.
    lists: (which of axes.LISTS, data folder, file) that have to be written
      before it starts, as a flag of it names them.
  """

  run_id: str
  stage: str
  task: str
  module: str
  flags: Mapping[str, Any]
  folder: str
  point: Mapping[str, Any]
  depends: tuple = ()
  experiment: str = ''
  override: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  length: Optional[Length] = None
  metrics: tuple = ()
  rate_of: Optional[str] = None
  trained_on: Optional[Source] = None
  pretrain_length: Optional[Length] = None
  inputs: tuple = ()
  lists: tuple = ()

  @property
  def output(self) -> str:
    """Folder of what the run makes: a data folder, or the model_dir."""
    return str(self.flags['output'] if self.stage == DATA else self.folder)
