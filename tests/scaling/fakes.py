"""A small study whose binaries are fakes; python -m tests.scaling.fakes ..."""

import copy
import json
import pathlib
import sys

from cluster import processes
from official_repro.scaling import running, runs, spec, state

CONTENT = {
  'name': 'tiny',
  'title': 'A tiny study',
  'paper': 'data_size',
  'generate': {
    'jft': {'source': 'mini_jft', 'num_images': 640},
    'coco': {'source': 'mini_coco'},
  },
  'pretrain': {'experiment': 'mini_jft', 'data': 'jft', 'epochs': 2},
  'axes': {'images': [64, 640], 'frozen': [False, True], 'seed': [0, 1]},
  'tasks': {
    'detection': {
      'experiment': 'mini_coco',
      'data': 'coco',
      'metric': 'AP50',
      'steps': 40,
    }
  },
}
# Of CONTENT: jft, a part of 64 for each seed, coco; 2 sizes x 2 seeds; twice as
# many.
DATA, PRETRAINING, TRANSFER = 4, 4, 8
_start = processes.start


def start(words, log, environ):
  """Starts the fake with the real words."""
  return _start(['tests.scaling.fake_binary', *words], log, environ)


def content(**changes):
  """Returns CONTENT with other values for some keys."""
  return {**copy.deepcopy(CONTENT), **changes}


def load(folder, **changes):
  """Writes a spec as a file and loads it."""
  path = pathlib.Path(folder, 'spec.yaml')
  path.write_text(json.dumps(content(**changes)))  # JSON is YAML
  return spec.load(str(path))


def plan(folder, **changes):
  """Returns {run id: Run} of a study in `folder`/out."""
  made = runs.plan(load(folder, **changes), str(pathlib.Path(folder, 'out')))
  return {run.run_id: run for run in made}


def study_state(folder, **changes):
  """Returns the State of a study in `folder`/out."""
  output = str(pathlib.Path(folder, 'out'))
  loaded = load(folder, **changes)
  return state.State(loaded, runs.plan(loaded, output), output)


def evaluated(run, step):
  """Leaves what a training that got to `step` leaves."""
  line = {'step': step, 'examples_seen': 4 * step, 'metrics': {'AP50': 0.5}}
  folder = pathlib.Path(run.folder)
  folder.mkdir(parents=True, exist_ok=True)
  (folder / 'checkpoint').write_text(f'ckpt-{step}')
  with open(folder / 'metrics.jsonl', 'a') as f:
    f.write(json.dumps(line) + '\n')


def starts(run):
  """How often a run was started."""
  path = pathlib.Path(run.output, 'starts')
  return len(path.read_text().splitlines()) if path.exists() else 0


def run(folder, options=None, **changes):
  """Runs a study in `folder`/out."""
  running.run(
    load(folder, **changes), str(pathlib.Path(folder, 'out')), options
  )


def _main():
  import runpy

  processes.start = start
  sys.argv[0] = 'study'
  try:
    runpy.run_module(
      'official_repro.study', run_name='__main__', alter_sys=True
    )
  finally:
    if 'tensorflow' in sys.modules:
      sys.exit('A study does without TensorFlow.')


if __name__ == '__main__':
  _main()
