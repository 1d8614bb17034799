"""Pictures as the detector wants them: resized, aspect kept.

Pixels stay bytes until they are on the device.
"""

import tensorflow as tf

from official_repro.data.images import CHANNELS

# A picture that shrinks more than this is averaged, as plain bilinear
# sampling would pass over pixels. (COCO's and VOC's pictures grow.)
_AVERAGED_FROM = 2.0


def resized_size(size, min_side: int, max_side: int) -> tf.Tensor:
  """Returns the size of a picture as the network sees it.

  The shorter side becomes min_side, or less where the longer one would be
  above max_side; rounded to even as the reference's keep_aspect_ratio_resizer.

  Args:
    size: int [2], height and width.
    min_side: pixels.
    max_side: pixels.

  Returns:
    int32 [2], at least 1.
  """
  sides = tf.cast(size, tf.float32)
  scale = tf.minimum(
    min_side / tf.reduce_min(sides), max_side / tf.reduce_max(sides)
  )
  return tf.maximum(tf.cast(tf.round(sides * scale), tf.int32), 1)


def resize(image, min_side: int, max_side: int) -> tf.Tensor:
  """Resizes a picture, aspect kept, bilinear.

  Args:
    image: uint8 [H, W, 3].
    min_side: see resized_size.
    max_side: see resized_size.

  Returns:
    uint8 [H', W', 3].
  """
  old = tf.shape(image)[:2]
  new = resized_size(old, min_side, max_side)
  shrinks = tf.cast(tf.reduce_max(old), tf.float32) > (
    _AVERAGED_FROM * tf.cast(tf.reduce_max(new), tf.float32)
  )

  def resized():
    pixels = tf.cond(
      shrinks,
      lambda: tf.image.resize(image, new, antialias=True),
      lambda: tf.image.resize(image, new),
    )
    return tf.cast(tf.clip_by_value(pixels + 0.5, 0, 255), tf.uint8)

  image = tf.cond(tf.reduce_all(old == new), lambda: image, resized)
  return tf.ensure_shape(image, [None, None, CHANNELS])
