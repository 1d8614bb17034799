"""A task's learning rate: the best of those tried at one point.

Sun et al. 2017 chose it once on held-out data and kept it for all checkpoints.
"""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Optional

FILE = 'learning_rates.json'


@dataclasses.dataclass(frozen=True)
class Chosen:
  """A choice and what it rests on.

  Attributes:
    learning_rate: the best.
    metric: by which.
    tried: ((learning rate, value or None), ...), ascending.
    at_edge: whether the best is the smallest or the largest one tried, so that
      a better one may lie beyond.
  """

  learning_rate: float
  metric: str
  tried: tuple
  at_edge: bool


def decide(
  metric: str, tried: Sequence[tuple[float, Optional[float]]]
) -> Chosen:
  """Chooses the learning rate with the largest metric, the smaller of equals.

  Args:
    metric: its name.
    tried: (learning rate, value); None for a value that is not finite.

  Raises:
    ValueError: no value is finite.
  """
  tried = tuple(sorted(tried, key=lambda pair: pair[0]))
  values = [(value, -rate) for rate, value in tried if value is not None]
  if not values:
    rates = ', '.join(f'{rate:g}' for rate, _ in tried)
    raise ValueError(
      f'None of the learning rates {rates} gave a finite {metric}; try smaller '
      'ones.'
    )
  best = -max(values)[1]
  ends = (tried[0][0], tried[-1][0])
  return Chosen(best, metric, tried, len(tried) > 1 and best in ends)


def write(
  folder: str, choices: Mapping[str, Chosen], at: Mapping[str, Any]
) -> None:
  """Writes learning_rates.json into the study's folder.

  Args:
    folder: the study's.
    choices: {task: Chosen}.
    at: the point at which they were tried.
  """
  path = os.path.join(folder, FILE)
  content = {
    task: {'at': dict(at), **dataclasses.asdict(chosen)}
    for task, chosen in choices.items()
  }
  with open(path + '.tmp', 'w', encoding='utf-8') as f:
    json.dump(content, f, indent=1)
  os.replace(path + '.tmp', path)
