import math

import pytest

from official_repro.scaling import fit, forecast, paired
from tests.scaling.test_fit import BROKEN, CURVES, LINE, POWER, SIZES, study


@pytest.mark.parametrize('law', [LINE, POWER, BROKEN])
def test_the_law_of_clear_points_is_preferred(law):
  # With five sizes a power law and a broken line differ by far more than .1.
  points = study(CURVES[law], 0.1, sizes=(*SIZES, 100000))
  found = forecast.compare(points, replicates=50)
  assert found.preferred.law == law
  assert found.told_apart
  assert sum(c.weight for c in found.candidates) == pytest.approx(1)
  assert found.candidates[0].aicc == min(c.aicc for c in found.candidates)


def test_left_out_error():
  # The line through (1, 1) and (2, 2) gives 3 where 4 and 5 were measured.
  points = [(10, 0, 1.0), (100, 0, 2.0), (1000, 0, 4.0), (1000, 1, 5.0)]
  assert fit.left_out_error(points, LINE) == pytest.approx(-1.5)
  assert fit.left_out_error(points, POWER) is None  # two sizes for it
  exact = study(CURVES[POWER])
  assert fit.left_out_error(exact, POWER) == pytest.approx(0, abs=1e-4)
  assert fit.left_out_error(exact, LINE) > 0.5  # it does not bend


def test_few_runs_judge_no_law():
  found = forecast.compare(study(CURVES[LINE], 0.1, seeds=1), replicates=50)
  # 4 runs: 4 - 3 - 1 = 0 even for the straight line.
  assert [c.law for c in found.candidates] == [LINE, POWER, BROKEN]
  assert all(c.aicc == math.inf and c.weight is None for c in found.candidates)
  assert found.rivals == (POWER, BROKEN)
  assert 'the runs are too few to judge any law' in found.sentence
  assert found.candidates[0].note == 'not judged: 4 runs for 3 numbers'
  assert 'run more seeds' in found.candidates[2].note  # and has no fit


def test_forecast_of_a_law_told_apart():
  found = forecast.forecast(study(CURVES[POWER], 0.1, seeds=5))
  assert found.law == POWER
  assert found.images == 300000
  # 45 - 300 * 300000^-0.4 = 45 - 300 / 155.2 = 43.07, at 30000 40.14.
  assert found.metric.contains(43.07)
  assert found.gain.contains(43.07 - 40.14)
  assert found.metric.high - found.metric.low < 1


def test_forecast_names_the_laws_that_it_cannot_rule_out():
  found = forecast.forecast(study(CURVES[LINE], 1.0, sizes=SIZES[:3]))
  assert found.law == LINE
  assert not found.comparison.told_apart
  assert BROKEN in found.comparison.rivals  # three sizes: not even fitted
  assert 'the broken line cannot be ruled out' in found.sentence
  assert set(found.rivals) <= {POWER}
  for law, said in found.rivals.items():
    assert f'{said} by the {law}' in found.sentence


@pytest.mark.parametrize(
  'points, factor, message',
  [
    (study(CURVES[LINE]), 11, 'factor is 11; .* at most 10 times'),
    (study(CURVES[LINE]), 1, 'factor is 1;'),
    (study(CURVES[LINE], sizes=SIZES[:2]), 10, 'at least 3 numbers of images'),
    (study(lambda n: 7, 1.0), 10, 'More data does not help here'),
    (study(lambda n: 0.0), 10, 'More data does not help here'),
  ],
)
def test_forecast_refused(points, factor, message):
  with pytest.raises(ValueError, match=message):
    forecast.forecast(points, factor, replicates=200)


def test_paired_differences():
  frozen = [(10, 0, 1.0), (10, 1, 3.0), (100, 0, 2.0), (100, 1, 4.0)]
  tuned = [(10, 0, 3.0), (10, 1, 7.0), (100, 0, 2.5), (100, 1, 6.5)]
  tuned += [(1000, 0, 9.0)]  # without a pair
  found = paired.finding(tuned, frozen, ('fine-tuned', 'frozen'))
  # Differences 2 4 and .5 2.5: means 3 and 1.5, sum of squares 2 + 2, two
  # degrees of freedom: s^2 = 2. t(2) = 2.9200; 2.92 * sqrt(2 / 2) = 2.92.
  first, second = (d.difference for d in found.differences)
  assert (first.value, first.low) == pytest.approx((3, 0.08), abs=1e-3)
  assert (second.value, second.low) == pytest.approx((1.5, -1.42), abs=1e-3)
  # The mean of both: 2.25 -+ 2.92 * sqrt((1 + 1) / 4).
  assert found.mean.low == pytest.approx(2.25 - 2.0647, abs=1e-3)
  assert [d.seeds for d in found.differences] == [(0, 1), (0, 1)]
  assert found.sentence == (
    'fine-tuned above frozen at every size: 2 of 2 sizes, 2 seeds; the 90% '
    'interval is above 0 at 1'
  )
  other = paired.finding(frozen, tuned, ('frozen', 'fine-tuned'))
  assert (other.above, other.clear) == (0, 0)
  assert other.sentence.startswith('frozen above fine-tuned: 0 of 2 sizes')


def test_paired_differences_with_noise_of_evaluation():
  a = [(10, seed, 2.0, 0.3) for seed in (0, 1, 2)]
  b = [(10, seed, 1.0, 0.4) for seed in (0, 1, 2)]
  # No scatter of seeds: 1 -+ 1.6449 * sqrt(.09 + .16).
  low = paired.finding(a, b).differences[0].difference.low
  assert low == pytest.approx(1 - 1.6449 * 0.5, abs=1e-4)


def test_pairs_of_one_seed_have_no_interval():
  found = paired.finding([(10, 0, 2.0)], [(10, 0, 1.0)])
  assert found.mean.low == -math.inf
  assert (found.above, found.clear) == (1, 0)
  assert found.sentence.endswith('1 seed, too few for an interval')
  with pytest.raises(
    ValueError, match='no number of images and seed in common'
  ):
    paired.finding([(10, 0, 2.0)], [(10, 1, 1.0)])
