"""Numbers of an evaluation as text for people."""

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np

from pose import evaluate


def format_table(
  metrics: Mapping[str, float], per_joint: Optional[Sequence[dict]] = None
) -> str:
  """Returns the numbers as text for people, in percent; pixels as they are.

  Args:
    metrics: of KeypointEvaluation.metrics. What is -1 there is a dash here.
    per_joint: of KeypointEvaluation.per_joint; None: without.
  """
  boxes = next(iter(metrics)).partition('/')[2]
  lines = [[boxes, 'all', '50', '75', 'medium', 'large']]
  for kind in ('AP', 'AR'):
    values = [
      metrics[f'{name}/{boxes}']
      for name in evaluate.NAMES
      if name.startswith(kind)
    ]
    lines.append([kind, *map(_percent, values)])
  if per_joint is None:
    return _aligned(lines)
  rows = [list(per_joint[0])]
  for row in per_joint:
    rows.append(
      [
        row['joint'],
        str(row['labelled']),
        str(row['found']),
        _percent(row['OKS']),
        '-' if np.isnan(row['pixels']) else f'{row["pixels"]:.1f}',
      ]
    )
  return f'{_aligned(lines)}\n\n{_aligned(rows)}'


def _percent(value):
  undefined = np.isnan(value) or value == evaluate.UNDEFINED
  return '-' if undefined else f'{100 * value:.1f}'


def _aligned(lines: Sequence[Sequence[Any]]) -> str:
  widths = [max(map(len, column)) for column in zip(*lines)]
  return '\n'.join(
    '  '.join(
      [line[0].ljust(widths[0])]
      + [text.rjust(width) for text, width in zip(line[1:], widths[1:])]
    )
    for line in lines
  )
