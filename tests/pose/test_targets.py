"""Disks and offsets by hand, against numpy, and other people's disks."""

import numpy as np
import pytest
import tensorflow as tf

from pose import targets
from pose.joints import MIRRORED
from tests import conftest


def make(keypoints, height, width, radius, others=None):
  found = targets.make_targets(keypoints, height, width, radius, others)
  return targets.Targets(*(x.numpy() for x in found))


def plain(keypoints, height, width, radius, others=()):
  """The definition, in numpy; others: a list of [K, 3]."""
  keypoints = np.asarray(keypoints, np.float32)
  rows, columns = np.mgrid[:height, :width].astype(np.float32)
  pixels = np.stack([rows, columns], -1)[:, :, None]

  def disks(joints):
    deltas = joints[:, :2] - pixels
    inside = np.sum(deltas**2, -1) <= radius**2
    return inside & (joints[:, 2] > 0), deltas

  inside, deltas = disks(keypoints)
  foreign = np.zeros_like(inside)
  for joints in others:
    foreign |= disks(np.asarray(joints, np.float32))[0]
  weights = (keypoints[:, 2] > 0) & (inside | ~foreign)
  return targets.Targets(
    inside.astype(np.float32),
    np.where(inside[..., None], deltas, 0),
    weights.astype(np.float32),
  )


def random_joints(rng, *axes, height=40, width=30):
  """Up to 20 pixels outside of the crop; every other one at half pixels."""
  points = rng.uniform(-20, [height + 20, width + 20], (*axes, 2))
  points[..., ::2, :] = np.round(points[..., ::2, :] * 2) / 2
  return np.concatenate([points, rng.integers(0, 3, (*axes, 1))], -1)


def test_by_hand():
  # |x - (1, 2)| <= 1.5: the pixel itself, four beside it and, at sqrt(2) =
  # 1.41, four at the corners.
  found = make([[1.0, 2.0, 2.0]], 4, 6, radius=1.5)
  assert found.heatmaps[..., 0].tolist() == [
    [0, 1, 1, 1, 0, 0],
    [0, 1, 1, 1, 0, 0],
    [0, 1, 1, 1, 0, 0],
    [0, 0, 0, 0, 0, 0],
  ]
  assert found.offsets[0, 1, 0].tolist() == [1, 1]
  assert found.offsets[2, 3, 0].tolist() == [-1, -1]
  assert found.offsets[1, 2, 0].tolist() == [0, 0]
  assert not found.offsets[3].any() and not found.offsets[:, 4:].any()
  assert (found.weights == 1).all()


def test_the_rim_belongs_to_the_disk():
  # 3^2 + 4^2 = 5^2.
  found = make([[0.0, 0.0, 1.0]], 7, 7, radius=5)
  assert found.heatmaps[3, 4, 0] == 1 and found.heatmaps[4, 3, 0] == 1
  assert found.heatmaps[4, 4, 0] == 0 and found.heatmaps[5, 1, 0] == 0
  assert found.offsets[3, 4, 0].tolist() == [-3, -4]


def test_a_disk_of_the_paper_is_two_percent_of_its_crop():
  found = make([[176.0, 128.0, 2.0]], 353, 257, targets.RADIUS)
  # Points with whole coordinates in a circle of radius 25 (Gauss): 1961.
  assert found.heatmaps.sum() == 1961
  assert found.heatmaps.mean() == pytest.approx(0.0216, abs=1e-4)


@pytest.mark.parametrize('radius', [0.4, 5, 7.5])
def test_equals_the_definition(radius):
  rng = np.random.default_rng(0)
  keypoints = random_joints(rng, 3, 17)
  others = random_joints(rng, 3, 4, 17)
  found = make(keypoints, 40, 30, radius, others)
  for i in range(3):
    expected = plain(keypoints[i], 40, 30, radius, others[i])
    alone = make(keypoints[i], 40, 30, radius, others[i])
    for a, b, c in zip(expected, found, alone):
      np.testing.assert_array_equal(b[i], a)
      np.testing.assert_array_equal(c, a)
  assert found.heatmaps.any() and not found.weights.all()


def test_unlabelled_joints_have_no_disk_and_no_weight():
  found = make([[2, 2, 0], [2, 2, 1], [np.nan, np.nan, 0]], 5, 5, radius=2)
  for maps in found:
    assert not maps[:, :, [0, 2]].any()
  assert found.heatmaps[2, 2, 1] == 1 and (found.weights[..., 1] == 1).all()


def test_joints_outside_of_the_crop_are_true_negatives():
  found = make([[-3, 2, 2], [2, 50, 1], [-1e9, 1e9, 2]], 5, 5, radius=3)
  # The first reaches (0, 2) from outside, and only this pixel.
  assert np.argwhere(found.heatmaps).tolist() == [[0, 2, 0]]
  assert found.offsets[0, 2, 0].tolist() == [-3, 0]
  assert (found.weights == 1).all()


def test_disks_of_others_are_left_out_but_not_of_the_own():
  keypoints = [[2, 2, 2], [2, 2, 2], [2, 2, 0]]
  others = [
    [[2, 3, 2], [9, 9, 0], [2, 3, 2]],
    [[2, 3, 1], [2, 3, 0], [5, 5, 2]],
  ]
  found = make(keypoints, 5, 8, radius=1, others=others)
  # The other's plus at (2, 3): (2, 2) and (2, 3) are the own ones too.
  assert np.argwhere(found.weights[..., 0] == 0).tolist() == [
    [1, 3],
    [2, 4],
    [3, 3],
  ]
  assert found.heatmaps[2, 3, 0] == 1
  # Joint 1 of the others is not labelled, joint 2 not of the own.
  assert (found.weights[..., 1] == 1).all()
  assert (found.weights[..., 2] == 0).all()
  alone = make(keypoints, 5, 8, radius=1)
  np.testing.assert_array_equal(found.heatmaps, alone.heatmaps)
  np.testing.assert_array_equal(found.offsets, alone.offsets)
  nobody = make(keypoints, 5, 8, radius=1, others=np.zeros((0, 3, 3)))
  np.testing.assert_array_equal(nobody.weights, alone.weights)


def test_offsets_at_the_floored_pixel_are_the_golden_ones():
  # Row and column of a source are rounded down to a pixel; the offset is from
  # there to the target.
  case = conftest.golden('keypoint_targets')['floor_offsets_to_target']
  inputs, expected = case['inputs'], case['expected']
  sources = np.stack([inputs['y_source'], inputs['x_source']], 1)
  indices = np.floor(sources).astype(int)
  np.testing.assert_array_equal(indices, expected['indices'])
  keypoints = np.stack([*inputs['target'], [2, 2]], 1)
  found = make(keypoints, 3, 6, radius=3)
  offsets = found.offsets[indices[:, 0], indices[:, 1], [0, 1]]
  np.testing.assert_allclose(offsets, expected['offsets'], atol=case['tol'])


def test_golden_gaussian_is_one_of_the_distances_here():
  # There a pixel begins at whole numbers, here its centre is: what lies in the
  # middle of a pixel moves by 0.5. A disk here is 0 or 1, no gaussian.
  case = conftest.golden('keypoint_targets')[
    'gaussian_heatmap (peak at the floored pixel)'
  ]
  inputs, expected = case['inputs'], np.array(case['expected'])
  points = np.stack([inputs['y'], inputs['x'], [2.5, 2.5]], 1) - 0.5
  size = inputs['height'], inputs['width']
  # Less than from pixel to pixel: only the one where the gaussian is 1.
  dot = make(points, *size, radius=0.4)
  of_joint = np.argmax(inputs['channel_onehot'], 1)
  np.testing.assert_array_equal(dot.heatmaps, expected[..., of_joint] == 1)
  # The disk is all of the map, and the squares of its offsets are the
  # gaussian's distances.
  found = make(points, *size, radius=6)
  assert found.heatmaps.all()
  square = np.sum(found.offsets**2, -1) / np.square(inputs['sigma'])
  np.testing.assert_allclose(
    np.exp(-square / 2), expected[..., of_joint], atol=case['tol']
  )


def test_mirrored_joints_by_hand():
  # In 3 x 5 pixels a left shoulder near (1, 0.75), and none on the right.
  joints = np.zeros((17, 3))
  joints[5] = 1, 0.75, 2
  mirrored = joints[list(MIRRORED)]
  # x becomes 4 - 0.75; COCO's joint 6 is the right shoulder.
  mirrored[6, 1] = 3.25
  assert not mirrored[5].any()
  one, other = (make(k, 3, 5, radius=0.8) for k in (joints, mirrored))
  assert np.argwhere(one.heatmaps).tolist() == [[1, 0, 5], [1, 1, 5]]
  assert np.argwhere(other.heatmaps).tolist() == [[1, 3, 6], [1, 4, 6]]
  # From column 0 right by 0.75, from column 1 left by 0.25; then the mirror.
  assert one.offsets[1, :2, 5].tolist() == [[0, 0.75], [0, -0.25]]
  assert other.offsets[1, 3:, 6].tolist() == [[0, 0.25], [0, -0.75]]
  assert (other.weights[..., 6] == 1).all() and not other.weights[..., 5].any()


def test_mirrored_joints_give_mirrored_maps():
  rng = np.random.default_rng(1)
  keypoints = random_joints(rng, 17)
  mirrored = keypoints[list(MIRRORED)]
  mirrored[:, 1] = 29 - mirrored[:, 1]
  found, other = (make(k, 40, 30, 6) for k in (keypoints, mirrored))
  swapped = targets.Targets(*(x[:, ::-1][:, :, list(MIRRORED)] for x in other))
  np.testing.assert_array_equal(swapped.heatmaps, found.heatmaps)
  np.testing.assert_array_equal(swapped.weights, found.weights)
  turned = swapped.offsets * [1, -1]
  np.testing.assert_allclose(turned, found.offsets, atol=1e-5)


def test_in_a_map_with_known_shapes():
  rng = np.random.default_rng(2)
  keypoints, others = random_joints(rng, 4, 17), random_joints(rng, 4, 2, 17)
  dataset = tf.data.Dataset.from_tensor_slices((keypoints, others)).batch(2)
  dataset = dataset.map(lambda k, o: targets.make_targets(k, 40, 30, 6, o))
  assert [s.shape.as_list() for s in dataset.element_spec] == [
    [None, 40, 30, 17],
    [None, 40, 30, 17, 2],
    [None, 40, 30, 17],
  ]
  expected = make(keypoints, 40, 30, 6, others)
  batches = list(dataset.as_numpy_iterator())
  for found, wanted in zip(zip(*batches), expected):
    np.testing.assert_array_equal(np.concatenate(found), wanted)


@pytest.mark.parametrize(
  'arguments, message',
  [
    ((np.zeros((17, 2)), 5, 5), r'keypoints \[K, 3\] or .* got \(17, 2\)'),
    ((np.zeros(3), 5, 5), r'got \(3,\)'),
    ((np.zeros((17, 3)), 5, 5, 0), 'above 0, got 0'),
    ((np.zeros((17, 3)), 5, 5, float('nan')), 'above 0, got nan'),
    ((np.zeros((17, 3)), 0, 5), r'got 0 x 5 \(height x width\)'),
    (
      (np.zeros((17, 3)), 5, 5, 1, np.zeros((17, 3))),
      r'others of shape \(None, 17, 3\), got \(17, 3\)',
    ),
  ],
)
def test_bad_input(arguments, message):
  with pytest.raises(ValueError, match=message):
    targets.make_targets(*arguments)
