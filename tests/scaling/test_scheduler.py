import json
import os
import pathlib
import re
import signal
import threading

import pytest

from cluster import processes
from official_repro.core import flags as core_flags
from official_repro.scaling import results, running, scheduler, state
from tests.cluster import waiting
from tests.scaling import fakes

FROZEN = 'detection/images=64,frozen=true,seed=1'
CUT_OFF = 'pretraining/images=64,seed=1'  # two transfer runs hang on it


@pytest.fixture(autouse=True)
def fake_binaries(monkeypatch, tmp_path):
  """All binaries are fakes, which do what `tell` says."""
  monkeypatch.setattr(processes, 'start', fakes.start)
  monkeypatch.setattr(scheduler, '_POLL_SECONDS', 0.02)
  monkeypatch.setenv('FAKE_PLAN', str(tmp_path / 'plan.json'))
  tell(tmp_path)


def tell(folder, **plan):
  pathlib.Path(folder, 'plan.json').write_text(json.dumps(plan))


def rows(folder):
  return {
    r.run_id: r for r in results.read_csv(str(folder / 'out' / 'results.csv'))
  }


def small(**axes):
  return {'axes': {'images': [64], **axes}}


def test_a_study_from_data_to_report(tmp_path, capsys):
  fakes.run(tmp_path)
  plan = fakes.plan(tmp_path)
  assert [fakes.starts(run) for run in plan.values()] == [1] * len(plan)
  found = rows(tmp_path)
  assert len(found) == fakes.TRANSFER  # pre-training has no metric here
  row = found[FROZEN]
  assert (row.status, row.metric, row.value) == ('done', 'AP50', 1.01)
  assert (row.step, row.examples_seen) == (40, 160)
  assert (row.images, row.fraction, row.epochs) == (64, 0.1, 2.0)
  assert (row.frozen, row.seed, row.init) == (True, 1, 'pretrained')
  assert (row.labels, row.noise, row.vocabulary) == ('filled', 0.2, 'all')
  assert row.model_dir == f'runs/{FROZEN}'
  assert row.command.startswith('python -m object_detection.train --exp')
  told = capsys.readouterr()
  assert 'tiny: runs 8 done' in told.out
  assert f'Report: {tmp_path}/out/report.html\n' in told.out
  assert re.search(r'runs \d+/16 done, 1 running, 0 failed  ETA ~', told.err)
  assert (tmp_path / 'out' / 'report.html').stat().st_size > 1000

  # What is done is never run again; the result is the same.
  before = (tmp_path / 'out' / 'results.csv').read_text()
  fakes.run(tmp_path)
  assert [fakes.starts(run) for run in plan.values()] == [1] * len(plan)
  assert (tmp_path / 'out' / 'results.csv').read_text() == before


def test_a_study_can_be_moved(tmp_path):
  fakes.run(tmp_path, **small())
  os.rename(tmp_path / 'out', tmp_path / 'elsewhere')
  running.run(fakes.load(tmp_path, **small()), str(tmp_path / 'elsewhere'))
  starts = (tmp_path / 'elsewhere').rglob('starts')
  assert all(p.read_text() == 'start\n' for p in starts)


def test_a_failure_stops_only_what_needs_it(tmp_path, capsys):
  tell(tmp_path, **{CUT_OFF: 'fail'})
  with pytest.raises(
    ValueError, match=r'1 of 16 runs failed \(pretra.* 2 were'
  ):
    fakes.run(tmp_path)
  told = capsys.readouterr().err
  assert f'{CUT_OFF} failed: exit code 3' in told
  assert '  | it is broken\n' in told
  found = rows(tmp_path)
  assert found[CUT_OFF].status == 'failed'
  assert found[CUT_OFF].metric == ''
  assert found[FROZEN].status == 'not run'
  assert [r.status for r in found.values()].count('done') == 6

  # Mended, the same command goes on.
  tell(tmp_path)
  fakes.run(tmp_path)
  assert rows(tmp_path)[FROZEN].status == 'done'
  plan = fakes.plan(tmp_path)
  assert fakes.starts(plan[CUT_OFF]) == 2
  assert fakes.starts(plan['data/jft']) == 1


def test_a_stop_is_no_failure(tmp_path, capsys):
  tell(tmp_path, **{CUT_OFF: 'stop'})
  with pytest.raises(core_flags.StoppedError, match='after 13 of 16 runs'):
    fakes.run(tmp_path)
  assert f'{CUT_OFF} was stopped (exit code 143' in capsys.readouterr().err
  assert rows(tmp_path)[CUT_OFF].status == 'not run'


def test_an_evaluation_that_is_not_the_last_is_no_end(tmp_path, capsys):
  tell(tmp_path, **{'frozen=true': 'short'})
  with pytest.raises(ValueError, match='runs failed'):
    fakes.run(tmp_path, **small(frozen=[True]))
  assert 'it ended, but metrics.jsonl has no whole' in capsys.readouterr().err


def test_a_metrics_file_cut_short_is_not_finished(tmp_path, capsys):
  tell(tmp_path, **{'/runs/detection': 'cut'})
  with pytest.raises(ValueError, match='1 of 5 runs failed'):
    fakes.run(tmp_path, **small())
  (run,) = [
    r for r in fakes.plan(tmp_path, **small()).values() if r.stage == 'transfer'
  ]
  assert state.last_evaluation(run.folder).cut
  tell(tmp_path)
  fakes.run(tmp_path, **small())
  told = capsys.readouterr().err
  assert 'metrics.jsonl ended in the middle of a line' in told
  # The new line is one of its own.
  assert state.last_evaluation(run.folder) == state.Evaluation(
    40, 160, state.last_evaluation(run.folder).metrics
  )


def test_a_metric_that_is_not_finite_is_missing(tmp_path):
  tell(tmp_path, **{'/runs/detection': 'nan'})
  fakes.run(tmp_path, **small())
  (row,) = rows(tmp_path).values()
  assert (row.status, row.value) == ('done', None)


def test_jobs_run_side_by_side(tmp_path):
  # Each waits for SIGTERM, which comes when both run.
  tell(tmp_path, **{'runs/pretraining': 'save'})
  folders = [
    tmp_path / 'out' / 'runs' / f'pretraining/images=64,seed={i}'
    for i in (0, 1)
  ]

  def stop():
    for folder in folders:
      waiting.until((folder / 'starts').exists)
    os.kill(os.getpid(), signal.SIGTERM)

  thread = threading.Thread(target=stop)
  thread.start()
  with pytest.raises(core_flags.StoppedError, match='same command goes on'):
    fakes.run(tmp_path, running.Options(jobs=2), **small(seed=[0, 1]))
  thread.join()
  # Both were told, and both have saved.
  assert all((f / 'checkpoint').read_text() == 'ckpt-1' for f in folders)
  assert not (tmp_path / 'out' / 'report.html').exists()

  # Started again, they go on from their checkpoints.
  fakes.run(tmp_path, running.Options(jobs=2), **small(seed=[0, 1]))
  assert {r.status for r in rows(tmp_path).values()} == {'done'}


def longer():
  return {**fakes.CONTENT['pretrain'], 'epochs': 4}


def test_a_changed_spec_makes_runs_stale(tmp_path, capsys):
  fakes.run(tmp_path, **small())
  changed = {**small(), 'pretrain': longer()}
  told = r'2 runs .* another command .*pretraining/images=64.*--rerun_stale'
  with pytest.raises(ValueError, match=told):
    fakes.run(tmp_path, **changed)
  assert '  detection/images=64\n' in capsys.readouterr().err

  # Kept, their results are shown as such.
  with pytest.raises(ValueError, match='Flags --rerun_stale and --keep_stale'):
    fakes.run(tmp_path, running.Options(1, True, True), **changed)
  fakes.run(tmp_path, running.Options(keep_stale=True), **changed)
  (row,) = [r for r in rows(tmp_path).values() if r.task == 'detection']
  assert (row.status, row.value) == ('stale', 1.0)

  # Deleted, they are made again; the data is not.
  fakes.run(tmp_path, running.Options(rerun_stale=True), **changed)
  (row,) = rows(tmp_path).values()
  assert (row.status, row.epochs) == ('done', 4.0)
  plan = fakes.plan(tmp_path, **changed)
  assert [fakes.starts(run) for run in plan.values()] == [1] * len(plan)
  pretraining = plan['pretraining/images=64']
  assert state.last_evaluation(pretraining.folder).step == 4  # 4 x 64 / 64


def test_more_values_make_no_run_stale(tmp_path):
  fakes.run(tmp_path, **small(seed=[0]))
  fakes.run(tmp_path, **small(seed=[0, 1]))
  plan = fakes.plan(tmp_path, **small(seed=[0, 1]))
  assert [fakes.starts(run) for run in plan.values()] == [1] * len(plan)


def rates_study(rates):
  task = {**fakes.CONTENT['tasks']['detection'], 'learning_rates': rates}
  return {
    **small(),
    'tasks': {'detection': task},
    'learning_rate': {
      'at': {'images': 64, 'seed': 9},
      'tasks': ['detection'],
    },
  }


def test_the_chosen_learning_rate_is_used(tmp_path):
  fakes.run(tmp_path, **rates_study([1e-4, 1e-3, 1e-2]))
  found = rows(tmp_path)
  assert found['detection/images=64'].learning_rate == 1e-3
  tries = [r for r in found.values() if r.stage == 'choice']
  assert [(r.learning_rate, r.seed) for r in tries] == [
    (1e-4, 9),
    (1e-3, 9),
    (1e-2, 9),
  ]
  content = json.loads((tmp_path / 'out' / 'learning_rates.json').read_text())[
    'detection'
  ]
  assert content['learning_rate'] == 1e-3
  assert not content['at_edge']
  # 1 - |log10(rate) + 3| / 10, and .01 for each seed.
  assert content['tried'][2] == [0.01, pytest.approx(0.9 + 0.09)]

  # One more try of a worse rate changes no other run.
  fakes.run(tmp_path, **rates_study([1e-4, 1e-3, 1e-2, 1e-1]))
  (run,) = [
    r
    for r in fakes.plan(tmp_path, **rates_study([1e-3])).values()
    if r.stage == 'transfer'
  ]
  assert fakes.starts(run) == 1


def test_no_finite_learning_rate_is_told(tmp_path, capsys):
  tell(tmp_path, **{'choice/detection': 'nan'})
  with pytest.raises(ValueError, match='1 of 8 runs failed'):
    fakes.run(tmp_path, **rates_study([1e-3, 1e-2]))
  told = capsys.readouterr().err
  assert 'cannot start: None of the learning rates 0.001, 0.01 gave' in told


def test_leaves_are_listed_for_a_vocabulary(tmp_path):
  fakes.run(tmp_path, **small(vocabulary=['leaves']))
  path = tmp_path / 'out' / 'labels' / 'jft-leaves.txt'
  assert path.read_text() == 'cat\ndog\n'  # animal is their parent
  path.unlink()
  options = running.Options(rerun_stale=True)  # leaves that have a parent
  fakes.run(tmp_path, options, **small(vocabulary=['all', 'leaves', 'parents']))
  assert path.exists()  # all labels, of images that have a leaf
  assert path.with_name('jft-parents.txt').read_text() == 'animal\n'


@pytest.mark.parametrize('jobs, threads', [(1, 4), (2, 2), (3, 1), (9, 1)])
def test_runs_side_by_side_share_the_cores(jobs, threads, monkeypatch):
  monkeypatch.setattr(scheduler.parallel, 'default_processes', lambda: 4)
  monkeypatch.delenv('TF_NUM_INTRAOP_THREADS', raising=False)
  environ = scheduler._environment(jobs)
  assert environ['TF_NUM_INTRAOP_THREADS'] == str(threads)
  monkeypatch.setenv('TF_NUM_INTRAOP_THREADS', '7')  # the user's wish
  assert scheduler._environment(jobs)['TF_NUM_INTRAOP_THREADS'] == '7'
