"""Candidates: pairs of hashes a few bits apart, without comparing all.

The 64 bits are cut into 7 blocks. Each choice of k of the blocks is a band,
and hashes that agree in a whole band meet under its key. Hashes that differ in
at most 7 - k bits leave k blocks untouched (pigeonhole), so they always meet;
at 6 and 8 bits most do.

Where very many hashes share a key (blank pictures, say), each is compared with
those nearest to it in the order (hash, colour) only, so that work stays in
proportion to the number of hashes. Then the guarantee holds no more under that
key; equal hashes of equal colour still form an unbroken chain.

Rows go through Beam in blocks of bytes, grouped by band and range of keys, and
NumPy finds the keys within a group: a Python object per key would cost a
hundred times as much.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from official_repro.data.dedup import hashes

BLOCKS = 7
# 2 of 7 blocks are 18 bits: up to here that is a handful of rows a key.
_ROWS_FOR_TWO = 1 << 22
# Rows that a worker should get at once: 15 MB.
ROWS_OF_GROUP = 1 << 19
# A row is compared with so many others under one key.
CROWD = 256
# As many neighbours of a picture become candidates: more tell nothing new.
NEAREST = 16
_COMPARISONS_AT_ONCE = 1 << 21

# One hash. `number` is the picture, `view` as in `hashes`, `order` 64 bits of
# its source id, which no sharding changes, `colour` see `colour_code`; `side`
# is 0, or 1 for the pictures that are compared against.
ROW = np.dtype(
  [
    ('hash', '<u8'),
    ('number', '<i8'),
    ('order', '<u8'),
    ('colour', '<u4'),
    ('view', 'u1'),
    ('side', 'u1'),
  ]
)
# The picture `second` as a whole is like `view` of the picture `first`.
PAIR = np.dtype(
  [('first', '<i8'), ('second', '<i8'), ('view', 'u1'), ('distance', 'u1')]
)


@dataclasses.dataclass(frozen=True)
class Plan:
  """How hashes are compared.

  Attributes:
    radius: most bits by which a candidate differs.
    against: pictures of side 0 are compared with those of side 1; else those
      of side 0 with each other.
    blocks: k, of a band.
    groups: ranges of keys of a band.
    sides: number that the pictures of side 1 begin with.
  """

  radius: int
  against: bool
  blocks: int = 2
  groups: int = 1
  sides: int = 0

  @property
  def guarantee(self) -> int:
    """Hashes at most so many bits apart always meet, but in a crowd."""
    return min(BLOCKS - self.blocks, self.radius)


def make_plan(rows: int, radius: int, against: bool, sides: int = 0) -> Plan:
  """Returns the Plan for a number of rows: longer keys for more of them."""
  blocks = 2 if rows <= _ROWS_FOR_TWO else 3
  return Plan(radius, against, blocks, -(-rows // ROWS_OF_GROUP) or 1, sides)


def colour_code(mean) -> int:
  """Packs a mean colour (R, G, B from 0 to 255) so that like ones are near."""
  r, g, b = (int(c) for c in mean)
  coarse = (r >> 3) << 10 | (g >> 3) << 5 | b >> 3
  return coarse << 9 | (r & 7) << 6 | (g & 7) << 3 | b & 7


def bands(blocks: int) -> list:
  """Returns the choices of `blocks` of the blocks, as tuples of numbers."""
  return list(itertools.combinations(range(BLOCKS), blocks))


def keys(values: np.ndarray, band: tuple) -> tuple[np.ndarray, int]:
  """Returns the bits of hashes in a band.

  Args:
    values: uint64 [N].
    band: numbers of the blocks.

  Returns:
    uint64 [N], and how many bits they have.
  """
  result, width = np.zeros_like(values), 0
  for block in band:
    start = block * hashes.BITS // BLOCKS
    bits = (block + 1) * hashes.BITS // BLOCKS - start
    part = (values >> np.uint64(start)) & np.uint64((1 << bits) - 1)
    result = result << np.uint64(bits) | part
    width += bits
  return result, width


def split_rows(rows: np.ndarray, plan: Plan) -> Iterator[tuple]:
  """Yields ((band, group), bytes of the rows with such keys)."""
  for i, band in enumerate(bands(plan.blocks)):
    if plan.groups == 1:
      yield (i, 0), rows.tobytes()
      continue
    key, width = keys(rows['hash'], band)
    group = (key * np.uint64(plan.groups)) >> np.uint64(width)
    order = np.argsort(group, kind='stable')
    found, first = np.unique(group[order], return_index=True)
    for g, part in zip(found, np.split(order, first[1:])):
      yield (i, int(g)), rows[part].tobytes()


def match_group(element, plan: Plan) -> Iterator[tuple]:
  """Yields (range of pictures, bytes of PAIRs) for one group of one band.

  Args:
    element: ((band, group), the bytes that `split_rows` gave for it).
    plan: as for `split_rows`.
  """
  (band, _), parts = element
  rows = from_bytes(parts, ROW)
  band = bands(plan.blocks)[band]
  if plan.against:
    mine, others = rows[rows['side'] == 0], rows[rows['side'] == 1]
    whole = mine['view'] == hashes.WHOLE
    upright = others['view'] % hashes.MIRROR == hashes.WHOLE
    found = [
      match(mine[whole], others, band, plan),
      match(mine[~whole], others[upright], band, plan),
    ]
  else:
    table = rows[rows['view'] == hashes.WHOLE]
    found = [match(rows, table, band, plan)]
  pairs = best_pairs(np.concatenate(found))
  owner = _owner(pairs, plan) // ROWS_OF_GROUP
  for part in np.unique(owner):
    yield int(part), pairs[owner == part].tobytes()


def match(queries, table, band, plan: Plan) -> np.ndarray:
  """Compares hashes that share a key.

  Args:
    queries: ROW [Q]. Each finds at most `NEAREST` others.
    table: ROW [T].
    band: numbers of the blocks of the key.
    plan: the radius counts, and what is compared.

  Returns:
    PAIR [P], some of them twice.
  """
  if not len(queries) or not len(table):
    return np.empty(0, PAIR)
  table_keys, _ = keys(table['hash'], band)
  order = _sorted(table, table_keys)
  table, table_keys = table[order], table_keys[order]
  query_keys, _ = keys(queries['hash'], band)
  low = np.searchsorted(table_keys, query_keys, 'left')
  high = np.searchsorted(table_keys, query_keys, 'right')
  crowded = high - low > CROWD
  if crowded.any():
    place = _places(table, table_keys, queries, query_keys)
    start = np.clip(place - CROWD // 2, low, np.maximum(high - CROWD, low))
    low = np.where(crowded, start, low)
    high = np.where(crowded, start + CROWD, high)
  return np.concatenate(
    [
      _compare(queries[part], table, low[part], high[part], plan)
      for part in _portions(high - low)
    ]
  )


def best_pairs(pairs: np.ndarray) -> np.ndarray:
  """Returns each pair once, at its least distance.

  Per pair up to four stay: upright or mirrored, whole or cropped.
  """
  kind = pairs['view'] // hashes.MIRROR * 2
  kind = kind + (pairs['view'] % hashes.MIRROR != hashes.WHOLE)
  names = (pairs['second'], pairs['first'])
  order = np.lexsort((pairs['view'], pairs['distance'], kind, *names))
  pairs, kind = pairs[order], kind[order]
  new = np.ones(len(pairs), bool)
  new[1:] = kind[1:] != kind[:-1]
  for name in ('first', 'second'):
    new[1:] |= pairs[name][1:] != pairs[name][:-1]
  return pairs[new]


def merge(parts: Iterable[bytes]) -> np.ndarray:
  """Returns the best pairs of those that `match_group` gave for a range."""
  return best_pairs(from_bytes(parts, PAIR))


def from_bytes(parts: Iterable[bytes], dtype: np.dtype) -> np.ndarray:
  """Joins arrays that came as bytes."""
  return np.frombuffer(b''.join(parts), dtype)


def _owner(pairs, plan):
  """The picture by which pairs are brought together."""
  if not plan.against:
    return np.minimum(pairs['first'], pairs['second'])
  mine = pairs['first'] < plan.sides
  return np.where(mine, pairs['first'], pairs['second'])


def _sorted(rows, row_keys):
  names = (rows['order'], rows['colour'], rows['hash'])
  return np.lexsort((*names, row_keys))


def _places(table, table_keys, queries, query_keys):
  """Where in the sorted table each query would stand, int [Q]."""
  both = np.concatenate([queries, table])
  order = _sorted(both, np.concatenate([query_keys, table_keys]))
  before = np.cumsum(order >= len(queries))
  result = np.empty(len(both), np.int64)
  result[order] = before
  return result[: len(queries)]


def _portions(sizes):
  """Yields slices of rows whose sizes sum to what memory easily holds."""
  total = np.cumsum(sizes)
  cuts = np.arange(_COMPARISONS_AT_ONCE, total[-1], _COMPARISONS_AT_ONCE)
  starts = np.unique([0, *np.searchsorted(total, cuts), len(sizes)])
  for start, end in zip(starts[:-1], starts[1:]):
    yield slice(start, end)


def _compare(queries, table, low, high, plan):
  """Compares query i with the table's rows low[i] to high[i]."""
  count = high - low
  q = np.repeat(np.arange(len(queries)), count)
  t = np.arange(len(q)) - np.repeat(np.cumsum(count) - count, count)
  t += np.repeat(low, count)
  bits = hashes.distance(queries['hash'][q], table['hash'][t])
  near = (bits <= plan.radius) & (queries['number'][q] != table['number'][t])
  q, t, bits = q[near], t[near], bits[near]
  chosen = _nearest(q, bits, queries['colour'][q], table[t])
  return _pairs(queries[q[chosen]], table[t[chosen]], bits[chosen], plan)


def _nearest(q, bits, colour, found):
  """Indices of the `NEAREST` of each query: by bits, colour, source id."""
  apart = np.abs(colour.astype(np.int64) - found['colour'])
  order = np.lexsort((found['order'], apart, bits, q))
  first = np.searchsorted(q[order], q[order], 'left')
  return order[np.arange(len(order)) - first < NEAREST]


def _pairs(queries, table, bits, plan):
  pairs = np.empty(len(queries), PAIR)
  view = queries['view']
  first, second = queries['number'], table['number']
  if plan.against:
    # One of the two is whole, but both may be there: crop and mirror image.
    theirs = table['view'] % hashes.MIRROR != hashes.WHOLE
    mirrored = table['view'] >= hashes.MIRROR
    theirs |= mirrored & (view == hashes.WHOLE)
    view = np.where(theirs, table['view'], view + mirrored * hashes.MIRROR)
    first, second = np.where(theirs, (second, first), (first, second))
  # Of whole pictures it does not matter which is the first.
  swap = (view % hashes.MIRROR == hashes.WHOLE) & (first > second)
  pairs['first'] = np.where(swap, second, first)
  pairs['second'] = np.where(swap, first, second)
  pairs['view'], pairs['distance'] = view, bits
  return pairs
