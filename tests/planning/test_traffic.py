import json
import os
import subprocess
import sys

import pytest

from official_repro.planning import layout, traffic
from official_repro.planning.layers import Variable
from tests.planning import cluster_of_threads

SERVERS = 3
# 1000 and 10 trained floats, 10 that batch norm averages, 100 fixed ones.
VARIABLES = [
  Variable('kernel', (10, 100), trained=True),
  Variable('gamma', (10,), trained=True),
  Variable('moving_mean', (10,), trained=False, averaged=True),
  Variable('frozen', (100,), trained=False),
]


def test_what_a_worker_moves():
  assert traffic.pull_bytes(VARIABLES) == 4 * 1120
  assert traffic.push_bytes(VARIABLES) == 4 * 1020


def test_ring():
  # Each of 4 workers passes 3 quarters on twice: to sum, then to spread.
  assert traffic.ring_bytes(400, 4) == 600
  assert traffic.ring_bytes(400, 1) == 0


def test_loads_of_two_servers():
  first, second = traffic.server_loads(VARIABLES, 2, 2, 'in_turn')
  # kernel and its two slots, moving_mean; gamma and its slots, frozen.
  assert (first.variables, first.held) == (2, 4 * (3 * 1000 + 10))
  assert (first.pulled, first.pushed) == (4 * 1010, 4 * 1010)
  assert (second.held, second.pulled) == (4 * (3 * 10 + 100), 4 * 110)
  assert (second.pushed, second.busiest) == (4 * 10, 4 * 110)


@pytest.mark.parametrize('how', traffic.PLACEMENTS)
@pytest.mark.parametrize('servers', [1, 16, 17])
def test_nothing_is_lost(how, servers):
  network = layout.make_network(depth=101, classes=18_291, shards=50, side=299)
  variables = network.variables()
  loads = traffic.server_loads(variables, servers, 2, how)
  assert sum(s.variables for s in loads) == len(variables)
  assert sum(s.pulled for s in loads) == traffic.pull_bytes(variables)
  assert sum(s.pushed for s in loads) == traffic.push_bytes(variables)
  trained = sum(v.bytes for v in variables if v.trained)
  assert sum(s.held for s in loads) == (
    traffic.pull_bytes(variables) + 2 * trained
  )


def test_the_fcs_gradient_of_the_paper():
  network = layout.make_network(depth=101, classes=18_291, shards=50, side=299)
  # 2048 x 18,300 weights and 18,300 biases of four bytes: 150 MB.
  assert traffic.push_bytes(network.head_variables()) == 4 * 2049 * 18_300


@pytest.fixture(scope='module')
def real():
  """What real servers hold and send, made once."""
  done = subprocess.run(
    [sys.executable, '-m', cluster_of_threads.__name__, str(SERVERS)],
    capture_output=True,
    text=True,
    check=False,
    timeout=600,
    env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL='3'),
  )
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout)


def test_a_step_fetches_its_weights_once(real):
  # Inputs 1, 2 and weights 3, 4: 3 + 8, and half of 9 + 16. The gradient is
  # inputs + weights.
  assert real['steps']['once'] == [23.5, [4, 6], 1]
  assert real['steps']['each_time'] == [23.5, [4, 6], 2]


def test_as_the_servers_hold_them(real):
  network = layout.make_network(
    classes=cluster_of_threads.CLASSES,
    shards=cluster_of_threads.SHARDS,
    side=64,
    **cluster_of_threads.OPTIONS,
  )
  variables = network.variables()
  for how, found in real['held'].items():
    assert found['slots'] == 2 * sum(v.trained for v in variables)
    loads = traffic.server_loads(variables, SERVERS, 2, how)
    # Keras' counters come first, so the turn may begin at another server.
    assert sorted(s.held for s in loads) == sorted(found['held'].values())
    total = sum(s.held for s in loads)
    assert found['table'].splitlines()[-1].split()[-1] == f'{total:,d}'
  spread = [max(f['held'].values()) for f in real['held'].values()]
  assert spread[1] < spread[0]
