import math

import pytest

from official_repro.scaling import bounds, console, fit, forecast, panels, plots
from official_repro.scaling.bootstrap import Estimate
from tests.scaling.rows_made_up import SEEDS, row

SHARE = bounds.Bounds(0.0, 1.0)
# -.1 + .3 log10(images): 1.1 at 10,000 images, 1 at 10^(1.1 / .3) = 4642.
STEEP = [(10, 0, 0.2), (100, 0, 0.5), (1000, 0, 0.8)]


@pytest.mark.parametrize(
  ('metric', 'expected'),
  [
    *((name, SHARE) for name in ('AP', 'AP50', 'AP/gt_boxes', 'APm/gt_boxes')),
    *((name, SHARE) for name in ('mAP', 'mAP@100', 'mIoU', 'top1', 'top5')),
    ('loss', bounds.Bounds(0.0, math.inf)),
    ('examples', bounds.NONE),
  ],
)
def test_of_each_metric(metric, expected):
  assert bounds.of(metric) == expected


def test_a_metric_in_percent_has_none():
  assert bounds.of('AP50', [0.0, 1.0]) == SHARE
  assert bounds.of('AP50', [0.5, 36.8]) == bounds.NONE


def test_an_estimate_is_cut_and_says_so():
  inside = Estimate(0.5, 0.4, 0.6)
  assert SHARE.cut(inside) == inside
  above = SHARE.cut(Estimate(0.9103, 0.7691, 1.067))
  assert above == Estimate(0.9103, 0.7691, 1.0, (1.0,))
  assert str(above) == '0.910 (90% interval 0.769 to 1.000, cut at 1)'
  both = SHARE.cut(Estimate(1.2, -0.05, 1.4))
  assert str(both) == '1.000 (90% interval 0.000 to 1.000, cut at 0 and 1)'
  assert Estimate(0.3125, 0.25, 0.4).text('+') == (
    '+0.312 (90% interval +0.250 to +0.400)'
  )


def test_a_change_ends_at_the_bound():
  found = SHARE.cut_change(0.75, Estimate(0.125, -0.875, 0.5))
  assert found == Estimate(0.125, -0.75, 0.25)


def test_what_a_curve_says_is_cut():
  found = fit.fit_law(STEEP, replicates=50, bounds=SHARE)
  assert fit.metric_at(found, 10_000).value == 1
  assert found.values([1000, 10_000]) == pytest.approx([0.8, 1])
  assert found.band([10_000])[1][0] == 1
  assert found.parameters['b'].value == pytest.approx(0.3)  # as fitted
  assert found.leaves(10_000) == pytest.approx((1, 4641.589))
  assert found.leaves(4000) is None


def test_images_needed_for_what_cannot_be():
  found = fit.fit_law(STEEP, replicates=50, bounds=SHARE)
  assert fit.images_needed(found, 1.0).value == pytest.approx(4641.589)
  for metric in (1.05, -0.1):
    with pytest.raises(ValueError, match=f'Metric {metric} is outside 0 to 1'):
      fit.images_needed(found, metric)


def test_a_law_that_passes_a_bound_cannot_hold():
  found = forecast.forecast(STEEP, replicates=50, bounds=SHARE)
  assert found.metric.value == 1
  assert found.gain.value == pytest.approx(0.2)  # not .3: 1 - .8
  assert found.passed[found.law] == pytest.approx((1, 4641.589))
  assert 'would give 1.000 (90% interval 1.000 to 1.000, cut at 1)' in (
    found.sentence
  )
  assert (
    'The log-linear law passes 1, a bound of the metric, at about 4,600 '
    'images, so that it cannot hold so far.'
  ) in found.sentence
  # In another unit it does.
  free = forecast.forecast(STEEP, replicates=50)
  assert free.metric.value == pytest.approx(1.1)
  assert 'cannot hold' not in free.sentence


def _panel(means, spread, metric='AP50'):
  rows = [
    row(mean + spread * (s - 1), metric=metric, images=n, seed=s)
    for n, mean in means.items()
    for s in SEEDS
  ]
  return rows, panels.panels(rows)[0]


def test_intervals_of_measured_means_are_cut():
  _, panel = _panel({1000: 0.5, 3000: 0.99}, 0.01)
  # Deviation .01 of 4 degrees of freedom, t 2.1318: .01 t / sqrt 3 = .0123.
  first, second = map(panel.interval, panel.series[0].cells)
  assert first == pytest.approx((0.4877, 0.5123), abs=1e-4)
  assert second == pytest.approx((0.9777, 1), abs=1e-4)
  (bars,) = plots.draw(panel).axes[0].collections
  assert max(y for bar in bars.get_segments() for _, y in bar) == 1
  _, loss = _panel({1000: 5.0, 3000: 0.01}, 0.01, 'loss')
  assert loss.interval(loss.series[0].cells[1])[0] == 0


def test_the_terminal_says_what_is_cut():
  # .2 + .4 log10(30) = .791 at the end, 1.19 at ten times as many.
  means = {n: 0.2 + 0.4 * math.log10(n / 1000) for n in (1000, 3000, 30_000)}
  rows, _ = _panel(means, 0.001)
  lines = console.summary(rows, 'images').splitlines()
  assert '^ Cut at 1, a bound of the metric.' in lines
  assert 'A law that passes the bound by itself cannot hold so far.' in lines
  assert any(s.endswith('  1.000 (1.000 to 1.000)^') for s in lines)
