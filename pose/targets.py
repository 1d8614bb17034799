"""What the network should answer: disks, and where in them the joint lies.

Papandreou et al. 2017 (G-RMI), sec. 3.2. Shapes: N crops of H x W pixels, K
joints, P other people. Joints are [..., K, 3] = (y, x, visibility) in pixels of
the crop, whose centres are at whole numbers.

A joint with visibility 0 is not labelled: nothing is learnt about it, and it
has no disk. A labelled joint counts, hidden or seen, wherever it is: one that
lies outside of the crop may reach into it with its disk, and if it does not,
the whole crop is a true "not here".
"""

import math
from typing import NamedTuple

import tensorflow as tf

RADIUS = 25.0  # pixels of a 353 x 257 crop


class Targets(NamedTuple):
  """Targets of one crop, or of N with a first axis more.

  Attributes:
    heatmaps: float32 [H, W, K]: 1 up to `radius` from the joint, else 0.
    offsets: float32 [H, W, K, 2]: (dy, dx) from the pixel to the joint where
      the heatmap is 1, else 0.
    weights: float32 [H, W, K], of the heatmap's loss: 1 where it counts, else
      0; always 1 where the heatmap is 1.
  """

  heatmaps: tf.Tensor
  offsets: tf.Tensor
  weights: tf.Tensor


def make_targets(
  keypoints, height: int, width: int, radius: float = RADIUS, others=None
) -> Targets:
  """Draws the disks of joints.

  h_k(x) = 1 where |x - l_k| <= R, the rim included, and F_k(x) = l_k - x there.
  Pixels in the disk of another person's joint k are left out of joint k's loss
  (weight 0), unless they are in the own disk too.

  Only the pixels of disks are worked on, 2% of the maps, so another person
  costs about as little as a joint.

  Args:
    keypoints: float [K, 3] or [N, K, 3].
    height: of the crop in pixels.
    width: of the crop in pixels.
    radius: R in pixels.
    others: float [P, K, 3] or [N, P, K, 3], joints of the other people in the
      picture, in pixels of the same crop; padding has visibility 0. None:
      nobody else.

  Returns:
    Targets.

  Raises:
    ValueError: a shape is another one, or the radius or a side is too small.
  """
  keypoints = tf.cast(keypoints, tf.float32)
  if others is not None:
    others = tf.cast(others, tf.float32)
  _check(keypoints, others, height, width, radius)
  if keypoints.shape.rank == 2:
    batch = make_targets(
      keypoints[None],
      height,
      width,
      radius,
      None if others is None else others[None],
    )
    return Targets(*(x[0] for x in batch))
  labelled = tf.cast(keypoints[:, None, None, :, 2] > 0, tf.float32)
  shape = [tf.shape(keypoints)[0], height, width, keypoints.shape[1]]
  weights = tf.reshape(tf.broadcast_to(labelled, shape), [-1])
  places, offsets = _disks(keypoints[:, None], height, width, radius)
  ones = tf.ones(tf.shape(places)[:1])
  if others is not None:
    theirs, _ = _disks(others, height, width, radius)
    nothing = tf.zeros(tf.shape(theirs)[:1])
    weights = tf.tensor_scatter_nd_update(weights, theirs, nothing)
    weights = tf.tensor_scatter_nd_update(weights, places, ones)
  size = tf.size(weights, tf.int64)
  return Targets(
    tf.reshape(tf.scatter_nd(places, ones, size[None]), shape),
    tf.reshape(tf.scatter_nd(places, offsets, [size, 2]), [*shape, 2]),
    tf.reshape(weights, shape),
  )


def _disks(people, height, width, radius):
  """Lists the pixels of the disks of people [N, P, K, 3], inside the crop.

  Returns:
    int64 [M, 1], places in flat maps [N * H * W * K], and float32 [M, 2],
    (dy, dx) from there to the joint.
  """
  number, joints = tf.shape(people, tf.int64)[0], people.shape[2]
  points = people[..., :2]
  # [N, P, K, 2, S]: the rows and the columns that may meet a disk, as many as
  # there are whole numbers from y - R to y + R.
  steps = tf.range(math.floor(2 * radius) + 1, dtype=tf.float32)
  lines = tf.math.ceil(points - radius)[..., None] + steps
  deltas = points[..., None] - lines
  sides = tf.constant([height, width], tf.float32)[:, None]
  meets = (lines >= 0) & (lines < sides) & (people[..., 2:, None] > 0)
  square = tf.where(meets, tf.square(deltas), math.inf)
  inside = square[..., 0, :, None] + square[..., 1, None, :] <= radius**2
  lines = tf.cast(tf.where(meets, lines, 0.0), tf.int64)
  rows = tf.range(number)[:, None, None, None] * height + lines[..., 0, :]
  pixels = rows[..., :, None] * width + lines[..., 1, None, :]
  places = pixels * joints + tf.range(joints, dtype=tf.int64)[:, None, None]
  dy = tf.broadcast_to(deltas[..., 0, :, None], tf.shape(places))
  dx = tf.broadcast_to(deltas[..., 1, None, :], tf.shape(places))
  offsets = tf.reshape(tf.stack([dy, dx], -1), [-1, 2])
  found = tf.where(tf.reshape(inside, [-1]))
  places = tf.gather_nd(tf.reshape(places, [-1, 1]), found)
  return places, tf.gather_nd(offsets, found)


def _check(keypoints, others, height, width, radius):
  shape = keypoints.shape
  if shape.rank not in (2, 3) or shape[-1] != 3 or shape[-2] is None:
    raise ValueError(
      'make_targets takes keypoints [K, 3] or [N, K, 3], (y, x, visibility); '
      f'got {shape}.'
    )
  if others is not None:
    expected = tf.TensorShape([*shape[:-2], None, *shape[-2:]])
    if not others.shape.is_compatible_with(expected):
      raise ValueError(
        f'Keypoints {shape} take others of shape {expected}, got '
        f'{others.shape}.'
      )
  if not radius > 0:
    raise ValueError(f'The radius of a disk must be above 0, got {radius}.')
  if min(height, width) < 1:
    raise ValueError(
      f'A crop has at least one pixel, got {height} x {width} (height x width).'
    )
