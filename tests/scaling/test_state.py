import json

from official_repro.scaling import state

LINE = json.dumps(
  {'step': 5, 'examples_seen': 20, 'split': 'val', 'metrics': {'AP': 0.5}}
)


def read(folder, text):
  (folder / 'metrics.jsonl').write_text(text)
  return state.last_evaluation(str(folder))


def test_the_last_whole_line_counts(tmp_path):
  assert state.last_evaluation(str(tmp_path)) is None
  assert read(tmp_path, '') is None
  later = LINE.replace('5', '9', 1)
  found = read(tmp_path, f'{LINE}\n{later}\n')
  assert found == state.Evaluation(9, 20, {'AP': 0.5})
  # Damage before it has no bearing on it.
  assert read(tmp_path, f'{LINE[:9]}{LINE}\n{later}\n') == found


def test_a_line_cut_short_is_told(tmp_path):
  found = read(tmp_path, f'{LINE}\n{LINE[:30]}')
  assert (found.step, found.cut) == (5, True)
  assert read(tmp_path, LINE).cut  # without its end it may be a part
  assert read(tmp_path, '{}\n').cut


def test_it_is_cut_off_before_another_is_written(tmp_path):
  read(tmp_path, f'{LINE}\n{LINE[:30]}')
  assert state.repair_metrics(str(tmp_path))
  assert (tmp_path / 'metrics.jsonl').read_text() == f'{LINE}\n'
  assert not state.repair_metrics(str(tmp_path))
  assert not state.repair_metrics(str(tmp_path / 'none'))
