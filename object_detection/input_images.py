"""Pictures as the detector wants them: decoded, resized, padded.

Grey pictures become RGB. Pixels stay bytes until they are on the device.
"""

import tensorflow as tf

from official_repro.data.images import CHANNELS

# Near 0 in [-1, 1], which a convolution's own padding has.
PADDING = 128
# A picture that shrinks more than this is averaged, as plain bilinear
# sampling would pass over pixels. (COCO's and VOC's pictures grow.)
_AVERAGED_FROM = 2.0


def decode(encoded) -> tf.Tensor:
  """Decodes a picture file's bytes of any format: uint8 [H, W, 3]."""
  image = tf.io.decode_image(
    encoded, channels=CHANNELS, expand_animations=False
  )
  return tf.ensure_shape(image, [None, None, CHANNELS])


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


def pad_to(images, height, width) -> tf.Tensor:
  """Pads [..., H, W, 3] at the bottom and right with grey."""
  missing = [height - tf.shape(images)[-3], width - tf.shape(images)[-2]]
  before = [[0, 0]] * (images.shape.rank - 3)
  paddings = [*before, [0, missing[0]], [0, missing[1]], [0, 0]]
  return tf.pad(images, paddings, constant_values=PADDING)


def round_up(size, multiple: int) -> tf.Tensor:
  """Returns the next multiple that is not below an int tensor."""
  return (size + multiple - 1) // multiple * multiple
