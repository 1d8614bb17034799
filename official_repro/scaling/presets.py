"""The presets' numbers that a plan needs, known without TensorFlow.

A preset is made of TensorFlow Model Garden's classes, whose import takes ten
seconds, and a plan must be instant. So their steps, batches and schedules are
written here once more; tests/scaling/test_presets.py holds them against the
presets themselves.
"""

import dataclasses
import difflib
import re
from collections.abc import Mapping
from typing import Any

TRAIN = 'official_repro.train'
DETECTION, SEGMENTATION, POSE = (
  'object_detection.train',
  'deeplab.train',
  'pose.train',
)
# Stands for the depth in the name of a preset, such as coco_resnet{depth}.
DEPTH = '{depth}'
_MINI_DEPTH = 14


@dataclasses.dataclass(frozen=True)
class Preset:
  """What a plan needs to know of one.

  Attributes:
    steps: of the whole run.
    batch_size: global.
    schedule: {key below its type: step number or list of them}, of the learning
      rate; empty where it is constant.
    kind: type of the schedule.
    seconds_per_step: ROUGH, on two CPU cores, for a first estimate.
    warmup: steps in which the learning rate rises.
  """

  steps: int
  batch_size: int
  kind: str
  schedule: Mapping[str, Any]
  seconds_per_step: float
  warmup: int = 0

  def stretched(self, steps: int) -> dict:
    """Returns the override that ends the schedule at another last step.

    All step numbers are multiplied by the same factor, so that a run of any
    length ends with the same learning rate. The paper does not say what it did
    for its subsets.

    Args:
      steps: of the run.

    Returns:
      A nested dict for --params_override, empty where nothing changes.
    """
    if steps == self.steps or not self.schedule:
      return {}
    numbers = {
      k: _scaled(v, steps, self.steps) for k, v in self.schedule.items()
    }
    config = {'learning_rate': {self.kind: numbers}}
    if self.warmup:
      rising = {'warmup_steps': _scaled(self.warmup, steps, self.steps)}
      config['warmup'] = {'linear': rising}
    return {'trainer': {'optimizer_config': config}}


def find(module: str, experiment: str) -> Preset:
  """Returns a preset's numbers.

  Args:
    module: training binary.
    experiment: its preset.

  Raises:
    ValueError: there is none of this name, with the nearest one.
  """
  known = PRESETS[module]
  if experiment not in known:
    near = difflib.get_close_matches(experiment, known, 1, cutoff=0.4)
    hint = f'did you mean {near[0]}?' if near else f'known: {", ".join(known)}.'
    raise ValueError(f'{module} has no experiment {experiment!r}; {hint}')
  return known[experiment]


def defaults(module: str, experiment: str) -> dict:
  """Returns what a preset says of the values that axes of a study change.

  Args:
    module: training binary.
    experiment: its preset.

  Returns:
    {'depth': of the network, 'labels': 'filled' or 'given'}; labels only where
    the binary has a choice of them.
  """
  named = re.search(r'resnet(\d+)', experiment)
  found: dict = {'depth': int(named.group(1)) if named else _MINI_DEPTH}
  if module == TRAIN:
    found['labels'] = 'filled' if 'jft' in experiment else 'given'
  return found


def _scaled(numbers, steps, of):
  if isinstance(numbers, list):
    # Each boundary has to lie behind the one before.
    return [
      max(round(n * steps / of), i) for i, n in enumerate(numbers, start=1)
    ]
  return max(round(numbers * steps / of), 1)


def _constant(steps, batch_size, seconds):
  return Preset(steps, batch_size, 'constant', {}, seconds)


def _decay(kind, steps, batch_size, seconds, decay_steps=None, warmup=0):
  schedule = {'decay_steps': decay_steps or steps}
  return Preset(steps, batch_size, kind, schedule, seconds, warmup)


def _stepwise(steps, batch_size, seconds, boundaries):
  schedule = {'boundaries': list(boundaries)}
  return Preset(steps, batch_size, 'stepwise', schedule, seconds)


def _jft(seconds):
  return _decay('exponential', 36_000_000, 32, seconds, 3_000_000)


def _imagenet(steps):
  every = 30 * (1_281_167 // 32)
  return _stepwise(steps, 32, 14.0, range(every, steps, every))


# By depth, against ResNet-101.
_COST = {50: 0.55, 101: 1.0, 152: 1.45}
PRESETS: Mapping[str, Mapping[str, Preset]] = {
  TRAIN: {
    **{f'jft300m_resnet{d}': _jft(14.0 * c) for d, c in _COST.items()},
    'jft300m_resnet101_from_imagenet': _jft(14.0),
    'imagenet_resnet101': _imagenet(5_000_000),
    'imagenet_finetune_resnet101': _imagenet(4_000_000),
    'mini_jft': _decay('cosine', 1000, 64, 0.12, warmup=100),
    'mini_finetune': _decay('cosine', 500, 64, 0.12),
  },
  DETECTION: {
    **{
      f'coco_resnet{d}': _stepwise(3_000_000, 1, 12.0 * c, [2_500_000])
      for d, c in _COST.items()
    },
    **{
      f'coco_resnet{d}_frozen': _stepwise(1_500_000, 1, 8.0 * c, [900_000])
      for d, c in _COST.items()
    },
    **{
      f'voc0712_resnet{d}': _stepwise(700_000, 1, 12.0 * c, [500_000])
      for d, c in _COST.items()
    },
    'coco_person_resnet101': _stepwise(3_000_000, 1, 12.0, [2_500_000]),
    'mini_coco': _decay('cosine', 3000, 4, 0.2),
  },
  SEGMENTATION: {
    **{
      f'voc2012_resnet{d}': _decay('polynomial', 30_000, 6, 30.0 * c)
      for d, c in _COST.items()
    },
    'voc2012_resnet101_x10head': _decay('polynomial', 30_000, 6, 30.0),
    'mini_voc': _decay('cosine', 900, 16, 0.4),
  },
  POSE: {
    **{
      f'coco_resnet{d}': _stepwise(450_000, 24, 40.0 * c, [250_000])
      for d, c in _COST.items()
    },
    'grmi_resnet101': _constant(800_000, 24, 40.0),
    'mini_person': _decay('cosine', 400, 16, 0.4),
  },
}
