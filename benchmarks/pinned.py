"""Runs a module on one core: worker K of TF_CONFIG on core K, a lone one on 0.

  python -m benchmarks.pinned official_repro.train --FLAG=VALUE ...

The chief and the parameter servers are left to the scheduler.
"""

import json
import os
import runpy
import sys


def main():
  """Pins this process, then runs the module named first."""
  task = json.loads(os.environ.get('TF_CONFIG') or '{}').get('task')
  task = task or {'type': 'worker', 'index': 0}
  if task['type'] == 'worker':
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[task['index'] % len(cores)]})
  module, *sys.argv[1:] = sys.argv[1:]
  runpy.run_module(module, run_name='__main__', alter_sys=True)


if __name__ == '__main__':
  main()
