import dataclasses

import pytest

from official_repro.scaling import claims, paper
from tests.scaling.rows_made_up import (
  NOISE,
  SEEDS,
  SIZES,
  data_size,
  from_scratch,
  row,
)


def judge(key, rows):
  """Returns {axis: finding} of a paper's exhibit."""
  found = claims.find(rows, paper.find(key).claims)
  return {f.claim.axis: f for f in found}


def runs(axis, means, scale=1, **fields):
  """Returns runs of three seeds, scattered the more the later the value."""
  return [
    row(mean + (i + scale) * NOISE[s], **{axis: value}, seed=s, **fields)
    for i, (value, mean) in enumerate(means.items())
    for s in SEEDS
  ]


def test_fine_tuned_above_frozen_at_every_size():
  found = judge('data_size', data_size())
  assert found['frozen'].sentence == (
    'detection, AP50: appears: fine-tuned above frozen at 4 of 4 sizes, '
    'clearly at 4: +0.050 (90% interval +0.050 to +0.050), 3 seeds.'
  )
  # .1 * log10(30) = .148
  assert 'from 1,000 to 30,000 images +0.148' in found['images'].evidence
  assert 'rises at 3 of 3 steps' in found['images'].evidence


def test_from_scratch_is_compared_at_each_size():
  rows = data_size() + from_scratch()
  found, _ = claims.find(rows, paper.find('detection_coco').claims)
  # Above .15 by .05, .098, .15 and .198: .124 on average.
  assert 'pre-trained above from scratch at 4 of 4 sizes' in found.evidence
  assert '+0.124' in found.evidence


def test_what_does_not_appear_is_said():
  found = judge('data_size', data_size(gap=-0.01))['frozen']
  assert found.verdict == claims.NOT_FOUND
  assert 'at 0 of 4 sizes: -0.010' in found.evidence


def test_an_interval_that_holds_0_tells_nothing():
  # Differences of the seeds: d - .01, d, d + .01; half .01686, see below.
  verdicts = {
    d: judge('table1_imagenet', runs('init', {'random': 0.2, 'pretrained': p}))[
      'init'
    ].verdict
    for d, p in ((-0.02, 0.18), (-0.01, 0.19), (0.01, 0.21), (0.02, 0.22))
  }
  assert verdicts == {
    -0.02: claims.NOT_FOUND,
    -0.01: claims.OPEN,  # whatever its sign
    0.01: claims.OPEN,
    0.02: claims.FOUND,
  }
  # No seed differs: surely not above.
  rows = runs('init', {'random': 0.2}) + runs('init', {'pretrained': 0.2})
  found = judge('table1_imagenet', rows)['init']
  assert found.verdict == claims.NOT_FOUND


def test_one_seed_is_not_enough():
  found = judge('data_size', data_size(seeds=(0,)))
  assert {f.verdict for f in found.values()} == {claims.OPEN}
  assert found['frozen'].evidence.endswith('(one seed, so no interval)')
  # Nor is it for the contrary.
  for gap in (-0.01, 0.0):
    found = judge('data_size', data_size(seeds=(0,), gap=gap))['frozen']
    assert found.verdict == claims.OPEN
    assert 'at 0 of 4 sizes' in found.evidence
  # Seed 0 at two sizes and seed 1 at the others: no size tells of a scatter.
  rows = data_size(SIZES[:2], seeds=(0,)) + data_size(SIZES[2:], seeds=(1,))
  found = judge('data_size', rows)['frozen']
  assert found.verdict == claims.OPEN
  assert found.evidence.endswith('(one seed each, so no interval)')


def test_in_part():
  rows = [
    dataclasses.replace(r, value=r.value - 0.06)
    if r.images == 1000 and not r.frozen
    else r
    for r in data_size()
  ]
  found = judge('data_size', rows)['frozen']
  assert found.verdict == claims.IN_PART
  assert 'at 3 of 4 sizes, clearly at 3' in found.evidence


def test_interval_of_a_difference():
  # Differences of the seeds: .1 - .01, .1, .1 + .01; their deviation is .01, t
  # with two degrees of freedom 2.920: half = 2.920 * .01 / sqrt(3) = .01686.
  rows = runs('init', {'random': 0.2, 'pretrained': 0.3})
  (high, low) = ('pretrained', 'random')
  comparison = claims.compare(rows, 'init', high, low)
  assert comparison.mean() == pytest.approx(0.1)
  assert comparison.interval() == pytest.approx((0.08314, 0.11686), abs=1e-5)


def test_a_missing_run_takes_only_its_pair_away():
  rows = data_size()
  rows[0] = dataclasses.replace(rows[0], status='failed', value=None)
  found = judge('data_size', rows)
  assert found['frozen'].verdict == claims.FOUND
  assert '+0.050' in found['frozen'].evidence


def test_on_par():
  # The interval's half is .0169, see above; .05 times the level of .4 is .02.
  found = judge('vocabulary', runs('vocabulary', {'all': 0.4, 'leaves': 0.4}))
  assert found['vocabulary'].verdict == claims.FOUND
  assert (
    'on par is within 0.020, 5% of the level' in found['vocabulary'].evidence
  )
  found = judge('vocabulary', runs('vocabulary', {'all': 0.2, 'leaves': 0.2}))
  assert found['vocabulary'].verdict == claims.OPEN  # too few seeds to say
  found = judge('vocabulary', runs('vocabulary', {'all': 0.4, 'leaves': 0.3}))
  assert found['vocabulary'].verdict == claims.NOT_FOUND
  # .008 to .042: a difference, but perhaps one within .019.
  found = judge('vocabulary', runs('vocabulary', {'all': 0.4, 'leaves': 0.375}))
  assert found['vocabulary'].verdict == claims.OPEN


def test_on_par_on_average_only_is_on_par_in_part():
  rows = [
    row(v + NOISE[s], vocabulary=name, images=n, seed=s)
    for n, pair in ((1000, (0.45, 0.35)), (3000, (0.35, 0.45)))
    for name, v in zip(('all', 'leaves'), pair)
    for s in SEEDS
  ]
  found = judge('vocabulary', rows)['vocabulary']
  assert found.verdict == claims.IN_PART
  assert '-0.100 to +0.100 by setting; on par is within' in found.evidence


def test_runs_without_a_partner_are_told():
  rows = [
    row(0.1, init='random', seed=0),
    row(0.2, init='pretrained', seed=1),
  ]
  found = judge('table1_imagenet', rows)['init']
  assert found.verdict == claims.OPEN
  assert 'no two runs that are done, of the same seed' in found.evidence


def test_noise_lowers_the_metric():
  found = judge('noise', runs('noise', {0.0: 0.3, 0.2: 0.28, 0.4: 0.2}))
  assert found['noise'].verdict == claims.FOUND
  assert 'from 0% to 40% wrong labels -0.100' in found['noise'].evidence
  # Deviation .02 between the ends, half .0337.
  found = judge('noise', runs('noise', {0.0: 0.3, 0.2: 0.31, 0.4: 0.32}))
  assert found['noise'].verdict == claims.OPEN
  found = judge('noise', runs('noise', {0.0: 0.3, 0.2: 0.32, 0.4: 0.34}))
  assert found['noise'].verdict == claims.NOT_FOUND


def test_larger_nets_gain_more():
  rows = runs('depth', {14: 0.2, 50: 0.25}, init='random')
  rows += runs('depth', {14: 0.3, 50: 0.45}, init='pretrained')
  found = judge('capacity', rows)['depth']
  assert found.verdict == claims.FOUND
  # (.45 - .25) - (.3 - .2)
  assert 'changes by +0.100' in found.evidence
  # In the middle the gain is larger still: .48 - .23 = .25.
  rows += runs('depth', {26: 0.23}, init='random')
  rows += runs('depth', {26: 0.48}, init='pretrained')
  found = judge('capacity', rows)['depth']
  assert found.verdict == claims.IN_PART
  assert found.evidence.endswith('rises at 1 of 2 steps')


def test_a_study_of_something_else_cannot_tell():
  found = judge('epochs', data_size())['epochs']
  assert found.sentence == (
    'cannot be told: this study has no runs that would tell.'
  )


def test_starts_that_go_on_to_pre_training_are_no_others():
  means = {'imagenet': 0.2, 'pretrained': 0.3, 'imagenet+pretrained': 0.4}
  first, second = claims.find(
    runs('init', means), paper.find('detection_coco').claims
  )
  assert 'pre-trained above imagenet: +0.100' in first.evidence
  assert 'imagenet, then pre-trained above pre-trained' in second.evidence
  assert {first.verdict, second.verdict} == {claims.FOUND}


def test_ahead_at_first_and_on_par_in_the_end():
  rows = runs('init', {'random': 0.4, 'imagenet': 0.5}, epochs=1)
  rows += runs('init', {'random': 0.6, 'imagenet': 0.6}, epochs=5)
  early, late = claims.find(rows, paper.find('initialisation').claims)
  assert early.evidence.startswith('after 1 epoch imagenet above from scratch')
  assert '+0.100' in early.evidence
  assert late.evidence.startswith('after 5 epochs ')
  assert {early.verdict, late.verdict} == {claims.FOUND}
  # One length cannot say what is so early.
  early, late = claims.find(rows[:6], paper.find('initialisation').claims)
  assert (early.verdict, late.verdict) == (claims.OPEN, claims.NOT_FOUND)
