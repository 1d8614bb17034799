"""Crops of a feature map: the input of the second stage."""

import tensorflow as tf

from object_detection import boxes as boxes_lib


def crop_and_pool(features, boxes, image_size, crop: int = 14) -> tf.Tensor:
  """Cuts out boxes, resized to crop x crop, then 2x2 max-pool.

  The paper's stack (and the reference's): bilinear samples of
  `tf.image.crop_and_resize`, which puts a normalised y at y * (h - 1), not RoI
  align. No gradient flows to the coordinates.

  Args:
    features: [N, h, w, C].
    boxes: [N, P, 4] [ymin, xmin, ymax, xmax] in pixels of the network's input.
    image_size: (height, width) of the network's input in pixels, with padding:
      what `features` covers.
    crop: side of the crops, even.

  Returns:
    [N * P, crop / 2, crop / 2, C], image by image, of the features' type.

  Raises:
    ValueError: an odd `crop`.
  """
  if crop < 2 or crop % 2:
    raise ValueError(
      f'The crop of the second stage must be even and at least 2; got {crop}.'
    )
  height, width = image_size[0], image_size[1]
  boxes = tf.ensure_shape(boxes, [features.shape[0], None, 4])
  boxes = boxes_lib.normalise(tf.stop_gradient(boxes), height, width)
  num_images, per_image = tf.shape(boxes)[0], tf.shape(boxes)[1]
  owners = tf.repeat(tf.range(num_images), per_image)
  crops = crop_and_resize(features, tf.reshape(boxes, [-1, 4]), owners, crop)
  # crop_and_resize answers in float32, whatever it is given.
  return tf.cast(tf.nn.max_pool2d(crops, 2, 2, 'VALID'), features.dtype)


def crop_and_resize(features, boxes, owners, crop: int) -> tf.Tensor:
  """`tf.image.crop_and_resize` whose gradient is right on a CPU as well.

  TensorFlow's own CPU kernel adds up the gradients of overlapping boxes from
  several threads at once without a lock, and so loses some of them, others in
  each run. Here they are one product with a sparse matrix.

  Args:
    features: [N, h, w, C].
    boxes: [R, 4] [ymin, xmin, ymax, xmax], 1 being the last row or column.
    owners: int32 [R], each box's image.
    crop: side of the crops, at least 2.

  Returns:
    float32 [R, crop, crop, C]. Gradients flow to `features` only.
  """

  @tf.custom_gradient
  def sample(features):
    # In float32, as GPUs have no kernel for bfloat16.
    crops = tf.image.crop_and_resize(
      tf.cast(features, tf.float32), boxes, owners, [crop, crop]
    )

    def gradient(upstream):
      cells = _bilinear_weights(boxes, owners, tf.shape(features), crop)
      rows = tf.reshape(upstream, [-1, features.shape[-1]])
      total = tf.sparse.sparse_dense_matmul(cells, rows, adjoint_a=True)
      return tf.cast(tf.reshape(total, tf.shape(features)), features.dtype)

    return crops, gradient

  return sample(features)


def _bilinear_weights(boxes, owners, shape, crop):
  """Each sample as a weighted sum of cells: sparse [R * crop^2, N * h * w]."""
  num_images, height, width = shape[0], shape[1], shape[2]
  rows, row_weights = _bilinear_axis(boxes[:, 0], boxes[:, 2], height, crop)
  columns, column_weights = _bilinear_axis(
    boxes[:, 1], boxes[:, 3], width, crop
  )
  # [R, crop, crop, 2, 2]: box, sample's row and column, its corners.
  cells = owners[:, None, None] * height + rows
  cells = cells[:, :, None, :, None] * width + columns[:, None, :, None, :]
  weights = (
    row_weights[:, :, None, :, None] * column_weights[:, None, :, None, :]
  )
  count = tf.size(cells) // 4
  samples = tf.repeat(tf.range(count), 4)
  indices = tf.stack([samples, tf.reshape(cells, [-1])], 1)
  size = tf.stack([count, num_images * height * width])
  return tf.SparseTensor(
    tf.cast(indices, tf.int64),
    tf.reshape(weights, [-1]),
    tf.cast(size, tf.int64),
  )


def _bilinear_axis(low, high, size, crop):
  """Cells and weights, int32 and float32 [R, crop, 2], along one axis."""
  last = tf.cast(size - 1, tf.float32)
  step = (high - low) * last / (crop - 1)
  at = (low * last)[:, None] + tf.range(crop, dtype=tf.float32) * step[:, None]
  # What lies outside of the map is 0 there, whatever the map holds.
  inside = tf.cast((at >= 0) & (at <= last), tf.float32)
  below = tf.floor(at)
  share = at - below
  cells = tf.clip_by_value(tf.stack([below, tf.math.ceil(at)], -1), 0, last)
  weights = tf.stack([1 - share, share], -1) * inside[..., None]
  return tf.cast(cells, tf.int32), weights
