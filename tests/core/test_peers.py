import contextlib
import socket
import subprocess
import sys
import threading
from concurrent import futures

import pytest
import tensorflow as tf

from official_repro.core import cluster_config, flags, peers


@contextlib.contextmanager
def listening(port=0):
  with socket.create_server(('127.0.0.1', port)) as server:
    yield f'127.0.0.1:{server.getsockname()[1]}'


def nobody():
  with listening() as address:
    return address


def cluster(*workers, index=0):
  return cluster_config.ClusterConfig({'worker': workers}, 'worker', index)


def test_who_listens():
  with listening() as address:
    found = peers.missing({'ps-0': address, 'ps-1': nobody()})
  assert found == ['ps-1']


def test_a_worker_that_never_comes_is_named():
  with listening() as here:
    gone = nobody()
    with pytest.raises(flags.LostPeerError) as e:
      peers.wait_for_all(cluster(nobody(), here, gone), seconds=0.1)
  assert str(e.value).startswith(
    f'worker-2 ({gone}) did not come within 0.1 s (runtime.cluster_timeout);'
  )


def test_who_is_late_is_told_and_waited_for(monkeypatch, capsys):
  monkeypatch.setattr(peers, '_TELL_SECONDS', 0.1)
  monkeypatch.setattr(peers, '_POLL_SECONDS', 0.05)
  addresses = nobody(), nobody()
  both = threading.Barrier(2)

  def come(index):
    # Each sees the other one only because that listens while it waits.
    peers.wait_for_all(cluster(*addresses, index=index), 600)
    with listening(int(addresses[index].split(':')[1])):  # TensorFlow's server
      both.wait(600)

  with futures.ThreadPoolExecutor() as pool:
    first, told = pool.submit(come, 0), ''
    while not told:
      assert not first.done()
      told = capsys.readouterr().err
    come(1)
    first.result(600)
  assert told.startswith(f'Waiting for worker-1 ({addresses[1]})\n')


def test_a_port_that_is_taken():
  with listening() as here:
    config = cluster(here, nobody())
    with pytest.raises(ValueError, match='TF_CONFIG gives worker-0') as e:
      peers.wait_for_all(config, 0)
  assert f'{here}, but it cannot listen at port' in str(e.value)
  assert 'Address already in use; end what listens there' in str(e.value)


def test_without_others_nobody_waits():
  # Nothing can listen at port 0.
  peers.wait_for_all(cluster('me:0'), 0)
  peers.wait_for_all(None, 0)
  with peers.lost_is_told(None, lambda: ''):
    pass


def test_a_lost_task_is_told():
  with listening() as here:
    config = cluster('me:1', here, nobody())
    with (
      pytest.raises(flags.LostPeerError) as e,
      peers.lost_is_told(config, lambda: 'Go on from here.'),
    ):
      raise tf.errors.UnavailableError(None, None, 'Graph execution error')
  assert str(e.value) == (
    'worker-2 was lost (UnavailableError). Go on from here.'
  )


def test_the_error_itself_may_name_it():
  with listening() as here:
    config = cluster('me:1', here)
    message = '{{node x}} /job:worker/replica:0/task:1 has gone'
    with (
      pytest.raises(flags.LostPeerError, match='^worker-1 was lost'),
      peers.lost_is_told(config, str),
    ):
      raise tf.errors.AbortedError(None, None, message)


def test_an_internal_error_is_a_lost_task_only_if_one_is_gone():
  error = tf.errors.InternalError(None, None, 'Barrier failed')
  with (
    pytest.raises(flags.LostPeerError, match='^worker-1 was lost'),
    peers.lost_is_told(cluster('me:1', nobody()), str),
  ):
    raise error
  with (
    listening() as here,
    pytest.raises(tf.errors.InternalError),
    peers.lost_is_told(cluster('me:1', here), str),
  ):
    raise error


def test_other_errors_and_other_runs_are_left_alone():
  with (
    pytest.raises(ValueError, match='bad'),
    peers.lost_is_told(cluster('me:1', 'you:1'), str),
  ):
    raise ValueError('bad')
  with (
    pytest.raises(tf.errors.UnavailableError),
    peers.lost_is_told(None, str),
  ):
    raise tf.errors.UnavailableError(None, None, 'a disk')


def with_servers(*servers):
  tasks = {'chief': ('me:1',), 'ps': servers}
  return cluster_config.ClusterConfig(tasks, 'chief', 0)


def test_a_server_that_does_not_listen_any_more():
  gone = nobody()
  with listening() as here:
    servers = peers.Servers(with_servers(here, gone), str)
    assert [servers.ask(now) for now in (100, 109, 110)] == [[], [], ['ps-1']]


def test_a_server_that_comes_back():
  address = nobody()
  servers = peers.Servers(with_servers(address), str)
  assert not servers.ask(100)
  with listening(int(address.split(':')[1])):
    assert not servers.ask(109)
  # Silent for nine seconds only.
  assert not servers.ask(111) and not servers.ask(120)


def test_only_servers_are_asked():
  servers = peers.Servers(cluster('me:1', nobody()), str)
  assert not servers.ask(100) and not servers.ask(200)
  assert not peers.Servers(None, str).ask(100)


def test_a_lost_server_ends_the_process_while_the_main_thread_waits():
  done = subprocess.run(
    [sys.executable, '-c', _WAITING.format(nobody())],
    capture_output=True,
    text=True,
    check=False,
    timeout=600,
  )
  assert done.returncode == 138, done.stderr
  last = done.stderr.splitlines()[-1]
  assert last == 'Error: ps-0 was lost (silent). Go on from here.'


_WAITING = """
import threading
from official_repro.core import cluster_config, peers

peers._ASK_SECONDS = peers._SILENT_SECONDS = 0.05
tasks = {{'chief': ('me:1',), 'ps': ('{}',)}}
config = cluster_config.ClusterConfig(tasks, 'chief', 0)
with peers.Servers(config, lambda: 'Go on from here.'):
  threading.Event().wait()
"""
