"""Which checkpoint of a run to go on from, and the writing of new ones."""

import glob
import os
import re
import shutil
import sys
from typing import Optional

import tensorflow as tf

from official_repro.core import checkpoints

_NAME = re.compile(r'ckpt-(\d+)\.index$')


def newest_whole(model_dir: str) -> Optional[str]:
  """Returns the newest checkpoint of a run that can be read to its end.

  A write that was cut short (a kill, a full disk) leaves either files under
  temporary names, which are not looked at, or, after a crash of the machine, a
  file without its end; that one is passed over with a line on stderr.

  Args:
    model_dir: the run's folder.

  Returns:
    Its prefix, None where there is none at all.

  Raises:
    ValueError: there are some, but none can be read.
  """
  found = _prefixes(model_dir)
  for prefix in found:
    damage = what_is_damaged(prefix)
    if damage is None:
      return prefix
    print(
      f'Warning: checkpoint {prefix!r} is damaged ({damage}); the one before '
      'it is used.',
      file=sys.stderr,
      flush=True,
    )
  if found:
    raise ValueError(
      f'Folder --model_dir {model_dir!r} holds {len(found)} checkpoints, and '
      'none can be read; choose another folder, or bring one back.'
    )
  return None


def _prefixes(model_dir):
  """Those with an index, which is written last; the newest first."""
  steps = {}
  for path in glob.glob(os.path.join(glob.escape(model_dir), 'ckpt-*.index')):
    match = _NAME.search(path)
    if match:
      steps[path[: -len('.index')]] = int(match[1])
  return sorted(steps, key=steps.get, reverse=True)


def what_is_damaged(prefix: str) -> Optional[str]:
  """Reads a whole checkpoint, which compares checksums.

  Args:
    prefix: such as RUN/ckpt-100.

  Returns:
    What is wrong, in a few words; None where all is well.
  """
  try:
    reader = checkpoints.open_reader(prefix)
    for key in reader.get_variable_to_shape_map():
      checkpoints.read_tensor(reader, key, prefix)
  except ValueError as e:
    return ' '.join(str(e.__cause__ or e).split())
  return None


def remove_leftovers(model_dir: str) -> None:
  """Removes files of writes that were cut short; by the run with the lock."""
  pattern = os.path.join(glob.escape(model_dir), 'ckpt-*_temp')
  for path in glob.glob(pattern):
    shutil.rmtree(path)


class Manager(tf.train.CheckpointManager):
  """tf.train.CheckpointManager that starts from a checkpoint it is told.

  A write in the background that failed is told when the next one begins, or by
  `sync`; TensorFlow's own `sync` only waits.

  Args:
    resume: prefix to start from, in any folder; None: `init_fn` starts.
    checkpoint, directory, **options: as for tf.train.CheckpointManager.
  """

  def __init__(self, checkpoint, directory, *, resume, **options):
    super().__init__(checkpoint, directory, **options)
    self._resume = resume
    self._tracked = checkpoint

  def restore_or_initialize(self):
    """See base class."""
    if self._resume is None:
      return super().restore_or_initialize()
    self._tracked.restore(self._resume)
    # So that what was just loaded is not saved at once.
    self._last_checkpoint_step = int(self._step_counter.numpy())
    return self._resume

  def save(self, checkpoint_number=None, check_interval=True, options=None):
    """See base class.

    Raises:
      tf.errors.OpError: this write failed, or the one before it.
    """
    if self._is_due(check_interval):
      self.sync()
    return super().save(checkpoint_number, check_interval, options)

  def _is_due(self, check_interval):
    if self.checkpoint_interval is None or self._last_checkpoint_step is None:
      return True
    last, step = self._last_checkpoint_step, int(self._step_counter.numpy())
    return step != last and (
      not check_interval or step >= last + self.checkpoint_interval
    )

  def sync(self):
    """Waits for the write in the background.

    Raises:
      tf.errors.OpError: it failed, for example as the disk is full.
    """
    super().sync()
    writer = getattr(self._tracked, '_async_checkpointer_impl', None)
    if writer is not None and writer._async_error:
      error, writer._async_error = writer._async_error, None
      raise error
