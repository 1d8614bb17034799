"""A checked study as Python has it; spec.py reads it from a file."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Optional, Union

from official_repro.scaling import axes as axes_lib
from official_repro.scaling import presets

PRETRAINING = 'pretraining'
TASKS = {
  PRETRAINING: presets.TRAIN,
  'detection': presets.DETECTION,
  'segmentation': presets.SEGMENTATION,
  'pose': presets.POSE,
  'classification': presets.TRAIN,
}
DEFAULT_FREEZE = 'conv5'


@dataclasses.dataclass(frozen=True)
class Training:
  """What the runs of one task, or of pre-training, have in common.

  Attributes:
    name: of the task or checkpoint.
    module: training binary.
    experiment: preset, perhaps with {depth}.
    data: name in the spec.
    epochs, steps: length; neither: the preset's.
    override: as written, for --params_override.
    learning_rate: instead of the preset's.
    metrics: names; the first one decides on the learning rate.
    freeze, frozen_experiment, random_experiment, learning_rates: see the keys
      in spec.py.
  """

  name: str
  module: str
  experiment: str
  data: str
  epochs: Optional[float] = None
  steps: Optional[int] = None
  override: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  learning_rate: Optional[float] = None
  metrics: tuple = ()
  freeze: str = DEFAULT_FREEZE
  frozen_experiment: Optional[str] = None
  random_experiment: Optional[str] = None
  learning_rates: tuple = ()


@dataclasses.dataclass(frozen=True)
class Choice:
  """Where the learning rates are chosen.

  Attributes:
    at: {axis: value}.
    tasks: names.
    data: {task: data name} where it is not the task's own.
  """

  at: Mapping[str, Any]
  tasks: tuple
  data: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Spec:
  """A checked study; the attributes are the keys of the file."""

  name: str
  title: str
  paper: Optional[str]
  generate: Mapping[str, Mapping[str, Any]]
  data: Mapping[str, str]
  checkpoints: Mapping[str, Union[str, Training]]
  dedup: tuple
  pretrain: Optional[Training]
  axes: Mapping[str, tuple]
  tasks: Mapping[str, Training]
  choice: Optional[Choice]
  cluster: Mapping[str, Any]
  data_root: str = '.'
  text: str = ''

  def values(self, axis: str) -> tuple:
    """Returns the values of an axis, its default where it is not varied."""
    return self.axes.get(axis, (axes_lib.DEFAULTS[axis],))
