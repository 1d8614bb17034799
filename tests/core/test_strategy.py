import pytest

from official_repro.core import strategy


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
    strategy.cluster('parameter_server')
  assert '\n' not in str(e.value)
