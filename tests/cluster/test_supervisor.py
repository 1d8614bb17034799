"""The rules of the supervisor, on stand-ins for the binaries (fake_task)."""

import pytest

from cluster import supervisor
from official_repro.core import cluster_config
from tests.cluster import local


@pytest.fixture(autouse=True)
def slow_machine(monkeypatch):
  """A stand-in may take its time to start."""
  monkeypatch.setattr(supervisor, '_SECONDS_TO_NOTICE', 600)
  monkeypatch.setattr(supervisor, '_SECONDS_TO_SAVE', 600)


# When it ends, and what the tasks are given.


def test_a_chief_ends_the_cluster(tmp_path, capsys):
  everyone = [f'after:{t}.0' for t in ('worker-0', 'worker-1', 'ps-0')]
  plan = {'chief-0': [[*everyone, 'say:step 8/8', 'code:0']]}
  assert local.run(tmp_path, {**local.ASYNCHRONOUS, 'workers': 2}, plan) == 0
  shown = capsys.readouterr()
  # The chief's output and no other's.
  assert shown.out.splitlines() == ['chief-0 started', 'step 8/8']
  assert shown.err == ''
  assert (tmp_path / 'logs/ps-0.log').read_text() == 'ps-0 started\n'
  clusters = []
  for kind, index in (('chief', 0), ('worker', 0), ('worker', 1), ('ps', 0)):
    environ = local.started(tmp_path, f'{kind}-{index}')['environ']
    config = cluster_config.from_environment(environ)
    cluster_config.check(config, 'parameter_server')
    assert (config.task_type, config.task_index) == (kind, index)
    assert environ['TF_CPP_MIN_LOG_LEVEL'] == '3'
    hidden = environ.get('CUDA_VISIBLE_DEVICES') == '-1'
    assert hidden or kind == 'worker'
    clusters.append(config.cluster)
  assert all(c == clusters[0] for c in clusters)
  hosts = [host for hosts in clusters[0].values() for host in hosts]
  assert len(hosts) == 4
  assert all(host.startswith('127.0.0.1:') for host in hosts)


def test_synchronous_workers_end_by_themselves(tmp_path):
  plan = {
    'worker-0': [['code:0']],
    'worker-1': [['ended:worker-0', 'sleep:0.2', 'touch:done', 'code:0']],
  }
  assert local.run(tmp_path, local.SYNCHRONOUS, plan) == 0
  assert (tmp_path / 'done').exists()


@pytest.mark.parametrize('tasks', [local.ASYNCHRONOUS, local.SYNCHRONOUS])
def test_an_evaluator_is_waited_for(tmp_path, tasks):
  leaders = ['chief-0'] if 'ps' in tasks else ['worker-0', 'worker-1']
  ended = [f'ended:{task}' for task in leaders]
  plan = {task: [['code:0']] for task in leaders}
  plan['evaluator-0'] = [[*ended, 'sleep:0.2', 'touch:evaluated', 'code:0']]
  assert local.run(tmp_path, tasks, plan, evaluator=True) == 0
  assert (tmp_path / 'evaluated').exists()
  given = local.started(tmp_path, 'evaluator-0')
  assert given['words'][-2:] == [
    '--mode=continuous_eval',
    '--strategy=one_device',
  ]
  config = cluster_config.from_environment(given['environ'])
  cluster_config.check(config, 'one_device')
  assert config.task_type == 'evaluator'


# Failures.


def test_a_failure_is_shown_with_its_last_lines(tmp_path, capsys):
  lines = [f'say:line {i}' for i in range(20)]
  plan = {'chief-0': [[*lines, 'code:3']]}
  assert local.run(tmp_path, local.ASYNCHRONOUS, plan) == 3
  # 15 of 20: from line 5 on.
  assert capsys.readouterr().err.splitlines() == [
    '',
    'chief-0 failed: exit code 3. Its last lines:',
    *(f'  | line {i}' for i in range(5, 20)),
    f'Logs of all tasks: {tmp_path}/logs',
  ]


@pytest.mark.parametrize(
  'lost, killed',
  [
    (['code:138'], ['ended:worker-0', 'signal:9']),
    (['ended:worker-1', 'code:138'], ['signal:9']),
  ],
)
def test_who_lost_a_peer_is_not_the_cause(tmp_path, capsys, lost, killed):
  plan = {'worker-0': [lost], 'worker-1': [killed]}
  assert local.run(tmp_path, local.SYNCHRONOUS, plan) == 137  # 128 + 9
  errors = capsys.readouterr().err
  assert 'worker-1 failed: exit code 137, SIGKILL. Its last' in errors
  assert 'worker-0 ended, too: exit code 138, lost a task of the' in errors


def test_nobody_waits_long_for_who_hangs(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(supervisor, '_SECONDS_AFTER_ERROR', 0.1)
  plan = {'worker-1': [['after:worker-0.0', 'code:1']]}
  assert local.run(tmp_path, local.SYNCHRONOUS, plan) == 1
  assert 'worker-1 failed: exit code 1. ' in capsys.readouterr().err


@pytest.mark.parametrize(
  'task, step, code',
  [
    ('worker-0', 'signal:9', 137),
    ('ps-0', 'signal:11', 139),
    ('worker-0', 'code:0', 143),  # nothing asked it to end
    ('evaluator-0', 'code:2', 2),
  ],
)
def test_a_helper_that_ends_is_a_failure(tmp_path, capsys, task, step, code):
  plan = {task: [['after:chief-0.0', step]]}
  assert local.run(tmp_path, local.ASYNCHRONOUS, plan, evaluator=True) == code
  assert f'{task} failed' in capsys.readouterr().err


# Restarts.


def test_a_worker_comes_again_at_its_address(tmp_path, capsys):
  plan = {
    'worker-0': [['signal:9']],
    'chief-0': [['after:worker-0.1', 'code:0']],
  }
  assert local.run(tmp_path, local.ASYNCHRONOUS, plan, restarts=1) == 0
  assert capsys.readouterr().err == (
    'worker-0 ended with exit code 137, SIGKILL; started again (1 of 1).\n'
  )
  first, second = (
    local.started(tmp_path, 'worker-0', i)['environ']['TF_CONFIG']
    for i in range(2)
  )
  assert first == second
  assert not (tmp_path / 'chief-0.1').exists()
  log = tmp_path / 'logs' / 'worker-0.log'
  assert log.read_text() == 'worker-0 started\n' * 2


def test_restarts_come_to_an_end(tmp_path):
  plan = {'worker-0': [['signal:9']] * 3}
  assert local.run(tmp_path, local.ASYNCHRONOUS, plan, restarts=1) == 137
  assert (tmp_path / 'worker-0.1').exists()
  assert not (tmp_path / 'worker-0.2').exists()
  assert not (tmp_path / 'chief-0.1').exists()


@pytest.mark.parametrize('second, code', [('code:0', 0), ('code:138', 138)])
def test_a_lost_server_starts_all_again(tmp_path, capsys, second, code):
  """Its variables are lost: the chief ends and reads its checkpoint again."""
  plan = {
    'ps-0': [['after:chief-0.0', 'signal:9']],
    'chief-0': [
      ['after:worker-0.0', 'after:ps-0.1', 'code:138'],
      ['after:worker-0.1', second],
    ],
  }
  assert local.run(tmp_path, local.ASYNCHRONOUS, plan, restarts=1) == code
  assert (tmp_path / 'worker-0.1').exists()
  lines = capsys.readouterr().err.splitlines()
  assert lines[:2] == [
    'ps-0 ended with exit code 137, SIGKILL; started again (1 of 1).',
    'The cluster ended (ps-0 exit code 137, SIGKILL, chief-0 exit code 138, '
    'lost a task of the cluster); started again (1 of 1).',
  ]
  assert len(lines) == 2 or 'chief-0 failed: exit code 138' in lines[3]


def test_without_restarts_left_the_server_is_the_cause(tmp_path, capsys):
  plan = {
    'ps-0': [[], ['signal:9']],
    'chief-0': [
      ['after:ps-0.0', 'signal:15'],
      ['after:ps-0.2', 'code:138'],
    ],
  }
  assert local.run(tmp_path, local.ASYNCHRONOUS, plan, restarts=1) == 137
  errors = capsys.readouterr().err
  assert 'ps-0 failed: exit code 137, SIGKILL' in errors
  assert 'chief-0 ended, too: exit code 138' in errors


def test_synchronous_workers_come_again_together(tmp_path):
  plan = {
    'worker-0': [['after:worker-1.0', 'code:138'], ['code:0']],
    'worker-1': [['signal:9'], ['code:0']],
  }
  assert local.run(tmp_path, local.SYNCHRONOUS, plan, restarts=2) == 0
  assert not (tmp_path / 'worker-0.2').exists()


@pytest.mark.parametrize('task', ['chief-0', 'worker-0', 'ps-0', 'evaluator-0'])
def test_exit_code_1_is_never_tried_again(tmp_path, capsys, task):
  tasks = {**local.ASYNCHRONOUS, 'evaluator': True, 'restarts': 3}
  assert local.run(tmp_path, tasks, {task: [['code:1']]}) == 1
  assert 'again' not in capsys.readouterr().err


# Signals.


@pytest.mark.parametrize(
  'tasks, saved',
  [
    (local.ASYNCHRONOUS, ['chief-0']),
    (local.SYNCHRONOUS, ['worker-0', 'worker-1']),
  ],
)
def test_sigterm_lets_the_training_save(tmp_path, tasks, saved):
  plan = {t: [['save']] for t in saved}
  everyone = [f'after:{t}.0' for t in saved]
  plan['evaluator-0'] = [[*everyone, 'stop']]
  code = local.run(tmp_path, tasks, plan, evaluator=True, restarts=3)
  assert code == 143
  assert sorted(p.name for p in tmp_path.glob('saved-*')) == [
    f'saved-{t}' for t in saved
  ]
  assert not list(tmp_path.glob('*.1'))  # nothing came again


def test_who_does_not_end_after_sigterm_is_told(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(supervisor, '_SECONDS_TO_SAVE', 0.1)
  # Blocked from the start on, as it would save at last.
  plan = {
    'chief-0': [['sleep:600', 'save']],
    'worker-0': [['after:chief-0.0', 'stop']],
  }
  assert local.run(tmp_path, local.ASYNCHRONOUS, plan) == 137
  assert 'chief-0 still runs 0.1 s after SIGTERM' in capsys.readouterr().err
