"""The detector's operations against Model Garden's, where the two agree."""

import zlib

import numpy as np
import pytest
import tensorflow as tf
from official.vision.modeling.layers import (
  detection_generator,
  roi_generator,
  roi_sampler,
)
from official.vision.ops import (
  anchor_generator,
  box_matcher,
  box_ops,
  iou_similarity,
  target_gather,
)

from object_detection import (
  anchors,
  boxes,
  postprocess,
  proposals,
  sampling,
  targets,
)
from tests.object_detection.test_boxes import random_boxes

SCALES = list(boxes.SCALES)
SIZES = [(1, 1), (7, 3), (60, 41)]


@pytest.fixture
def rng(request):
  return np.random.default_rng(zlib.crc32(request.node.name.encode()))


def close(found, expected, tol=1e-5):
  np.testing.assert_allclose(found, expected, rtol=tol, atol=tol)


@pytest.mark.parametrize('size', [(64, 96), (50, 33), (600, 1000)])
def test_anchors(size):
  # There: stride / 2 as offset, the ratio fastest.
  reference = anchor_generator.AnchorGenerator(
    [256], [anchors.SCALES], [anchors.ASPECT_RATIOS], [16]
  )
  (expected,) = reference([*size, 3])
  rows, columns = expected.shape[:2]
  expected = tf.reshape(expected, [rows, columns, 4, 3, 4])
  found = anchors.grid_anchors(rows, columns, offset=8)
  expected = tf.reshape(tf.transpose(expected, [0, 1, 3, 2, 4]), [-1, 4])
  close(found, expected, 1e-4)


@pytest.mark.parametrize('n,m', SIZES)
def test_overlaps(rng, n, m):
  # A box that lies below 0 as a whole is padding in bbox_overlap.
  a, b = random_boxes(rng, 2, n) + 50, random_boxes(rng, 2, m) + 50
  b[0, : min(n, m)] = a[0, : min(n, m)] + 2
  close(boxes.iou(a, b), iou_similarity.iou(a, b), 1e-6)
  close(boxes.intersection(a, b), iou_similarity.intersection(a, b), 1e-6)
  close(boxes.iou(a, b), box_ops.bbox_overlap(a, b))
  # Over the area of the first argument there, of the second here.
  expected = box_ops.bbox_intersection_over_area(b, a)
  close(tf.transpose(boxes.ioa(a, b), [0, 2, 1]), expected)


@pytest.mark.parametrize('n,m', SIZES)
@pytest.mark.parametrize('scales', [None, SCALES])
def test_codes(rng, n, m, scales):
  a, b = random_boxes(rng, m, n), random_boxes(rng, m, n)
  expected = box_ops.encode_boxes(a, tf.constant(b), scales)
  close(boxes.encode(a, b, scales), expected, 1e-4)
  # There, sides grow to 62.5 times the anchor's at most.
  codes = rng.normal(0, 1, (m, n, 4)).astype('f4')
  expected = box_ops.decode_boxes(codes, tf.constant(b), scales)
  close(boxes.decode(codes, b, scales), expected, 1e-3)


def test_clip_normalise_and_flip(rng):
  given = random_boxes(rng, 3, 20)
  sizes = np.array([[100, 80], [50, 120], [130, 130]], 'f4')
  height, width = sizes[:, :1], sizes[:, 1:]
  close(
    boxes.clip(given, height, width), box_ops.clip_boxes(given, sizes[:, None])
  )
  expected = box_ops.normalize_boxes(given, sizes[:, None])
  close(boxes.normalise(given, height, width), expected)
  flipped = box_ops.horizontal_flip_boxes(expected)
  found = boxes.normalise(boxes.flip_left_right(given, width), height, width)
  close(found, flipped)


@pytest.mark.parametrize('num_anchors,num_boxes', [(1, 1), (40, 7), (300, 20)])
@pytest.mark.parametrize('force', [True, False])
def test_match_and_gather(rng, num_anchors, num_boxes, force):
  # Ties too: overlaps in steps of a twentieth.
  iou = np.round(rng.random((2, num_anchors, num_boxes)), 1) / 2 + 0.4
  iou = iou.astype('f4') - 0.2 * (rng.random(iou.shape) < 0.5).astype('f4')
  reference = box_matcher.BoxMatcher(
    thresholds=[0.3, 0.7],
    indicators=[-1, -2, 1],
    force_match_for_each_col=force,
  )
  columns, indicators = reference(tf.constant(iou))
  expected = np.where(indicators == 1, columns, indicators)
  found = targets.match(iou, np.ones((2, num_boxes), bool), force=force)
  np.testing.assert_array_equal(found, expected)
  classes = rng.integers(1, 9, (2, num_boxes, 1)).astype('i4')
  background = np.array(indicators != 1)[..., None]
  expected = target_gather.TargetGather()(
    tf.constant(classes), columns, tf.constant(background)
  )
  np.testing.assert_array_equal(
    targets.gather_matched(tf.constant(classes[..., 0]), found),
    expected[..., 0],
  )


def scene(rng, num_proposals=120, num_boxes=6, images=2):
  """Proposals, some near a true box; two true boxes of image 1 are padding."""
  true = random_boxes(rng, images, num_boxes)
  near = true[:, rng.integers(0, num_boxes, num_proposals // 2)]
  near = near + rng.normal(0, 6, near.shape)
  far = random_boxes(rng, images, num_proposals - num_proposals // 2)
  given = np.concatenate([near, far], 1).astype('f4')
  given = np.concatenate(
    [given[..., :2], np.maximum(given[..., 2:], given[..., :2] + 1)], -1
  )
  classes = rng.integers(1, 8, (images, num_boxes)).astype('i4')
  valid = np.ones((images, num_boxes), bool)
  valid[1, 4:] = False
  # What Model Garden has as padding.
  marked = np.where(valid[..., None], true, -1).astype('f4')
  return given, marked, np.where(valid, classes, -1), valid


@pytest.mark.parametrize('num_proposals', [10, 120, 301])
def test_classifier_targets(rng, num_proposals):
  given, true, classes, valid = scene(rng, num_proposals)
  given = np.maximum(given, 0)  # All below 0 means padding there.
  reference = roi_sampler.ROISampler(mix_gt_boxes=False, skip_subsampling=True)
  _, matched, expected, index = reference(
    tf.constant(given), tf.constant(true), tf.constant(classes)
  )
  found = targets.classifier_targets(
    given, [num_proposals] * 2, true, classes, valid
  )
  np.testing.assert_array_equal(found.classes, expected)
  positive = np.array(index) >= 0
  np.testing.assert_array_equal(found.weights, positive)
  codes = box_ops.encode_boxes(matched, tf.constant(given), SCALES)
  close(found.codes, np.where(positive[..., None], codes, 0), 1e-4)


@pytest.mark.parametrize('size', [16, 64])
@pytest.mark.parametrize('fraction', [0.25, 0.5])
def test_numbers_of_sampled_proposals(rng, size, fraction):
  given, true, classes, valid = scene(rng)
  given = np.maximum(given, 0)
  reference = roi_sampler.ROISampler(
    mix_gt_boxes=False, num_sampled_rois=size, foreground_fraction=fraction
  )
  _, _, expected, _ = reference(
    tf.constant(given), tf.constant(true), tf.constant(classes)
  )
  goal = targets.classifier_targets(given, [120] * 2, true, classes, valid)
  found = sampling.sample_proposals(
    given, [120] * 2, goal, size, fraction, (0, 1)
  )
  np.testing.assert_array_equal(found.count, [size] * 2)
  np.testing.assert_array_equal(
    np.sum(found.targets.classes > 0, 1), np.sum(np.array(expected) > 0, 1)
  )


@pytest.mark.parametrize('num_anchors', [10, 300, 2000])
@pytest.mark.parametrize('batched', [True, False])
def test_proposals(rng, num_anchors, batched):
  # There, boxes are cut at the image before suppression: here are only anchors
  # inside, and codes that shrink them and move them a little.
  height, width, num = 300, 400, 50
  grid = boxes.clip(
    boxes.scale(random_boxes(rng, num_anchors), 2, 2), height, width
  ).numpy()
  codes = rng.uniform(-0.1, 0.1, (1, num_anchors, 4)).astype('f4')
  codes[..., 2:] = rng.uniform(-1, -0.3, (1, num_anchors, 2))
  # Ours are scaled.
  scaled = codes * np.array(SCALES, 'f4')
  logits = rng.normal(0, 1, (1, num_anchors, 2)).astype('f4')
  found = proposals.propose(
    grid, scaled, logits, [[height, width]], num=num, training=True
  )
  reference = roi_generator.MultilevelROIGenerator(
    pre_nms_top_k=num_anchors,
    nms_iou_threshold=0.7,
    num_proposals=num,
    use_batched_nms=batched,
  )
  expected, scores = reference(
    {'4': tf.reshape(codes, [1, num_anchors, 1, 4])},
    # A sigmoid of the difference is the softmax of two.
    {'4': tf.reshape(logits[..., 1] - logits[..., 0], [1, num_anchors, 1, 1])},
    {'4': tf.constant(grid[None])},
    tf.constant([[height, width]], tf.float32),
    training=True,
  )
  # Boxes without area take part there.
  count = int(found.count[0])
  sound = boxes.area(expected)[0] > 0
  expected, scores = expected[0][sound], scores[0][sound]
  assert len(expected) >= count > 4
  close(found.boxes[0, :count], expected[:count], 1e-3)
  close(found.scores[0, :count], scores[:count])


@pytest.mark.parametrize(
  'num_proposals,num_classes', [(5, 1), (60, 3), (200, 20)]
)
@pytest.mark.parametrize('version', ['v1', 'v2', 'batched'])
@pytest.mark.parametrize('shared', [True, False])
def test_detections(rng, num_proposals, num_classes, version, shared):
  # Inside of the image after decoding, as boxes are cut before suppression
  # there.
  given = random_boxes(rng, 2, num_proposals) + 100
  num_boxes = 1 if shared else num_classes
  codes = rng.uniform(-1, 1, (2, num_proposals, num_boxes, 4)).astype('f4')
  logits = rng.normal(0, 2, (2, num_proposals, num_classes + 1)).astype('f4')
  sizes = np.full((2, 2), 500, 'f4')
  found = postprocess.detections(
    *postprocess.refine(given, codes, logits),
    image_sizes=sizes,
    nms_iou=0.4,
    per_class=30,
    total=30,
    score_threshold=0.05,
  )
  reference = detection_generator.DetectionGenerator(
    pre_nms_top_k=num_proposals,
    pre_nms_score_threshold=0.05,
    nms_iou_threshold=0.4,
    max_num_detections=30,
    nms_version=version,
  )
  # There, the background has codes too.
  codes = codes if shared else np.pad(codes, [[0, 0], [0, 0], [1, 0], [0, 0]])
  expected = reference(
    tf.constant(codes.reshape(2, num_proposals, -1)),
    tf.constant(logits),
    tf.constant(given),
    tf.constant(sizes),
    SCALES,
    not shared,
  )
  for i in range(2):
    scores = np.array(expected['detection_scores'][i])
    count = int(np.sum(scores > 0.05))
    assert int(found['count'][i]) == count > 0
    close(found['scores'][i, :count], scores[:count], 1e-6)
    np.testing.assert_array_equal(
      found['classes'][i, :count], expected['detection_classes'][i, :count]
    )
    close(
      found['boxes'][i, :count], expected['detection_boxes'][i, :count], 1e-3
    )
