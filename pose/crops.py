"""One person cut out of a picture, and the way back.

Papandreou et al. 2017 (G-RMI), sec. 3.2: the person's box is extended in height
or in width to the aspect of the crop, enlarged, and resized to 353 x 257 pixels
(height x width) without distortion.

Points are (y, x) in pixels whose centres are at whole numbers, in the picture
and in the crop alike; boxes are [ymin, xmin, ymax, xmax] in pixels of the
picture. Everything is a pure function that works eagerly and in a Dataset's
map; the axes of a Crop come first, so that one of shape [P] goes with points
[P, ..., 2].
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from official_repro.data.batching import PADDING, pad_to
from official_repro.data.images import CHANNELS
from pose.joints import MIRRORED

# Enlargement at test; in training it is drawn from U(1.0, 1.5).
SCALE = 1.25
# Pixels of a box's height and width, so that steps are above 0.
_LEAST_SIDE = 1.0
# From this step on pixels are averaged: bilinear sampling would pass over some.
_AVERAGED_FROM = 2.0


class Crop(NamedTuple):
  """Where the pixels of a crop lie in its picture.

  Attributes:
    origin: float32 [..., 2], (y, x) of the picture that the crop's pixel (0, 0)
      has before mirroring.
    step: float32 [...], pixels of the picture from one pixel of the crop to the
      next, in y and x alike.
    mirrored: bool [...], left and right of the crop are exchanged.
  """

  origin: tf.Tensor
  step: tf.Tensor
  mirrored: tf.Tensor


def around(boxes, height: int, width: int, scale=SCALE, mirrored=False) -> Crop:
  """Returns the crops around boxes.

  The region is the smallest of aspect (height - 1) / (width - 1) that holds the
  box, about the box's centre, times `scale`. The centres of the crop's first
  and last pixels lie on its edges: height - 1 steps span it, so only this
  aspect (1.375, where 353 / 257 is 1.374) has the same step in y and in x.

  Args:
    boxes: float [..., 4]. A side below one pixel counts as one pixel, for a
      finite crop; to refuse such boxes see check_boxes.
    height: of the crop in pixels.
    width: of the crop in pixels.
    scale: enlargement, a number or float [...].
    mirrored: bool or bool [...].

  Returns:
    Crop [...].

  Raises:
    ValueError: a crop of less than 2 x 2 pixels.
  """
  if min(height, width) < 2:
    raise ValueError(
      f'A crop has at least 2 x 2 pixels, got {height} x {width} (height x '
      'width).'
    )
  boxes = tf.cast(boxes, tf.float32)
  last = tf.constant([height - 1, width - 1], tf.float32)
  low, high = boxes[..., :2], boxes[..., 2:]
  sides = tf.maximum(high - low, _LEAST_SIDE)
  step = tf.reduce_max(sides / last, -1) * tf.cast(scale, tf.float32)
  origin = (low + high) / 2 - step[..., None] * last / 2
  mirrored = tf.broadcast_to(tf.cast(mirrored, tf.bool), tf.shape(step))
  return Crop(origin, step, mirrored)


def check_boxes(boxes, where: str = 'The person boxes') -> np.ndarray:
  """Returns boxes as float32 [N, 4], if a crop can be made around each.

  Args:
    boxes: numbers [N, 4].
    where: for the message.

  Raises:
    ValueError: another shape, a number that is not finite, or a box whose
      height or width is not above 0.
  """
  boxes = np.asarray(boxes, np.float32)
  if boxes.ndim != 2 or boxes.shape[1] != 4:
    raise ValueError(
      f'{where} must be [N, 4], ymin, xmin, ymax, xmax in pixels; got shape '
      f'{boxes.shape}.'
    )
  sound = np.isfinite(boxes).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1)
  if not sound.all():
    i = int(np.argmin(sound))
    raise ValueError(
      f'{where}: number {i} is {boxes[i].tolist()} (ymin, xmin, ymax, xmax); '
      'its height and width must be finite and above 0. Leave it out.'
    )
  return boxes


def to_picture(crop: Crop, points, width: int) -> tf.Tensor:
  """Takes points from crops to their pictures.

  Args:
    crop: Crop [...].
    points: float [..., 2] or [..., any, 2] in the crop.
    width: of the crop in pixels.

  Returns:
    float32, as `points`.
  """
  points = tf.cast(points, tf.float32)
  origin, step, mirrored = _spread(crop, points)
  return origin + step * _turned(points, mirrored, width)


def to_crop(crop: Crop, points, width: int) -> tf.Tensor:
  """Takes points from pictures to crops, the inverse of to_picture.

  Args:
    crop: Crop [...].
    points: float [..., 2] or [..., any, 2] in the picture.
    width: of the crop in pixels.

  Returns:
    float32, as `points`; outside of the crop too.
  """
  points = tf.cast(points, tf.float32)
  origin, step, mirrored = _spread(crop, points)
  return _turned((points - origin) / step, mirrored, width)


def joints_to_crop(crop: Crop, joints, width: int) -> tf.Tensor:
  """Takes joints from pictures to crops.

  In a mirrored crop a left joint takes the place of the right one, and the
  other way round: what looks like a left hand is called one.

  Visibility stays as it is, for a joint outside of the crop too: geometry tells
  that its disk is not in the crop, and so it is told from one that is not
  labelled (0), which says nothing about the crop; see targets.

  Args:
    crop: Crop [...].
    joints: float [..., K, 3] or [..., any, K, 3], (y, x, visibility), K as in
      pose.joints.
    width: of the crop in pixels.

  Returns:
    float32, as `joints`.
  """
  joints = tf.cast(joints, tf.float32)
  points = to_crop(crop, joints[..., :2], width)
  joints = tf.concat([points, joints[..., 2:]], -1)
  mirrored = _behind(_tensors(crop).mirrored, joints.shape.rank)
  return tf.where(mirrored, tf.gather(joints, MIRRORED, axis=-2), joints)


def cut(image, crop: Crop, height: int, width: int) -> tf.Tensor:
  """Cuts persons out of a picture, bilinear; grey 128 outside of the picture.

  From a step of 2 on, squares of whole pixels are averaged first, so that none
  is passed over. Only the part of the picture that a crop shows is worked on.

  Args:
    image: uint8 [H, W, 3].
    crop: Crop [] or [P] of this picture.
    height: of the crop in pixels.
    width: of the crop in pixels.

  Returns:
    uint8 [height, width, 3] or [P, height, width, 3].

  Raises:
    ValueError: the crop has more than one axis.
  """
  image, crop = tf.convert_to_tensor(image, tf.uint8), _tensors(crop)
  rank = crop.step.shape.rank
  if rank == 0:
    return _cut_one(image, crop, height, width)
  if rank != 1:
    raise ValueError(
      f'cut takes crops of shape [] or [P], got {crop.step.shape}.'
    )
  return tf.map_fn(
    lambda one: _cut_one(image, one, height, width),
    crop,
    fn_output_signature=tf.TensorSpec([height, width, CHANNELS], tf.uint8),
  )


def _cut_one(image, crop, height, width):
  """As `cut`, of a Crop []."""
  last = tf.constant([height - 1, width - 1], tf.float32)
  factor = _factor(crop.step, tf.shape(image)[:2])
  first, end = _window(
    crop.origin, crop.origin + crop.step * last, tf.shape(image)[:2], factor
  )
  part = image[first[0] : end[0], first[1] : end[1]]
  part = tf.cond(
    factor > 1,
    lambda: _averaged(part, factor),
    lambda: tf.cast(part, tf.float32),
  )
  # Cell i of the part covers the picture's pixels first + factor i up to first
  # + factor i + factor - 1; its centre is in their middle.
  whole = tf.cast(factor, tf.float32)
  centre = tf.cast(first, tf.float32) + (whole - 1) / 2
  start = (crop.origin - centre) / whole
  step = crop.step / whole
  x_start, x_step = tf.cond(
    crop.mirrored,
    lambda: (start[1] + step * last[1], -step),
    lambda: (start[1], step),
  )
  # (x, y) of the crop comes from (a0 x + a1 y + a2, b0 x + b1 y + b2).
  zero = tf.zeros([])
  row = [x_step, zero, x_start, zero, step, start[0], zero, zero]
  # In float32, as the op would cut off what is behind the point of a byte.
  sampled = tf.raw_ops.ImageProjectiveTransformV3(
    images=part[None],
    transforms=tf.stack(row)[None],
    output_shape=[height, width],
    fill_value=float(PADDING),
    interpolation='BILINEAR',
    fill_mode='CONSTANT',
  )[0]
  sampled = tf.cast(tf.round(sampled), tf.uint8)
  return tf.ensure_shape(sampled, [height, width, CHANNELS])


def _factor(step, size):
  """Returns int32 [], the side of the squares to average; 1 is none."""
  # No larger than the picture, so that padding stays small.
  largest = tf.cast(tf.reduce_max(size), tf.float32)
  factor = tf.cast(tf.minimum(tf.floor(step), largest), tf.int32)
  return tf.where(step < _AVERAGED_FROM, 1, factor)


def _window(low, high, size, factor):
  """Returns int32 [2] each: first pixels, and those behind the last ones.

  Sampling needs a cell on either side. The part has at least one pixel, also if
  it lies outside of the picture.
  """
  limit = tf.cast(size, tf.float32)
  whole = tf.cast(factor, tf.float32)
  first = tf.clip_by_value(tf.floor(low) - whole, 0.0, limit - 1)
  cells = tf.math.ceil((high - first) / whole) + 2
  end = tf.clip_by_value(first + cells * whole, first + 1, limit)
  return tf.cast(first, tf.int32), tf.cast(end, tf.int32)


def _averaged(part, factor):
  """Returns float32, the means of squares of pixels; grey fills up the last."""
  cells = (tf.shape(part)[:2] + factor - 1) // factor
  sides = cells * factor
  return tf.image.resize(pad_to(part, sides[0], sides[1]), cells, 'area')


def _turned(points, mirrored, width):
  """Mirrors points [..., 2] of a crop."""
  y, x = points[..., :1], points[..., 1:]
  return tf.concat([y, tf.where(mirrored, width - 1 - x, x)], -1)


def _tensors(crop):
  return Crop(*(tf.convert_to_tensor(x) for x in crop))


def _behind(values, rank):
  """Adds axes of length one to the end, up to a rank."""
  shape = tf.shape(values)
  missing = rank - values.shape.rank
  return tf.reshape(values, tf.concat([shape, [1] * missing], 0))


def _spread(crop, points):
  """Returns origin, step and mirrored that broadcast with points."""
  crop, rank = _tensors(crop), points.shape.rank
  axes = crop.step.shape.rank
  missing = tf.ones([rank - 1 - axes], tf.int32)
  shape = tf.concat([tf.shape(crop.step), missing, [2]], 0)
  return (
    tf.reshape(crop.origin, shape),
    _behind(crop.step, rank),
    _behind(crop.mirrored, rank),
  )
