"""Beam's runner on this machine: own worker processes, this machine only.

Beam's FnApiRunner is used by name, as the default "DirectRunner" may fetch a
program from the net.
"""

import contextlib
import logging
import os
import shlex
import sys
import threading
from collections.abc import Iterator
from typing import Optional

import grpc


def runner(processes: int = 1, stop_file: Optional[str] = None):
  """Returns a FnApiRunner.

  Args:
    processes: 1 works in this process, as starting a worker takes seconds.
    stop_file: worker processes end when it appears.
  """
  from apache_beam.runners.portability import fn_api_runner
  from apache_beam.transforms import environments

  if processes <= 1:
    return fn_api_runner.FnApiRunner()
  _listen_on_loopback_only()
  command = [sys.executable, '-m', 'official_repro.data.engine.worker']
  command += [stop_file or os.devnull + '.none', str(os.getpid())]
  local = fn_api_runner.FnApiRunner(
    default_environment=environments.SubprocessSDKEnvironment(
      # exec: the worker's parent is this process, not a shell.
      command_string='exec ' + shlex.join(command)
    )
  )
  return local


@contextlib.contextmanager
def quiet() -> Iterator[None]:
  """Silences Beam's log: whoever runs a pipeline reports its errors."""
  level, hook = logging.root.manager.disable, threading.excepthook
  logging.disable(logging.CRITICAL)
  # Beam's threads raise when the worker that they listen to is ended.
  threading.excepthook = lambda args: None
  try:
    yield
  finally:
    logging.disable(level)
    threading.excepthook = hook


class _LoopbackGrpc:
  """The module grpc with servers that listen on 127.0.0.1 only."""

  def __getattr__(self, name):
    return getattr(grpc, name)

  def server(self, *args, **kwargs):
    """grpc.server whose add_insecure_port keeps to this machine."""
    server = grpc.server(*args, **kwargs)
    add = server.add_insecure_port
    server.add_insecure_port = lambda address: add(
      address.replace('[::]', '127.0.0.1')
    )
    return server


def _listen_on_loopback_only():
  from apache_beam.runners.portability import local_job_service
  from apache_beam.runners.portability.fn_api_runner import worker_handlers

  # Beam's servers take pickled code without a password, on all interfaces.
  for module in (worker_handlers, local_job_service):
    module.grpc = _LoopbackGrpc()
