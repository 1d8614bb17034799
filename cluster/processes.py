"""Tasks of a cluster as processes of this machine: addresses, start, end."""

import codecs
import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Optional

from cluster import child
from official_repro.core import flags as core_flags

HOST = '127.0.0.1'
# Below those that Linux gives to outgoing connections (from 32768 on), one of
# which could else take a port while TensorFlow still loads.
_PORTS = range(10_000, 32_000)
# Codes that are no signal, though they look like one.
_MEANINGS = {core_flags.LOST_PEER: 'lost a task of the cluster'}


def free_addresses(count: int) -> list:
  """Returns ['127.0.0.1:PORT', ...], all different, where nothing listens.

  Raises:
    OSError: there are not so many.
  """
  found = list(itertools.islice(_free_ports(), count))
  if len(found) < count:
    raise OSError(f'No {count} free ports from {_PORTS.start} on.')
  return [f'{HOST}:{port}' for port in found]


def _free_ports():
  # Of the system: a seed that a test has set would give all the same ports.
  for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
    with socket.socket() as s:
      try:
        s.bind((HOST, port))
      except OSError:
        continue
    yield port


def start(
  words: Sequence[str], log: str, environ: Mapping[str, str]
) -> subprocess.Popen:
  """Starts a binary, which on Linux is killed when this process dies.

  Linux means the thread that starts it: it has to live as long as the task.

  Args:
    words: [module, '--flag=value', ...].
    log: file to which stdout and stderr are appended.
    environ: its whole environment.

  Raises:
    OSError: the log cannot be written.
  """
  shim = [sys.executable, '-I', '-S', child.__file__, str(os.getpid())]
  with open(log, 'ab') as f:
    return subprocess.Popen(
      [*shim, sys.executable, '-m', *words],
      stdin=subprocess.DEVNULL,
      stdout=f,
      stderr=subprocess.STDOUT,
      env=environ,
      # Ctrl-C reaches the parent alone, which then decides.
      start_new_session=True,
    )


def end(processes: Iterable[subprocess.Popen]) -> None:
  """Kills processes and what they started, and waits until they are gone."""
  processes = list(processes)
  for process in processes:
    if process.poll() is None:
      # Of its group only while it lives: the number may come again.
      os.killpg(process.pid, signal.SIGKILL)
  for process in processes:
    process.wait()


def exit_code(process: subprocess.Popen) -> Optional[int]:
  """Returns the exit code, 128 + n for signal n; None while it runs."""
  code = process.poll()
  return 128 - code if code is not None and code < 0 else code


def describe(code: int) -> str:
  """Returns an exit code in words, such as 'exit code 137, SIGKILL'."""
  meaning = _MEANINGS.get(code)
  if meaning is None and code > 128:
    with contextlib.suppress(ValueError):  # no signal of this system
      meaning = signal.Signals(code - 128).name
  return f'exit code {code}' + (f', {meaning}' if meaning else '')


class Follower:
  """Shows on stdout what is appended to a file."""

  def __init__(self, path: str):
    self._path, self._offset = path, 0
    self._decode = codecs.getincrementaldecoder('utf-8')('replace').decode

  def __call__(self) -> None:
    """Shows what is new."""
    with open(self._path, 'rb') as f:
      f.seek(self._offset)
      new = f.read()
    if new:
      self._offset += len(new)
      sys.stdout.write(self._decode(new))
      sys.stdout.flush()
