"""Votes by hand and by a plain loop; joints of perfect maps come back."""

import math

import numpy as np
import pytest
import tensorflow as tf

from pose import decode, joints

SMALL = (97, 73, 25 * 97 / 353)  # height, width, radius


def perfect(poses, height, width, radius):
  """Disks of ones and exact offsets for poses [N, K, 2].

  Returns:
    float32 [N, H, W, K], [N, H, W, K, 2].
  """
  grid = np.stack(np.mgrid[:height, :width], -1)[None, :, :, None]
  offsets = poses[:, None, None] - grid
  inside = (offsets**2).sum(-1) <= radius**2
  return np.float32(inside), np.float32(offsets * inside[..., None])


def random_poses(seed, number, height, width):
  rng = np.random.default_rng(seed)
  return rng.uniform(0, (height - 1, width - 1), (number, 17, 2))


def by_definition(heatmaps, offsets, radius):
  """The formula, voter by voter, in float64."""
  height, width, joints_ = heatmaps.shape
  votes = np.zeros(heatmaps.shape)
  for y, x, k in np.ndindex(height, width, joints_):
    aim_y, aim_x = (
      y + float(offsets[y, x, k, 0]),
      x + float(offsets[y, x, k, 1]),
    )
    for to_y in (math.floor(aim_y), math.floor(aim_y) + 1):
      for to_x in (math.floor(aim_x), math.floor(aim_x) + 1):
        if 0 <= to_y < height and 0 <= to_x < width:
          share = (1 - abs(aim_y - to_y)) * (1 - abs(aim_x - to_x))
          votes[to_y, to_x, k] += share * heatmaps[y, x, k]
  return votes / (math.pi * radius**2)


def logits(heatmaps):
  return np.where(heatmaps > 0, 20, -20).astype(np.float32)


def test_by_hand():
  # One joint; the middle (1) aims at (.25, 1.5), pixel (2, 0) (.5) at itself,
  # pixel (0, 2) (1) at (-.5, 2.5): only the share 1/4 of pixel (0, 2) is left.
  heatmaps, offsets = np.zeros((3, 3, 1)), np.zeros((3, 3, 1, 2))
  heatmaps[1, 1], heatmaps[2, 0], heatmaps[0, 2] = 1, 0.5, 1
  offsets[1, 1, 0] = -0.75, 0.5
  offsets[0, 2, 0] = -0.5, 0.5
  votes = decode.hough_vote(heatmaps, offsets, radius=1)
  expected = [[0, 0.375, 0.375 + 0.25], [0, 0.125, 0.125], [0.5, 0, 0]]
  assert votes.dtype == tf.float32
  np.testing.assert_allclose(votes[..., 0] * math.pi, expected, atol=1e-6)
  # pi R^2 is 4 times as large.
  wide = decode.hough_vote(heatmaps, offsets, radius=2)
  np.testing.assert_allclose(wide * 4, votes, atol=1e-6)


@pytest.mark.parametrize(
  'shape', [(1, 1, 1), (5, 1, 3), (1, 6, 2), (7, 4, 17), (12, 19, 2)]
)
@pytest.mark.parametrize('spread', [0.4, 6, 60])
def test_equals_a_plain_loop(shape, spread):
  rng = np.random.default_rng(shape[1])
  heatmaps = rng.random(shape).astype(np.float32)
  offsets = rng.normal(0, spread, (*shape, 2)).astype(np.float32)
  votes = decode.hough_vote(heatmaps, offsets, 3.0)
  expected = by_definition(heatmaps, offsets, 3.0)
  np.testing.assert_allclose(votes, expected, atol=1e-5)


def test_whole_pixels_at_the_borders():
  """Pixel (1, 2) of a 4 x 5 picture aims at each place in and around it."""
  places = [(y, x) for y in range(-3, 8) for x in range(-3, 9)]
  heatmaps = np.zeros((4, 5, len(places)))
  offsets = np.zeros((*heatmaps.shape, 2))
  heatmaps[1, 2], offsets[1, 2] = 1, np.subtract(places, (1, 2))
  votes = decode.hough_vote(heatmaps, offsets, 1) * math.pi
  expected = np.zeros(heatmaps.shape)
  for k, (y, x) in enumerate(places):
    if 0 <= y < 4 and 0 <= x < 5:
      expected[y, x, k] = 1
  np.testing.assert_allclose(votes, expected, atol=1e-6)


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf, 1e30, -1e30])
@pytest.mark.parametrize('axis', [0, 1])
def test_offsets_that_lead_nowhere_lose_only_their_own_vote(bad, axis):
  rng = np.random.default_rng(0)
  heatmaps = rng.random((6, 5, 2)).astype(np.float32)
  offsets = rng.normal(0, 2, (6, 5, 2, 2)).astype(np.float32)
  without = heatmaps.copy()
  without[[0, 2, 5], [0, 3, 4]] = 0
  expected = decode.hough_vote(without, offsets, 2.0)
  offsets[[0, 2, 5], [0, 3, 4], :, axis] = bad
  votes = decode.hough_vote(heatmaps, offsets, 2.0)
  np.testing.assert_array_equal(votes, expected)


def test_batch_graph_and_unknown_sizes_agree_and_repeats_bit_by_bit():
  rng = np.random.default_rng(1)
  heatmaps = rng.random((6, 14, 9, 17)).astype(np.float32)
  offsets = rng.normal(0, 4, (6, 14, 9, 17, 2)).astype(np.float32)
  single = np.stack(
    [decode.hough_vote(h, o, 4.0) for h, o in zip(heatmaps, offsets)]
  )
  batch = decode.hough_vote(heatmaps, offsets, 4.0)
  np.testing.assert_array_equal(batch, single)
  unknown = [
    tf.TensorSpec([None, None, None, 17]),
    tf.TensorSpec([None, None, None, 17, 2]),
  ]
  graph = tf.function(
    lambda h, o: decode.hough_vote(h, o, 4.0), input_signature=unknown
  )
  for _ in range(5):
    np.testing.assert_array_equal(graph(heatmaps, offsets), single)
  assert graph.get_concrete_function().output_shapes.as_list() == [
    *[None] * 3,
    17,
  ]
  whole = tf.function(decode.decode, input_signature=unknown)
  np.testing.assert_allclose(
    whole(heatmaps, offsets), decode.decode(heatmaps, offsets), atol=1e-5
  )


@pytest.mark.parametrize('seed', range(3))
def test_perfect_maps_give_the_joints_back(seed):
  height, width, radius = SMALL
  poses = random_poses(seed, 4, height, width)
  heatmaps, offsets = perfect(poses, height, width, radius)
  found = decode.decode(logits(heatmaps), offsets, radius).numpy()
  assert found.shape == (4, 17, 3)
  assert np.abs(found[..., :2] - poses).max() < 0.1
  # Most of a disk may lie outside; and four pixels share the votes.
  assert (found[..., 2] > 0.05).all() and (found[..., 2] < 1.05).all()


def test_perfect_maps_of_full_size():
  poses = random_poses(7, 1, 353, 257)
  heatmaps, offsets = perfect(poses, 353, 257, 25)
  found = decode.decode(logits(heatmaps), offsets).numpy()
  assert np.abs(found[..., :2] - poses).max() < 0.1


def test_score_of_a_whole_disk_on_a_pixel():
  # All pixels up to 5 from the middle: 81 of them vote for it, of pi 5^2.
  heatmaps, offsets = perfect(np.full((1, 1, 2), 10.0), 21, 21, 5)
  found = decode.decode_probabilities(heatmaps, offsets, 5).numpy()
  np.testing.assert_allclose(found[0, 0], [10, 10, 81 / (25 * math.pi)], 1e-5)


@pytest.mark.parametrize('seed', range(3))
def test_one_offset_in_five_disturbed(seed):
  height, width, radius = SMALL
  rng = np.random.default_rng(seed)
  # Whole disks are inside, so that four fifths of one are left.
  poses = rng.uniform(8, (height - 9, width - 9), (4, 17, 2))
  heatmaps, offsets = perfect(poses, height, width, radius)
  wrong = rng.random(heatmaps.shape) < 0.2
  noise = rng.normal(0, 15, offsets.shape)
  offsets = np.where(wrong[..., None], noise, offsets).astype(np.float32)
  found = decode.decode(logits(heatmaps), offsets, radius).numpy()
  distances = np.linalg.norm(found[..., :2] - poses, axis=-1)
  assert distances.max() < 1


def test_peaks_by_hand():
  votes = np.zeros((2, 4, 5, 2))
  # Around (1, 2): rows 3/4 and 1/4 of the way to the next, columns alike.
  votes[0, 1:3, 2:4, 0] = [[9 / 16, 3 / 16], [3 / 16, 1 / 16]]
  votes[0, 0, 0, 0] = 0.5  # not around it
  votes[1, 3, 4, 0] = votes[1, 0, 1, 0] = 2  # equals: the first; a border
  votes[1, 0, 2, 0] = 1
  points, scores = decode.peaks(votes)
  # (2 * 0 + 1 * 1) / 3 of a pixel to the right.
  np.testing.assert_allclose(
    points[:, 0], [[1.25, 2.25], [0, 1 + 1 / 3]], rtol=1e-6
  )
  np.testing.assert_allclose(scores[:, 0], [9 / 16, 2])
  # Joint 1 has no votes.
  np.testing.assert_array_equal(points[:, 1], np.zeros((2, 2)))
  np.testing.assert_array_equal(scores[:, 1], [0, 0])


def mirror_image(poses, width):
  """Poses in mirrored crops: where x was, W - 1 - x, and sides exchanged."""
  mirrored = poses[:, list(joints.MIRRORED)].copy()
  mirrored[..., 1] = width - 1 - mirrored[..., 1]
  return mirrored


def test_flip_back_of_a_mirrored_perfect_target():
  height, width, radius = 31, 24, 5
  # Quarters of a pixel, so that offsets are exact.
  poses = np.round(random_poses(3, 2, height, width) * 4) / 4
  heatmaps, offsets = perfect(poses, height, width, radius)
  mirrored = perfect(mirror_image(poses, width), height, width, radius)
  back, back_offsets = decode.flip_back(*mirrored)
  np.testing.assert_array_equal(back, heatmaps)
  np.testing.assert_array_equal(back_offsets, offsets)
  twice = decode.flip_back(back, back_offsets)
  np.testing.assert_array_equal(twice[0], mirrored[0])
  np.testing.assert_array_equal(twice[1], mirrored[1])


def test_merged():
  rng = np.random.default_rng(0)
  heatmaps = rng.normal(size=(2, 5, 4, 17)).astype(np.float32)
  offsets = rng.normal(size=(2, 5, 4, 17, 2)).astype(np.float32)
  # A network that is blind to left and right says nothing new.
  same = decode.merged(heatmaps, offsets, *decode.flip_back(heatmaps, offsets))
  np.testing.assert_allclose(same[0], tf.sigmoid(heatmaps), rtol=1e-6)
  np.testing.assert_allclose(same[1], offsets, rtol=1e-6)
  zeros = np.zeros_like(heatmaps), np.zeros_like(offsets)
  half = decode.merged(heatmaps, offsets, *zeros)
  np.testing.assert_allclose(half[0], tf.sigmoid(heatmaps) / 2 + 0.25, 1e-6)
  np.testing.assert_allclose(half[1], offsets / 2, rtol=1e-6)


@pytest.mark.parametrize(
  'heatmaps, offsets, radius, message',
  [
    ((4, 5), (4, 5, 2), 1, r'\[N, H, W, K\], got \(4, 5\)'),
    ((4, 5, 3), (4, 5, 3), 1, r'take offsets of shape \(4, 5, 3, 2\), got'),
    ((4, 5, 3), (4, 6, 3, 2), 1, r'got \(4, 6, 3, 2\)'),
    ((4, 5, 3), (4, 5, 3, 2), 0, 'must be above 0, got 0'),
    ((4, 5, 3), (4, 5, 3, 2), math.nan, 'must be above 0, got nan'),
  ],
)
def test_bad_input(heatmaps, offsets, radius, message):
  with pytest.raises(ValueError, match=message):
    decode.hough_vote(np.zeros(heatmaps), np.zeros(offsets), radius)


def test_flip_back_needs_cocos_joints():
  with pytest.raises(ValueError, match='maps of 17 joints, got 3'):
    decode.flip_back(np.zeros((1, 4, 5, 3)), np.zeros((1, 4, 5, 3, 2)))
