import dataclasses
import math

import pytest

from official_repro.scaling import panels
from tests.scaling.rows_made_up import SEEDS, data_size, from_scratch, row


def only(rows, axis=None):
  (panel,) = panels.panels(rows, axis)
  return panel


def test_series_are_what_varies_besides_the_axis():
  panel = only(data_size() + from_scratch(), 'images')
  assert panel.varied == ('images', 'init', 'frozen')
  assert [s.label for s in panel.series] == [
    'pre-trained, fine-tuned',
    'pre-trained, frozen',
    'from scratch, fine-tuned',
  ]
  tuned, _, scratch = panel.series
  assert [c.place for c in tuned.measured] == [1000, 3000, 10_000, 30_000]
  assert tuned.measured[0].by_seed == pytest.approx({0: 0.19, 1: 0.2, 2: 0.21})
  # No number of images concerns them.
  assert scratch.measured == []
  assert scratch.reference.mean == pytest.approx(0.15)


def test_what_follows_the_axis_makes_no_series():
  rows = [
    row(0.1, images=n, fraction=n / 3000, epochs=9000 / n, seed=0)
    for n in (1000, 3000)
  ]
  assert only(rows).varied == ('images',)
  # Removing duplicates takes pictures away: the choice is the axis.
  rows = [
    row(0.1, images=n, duplicates=d, seed=s)
    for n, d in ((1000, 'kept'), (990, 'removed'))
    for s in SEEDS
  ]
  assert only(rows).varied == ('duplicates',)


def test_interval_of_a_mean():
  # Deviation .01 in each of 8 cells of three seeds, so .01 with 16 degrees of
  # freedom: t = 1.746, half = 1.746 * .01 / sqrt(3) = .01008.
  panel = only(data_size(), 'images')
  assert panel.spread == (pytest.approx(0.01), 16)
  assert panel.half_width(3) == pytest.approx(0.01008, abs=1e-5)
  assert only(data_size(seeds=(0,)), 'images').half_width(1) is None


def test_what_has_no_number_is_counted_as_missing():
  rows = data_size(sizes=(1000,))
  rows[0] = dataclasses.replace(rows[0], value=math.nan)
  rows[1] = dataclasses.replace(rows[1], status='failed', value=None)
  tuned, frozen = only(rows, 'frozen').series[0].cells
  assert (tuned.missing, list(tuned.by_seed)) == (2, [2])
  assert (frozen.missing, len(frozen.values)) == (0, 3)


def test_two_runs_of_one_seed_and_setting_are_told():
  rows = [row(0.1, images=1000, seed=0), row(0.2, images=1000, seed=0)]
  with pytest.raises(ValueError, match="'made_up'.*same settings and seed"):
    panels.panels(rows)


@pytest.mark.parametrize(
  'axis, value, name',
  [
    ('images', 30_000, '30,000 images'),
    ('epochs', 1.0, '1 epoch'),
    ('noise', 0.2, '20% wrong labels'),
    ('vocabulary', 'labels/top941.txt', 'top941'),
    ('init', '/checkpoints/msra_101/', 'msra_101'),
    ('frozen', False, 'fine-tuned'),
  ],
)
def test_names(axis, value, name):
  assert panels.name(axis, value) == name
