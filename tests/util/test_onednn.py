import json

import pytest

from official_repro.util import onednn
from tests import binaries, tiny

AVX2 = onednn.Cpu('c', ('sse4_2', 'avx', 'avx2', 'fma'))
OLD = onednn.Cpu('c', ('sse4_2', 'avx'))
ARM = onednn.Cpu('', ('asimd',))
ON, OFF = (
  onednn.Choice(True, 'earlier start'),
  onednn.Choice(False, 'earlier start'),
)
SET = {onednn.VARIABLE: '0'}


@pytest.mark.parametrize(
  'wanted, environ, earlier, cpu, expected',
  [
    # The CPU decides where nobody else does.
    ('auto', {}, None, AVX2, (True, 'auto')),
    ('auto', {}, None, OLD, (None, 'auto')),
    ('auto', {}, None, ARM, (None, 'auto')),
    ('auto', {}, None, onednn.Cpu('', ()), (None, 'auto')),
    # A run keeps the choice of its start.
    ('auto', {}, OFF, AVX2, (False, 'earlier start')),
    ('auto', {}, ON, ARM, (True, 'earlier start')),
    # Unless the user says otherwise.
    ('auto', SET, ON, AVX2, (None, 'environment')),
    ('auto', {onednn.VARIABLE: ' '}, None, AVX2, (True, 'auto')),
    ('on', SET, OFF, ARM, (True, 'flag')),
    ('off', {onednn.VARIABLE: '1'}, ON, AVX2, (False, 'flag')),
  ],
)
def test_who_decides(wanted, environ, earlier, cpu, expected):
  assert onednn.choose(wanted, environ, earlier, cpu) == expected


@pytest.mark.parametrize('value', ['ON', '2', 'yes'])
def test_a_value_that_tensorflow_passes_over(value):
  with pytest.raises(ValueError, match='set it to 0 or 1'):
    onednn.choose('auto', {onednn.VARIABLE: value}, None, AVX2)


def test_what_a_run_had(tmp_path):
  assert onednn.of_run(None) is None
  assert onednn.of_run(str(tmp_path)) is None
  file = tmp_path / 'run.json'
  # A version that did not write it down.
  file.write_text('{"command": "x"}')
  assert onednn.of_run(str(tmp_path)) == (None, 'earlier start')
  for enabled in (True, False):
    file.write_text(json.dumps({'onednn': {'enabled': enabled}}))
    assert onednn.of_run(str(tmp_path)) == (enabled, 'earlier start')
  for damaged in (
    '{',
    '[]',
    '{"onednn": {}}',
    '{"onednn": 1}',
    '{"onednn": {"enabled": "false"}}',
  ):
    file.write_text(damaged)
    with pytest.raises(ValueError, match='damaged'):
      onednn.of_run(str(tmp_path))


X86 = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Some CPU @ 2 GHz
flags\t\t: fpu sse4_2 avx f16c avx2 fma avx512f

processor\t: 1
model name\t: Another
flags\t\t: fpu
"""
ARM_TEXT = """processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd evtstrm aes
CPU part\t: 0xd0c
"""


def test_what_linux_says_of_a_cpu(tmp_path):
  file = tmp_path / 'cpuinfo'
  file.write_text(X86)
  assert onednn.read_cpu(file) == (
    'Some CPU @ 2 GHz',
    ('sse4_2', 'avx', 'avx2', 'fma', 'avx512f'),
  )
  file.write_text(ARM_TEXT)
  assert onednn.read_cpu(file).extensions == ('asimd',)
  assert onednn.read_cpu(tmp_path / 'none').extensions == ()


def test_tasks_that_differ():
  assert onednn.difference({}) is None
  assert onednn.difference({'worker-0': True, 'worker-1': True}) is None
  text = onednn.difference({'chief-0': True, 'worker-0': False, 'ps-0': True})
  assert 'on at chief-0, ps-0 and off at worker-0' in text


def test_too_late(monkeypatch):
  import tensorflow  # noqa: F401

  now = onednn.enabled()
  monkeypatch.setattr(onednn, '_choice', None)
  onednn.apply('on' if now else 'off')
  with pytest.raises(ValueError, match='too late'):
    onednn.apply('off' if now else 'on')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  return tiny.build(tmp_path_factory.mktemp('jft') / 'data')


def start(data, run, steps, monkeypatch, variable=None, **options):
  """Trains in a process of its own; returns the entry of run.json."""
  monkeypatch.delenv(onednn.VARIABLE, raising=False)
  if variable:
    monkeypatch.setenv(onednn.VARIABLE, variable)
  words = tiny.train_options(data, run, steps, mode='train', **options)
  done = binaries.process('official_repro.train', **words)
  assert done.returncode == 0, done.stderr
  found = json.loads((run / 'run.json').read_text())['onednn']
  return found['enabled'], found['chosen_by']


def test_a_run_from_start_to_resume(data, tmp_path, monkeypatch):
  run = tmp_path / 'run'
  assert start(data, run, 1, monkeypatch, onednn='off') == (False, 'flag')
  assert start(data, run, 2, monkeypatch) == (False, 'earlier start')
  assert start(data, run, 3, monkeypatch, variable='1') == (True, 'environment')
  assert start(data, run, 4, monkeypatch) == (True, 'earlier start')
  cpu = onednn.read_cpu()
  found = json.loads((run / 'run.json').read_text())['onednn']
  assert (found['cpu'], found['extensions']) == (cpu.name, [*cpu.extensions])
