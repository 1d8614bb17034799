import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing import test_pipeline, util

from benchmarks import dedup
from official_repro.data import engine
from official_repro.data.dedup import banding, hashes, pipeline


def rows_of(values, views=None, sides=None, colours=None):
  rows = np.zeros(len(values), banding.ROW)
  rows['hash'] = values
  rows['number'] = np.arange(len(values))
  rows['order'] = np.arange(len(values))[::-1]
  for name, given in (('view', views), ('side', sides), ('colour', colours)):
    if given is not None:
      rows[name] = given
  return rows


def found(rows, plan):
  return {(a, b, v, d) for a, b, v, d in dedup.search(rows, plan).tolist()}


def linked(rows, plan):
  return {(a, b) for a, b, *_ in found(rows, plan)}


def test_blocks_are_all_the_bits_once():
  everything = np.array([2**64 - 1], np.uint64)
  widths = [banding.keys(everything, (b,))[1] for b in range(banding.BLOCKS)]
  assert sum(widths) == 64
  assert len(banding.bands(2)) == 21
  assert len(banding.bands(3)) == 35
  for band in banding.bands(2):
    key, width = banding.keys(everything, band)
    assert int(key[0]) == 2**width - 1
    assert 18 <= width <= 20


@pytest.mark.parametrize('blocks', [2, 3])
def test_pairs_within_the_guarantee_always_meet(blocks):
  plan = banding.Plan(radius=10, against=False, blocks=blocks)
  assert plan.guarantee == 7 - blocks
  rng = np.random.default_rng(0)
  originals = rng.integers(0, 2**64, 300, np.uint64)
  # The worst case: each changed bit in another block.
  copies = originals.copy()
  for i in range(len(copies)):
    for block in rng.permutation(7)[: plan.guarantee]:
      start, end = block * 64 // 7, (block + 1) * 64 // 7
      copies[i] ^= np.uint64(1 << int(rng.integers(start, end)))
  rows = rows_of(np.concatenate([originals, copies]))
  expected = {(i, i + 300) for i in range(300)}
  assert linked(rows, plan) >= expected
  # One more bit in one more block, and none can meet: it is no accident.
  for i in range(len(copies)):
    for block in range(7):
      mask = ((1 << ((block + 1) * 64 // 7 - block * 64 // 7)) - 1) << (
        block * 64 // 7
      )
      same = not (int(copies[i]) ^ int(originals[i])) & mask
      if same:
        copies[i] ^= np.uint64(1 << (block * 64 // 7))
        break
  rows = rows_of(np.concatenate([originals, copies]))
  assert not linked(rows, plan) & expected


def test_candidates_are_within_the_radius():
  plan = banding.Plan(radius=3, against=False)
  rows = rows_of([0, 0b111, 0b1111, 0b1])
  # 0 and 1 are 3 apart, 1 and 2 one, 0 and 3 one, 1 and 3 two, 2 and 3 three;
  # 0 and 2 are four apart.
  assert found(rows, plan) == {
    (0, 1, 0, 3),
    (1, 2, 0, 1),
    (0, 3, 0, 1),
    (1, 3, 0, 2),
    (2, 3, 0, 3),
  }


def test_views_are_compared_with_whole_pictures_only():
  crop, mirror = 3, hashes.MIRROR
  rows = rows_of([0, 0, 0, 0], views=[0, crop, crop, mirror])
  plan = banding.Plan(radius=0, against=False)
  # The views of 1, 2 and 3 are like picture 0, and tell nothing of each other.
  assert found(rows, plan) == {
    (1, 0, crop, 0),
    (2, 0, crop, 0),
    (0, 3, mirror, 0),
  }


def test_against_compares_the_two_sides_only():
  crop, mirror = 3, hashes.MIRROR
  plan = banding.Plan(radius=0, against=True, sides=2)
  assert found(rows_of([5, 5, 5, 5], sides=[0, 0, 1, 1]), plan) == {
    (0, 2, 0, 0),
    (0, 3, 0, 0),
    (1, 2, 0, 0),
    (1, 3, 0, 0),
  }
  sides = [0, 0, 1]
  views = lambda *views: rows_of([5, 9, 5], views=views, sides=sides)
  # A picture is a crop of an evaluation image, its mirror image, or both ...
  assert found(views(0, 0, crop), plan) == {(2, 0, crop, 0)}
  assert found(views(0, 0, mirror), plan) == {(0, 2, mirror, 0)}
  assert found(views(0, 0, crop + mirror), plan) == {(2, 0, crop + mirror, 0)}
  # ... or the evaluation image is a crop of it, or that mirrored.
  assert found(views(crop, 0, 0), plan) == {(0, 2, crop, 0)}
  assert found(views(crop, 0, mirror), plan) == {(0, 2, crop + mirror, 0)}
  # Two crops tell nothing.
  assert found(views(crop, 0, crop), plan) == set()


def test_a_crowd_costs_in_proportion_and_stays_linked():
  count = 4 * banding.CROWD
  rows = rows_of([1 << 63] * count, colours=[77] * count)
  pairs = dedup.search(rows, banding.make_plan(count, 10, against=False))
  assert len(pairs) <= banding.NEAREST * count
  # One group: from any picture, lists of neighbours lead to all others.
  group = np.arange(count)
  for _ in range(count):
    low = np.minimum(group[pairs['first']], group[pairs['second']])
    before = group.copy()
    np.minimum.at(group, pairs['first'], low)
    np.minimum.at(group, pairs['second'], low)
    if (group == before).all():
      break
  assert (group == 0).all()


def test_every_picture_of_a_crowd_meets_an_evaluation_image():
  sides = [0] * 1000 + [1] * 1000
  rows = rows_of([1 << 63] * 2000, sides=sides, colours=[77] * 2000)
  plan = banding.make_plan(2000, 10, against=True, sides=1000)
  pairs = dedup.search(rows, plan)
  assert set(pairs['first'].tolist()) == set(range(1000))
  assert (pairs['second'] >= 1000).all()


def test_in_a_crowd_the_like_coloured_are_neighbours():
  # 400 flat pictures of as many colours, and a copy of each.
  rng = np.random.default_rng(0)
  colours = rng.choice(2**24, 400, replace=False)
  rows = rows_of([1 << 63] * 800, colours=[*colours, *colours])
  links = linked(rows, banding.make_plan(800, 10, against=False))
  assert links >= {(i, i + 400) for i in range(400)}


def test_groups_of_keys_change_nothing():
  rows, planted = dedup.synthetic_rows(3000)
  whole = found(rows, banding.Plan(10, against=False))
  assert found(rows, banding.Plan(10, against=False, groups=5)) == whole
  assert linked(rows, banding.Plan(10, False)) >= set(
    map(tuple, planted.tolist())
  )


@pytest.mark.parametrize(
  ('against', 'sides'), [(False, None), (True, [0] * 1500 + [1] * 1500)]
)
def test_neither_order_nor_numbers_matter(against, sides):
  rows, _ = dedup.synthetic_rows(3000)
  rows['hash'][:700] &= np.uint64(0xFF)  # a crowd too
  rows['view'] = np.arange(3000) % 3
  if sides:
    rows['side'] = sides
  orders = dict(zip(rows['number'], rows['order']))
  plan = banding.Plan(10, against=against, sides=1500)
  ids = lambda pairs, names: {
    (*sorted((names[a], names[b])), d) for a, b, _, d in pairs
  }
  expected = ids(found(rows, plan), orders)
  rng = np.random.default_rng(1)
  # New numbers within each side, as from another sharding.
  moved = np.concatenate([rng.permutation(1500), 1500 + rng.permutation(1500)])
  again = rows.copy()
  again['number'] = moved[rows['number']]
  again = again[rng.permutation(3000)]
  orders = dict(zip(again['number'], again['order']))
  assert ids(found(again, plan), orders) == expected


def test_a_pair_is_there_once_at_its_least_distance():
  pairs = np.array(
    [(1, 2, 3, 6), (1, 2, 5, 4), (1, 2, 0, 8), (1, 2, 0, 8), (2, 1, 3, 9)],
    banding.PAIR,
  )
  assert sorted(banding.best_pairs(pairs).tolist()) == [
    (1, 2, 0, 8),
    (1, 2, 5, 4),
    (2, 1, 3, 9),
  ]


def test_the_beam_transform():
  rows, planted = dedup.synthetic_rows(2000)
  plan = banding.make_plan(2000, 10, against=False)
  blocks = [rows[:700].tobytes(), rows[700:].tobytes()]
  expected = sorted(dedup.search(rows, plan).tolist())
  assert {(a, b) for a, b, *_ in expected} >= set(map(tuple, planted.tolist()))
  with test_pipeline.TestPipeline(runner=engine.local_runner()) as p:
    pairs = pipeline.candidates(p | beam.Create(blocks), plan) | beam.FlatMap(
      lambda x: banding.from_bytes([x[1]], banding.PAIR).tolist()
    )
    util.assert_that(pairs, util.equal_to(expected))


def test_longer_keys_for_more_hashes():
  assert banding.make_plan(1000, 10, False).blocks == 2
  assert banding.make_plan(10**8, 10, False).blocks == 3
  assert banding.make_plan(0, 10, False).groups == 1
  assert banding.make_plan(10**8, 10, False).groups == 191  # 2^19 rows each
  assert banding.make_plan(1000, 3, False).guarantee == 3


def test_like_colours_have_near_codes():
  white, cream = (255, 255, 255), (255, 255, 248)
  assert banding.colour_code(white) == 2**24 - 1
  assert abs(banding.colour_code(white) - banding.colour_code(cream)) < 8
  assert banding.colour_code((0, 0, 0)) == 0
