"""Rows of studies that nobody ran, for the tests of panels and report."""

import math

from official_repro.scaling.results import Row

SIZES = (1000, 3000, 10_000, 30_000)
SEEDS = (0, 1, 2)
# Of the seeds 0, 1, 2: mean 0, standard deviation .01.
NOISE = (-0.01, 0.0, 0.01)


def row(value, task='detection', metric='AP50', **fields):
  """Returns the row of a run that is done."""
  axes = ','.join(f'{k}={v}' for k, v in fields.items())
  kept = {'study': 'made_up', 'stage': 'transfer', 'status': 'done', **fields}
  return Row(
    task=task,
    metric=metric,
    run_id=f'{task}/{axes}',
    value=value,
    step=3000,
    examples_seen=12_000,
    model_dir=f'runs/{task}/{axes}',
    command=f'python -m package.train --name={axes}',
    **kept,
  )


def data_size(sizes=SIZES, seeds=SEEDS, gap=0.05, task='detection'):
  """Returns fine-tuned at .2 + .1 log10(n / 1000), frozen `gap` below it."""
  return [
    row(
      0.2 + 0.1 * math.log10(n / 1000) - gap * frozen + NOISE[seed],
      task=task,
      images=n,
      init='pretrained',
      frozen=frozen,
      seed=seed,
    )
    for n in sizes
    for frozen in (False, True)
    for seed in seeds
  ]


def from_scratch(value=0.15, seeds=SEEDS, task='detection'):
  """Returns runs that no number of images concerns."""
  return [
    row(value + NOISE[seed], task=task, init='random', frozen=False, seed=seed)
    for seed in seeds
  ]
