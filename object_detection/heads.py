"""The detector's new layers: region proposal network and box head.

Shapes: N images, h x w cells, C channels of conv4, A = h * w * 12 anchors, P
proposals, K classes without the background, B = K, or 1 with shared boxes.
"""

from typing import Optional

import tensorflow as tf

from official_repro.modeling import blocks, convolution

RPN_CHANNELS = 512
_RPN_DEVIATION = 0.01


class Affine(tf.keras.layers.Layer):
  """Convolution (or fully connected layer) with bias, at stride 1.

  Args:
    in_channels, out_channels: of the kernel.
    size: of the square kernel; 0 for a fully connected layer.
    scope: variables are SCOPE/kernel and SCOPE/bias.
    initializer: of the kernel.
    weight_decay: see blocks.BlockOptions.
    dtype: what it computes in; None: as the process does.
  """

  def __init__(
    self,
    in_channels: int,
    out_channels: int,
    size: int,
    *,
    scope: str,
    initializer: tf.keras.initializers.Initializer,
    weight_decay: float = 0.0,
    dtype: Optional[str] = None,
  ):
    super().__init__(name=scope.replace('/', '_'), dtype=dtype)
    window = (size, size) if size else ()
    with tf.name_scope(scope + '/'):
      self.kernel = self.add_weight(
        'kernel',
        (*window, in_channels, out_channels),
        initializer=initializer,
        regularizer=blocks.half_l2(weight_decay),
      )
      self.bias = self.add_weight('bias', (out_channels,), initializer='zeros')

  def call(self, inputs):
    """[..., in_channels] -> [..., out_channels]."""
    if self.kernel.shape.rank == 2:
      return tf.nn.bias_add(tf.matmul(inputs, self.kernel), self.bias)
    x = convolution.conv2d(inputs, self.kernel)
    return tf.nn.bias_add(x, self.bias)


class ProposalNetwork(tf.keras.layers.Layer):
  """RPN: 3x3 convolution with ReLU6, then two 1x1 ones in float32.

  Args:
    channels: C of the input.
    per_cell: anchors at a cell.
    weight_decay: see blocks.BlockOptions.
  """

  def __init__(self, channels: int, per_cell: int, weight_decay: float):
    super().__init__(name='rpn')

    def affine(key, in_channels, out_channels, size, dtype='float32'):
      return Affine(
        in_channels,
        out_channels,
        size,
        scope=f'rpn/{key}',
        initializer=tf.keras.initializers.TruncatedNormal(
          stddev=_RPN_DEVIATION
        ),
        weight_decay=weight_decay,
        dtype=dtype,
      )

    self.conv = affine('conv', channels, RPN_CHANNELS, 3, dtype=None)
    self.objectness = affine('objectness', RPN_CHANNELS, per_cell * 2, 1)
    self.box = affine('box', RPN_CHANNELS, per_cell * 4, 1)

  def call(self, features):
    """Looks at every cell.

    Args:
      features: [N, h, w, C].

    Returns:
      float32 logits: [N, A, 2], background and object; codes: [N, A, 4].
    """
    x = tf.nn.relu6(self.conv(features))
    return _rows(self.objectness(x), 2), _rows(self.box(x), 4)


class BoxHead(tf.keras.layers.Layer):
  """Scores and boxes of pooled crops, in float32.

  Args:
    channels: of the input.
    num_classes: K.
    num_boxes: B.
    weight_decay: see blocks.BlockOptions.
  """

  def __init__(
    self, channels: int, num_classes: int, num_boxes: int, weight_decay: float
  ):
    super().__init__(name='head', dtype='float32')

    def affine(key, out_channels):
      return Affine(
        channels,
        out_channels,
        0,
        scope=f'head/{key}',
        # The reference's variance_scaling_initializer, uniform, FAN_AVG.
        initializer=tf.keras.initializers.GlorotUniform(),
        weight_decay=weight_decay,
        dtype='float32',
      )

    self.classes = affine('class', num_classes + 1)
    self.box = affine('box', num_boxes * 4)
    self._num_boxes = num_boxes

  def call(self, features):
    """[N * P, 2048] -> float32 [N * P, K + 1] and codes [N * P, B, 4]."""
    codes = tf.reshape(self.box(features), [-1, self._num_boxes, 4])
    return self.classes(features), codes


def _rows(maps, size):
  """[N, h, w, D] -> [N, h * w * D / size, size]."""
  _, height, width, depth = maps.shape
  known = height is not None and width is not None
  rows = height * width * depth // size if known else None
  dynamic = tf.shape(maps)
  shape = [dynamic[0], dynamic[1] * dynamic[2] * (depth // size), size]
  return tf.ensure_shape(tf.reshape(maps, shape), [maps.shape[0], rows, size])
