"""Decode, crop and flip, fused and on bytes; float only on the device.

The rule (Sun et al. 2017, sec. 4†): the whole picture is resized to
resize x resize (aspect not kept, bilinear), a random crop x crop window is cut
out of it and reflected at random. Evaluation takes the central window.

Training draws the window first, maps it to the picture and decodes and resizes
only that part. Three choices make this fast; tests/data/test_images.py holds
each of them to its bound:

- The window is snapped to whole pixels of the picture. That happens only where
  the picture is at least resize x resize, so the snap moves no point by more
  than half an output pixel; a smaller picture takes the two steps of the rule.
  A picture of exactly resize x resize is not resized at all.
- A JPEG of twice (4, 8 times) the size in both directions is decoded at 1/2
  (1/4, 1/8) of it. This averages where bilinear resizing would skip pixels, so
  it is nearer to an antialiased resize than the literal rule is.
- Chroma is upsampled by repetition. On photos this changes a pixel by about
  half a level, well below the JPEG's own error, and it makes a decoded window
  bit-equal to the same part of the decoded picture.

JPEG (grey, YCbCr, CMYK), PNG, BMP and the first frame of a GIF become RGB; an
alpha channel is dropped. EXIF orientation is not looked at: the builder of the
records turns pictures upright.
"""

from typing import Callable

import tensorflow as tf

from official_repro.data import order

CHANNELS = 3
# The factors that libjpeg can shrink by while it decodes.
_JPEG_RATIOS = (1, 2, 4, 8)


def check_sizes(resize: int, crop: int) -> None:
  """Raises ValueError unless 1 <= crop <= resize."""
  if not 1 <= crop <= resize:
    raise ValueError(
      'The crop must be at least 1 pixel and fit into the resized picture; '
      f'got crop={crop}, resize={resize}.'
    )


def _to_bytes(image) -> tf.Tensor:
  return tf.cast(image + 0.5, tf.uint8)


def _jpeg_shape(encoded) -> tf.Tensor:
  """Height and width of a JPEG, int32 [2]; zeros for any other format."""
  return tf.cond(
    tf.io.is_jpeg(encoded),
    lambda: tf.io.extract_jpeg_shape(encoded)[:2],
    lambda: tf.zeros([2], tf.int32),
  )


def decode(encoded) -> tf.Tensor:
  """Decodes a picture file's bytes of any format: uint8 [H, W, 3]."""
  image = tf.io.decode_image(
    encoded, channels=CHANNELS, expand_animations=False
  )
  image.set_shape([None, None, CHANNELS])
  return image


def _resize_and_cut(image, offset, resize: int, crop: int) -> tf.Tensor:
  """The literal rule on a decoded picture; offset int32 [2] (y, x)."""
  image = tf.image.resize(image, (resize, resize))
  image = tf.slice(image, tf.concat([offset, [0]], 0), [crop, crop, CHANNELS])
  return _to_bytes(image)


def _decode_and_resize_window(
  encoded, shape, offset, resize: int, crop: int, ratio: int
) -> tf.Tensor:
  """The fused rule on a JPEG of at least ratio * resize in both directions."""
  shape = (shape + ratio - 1) // ratio  # libjpeg rounds up
  scale = tf.cast(shape, tf.float32) / resize
  offset = tf.cast(offset, tf.float32)
  begin = tf.cast(tf.round(offset * scale), tf.int32)
  end = tf.cast(tf.round((offset + crop) * scale), tf.int32)
  window = tf.io.decode_and_crop_jpeg(
    encoded,
    tf.concat([begin, end - begin], 0),
    channels=CHANNELS,
    ratio=ratio,
    fancy_upscaling=False,
  )
  return tf.cond(
    tf.reduce_all(tf.equal(end - begin, crop)),
    lambda: window,
    lambda: _to_bytes(tf.image.resize(window, (crop, crop))),
  )


def _choose(
  encoded,
  resize: int,
  any_format: Callable[[], tf.Tensor],
  jpeg: Callable[[tf.Tensor, int], tf.Tensor],
) -> tf.Tensor:
  """Runs `jpeg(shape, ratio)` on a large enough JPEG, else `any_format()`."""
  shape = _jpeg_shape(encoded)
  fits = tf.reduce_min(shape) >= [ratio * resize for ratio in _JPEG_RATIOS]
  branches: list[Callable[[], tf.Tensor]] = [any_format]
  for ratio in _JPEG_RATIOS:
    branches.append(lambda ratio=ratio: jpeg(shape, ratio))
  # A larger ratio fits only where all smaller ones do: count them.
  return tf.switch_case(tf.reduce_sum(tf.cast(fits, tf.int32)), branches)


def draw(seeds) -> tf.Tensor:
  """Returns what `crop_and_flip` needs of chance: seeds [..., 2] -> [..., 3].

  Args:
    seeds: int32 or int64 [..., 2].

  Returns:
    float32 [..., 3] in [0, 1): the window's y and x, and the reflection.
  """
  seeds = tf.convert_to_tensor(seeds)
  return order.uniform(order.fold(seeds[..., 0], seeds[..., 1]), 3)


def crop_and_flip(encoded, draws, *, resize: int = 340, crop: int = 299):
  """`train_image` with its random numbers given.

  Drawing them for many pictures at once is cheaper than one by one.

  Args:
    encoded: string [], the picture file's bytes.
    draws: float32 [3], a row of `draw`.
    resize: as for `train_image`.
    crop: as for `train_image`.

  Returns:
    uint8 [crop, crop, 3], RGB.
  """
  check_sizes(resize, crop)
  offset = tf.cast(draws[:2] * (resize - crop + 1), tf.int32)
  # The largest draw can round up to one pixel too many.
  offset = tf.minimum(offset, resize - crop)
  image = _choose(
    encoded,
    resize,
    lambda: _resize_and_cut(decode(encoded), offset, resize, crop),
    lambda shape, ratio: _decode_and_resize_window(
      encoded, shape, offset, resize, crop, ratio
    ),
  )
  image = tf.cond(
    draws[2] < 0.5, lambda: tf.reverse(image, axis=[1]), lambda: image
  )
  return tf.ensure_shape(image, [crop, crop, CHANNELS])


def train_image(encoded, *, seed, resize: int = 340, crop: int = 299):
  """Decodes a random window of a picture, reflected half of the time.

  Args:
    encoded: string [], the picture file's bytes.
    seed: int32 or int64 [2]; the result is a pure function of it.
    resize: pixels; the picture's height and width before the crop.
    crop: pixels; height and width of the window.

  Returns:
    uint8 [crop, crop, 3], RGB.

  Raises:
    ValueError: the crop does not fit.
    tf.errors.InvalidArgumentError: (when run) no picture in a known format.
  """
  return crop_and_flip(encoded, draw(seed), resize=resize, crop=crop)


def eval_image(encoded, *, resize: int = 340, crop: int = 299):
  """Decodes a picture, resizes the whole and cuts out the central window.

  Args:
    encoded: string [], the picture file's bytes.
    resize: pixels; the picture's height and width before the crop.
    crop: pixels; height and width of the window. Where resize - crop is odd,
      the window lies half a pixel to the upper left.

  Returns:
    uint8 [crop, crop, 3], RGB.

  Raises:
    ValueError: the crop does not fit.
    tf.errors.InvalidArgumentError: (when run) no picture in a known format.
  """
  check_sizes(resize, crop)
  offset = tf.fill([2], (resize - crop) // 2)

  def jpeg(unused_shape, ratio):
    image = tf.io.decode_jpeg(
      encoded, channels=CHANNELS, ratio=ratio, fancy_upscaling=False
    )
    return _resize_and_cut(image, offset, resize, crop)

  image = _choose(
    encoded,
    resize,
    lambda: _resize_and_cut(decode(encoded), offset, resize, crop),
    jpeg,
  )
  return tf.ensure_shape(image, [crop, crop, CHANNELS])


def normalize(images) -> tf.Tensor:
  """Maps pixels [..., 3] of 0..255 to float32 in [-1, 1] (sec. 4†)."""
  return tf.cast(images, tf.float32) / 127.5 - 1.0
