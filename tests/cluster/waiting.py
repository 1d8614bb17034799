"""Waiting for what a real training writes."""

import glob
import os
import re
import time

# Only against waiting for ever: long enough for a slow machine with other work.
SECONDS = 600


def until(condition, seconds=SECONDS, what='it'):
  """Waits until condition() is true; returns its value."""
  end = time.monotonic() + seconds
  while time.monotonic() < end:
    value = condition()
    if value:
      return value
    time.sleep(0.05)
  raise AssertionError(f'{what} did not come in {seconds} s')


def checkpoint(model_dir, above=0, seconds=SECONDS):
  """Waits for a checkpoint of a later step than `above`; returns its step."""

  def newest():
    paths = glob.glob(os.path.join(model_dir, 'ckpt-*.index'))
    steps = [int(re.search(r'(\d+)\.index', p)[1]) for p in paths]
    return max([s for s in steps if s > above], default=None)

  return until(newest, seconds, f'a checkpoint above {above}')


def words(cluster, kind, index, text, seconds=SECONDS):
  """Waits until a task's log has `text`."""
  what = f'{text!r} in the log of {kind}-{index}'
  until(lambda: text in cluster.output(kind, index), seconds, what)
