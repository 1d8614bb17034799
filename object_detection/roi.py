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
  boxes = boxes_lib.normalise(tf.stop_gradient(boxes), height, width)
  num_images, per_image = tf.shape(boxes)[0], tf.shape(boxes)[1]
  owners = tf.repeat(tf.range(num_images), per_image)
  crops = tf.image.crop_and_resize(
    features, tf.reshape(boxes, [-1, 4]), owners, [crop, crop]
  )
  # crop_and_resize answers in float32, whatever it is given.
  return tf.cast(tf.nn.max_pool2d(crops, 2, 2, 'VALID'), features.dtype)
