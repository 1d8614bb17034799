"""What batches of pictures of many sizes are made with, in any task."""

import numpy as np
import tensorflow as tf

# Near 0 in [-1, 1], which a convolution's own padding has.
PADDING = 128
# Bytes of a source id in a batch: numbers, as strings do not go to a GPU.
SOURCE_ID_BYTES = 256


def pad_to(images, height, width, value: int = PADDING) -> tf.Tensor:
  """Pads [..., H, W, channels] at the bottom and right.

  Args:
    images: uint8, at most height x width.
    height, width: int scalars.
    value: of the new pixels, grey if not given.

  Returns:
    uint8 [..., height, width, channels].
  """
  images = tf.convert_to_tensor(images)
  missing = [height - tf.shape(images)[-3], width - tf.shape(images)[-2]]
  before = [[0, 0]] * (images.shape.rank - 3)
  paddings = [*before, [0, missing[0]], [0, missing[1]], [0, 0]]
  return tf.pad(images, paddings, constant_values=value)


def round_up(size, multiple: int) -> tf.Tensor:
  """Returns the next multiple that is not below an int tensor."""
  return (size + multiple - 1) // multiple * multiple


def source_id_bytes(source_id) -> tf.Tensor:
  """Returns a text, string [], as uint8 [SOURCE_ID_BYTES]; see text_of.

  Raises:
    tf.errors.InvalidArgumentError: (when run) it is too long.
  """
  name = tf.io.decode_raw(
    tf.reshape(source_id, [1]), tf.uint8, fixed_length=SOURCE_ID_BYTES
  )
  check = tf.debugging.Assert(
    tf.strings.length(source_id) <= SOURCE_ID_BYTES,
    [f'A source id has more than {SOURCE_ID_BYTES} bytes', name],
  )
  with tf.control_dependencies([check]):
    return tf.identity(name[0])


def text_of(source_id) -> str:
  """Returns the text of a row of `source_id`, uint8 [SOURCE_ID_BYTES]."""
  return bytes(np.asarray(source_id)).rstrip(b'\0').decode()
