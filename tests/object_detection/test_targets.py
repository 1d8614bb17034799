import numpy as np
import pytest
import tensorflow as tf

from object_detection import boxes, targets
from tests.conftest import golden
from tests.object_detection.test_boxes import random_boxes


def match(iou, valid=None, **options):
  iou = np.array(iou, 'f4')
  valid = [True] * iou.shape[1] if valid is None else valid
  return targets.match(iou, np.array(valid, bool), **options).numpy().tolist()


def test_golden_matches_codes_and_weights():
  case = golden('target_assigner')['rpn_0.7_0.3_force']
  given, expected = case['inputs'], case['expected']
  anchors = np.array(given['anchors'], 'f4')
  true = np.array(given['groundtruth'], 'f4')
  valid = np.ones(len(true), bool)
  found = targets.match(boxes.iou(anchors, true), valid)
  assert found.numpy().tolist() == expected['match']
  # A window that holds all anchors.
  rpn = targets.rpn_targets(anchors, true, valid, [200, 200])
  labels = np.array(expected['cls_targets'])[:, 0]
  labels[np.array(expected['cls_weights'])[:, 0] == 0] = -1
  np.testing.assert_array_equal(rpn.labels, labels)
  np.testing.assert_array_equal(rpn.weights, expected['reg_weights'])
  np.testing.assert_allclose(
    rpn.codes, expected['reg_targets'], atol=case['tol'], rtol=case['tol']
  )


def test_thresholds_by_hand():
  iou = [[0.7, 0.1], [0.69, 0.3], [0.3, 0.0], [0.29, 0.2], [0.1, 0.9]]
  # 0.7 matches, [0.3, 0.7) is ignored, below 0.3 is negative.
  assert match(iou, force=False) == [0, -2, -2, -1, 1]
  assert match(iou, force=False, positive=0.5, negative=0.5) == [
    0,
    0,
    -1,
    -1,
    1,
  ]


def test_an_anchor_takes_the_first_of_equal_boxes():
  assert match([[0.8, 0.8], [0.75, 0.9]]) == [0, 1]


def test_forced_matches():
  # Box 0 is best at anchor 1 (0.2), box 1 at anchors 0 and 2 alike: the first.
  iou = [[0.1, 0.4], [0.2, 0.1], [0.0, 0.4]]
  assert match(iou) == [1, 0, -2]
  # Both boxes want anchor 0: the first one gets it, though 1 fits better.
  assert match([[0.5, 0.8], [0.1, 0.1]]) == [0, -1]
  # Even a match above the threshold gives way to a forced one.
  assert match([[0.75, 0.9], [0.2, 0.95]]) == [0, 1]
  # The reference forces at overlap 0 too: the first anchor.
  assert match([[0.0], [0.0]]) == [0, -1]


def test_padding_is_never_matched():
  iou = [[0.9, 0.2], [0.8, 0.1]]
  assert match(iou, [False, True]) == [1, -1]
  assert match(iou, [False, False]) == [-1, -1]
  assert match(np.zeros((3, 0)), []) == [-1, -1, -1]


def test_anchors_that_take_no_part_are_not_forced():
  # Row 0 takes no part: the box gets anchor 1.
  assert match([[-1.0], [0.1]]) == [-1, 0]
  assert match([[-1.0], [-1.0]]) == [-1, -1]


def test_wrong_thresholds():
  with pytest.raises(ValueError, match=r'got 0\.8 > 0\.7'):
    match([[0.5]], negative=0.8)


# An anchor 10 x 10 at (0, 0), (0, 10), (10, 0), (10, 10), and one that leaves
# the image of 20 x 20.
GRID = np.array(
  [
    [0, 0, 10, 10],
    [0, 10, 10, 20],
    [10, 0, 20, 10],
    [10, 10, 20, 20],
    [5, 5, 15, 21],
  ],
  'f4',
)


def test_rpn_targets_by_hand():
  true = np.array([[0, 0, 10, 8], [9, 10, 19, 20], [0, 0, 0, 0]], 'f4')
  found = targets.rpn_targets(
    GRID, true, np.array([True, True, False]), [20, 20]
  )
  # Anchor 0: 80 / 100; anchor 3: 90 / 110 with box 1; anchor 1: 10 / 190 with
  # it; anchor 4 leaves the image.
  assert found.labels.numpy().tolist() == [1, 0, 0, 1, -1]
  assert found.weights.numpy().tolist() == [1, 0, 0, 1, 0]
  # Box 0: centre (5, 4), 10 x 8; ty 0, tx 10 * -1 / 10, tw 5 log 0.8.
  # Box 1: one pixel higher than its anchor.
  expected = np.zeros((5, 4))
  expected[0] = [0, -1, 0, 5 * np.log(0.8)]
  expected[3] = [-1, 0, 0, 0]
  np.testing.assert_allclose(found.codes, expected, atol=1e-5)


def test_an_image_without_objects_is_all_background():
  for true in (np.zeros((0, 4), 'f4'), np.zeros((3, 4), 'f4')):
    none = np.zeros(len(true), bool)
    found = targets.rpn_targets(GRID, true, none, [20, 20])
    assert found.labels.numpy().tolist() == [0, 0, 0, 0, -1]
    assert not np.any(found.codes) and not np.any(found.weights)
    second = targets.classifier_targets(GRID, 5, true, none.astype('i4'), none)
    assert second.classes.numpy().tolist() == [0] * 5
    assert not np.any(second.codes) and not np.any(second.weights)


def test_a_box_without_area_gets_no_anchor():
  true = np.array([[3, 3, 3, 9], [0, 10, 10, 20]], 'f4')
  found = targets.rpn_targets(GRID, true, np.ones(2, bool), [20, 20])
  assert found.labels.numpy().tolist() == [0, 1, 0, 0, -1]
  assert np.all(np.isfinite(found.codes))


def test_an_image_too_small_for_any_anchor_trains_nothing():
  true = np.array([[0, 0, 5, 5]], 'f4')
  found = targets.rpn_targets(GRID, true, np.ones(1, bool), [9, 9])
  assert found.labels.numpy().tolist() == [-1] * 5
  assert not np.any(found.weights)


def test_classifier_targets_by_hand():
  proposals = np.array(
    [[0, 0, 10, 10], [0, 0, 10, 20], [0, 0, 10, 21], [50, 50, 60, 60], [0] * 4],
    'f4',
  )
  true = np.array([[0, 0, 10, 10], [50, 50, 60, 62], [9] * 4], 'f4')
  found = targets.classifier_targets(
    proposals, 4, true, [7, 3, 5], np.array([True, True, False])
  )
  # Overlaps with box 0: 1, 100 / 200 (just enough), 100 / 210; with box 1:
  # 100 / 120; the last proposal is padding.
  assert found.classes.numpy().tolist() == [7, 7, 0, 3, 0]
  assert found.weights.numpy().tolist() == [1, 1, 0, 1, 0]
  expected = np.zeros((5, 4))
  # Proposal 1 is 20 wide, its centre 5 to the right of the box's.
  expected[1] = [0, 10 * -5 / 20, 0, 5 * np.log(0.5)]
  expected[3] = [0, 10 * 1 / 10, 0, 5 * np.log(1.2)]
  np.testing.assert_allclose(found.codes, expected, atol=1e-5)


def test_padding_proposals_are_background_whatever_they_hold():
  true = np.array([[0, 0, 10, 10]], 'f4')
  found = targets.classifier_targets(
    np.tile(true, (3, 1)), 1, true, [4], np.ones(1, bool)
  )
  assert found.classes.numpy().tolist() == [4, 0, 0]


def batch(rng, num=3, padded=6):
  true = random_boxes(rng, num, padded)
  true = boxes.clip(true, 160, 200).numpy()
  valid = np.arange(padded) < np.array([[padded], [2], [0]])[:num]
  classes = rng.integers(1, 9, (num, padded)).astype('i4')
  return true, classes, valid


def test_a_batch_of_different_sizes_is_its_images_one_by_one():
  rng = np.random.default_rng(0)
  anchors = random_boxes(rng, 80)
  true, classes, valid = batch(rng)
  # Some near true boxes, those of padding included.
  near = true + rng.normal(0, 2, true.shape)
  proposals = np.concatenate([near, random_boxes(rng, 3, 34)], 1).astype('f4')
  sizes = np.array([[160, 200], [90, 120], [100, 100]])
  counts = np.array([40, 11, 0])
  rpn = targets.rpn_targets(anchors, true, valid, sizes)
  second = targets.classifier_targets(proposals, counts, true, classes, valid)
  assert rpn.codes.shape == (3, 80, 4) and second.codes.shape == (3, 40, 4)
  assert np.any(second.classes > 0) and np.any(rpn.labels > 0)
  for i in range(3):
    keep = valid[i]
    alone = targets.rpn_targets(
      anchors, true[i][keep], np.ones(sum(keep), bool), sizes[i]
    )
    for x, y in zip(rpn, alone):
      np.testing.assert_array_equal(x[i], y)
    alone = targets.classifier_targets(
      proposals[i],
      counts[i],
      true[i][keep],
      classes[i][keep],
      np.ones(sum(keep), bool),
    )
    for x, y in zip(second, alone):
      np.testing.assert_array_equal(x[i], y)


def test_in_a_graph_of_unknown_sizes_and_in_a_data_pipeline():
  rng = np.random.default_rng(1)
  anchors = random_boxes(rng, 50)
  true, classes, valid = batch(rng)
  sizes = np.full((3, 2), 180)

  def work(true, classes, valid, sizes):
    rpn = targets.rpn_targets(anchors, true, valid, sizes)
    second = targets.classifier_targets(
      tf.broadcast_to(anchors, tf.concat([tf.shape(true)[:-2], [50, 4]], 0)),
      tf.fill(tf.shape(true)[:-2], 44),
      true,
      classes,
      valid,
    )
    return (*rpn, *second)

  eager = work(true, classes, valid, sizes)
  graph = tf.function(
    work,
    input_signature=[
      tf.TensorSpec([None, None, 4]),
      tf.TensorSpec([None, None], tf.int32),
      tf.TensorSpec([None, None], tf.bool),
      tf.TensorSpec([None, 2], tf.int64),
    ],
  )(true, classes, valid, sizes)
  data = tf.data.Dataset.from_tensor_slices((true, classes, valid, sizes))
  data = next(iter(data.map(work).batch(3)))
  for found in (graph, data):
    for x, y in zip(found, eager):
      np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
