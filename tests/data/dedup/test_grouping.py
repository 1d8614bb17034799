import numpy as np
import pytest

from official_repro.data.dedup import grouping


def pairs_of(*rows):
  """From (first, second, score)."""
  return np.array([(a, b, 0, 2, s) for a, b, s in rows], grouping.CONFIRMED)


def facts(*pixels, order=None):
  order = range(len(pixels)) if order is None else order
  return np.array(pixels), np.array(list(order), np.uint64)


def within(pairs, pixels, order):
  found = grouping.drops_within(pairs, pixels, order)
  return {d.number: (d.like, d.kept) for d in found}


def test_the_largest_stays_then_the_smallest_hash():
  pairs = pairs_of((0, 1, 0.9), (1, 2, 0.9), (0, 2, 0.9))
  assert set(within(pairs, *facts(10, 30, 20))) == {0, 2}
  assert set(within(pairs, *facts(10, 10, 10))) == {1, 2}
  assert set(within(pairs, *facts(10, 10, 10, order=[7, 9, 3]))) == {0, 1}


def test_groups_by_way_of_others():
  # 3 - 1 - 0 - 2 and 4 - 5; 6 is in no pair.
  pairs = pairs_of((1, 3, 0.9), (0, 1, 0.9), (0, 2, 0.95), (4, 5, 0.9))
  assert within(pairs, *facts(5, 5, 5, 9, 1, 2, 1)) == {
    1: (3, 3),
    0: (1, 3),
    2: (0, 3),
    4: (5, 5),
  }


def test_the_pair_is_the_one_compared_with():
  pairs = pairs_of((0, 1, 0.9), (1, 2, 0.8))
  drops = grouping.drops_within(pairs, *facts(9, 5, 1))
  assert [(d.number, d.like, d.pair) for d in drops] == [(1, 0, 0), (2, 1, 1)]


def test_against_drops_with_the_surest_pair():
  pairs = pairs_of((0, 12, 0.9), (11, 0, 0.95), (3, 12, 0.9), (10, 4, 0.88))
  drops = grouping.drops_against(pairs, sides=10)
  assert [(d.number, d.like, d.kept, d.pair) for d in drops] == [
    (0, 11, 11, 1),
    (3, 12, 12, 2),
    (4, 10, 10, 3),
  ]


def test_whole_pictures_tell_more_than_crops():
  pairs = pairs_of((0, 11, 0.99), (0, 12, 0.9))
  pairs['view'][0] = 3
  (drop,) = grouping.drops_against(pairs, sides=10)
  assert (drop.like, drop.pair) == (12, 1)
  pairs = pairs_of((0, 1, 0.99), (0, 1, 0.9))
  pairs['view'][0] = 3
  (drop,) = grouping.drops_within(pairs, *facts(9, 5))
  assert drop.pair == 1


@pytest.mark.parametrize('seed', range(5))
def test_numbers_do_not_matter(seed):
  rng = np.random.default_rng(seed)
  count = 60
  ends = rng.integers(0, count, (50, 2))
  ends = ends[ends[:, 0] != ends[:, 1]]
  scores = rng.uniform(0.85, 1, len(ends))
  pixels, order = rng.integers(1, 4, count), rng.permutation(count)
  moved = rng.permutation(count)
  pairs = pairs_of(*((a, b, s) for (a, b), s in zip(ends, scores)))
  again = pairs.copy()
  again['first'], again['second'] = (
    moved[pairs['second']],
    moved[pairs['first']],
  )
  again = again[rng.permutation(len(again))]
  new_pixels, new_order = np.empty_like(pixels), np.empty(count, np.uint64)
  new_pixels[moved], new_order[moved] = pixels, order
  expected = within(pairs, pixels, order.astype(np.uint64))
  assert expected
  assert within(again, new_pixels, new_order) == {
    moved[n]: (moved[like], moved[kept]) for n, (like, kept) in expected.items()
  }


def test_no_pairs():
  none = np.empty(0, grouping.CONFIRMED)
  assert grouping.drops_against(none, 3) == []
  assert within(none, *facts()) == {}
