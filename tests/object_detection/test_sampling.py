import numpy as np
import pytest
import tensorflow as tf

from object_detection import sampling, targets
from official_repro.data import order
from tests.conftest import golden


def draw(indicator, positive, size=8, fraction=0.5, seed=(1, 2)):
  return sampling.balanced_sample(
    np.array(indicator), np.array(positive), size, fraction, seed
  ).numpy()


@pytest.mark.parametrize('name', ['200pos', 'fewer_than_batch'])
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_golden_counts(name, seed):
  case = golden('sampler')[name]
  given = case['inputs']
  indicator, labels = (np.array(given[k]) for k in ('indicator', 'labels'))
  found = draw(
    indicator,
    labels,
    given['batch_size'],
    given.get('positive_fraction', 0.5),
    (seed, 7),
  )
  assert not np.any(found & ~indicator)
  assert {
    'sampled': found.sum(),
    'positives': (found & labels).sum(),
    'negatives': (found & ~labels).sum(),
  }.items() >= case['expected'].items()


def counts(positives, negatives, size, fraction):
  labels = np.arange(positives + negatives) < positives
  found = draw(np.ones_like(labels), labels, size, fraction)
  return int((found & labels).sum()), int((found & ~labels).sum())


def test_counts_by_hand():
  # The paper's 64 and 256, the reference's 256 and 64.
  assert counts(500, 5000, 64, 0.5) == (32, 32)
  assert counts(500, 5000, 256, 0.25) == (64, 192)
  assert counts(3, 5000, 256, 0.5) == (3, 253)
  assert counts(0, 5000, 64, 0.25) == (0, 64)
  # Negatives fill up, positives do not.
  assert counts(100, 5, 64, 0.25) == (16, 5)
  assert counts(7, 0, 64, 0.5) == (7, 0)
  # int(7 * 0.5) = 3.
  assert counts(9, 9, 7, 0.5) == (3, 4)
  assert counts(9, 9, 7, 0.0) == (0, 7)
  assert counts(9, 9, 7, 1.0) == (7, 0)


def test_everything_is_drawn_alike():
  # 6 of 12 negatives, 2 of 4 positives, 800 times: 400 draws of each expected,
  # standard deviation sqrt(800 / 4) = 14.
  labels = np.arange(16) < 4
  seeds = np.stack([np.arange(800), np.full(800, 3)], 1)
  found = sampling.balanced_sample(
    np.ones((800, 16), bool), np.tile(labels, (800, 1)), 8, 0.25, seeds
  )
  np.testing.assert_array_equal(np.sum(found, 1), 8)
  assert np.all(np.abs(np.sum(found, 0) - 400) < 5 * 14)


def test_a_seed_fixes_the_draw_and_another_changes_it():
  labels = np.arange(300) < 50
  every = np.ones(300, bool)
  first = draw(every, labels, 64)
  np.testing.assert_array_equal(first, draw(every, labels, 64))
  assert np.any(first != draw(every, labels, 64, seed=(1, 3)))


def test_an_image_is_sampled_alike_in_every_batch():
  rng = np.random.default_rng(0)
  indicator, labels = rng.random((4, 200)) < 0.7, rng.random((4, 200)) < 0.2
  seeds = order.augment_seeds(5, tf.range(4, dtype=tf.int64))
  together = sampling.balanced_sample(indicator, labels, 32, 0.5, seeds)
  for i in (2, 0):
    alone = sampling.balanced_sample(
      indicator[i : i + 1], labels[i : i + 1], 32, 0.5, seeds[i : i + 1]
    )
    np.testing.assert_array_equal(together[i], alone[0])
    alone = sampling.balanced_sample(indicator[i], labels[i], 32, 0.5, seeds[i])
    np.testing.assert_array_equal(together[i], alone)


def test_in_a_graph_of_unknown_sizes():
  rng = np.random.default_rng(1)
  indicator, labels = rng.random((3, 90)) < 0.8, rng.random((3, 90)) < 0.3
  seeds = np.array([[1, 2], [3, 4], [5, 6]], np.int64)
  graph = tf.function(
    lambda a, b, s: sampling.balanced_sample(a, b, 16, 0.25, s),
    input_signature=[
      tf.TensorSpec([None, None], tf.bool),
      tf.TensorSpec([None, None], tf.bool),
      tf.TensorSpec([None, 2], tf.int64),
    ],
  )
  np.testing.assert_array_equal(
    graph(indicator, labels, seeds),
    sampling.balanced_sample(indicator, labels, 16, 0.25, seeds),
  )


@pytest.mark.parametrize('size,fraction', [(0, 0.5), (8, 1.1), (8, -0.1)])
def test_bad_numbers(size, fraction):
  with pytest.raises(ValueError, match=f'got {size} and {fraction}'):
    draw([True], [True], size, fraction)


def test_compact_by_hand():
  mask = np.array([[0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
  values = np.arange(1, 13, dtype='f4').reshape(3, 4)
  pairs = np.stack([values, -values], -1)
  (found, both), count = sampling.compact(mask, 3, values, pairs)
  # The fourth of the last row drops out.
  expected = [[2, 4, 0], [0, 0, 0], [9, 10, 11]]
  np.testing.assert_array_equal(found, expected)
  np.testing.assert_array_equal(both[..., 1], -np.array(expected))
  np.testing.assert_array_equal(count, [2, 0, 3])
  (found,), count = sampling.compact(mask, 6, values)
  np.testing.assert_array_equal(found[2], [9, 10, 11, 12, 0, 0])
  np.testing.assert_array_equal(count, [2, 0, 4])


def test_sampled_proposals_keep_their_targets():
  # Proposal i has the coordinates i + 1; the first five are objects.
  number = np.arange(1, 41, dtype='f4')
  boxes = np.tile(number[:, None], (2, 1, 4))
  classes = np.where(number <= 5, number, 0).astype('i4')[None].repeat(2, 0)
  codes, weights = boxes * 10, (classes > 0).astype('f4')
  given = targets.ClassifierTargets(classes, codes, weights)
  found = sampling.sample_proposals(
    boxes, [40, 9], given, 16, 0.25, [[1, 1], [2, 2]]
  )
  assert found.boxes.shape == (2, 16, 4)
  # int(0.25 * 16) = 4 of the 5 objects; the second image has only 9 proposals.
  np.testing.assert_array_equal(found.count, [16, 4 + 4])
  np.testing.assert_array_equal(np.sum(found.targets.weights, 1), [4, 4])
  for i, count in enumerate(found.count):
    places = found.boxes[i, :count, 0].numpy()
    assert np.all(np.diff(places) > 0)  # In the order of the proposals.
    assert not np.any(found.boxes[i, count:])
    assert not np.any(found.targets.codes[i, count:])
    np.testing.assert_array_equal(
      found.targets.codes[i, :count, 2], places * 10
    )
    np.testing.assert_array_equal(
      found.targets.classes[i, :count], np.where(places <= 5, places, 0)
    )
