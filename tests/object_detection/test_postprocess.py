import numpy as np
import pytest
import tensorflow as tf

from object_detection import boxes as boxes_lib
from object_detection import nms, postprocess
from tests.conftest import golden
from tests.object_detection.test_boxes import random_boxes


@pytest.mark.parametrize(
  'name', ['shared_boxes', 'total_cap', 'clip_window_change_frame']
)
@pytest.mark.parametrize('shared', [True, False])
def test_golden(name, shared):
  check_golden(golden('multiclass_nms')[name], shared)


def test_golden_random():
  check_golden(golden('multiclass_nms')['random_40x3'], True)


def check_golden(case, shared):
  given, expected = case['inputs'], case['expected']
  boxes = np.array(given['boxes'], 'f4')[:, None]
  scores = np.array(given['scores'], 'f4')
  if not shared:
    boxes = np.repeat(boxes, scores.shape[1], 1)
  window = given.get('clip_window')
  window = None if window is None else np.array([window], 'f4')
  found = nms.multiclass(
    boxes[None],
    scores[None],
    iou_threshold=given['iou_thresh'],
    score_threshold=given['score_thresh'],
    per_class=given['max_size_per_class'],
    total=given.get('max_total_size', scores.size),
    window=window,
  )
  count = int(found.count[0])
  assert count == len(expected['scores'])
  kept = found.boxes[0, :count]
  if given.get('change_coordinate_frame'):
    kept = boxes_lib.change_frame(kept, window)
  np.testing.assert_allclose(kept, expected['boxes'], atol=case['tol'])
  np.testing.assert_allclose(
    found.scores[0, :count], expected['scores'], atol=case['tol']
  )
  np.testing.assert_array_equal(found.classes[0, :count], expected['classes'])


def test_refine_by_hand():
  proposals = [[[0, 0, 10, 20], [10, 10, 20, 20]]]
  codes = np.zeros((2, 2, 4), 'f4')
  codes[0, 1] = [10, 0, 0, 5 * np.log(2)]  # Class 2: one height down, x2 wide.
  logits = np.log([[1, 2, 1], [1, 1, 8]])
  boxes, scores = postprocess.refine(proposals, codes, logits)
  np.testing.assert_allclose(boxes[0, 0, 0], [0, 0, 10, 20], atol=1e-5)
  np.testing.assert_allclose(boxes[0, 0, 1], [10, -10, 20, 30], atol=1e-5)
  np.testing.assert_allclose(boxes[0, 1, 1], [10, 10, 20, 20], atol=1e-5)
  np.testing.assert_allclose(scores[0], [[0.5, 0.25], [0.1, 0.8]], rtol=1e-6)


def test_detections_by_hand():
  # Three proposals: two nearly alike, one that leaves the image; then padding.
  boxes = np.array(
    [[0, 0, 10, 10], [0, 0, 10, 9], [15, 15, 30, 40], [0, 0, 50, 50]], 'f4'
  )[None, :, None]
  scores = np.array([[0.9, 0.05], [0.8, 0.6], [0.3, 0.7], [1, 1]], 'f4')[None]
  found = postprocess.detections(
    boxes, scores, [3], [[20, 30]], score_threshold=0.1, total=6
  )
  # Class 1: the second is suppressed by the first; class 2: it stands alone.
  np.testing.assert_array_equal(found['count'], [4])
  np.testing.assert_array_equal(found['classes'], [[1, 2, 2, 1, 0, 0]])
  np.testing.assert_allclose(found['scores'][0], [0.9, 0.7, 0.6, 0.3, 0, 0])
  np.testing.assert_array_equal(found['proposals'], [[0, 2, 1, 2, 0, 0]])
  np.testing.assert_array_equal(found['boxes'][0, 1], [15, 15, 20, 30])
  np.testing.assert_array_equal(found['boxes'][0, 4:], np.zeros((2, 4)))


def test_limits_of_a_class_and_of_an_image():
  rng = np.random.default_rng(0)
  corner = np.arange(400)[:, None] * 10.0
  boxes = np.concatenate([corner, corner, corner + 9, corner + 9], 1)
  found = postprocess.detections(
    boxes[None, :, None].astype('f4'), rng.random((1, 400, 4)).astype('f4')
  )
  classes, counts = np.unique(found['classes'], return_counts=True)
  assert classes.tolist() == [1, 2, 3, 4] and counts.sum() == 300
  assert counts.max() <= 100
  found = postprocess.detections(
    boxes[None, :, None].astype('f4'), rng.random((1, 400, 2)).astype('f4')
  )
  np.testing.assert_array_equal(found['count'], [200])


def test_no_proposals_and_no_scores_give_no_detections():
  boxes = np.ones((2, 5, 1, 4), 'f4') * [0, 0, 9, 9]
  found = postprocess.detections(
    boxes, np.stack([np.ones((5, 3)), np.zeros((5, 3))]), [0, 5], [[9, 9]] * 2
  )
  np.testing.assert_array_equal(found['count'], [0, 0])
  assert not np.any(found['boxes']) and not np.any(found['classes'])


@pytest.mark.parametrize('shared', [True, False])
def test_a_batch_of_different_sizes_is_its_images_one_by_one(shared):
  rng = np.random.default_rng(3)
  boxes = random_boxes(rng, 3, 30, 1 if shared else 4)
  scores = rng.random((3, 30, 4)).astype('f4')
  counts, sizes = [30, 7, 0], [[90, 120], [200, 60], [50, 50]]
  function = tf.function(postprocess.detections)
  together = function(boxes, scores, counts, tf.constant(sizes))
  for i, count in enumerate(counts):
    alone = postprocess.detections(
      boxes[i : i + 1, : max(count, 1)],
      scores[i : i + 1, : max(count, 1)],
      counts[i : i + 1],
      sizes[i : i + 1],
    )
    for key, value in together.items():
      np.testing.assert_allclose(value[i], alone[key][0], rtol=1e-6)
