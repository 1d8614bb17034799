"""Counts of labels and bytes that can be made shard by shard and added."""

import collections
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from official_repro.data.hierarchy import Hierarchy

_COUNTERS = (
  'given',
  'added',
  'filled',
  'given_per_image',
  'filled_per_image',
)


class LabelStats:
  """Label and size counts of one split or of a part of it; they can be added.

  Attributes:
    records: pictures.
    damaged: records that could not be read; not among `records`.
    encoded_bytes: size of the stored pictures.
    source_bytes: size of the files they came from, None when not known.
    redundant: given labels that are ancestors of another given label of the
      same picture, None when not known.
    given: Counter {category: pictures that were given it}.
    added: Counter {category: pictures to which the fill-in added it}.
    filled: Counter {category: pictures that have it in the end}.
    given_per_image: Counter {number of given labels: pictures}.
    filled_per_image: Counter {number of labels in the end: pictures}.
  """

  def __init__(self, hierarchy: Optional[Hierarchy] = None):
    """Starts at zero.

    Args:
      hierarchy: tells ancestors; without it `add` cannot count `redundant`.
    """
    self._hierarchy = hierarchy
    self.records = self.damaged = self.encoded_bytes = 0
    self.source_bytes: Optional[int] = 0
    self.redundant: Optional[int] = 0
    for name in _COUNTERS:
      setattr(self, name, collections.Counter())

  def add(
    self,
    given_ids: Iterable[int],
    filled_ids: Iterable[int],
    *,
    encoded_bytes: int,
    source_bytes: Optional[int] = None,
  ) -> None:
    """Counts one picture; a label listed twice counts once.

    Args:
      given_ids: category ids before the fill-in.
      filled_ids: category ids after it.
      encoded_bytes: size of the stored picture.
      source_bytes: size of the file it came from, if known.

    Raises:
      ValueError: a given id outside the label space.
    """
    given, filled = set(given_ids), set(filled_ids)
    self.records += 1
    self.encoded_bytes += encoded_bytes
    self.source_bytes = _plus(self.source_bytes, source_bytes)
    self.redundant = _plus(self.redundant, self._redundant(given))
    self.given.update(given)
    self.filled.update(filled)
    self.added.update(filled - given)
    self.given_per_image[len(given)] += 1
    self.filled_per_image[len(filled)] += 1

  def merge(self, other: 'LabelStats') -> 'LabelStats':
    """Adds the counts of `other` to these and returns these."""
    self.records += other.records
    self.damaged += other.damaged
    self.encoded_bytes += other.encoded_bytes
    self.source_bytes = _plus(self.source_bytes, other.source_bytes)
    self.redundant = _plus(self.redundant, other.redundant)
    for name in _COUNTERS:
      getattr(self, name).update(getattr(other, name))
    return self

  def to_json(self) -> dict:
    """Returns what JSON takes, the same for the same counts.

    A counter is [keys ascending, counts]: smaller than an object, and JSON
    would turn integer keys into text.
    """
    counters = {
      name: [list(c) for c in zip(*sorted(getattr(self, name).items()))]
      for name in _COUNTERS
    }
    return {
      'records': self.records,
      'damaged': self.damaged,
      'encoded_bytes': self.encoded_bytes,
      'source_bytes': self.source_bytes,
      'redundant': self.redundant,
      **counters,
    }

  @classmethod
  def from_json(
    cls, value: Mapping[str, Any], hierarchy: Optional[Hierarchy] = None
  ) -> 'LabelStats':
    """Returns the counts that `to_json` gave.

    Raises:
      ValueError: `value` is something else.
    """
    stats = cls(hierarchy)
    try:
      for name in ('records', 'damaged', 'encoded_bytes'):
        setattr(stats, name, int(value[name]))
      for name in ('source_bytes', 'redundant'):
        number = value[name]
        setattr(stats, name, None if number is None else int(number))
      for name in _COUNTERS:
        keys, counts = value[name] or ((), ())
        counter = getattr(stats, name)
        for key, count in zip(keys, counts):
          counter[int(key)] = int(count)
    except (KeyError, TypeError, ValueError) as e:
      raise ValueError(
        f'These are no label counts ({type(e).__name__}: {e}): count again.'
      ) from e
    return stats

  def _redundant(self, given):
    if len(given) < 2:
      return 0
    if self._hierarchy is None:
      return None
    above = set().union(*map(self._hierarchy.ancestors, given))
    return len(given & above)


def _plus(a, b):
  """Adds two numbers of which None, not known, may be one."""
  return None if a is None or b is None else a + b
