import dataclasses
import json

import pytest

from official_repro.core import cluster_config
from tests import binaries

ADDRESSES = {
  'chief': ['c:1'],
  'worker': ['w0:1', 'w1:1'],
  'ps': ['p:1'],
}


def _read(cluster, kind='chief', index=0):
  text = json.dumps(
    {'cluster': cluster, 'task': {'type': kind, 'index': index}}
  )
  return cluster_config.from_environment({'TF_CONFIG': text})


def _check(cluster, kind, index, strategy):
  cluster_config.check(_read(cluster, kind, index), strategy)


def test_tf_config_comes_back_as_it_was():
  config = _read(ADDRESSES, 'worker', 1)
  assert (config.task_type, config.task_index) == ('worker', 1)
  assert config.cluster['worker'] == ('w0:1', 'w1:1')
  again = cluster_config.from_environment({'TF_CONFIG': config.to_json()})
  assert again == config


def test_no_variable_no_cluster():
  assert cluster_config.from_environment({}) is None
  assert cluster_config.from_environment({'TF_CONFIG': ' '}) is None


@pytest.mark.parametrize(
  'text, words',
  [
    ('{', 'TF_CONFIG is not JSON'),
    ('[]', 'must have the form'),
    ('{"task": {}}', '"cluster" is no object'),
    ('{"cluster": {}}', '"cluster" is no object'),
    ('{"cluster": {"worker": "w:1"}}', "addresses of 'worker' are no list"),
    ('{"cluster": {"worker": [1]}}', "addresses of 'worker' are no list"),
    ('{"cluster": {"worker": ["w:1"]}}', '"task" says no "type"'),
    (
      '{"cluster": {"worker": ["w:1"]}, "task": {"type": "worker"}}',
      'no whole number as "index"',
    ),
    (
      '{"cluster": {"worker": ["w:1"]},'
      ' "task": {"type": "worker", "index": true}}',
      'no whole number as "index"',
    ),
  ],
)
def test_wrong_form_is_told(text, words):
  with pytest.raises(ValueError, match='TF_CONFIG') as e:
    cluster_config.from_environment({'TF_CONFIG': text})
  assert words in str(e.value)
  assert repr(text) in str(e.value)
  assert '\n' not in str(e.value)


@pytest.mark.parametrize(
  'cluster, kind, index, words',
  [
    ({'master': ['a:1']}, 'worker', 0, "unknown task type 'master'"),
    ({'worker': ['a:1']}, 'boss', 0, "unknown task type 'boss'"),
    ({'worker': []}, 'worker', 0, "no addresses for task type 'worker'"),
    (
      {'worker': ['a:1'], 'ps': ['a:1']},
      'worker',
      0,
      "address 'a:1' 2 times",
    ),
    ({'worker': ['a:1', 'b:1', 'a:1']}, 'worker', 1, "address 'a:1' 2 times"),
    ({'worker': ['a']}, 'worker', 0, "address 'a' for task type 'worker'"),
    ({'worker': ['a:0']}, 'worker', 0, 'port from 1 to 65535'),
    ({'worker': ['a:65536']}, 'worker', 0, 'port from 1 to 65535'),
    ({'worker': [':1']}, 'worker', 0, 'must be host:port'),
    ({'worker': ['http://a:1']}, 'worker', 0, 'must be host:port'),
    ({'worker': ['a:1', 'b:1']}, 'worker', 2, 'from 0 to 1'),
    ({'worker': ['a:1']}, 'worker', -1, 'from 0 to 0'),
    ({'worker': ['a:1']}, 'chief', 0, 'has only worker'),
    ({'chief': ['a:1', 'b:1']}, 'chief', 0, '2 chiefs'),
  ],
)
def test_wrong_cluster_is_told(cluster, kind, index, words):
  with pytest.raises(ValueError, match='TF_CONFIG') as e:
    _check(cluster, kind, index, 'multi_worker_mirrored')
  assert words in str(e.value)
  assert '\n' not in str(e.value)


@pytest.mark.parametrize('missing', ['chief', 'worker', 'ps'])
def test_parameter_server_needs_all_three(missing):
  cluster = {k: v for k, v in ADDRESSES.items() if k != missing}
  kind = next(iter(cluster))
  with pytest.raises(ValueError, match='"chief", "ps" and "worker"') as e:
    _check(cluster, kind, 0, 'parameter_server')
  assert ', '.join(cluster) in str(e.value)


def test_what_fits():
  _check(ADDRESSES, 'ps', 0, 'parameter_server')
  _check({'worker': ['a:1', '[::1]:2']}, 'worker', 1, 'multi_worker_mirrored')
  _check({'chief': ['a:1']}, 'chief', 0, 'multi_worker_mirrored')
  # The evaluator is beside the cluster.
  _check(ADDRESSES, 'evaluator', 0, 'one_device')
  _check({'worker': ['a:1']}, 'worker', 0, 'mirrored')
  for strategy in ('one_device', 'mirrored', 'multi_worker_mirrored'):
    cluster_config.check(None, strategy)


@pytest.mark.parametrize(
  'kind, strategy, words',
  [
    ('chief', 'multi_worker_mirrored', 'does not use'),
    ('evaluator', 'parameter_server', '--mode=continuous_eval'),
    # 1 chief, 2 workers, 1 ps
    ('worker', 'one_device', '4 training tasks'),
  ],
)
def test_strategy_that_does_not_fit(kind, strategy, words):
  with pytest.raises(ValueError, match='TF_CONFIG') as e:
    _check(ADDRESSES, kind, 0, strategy)
  assert words in str(e.value)


def test_parameter_server_without_a_cluster():
  with pytest.raises(ValueError, match='TF_CONFIG, which is not set'):
    cluster_config.check(None, 'parameter_server')


def test_cluster_spec_of_vertex():
  text = json.dumps(
    {
      'cluster': {
        'workerpool0': ['a:2222'],
        'workerpool1': ['b:2222', 'c:2222'],
        'workerpool2': ['d:2222'],
      },
      'environment': 'cloud',
      'task': {'type': 'workerpool1', 'index': 1, 'trial': ''},
    }
  )
  config = cluster_config.from_environment({'CLUSTER_SPEC': text})
  assert config.cluster == {
    'chief': ('a:2222',),
    'worker': ('b:2222', 'c:2222'),
    'ps': ('d:2222',),
  }
  assert (config.task_type, config.task_index) == ('worker', 1)
  cluster_config.check(config, 'parameter_server')


def test_cluster_spec_of_vertex_without_workers():
  # Pool 1 may be left empty, and then has no key.
  text = json.dumps(
    {
      'cluster': {
        'workerpool0': ['a:2222'],
        'workerpool2': ['d:2222', 'e:2222'],
        'workerpool3': ['f:2222'],
      },
      'task': {'type': 'workerpool3', 'index': 0},
    }
  )
  config = cluster_config.from_environment({'CLUSTER_SPEC': text})
  assert config.cluster == {
    'chief': ('a:2222',),
    'ps': ('d:2222', 'e:2222'),
    'evaluator': ('f:2222',),
  }
  assert (config.name, config.trainers) == ('evaluator-0', ('chief-0',))
  assert list(config.others()) == ['chief-0', 'ps-0', 'ps-1']
  cluster_config.check(config, 'one_device')  # beside the cluster
  of_chief = dataclasses.replace(config, task_type='chief')
  with pytest.raises(ValueError, match='CLUSTER_SPEC has only chief, ps, eval'):
    cluster_config.check(of_chief, 'parameter_server')


SLURM = {
  'SLURM_PROCID': '3',
  'SLURM_JOB_ID': '12345',
  'SLURM_STEP_NODELIST': 'n[9-10],m5',
  'SLURM_STEP_TASKS_PER_NODE': '2(x2),1',
}


def test_slurm_tasks_are_workers_in_the_order_of_the_nodes():
  config = cluster_config.from_environment(SLURM)
  # 20000 + 12345 % 10000 = 22345; n10 after n9, although '1' < '9'.
  assert config.cluster == {
    'worker': ('n9:22345', 'n9:22346', 'n10:22345', 'n10:22346', 'm5:22345')
  }
  assert (config.task_type, config.task_index) == ('worker', 3)
  cluster_config.check(config, 'multi_worker_mirrored')
  # Tasks of srun may be runs of their own.
  cluster_config.check(config, 'one_device')
  with pytest.raises(ValueError, match='"chief", "ps" and "worker", but Slurm'):
    cluster_config.check(config, 'parameter_server')


def test_slurm_without_a_step():
  job = {
    'SLURM_PROCID': '0',
    'SLURM_JOB_NODELIST': 'a,b',
    'SLURM_NTASKS': '3',
  }
  # 3 tasks on 2 nodes: 2 and 1.
  config = cluster_config.from_environment(job)
  assert config.cluster == {'worker': ('a:20000', 'a:20001', 'b:20000')}
  alone = dict(job, SLURM_JOB_NODELIST='a', SLURM_NTASKS='1')
  assert cluster_config.from_environment(alone) is None


def test_tf_config_comes_before_slurm():
  text = _read({'worker': ['w:1']}, 'worker').to_json()
  config = cluster_config.from_environment(dict(SLURM, TF_CONFIG=text))
  assert config.cluster == {'worker': ('w:1',)}


@pytest.mark.parametrize(
  'text, nodes',
  [
    ('a', ['a']),
    ('n[08-10,12],login-1', ['n08', 'n09', 'n10', 'n12', 'login-1']),
    # the last range fastest
    (
      'r[1-2]x[0-1]',
      ['r1x0', 'r1x1', 'r2x0', 'r2x1'],
    ),
    ('[3-4]', ['3', '4']),
  ],
)
def test_lists_of_nodes(text, nodes):
  assert cluster_config.expand_nodes(text) == nodes


@pytest.mark.parametrize('text', ['', 'a,,b', 'n[1-', 'n[a-b]', 'n]1['])
def test_what_is_no_list_of_nodes(text):
  with pytest.raises(ValueError, match='n.1-3.,m5, got'):
    cluster_config.expand_nodes(text)


@pytest.mark.parametrize(
  'change, words',
  [
    ({'SLURM_STEP_NODELIST': ''}, 'start the tasks with srun'),
    ({'SLURM_STEP_TASKS_PER_NODE': '2x'}, 'must look like 2(x3),1'),
    ({'SLURM_STEP_TASKS_PER_NODE': '2'}, 'for 1 nodes, but'),
    ({'SLURM_PROCID': 'x'}, "SLURM_PROCID must be a whole number, got 'x'"),
  ],
)
def test_wrong_slurm_variables_are_told(change, words):
  with pytest.raises(ValueError, match='SLURM') as e:
    cluster_config.from_environment({**SLURM, **change})
  assert words in str(e.value)


def test_binary_ends_with_the_sentence(monkeypatch, tmp_path):
  twice = {'worker': ['a:1', 'a:1']}
  monkeypatch.setenv('TF_CONFIG', _read(twice, 'worker').to_json())
  done = binaries.call(
    'official_repro.train',
    experiment='mini_jft',
    data_dir=tmp_path / 'none',  # the cluster comes first
    model_dir=tmp_path / 'run',
    strategy='multi_worker_mirrored',
    mode='train',
  )
  assert done.returncode == 1
  assert done.stderr.splitlines() == [
    "Error: TF_CONFIG has the address 'a:1' 2 times; each task needs its own."
  ]
  assert not list(tmp_path.iterdir())


def test_tensorflow_reads_what_is_written():
  import tensorflow as tf

  config = _read(ADDRESSES, 'worker', 1)
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('TF_CONFIG', config.to_json())
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    assert resolver.cluster_spec().as_dict() == ADDRESSES
    assert (resolver.task_type, resolver.task_id) == ('worker', 1)
