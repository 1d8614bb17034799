"""The grid of anchors of the region proposal network.

A = height * width * scales * ratios anchors, in the order row, column, aspect
ratio, scale (scale fastest): the order of the reference's heads, so that
weights trained there fit. Boxes are [ymin, xmin, ymax, xmax] in pixels.
"""

from collections.abc import Sequence
from typing import Union

import tensorflow as tf

from object_detection import boxes as boxes_lib

# Sun et al. 2017, sec. 4; those of faster_rcnn_resnet101_{coco,voc07}.
SCALES = (0.25, 0.5, 1.0, 2.0)
ASPECT_RATIOS = (0.5, 1.0, 2.0)

# A centre is a multiple of the stride, computed from edges up to 2,000 pixels
# away: float32 is exact to 1e-3 there.
_ROUNDING = 1e-2

Pair = Union[float, Sequence[float]]


def grid_anchors(
  height,
  width,
  stride: Pair = 16,
  base_size: Pair = 256,
  scales: Sequence[float] = SCALES,
  aspect_ratios: Sequence[float] = ASPECT_RATIOS,
  offset: Pair = (0.0, 0.0),
) -> tf.Tensor:
  """Places anchors on every cell of a feature map.

  An anchor of scale s and aspect ratio r (width / height) has the height
  s * base / sqrt(r) and the width s * base * sqrt(r); that of cell (i, j) has
  its centre at (i, j) * stride + offset.

  Args:
    height: rows of the feature map, int or int tensor.
    width: columns, likewise.
    stride: pixels between two cells; one number, or (vertical, horizontal).
    base_size: side in pixels of the anchor of scale 1 and ratio 1, likewise.
    scales: of the sides.
    aspect_ratios: width / height.
    offset: of the first centre in pixels, likewise.

  Returns:
    float32 [height * width * ratios * scales, 4].

  Raises:
    ValueError: a scale, ratio, stride or base size that is not above 0.
  """
  stride, base, offset = _pair(stride), _pair(base_size), _pair(offset)
  for name, values in (
    ('scales', scales),
    ('aspect_ratios', aspect_ratios),
    ('stride', stride),
    ('base_size', base),
  ):
    if not len(values) or min(values) <= 0:
      raise ValueError(
        f'{name} of the anchors must be above 0; got {tuple(values)}.'
      )
  roots = tf.sqrt(tf.constant(aspect_ratios, tf.float32))[:, None]
  scales = tf.constant(scales, tf.float32)[None]
  sizes = tf.stack([scales / roots * base[0], scales * roots * base[1]], -1)
  sizes = tf.reshape(sizes, [-1, 2])
  y = tf.cast(tf.range(height), tf.float32) * stride[0] + offset[0]
  x = tf.cast(tf.range(width), tf.float32) * stride[1] + offset[1]
  centres = tf.stack(tf.meshgrid(y, x, indexing='ij'), -1)[:, :, None]
  corners = tf.concat([centres - 0.5 * sizes, centres + 0.5 * sizes], -1)
  return tf.reshape(corners, [-1, 4])


def inside_image(anchors, height, width) -> tf.Tensor:
  """Says which anchors lie wholly in the image: those that may be trained.

  Args:
    anchors: [A, 4].
    height: true height of the image in pixels; [N, 1] for N images.
    width: likewise.

  Returns:
    bool [A], or [N, A].
  """
  return boxes_lib.inside(anchors, height, width)


def centred_in_image(anchors, height, width) -> tf.Tensor:
  """Says which anchors stand on a cell of the image and not of its padding.

  An image of H x W pixels has ceil(H / stride) x ceil(W / stride) cells; in a
  padded batch the others belong to the padding.

  Args:
    anchors: [A, 4].
    height: true height of the image in pixels; [N, 1] for N images.
    width: likewise.

  Returns:
    bool [A], or [N, A].
  """
  ymin, xmin, ymax, xmax = tf.unstack(tf.cast(anchors, tf.float32), axis=-1)
  height, width = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
  in_rows = (ymin + ymax) / 2 < height - _ROUNDING
  return in_rows & ((xmin + xmax) / 2 < width - _ROUNDING)


def _pair(value: Pair) -> tuple[float, float]:
  if isinstance(value, (int, float)):
    return float(value), float(value)
  first, second = value
  return float(first), float(second)
