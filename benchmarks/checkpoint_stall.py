"""How long checkpoints hold the training up, as a share of its time.

  python -m benchmarks.checkpoint_stall [--steps=300 --interval=50]

mini_jft at batch 64 in this process, through the runner. The time inside
CheckpointManager.save is what the loop waits for; the writing itself goes on in
the background beside the next steps. `foreground` is the same with the writing
inside save. The first two saves of a run make copies of the variables and build
graphs; what they take, once, is `once_seconds` and not part of the share.

goal: under 1% of the time between the first step and the last.

Prints one JSON line; times are wall seconds.
"""

import argparse
import contextlib
import pathlib
import statistics
import sys
import tempfile
import time

from benchmarks import machine


def measure(data, run, steps, interval, background):
  """Trains; returns (seconds of each save, when each ended).

  Args:
    data: folder of mini_jft.
    run: model_dir.
    steps: optimizer steps.
    interval: steps between checkpoints.
    background: whether checkpoints are written beside the training.
  """
  from official_repro import experiments, task
  from official_repro.core import checkpoint_files, config, flags, runner

  saves, ends = [], []
  original = checkpoint_files.Manager.save

  def save(self, *args, options=None, **kwargs):
    start = time.perf_counter()
    path = original(
      self, *args, options=options if background else None, **kwargs
    )
    if path:
      end = time.perf_counter()
      saves.append(end - start)
      ends.append(end)
    return path

  resolved = config.resolve(
    experiments.mini_jft(),
    flag_values={
      'task.train_data.data_dir': str(data),
      'task.validation_data.data_dir': str(data),
      'trainer.train_steps': steps,
      'trainer.steps_per_loop': 10,
      'trainer.checkpoint_interval': interval,
      'trainer.sample_pictures': 0,
    },
  )
  checkpoint_files.Manager.save = save
  try:
    with contextlib.redirect_stdout(sys.stderr):
      runner.run(
        flags.RunOptions(resolved, 'mini_jft', 'train', str(run)),
        task.ClassificationTask,
      )
  finally:
    checkpoint_files.Manager.save = original
  return saves, ends


def main():
  """Prints the JSON line."""
  from benchmarks import two_processes

  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--steps', type=int, default=300)
  parser.add_argument('--interval', type=int, default=50)
  options = parser.parse_args()
  machine.prepare()
  out = {'benchmark': 'checkpoint_stall', **vars(options)}
  with tempfile.TemporaryDirectory() as folder:
    data = pathlib.Path(folder) / 'data'
    two_processes.make_data(data)
    for side in ('foreground', 'background'):
      saves, ends = measure(
        data,
        pathlib.Path(folder) / side,
        options.steps,
        options.interval,
        side == 'background',
      )
      out[side] = {
        'once_seconds': round(sum(saves[:2]), 2),
        'median_save_ms': round(1000 * statistics.median(saves[2:]), 1),
        'share': round(sum(saves[2:]) / (ends[-1] - ends[1]), 4),
      }
  out['goal'] = 'background.share < 0.01'
  out['met'] = out['background']['share'] < 0.01
  machine.print_line(out)


if __name__ == '__main__':
  main()
