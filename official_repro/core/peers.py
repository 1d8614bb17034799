"""The other tasks of a cluster: have they come, were they lost?"""

import contextlib
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Mapping
from concurrent import futures
from typing import Optional

import tensorflow as tf

from official_repro.core import flags as core_flags
from official_repro.core.cluster_config import ClusterConfig

_POLL_SECONDS = 0.5
_TELL_SECONDS = 10
_CONNECT_SECONDS = 2
_ASK_SECONDS = 2
# A server that has not listened for so long is gone.
_SILENT_SECONDS = 10
# Tasks asked at the same time: a machine that is off takes all of the time.
_AT_ONCE = 32
_TASK = re.compile(r'/job:(\w+)/replica:\d+/task:(\d+)')

# What steps and transfers raise when a process on the other side is gone.
LOST = (
  tf.errors.UnavailableError,
  tf.errors.AbortedError,
  tf.errors.DeadlineExceededError,
  tf.errors.CancelledError,
)


def missing(addresses: Mapping[str, str]) -> list[str]:
  """Returns the names of tasks that do not listen.

  Args:
    addresses: {name: 'host:port'}.
  """
  with futures.ThreadPoolExecutor(_AT_ONCE) as pool:
    found = list(pool.map(_listens, addresses.values()))
  return [name for name, here in zip(addresses, found) if not here]


def _listens(address):
  host, _, port = address.rpartition(':')
  try:
    with socket.create_connection(
      (host.strip('[]'), int(port)), _CONNECT_SECONDS
    ):
      return True
  except OSError:
    return False


def wait_for_all(config: Optional[ClusterConfig], seconds: float) -> None:
  """Waits until all other tasks have come; says every ten seconds who has not.

  To be called before a strategy is made, which waits, too, but inside
  TensorFlow: for an hour, deaf to signals, and no thread of Python runs
  meanwhile. As tasks that train in step listen from that call on only, this
  one listens itself until then.

  Args:
    config: the cluster; None where there is none.
    seconds: how long to wait.

  Raises:
    flags.LostPeerError: some did not come in time.
    ValueError: this task cannot listen at its own port.
  """
  if config is None or not config.others():
    return
  start = told = time.monotonic()
  left = config.others()
  with _listening(config) as server:
    while True:
      _hang_up(server)
      # Who has come once is not asked again: that is for the training to find.
      left = {name: left[name] for name in missing(left)}
      if not left:
        return
      now = time.monotonic()
      names = ', '.join(f'{name} ({address})' for name, address in left.items())
      if now - start > seconds:
        raise core_flags.LostPeerError(
          f'{names} did not come within {seconds:g} s '
          '(runtime.cluster_timeout); look whether the task runs and listens '
          'at that address, then start again.'
        )
      if now - told > _TELL_SECONDS:
        told = now
        print(f'Waiting for {names}', file=sys.stderr, flush=True)
      time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def _listening(config):
  """Listens at this task's port on every interface, as TensorFlow will."""
  port = int(config.address.rpartition(':')[2])
  both = socket.has_dualstack_ipv6()
  try:
    server = socket.create_server(
      ('', port),
      family=socket.AF_INET6 if both else socket.AF_INET,
      backlog=len(config.others()),
      dualstack_ipv6=both,
    )
  except OSError as e:
    raise ValueError(
      f'{config.source} gives {config.name} the address {config.address}, but '
      f'it cannot listen at port {port}: {os.strerror(e.errno)}; end what '
      'listens there, or give the task another port.'
    ) from e
  with server:
    server.setblocking(False)
    yield server


def _hang_up(server):
  """Ends the calls of the others, which would fill the queue."""
  with contextlib.suppress(OSError):
    while True:
      server.accept()[0].close()


class Servers:
  """Asks parameter servers whether they still listen; a context manager.

  A call that needs a lost server fails most of the time, but may as well wait
  for ever: TensorFlow tries to reach it again and again, or takes a worker for
  the lost task and waits until that comes back. The main thread may be in such
  a call, so another one asks, and ends the process (exit code 138).

  Args:
    config: the cluster; None where there is none.
    where: as of `lost_is_told`.
  """

  def __init__(self, config: Optional[ClusterConfig], where):
    others = config.others() if config else {}
    self._addresses = {n: a for n, a in others.items() if n.startswith('ps-')}
    self._where = where
    self._silent_since: dict[str, float] = {}
    self._end = threading.Event()
    self._thread = threading.Thread(target=self._run, daemon=True)

  def __enter__(self):
    if self._addresses:
      self._thread.start()
    return self

  def __exit__(self, *_):
    self._end.set()

  def _run(self):
    while not self._end.wait(_ASK_SECONDS):
      gone = self.ask(time.monotonic())
      if gone and not self._end.is_set():
        core_flags.tell_lost_peer(
          f'{", ".join(gone)} was lost (silent). {self._where()}'
        )

  def ask(self, now: float) -> list[str]:
    """Returns the names of those that have not listened for ten seconds.

    Args:
      now: monotonic seconds.
    """
    before = self._silent_since
    self._silent_since = {
      name: before.get(name, now) for name in missing(self._addresses)
    }
    return [
      name
      for name, since in self._silent_since.items()
      if now - since >= _SILENT_SECONDS
    ]


@contextlib.contextmanager
def lost_is_told(config: Optional[ClusterConfig], where):
  """Turns the errors of a lost task into one sentence.

  Args:
    config: the cluster; None where there is none.
    where: called then; returns what to say of the state, such as the step and
      the checkpoint to go on from.

  Raises:
    flags.LostPeerError: a step failed because another task is gone.
  """
  try:
    yield
  except (*LOST, tf.errors.InternalError) as e:
    others = config.others() if config else {}
    if not others:
      raise
    gone = missing(others) or _named(e, config)
    # What a barrier raises, but bugs, too.
    if isinstance(e, tf.errors.InternalError) and not gone:
      raise
    names = ', '.join(gone) or 'A task of the cluster'
    raise core_flags.LostPeerError(
      f'{names} was lost ({type(e).__name__}). {where()}'
    ) from e


def _named(error, config):
  """Names of other tasks that the error itself tells of."""
  found = {f'{kind}-{i}' for kind, i in _TASK.findall(str(error))}
  return sorted(found & set(config.others()))
