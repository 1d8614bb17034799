"""A training that gets SIGTERM, as from a scheduler, after a certain step.

python -m tests.stopped STEP --FLAG=VALUE ...
"""

import os
import runpy
import signal
import sys
from unittest import mock

from official_repro.core import observers


class Progress(observers.Progress):
  """Called after each step."""

  stop_at = 0

  def __call__(self):
    super().__call__()
    if int(self._trainer.global_step.numpy()) == self.stop_at:
      os.kill(os.getpid(), signal.SIGTERM)


def main():
  module = 'official_repro.train'
  Progress.stop_at = int(sys.argv[1])
  sys.argv = [module, *sys.argv[2:]]
  with mock.patch.object(observers, 'Progress', Progress):
    runpy.run_module(module, run_name='__main__', alter_sys=True)


if __name__ == '__main__':
  main()
