"""Which picture goes to which shard, written down before the heavy work.

Items are dealt out in turn: item i of a split goes to its shard i modulo the
number of shards, so that sizes differ by at most one, neighbours of a sorted
source land in different shards, and the result does not depend on who does the
work. Each shard's items lie in a file of their own, which one worker reads;
memory holds 8 bytes an item and a bounded buffer.
"""

import collections
import hashlib
import json
import os
import pathlib
import pickle
from collections.abc import Iterator

from official_repro.data import sources, unique

PLAN = 'plan.json'
SHARD_IMAGES = 10_000
MIN_SHARDS = 8
_BUFFER_BYTES = 64 << 20


def default_shards(size: int) -> int:
  """Returns the number of shards of a split: 8, more above 80,000 images.

  A shard is what is done again after a stop, and what one worker does.
  """
  return max(MIN_SHARDS, -(-size // SHARD_IMAGES))


def make_plan(source: sources.Source, folder, num_shards=None) -> dict:
  """Deals the items of a source out to shards; writes one file a shard.

  Args:
    source: the pictures.
    folder: must exist; plan.json comes last.
    num_shards: per split; None: `default_shards`.

  Returns:
    {'shards': {split: number}, 'digest': hex digest of all items in order}.

  Raises:
    ValueError: a source id occurs twice in a split, or the source gives other
      items than it announced.
  """
  folder = pathlib.Path(folder)
  shards = {
    split: min(num_shards or default_shards(size), size)
    for split, size in source.sizes.items()
    if size
  }
  digest = hashlib.sha256()
  buffers, counts = _Buffers(folder), collections.Counter()
  hashes = {split: unique.Hashes() for split in shards}
  for item in source.items():
    digest.update(repr((item.split, item.source_id, item.payload)).encode())
    hashes[item.split].add(item.source_id)
    buffers.add(item, counts[item.split] % shards[item.split])
    counts[item.split] += 1
  buffers.flush()
  _check_counts(source, counts)
  _check_unique(source, hashes)
  plan = {'shards': shards, 'digest': digest.hexdigest()}
  temporary = folder / f'.{PLAN}.tmp'
  temporary.write_text(json.dumps(plan), encoding='utf-8')
  os.replace(temporary, folder / PLAN)
  return plan


def planned_items(folder, split: str, shard: int) -> Iterator[sources.Item]:
  """Yields the items of a shard."""
  with open(_items_path(pathlib.Path(folder), split, shard), 'rb') as f:
    while True:
      try:
        source_id, payload = pickle.load(f)
      except EOFError:
        return
      yield sources.Item(split, source_id, payload)


def _items_path(folder, split, shard):
  return folder / f'{split}-{shard:05d}.items'


class _Buffers:
  """Appends to many files without holding them open."""

  def __init__(self, folder):
    self._folder = folder
    self._parts = collections.defaultdict(list)
    self._bytes = 0

  def add(self, item, shard):
    data = pickle.dumps((item.source_id, item.payload), protocol=4)
    self._parts[item.split, shard].append(data)
    self._bytes += len(data)
    if self._bytes >= _BUFFER_BYTES:
      self.flush()

  def flush(self):
    for (split, shard), parts in self._parts.items():
      with open(_items_path(self._folder, split, shard), 'ab') as f:
        f.write(b''.join(parts))
    self._parts.clear()
    self._bytes = 0


def _check_counts(source, counts):
  for split, size in source.sizes.items():
    if counts[split] != size:
      raise ValueError(
        f'Source {source.name!r} announced {size:,} images in split {split!r} '
        f'and gave {counts[split]:,}: its files changed meanwhile; start again.'
      )


def _check_unique(source, hashes):
  for split, of_split in hashes.items():
    if not of_split.repeated():
      continue
    found = unique.first_duplicate(
      lambda split=split: (
        item.source_id for item in source.items() if item.split == split
      )
    )
    if found:
      first, second, source_id = found
      raise ValueError(
        f'Source id {source_id!r} occurs twice in split {split!r} (images '
        f'{first:,} and {second:,}); it must be unique.'
      )
