"""Holds a folder against a second process; no TensorFlow."""

import contextlib
import fcntl
import os


@contextlib.contextmanager
def held(folder: str, flag: str, holder: str):
  """Makes a folder and holds it.

  The lock is the kernel's (flock): a killed process leaves none behind.

  Args:
    folder: its path.
    flag: that named it, for messages.
    holder: what works in it, for messages: run, study.

  Raises:
    ValueError: the folder cannot be written, or another process holds it.
  """
  path = os.path.join(folder, '.lock')
  try:
    os.makedirs(folder, exist_ok=True)
    file = open(path, 'a+', encoding='utf-8')  # noqa: SIM115
  except OSError as e:
    raise ValueError(
      f'Folder {flag} {folder!r} cannot be written ({e.strerror}); choose one '
      'that can.'
    ) from e
  with file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
      file.seek(0)
      raise ValueError(
        f'Folder {flag} {folder!r} is in use by another {holder} (process '
        f'{file.read().strip() or "unknown"}); wait for it, or choose another.'
      ) from e
    file.seek(0)
    file.truncate()
    file.write(str(os.getpid()))
    file.flush()
    yield
