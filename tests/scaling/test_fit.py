import math

import numpy as np
import pytest

from official_repro.scaling import bootstrap, fit, laws
from official_repro.scaling import points as points_lib

SIZES = (1000, 3000, 10000, 30000)
LINE, POWER, BROKEN = (law.name for law in laws.LAWS)
CURVES = {
  LINE: lambda n: 5 + 8 * np.log10(n),
  POWER: lambda n: 45 - 300 * n**-0.4,
  # Slope 8 up to 10,000 images, then 2.
  BROKEN: lambda n: 5 + 8 * np.log10(n) - 6 * max(0, np.log10(n) - 4),
}
FALLING = lambda n: 2 + 30 * n**-0.3


def study(curve, deviation=0.0, seeds=3, sizes=SIZES, random=None):
  """Returns points about a curve."""
  random = random or np.random.default_rng(1)
  return [
    (n, seed, curve(n) + deviation * random.standard_normal())
    for n in sizes
    for seed in range(seeds)
  ]


def parameters(found):
  return {name: p.value for name, p in found.parameters.items()}


def test_exact_line():
  found = fit.fit_law([(10, 0, 1.0), (100, 0, 3.0), (1000, 0, 5.0)])
  assert parameters(found) == pytest.approx({'a': -1, 'b': 2})
  assert found.rss == pytest.approx(0, abs=1e-20)
  assert fit.metric_at(found, 10000).value == pytest.approx(7)
  assert fit.images_needed(found, 4).value == pytest.approx(10**2.5)
  assert found.change(10, 1000).value == pytest.approx(4)


def test_each_run_has_the_same_weight():
  # x 1 1 2 3 and y 0 2 2 3, both of mean 1.75:
  # Sxx = .5625 + .5625 + .0625 + 1.5625 = 2.75,
  # Sxy = 1.3125 - .1875 + .0625 + 1.5625 = 2.75, so b = 1 and a = 0.
  points = [(1000, 0, 3.0), (10, 0, 0.0), (100, 0, 2.0), (10, 1, 2.0)]
  found = fit.fit_law(points)
  assert parameters(found) == pytest.approx({'a': 0, 'b': 1}, abs=1e-12)
  assert found.rss == pytest.approx(2)  # -1 and 1 at 10 images
  # One of two seeds is free: 2 / 1.
  assert (found.noise.variance, found.noise.freedom) == (2, 1)
  assert found.aicc == math.inf  # 4 runs, k = 3


def test_aicc():
  # k = 3: 8 ln(2 / 8) + 2 * 3 + 2 * 3 * 4 / (8 - 3 - 1) = -11.0904 + 6 + 6
  assert fit.aicc(2, 8, 2) == pytest.approx(0.909645, abs=1e-6)
  assert fit.aicc(2, 4, 2) == math.inf  # 4 - 3 - 1 = 0
  assert fit.aicc(0, 8, 2) == -math.inf


@pytest.mark.parametrize(
  'law, curve, expected',
  [
    (POWER, CURVES[POWER], {'m_inf': 45, 'c': 300, 'k': 0.4}),
    (POWER, FALLING, {'m_inf': 2, 'c': -30, 'k': 0.3}),
    # At the knee 5 + 8 * 4 = 37.
    (BROKEN, CURVES[BROKEN], {'a': 5, 'b1': 8, 'b2': 2, 'knee': 10000}),
  ],
)
def test_known_parameters_are_found(law, curve, expected):
  found = fit.fit_law(study(curve), law, replicates=50)
  assert parameters(found) == pytest.approx(expected, rel=1e-4)
  assert found.rss < 1e-12
  assert found.note == ''
  for images in (1500, 3000, 25000, 150000):
    there = fit.metric_at(found, images).value
    assert there == pytest.approx(curve(images), rel=1e-6)
    needed = fit.images_needed(found, there)
    assert needed.value == pytest.approx(images, rel=1e-6)


def test_power_law_that_does_not_bend_has_no_limit():
  found = fit.fit_law(study(CURVES[LINE]), POWER, replicates=50)
  assert found.parameters['m_inf'].value == math.inf
  assert 'm_inf is not determined' in found.note
  # Still nearly the line, which gives 5 + 8 * log10(300000) = 48.8.
  assert fit.metric_at(found, 300000).value == pytest.approx(48.8, abs=0.4)


def test_interval_of_a_line_is_students():
  points = [
    (10**x, seed, 2 * x + sign)
    for x in (1, 2, 3)
    for seed, sign in enumerate((-1, 1))
  ]
  found = fit.fit_law(points, replicates=20000)
  # s^2 = 6 / 3 = 2, over runs Sxx = 2 * (1 + 0 + 1) = 4; t(3) = 2.3534:
  # 2 -+ 2.3534 * sqrt(2 / 4) = 2 -+ 1.664.
  b = found.parameters['b']
  assert (found.noise.variance, found.noise.freedom) == (2, 3)
  assert b.low == pytest.approx(2 - 1.664, abs=0.06)
  assert b.high == pytest.approx(2 + 1.664, abs=0.06)
  assert bootstrap.t_quantile(3) == pytest.approx(2.3534, abs=1e-4)
  low, high = found.band([100.0])
  # In the middle 4 -+ 2.3534 * sqrt(2 / 6) = 4 -+ 1.359.
  assert (low[0], high[0]) == pytest.approx((2.641, 5.359), abs=0.06)


def test_noise_of_evaluation_is_added_once_a_size():
  # No scatter of seeds: the mean of a size varies by the standard error, 0.5,
  # however many seeds there are; S_xx over three sizes is 2, so that the slope
  # is 2 -+ 1.6449 * 0.5 / sqrt(2) = 2 -+ 0.5816.
  points = [(10**x, s, 2.0 * x, 0.5) for x in (1, 2, 3) for s in range(4)]
  b = fit.fit_law(points, replicates=20000).parameters['b']
  assert (b.low, b.high) == pytest.approx((2 - 0.5816, 2 + 0.5816), abs=0.02)


def test_sizes_off_the_law_widen_the_interval():
  bent = lambda n: {10: 0.0, 100: 3.0, 1000: 0.0, 10000: 3.0}[n]
  sizes = (10, 100, 1000, 10000)
  found = fit.fit_law(study(bent, deviation=0.1, sizes=sizes))
  assert found.noise.from_sizes
  assert found.noise.freedom == 2  # 4 sizes, 2 numbers
  assert 'further from it than seeds explain' in found.note
  # About the line 0.3 + 0.6 (x - 1) the means are off by -.6, 1.8, -1.8, .6:
  # 3 * 7.2 / 2 = 10.8.
  exact = fit.fit_law(study(bent, sizes=sizes))
  assert exact.noise.variance == pytest.approx(10.8)


def test_same_points_same_numbers():
  points = study(CURVES[POWER], 0.5)
  first = fit.fit_law(points, POWER)
  again = fit.fit_law(points[::-1], POWER)
  assert first.parameters == again.parameters
  assert fit.metric_at(first, 3e5) == fit.metric_at(again, 3e5)


@pytest.mark.parametrize(
  'law, deviation, parameter, truth',
  [(LINE, 1.0, 'b', 8), (POWER, 0.5, 'k', 0.4), (BROKEN, 0.3, 'b1', 8)],
)
def test_intervals_cover_what_they_say(law, deviation, parameter, truth):
  """Of 200 studies of four sizes and three seeds 170 to 190 cover: 90% -+ 5."""
  random = np.random.default_rng(0)
  curve = CURVES[law]
  covered = np.zeros(4, int)
  for _ in range(200):
    points = study(curve, deviation, random=random)
    found = fit.fit_law(points, law, replicates=300)
    covered += [
      found.parameters[parameter].contains(truth),
      fit.metric_at(found, 10000).contains(curve(10000)),
      fit.metric_at(found, 300000).contains(curve(300000)),
      fit.images_needed(found, curve(20000)).contains(20000),
    ]
  assert covered.min() >= 170, covered
  assert covered.max() <= 190, covered


def test_images_needed_may_have_no_upper_end():
  # Up by 1 in total, noise of 0.35: some replicates hardly rise.
  points = study(lambda n: 10 + np.log10(n), 0.5, sizes=(1000, 3000, 10000))
  found = fit.fit_law(points)
  needed = fit.images_needed(found, found.values([90000.0])[0])
  assert needed.value == pytest.approx(90000)
  assert needed.low < 90000 and needed.high == math.inf


REFUSED = {
  'two sizes': (
    lambda: fit.fit_law([(10, 0, 1.0), (100, 0, 2.0)]),
    r'wants at least 3 numbers of images, got 2 \(10, 100\); run more sizes',
  ),
  'three sizes for a knee': (
    lambda: fit.fit_law(study(CURVES[LINE], 1, sizes=SIZES[:3]), BROKEN),
    'broken line wants at least 4 numbers of images, got 3',
  ),
  'nothing to tell noise by': (
    lambda: fit.fit_law(study(CURVES[POWER], 1, 1, SIZES[:3]), POWER),
    'one seed each leave nothing to tell noise from the power law',
  ),
  'unknown law': (
    lambda: fit.fit_law(study(CURVES[LINE]), 'cubic'),
    "Law 'cubic' is not known; use one of log-linear law, power law, broken",
  ),
  'too far': (
    lambda: fit.metric_at(fit.fit_law(study(CURVES[LINE])), 300001),
    '300,001 images are outside 100 to 300,000',
  ),
  'metric out of range': (  # 5 + 8 * 2 = 21; 5 + 8 * log10(300000) = 48.817
    lambda: fit.images_needed(fit.fit_law(study(CURVES[LINE])), 60),
    'Metric 60 is outside 21.000 to 48.817',
  ),
  'metric above the limit': (
    lambda: fit.images_needed(fit.fit_law(study(CURVES[POWER]), POWER), 45),
    'Metric 45 is outside .* the power law gives',
  ),
  'flat': (
    lambda: fit.images_needed(fit.fit_law(study(lambda n: 7, 1)), 7),
    'More data does not help here: from 1,000 to 30,000 images the metric',
  ),
  'flat, one seed': (  # slope 0 -+ 2.92 sqrt(.5 / 1.228)
    lambda: fit.check_not_flat(
      fit.fit_law([(n, 0, v) for n, v in zip(SIZES, (1.0, 2.0, 2.0, 1.0))])
    ),
    'One seed of each size does not tell whether more data helps: from 1,000',
  ),
  'flat, further': (
    lambda: fit.metric_at(fit.fit_law(study(lambda n: 7)), 50000),
    'More data does not help here',
  ),
  'same run twice': (
    lambda: points_lib.checked([(10, 0, 1.0), (10, 0, 2.0)]),
    'Two points have 10 images and seed 0',
  ),
  'no value': (
    lambda: points_lib.checked([(10, 0, float('nan'))]),
    'no finite value',
  ),
  'no images': (lambda: points_lib.checked([(0, 0, 1.0)]), 'at least 1'),
  'standard error': (
    lambda: points_lib.checked([(10, 0, 1.0, -1.0)]),
    'has standard error -1.0; give 0 or more',
  ),
  'no points': (lambda: fit.fit_law([]), 'There is no point'),
}


@pytest.mark.parametrize('case', REFUSED)
def test_refused_in_one_sentence(case):
  call, message = REFUSED[case]
  with pytest.raises(ValueError, match=message):
    call()
