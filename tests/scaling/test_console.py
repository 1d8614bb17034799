import dataclasses
import math

from official_repro.scaling import console
from tests.scaling.rows_made_up import (
  NOISE,
  SEEDS,
  SIZES,
  data_size,
  from_scratch,
  row,
)


def shown(rows, axis='images'):
  """Returns the lines, runs of blanks as one; none may be too wide."""
  lines = console.summary(rows, axis).splitlines()
  assert max(map(len, lines)) <= 80
  return [' '.join(line.split()) for line in lines]


def tuned(**kwargs):
  return [r for r in data_size(**kwargs) if not r.frozen]


def test_a_row_a_task_and_a_column_a_size():
  rows = tuned() + tuned(task='pose')
  lines = shown(rows)
  assert (
    lines[2] == 'By pre-training images, mean of 3 seeds ± half their range'
  )
  assert lines[4] == '1,000 3,000 10,000 30,000'
  # .2 + .1 log10(n / 1000); half of -.01 to .01.
  values = '0.200±0.010 0.248±0.010 0.300±0.010 0.348±0.010'
  assert lines[5] == f'detection AP50 {values}'
  assert lines[6] == f'pose AP50 {values}'
  assert lines[10].startswith('gain of ten times as many at 300,000 images')
  # .2 + .1 log10(300)
  assert lines[11].startswith('detection AP50 +0.100 (+0.0')
  assert '0.448 (0.4' in lines[11]
  assert lines[12].startswith('pose AP50 +0.100 (+0.0')


def test_series_and_runs_without_a_size():
  lines = shown(data_size() + from_scratch())
  assert lines[5:9] == [
    'detection AP50',
    'pre-trained, fine-tuned 0.200±0.010 0.248±0.010 0.300±0.010 0.348±0.010',
    'pre-trained, frozen 0.150±0.010 0.198±0.010 0.250±0.010 0.298±0.010',
    'from scratch, fine-tuned 0.150±0.010 (at any size)',
  ]
  # No law of what no number of images concerns.
  assert [s for s in lines if s.startswith('from scratch')] == lines[8:9]


def test_one_seed_is_told():
  lines = shown(tuned(seeds=(1,)))
  assert lines[2] == 'By pre-training images, 1 seed'
  assert lines[5] == 'detection AP50 0.200 0.248 0.300 0.348'
  assert lines[-1].startswith('One seed: the intervals are from how far')


def test_why_there_is_no_forecast():
  assert shown(tuned(sizes=SIZES[:2]))[-1] == (
    'No fit: it takes 3 sizes, and there are 2.'
  )
  rows = [
    dataclasses.replace(r, value=0.2 + NOISE[r.seed]) for r in tuned()
  ] + tuned(sizes=SIZES[:2], task='pose')
  flat, few = (s for s in shown(rows)[-4:] if s.startswith(('detec', 'pose')))
  assert flat.startswith('detection AP50 +0.000 (-0.0')
  assert flat.endswith('refused: may be flat')
  assert few == 'pose AP50 no fit: 2 of 3 sizes'


def test_another_law_than_the_line_is_told():
  # It saturates at .5, and the seeds hardly scatter.
  rows = [
    row(0.5 - 30 / n + NOISE[s] / 1000, images=n, seed=s)
    for n in (100, 300, *SIZES)
    for s in SEEDS
  ]
  lines = shown(rows)
  assert any(s.endswith('*') for s in lines)
  assert '* By the power law instead.' in lines


def test_a_table_too_wide_is_cut_into_parts():
  sizes = [10**k for k in range(2, 9)]
  lines = shown([*tuned(sizes=sizes), *from_scratch()])
  # 14 + 5 x (2 + 11) = 79 columns.
  assert '100 1,000 10,000 100,000 1,000,000' in lines
  assert '10,000,000 100,000,000' in lines
  # .2 + .1 log10(n / 1000), once for each size.
  told = [s for s in lines if s.startswith('pre-trained ')]
  values = [w for s in told for w in s.split() if '±' in w]
  assert [v[:5] for v in values] == [
    *('0.100', '0.200', '0.300', '0.400', '0.500', '0.600', '0.700'),
  ]
  assert sum(s.endswith('(at any size)') for s in lines) == 1


def test_what_is_missing():
  rows = tuned()
  rows[0] = dataclasses.replace(rows[0], value=math.nan)
  rows[3:6] = [dataclasses.replace(r, status='failed') for r in rows[3:6]]
  lines = shown(rows)
  assert lines[0] == 'made_up: runs 9 done, 3 failed'
  assert lines[2].startswith('By pre-training images, mean of 2 to 3 seeds')
  assert lines[4] == '1,000 10,000 30,000'


def test_by_anything_else_a_line_for_each_setting():
  rows = data_size(sizes=(1000,))
  rows[-1] = dataclasses.replace(rows[-1], status='not run', value=None)
  lines = shown(rows, 'frozen')
  assert lines[0] == 'made_up: runs 5 done, 1 not run'
  assert lines[2] == 'detection, AP50'
  # Squares: 2e-4 of three seeds, 5e-5 of two; with 3 degrees of freedom the
  # deviation is .00913, t 2.353, half .00913 t / sqrt 3.
  assert lines[3] == 'fine-tuned 0.200 ± 0.012 3 seeds'
  assert shown([row(0.5, init='random', seed=0)])[-1].endswith('0.500 1 seed')
  assert shown([row(0.5, init='random')])[-1].endswith('0.500 1 run')
  assert console.summary([]) == 'There are no results.'
