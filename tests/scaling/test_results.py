import pytest

from official_repro.scaling import results

ROWS = [
  results.Row(
    study='s',
    stage='transfer',
    task='detection',
    run_id='detection/images=1000,frozen=true',
    status='done',
    metric='AP50',
    value=0.1 + 0.2,  # 0.30000000000000004: every digit counts
    step=1000,
    examples_seen=4000,
    images=1000,
    frozen=True,
    seed=0,
    command='python -m x --params_override=\'{"a": 1}\', b',
  ),
  results.Row('s', 'pretrain', 'pretraining', 'p', 'not run', 'mAP@100'),
]


def test_what_is_read_is_what_was_written(tmp_path):
  path = str(tmp_path / 'results.csv')
  results.write_csv(path, ROWS)
  assert results.read_csv(path) == ROWS


def test_missing_values_are_none(tmp_path):
  path = str(tmp_path / 'results.csv')
  results.write_csv(path, ROWS)
  row = results.read_csv(path)[1]
  assert (row.value, row.images, row.frozen, row.init) == (None,) * 4
  assert row.model_dir == ''


def test_a_file_without_rows(tmp_path):
  path = str(tmp_path / 'results.csv')
  results.write_csv(path, [])
  assert results.read_csv(path) == []


@pytest.mark.parametrize(
  ('before', 'after', 'told'),
  [
    ('study,stage', 'study,stge', 'lacks the column stage'),
    (',true,', ',yes,', "row 2: column frozen wants bool, got 'yes'"),
    (',1000,4000,', ',1e3,4000,', "column step wants int, got '1e3'"),
    (',not run,', ',maybe,', "row 3: status is 'maybe'; known: done"),
  ],
)
def test_a_damaged_file_is_told(before, after, told, tmp_path):
  path = tmp_path / 'results.csv'
  results.write_csv(str(path), ROWS)
  path.write_text(path.read_text().replace(before, after))
  with pytest.raises(ValueError, match=told):
    results.read_csv(str(path))


def test_no_file_is_told(tmp_path):
  with pytest.raises(ValueError, match='cannot be read .* writes it'):
    results.read_csv(str(tmp_path / 'none.csv'))
