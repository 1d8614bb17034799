"""Finds a repeated id among very many, with 8 bytes of memory for each."""

import array
import hashlib
from collections.abc import Iterator
from typing import Callable, Optional

import numpy as np

# Ids that are followed in the second pass; more repeated ones than these need
# not be known to report one.
_MAX_CANDIDATES = 1 << 16


class Hashes:
  """64-bit hashes of ids, collected while they pass by."""

  def __init__(self):
    self._values = array.array('Q')

  def add(self, name: str) -> None:
    """Keeps the hash of an id."""
    self._values.append(_hash(name))

  def repeated(self) -> set:
    """Returns hashes that occur twice, at most 65,536; empty: all differ."""
    return _repeated(self._values)


def first_duplicate(
  ids: Callable[[], Iterator[str]],
) -> Optional[tuple[int, int, str]]:
  """Returns where an id occurs for the second time.

  The first pass keeps a 64-bit hash of each id. Only if two hashes are equal
  is there a second pass, which compares the ids themselves, so that two ids
  with one hash are not taken for one.

  Args:
    ids: called once or twice; yields the same ids in the same order.

  Returns:
    (position of the first occurrence, position of the second, the id),
    positions from 0, of the first repetition; None when all ids differ. With
    more than 65,536 repeated ids it is the first of some of them.
  """
  hashes = array.array('Q')
  for name in ids():
    hashes.append(_hash(name))
  candidates = _repeated(hashes)
  if not candidates:
    return None
  del hashes
  seen = {}
  for position, name in enumerate(ids()):
    if _hash(name) not in candidates:
      continue
    if name in seen:
      return seen[name], position, name
    seen[name] = position
  return None


def _repeated(hashes):
  """Returns the set of values that occur twice; sorts `hashes` in place."""
  if not hashes:
    return set()
  values = np.frombuffer(hashes, np.uint64)
  values.sort()
  same = np.flatnonzero(values[1:] == values[:-1])[:_MAX_CANDIDATES]
  return set(values[same].tolist())


def _hash(name):
  # Names from the file system or JSON may hold lone surrogates.
  data = name.encode('utf-8', 'surrogatepass')
  return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), 'little')
