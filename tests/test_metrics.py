import pickle

import numpy as np
import pytest
import tensorflow as tf

from official_repro import metrics
from tests.conftest import golden


def _sparse(target):
  """[N, C] of 0 and 1 -> [N, C] ids padded with -1."""
  target = np.asarray(target)
  return np.where(target > 0, np.arange(target.shape[1]), -1)


def _plain(label_ids, scores, k, weights=None):
  """The definition, word by word, with sorting and loops."""
  num_images, num_classes = scores.shape
  ranked = [
    sorted(range(num_classes), key=lambda c: (-scores[i, c], c))[:k]
    for i in range(num_images)
  ]
  per_class = np.full(num_classes, np.nan)
  for c in range(num_classes):
    true = [i for i in range(num_images) if c in label_ids[i]]
    if not true:
      continue
    inside = [i for i in range(num_images) if c in ranked[i]]
    total = 0.0
    for i in set(true) & set(inside):
      # Images with the same score share the last of their ranks.
      above = [j for j in inside if scores[j, c] >= scores[i, c]]
      total += len(set(above) & set(true)) / len(above)
    per_class[c] = total / len(true)
  weights = np.ones(num_classes) if weights is None else np.asarray(weights)
  seen = ~np.isnan(per_class)
  return per_class, np.sum(weights[seen] * per_class[seen]) / weights[
    seen
  ].sum()


def _metric(label_ids, scores, k, batch=None, **kwargs):
  metric = metrics.MeanAveragePrecisionAtK(scores.shape[1], k, **kwargs)
  batch = batch or len(scores)
  for start in range(0, len(scores), batch):
    part = slice(start, start + batch)
    metric.update_state(label_ids[part], scores[part])
  return metric


def _random(seed, images=40, classes=11, slots=4, levels=6):
  rng = np.random.default_rng(seed)
  # Few levels: ties within images and within classes, and both zeros.
  scores = rng.integers(-levels, levels, (images, classes)) / levels
  scores = np.where(rng.random(scores.shape) < 0.1, -0.0, scores)
  ids = rng.integers(-1, classes - 1, (images, slots))
  return ids.astype(np.int32), scores.astype(np.float32)


def test_hand_computed():
  # Top 2 of each image: A {0, 1}, B {0, 2}, C {1, 2}, D {0, 1}.
  scores = np.float32(
    [[0.9, 0.8, 0.1], [0.7, 0.2, 0.6], [0.1, 0.5, 0.3], [0.8, 0.4, 0.2]]
  )
  ids = np.array([[0, 1], [0, -1], [0, -1], [1, 1]])
  metric = _metric(ids, scores, k=2)
  # Class 0, true A B C: ranked A(.9) yes, D(.8) no, B(.7) yes; C has it not in
  # its top 2 but counts below: (1/1 + 2/3) / 3. Class 1, true A D: ranked
  # A(.8) yes, C(.5) no, D(.4) yes: (1/1 + 2/3) / 2. Class 2: no true image.
  expected = [5 / 9, 5 / 6, np.nan]
  np.testing.assert_allclose(metric.per_class(), expected)
  np.testing.assert_allclose(metric.result(), (5 / 9 + 5 / 6) / 2)
  assert metric.name == 'map_at_2'
  weighted = _metric(ids, scores, k=2, class_weights=[3, 1, 100])
  np.testing.assert_allclose(weighted.result(), (3 * 5 / 9 + 5 / 6) / 4)


def test_golden_precision_recall():
  # One class, one image a score; num_gt counts true images beyond these, which
  # are added as images whose top 1 is the other class.
  case = golden('average_precision')['precision_recall']
  inputs = case['inputs']
  scores, labels = np.array(inputs['scores']), np.array(inputs['labels'])
  missed = inputs['num_gt'] - labels.sum()
  scores = np.concatenate([scores, np.full(missed, -1.0)])
  labels = np.concatenate([labels, np.ones(missed, int)])
  two = np.stack([scores, np.zeros_like(scores)], axis=1)
  metric = _metric(np.where(labels, 0, -1)[:, None], two, k=1)
  true = np.array(inputs['labels'])[np.argsort(-np.array(inputs['scores']))] > 0
  precision = np.array(case['expected']['precision'])
  expected = precision[true].sum() / inputs['num_gt']
  np.testing.assert_allclose(metric.result(), expected, atol=case['tol'])


@pytest.mark.parametrize('batch', [None, 1, 7])
def test_golden_sklearn_multilabel_with_ties(batch):
  case = golden('average_precision')['sklearn_multilabel']
  target = np.array(case['inputs']['targets'])
  scores = np.array(case['inputs']['scores'])
  metric = _metric(_sparse(target), scores, target.shape[1], batch)
  expected = case['expected']
  np.testing.assert_allclose(
    metric.per_class(),
    [np.nan if p is None else p for p in expected['per_class']],
    atol=case['tol'],
  )
  np.testing.assert_allclose(
    metric.result(),
    expected['mean_over_classes_with_positives'],
    atol=case['tol'],
  )


@pytest.mark.parametrize('seed', range(8))
@pytest.mark.parametrize('k', [1, 3, 10, 11, 100])
def test_equals_the_plain_definition(seed, k):
  ids, scores = _random(seed)
  weights = np.random.default_rng(seed).uniform(0, 2, scores.shape[1])
  per_class, mean = _plain(ids, scores, k, weights)
  metric = _metric(ids, scores, k, batch=9, class_weights=weights)
  np.testing.assert_allclose(metric.per_class(), per_class, rtol=1e-12)
  np.testing.assert_allclose(metric.result(), mean, rtol=1e-12)


def test_equals_sklearn_where_k_covers_all():
  sklearn_metrics = pytest.importorskip('sklearn.metrics')
  rng = np.random.default_rng(0)
  target = rng.random((300, 17)) < 0.2
  scores = np.round(rng.normal(size=target.shape), 1).astype(np.float32)
  expected = sklearn_metrics.average_precision_score(
    target, scores, average=None
  )
  metric = _metric(_sparse(target), scores, k=17, batch=64)
  np.testing.assert_allclose(metric.per_class(), expected, rtol=1e-9)


@pytest.mark.parametrize('levels', [2, 50, 10**6])
@pytest.mark.parametrize(('classes', 'k'), [(200, 3), (200, 25), (203, 100)])
def test_top_k_as_tensorflow(levels, classes, k):
  rng = np.random.default_rng(classes + k)
  scores = rng.integers(0, levels, (20, classes)).astype(np.float32)
  scores[0] = 1.0
  scores[1, 5:] = -np.inf
  expected = np.sort(tf.math.top_k(scores, k).indices.numpy(), axis=1)
  np.testing.assert_array_equal(metrics.top_k(scores, k), expected)


def test_order_and_batches_change_nothing():
  ids, scores = _random(seed=1, images=300)
  order = np.random.default_rng(2).permutation(len(ids))
  whole = _metric(ids, scores, 5)
  shuffled = _metric(ids[order], scores[order], 5, batch=31)
  np.testing.assert_allclose(
    shuffled.per_class(), whole.per_class(), rtol=1e-12
  )


def test_merge_of_pickled_workers():
  ids, scores = _random(seed=3)
  whole = _metric(ids, scores, 4)
  first, second = (
    _metric(ids[:25], scores[:25], 4),
    _metric(ids[25:], scores[25:], 4),
  )
  first.merge(pickle.loads(pickle.dumps(second)))
  np.testing.assert_array_equal(first.per_class(), whole.per_class())
  assert first.result() == whole.result()
  with pytest.raises(ValueError, match=r'k=4 against.*k=5'):
    first.merge(metrics.MeanAveragePrecisionAtK(11, 5))
  with pytest.raises(ValueError, match='class_weights'):
    first.merge(
      metrics.MeanAveragePrecisionAtK(11, 4, class_weights=np.arange(11))
    )


def test_reset_and_empty():
  ids, scores = _random(seed=4)
  metric = _metric(ids, scores, 4)
  before = metric.result()
  metric.reset_states()
  assert np.isnan(metric.result())
  assert np.isnan(metric.per_class()).all()
  metric.update_state(ids[:0], scores[:0])
  metric.update_state(np.full((2, 3), -1), scores[:2])
  metric.update_state(np.zeros((2, 0), int), scores[:2])
  assert np.isnan(metric.result())
  metric.reset_state()
  metric.update_state(tf.constant(ids), tf.constant(scores))
  assert metric.result() == before


def test_state_is_eight_bytes_a_prediction():
  ids, scores = _random(seed=5, images=64, classes=50)
  metric = _metric(ids, scores, 10, batch=16)
  assert sum(keys.nbytes for keys in metric._keys) == 64 * 10 * 8


@pytest.mark.parametrize(
  ('kwargs', 'message'),
  [
    ({'num_classes': 0}, 'num_classes=0'),
    ({'num_classes': 3, 'k': 0}, 'k=0'),
    ({'num_classes': 3, 'class_weights': [1, 2]}, r'\(3,\), got \(2,\)'),
    ({'num_classes': 2, 'class_weights': [1, -2]}, '-2.0 to 1.0'),
    ({'num_classes': 2, 'class_weights': [1, np.nan]}, 'finite'),
  ],
)
def test_refuses_arguments(kwargs, message):
  with pytest.raises(ValueError, match=message):
    metrics.MeanAveragePrecisionAtK(**kwargs)


@pytest.mark.parametrize(
  ('ids', 'scores', 'message'),
  [
    ([[0]], np.zeros((1, 4)), r'\[images, 3\], got \[1, 4\]'),
    ([[0], [1]], np.zeros((1, 3)), r'\[1, labels\].*\[2, 1\]'),
    ([0], np.zeros((1, 3)), r'got \[1\]'),
    ([[3]], np.zeros((1, 3)), 'holds 3.*3 classes'),
    ([[0], [0]], [[0, 0, 0], [0, np.nan, 0]], 'image 1 .*NaN'),
  ],
)
def test_refuses_batches(ids, scores, message):
  metric = metrics.MeanAveragePrecisionAtK(3)
  with pytest.raises(ValueError, match=message):
    metric.update_state(ids, scores)


def test_infinite_scores_are_not_nan():
  scores = [[np.inf, -np.inf, 0.0], [0.0, 1.0, -np.inf]]
  metric = _metric(np.array([[0], [1]]), np.array(scores), k=1)
  assert metric.result() == 1.0


def test_top_k_accuracy():
  scores = np.float32([[5, 4, 3, 2], [1, 2, 3, 4], [4, 3, 2, 1], [0, 0, 1, 0]])
  ids = np.array([[1, -1], [-1, 3], [3, 2], [-1, -1]])
  # Ranks of the best labels: 2, 1, 3; the last image has none.
  for k, right in ((1, 1), (2, 2), (3, 3), (99, 3)):
    metric = metrics.TopKAccuracy(k)
    metric.update_state(ids[:2], scores[:2])
    metric.update_state(ids[2:], scores[2:])
    np.testing.assert_allclose(metric.result(), right / 3)
    assert metric.name == f'top_{k}_accuracy'


def test_top_k_accuracy_as_keras_without_ties():
  rng = np.random.default_rng(0)
  scores = rng.permuted(np.tile(np.arange(30.0), (50, 1)), axis=1)
  labels = rng.integers(0, 30, 50)
  metric = metrics.TopKAccuracy(5)
  metric.update_state(labels[:, None], scores)
  expected = tf.keras.metrics.sparse_top_k_categorical_accuracy(
    labels, scores.astype(np.float32), k=5
  )
  np.testing.assert_allclose(metric.result(), np.mean(expected))


def test_top_k_accuracy_of_a_constant_output_is_chance():
  metric = metrics.TopKAccuracy(1)
  metric.update_state(np.arange(10)[:, None], np.zeros((10, 10)))
  assert metric.result() == 0.1


def test_top_k_accuracy_merge_reset_and_refusals():
  first, second = metrics.TopKAccuracy(1), metrics.TopKAccuracy(1)
  first.update_state([[0]], [[1.0, 0.0]])
  second.update_state([[0]], [[0.0, 1.0]])
  first.merge(second)
  assert first.result() == 0.5
  first.reset_state()
  assert np.isnan(first.result())
  with pytest.raises(ValueError, match='k=1 against k=5'):
    first.merge(metrics.TopKAccuracy(5))
  with pytest.raises(ValueError, match='got 0'):
    metrics.TopKAccuracy(0)
  with pytest.raises(ValueError, match='NaN'):
    first.update_state([[0]], [[np.nan, 0.0]])
