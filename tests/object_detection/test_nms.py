import numpy as np
import pytest
import tensorflow as tf

from object_detection import nms
from tests.object_detection.test_boxes import random_boxes


def run(boxes, scores, **options):
  options = {
    'iou_threshold': 0.5,
    'score_threshold': 0.0,
    'per_class': 100,
    'total': 300,
    **options,
  }
  return nms.multiclass(
    tf.constant(boxes, tf.float32)[None],
    tf.constant(scores, tf.float32)[None],
    **options,
  )


def by_class(boxes, scores, iou, threshold, per_class, total):
  """The same with one op a class, sorted by (-score, class, place)."""
  found = []
  for k in range(scores.shape[1]):
    own = boxes[:, k % boxes.shape[1]]
    kept, _ = tf.image.non_max_suppression_with_scores(
      own, scores[:, k], per_class, iou, threshold
    )
    found += [(-scores[i, k], k, n, i) for n, i in enumerate(kept.numpy())]
  return [(i, k) for _, k, _, i in sorted(found)[:total]]


@pytest.mark.parametrize('shared', [True, False])
@pytest.mark.parametrize('digits', [1, 7])
@pytest.mark.parametrize('seed', [0, 1])
def test_equals_one_op_a_class_equal_scores_included(shared, digits, seed):
  rng = np.random.default_rng(seed)
  boxes = random_boxes(rng, 60, 1 if shared else 5)
  boxes[::7, :, 2:] = boxes[::7, :, :2]  # Some without area.
  # One digit: many equal scores, in a class and between classes; some zero.
  scores = np.round(rng.random((60, 5)), digits).astype('f4')
  found = run(boxes, scores, iou_threshold=0.3, per_class=20, total=50)
  expected = by_class(boxes, scores, 0.3, 0.0, 20, 50)
  assert int(found.count[0]) == len(expected)
  indices, classes = found.indices[0].numpy(), found.classes[0].numpy()
  got = list(zip(indices, classes))[: len(expected)]
  assert got == expected
  np.testing.assert_array_equal(
    found.scores[0, : len(expected)], scores[indices, classes][: len(expected)]
  )
  np.testing.assert_array_equal(
    found.boxes[0, : len(expected)],
    boxes[indices, 0 if shared else classes][: len(expected)],
  )


def test_padding_is_zero_and_the_shape_is_known():
  graph = tf.function(run)
  found = graph([[[0, 0, 5, 5]], [[0, 0, 5, 5]]], [[0.5], [0.6]], total=7)
  assert found.boxes.shape == (1, 7, 4)
  np.testing.assert_array_equal(found.count, [1])
  np.testing.assert_array_equal(found.indices, [[1, 0, 0, 0, 0, 0, 0]])
  assert not np.any(found.boxes[0, 1:]) and not np.any(found.scores[0, 1:])
  specs = [tf.TensorSpec([2, None, 1, 4]), tf.TensorSpec([2, None, 3])]
  graph = tf.function(
    lambda b, s: nms.multiclass(
      b, s, iou_threshold=0.5, score_threshold=0.0, per_class=4, total=9
    )
  ).get_concrete_function(*specs)
  assert graph.output_shapes.boxes.as_list() == [2, 9, 4]
  assert graph.output_shapes.scores.as_list() == [2, 9]


def test_scores_must_lie_above_the_threshold():
  far = [[[10 * i, 0, 10 * i + 5, 5]] for i in range(3)]
  found = run(far, [[0.3], [0.30001], [0.2]], score_threshold=0.3)
  np.testing.assert_array_equal(found.count, [1])
  np.testing.assert_array_equal(found.indices[0, :1], [1])


def test_suppression_comes_before_the_cut_at_the_window():
  def count(boxes, window):
    boxes = [[box] for box in boxes]
    window = tf.constant([window], tf.float32)
    found = run(boxes, [[0.9], [0.8]], window=window)
    np.testing.assert_array_equal(found.boxes[0, 0], window[0])
    return int(found.count[0])

  # Uncut they overlap by 100 / 300, cut by 1: both stay.
  assert count([[0, 0, 10, 10], [0, 0, 10, 30]], [0, 0, 10, 10]) == 2
  # Uncut by 80 / 120 > 0.5, cut by 20 / 40: one stays.
  assert count([[0, 0, 10, 10], [2, 0, 12, 10]], [0, 0, 4, 10]) == 1
  # Uncut by 50 / 150; the second only touches the window.
  assert count([[0, 0, 10, 10], [5, 0, 15, 10]], [0, 0, 5, 10]) == 1


def test_the_limit_of_a_class_counts_before_the_window():
  # The better one is outside of the window and takes the only place.
  boxes = [[[50, 50, 60, 60]], [[0, 0, 9, 9]]]
  found = run(
    boxes, [[0.9], [0.8]], per_class=1, window=tf.constant([[0.0, 0, 20, 20]])
  )
  np.testing.assert_array_equal(found.count, [0])
  assert not np.any(found.boxes)
