"""Convolution, batch norm and the bottleneck unit, as in TF-slim's resnet_v1.

Every variable gets its full name when its layer is made (`scope`), whatever
the name scope around it, so that two networks of one process carry the same
names and a checkpoint can be read by name.

Shapes: N images, H rows, W columns, C channels.
"""

import dataclasses
import functools
from typing import Optional

import tensorflow as tf

from official_repro.modeling import convolution

# A bottleneck unit puts out this many times the channels of its 3x3.
EXPANSION = 4


@dataclasses.dataclass(frozen=True)
class BlockOptions:
  """What all layers of a network share.

  Attributes:
    batch_norm_momentum: share of the old value in a moving average.
    batch_norm_epsilon: added to the variance.
    weight_decay: L2 as in TF-slim, weight_decay * sum(w^2) / 2, on kernels of
      convolutions only.
    freeze_batch_norm: normalise by the moving averages, also in training, and
      leave them as they are; gamma and beta are still trained.
    sync_batch_norm: in training, normalise by the images of all replicas
      together, so that they train what one replica with the whole batch would.
      Two small messages a layer and direction; else each replica normalises by
      its own images, and the moving averages are the mean of the replicas'.
    crops: the images are many small maps, though N is not known; see
      convolution.conv2d.

  Raises:
    ValueError: batch norm both frozen and over all replicas.
  """

  batch_norm_momentum: float = 0.997
  batch_norm_epsilon: float = 1e-5
  weight_decay: float = 0.0
  freeze_batch_norm: bool = False
  sync_batch_norm: bool = False
  crops: bool = False

  def __post_init__(self):
    """See the class."""
    if self.freeze_batch_norm and self.sync_batch_norm:
      raise ValueError(
        'sync_batch_norm and freeze_batch_norm are both true, but frozen batch '
        'norm takes nothing from the images; set one of them to false.'
      )


class HalfL2(tf.keras.regularizers.Regularizer):
  """TF-slim's L2: weight_decay * sum(w^2) / 2, half of Keras' `l2`.

  `tf.nn.l2_loss` reads the weights once; Keras' formula also writes their
  squares to memory and reads them back.
  """

  def __init__(self, weight_decay: float):
    self.weight_decay = weight_decay

  def __call__(self, weights):
    """Returns a scalar."""
    return self.weight_decay * tf.nn.l2_loss(weights)

  def get_config(self):
    """See base class."""
    return {'weight_decay': self.weight_decay}


def half_l2(weight_decay: float) -> Optional[HalfL2]:
  """Returns the regulariser, None for a weight decay of 0."""
  return HalfL2(weight_decay) if weight_decay else None


def slim_initializer(fan_in: int) -> tf.keras.initializers.Initializer:
  """TF-slim's `variance_scaling_initializer()` (He et al. 2015).

  TF-slim multiplies by 1.3 for the variance that the truncation takes away;
  Keras' VarianceScaling divides by .8796^2, which is 1.2925.
  """
  return tf.keras.initializers.TruncatedNormal(stddev=(1.3 * 2 / fan_in) ** 0.5)


class Conv2D(tf.keras.layers.Layer):
  """Convolution without bias; TF-slim's `conv2d_same`, see convolution.conv2d.

  Args:
    in_channels: C of the input.
    filters: C of the output.
    size: of the square kernel.
    scope: full name before `/kernel`.
    stride: output is [N, ceil(H / stride), ceil(W / stride), filters].
    rate: dilation; one of stride and rate is 1.
    weight_decay, crops: see BlockOptions.
    name: of the layer.

  Raises:
    ValueError: both stride and rate above 1.
  """

  def __init__(
    self,
    in_channels: int,
    filters: int,
    size: int,
    *,
    scope: str,
    stride: int = 1,
    rate: int = 1,
    weight_decay: float = 0.0,
    crops: bool = False,
    name: Optional[str] = None,
  ):
    super().__init__(name=name)
    if stride > 1 and rate > 1:
      raise ValueError(
        f'{scope}: stride {stride} and rate {rate} cannot go together; '
        'one of them must be 1.'
      )
    self._stride, self._rate, self._crops = stride, rate, crops
    with tf.name_scope(scope + '/'):
      self.kernel = self.add_weight(
        'kernel',
        (size, size, in_channels, filters),
        initializer=slim_initializer(size * size * in_channels),
        regularizer=half_l2(weight_decay),
        # In mixed precision a scale is multiplied in before the rounding, and
        # its gradient is added up in float32.
        experimental_autocast=False,
      )

  def call(self, inputs, scale=None):
    """[N, H, W, in_channels] -> [N, H', W', filters], times scale [filters]."""
    kernel = self.kernel if scale is None else self.kernel * scale
    return convolution.conv2d(
      inputs,
      tf.cast(kernel, self.compute_dtype),
      stride=self._stride,
      rate=self._rate,
      crops=self._crops,
    )


class BatchNorm(tf.keras.layers.BatchNormalization):
  """Batch norm with explicit variable names.

  Args:
    channels: C.
    scope: full name before `/gamma`, `/beta`, `/moving_mean` and
      `/moving_variance`.
    options: see BlockOptions.
    name: of the layer.
  """

  def __init__(
    self, channels: int, *, scope: str, options: BlockOptions, name=None
  ):
    super().__init__(
      momentum=options.batch_norm_momentum,
      epsilon=options.batch_norm_epsilon,
      name=name,
    )
    self.frozen = options.freeze_batch_norm
    self._over_replicas = options.sync_batch_norm
    with tf.name_scope(scope + '/'):
      self.build((None, None, None, channels))

  def call(self, inputs, training=None):
    """[N, H, W, C] -> the same shape."""
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync if context else 1
    if self._over_replicas and training and self.trainable and replicas > 1:
      return self._normalise_over_replicas(inputs)
    return super().call(inputs, training=False if self.frozen else training)

  def _normalise_over_replicas(self, inputs):
    """What `call` does in training, with the images of all replicas.

    Unlike Keras' own synchronized layer it takes the variance about the mean,
    not as E(x^2) - E(x)^2, and keeps Bessel's correction in the moving one, as
    the layer does on one replica.
    """
    x = tf.cast(inputs, tf.float32)
    mean, variance, count = _moments_over_replicas(x)
    unbiased = variance * count / tf.maximum(count - 1.0, 1.0)
    for moving, new in (
      (self.moving_mean, mean),
      (self.moving_variance, unbiased),
    ):
      moving.assign_sub((1.0 - self.momentum) * (moving - new))
    outputs = tf.nn.batch_normalization(
      x, mean, variance, self.beta, self.gamma, self.epsilon
    )
    return tf.cast(outputs, inputs.dtype)

  def scale_and_bias(self):
    """What frozen batch norm comes to: x * scale + bias, each [C]."""
    deviation = tf.sqrt(self.moving_variance + self.epsilon)
    scale = self.gamma / deviation
    return scale, self.beta - self.moving_mean * scale


def _moments_over_replicas(x):
  """Mean [C], variance [C] and count [] of x [N, H, W, C] on all replicas."""
  total = functools.partial(
    tf.distribute.get_replica_context().all_reduce, tf.distribute.ReduceOp.SUM
  )
  axes = [0, 1, 2]
  ones = tf.cast(tf.reduce_prod(tf.shape(x)[:3]), tf.float32)
  # Replicas may have maps of different sizes: sums, and one message for both.
  sums = total(tf.concat([tf.reduce_sum(x, axes), ones[None]], 0))
  count = sums[-1]
  mean = sums[:-1] / count
  # About the mean, whose own gradient is 0 here.
  square = tf.math.squared_difference(x, tf.stop_gradient(mean))
  return mean, total(tf.reduce_sum(square, axes)) / count, count


def conv_and_norm(conv: Conv2D, norm: BatchNorm, inputs, training=None):
  """Convolution, then batch norm.

  Frozen batch norm, or that of a fixed stage, is part of the kernel and a bias:
  the same function with the same gradients, without its pass over the
  activations and its copy of them.

  Args:
    conv, norm: layers.
    inputs: [N, H, W, C].
    training: see BatchNorm.

  Returns:
    [N, H', W', filters].
  """
  if norm.trainable and not norm.frozen:
    return norm(conv(inputs), training=training)
  scale, bias = norm.scale_and_bias()
  outputs = conv(inputs, scale=scale)
  return tf.nn.bias_add(outputs, tf.cast(bias, outputs.dtype))


@dataclasses.dataclass(frozen=True)
class UnitPlan:
  """Where one unit has its strides and its dilation.

  Attributes:
    stride: of the unit.
    on_first: the stride is on the first 1x1 (else on the 3x3).
    rate: dilation of the 3x3.
  """

  stride: int = 1
  on_first: bool = False
  rate: int = 1


class Bottleneck(tf.keras.layers.Layer):
  """1x1, 3x3, 1x1, each with batch norm, beside a shortcut; then ReLU.

  He et al. 2015, fig. 5; TF-slim `resnet_v1.bottleneck`. Variables:
  SCOPE/conv{1,2,3}/kernel, SCOPE/bn{1,2,3}/*, and where `project` is set
  SCOPE/shortcut/conv/kernel, SCOPE/shortcut/bn/*.

  Args:
    in_channels: C of the input.
    filters: of the 3x3; the output has EXPANSION times as many channels.
    plan: strides and dilation.
    project: the shortcut is a 1x1 convolution with batch norm.
    scope: prefix of the variables' names.
    options: see BlockOptions.
    name: of the layer.
  """

  def __init__(
    self,
    in_channels: int,
    filters: int,
    plan: UnitPlan,
    *,
    project: bool,
    scope: str,
    options: BlockOptions,
    name: Optional[str] = None,
  ):
    super().__init__(name=name)
    self._stride = plan.stride
    first = plan.stride if plan.on_first else 1
    second = 1 if plan.on_first else plan.stride

    def conv(key, channels, out, size, **kwargs):
      return Conv2D(
        channels,
        out,
        size,
        scope=f'{scope}/{key}',
        weight_decay=options.weight_decay,
        crops=options.crops,
        name=key.replace('/', '_'),
        **kwargs,
      )

    def norm(key, channels):
      key_name = key.replace('/', '_')
      return BatchNorm(
        channels, scope=f'{scope}/{key}', options=options, name=key_name
      )

    out = filters * EXPANSION
    self.shortcut_conv = self.shortcut_bn = None
    if project:
      self.shortcut_conv = conv(
        'shortcut/conv', in_channels, out, 1, stride=plan.stride
      )
      self.shortcut_bn = norm('shortcut/bn', out)
    self.conv1 = conv('conv1', in_channels, filters, 1, stride=first)
    self.bn1 = norm('bn1', filters)
    self.conv2 = conv(
      'conv2', filters, filters, 3, stride=second, rate=plan.rate
    )
    self.bn2 = norm('bn2', filters)
    self.conv3 = conv('conv3', filters, out, 1)
    self.bn3 = norm('bn3', out)

  def call(self, inputs, training=None):
    """[N, H, W, in_channels] -> [N, H', W', 4 * filters]."""
    if self.shortcut_conv is not None:
      shortcut = conv_and_norm(
        self.shortcut_conv, self.shortcut_bn, inputs, training
      )
    elif self._stride > 1:
      # Every second pixel, as in TF-slim; a strided slice, gradient included,
      # takes four to five times as long on a CPU.
      shortcut = tf.nn.max_pool2d(inputs, 1, self._stride, 'SAME')
    else:
      shortcut = inputs
    x = tf.nn.relu(conv_and_norm(self.conv1, self.bn1, inputs, training))
    x = tf.nn.relu(conv_and_norm(self.conv2, self.bn2, x, training))
    x = conv_and_norm(self.conv3, self.bn3, x, training)
    return tf.nn.relu(shortcut + x)
