import json
import os
import re
import signal
import subprocess
import sys

import pytest

from official_repro.scaling import folder, jobs
from official_repro.scaling import state as state_lib
from tests import binaries
from tests.cluster import waiting
from tests.scaling import fakes
from tests.scaling.test_runs import made

FEW = {'axes': {'images': [64]}}


def study(tmp_path, *words, **changes):
  """Calls the binary in this process."""
  fakes.load(tmp_path, **changes)
  return binaries.call(
    'official_repro.study',
    *words,
    spec=tmp_path / 'spec.yaml',
    output=tmp_path / 'out',
  )


def start(tmp_path, plan):
  """Starts the binary, with fake ones below it, in a process of its own."""
  fakes.load(tmp_path, **FEW)
  (tmp_path / 'plan.json').write_text(json.dumps(plan))
  return subprocess.Popen(
    [
      *(sys.executable, '-m', 'tests.scaling.fakes'),
      f'--spec={tmp_path / "spec.yaml"}',
      f'--output={tmp_path / "out"}',
    ],
    env={**os.environ, 'FAKE_PLAN': str(tmp_path / 'plan.json')},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def test_a_dry_run_shows_the_plan_and_makes_nothing(tmp_path):
  done = study(tmp_path, '--dry_run', '--jobs=2')
  assert done.returncode == 0, done.stderr
  assert '  new           ~0:25  pretraining/images=64,seed=0' in done.stdout
  assert '16 runs (4 data, 4 pretrain, 8 transfer): 0 done, 16' in done.stdout
  assert '~ is a rough rate of two CPU cores.' in done.stdout
  assert not (tmp_path / 'out').exists()


def test_times_are_taken_from_runs_that_are_done(tmp_path):
  path = tmp_path / 'out' / 'runs' / 'pretraining' / 'images=64' / 'study.json'
  path.parent.mkdir(parents=True)
  path.write_text(json.dumps({'exit_code': 0, 'seconds': 30}))
  done = study(tmp_path, '--dry_run', axes={'images': [64, 640]})
  # 2 steps (2 epochs of 64 images by 64) in the half that is no start, 7.5 s
  # each; for 20 steps 15 + 150 s.
  assert '2:45  pretraining/images=640' in done.stdout


@pytest.mark.parametrize(
  ('words', 'told'),
  [
    ((), 'Flag --spec is missing'),
    (('--spec=none.yaml', '--output=x'), 'none.yaml: No such file'),
    (('--spec=mini_noise',), 'Flag --output is missing'),
    (('--spec=a', '--jobs=0'), 'jobs'),
    (
      ('--spec=mini_table1_imagenet', '--output={new}', '--reuse=tests,x'),
      "--reuse: folder 'tests' holds no study",
    ),
    (('--spce=a',), 'did you mean --spec?'),
  ],
)
def test_wrong_flags_are_one_line(tmp_path, words, told):
  words = [word.format(new=tmp_path / 'new') for word in words]
  done = binaries.call('official_repro.study', *words)
  assert done.returncode == 1
  assert told in done.stderr
  assert done.stderr.count('\n') == 1


def test_the_specs_are_listed():
  done = binaries.call('official_repro.study', '--spec=list')
  assert 'mini_data_size           Transfer by the number' in done.stdout


def test_absent_data_is_told_before_anything_runs(tmp_path):
  changes = {
    'generate': {'jft': {'source': 'mini_jft'}},
    'data': {'coco': 'no'},
  }
  done = study(tmp_path, '--dry_run', **changes)
  assert f"Data folder '{tmp_path}/no' is not there yet." in done.stdout
  done = study(tmp_path, **changes)
  assert done.returncode == 1
  assert f"no data folder '{tmp_path}/no'" in done.stderr
  assert not (tmp_path / 'out' / 'runs').exists()


def test_a_folder_holds_one_study(tmp_path):
  spec = fakes.load(tmp_path)
  with folder.held(str(tmp_path / 'out'), spec):
    done = study(tmp_path)
    assert done.returncode == 1
    assert f'in use by another study (process {os.getpid()})' in done.stderr
  done = study(tmp_path, '--dry_run', name='other')
  assert done.returncode == 1
  assert "holds the study 'tiny', this is 'other'" in done.stderr


def test_sigterm_is_handed_on_and_ends_with_143(tmp_path):
  process = start(tmp_path, {'pretraining': 'save'})
  run = tmp_path / 'out' / 'runs' / 'pretraining' / 'images=64'
  waiting.until((run / 'starts').exists, what='the run')
  process.send_signal(signal.SIGTERM)
  _, errors = process.communicate(timeout=waiting.SECONDS)
  assert process.returncode == 143, errors
  assert (run / 'checkpoint').read_text() == 'ckpt-1'
  last = errors.splitlines()[-1]
  assert last.startswith('Stopped after 3 of 5 runs; the same command goes on')


@pytest.mark.skipif(sys.platform != 'linux', reason='needs prctl')
def test_runs_die_with_the_study(tmp_path):
  process = start(tmp_path, {'pretraining': 'save'})
  run = tmp_path / 'out' / 'runs' / 'pretraining' / 'images=64'
  waiting.until((run / 'starts').exists, what='the run')
  (child,) = _children(process.pid)
  process.kill()
  process.communicate()
  waiting.until(lambda: not _is_alive(child), what='its end')


def _children(pid):
  with open(f'/proc/{pid}/task/{pid}/children') as f:
    return [int(word) for word in f.read().split()]


def _is_alive(pid):
  try:
    with open(f'/proc/{pid}/stat') as f:
      return f.read().rpartition(')')[2].split()[0] != 'Z'
  except FileNotFoundError:
    return False


def _on_volume(tmp_path, **changes):
  """Returns a State whose folders are on the cluster's volume."""
  volume = {'mount': str(tmp_path), 'host_path': str(tmp_path)}
  changes = {
    'cluster': {'image': 'project:1', 'volumes': {'all': volume}},
    'pretrain': {'experiment': 'mini_jft', 'data': 'jft', 'steps': 5},
    **FEW,
    **changes,
  }
  return fakes.study_state(tmp_path, **changes)


def test_runs_as_jobs_of_slurm(tmp_path):
  paths, left_out = jobs.write(
    _on_volume(tmp_path), 'slurm', str(tmp_path / 'jobs')
  )
  names = [os.path.basename(p) for p in paths]
  assert names == [
    'tiny-pretraining-003.sbatch',
    'tiny-detection-004.sbatch',
    'submit.sh',
  ]
  assert left_out == []
  lines = (tmp_path / 'jobs' / 'submit.sh').read_text().splitlines()
  assert re.findall(r'\|\| python -m (\S+)', '\n'.join(lines)) == [
    'official_repro.build_records',
    'official_repro.subset',
    'official_repro.build_records',
  ]
  first, second = (s for s in lines if 'sbatch --parsable' in s)
  variable = first.partition('=')[0]
  assert f'--dependency="afterok:${variable}"' in second
  subprocess.run(['bash', '-n', tmp_path / 'jobs' / 'submit.sh'], check=True)


def test_what_depends_on_a_later_run_waits_for_it(tmp_path):
  state = _on_volume(tmp_path, pretrain=fakes.CONTENT['pretrain'])  # in epochs
  folder = str(tmp_path / 'jobs')
  paths, left_out = jobs.write(state, 'slurm', folder)
  assert left_out == ['pretraining/images=64', 'detection/images=64']
  assert [os.path.basename(p) for p in paths] == ['submit.sh']
  # The script makes the data, once; then the rest can be rendered.
  for run in list(state.runs.values())[:3]:
    made(run, 64)
  subprocess.run(['bash', tmp_path / 'jobs' / 'submit.sh'], check=True)
  paths, left_out = jobs.write(state, 'slurm', folder)
  assert (len(paths), left_out) == (3, [])
  assert 'records' not in (tmp_path / 'jobs' / 'submit.sh').read_text()


def test_what_jobs_have_made_is_done(tmp_path):
  state = _on_volume(tmp_path)
  jobs.write(state, 'slurm', str(tmp_path / 'jobs'))
  *data, before, run = state.runs.values()
  for one in data:
    made(one, 64)
  for one, step in ((before, 5), (run, 39)):
    fakes.evaluated(one, step)
  assert state.status(before) == state_lib.DONE
  assert state.status(run) == state_lib.BEGUN  # 39 of its 40 steps
  fakes.evaluated(run, 40)
  assert state.status(run) == state_lib.DONE
  # Another command does not go on from it.
  changed = _on_volume(
    tmp_path, pretrain={'experiment': 'mini_jft', 'data': 'jft', 'steps': 6}
  )
  with pytest.raises(ValueError, match='pretraining.* another command.*delete'):
    jobs.write(changed, 'slurm', str(tmp_path / 'jobs'))


def test_runs_as_jobs_of_kubernetes(tmp_path):
  jobs.write(_on_volume(tmp_path), 'tfjob', str(tmp_path / 'jobs'))
  text = (tmp_path / 'jobs' / 'submit.sh').read_text()
  assert '--for=condition=Succeeded tfjob/tiny-pretraining-003' in text


def test_what_cannot_be_rendered_is_told(tmp_path):
  done = study(tmp_path, '--render_target=slurm', **FEW)
  assert 'Key cluster of the spec is missing' in done.stderr
  done = study(tmp_path, '--render_target=slurm', cluster={'image': 'x'}, **FEW)
  assert done.returncode == 1
  # At once, though steps are counted in epochs and wait for the data.
  assert 'as a job: Key volumes is missing' in done.stderr
