import contextlib
import socket
import time

import pytest
import tensorflow as tf

from official_repro.core import cluster_config, flags, peers


@contextlib.contextmanager
def listening():
  with socket.create_server(('127.0.0.1', 0)) as server:
    yield f'127.0.0.1:{server.getsockname()[1]}'


def nobody():
  with listening() as address:
    return address


def cluster(*workers, index=0):
  return cluster_config.ClusterConfig({'worker': workers}, 'worker', index)


class ExitError(Exception):
  """In place of the end of the process."""


@pytest.fixture
def exits(monkeypatch):
  codes = []

  def leave(code):
    codes.append(code)
    raise SystemExit  # ends the thread

  monkeypatch.setattr(peers.os, '_exit', leave)
  return codes


def test_who_listens():
  with listening() as address:
    found = peers.missing({'ps-0': address, 'ps-1': nobody()})
  assert found == ['ps-1']


def test_a_worker_that_never_comes_is_named(exits, capsys):
  with listening() as here:
    gone = nobody()
    with peers.awaited(cluster('me:1', here, gone), seconds=0.1):
      end = time.monotonic() + 20
      while not exits and time.monotonic() < end:
        time.sleep(0.05)
  assert exits == [138]
  told = capsys.readouterr().err
  assert told.startswith(f'Error: worker-2 ({gone}) did not come within 0.1 s')


def test_all_are_there(exits, capsys):
  with listening() as here, peers.awaited(cluster('me:1', here), seconds=0.1):
    time.sleep(1.2)
  assert exits == []
  assert capsys.readouterr().err == ''


def test_without_a_cluster():
  with peers.awaited(None, 0), peers.lost_is_told(None, lambda: ''):
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
