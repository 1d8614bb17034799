"""DeepLab-ASPP-L: a ResNet at output stride 8 and four atrous branches.

The branches are 3x3 convolutions with bias, straight from conv5 to class maps,
which are summed (Chen et al. 2016, "ASPP-L"; Sun et al. 2017): no batch norm,
no 1x1, no image pooling, no decoder.

Where cells lie: see modeling.upsampling. Sides other than 8 * k + 1 pixels are
padded to the next such one before the network and cut after it.

Variables: those of resnet.ResNet, under the names that they have in a
classifier, so that a classification checkpoint loads; and
head/rate_06/{kernel,bias} for each rate.

Shapes: N images, H x W pixels, h x w cells, K classes with the background.
"""

import json
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from official_repro.data import batching
from official_repro.modeling import (
  blocks,
  convolution,
  pixels,
  resnet,
  upsampling,
)

RATES = (6, 12, 18, 24)
_SIZE = 3
# Grey, the value that batches are padded with (data.make_dataset).
_PADDING = batching.PADDING / 127.5 - 1


class ASPPL(tf.keras.layers.Layer):
  """Atrous branches straight to class maps, summed.

  Args:
    num_classes: K.
    rates: of the branches. ASPP-S has (2, 4, 8, 12), LargeFOV (12,).
    weight_decay: L2 / 2 on the kernels; biases have none.
    scope: of the variables' names, before /rate_06/kernel.
    name: of the layer.

  Attributes:
    kernels: [3, 3, C, K] of each branch, from N(0, .01).
    biases: [K] of each branch, from 0.

  Raises:
    ValueError: no class; no rate, one below 1, or the same one twice.
  """

  def __init__(
    self,
    num_classes: int,
    rates: Sequence[int] = RATES,
    weight_decay: float = 0.0,
    scope: str = 'head',
    name: str = 'head',
  ):
    # Also in mixed precision, as a logit is a sum of many products.
    super().__init__(name=name, dtype='float32')
    if num_classes < 1:
      raise ValueError(f'num_classes is {num_classes}; it must be at least 1.')
    self.num_classes = num_classes
    self.rates = _checked_rates(rates)
    self._weight_decay, self._scope = weight_decay, scope
    self.kernels, self.biases = [], []

  def build(self, input_shape):
    """Makes the variables, under their full names."""
    channels = input_shape[-1]
    for rate in self.rates:
      with tf.name_scope(f'{self._scope}/rate_{rate:02d}/'):
        self.kernels.append(
          self.add_weight(
            'kernel',
            (_SIZE, _SIZE, channels, self.num_classes),
            initializer=tf.keras.initializers.RandomNormal(stddev=0.01),
            regularizer=blocks.half_l2(self._weight_decay),
          )
        )
        self.biases.append(
          self.add_weight('bias', (self.num_classes,), initializer='zeros')
        )
    super().build(input_shape)

  def call(self, inputs):
    """Runs all branches.

    A 3x3 convolution to few maps is nine 1x1 ones whose maps are shifted and
    added. So the wide input is read once, in one matrix product for all taps
    of all branches, and what moves is narrow: on a CPU this takes a quarter
    to half of the time of the atrous convolutions.

    Args:
      inputs: [N, h, w, C] float.

    Returns:
      float32 [N, h, w, K]; what a branch sees beyond the border is 0.
    """
    taps = [_seen_taps(inputs, rate) for rate in self.rates]
    columns = [
      # Of the kernel [rows, columns, C, K].
      tf.reshape(
        tf.transpose(kernel[rows, cols], [2, 1, 0, 3]), [inputs.shape[-1], -1]
      )
      for kernel, (rows, cols) in zip(self.kernels, taps)
    ]
    product = convolution.conv2d(inputs, tf.concat(columns, 1)[None, None])
    widths = [maps.shape[-1] for maps in columns]
    branches = [
      _add_shifted(_add_shifted(maps, rate, cols, axis=2), rate, rows, axis=1)
      for rate, (rows, cols), maps in zip(
        self.rates, taps, tf.split(product, widths, -1)
      )
    ]
    biases = tf.add_n([tf.identity(bias) for bias in self.biases])
    return tf.add_n(branches) + biases


class DeepLab(tf.keras.Model):
  """The segmentation net. The variables are made at once.

  Batch norm is frozen by default, as in DeepLab v2: moving averages, also in
  training, that do not move; gamma and beta are trained.

  Args:
    num_classes: K, the background included (VOC: 21).
    depth: a key of resnet.UNITS.
    stride_placement: of the checkpoint that it starts from, see resnet.
    width: multiplier of the trunk's channels.
    output_stride: pixels from one cell to the next: 8, 16 or 32.
    rates: see ASPPL; meant for output stride 8.
    freeze: 'none' or a stage: everything up to it is fixed.
    freeze_batch_norm: see above.
    weight_decay: L2 / 2 on all kernels that are trained.
    batch_norm_momentum, batch_norm_epsilon, sync_batch_norm: see
      resnet.ResNet.
    pixel_range: see pixels.PixelMap; the images given to the model are in
      [-1, 1] whatever this is.
    name: of the model.

  Attributes:
    trunk: resnet.ResNet.
    head: ASPPL.

  Raises:
    ValueError: an argument out of its range.
  """

  def __init__(
    self,
    num_classes: int,
    depth: int = 101,
    stride_placement: str = 'slim',
    width: float = 1.0,
    output_stride: int = 8,
    rates: Sequence[int] = RATES,
    freeze: str = 'none',
    freeze_batch_norm: bool = True,
    sync_batch_norm: bool = False,
    weight_decay: float = 0.0,
    batch_norm_momentum: float = 0.997,
    batch_norm_epsilon: float = 1e-5,
    pixel_range: pixels.PixelRange = (-1, 1),
    name: str = 'deeplab',
  ):
    super().__init__(name=name)
    if num_classes < 2:
      raise ValueError(
        f'num_classes is {num_classes}; it must be at least 2, the background '
        'included.'
      )
    self.built = True  # The parts make their variables here.
    self.num_classes, self.output_stride = num_classes, output_stride
    self._pixels = pixels.PixelMap(pixel_range)
    self.trunk = resnet.ResNet(
      depth=depth,
      output_stride=output_stride,
      stride_placement=stride_placement,
      width=width,
      batch_norm_momentum=batch_norm_momentum,
      batch_norm_epsilon=batch_norm_epsilon,
      weight_decay=weight_decay,
      freeze=freeze,
      freeze_batch_norm=freeze_batch_norm,
      sync_batch_norm=sync_batch_norm,
      name='trunk',
    )
    self.head = ASPPL(num_classes, rates, weight_decay)
    self.head.build((None, None, None, self.trunk.channels['conv5']))
    # As text: Keras would turn a dict into a wrapper that is no JSON.
    self._metadata = json.dumps(
      {
        'depth': depth,
        'width': width,
        'stride_placement': stride_placement,
        'num_classes': num_classes,
        'pixel_range': self._pixels.as_list(),
        'output_stride': output_stride,
        'rates': self.head.rates,
      }
    )

  def metadata(self) -> dict[str, Any]:
    """What must travel with the weights, see loading.from_checkpoint."""
    return json.loads(self._metadata)

  def call(self, images, training=None):
    """Runs the network.

    Args:
      images: [N, H, W, 3] float in [-1, 1].
      training: as in resnet.ResNet; without effect on frozen batch norm.

    Returns:
      float32 logits [N, h, w, K] with h = ceil(H / output_stride).
    """
    features = self.trunk(self._pixels(images), training=training)['conv5']
    return self.head(features)

  def full_logits(self, images):
    """Returns the logits at the picture's size, as at test time.

    Args:
      images: [N, H, W, 3] float in [-1, 1], of any size.

    Returns:
      float32 [N, H, W, K], upsampled bilinearly.
    """
    size = tf.shape(images)
    height, width = (images.shape[i] or size[i] for i in (1, 2))
    bottom, right = (
      upsampling.padding(side, self.output_stride) for side in (height, width)
    )
    images = tf.pad(
      images,
      [[0, 0], [0, bottom], [0, right], [0, 0]],
      constant_values=_PADDING,
    )
    logits = self(images, training=False)
    return upsampling.upsample(logits, height, width, self.output_stride)

  def probabilities(self, images):
    """[N, H, W, 3] in [-1, 1] -> float32 [N, H, W, K], sums 1."""
    return tf.nn.softmax(self.full_logits(images))

  def labels(self, images):
    """[N, H, W, 3] in [-1, 1] -> uint8 [N, H, W], the likeliest classes."""
    return tf.cast(tf.argmax(self.full_logits(images), -1), tf.uint8)


_ALL, _MIDDLE = slice(0, _SIZE), slice(1, 2)


def _seen_taps(inputs, rate):
  """Taps of the rows and of the columns that see a part of the map.

  The others lie beyond the border wherever the middle is: on the 13 x 13 cells
  of a crop of 97 pixels all but one tap of the rates 18 and 24 do.
  """
  return [
    _MIDDLE if size is not None and size <= rate else _ALL
    for size in inputs.shape[1:3]
  ]


def _add_shifted(maps, rate, taps, axis):
  """Adds the maps of the three taps of a line.

  Args:
    maps: [N, h, w, 3 * M]: at rate before, on and rate after a cell; [N, h, w,
      M] where only the middle one is there.
    rate: cells between the taps.
    taps: of _seen_taps.
    axis: 1 (rows) or 2 (columns).

  Returns:
    [N, h, w, M]; what lies beyond the border is 0.
  """
  if taps == _MIDDLE:
    return maps
  before, on, after = tf.split(maps, _SIZE, -1)
  size = maps.shape[axis]
  if size is None:
    size = tf.shape(maps)[axis]
    rate = tf.minimum(rate, size)
  shape, begin = tf.unstack(tf.shape(maps)), [0] * 4
  shape[-1] = before.shape[-1]
  shape[axis], begin[axis] = size - rate, rate
  paddings = [[[0, 0] for _ in range(4)] for _ in range(2)]
  paddings[0][axis][0] = paddings[1][axis][1] = rate
  # tf.slice, whose gradient is a tf.pad; that of x[a:b] takes longer.
  before = tf.pad(tf.slice(before, [0] * 4, shape), paddings[0])
  after = tf.pad(tf.slice(after, begin, shape), paddings[1])
  return on + before + after


def _checked_rates(rates):
  rates = [*rates]
  if not rates or any(int(r) != r or r < 1 for r in rates):
    raise ValueError(
      f'rates is {rates}; name at least one, all of them whole numbers from 1.'
    )
  if len(set(rates)) != len(rates):
    raise ValueError(f'rates is {rates}; each of them may come only once.')
  return [int(r) for r in rates]
