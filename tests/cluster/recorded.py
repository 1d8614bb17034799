"""Trains as a task of a cluster; writes down the records of its steps.

python -m tests.cluster.recorded --FLAG=VALUE ... FOLDER

The lines are in FOLDER/TASK.jsonl, see tests.recording. A step has those of its
own share of the global batch.
"""

import json
import os
import pathlib
import runpy
import sys


def main():
  from tests import recording
  from tests.conftest import optimize_graphs

  optimize_graphs(False)
  *words, folder = sys.argv[1:]
  task = json.loads(os.environ['TF_CONFIG'])['task']
  pathlib.Path(folder).mkdir(exist_ok=True)
  module = 'official_repro.train'
  sys.argv = [module, *words]
  path = os.path.join(folder, f'{task["type"]}-{task["index"]}.jsonl')
  with recording.to(path):
    runpy.run_module(module, run_name='__main__', alter_sys=True)


if __name__ == '__main__':
  main()
