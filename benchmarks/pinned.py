"""Runs a module on one core: worker K of TF_CONFIG on core K.

  python -m benchmarks.pinned official_repro.train --FLAG=VALUE ...

A lone process gets that of the environment variable PINNED_CORE, else 0. The
chief and the parameter servers are left to the scheduler.
"""

import json
import os
import runpy
import sys


def main():
  """Pins this process, then runs the module named first."""
  task = json.loads(os.environ.get('TF_CONFIG') or '{}').get('task')
  lone = {'type': 'worker', 'index': int(os.environ.get('PINNED_CORE', 0))}
  task = task or lone
  if task['type'] == 'worker':
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[task['index'] % len(cores)]})
  module, *sys.argv[1:] = sys.argv[1:]
  runpy.run_module(module, run_name='__main__', alter_sys=True)


if __name__ == '__main__':
  main()
