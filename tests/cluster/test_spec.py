import copy
import importlib

import pytest

from cluster import command, spec
from tests.cluster import examples


def _changed(path, value, name='pose'):
  """Returns an example's content with the key at the dotted path changed."""
  content = copy.deepcopy(examples.content(name))
  *outer, last = path.split('.')
  place = content
  for key in outer:
    place = place[key]
  if value is None:
    del place[last]
  else:
    place[last] = value
  return content


def test_there_is_an_example_for_each_binary():
  modules = {
    examples.content(name)['command']['module'] for name in examples.NAMES
  }
  assert modules == set(command.MODULES)


@pytest.mark.parametrize('name', examples.NAMES)
def test_presets_of_the_examples_exist(name):
  job = examples.load(name)
  command.check_experiment(job.module, job.flags['experiment'])


def test_unknown_preset_gets_a_suggestion():
  with pytest.raises(ValueError, match='did you mean jft300m_resnet101'):
    command.check_experiment('official_repro.train', 'jft300m_resnet_101')


def test_numbers_of_an_example():
  job = examples.load('object_detection')
  assert (job.workers, job.ps, job.chief, job.evaluator) == (9, 11, True, False)
  assert job.strategy == 'parameter_server'
  # 32 GiB * 1024
  assert job.memory_mib == 32768
  assert [job.gpus_of(k) for k in ('chief', 'ps', 'worker')] == [0, 0, 1]
  assert job.volume_of('/runs/x/y').name == 'runs'


def test_a_synchronous_chief_computes_too():
  job = examples.load('pose')
  kinds = ('chief', 'worker', 'evaluator')
  assert [job.gpus_of(k) for k in kinds] == [2, 2, 1]


def test_decimal_memory_is_rounded_up():
  # 10^9 / 2^20 = 953.67
  assert spec.parse(_changed('memory', '1G')).memory_mib == 954


def test_evaluator_gets_its_own_mode_and_strategy():
  words = examples.load('pose').words('evaluator')
  assert words[0] == 'pose.train'
  assert words.count('--mode=continuous_eval') == 1
  assert words.count('--strategy=one_device') == 1
  assert not any('multi_worker' in w or w == '--mode=train' for w in words)


def test_flags_of_all_forms():
  content = _changed(
    'command.flags.config_file', ['/runs/a.yaml', '/runs/b.yaml']
  )
  content['command']['flags'].update(
    {'allow_partial_init': True, 'learning_rate': 0.5}
  )
  words = spec.parse(content).words('worker')
  assert '--config_file=/runs/a.yaml' in words
  assert '--config_file=/runs/b.yaml' in words
  assert '--allow_partial_init=true' in words
  assert '--learning_rate=0.5' in words


def test_parsing_leaves_this_process_flags_alone():
  from absl import flags

  before = set(flags.FLAGS)
  assert command.parse({'seed': 3}).seed == 3
  assert command.parse({}).seed is None
  assert set(flags.FLAGS) == before


@pytest.mark.parametrize(
  'path, value, words',
  [
    ('worker', 3, 'Unknown key worker; did you mean workers?'),
    ('name', None, 'Key name is missing'),
    ('name', 'Pose_1', 'Key name must be at most 40 lower case letters'),
    ('name', 'x' * 41, 'Key name must be at most 40 lower case letters'),
    ('name', 7, 'first, got 7'),
    ('image', '', "Key image must be the name of a container image, got ''"),
    ('workers', 0, 'Key workers must be a whole number from 1 on, got 0'),
    ('workers', True, 'Key workers must be a whole number from 1 on, got True'),
    ('workers', '3', "got '3'"),
    ('ps', -1, 'Key ps must be a whole number from 0 on, got -1'),
    ('gpus', 0.5, 'Key gpus must be a whole number from 0 on, got 0.5'),
    ('retries', -1, 'Key retries must be'),
    ('chief', 1, 'Key chief must be true or false, got 1'),
    ('evaluator', 'yes', "Key evaluator must be true or false, got 'yes'"),
    ('tensorboard', 0, 'Key tensorboard must be true or false, got 0'),
    ('cpus', 0, 'Key cpus must be a number above 0, got 0'),
    ('cpus', float('inf'), 'Key cpus must be a number above 0, got inf'),
    ('memory', 16, 'Key memory must be a number with a unit (Mi, Gi'),
    ('memory', '0Gi', "got '0Gi'"),
    ('namespace', 'A', 'Key namespace must be at most 63 lower case letters'),
    ('command', [], 'Key command must hold keys and values, got []'),
    ('command.modul', 'x', 'Unknown key command.modul; did you mean'),
    ('command.module', 'pose', 'command.module must be one of official_repro'),
    ('command.flags', None, 'Key command.flags must hold flags'),
    ('command.flags.experiment', None, 'command.flags.experiment is missing'),
    ('command.flags.model_dir', None, 'command.flags.model_dir is missing'),
    ('command.flags.modeldir', 'x', 'did you mean model_dir?'),
    ('command.flags.train_steps', 0, 'command.flags has a wrong value'),
    ('command.flags.seed', [1], 'command.flags.seed must be a text, a number'),
    ('command.flags.mode', 'train_and_eval', 'train with evaluator: true'),
    ('command.flags.resume', 'never', 'retries is 10; use auto'),
    ('command.flags.strategy', None, 'workers, ps and chief make 4; use'),
    ('command.flags.strategy', 'mirrored', "is 'mirrored', with which one"),
    ('command.flags.strategy', 'parameter_server', 'but the spec has only'),
    ('ps', 2, 'does not use; leave them out'),
    ('command.flags.data_dir', '/x/coco', "'/x/coco', which lies in none of"),
    ('command.flags.data_dir', '/data2', "'/data2', which lies in none of"),
    ('command.flags.model_dir', '/data/run', 'volumes.data is read_only'),
    ('volumes', {}, 'there are none'),
    ('volumes', None, 'Key volumes is missing'),
    ('volumes.data', '/data', 'Key volumes.data must hold keys and values'),
    ('volumes.Data', {'mount': '/x', 'pvc': 'x'}, 'The names in volumes'),
    ('volumes.data.mount', 'data', "must be an absolute path below /, got 'da"),
    ('volumes.data.mount', '/', "must be an absolute path below /, got '/'"),
    ('volumes.data.mount', '/runs', "Two volumes have the mount '/runs'"),
    ('volumes.data.pvc', None, 'must have mount and one of pvc, nfs'),
    ('volumes.data.host_path', '/x', 'must have mount and one of pvc, nfs'),
    ('volumes.data.claim', 'x', 'Unknown key volumes.data.claim; known'),
    ('volumes.data.read_only', 1, 'volumes.data.read_only must be true or'),
  ],
)
def test_wrong_spec_is_told(path, value, words):
  with pytest.raises(ValueError, match=' ') as e:
    spec.parse(_changed(path, value))
  assert words in str(e.value)
  assert '\n' not in str(e.value)


@pytest.mark.parametrize(
  'path, value, words',
  [
    ('chief', False, 'needs addresses of "chief", "ps" and "worker"'),
    ('ps', 0, 'needs addresses of "chief", "ps" and "worker"'),
    ('command.flags.mode', None, 'train with strategy parameter_server'),
    ('volumes.data.nfs', 'x', 'Key volumes.data.nfs must hold keys and values'),
    ('volumes.data.nfs.server', None, 'volumes.data.nfs.server must be the'),
    ('volumes.data.nfs.path', 'x', 'volumes.data.nfs.path must be an absolute'),
  ],
)
def test_wrong_asynchronous_spec_is_told(path, value, words):
  with pytest.raises(ValueError, match=' ') as e:
    spec.parse(_changed(path, value, 'object_detection'))
  assert words in str(e.value)


@pytest.mark.parametrize(
  'text, words',
  [
    ('a: [', 'is not YAML'),
    ('', 'It must hold keys and values, got None'),
    ('- a', "It must hold keys and values, got ['a']"),
  ],
)
def test_wrong_file_is_told(tmp_path, text, words):
  path = tmp_path / 'job.yaml'
  path.write_text(text)
  with pytest.raises(ValueError, match='job.yaml') as e:
    spec.load(str(path))
  assert words in str(e.value)
  assert '\n' not in str(e.value)


def test_modules_have_experiments():
  for module in command.MODULES:
    package = module.rpartition('.')[0]
    assert importlib.import_module(f'{package}.experiments').EXPERIMENTS
