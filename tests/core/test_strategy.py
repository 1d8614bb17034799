import json
import os
import socket
import subprocess

import pytest

from official_repro.core import strategy
from tests import binaries, tiny


@pytest.mark.parametrize(
  'config, words',
  [
    (None, 'TF_CONFIG, which is not set'),
    ('{', 'TF_CONFIG is not JSON'),
    ('{"cluster": {"worker": ["127.0.0.1:1"]}}', 'task'),
    (
      '{"cluster": {"worker": ["127.0.0.1:1"]}, '
      '"task": {"type": "worker", "index": 0}}',
      '"chief", "ps" and "worker"',
    ),
  ],
)
def test_parameter_server_needs_a_cluster(monkeypatch, config, words):
  monkeypatch.delenv('TF_CONFIG', raising=False)
  if config:
    monkeypatch.setenv('TF_CONFIG', config)
  with pytest.raises(ValueError, match=words) as e:
    strategy.create('parameter_server')
  assert '\n' not in str(e.value)


def _free_address():
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    return f'127.0.0.1:{s.getsockname()[1]}'


def test_asynchronous_training_on_a_local_cluster(tmp_path):
  """One chief, one worker, one parameter server; only the chief ends."""
  data = tiny.build(tmp_path / 'data', images=24)
  cluster = {k: [_free_address()] for k in ('chief', 'worker', 'ps')}
  command = binaries.command(
    'official_repro.train',
    **tiny.train_options(
      data, tmp_path / 'run', mode='train', strategy='parameter_server'
    ),
  )

  def start(task):
    config = {'cluster': cluster, 'task': {'type': task, 'index': 0}}
    return subprocess.Popen(
      command,
      env=dict(os.environ, TF_CONFIG=json.dumps(config)),
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )

  helpers = [start('ps'), start('worker')]
  try:
    chief = start('chief')
    output, _ = chief.communicate(timeout=240)
    assert chief.returncode == 0, output
    assert (tmp_path / 'run' / 'ckpt-8.index').exists()
    assert all(p.poll() is None for p in helpers)
  finally:
    for process in (*helpers, chief):
      process.kill()
      process.wait()
