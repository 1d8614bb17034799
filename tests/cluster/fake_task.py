"""Stands in for a training binary: tells who it is, then follows its plan.

--plan={"worker-0": [["after:chief-0.0", "signal:9"], ["save"]]} lists, for each
task and each time that it is started, what it does. After that, and where the
plan has nothing for it, it sleeps.

  after:NAME  waits until the file NAME is in --folder
  ended:NAME  waits until the task NAME has started and ended, and who started
              it knows
  sleep:S     waits for S seconds
  touch:NAME  makes the file NAME in --folder
  say:TEXT    prints a line
  code:N      ends with this exit code
  signal:N    sends itself a signal
  stop        sends SIGTERM to who started it
  save        waits for SIGTERM, makes the file saved-TASK, ends with 143

Each start makes the file TASK.COUNT in --folder with what it was given.
"""

import contextlib
import json
import os
import pathlib
import signal
import sys
import time

NAMES = ('TF_CONFIG', 'TF_CPP_MIN_LOG_LEVEL', 'CUDA_VISIBLE_DEVICES')


def _begin(folder, name):
  """Returns how often the task was started before."""
  count = len(list(folder.glob(f'{name}.*')))
  given = {
    'pid': os.getpid(),
    'words': sys.argv[1:],
    'environ': {k: os.environ[k] for k in NAMES if k in os.environ},
  }
  part = folder / f'part-{name}'
  part.write_text(json.dumps(given))
  part.rename(folder / f'{name}.{count}')
  return count


def _wait_for_end(path):
  while not path.exists():
    time.sleep(0.01)
  pid = json.loads(path.read_text())['pid']
  with contextlib.suppress(ProcessLookupError):
    while True:
      os.kill(pid, 0)
      time.sleep(0.01)


def _save(folder, name):
  signal.sigwait([signal.SIGTERM])
  (folder / f'saved-{name}').touch()
  sys.exit(143)


def main():
  values = dict(word[2:].split('=', 1) for word in sys.argv[1:])
  folder = pathlib.Path(values['folder'])
  task = json.loads(os.environ['TF_CONFIG'])['task']
  name = f'{task["type"]}-{task["index"]}'
  steps = json.loads(values['plan']).get(name, [])
  if steps and 'save' in steps[0]:
    # Before anyone can know that it has started.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
  print(f'{name} started', flush=True)  # who has its file has its line, too
  count = _begin(folder, name)
  for step in steps[count] if count < len(steps) else []:
    what, _, value = step.partition(':')
    if what == 'after':
      while not (folder / value).exists():
        time.sleep(0.01)
    elif what == 'ended':
      _wait_for_end(folder / f'{value}.0')
    elif what == 'say':
      print(value, flush=True)
    elif what == 'sleep':
      time.sleep(float(value))
    elif what == 'touch':
      (folder / value).touch()
    elif what == 'stop':
      os.kill(os.getppid(), signal.SIGTERM)
    elif what == 'code':
      sys.exit(int(value))
    elif what == 'signal':
      os.kill(os.getpid(), int(value))
    else:
      _save(folder, name)
  time.sleep(3600)


if __name__ == '__main__':
  main()
