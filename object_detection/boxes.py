"""Geometry of boxes: pure functions on tensors or arrays.

Boxes are [..., 4] = [ymin, xmin, ymax, xmax], in pixels of the network's input
unless "normalised" is said; codes are [..., 4] = [ty, tx, th, tw] (Ren et al.
2015). Everything is computed in float32 and returned as a tensor. Leading
dimensions broadcast; N and M below may stand behind any number of them.
"""

from collections.abc import Sequence
from typing import Optional

import tensorflow as tf

# Make the codes of one regression about as large as each other, so that one
# localisation loss fits all (the reference's faster_rcnn_box_coder).
SCALES = (10.0, 10.0, 5.0, 5.0)
# Added to sides before a division or a logarithm, as in the reference.
_EPSILON = 1e-8


def area(boxes) -> tf.Tensor:
  """Returns [...], the area of boxes [..., 4]; 0 for an inverted box."""
  ymin, xmin, ymax, xmax = _unstack(boxes)
  return tf.maximum(ymax - ymin, 0.0) * tf.maximum(xmax - xmin, 0.0)


def intersection(a, b) -> tf.Tensor:
  """Returns [..., N, M]: common area of boxes a [..., N, 4], b [..., M, 4]."""
  a = [tf.expand_dims(x, -1) for x in _unstack(a)]
  b = [tf.expand_dims(x, -2) for x in _unstack(b)]
  height = tf.minimum(a[2], b[2]) - tf.maximum(a[0], b[0])
  width = tf.minimum(a[3], b[3]) - tf.maximum(a[1], b[1])
  return tf.maximum(height, 0.0) * tf.maximum(width, 0.0)


def iou(a, b) -> tf.Tensor:
  """Intersection over union.

  Args:
    a: [..., N, 4] boxes.
    b: [..., M, 4] boxes.

  Returns:
    [..., N, M] in [0, 1]; 0 where the boxes do not touch, also if both are
    empty.
  """
  common = intersection(a, b)
  union = tf.expand_dims(area(a), -1) + tf.expand_dims(area(b), -2) - common
  return tf.math.divide_no_nan(common, union)


def ioa(a, b) -> tf.Tensor:
  """Intersection over the area of `b`: the covered part of each box of b.

  Args:
    a: [..., N, 4] boxes.
    b: [..., M, 4] boxes.

  Returns:
    [..., N, M] in [0, 1]; 0 for an empty box of `b`.
  """
  return tf.math.divide_no_nan(intersection(a, b), tf.expand_dims(area(b), -2))


def encode(boxes, anchors, scales: Optional[Sequence[float]] = SCALES):
  """Describes boxes relative to anchors.

  ty = (y - ya) / ha, tx = (x - xa) / wa, th = log(h / ha), tw = log(w / wa),
  with y, x the centres; each times its scale.

  Args:
    boxes: [..., 4].
    anchors: [..., 4], broadcasts with `boxes`.
    scales: of ty, tx, th, tw; None is (1, 1, 1, 1).

  Returns:
    [..., 4] codes. A side of 0 counts as 1e-8 pixels, so its code is finite,
    but large: leave such boxes out of a loss.
  """
  y, x, h, w = _centre_form(boxes)
  ya, xa, ha, wa = _centre_form(anchors)
  h, w, ha, wa = (side + _EPSILON for side in (h, w, ha, wa))
  codes = tf.stack(
    [(y - ya) / ha, (x - xa) / wa, tf.math.log(h / ha), tf.math.log(w / wa)],
    axis=-1,
  )
  return codes if scales is None else codes * tf.constant(scales, tf.float32)


def decode(codes, anchors, scales: Optional[Sequence[float]] = SCALES):
  """Undoes `encode`.

  Args:
    codes: [..., 4].
    anchors: [..., 4], broadcasts with `codes`.
    scales: as given to `encode`.

  Returns:
    [..., 4] boxes; nothing clips them.
  """
  codes = tf.cast(codes, tf.float32)
  if scales is not None:
    codes = codes / tf.constant(scales, tf.float32)
  ty, tx, th, tw = tf.unstack(codes, axis=-1)
  ya, xa, ha, wa = _centre_form(anchors)
  y, x = ty * ha + ya, tx * wa + xa
  h, w = tf.exp(th) * ha, tf.exp(tw) * wa
  return tf.stack([y - h / 2.0, x - w / 2.0, y + h / 2.0, x + w / 2.0], axis=-1)


def window_of(image_sizes) -> tf.Tensor:
  """Returns [..., 4] = [0, 0, height, width] of sizes [..., 2]."""
  sizes = tf.cast(image_sizes, tf.float32)
  return tf.concat([tf.zeros_like(sizes), sizes], axis=-1)


def clip_to_window(boxes, window) -> tf.Tensor:
  """Cuts boxes at a window.

  Args:
    boxes: [..., 4].
    window: [..., 4], [ymin, xmin, ymax, xmax], broadcasts with `boxes`.

  Returns:
    [..., 4]; a box beyond the window has area 0 at its edge.
  """
  window = tf.cast(window, tf.float32)
  low = tf.concat([window[..., :2]] * 2, -1)
  high = tf.concat([window[..., 2:]] * 2, -1)
  return tf.maximum(tf.minimum(tf.cast(boxes, tf.float32), high), low)


def clip(boxes, height, width) -> tf.Tensor:
  """Cuts boxes [..., 4] at an image [0, height] x [0, width] (see inside)."""
  edges = [tf.cast(side, tf.float32) for side in (height, width)] * 2
  # Not clip_by_value, which refuses an edge that broadcasts against the boxes.
  parts = [
    tf.maximum(tf.minimum(x, edge), 0.0)
    for x, edge in zip(_unstack(boxes), edges)
  ]
  return tf.stack(parts, axis=-1)


def change_frame(boxes, window) -> tf.Tensor:
  """Measures boxes in units of a window.

  Args:
    boxes: [..., 4].
    window: [..., 4], broadcasts with `boxes`.

  Returns:
    [..., 4], normalised: the window itself becomes [0, 0, 1, 1].
  """
  window = tf.cast(window, tf.float32)
  corner, size = window[..., :2], window[..., 2:] - window[..., :2]
  shift = tf.concat([corner] * 2, -1)
  return (tf.cast(boxes, tf.float32) - shift) / tf.concat([size] * 2, -1)


def flip_left_right(boxes, width) -> tf.Tensor:
  """Mirrors boxes [..., 4] in an image of the given width."""
  ymin, xmin, ymax, xmax = _unstack(boxes)
  width = tf.cast(width, tf.float32)
  return tf.stack([ymin, width - xmax, ymax, width - xmin], axis=-1)


def scale(boxes, y, x) -> tf.Tensor:
  """Multiplies the coordinates of boxes [..., 4] by `y` and by `x`."""
  factors = [tf.cast(factor, tf.float32) for factor in (y, x)] * 2
  parts = [v * factor for v, factor in zip(_unstack(boxes), factors)]
  return tf.stack(parts, axis=-1)


def normalise(boxes, height, width) -> tf.Tensor:
  """Divides the coordinates of boxes [..., 4] by the image's size."""
  sides = [tf.cast(side, tf.float32) for side in (height, width)] * 2
  parts = [v / side for v, side in zip(_unstack(boxes), sides)]
  return tf.stack(parts, axis=-1)


def inside(boxes, height, width) -> tf.Tensor:
  """Says which boxes lie wholly in the image, its border included.

  Args:
    boxes: [..., 4].
    height: number or tensor that broadcasts with boxes[..., 0]; for a batch of
      images e.g. [N, 1] with boxes [A, 4].
    width: likewise.

  Returns:
    bool [...].
  """
  ymin, xmin, ymax, xmax = _unstack(boxes)
  height, width = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
  return (ymin >= 0) & (xmin >= 0) & (ymax <= height) & (xmax <= width)


def intersects_window(boxes, height, width) -> tf.Tensor:
  """Says which boxes have a part of positive area in the image (see inside)."""
  return area(clip(boxes, height, width)) > 0


def _unstack(boxes):
  return tf.unstack(tf.cast(boxes, tf.float32), num=4, axis=-1)


def _centre_form(boxes):
  """Returns y, x of the centre, height, width; each [...]."""
  ymin, xmin, ymax, xmax = _unstack(boxes)
  height, width = ymax - ymin, xmax - xmin
  return ymin + height / 2.0, xmin + width / 2.0, height, width
