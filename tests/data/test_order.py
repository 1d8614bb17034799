import collections

import numpy as np
import pytest
import tensorflow as tf

from official_repro.data import order

# Uneven, with an empty shard; 37 records.
SIZES = (9, 3, 0, 9, 8, 8)


def walk(seed, count, sizes=SIZES, shuffle_group=12):
  """(shard, index in shard) of positions 0..count-1."""
  plan = order.TrainingOrder(sizes, shuffle_group, seed)
  places = []
  ordinal = 0
  while len(places) < count:
    group = plan.group(ordinal)
    assert int(group.first) == len(places)
    listed = [(s, i) for s in group.shards.numpy() for i in range(sizes[s])]
    assert int(group.size) == len(listed)
    places += [listed[i] for i in plan.record_order(group).numpy()]
    ordinal += 1
  return places[:count]


def test_hash_is_splitmix64():
  # The first outputs of the published generator, seeded with 0.
  assert order.fold(0, tf.range(3)).numpy().tolist() == [
    0xE220A8397B1DCDAF,
    0x6E789E6AA1B965F4,
    0x06C45D188009454F,
  ]


def test_hash_takes_any_python_int():
  assert int(order.fold(-1, 5)) == int(order.fold(2**64 - 1, 5))


def test_permutation_is_pure_complete_and_the_same_in_a_graph():
  eager = order.permutation(3, 1000).numpy()
  in_map = next(
    iter(tf.data.Dataset.range(3, 4).map(lambda k: order.permutation(k, 1000)))
  )
  np.testing.assert_array_equal(eager, in_map)
  assert sorted(eager) == list(range(1000))
  # A random permutation has one fixed point on average.
  assert (eager == np.arange(1000)).sum() < 10
  assert order.permutation(3, 0).shape == (0,)


def test_permutations_are_uniform():
  counts = collections.Counter(
    tuple(order.permutation(order.fold(7, i), 3).numpy()) for i in range(600)
  )
  # 6 orders, 100 each; chi-square with 5 degrees of freedom, p = 0.001.
  assert sum((counts[c] - 100) ** 2 / 100 for c in counts) < 20.5
  assert len(counts) == 6


@pytest.mark.parametrize('shuffle_group', [1, 12, 20, 10_000])
def test_each_record_once_per_epoch(shuffle_group):
  n = sum(SIZES)
  places = walk(0, 4 * n, shuffle_group=shuffle_group)
  everything = [(s, i) for s, size in enumerate(SIZES) for i in range(size)]
  epochs = [places[e * n : (e + 1) * n] for e in range(4)]
  for epoch in epochs:
    assert sorted(epoch) == everything
  assert len({tuple(epoch) for epoch in epochs}) == 4


def test_seeds_differ():
  assert walk(0, 37) != walk(1, 37)
  assert walk(0, 37) == walk(0, 37)


def test_neighbours_in_a_shard_are_spread_over_their_group():
  places = walk(0, 64, sizes=(16, 16, 16, 16), shuffle_group=32)
  for begin in (0, 32):
    group = places[begin : begin + 32]
    assert len({shard for shard, _ in group}) == 2
    # Were the shards shuffled one after the other, this would be 1.
    assert sum(a[0] != b[0] for a, b in zip(group, group[1:])) > 8


def test_a_group_holds_at_least_what_was_asked_for():
  plan = order.TrainingOrder((10, 10, 9, 9), 19, 0)
  assert plan.shards_per_group == 3  # two of 9 would be too few
  assert plan.groups_per_epoch == 2


@pytest.mark.parametrize('shuffle_group', [1, 12, 10_000])
def test_group_at_finds_the_group_of_every_position(shuffle_group):
  plan = order.TrainingOrder(SIZES, shuffle_group, 5)
  for position in range(2 * sum(SIZES) + 1):
    group = plan.group(plan.group_at(position))
    assert int(group.first) <= position < int(group.first + group.size)


def test_far_positions_stay_exact():
  plan = order.TrainingOrder((1000,) * 8, 2000, 5)
  position = 3 * 10**15 + 7
  group = plan.group(plan.group_at(position))
  assert int(group.epoch) == position // 8000
  assert int(group.first) <= position < int(group.first + group.size)


def test_holes_take_the_next_sound_record_of_the_order():
  sound = [True, False, True, False, True]
  # In order: 3 (hole) -> 0; 0; 1 (hole) -> 4; 4; 2.
  assert order.fill_holes(sound, [3, 0, 1, 4, 2]).numpy().tolist() == (
    [0, 0, 4, 4, 2]
  )
  # The last slot wraps round to the first sound one.
  assert order.fill_holes(sound, [0, 2, 4, 1, 3]).numpy().tolist() == (
    [0, 2, 4, 0, 0]
  )


def test_uniform_draws():
  draws = order.uniform(tf.range(20_000, dtype=tf.int64), 3).numpy()
  assert draws.shape == (20_000, 3) and draws.dtype == np.float32
  assert draws.min() >= 0 and draws.max() < 1
  # Means 0.5 +- 0.002, cells of 1/8 2500 +- 47, no correlation (+- 0.007).
  assert np.abs(draws.mean(0) - 0.5).max() < 0.01
  for column in draws.T:
    cells = np.histogram(column, 8, (0, 1))[0]
    assert np.abs(cells - 2500).max() < 235
  assert np.abs(np.corrcoef(draws.T) - np.eye(3)).max() < 0.035
  assert abs(np.corrcoef(draws[1:, 0], draws[:-1, 0])[0, 1]) < 0.035
  np.testing.assert_array_equal(order.uniform(7, 3), draws[7])


def test_augment_seeds_differ_between_positions_and_seeds():
  positions = tf.range(1000, dtype=tf.int64)
  seeds = order.augment_seeds(0, positions)
  assert seeds.shape == (1000, 2) and seeds.dtype == tf.int64
  assert len(set(map(tuple, seeds.numpy()))) == 1000
  np.testing.assert_array_equal(order.augment_seeds(0, positions[7]), seeds[7])
  assert (order.augment_seeds(1, positions) != seeds).numpy().all()


@pytest.mark.parametrize(
  'sizes, group, words', [((), 8, 'at least one'), ((3,), 0, 'got 0')]
)
def test_bad_arguments(sizes, group, words):
  with pytest.raises(ValueError, match=words):
    order.TrainingOrder(sizes, group, 0)
