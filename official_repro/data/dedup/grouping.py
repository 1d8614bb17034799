"""Which pictures go: decisions from the confirmed pairs."""

import dataclasses

import numpy as np

from official_repro.data.dedup import hashes

# A confirmed pair of pictures; the fields of `banding.PAIR` and its score.
CONFIRMED = np.dtype(
  [
    ('first', '<i8'),
    ('second', '<i8'),
    ('view', 'u1'),
    ('distance', 'u1'),
    ('score', '<f4'),
  ]
)


@dataclasses.dataclass(frozen=True)
class Drop:
  """A picture that goes.

  Attributes:
    number: of the picture.
    like: number of the picture that it was compared with.
    kept: number of the picture that stays for it; it may be like that one only
      by way of others.
    pair: index of the pair that tells.
  """

  number: int
  like: int
  kept: int
  pair: int


def drops_against(pairs: np.ndarray, sides: int) -> list[Drop]:
  """Drops every picture that is a copy of one of the other side.

  Args:
    pairs: CONFIRMED [P], each with one picture on either side.
    sides: number that the other side begins with.

  Returns:
    One Drop per picture, by number, each with its surest pair: of whole
    pictures if there is one.
  """
  swap = pairs['first'] >= sides
  mine = np.where(swap, pairs['second'], pairs['first'])
  other = np.where(swap, pairs['first'], pairs['second'])
  order = np.lexsort((-pairs['score'], _cropped(pairs), mine))
  _, first = np.unique(mine[order], return_index=True)
  return [
    Drop(int(mine[i]), int(other[i]), int(other[i]), int(i))
    for i in order[first]
  ]


def drops_within(
  pairs: np.ndarray, pixels: np.ndarray, order: np.ndarray
) -> list[Drop]:
  """Keeps one picture of each group of copies and drops the others.

  Pictures that are copies of each other, directly or by way of others, are a
  group. Of each the largest stays; of equally large ones the one whose source
  id has the smallest hash. So neither the order of the records nor their
  sharding matters.

  Args:
    pairs: CONFIRMED [P].
    pixels: int [N], height times width of each picture.
    order: uint64 [N], hash of its source id.

  Returns:
    One Drop per picture, by number.
  """
  neighbours: dict = {}
  ids = order[pairs['first']] ^ order[pairs['second']]
  sorted_pairs = np.lexsort((ids, -pairs['score'], _cropped(pairs)))
  for i in sorted_pairs.tolist():
    a, b = int(pairs['first'][i]), int(pairs['second'][i])
    neighbours.setdefault(a, []).append((b, i))
    neighbours.setdefault(b, []).append((a, i))
  rank = lambda n: (-int(pixels[n]), int(order[n]), n)
  drops, seen = [], set()
  # The best of a group comes first and sees to all of it.
  for kept in sorted(neighbours, key=rank):
    if kept in seen:
      continue
    seen.add(kept)
    drops += _walk(kept, neighbours, seen)
  return sorted(drops, key=lambda d: d.number)


def _cropped(pairs):
  # A crop may be found to be the whole, so whole pictures tell more.
  return pairs['view'] % hashes.MIRROR != hashes.WHOLE


def _walk(kept, neighbours, seen):
  """Yields the Drops of a group, those nearest to `kept` first."""
  edge = [kept]
  while edge:
    found = []
    for at in edge:
      for number, pair in neighbours[at]:
        if number not in seen:
          seen.add(number)
          found.append(number)
          yield Drop(number, at, kept, pair)
    edge = found
