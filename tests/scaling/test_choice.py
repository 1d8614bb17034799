import json

import pytest

from official_repro.scaling import choice


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
