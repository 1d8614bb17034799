"""The other tasks of a cluster: have they come, were they lost?"""

import contextlib
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Optional

import tensorflow as tf

from official_repro.core import flags as core_flags
from official_repro.core.cluster_config import ClusterConfig

_POLL_SECONDS = 0.5
_TELL_SECONDS = 10
_CONNECT_SECONDS = 2
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
  return [name for name, address in addresses.items() if not _listens(address)]


def _listens(address):
  host, _, port = address.rpartition(':')
  try:
    with socket.create_connection(
      (host.strip('[]'), int(port)), _CONNECT_SECONDS
    ):
      return True
  except OSError:
    return False


@contextlib.contextmanager
def awaited(config: Optional[ClusterConfig], seconds: float):
  """Within it, the process ends when not all other tasks come in time.

  Making a strategy waits inside TensorFlow for the whole cluster, for an hour
  or for ever; a thread watches from outside, says every ten seconds who is
  missing, and at the end of the time ends the process with exit code 138.

  Args:
    config: the cluster; None where there is none.
    seconds: how long to wait.
  """
  if config is None:
    yield
    return
  done = threading.Event()
  thread = threading.Thread(
    target=_watch, args=(config.others(), seconds, done), daemon=True
  )
  thread.start()
  try:
    yield
  finally:
    done.set()
    thread.join()


def _watch(addresses, seconds, done):
  start = told = time.monotonic()
  left = dict(addresses)
  while not done.wait(_POLL_SECONDS):
    # Who has come once is not asked again: that is for the training to find.
    left = {name: left[name] for name in missing(left)}
    if not left:
      return
    now = time.monotonic()
    names = ', '.join(f'{name} ({address})' for name, address in left.items())
    if now - start > seconds:
      print(
        f'Error: {names} did not come within {seconds:g} s '
        '(runtime.cluster_timeout); look whether the task runs and listens at '
        'that address, then start again.',
        file=sys.stderr,
        flush=True,
      )
      os._exit(core_flags.LOST_PEER)  # the main thread is inside TensorFlow
    if now - told > _TELL_SECONDS:
      told = now
      print(f'Waiting for {names}', file=sys.stderr, flush=True)


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
  except LOST as e:
    if config is None or len(config.others()) == 0:
      raise
    gone = missing(config.others()) or _named(e, config)
    names = ', '.join(gone) or 'A task of the cluster'
    raise core_flags.LostPeerError(
      f'{names} was lost ({type(e).__name__}). {where()}'
    ) from e


def _named(error, config):
  """Names of other tasks that the error itself tells of."""
  found = {f'{kind}-{i}' for kind, i in _TASK.findall(str(error))}
  return sorted(found & set(config.others()))
