import pytest

from official_repro.core import cluster_config, strategy, watchdog


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


@pytest.mark.parametrize('workers', [1, 90])
def test_servers_have_threads_to_spare(workers):
  """With one thread a worker on one core hangs in its second step."""
  addresses = tuple(f'w:{i + 1}' for i in range(workers))
  config = cluster_config.ClusterConfig({'worker': addresses}, 'worker', 0)
  options = strategy._server_options(config, memory_growth=True)
  assert options.inter_op_parallelism_threads >= max(4, workers + 1)
  assert options.gpu_options.allow_growth


@pytest.mark.parametrize('enabled', [True, False])
def test_a_server_says_its_onednn_before_it_serves(
  enabled, tmp_path, monkeypatch
):
  class NoServerError(Exception):
    pass

  def server(*arguments, **options):
    # What the chief finds as soon as it can reach this task.
    found = watchdog.fact(str(tmp_path), ['worker-0', 'ps-0'], 'onednn')
    assert found == {'worker-0': enabled}
    raise NoServerError

  addresses = {'chief': ('c:1',), 'worker': ('w:2',), 'ps': ('p:3',)}
  config = cluster_config.ClusterConfig(addresses, 'worker', 0)
  monkeypatch.setenv('TF_CONFIG', '')
  monkeypatch.setattr(strategy.onednn, 'enabled', lambda: enabled)
  monkeypatch.setattr(strategy.tf.distribute, 'Server', server)
  with pytest.raises(NoServerError):
    strategy.serve(config, str(tmp_path), memory_growth=True)
