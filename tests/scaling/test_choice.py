import dataclasses
import json

import pytest

from official_repro.scaling import choice, tables
from tests.scaling.rows_made_up import row


def test_the_best_is_chosen():
  found = choice.decide('AP50', [(1e-2, 0.3), (1e-4, 0.2), (1e-3, 0.4)])
  assert found.learning_rate == 1e-3
  assert found.tried == ((1e-4, 0.2), (1e-3, 0.4), (1e-2, 0.3))
  assert not found.at_edge


def test_of_equals_the_smaller():
  found = choice.decide('AP50', [(1e-2, 0.4), (1e-3, 0.4), (1e-1, 0.1)])
  assert found.learning_rate == 1e-3
  assert found.at_edge  # smaller ones were not tried


def test_a_value_that_is_not_finite_is_never_the_best():
  found = choice.decide('AP50', [(1e-3, 0.1), (1e-2, None)])
  assert found.learning_rate == 1e-3
  with pytest.raises(ValueError, match='None of the .* 0.001, 0.01 gave'):
    choice.decide('AP50', [(1e-3, None), (1e-2, None)])


def test_the_file(tmp_path):
  found = choice.decide('AP50', [(1e-3, 0.1), (1e-2, 0.2)])
  choice.write(str(tmp_path), {'detection': found}, {'images': 64})
  content = json.loads((tmp_path / 'learning_rates.json').read_text())
  assert content['detection'] == {
    'at': {'images': 64},
    'learning_rate': 1e-2,
    'metric': 'AP50',
    'tried': [[1e-3, 0.1], [1e-2, 0.2]],
    'at_edge': True,
  }


@pytest.mark.parametrize(
  ('values', 'told'),
  [
    ((0.2, 0.3, 0.1), {'0.01': 'chosen'}),
    ((0.3, 0.3, 0.1), {'0.001': 'chosen, the last one tried on its side'}),
    ((0.2, 0.3, None), {'0.01': 'best so far'}),  # the third is not run
  ],
)
def test_the_choice_as_the_report_shows_it(values, told):
  rates = (0.001, 0.01, 0.1)
  rows = [
    row(v, stage='choice', learning_rate=r, seed=100)
    for r, v in zip(rates, values)
  ]
  rows = [
    dataclasses.replace(r, status='not run') if r.value is None else r
    for r in rows
  ]
  shown = tables.learning_rates(rows[::-1]).rows
  assert [line[1] for line in shown] == ['0.001', '0.01', '0.1']
  notes = {line[1]: line[-1].split(':')[0] for line in shown if line[-1]}
  assert notes == told
