"""The fastest of the equal forms of a convolution, chosen by its sizes.

Three forms, equal to 1e-5 of the largest value (winograd has no gradient of its
gradient):

  direct     tf.nn.convolution.
  product    a 1x1 convolution at stride 1 as one matrix product, both ways.
  winograd   a 3x3 convolution at stride 1 as winograd.conv3x3.

GPU libraries choose among such forms by themselves. TensorFlow on a CPU does
not: its own kernel (where oneDNN is off) makes the gradient of a convolution to
its input image by image, which on small maps takes 5 to 30 times the product
that it is, and oneDNN's convolutions take up to twice the product's time on
the smallest maps. The limits below are measured: benchmarks/convolutions.py.

Shapes: N images, H rows, W columns, C channels, F filters.
"""

import tensorflow as tf

from official_repro.modeling import winograd
from official_repro.util import onednn

# Winograd pays for the way of the maps into the domain of the products and out
# of it, too much where channels are few, and for the kernel's way, too much
# where tiles are few; and tiles may hang over the border.
_WINOGRAD_TILES = {True: 32, False: 64}  # by whether oneDNN is on
_WINOGRAD_CHANNELS = 128
_WINOGRAD_SAVING = 1.5  # times fewer products than the direct sum, all told
# Pixels of the output above which a 1x1 convolution stays one, by whether
# oneDNN is on.
_PRODUCT_PIXELS = {True: 64, False: 4096}


def conv2d(
  inputs, kernel, stride: int = 1, rate: int = 1, crops: bool = False
) -> tf.Tensor:
  """Convolution with zero padding; TF-slim's `conv2d_same`.

  With a stride the padding is explicit, (k - 1) / 2 before and the rest after,
  so that a strided convolution is exactly the subsampled dense one on even
  sizes too, where padding='SAME' is not.

  Args:
    inputs: [N, H, W, C] float; any of N, H and W may be unknown.
    kernel: [k, k, C, F], the same dtype.
    stride: output is [N, ceil(H / stride), ceil(W / stride), F].
    rate: dilation; one of stride and rate is 1.
    crops: N is large, though unknown.

  Returns:
    [N, H', W', F], the dtype of inputs.
  """
  size = kernel.shape[0]
  if size == 1 and stride == 1 and _product_gains(inputs):
    return _product(inputs, kernel)
  direct = lambda: _direct(inputs, kernel, stride, rate)
  if size != 3 or stride > 1 or not _may_be_winograd(inputs, kernel):
    return direct()
  gains = _winograd_gains(inputs, kernel, rate, crops)
  if isinstance(gains, bool):
    return winograd.conv3x3(inputs, kernel, rate) if gains else direct()
  # Pictures of many sizes.
  outputs = tf.cond(
    gains,
    lambda: winograd.conv3x3(inputs, kernel, rate, sparing=False),
    direct,
  )
  return tf.ensure_shape(outputs, [*inputs.shape[:3], kernel.shape[3]])


def _direct(inputs, kernel, stride, rate):
  total = (kernel.shape[0] - 1) * rate
  padded = stride > 1 and total > 0
  if padded:
    around = [total // 2, total - total // 2]
    inputs = tf.pad(inputs, [[0, 0], around, around, [0, 0]])
  # On CPUs tf.nn.convolution moves the dilation into the batch dimension:
  # at rate 2 that is twice as fast as the dilated operation, and unlike
  # that one it has a gradient without oneDNN.
  return tf.nn.convolution(
    inputs,
    kernel,
    strides=stride,
    padding='VALID' if padded else 'SAME',
    dilations=rate if rate > 1 else None,
  )


def _on_cpu(inputs):
  """Whether the other forms may gain; in 16 bits products are slow there."""
  return inputs.dtype == tf.float32 and not tf.config.list_physical_devices(
    'GPU'
  )


def _product_gains(inputs):
  height, width = inputs.shape[1:3]
  if None in (height, width) or not _on_cpu(inputs):
    return False
  return height * width <= _PRODUCT_PIXELS[onednn.enabled()]


def _product(inputs, kernel):
  channels, filters = kernel.shape[2:]
  outputs = tf.matmul(
    tf.reshape(inputs, [-1, channels]), tf.reshape(kernel, [channels, filters])
  )
  return tf.reshape(outputs, [*winograd.sizes(inputs)[:3], filters])


def _may_be_winograd(inputs, kernel):
  return _on_cpu(inputs) and min(kernel.shape[2:]) >= _WINOGRAD_CHANNELS


def _winograd_gains(inputs, kernel, rate, crops):
  """A bool, or a tensor where H or W is unknown; an unknown N counts as 1."""
  count, height, width, _ = inputs.shape
  if None in (height, width):
    height, width = tf.unstack(tf.shape(inputs)[1:3])
  work = winograd.work(height, width, rate)
  many = crops and count is None
  enough = (
    many or (count or 1) * work.tiles >= _WINOGRAD_TILES[onednn.enabled()]
  )
  # By C F, as those of a whole map may be more than int32 holds.
  channels, filters = kernel.shape[2:]
  number = (lambda x: x) if isinstance(height, int) else _to_float
  total = number(work.products)
  total += number(work.transforms) * (1 / channels + 1 / filters)
  fewer = total * _WINOGRAD_SAVING <= number(9 * height * width)
  return enough & fewer


def _to_float(x):
  return tf.cast(x, tf.float32)
