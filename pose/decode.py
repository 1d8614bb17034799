"""From heatmaps and offsets to joints: every pixel votes where the joint is.

Papandreou et al. 2017 (G-RMI), sec. 3.2-3.3. Shapes: N crops of H x W pixels,
K joints. Pixels have their centres at whole numbers; (y, x) order.
"""

import math

import tensorflow as tf

from pose import joints as joints_lib
from pose.targets import RADIUS

# Border of a map of votes, which takes what misses the picture: such a vote is
# put to the outermost pixel and shared with the next one. So the border is two
# pixels wide before the first row and column; after the last ones a share goes
# to the border of the next row.
_BEFORE, _AFTER = 2, 1
# So many maps are worked on at once; more would only need more memory.
_AT_ONCE = 4


def hough_vote(heatmaps, offsets, radius: float = RADIUS) -> tf.Tensor:
  """Fuses heatmaps and offsets into one map of votes per joint.

  f_k(x) = sum_j 1 / (pi R^2) G(x_j + F_k(x_j) - x) h_k(x_j), with G the
  bilinear kernel: pixel j votes for the point that its offset leads to, with
  the weight of its heatmap, and the four pixels around the point share the
  vote. A disk of ones whose offsets all lead to one point gives 1 there, but
  for the disk's rim on whole pixels. Shares of pixels outside of the picture
  are lost, each by itself; so is a vote whose offset is not finite.

  The sum is exact (no pixel is left out), and always taken in the same order
  on a CPU: equal input gives equal bits. No gradient.

  Args:
    heatmaps: float [H, W, K] or [N, H, W, K], probabilities.
    offsets: float [H, W, K, 2] or [N, H, W, K, 2], (dy, dx) in pixels.
    radius: R in pixels, above 0.

  Returns:
    float32 of the heatmaps' shape. H, W and N may be unknown in a graph.

  Raises:
    ValueError: shapes do not fit, or the radius is not above 0.
  """
  heatmaps = tf.cast(heatmaps, tf.float32)
  offsets = tf.cast(offsets, tf.float32)
  _check(heatmaps, offsets, radius)
  scale = tf.constant(1 / (math.pi * radius**2), tf.float32)
  if heatmaps.shape.rank == 3:
    votes = _vote(heatmaps[None], offsets[None], scale)[0]
  else:
    # A replica's share of the last batch of an evaluation may be empty, and
    # nothing can be made of the maps of nobody.
    votes = tf.cond(
      tf.shape(heatmaps)[0] > 0,
      lambda: _vote(heatmaps, offsets, scale),
      lambda: tf.zeros_like(heatmaps),
    )
  return tf.ensure_shape(votes, heatmaps.shape)


def _check(heatmaps, offsets, radius):
  if heatmaps.shape.rank not in (3, 4):
    raise ValueError(
      'hough_vote takes heatmaps [H, W, K] or [N, H, W, K], got '
      f'{heatmaps.shape}.'
    )
  expected = heatmaps.shape + [2]
  if not offsets.shape.is_compatible_with(expected):
    raise ValueError(
      f'Heatmaps {heatmaps.shape} take offsets of shape {expected}, got '
      f'{offsets.shape}.'
    )
  if not radius > 0:
    raise ValueError(f'The radius of a disk must be above 0, got {radius}.')


@tf.function(reduce_retracing=True)
def _vote(heatmaps, offsets, scale):
  """hough_vote of a batch, times `scale`.

  Map by map: all that one needs fits into the processor's cache then, which
  takes two thirds of the time of all at once, and little memory. A graph of its
  own, as many small ops take six times as long one by one.
  """
  number, height, width, joints = tf.unstack(tf.shape(heatmaps))
  pixels = tf.range(height * width)
  rows = tf.cast(pixels // width + _BEFORE, tf.float32)
  columns = tf.cast(pixels % width + _BEFORE, tf.float32)
  height, width = height + _BEFORE + _AFTER, width + _BEFORE + _AFTER

  def vote(inputs):
    weights, (dy, dx) = inputs[0], tf.unstack(inputs[1])
    y, down = _split(rows + dy, height)
    x, right = _split(columns + dx, width)
    lower = weights * down
    upper = weights - lower
    upper_right, lower_right = upper * right, lower * right
    corner = y * width + x
    return tf.add_n(
      [
        _sums(corner, upper - upper_right, height * width),
        _sums(corner + 1, upper_right, height * width),
        _sums(corner + width, lower - lower_right, height * width),
        _sums(corner + width + 1, lower_right, height * width),
      ]
    )

  votes = tf.map_fn(
    vote,
    (_by_map(heatmaps[..., None])[:, 0], _by_map(offsets)),
    fn_output_signature=tf.TensorSpec([None], tf.float32),
    parallel_iterations=_AT_ONCE,
  )
  votes = tf.reshape(votes, [number, joints, height, width])
  inside = slice(_BEFORE, -_AFTER)
  return tf.transpose(votes[..., inside, inside], [0, 2, 3, 1]) * scale


def _by_map(x):
  """Turns [N, H, W, K, C] into [N * K, C, H * W]."""
  n, h, w, k, c = tf.unstack(tf.shape(x))
  x = tf.transpose(tf.reshape(x, [n, h * w, k, c]), [0, 2, 3, 1])
  return tf.reshape(x, [n * k, c, h * w])


def _split(aims, size):
  """Splits places along one axis into whole pixels and the rest.

  Args:
    aims: float32 [P], in the map with its border.
    size: of that map.

  Returns:
    int32 [P] from 0 to size - 1: what misses the picture is in the border, NaN
    too. float32 [P]: how much further.
  """
  whole = tf.floor(aims)
  # What no int32 can hold becomes 0 or an extreme one, hence border.
  pixels = tf.clip_by_value(tf.cast(whole, tf.int32), 0, size - 1)
  return pixels, aims - whole


def _sums(places, weights, size):
  """Adds up the weights [P] at each of `size` places: float32 [size].

  Places of `size` and above are lost. As one row of many, it is summed by one
  thread, so its order is fixed; this is a third of the time of
  tf.math.unsorted_segment_sum. tf.math.bincount would first look for the
  largest place.
  """
  return tf.raw_ops.DenseBincount(
    input=places[None], size=size, weights=weights[None], binary_output=False
  )[0]


def peaks(votes):
  """Finds the best place of each joint.

  That is the centroid of the votes in the 3 x 3 pixels around the largest one.
  A vote is shared bilinearly by at most 2 x 2 pixels, and the centroid of its
  shares is the point voted for. The largest share is at one of the four, so the
  3 x 3 pixels around it contain them all: votes for one point give this point
  back exactly. Pixels beyond the picture have no votes.

  Args:
    votes: float [N, H, W, K], 0 or above.

  Returns:
    points: float32 [N, K, 2] (y, x). Where a joint has no votes at all: (0, 0).
    scores: float32 [N, K], the largest vote; of equals the first one, row by
      row, is taken.
  """
  votes = tf.cast(votes, tf.float32)
  number, height, width, joints = tf.unstack(tf.shape(votes))
  flat = tf.reshape(votes, [number, height * width, joints])
  best = tf.argmax(flat, axis=1, output_type=tf.int32)
  # [N, K, 2], then the pixels around it: [N, K, 9, 2].
  middle = tf.stack([best // width, best % width], -1)
  steps = tf.constant([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)])
  around = middle[:, :, None] + steps
  clipped = tf.clip_by_value(around, 0, [height - 1, width - 1])
  inside = tf.reduce_all(tf.equal(clipped, around), -1)
  of_crop = tf.range(number)[:, None, None, None] + tf.zeros_like(around)
  of_joint = tf.range(joints)[:, None, None] + tf.zeros_like(around)
  where = tf.concat([of_crop[..., :1], clipped, of_joint[..., :1]], -1)
  weights = tf.gather_nd(votes, where) * tf.cast(inside, tf.float32)
  steps = tf.cast(steps, tf.float32)
  shift = tf.math.divide_no_nan(
    tf.reduce_sum(weights[..., None] * steps, axis=2),
    tf.reduce_sum(weights, axis=2)[..., None],
  )
  return tf.cast(middle, tf.float32) + shift, tf.reduce_max(flat, axis=1)


def decode(heatmap_logits, offsets, radius: float = RADIUS) -> tf.Tensor:
  """Returns the joints that a network's output means.

  Args:
    heatmap_logits: float [N, H, W, K].
    offsets: float [N, H, W, K, 2], (dy, dx) in pixels.
    radius: of the disks that the network has learnt, in pixels.

  Returns:
    float32 [N, K, 3]: y, x in pixels of the crop, and the joint's score, the
    largest of hough_vote's values.

  Raises:
    ValueError: as hough_vote.
  """
  heatmaps = tf.sigmoid(tf.cast(heatmap_logits, tf.float32))
  return decode_probabilities(heatmaps, offsets, radius)


def decode_probabilities(heatmaps, offsets, radius: float = RADIUS):
  """As `decode`, from probabilities: those of `merged`, for example."""
  points, scores = peaks(hough_vote(heatmaps, offsets, radius))
  return tf.concat([points, scores[..., None]], -1)


def flip_back(heatmaps, offsets):
  """Turns the output for mirrored crops into that for the crops themselves.

  Column x was W - 1 - x, left joints were right ones, and dx pointed the other
  way.

  Args:
    heatmaps: float [N, H, W, 17], logits or probabilities.
    offsets: float [N, H, W, 17, 2], (dy, dx).

  Returns:
    heatmaps, offsets: likewise.

  Raises:
    ValueError: not COCO's 17 joints: who is whose mirror image is unknown.
  """
  heatmaps, offsets = (
    tf.convert_to_tensor(heatmaps),
    tf.convert_to_tensor(offsets),
  )
  for shape in (heatmaps.shape[:4], offsets.shape[:4]):
    if shape[3] != len(joints_lib.MIRRORED):
      raise ValueError(
        f'flip_back takes maps of {len(joints_lib.MIRRORED)} joints, got '
        f'{shape[3]}.'
      )
  heatmaps = tf.gather(heatmaps[:, :, ::-1], joints_lib.MIRRORED, axis=3)
  offsets = tf.gather(offsets[:, :, ::-1], joints_lib.MIRRORED, axis=3)
  return heatmaps, offsets * tf.constant([1, -1], offsets.dtype)


def merged(heatmap_logits, offsets, mirrored_logits, mirrored_offsets):
  """Averages what the network says about crops and about their mirror images.

  Args:
    heatmap_logits: float [N, H, W, 17], for the crops.
    offsets: float [N, H, W, 17, 2], for the crops.
    mirrored_logits: likewise, for the mirrored crops, as the network gave them.
    mirrored_offsets: likewise.

  Returns:
    float32 probabilities [N, H, W, 17] and offsets [N, H, W, 17, 2], for
    `decode_probabilities`: the means of both.

  Raises:
    ValueError: as flip_back.
  """
  back, back_offsets = flip_back(mirrored_logits, mirrored_offsets)
  half = lambda a, b: (tf.cast(a, tf.float32) + tf.cast(b, tf.float32)) / 2
  heatmaps = half(tf.sigmoid(heatmap_logits), tf.sigmoid(back))
  return heatmaps, half(offsets, back_offsets)
