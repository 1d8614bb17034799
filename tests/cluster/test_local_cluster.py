"""The binary and its class, mostly with stand-ins (see fake_task)."""

import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest

from cluster import child, local_cluster, processes
from tests.cluster import local, waiting

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _launch(folder, tasks, plan):
  """Starts the binary with stand-ins."""
  flags = [f'--{name}={count}' for name, count in tasks.items()]
  words = local.fake_words(folder, tasks, plan)
  return subprocess.Popen(
    [sys.executable, '-m', 'cluster.local_cluster', *flags, '--', *words],
    cwd=ROOT,
    env={**os.environ, 'TMPDIR': str(folder)},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    # A shell has what it starts in the background ignore it.
    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
  )


def _is_alive(pid):
  try:
    state = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(') ')[2][0]
  except OSError:
    return False
  return state not in 'ZX'


def _wait_until_dead(pids):
  waiting.until(lambda: not any(map(_is_alive, pids)), what='the end')


@pytest.mark.parametrize(
  'number, code',
  [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)],
)
def test_the_binary_takes_its_tasks_with_it(tmp_path, number, code):
  if number == signal.SIGKILL and sys.platform != 'linux':
    pytest.skip('only Linux tells children of a killed parent')
  launcher = _launch(tmp_path, local.ASYNCHRONOUS, {'chief-0': [['save']]})
  names = ('chief-0', 'worker-0', 'ps-0')
  pids = [local.started(tmp_path, name)['pid'] for name in names]
  launcher.send_signal(number)
  _, errors = launcher.communicate(timeout=waiting.SECONDS)
  assert launcher.returncode == code
  assert 'Traceback' not in errors
  _wait_until_dead(pids)


def test_an_exception_takes_the_tasks_with_it(tmp_path):
  cluster = local.fake(tmp_path, local.SYNCHRONOUS, {})
  with pytest.raises(KeyError), cluster:
    cluster.start()
    raise KeyError
  assert {p.poll() for p in cluster.processes.values()} == {-9}


def test_a_child_of_another_does_not_start():
  program = [sys.executable, '-c', 'print(1)']
  command = [sys.executable, child.__file__, '1', *program]
  done = subprocess.run(command, capture_output=True, check=False)
  assert (done.returncode, done.stdout) == (1, b'')


# The binary and the class.


def test_the_binary_names_its_logs_and_keeps_them_on_failure(tmp_path):
  for code in (0, 4):
    folder = tmp_path / str(code)
    folder.mkdir()
    plan = {'worker-0': [['say:hello', f'code:{code}']]}
    launcher = _launch(folder, {'workers': 1}, plan)
    output, errors = launcher.communicate(timeout=waiting.SECONDS)
    assert launcher.returncode == code
    assert output == 'worker-0 started\nhello\n'
    start = f'Starting worker-0; logs in {folder}/local_cluster-'
    assert errors.startswith(start)
    # Deleted when all went well.
    left = len(list(folder.glob('local_cluster-*/worker-0.log')))
    assert left == (code != 0)


def test_tasks_by_hand(tmp_path):
  plan = {'worker-0': [['say:one', 'signal:9'], ['say:two', 'code:5']]}
  for _ in range(2):  # the second cluster begins its logs anew
    for path in tmp_path.glob('worker-*'):
      path.unlink()
    with local.fake(tmp_path, local.SYNCHRONOUS, plan) as cluster:
      cluster.start()
      assert cluster.wait('worker', 0, waiting.SECONDS) == 137
      cluster.start_task('worker', 0)
      assert cluster.wait('worker', 0, waiting.SECONDS) == 5
      lines = cluster.output('worker', 0).split('\n')
      assert lines == ['worker-0 started', 'one', 'worker-0 started', 'two', '']
      local.started(tmp_path, 'worker-1')
      with pytest.raises(ValueError, match='worker-1 runs already'):
        cluster.start_task('worker', 1)
      with pytest.raises(ValueError, match='has no ps-0'):
        cluster.start_task('ps', 0)
      with pytest.raises(TimeoutError, match=r'worker-1 still runs after 0\.1'):
        cluster.wait('worker', 1, 0.1)
      cluster.kill('worker', 1, signal.SIGTERM)
      assert cluster.wait('worker', 1, waiting.SECONDS) == 143


def test_taken_ports_are_left_alone(monkeypatch):
  addresses = processes.free_addresses(50)
  assert len(set(addresses)) == 50
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    port = s.getsockname()[1]
    monkeypatch.setattr(processes, '_PORTS', range(port, port + 1))
    with pytest.raises(OSError, match='No 1 free ports'):
      processes.free_addresses(1)
  assert processes.free_addresses(1) == [f'127.0.0.1:{port}']


# Wrong use.


@pytest.mark.parametrize(
  'tasks, words, text',
  [
    ({'workers': 1}, [], 'There is no command; write it after --'),
    ({'workers': 1}, ['--mode=train'], "must begin with .* got '--mode=train'"),
    (
      {'workers': 1},
      ['official_repro.trian'],
      "got 'official_repro.trian'; did you mean official_repro.train?",
    ),
    ({'workers': 1}, ['official_repro'], "got 'official_repro'"),
    ({'workers': 1}, ['no.such'], "got 'no.such'"),
    ({'workers': -1}, ['pose.train'], 'number of worker tasks .* got -1'),
    ({}, ['pose.train'], 'There is no task: give --workers=N'),
    ({'workers': 1}, ['pose.train'], 'The command has no --strategy; give'),
    (
      {'workers': 1},
      ['pose.train', '--strategy=mirored'],
      'wrong value: flag --strategy=mirored: value should be one of',
    ),
    (
      {'workers': 1, 'ps': 1},
      ['pose.train', '--strategy=parameter_server', '--mode=train'],
      '--ps: Strategy parameter_server needs addresses of "chief"',
    ),
    (
      {'workers': 1, 'ps': 1},
      ['pose.train', '--strategy=multi_worker_mirrored'],
      r'parameter servers \(ps\), which strategy multi_worker_mirrored does',
    ),
    (
      {'workers': 2},
      ['pose.train', '--strategy', 'one_device'],
      'this cluster has 2 training tasks',
    ),
    (
      {'chiefs': 2, 'workers': 2},
      ['pose.train', '--strategy=multi_worker_mirrored'],
      'this cluster has 2 chiefs',
    ),
    (
      local.ASYNCHRONOUS,
      ['pose.train', '--strategy=parameter_server'],
      "must be train with --strategy=parameter_server, got 'train_and_eval'",
    ),
    (
      {'workers': 2, 'evaluator': True},
      ['pose.train', '--strategy=multi_worker_mirrored'],
      "must be train with --evaluator, got 'train_and_eval'",
    ),
    (
      {'workers': 2, 'restarts': 1},
      ['pose.train', '--strategy=multi_worker_mirrored', '--resume=never'],
      "is 'never', so that it cannot go on, but --restarts is 1",
    ),
  ],
)
def test_wrong_clusters_are_told(tasks, words, text):
  with pytest.raises(ValueError, match=text) as e:
    local_cluster.LocalCluster(words, **tasks)
  assert '\n' not in str(e.value)


@pytest.mark.parametrize(
  'words, environ, text',
  [
    (['--workers=1'], {}, 'There is no command; write it after --'),
    (['--ps=-1', '--', 'pose.train'], {}, '--ps=-1'),
    (['--worker=1', '--', 'pose.train'], {}, 'did you mean --workers?'),
    (
      ['--workers=1', '--', 'pose.train', '--strategy=mirrored'],
      {'TF_CONFIG': '{}'},
      'TF_CONFIG is set',
    ),
  ],
)
def test_wrong_use_is_one_line(words, environ, text):
  # A launcher that loaded TensorFlow would fail here.
  forbid = "import sys; sys.modules['tensorflow'] = None; "
  start = "import runpy; runpy.run_module('cluster.local_cluster', None, "
  done = subprocess.run(
    [sys.executable, '-c', f"{forbid}{start}'__main__', True)", *words],
    cwd=ROOT,
    env={**os.environ, **environ},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 1
  assert text in done.stderr
  assert done.stderr.count('\n') == 1
