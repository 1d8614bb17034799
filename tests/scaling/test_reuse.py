"""Runs of one study that another one takes; all binaries are fakes."""

import json
import os
import pathlib
import shutil

import pytest

from cluster import processes
from official_repro.scaling import content, results, reuse, running, scheduler
from tests.scaling import fakes

ONE = {'axes': {'images': [64], 'seed': [0]}}
TRAINED = 'pretraining/images=64,seed=0'
MOVED = 'detection/images=64,seed=0'


@pytest.fixture(autouse=True)
def fake_binaries(monkeypatch):
  monkeypatch.setattr(processes, 'start', fakes.start)
  monkeypatch.setattr(scheduler, '_POLL_SECONDS', 0.02)


@pytest.fixture(name='first')
def _first(tmp_path):
  """Folder of a study that is done."""
  folder = tmp_path / 'first'
  folder.mkdir()
  fakes.run(folder, **ONE)
  return folder / 'out'


def other(tmp_path, first, **changes):
  """Runs another study, which may take from the first."""
  folder = tmp_path / 'second'
  folder.mkdir(exist_ok=True)
  options = running.Options(reuse=(str(first),))
  fakes.run(folder, options, **{**ONE, 'name': 'other', **changes})
  return folder / 'out'


def taken(folder):
  """{run id: where it is from} of a study's runs."""
  records = [
    json.loads(p.read_text())
    for p in folder.joinpath('runs').rglob('study.json')
  ]
  return {r['run_id']: r.get('taken_from') for r in records}


def test_what_is_the_same_is_taken(tmp_path, first, capsys):
  second = other(tmp_path, first)
  found = taken(second)
  # A part points at the records beside it, and is made anew.
  assert found.pop('data/jft,images=64,seed=0') is None
  assert found == {name: f'tiny: {name}' for name in found}
  assert set(found) == {TRAINED, MOVED, 'data/jft', 'data/coco'}
  assert f'{TRAINED} is taken from tiny: {TRAINED}' in capsys.readouterr().err
  (row,) = results.read_csv(str(second / 'results.csv'))
  assert (row.study, row.status, row.value) == ('other', 'done', 1.0)
  # The command is the one that would make it here.
  assert f'--model_dir={second}/runs/{MOVED}' in row.command
  told = (second / 'report.md').read_text()
  assert f'{MOVED} from tiny: {MOVED}' in told.replace('\\', '')


def test_a_dry_run_tells_what_it_knows(tmp_path, first):
  folder = tmp_path / 'second'
  folder.mkdir()
  spec = fakes.load(folder, **{**ONE, 'name': 'other'})
  told = running.dry_run(spec, str(folder / 'out'), others=[str(first)])
  assert '2 of them would be taken from --reuse now' in told  # generated data
  assert not (folder / 'out').exists()
  plain = running.dry_run(spec, str(folder / 'out'))
  assert '--reuse' not in plain


def test_it_stays_when_the_other_study_goes(tmp_path, first):
  second = other(tmp_path, first)
  shutil.rmtree(first)
  folder = tmp_path / 'second'
  fakes.run(folder, **{**ONE, 'name': 'other'})
  own = [name for name, origin in taken(second).items() if origin is None]
  assert own == ['data/jft,images=64,seed=0']


def test_nothing_that_grows_is_shared(tmp_path, first):
  path = pathlib.Path('runs', TRAINED)
  (first / path / 'ckpt-20.data-00000-of-00001').write_text('weights')
  second = other(tmp_path, first)
  with open(second / path / 'metrics.jsonl', 'a') as f:
    f.write('more')
  assert 'more' not in (first / path / 'metrics.jsonl').read_text()
  weights = [f / path / 'ckpt-20.data-00000-of-00001' for f in (first, second)]
  assert os.path.samefile(*weights)


@pytest.mark.parametrize(
  'changes, run',
  [
    (
      {'pretrain': {**fakes.CONTENT['pretrain'], 'epochs': 3}},
      [TRAINED, MOVED],
    ),
    (
      {
        'tasks': {
          'detection': {**fakes.CONTENT['tasks']['detection'], 'steps': 50}
        }
      },
      [MOVED],
    ),
  ],
)
def test_what_differs_is_run_and_what_hangs_on_it(
  tmp_path, first, changes, run
):
  found = taken(other(tmp_path, first, **changes))
  found.pop('data/jft,images=64,seed=0')
  assert [name for name, origin in found.items() if origin is None] == sorted(
    run, reverse=True
  )


def test_what_data_holds_counts_not_how_it_was_made(tmp_path, first):
  generate = {**fakes.CONTENT['generate'], 'coco': {'source': 'mini_voc'}}
  found = taken(other(tmp_path, first, generate=generate))
  assert found['data/coco'] is None  # another source
  assert found[TRAINED] == f'tiny: {TRAINED}'
  # The fakes' data has the checksums of what the first study trained on.
  assert found[MOVED] == f'tiny: {MOVED}'


@pytest.mark.parametrize('gone', ['checkpoint', 'metrics.jsonl'])
def test_a_damaged_run_is_not_taken(tmp_path, first, gone):
  (first / 'runs' / TRAINED / gone).unlink()
  found = taken(other(tmp_path, first))
  assert found[TRAINED] is None
  assert found[MOVED] == f'tiny: {MOVED}'


def test_an_unfinished_run_is_not_taken(tmp_path, first):
  path = first / 'runs' / TRAINED / 'study.json'
  path.write_text(json.dumps({**json.loads(path.read_text()), 'exit_code': 1}))
  assert taken(other(tmp_path, first))[TRAINED] is None


def test_a_job_of_a_cluster_is_taken_by_what_it_left(tmp_path, first):
  path = first / 'runs' / TRAINED / 'study.json'
  of_job = {'exit_code': None, 'on_cluster': True}
  path.write_text(json.dumps({**json.loads(path.read_text()), **of_job}))
  assert taken(other(tmp_path, first))[TRAINED] == f'tiny: {TRAINED}'


def test_a_folder_without_a_study_is_told(tmp_path):
  with pytest.raises(ValueError, match=r'--reuse: folder .* holds no study'):
    reuse.index([str(tmp_path)])


@pytest.mark.parametrize(
  'axes, same',
  [
    ({'labels': ['filled']}, True),
    ({'labels': ['given']}, False),
    ({'depth': [14]}, True),
    ({'depth': [26]}, False),
  ],
)
def test_what_the_preset_says_itself_is_no_difference(tmp_path, axes, same):
  fakes.run(tmp_path, **ONE)
  state = fakes.study_state(tmp_path, **ONE)
  hashes = {r.run_id: content.of(state, r) for r in state.runs.values()}
  axes = {'axes': {**ONE['axes'], **axes}}
  changed = fakes.study_state(tmp_path, **axes)
  (run,) = (r for r in changed.runs.values() if r.stage == 'pretrain')
  assert (content.of(changed, run) == hashes[TRAINED]) is same


def test_content_is_not_known_before_the_data(tmp_path):
  state = fakes.study_state(tmp_path, **ONE)
  assert content.of(state, state.runs[TRAINED]) is None
  assert content.of(state, state.runs['data/coco'])
