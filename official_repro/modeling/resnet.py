"""ResNet with named stages, an output stride and three stride placements.

`slim` is the paper's line of code (TF-slim `resnet_v1`, which also the TF
Object Detection API and DeepLab use): the LAST unit of conv2, conv3 and conv4
has the stride, on its 3x3, and conv5 has none. `v1` is He et al. 2015 (first
unit, first 1x1) and `v1.5` the later habit (first unit, 3x3). Strides of the
endpoints with the input, at output_stride=32:

  placement   conv1  conv2  conv3  conv4  conv5
  slim            2      8     16     32     32
  v1, v1.5        2      4      8     16     32

With a smaller output_stride no endpoint has a larger stride than that: later
strides become dilation rates (TF-slim `stack_blocks_dense`), and on the same
weights the dense features, subsampled, are the strided ones. C4 detection is
output_stride=16: conv4 has stride 16 in every placement.

conv1 is what comes before the max-pooling. Weights do not depend on placement
and output stride: a checkpoint fits them all (trained with one placement, the
features are meant for that one).

Shapes: N images, H rows, W columns.
"""

from collections.abc import Sequence
from typing import Optional

import tensorflow as tf

from official_repro.modeling import blocks

UNITS = {
  14: (1, 1, 1, 1),
  26: (2, 2, 2, 2),
  50: (3, 4, 6, 3),
  101: (3, 4, 23, 3),
  152: (3, 8, 36, 3),
}
STAGES = ('conv1', 'conv2', 'conv3', 'conv4', 'conv5')
PLACEMENTS = ('slim', 'v1', 'v1.5')
# Filters of conv1 and of the 3x3 convolutions in conv2..conv5, at width 1.
_FILTERS = (64, 64, 128, 256, 512)
# Stride of the first convolution and the max-pooling together.
_ROOT_STRIDE = 4


def plan_units(
  units: Sequence[int], stride_placement: str, output_stride: int
) -> list[list[blocks.UnitPlan]]:
  """Decides strides and dilation rates; a pure function.

  Args:
    units: number of units in conv2..conv5.
    stride_placement: one of PLACEMENTS.
    output_stride: 8, 16 or 32.

  Returns:
    One list of UnitPlan for each of conv2..conv5.
  """
  current, rate, plans = _ROOT_STRIDE, 1, []
  for stage, count in enumerate(units):
    plans.append([])
    for index in range(count):
      if stride_placement == 'slim':
        strided = index == count - 1 and stage < len(units) - 1
      else:
        strided = index == 0 and stage > 0
      stride = 2 if strided else 1
      # The stride that v1 takes away comes before its 3x3, so that this one
      # already sees the denser grid; in the other placements it is the 3x3.
      if current == output_stride:
        before, rate, stride = rate, rate * stride, 1
        own = rate if stride_placement == 'v1' else before
      else:
        own, current = rate, current * stride
      plans[-1].append(blocks.UnitPlan(stride, stride_placement == 'v1', own))
  return plans


class Root(tf.keras.layers.Layer):
  """conv1: 7x7 with stride 2, batch norm, ReLU."""

  def __init__(self, filters: int, options: blocks.BlockOptions):
    super().__init__(name='conv1')
    self.conv = blocks.Conv2D(
      3,
      filters,
      7,
      stride=2,
      scope='conv1/conv',
      weight_decay=options.weight_decay,
      name='conv',
    )
    self.bn = blocks.BatchNorm(
      filters, scope='conv1/bn', options=options, name='bn'
    )

  def call(self, inputs, training=None):
    """[N, H, W, 3] -> [N, ceil(H / 2), ceil(W / 2), filters]."""
    return tf.nn.relu(
      blocks.conv_and_norm(self.conv, self.bn, inputs, training)
    )


class Stage(tf.keras.layers.Layer):
  """Units in a row; variables are named NAME/unit_1/... upwards.

  Attributes:
    units: list of blocks.Bottleneck.
  """

  def __init__(
    self,
    name: str,
    in_channels: int,
    filters: int,
    plans: Sequence[blocks.UnitPlan],
    options: blocks.BlockOptions,
  ):
    super().__init__(name=name)
    self.units = []
    for index, plan in enumerate(plans, 1):
      unit = blocks.Bottleneck(
        in_channels,
        filters,
        plan,
        project=index == 1,
        scope=f'{name}/unit_{index}',
        options=options,
        name=f'unit_{index}',
      )
      self.units.append(unit)
      in_channels = filters * blocks.EXPANSION

  def call(self, inputs, training=None):
    """[N, H, W, in_channels] -> [N, H', W', 4 * filters]."""
    return self.outputs(inputs, training=training)[-1]

  def outputs(self, inputs, training=None):
    """As call, but a list with the output of every unit."""
    outputs = []
    for unit in self.units:
      inputs = unit(inputs, training=training)
      outputs.append(inputs)
    return outputs


class ResNet(tf.keras.Model):
  """ResNet-14 (for small pictures), -26, -50, -101 or -152.

  Variables are named conv1/conv/kernel, conv1/bn/gamma,
  conv4/unit_7/conv2/kernel, conv4/unit_7/bn2/moving_mean,
  conv2/unit_1/shortcut/conv/kernel and so on, never with a prefix or suffix.
  They are made at once. Initial values as in TF-slim; seed them with
  `tf.keras.utils.set_random_seed`.

  Args:
    depth: a key of UNITS.
    output_stride: 32, 16 or 8; see the module's text.
    stride_placement: slim, v1 or v1.5; see the module's text.
    width: multiplier of all channel counts (conv5 has 2048 * width).
    batch_norm_momentum, batch_norm_epsilon, weight_decay, freeze_batch_norm,
      sync_batch_norm: see blocks.BlockOptions.
    freeze: 'none' or a stage: everything up to it is not trained, has no
      weight decay and its batch norm always uses the moving averages.
    last_stage: the network ends here (a C4 detector's first part: conv4).
    extra_endpoints: units to put out too, e.g. ('conv4/unit_12',).
    units: replaces the units of `depth` in conv2..conv5 (for tests).
    name: of the model.

  Attributes:
    conv1, ..., conv5: the stages, up to last_stage.
    channels: {endpoint: C} for the stages.

  Raises:
    ValueError: an argument out of its range.
  """

  def __init__(
    self,
    depth: int = 101,
    output_stride: int = 32,
    stride_placement: str = 'slim',
    width: float = 1.0,
    batch_norm_momentum: float = 0.997,
    batch_norm_epsilon: float = 1e-5,
    weight_decay: float = 0.0,
    freeze: str = 'none',
    freeze_batch_norm: bool = False,
    sync_batch_norm: bool = False,
    last_stage: str = 'conv5',
    extra_endpoints: Sequence[str] = (),
    units: Optional[Sequence[int]] = None,
    name: str = 'resnet',
  ):
    super().__init__(name=name)
    units = tuple(units) if units else _units(depth)
    _one_of('output_stride', output_stride, (32, 16, 8))
    _one_of('stride_placement', stride_placement, PLACEMENTS)
    _one_of('freeze', freeze, ('none', *STAGES))
    _one_of('last_stage', last_stage, STAGES)
    self._names = STAGES[: STAGES.index(last_stage) + 1]
    frozen = STAGES[: STAGES.index(freeze) + 1] if freeze != 'none' else ()
    self._extra = frozenset(extra_endpoints)
    _check_extra(self._extra, units, self._names)

    options = blocks.BlockOptions(
      batch_norm_momentum,
      batch_norm_epsilon,
      weight_decay,
      freeze_batch_norm,
      sync_batch_norm,
    )
    fixed = blocks.BlockOptions(batch_norm_momentum, batch_norm_epsilon)
    plans = plan_units(units, stride_placement, output_stride)
    self.built = True  # The variables are made below, not at the first call.
    self.channels = {}
    channels = None
    for index, stage in enumerate(self._names):
      own = fixed if stage in frozen else options
      filters = _filters(index, width)
      if index == 0:
        layer, channels = Root(filters, own), filters
      else:
        layer = Stage(stage, channels, filters, plans[index - 1], own)
        channels = filters * blocks.EXPANSION
      layer.trainable = stage not in frozen
      setattr(self, stage, layer)
      self.channels[stage] = channels

  def call(self, images, training=None):
    """Runs the network.

    Args:
      images: [N, H, W, 3] float in [-1, 1].
      training: batch norm uses the batch's statistics and updates its own.

    Returns:
      {'conv1': [N, ceil(H / 2), ceil(W / 2), 64 * width], ...} for every stage
      and unit of extra_endpoints, after ReLU.

    Raises:
      ValueError: the images are not float.
    """
    if not images.dtype.is_floating:
      raise ValueError(
        f'images are {images.dtype.name}; the network wants float in [-1, 1], '
        'see official_repro.data.images.normalize.'
      )
    x = self.conv1(images, training=training)
    endpoints = {'conv1': x}
    if len(self._names) > 1:
      x = tf.nn.max_pool2d(x, 3, 2, 'SAME')
    for name in self._names[1:]:
      with tf.name_scope(name):
        outputs = getattr(self, name).outputs(x, training=training)
      for index, output in enumerate(outputs, 1):
        if f'{name}/unit_{index}' in self._extra:
          endpoints[f'{name}/unit_{index}'] = output
      x = endpoints[name] = outputs[-1]
    return endpoints


def conv5_stage(
  depth: int = 101,
  stride: int = 1,
  rate: int = 1,
  *,
  width: float = 1.0,
  stride_placement: str = 'slim',
  batch_norm_momentum: float = 0.997,
  batch_norm_epsilon: float = 1e-5,
  weight_decay: float = 0.0,
  freeze_batch_norm: bool = False,
  sync_batch_norm: bool = False,
  trainable: bool = True,
) -> Stage:
  """Builds conv5 alone, for a detector's second stage.

  Its variables have the names that they have in ResNet, so a checkpoint of a
  whole network loads. It takes the images to be crops, see
  blocks.BlockOptions.

  Args:
    depth: a key of UNITS.
    stride: 1 or 2, where stride_placement has it.
    rate: dilation of all 3x3 convolutions; 1 with stride 2.
    width, stride_placement, batch_norm_momentum, batch_norm_epsilon,
      weight_decay, freeze_batch_norm, sync_batch_norm: see ResNet.
    trainable: False also uses the moving averages in batch norm.

  Returns:
    A layer: [N, H, W, 1024 * width] -> [N, H', W', 2048 * width].

  Raises:
    ValueError: an argument out of its range.
  """
  _one_of('stride_placement', stride_placement, PLACEMENTS)
  _one_of('stride', stride, (1, 2))
  count = _units(depth)[-1]
  at = count - 1 if stride_placement == 'slim' else 0
  plans = [
    blocks.UnitPlan(stride if i == at else 1, stride_placement == 'v1', rate)
    for i in range(count)
  ]
  options = blocks.BlockOptions(
    batch_norm_momentum,
    batch_norm_epsilon,
    weight_decay if trainable else 0.0,
    freeze_batch_norm,
    sync_batch_norm,
    crops=True,
  )
  channels = _filters(3, width) * blocks.EXPANSION
  stage = Stage('conv5', channels, _filters(4, width), plans, options)
  stage.trainable = trainable
  return stage


def _filters(index, width):
  filters = round(_FILTERS[index] * width)
  if filters < 1:
    raise ValueError(
      f'width is {width}, which leaves {STAGES[index]} without channels; '
      'use at least 1/64.'
    )
  return filters


def _units(depth):
  _one_of('depth', depth, tuple(UNITS))
  return UNITS[depth]


def _one_of(argument, value, allowed):
  if value not in allowed:
    raise ValueError(
      f'{argument} is {value!r}; use one of {", ".join(map(str, allowed))}.'
    )


def _check_extra(extra, units, stages):
  known = {
    f'{stage}/unit_{i}'
    for stage, count in zip(stages[1:], units)
    for i in range(1, count + 1)
  }
  for name in sorted(extra - known):
    raise ValueError(
      f'extra_endpoints has {name!r}, which this network of depth '
      f'{sum(units) * 3 + 2} lacks; name a unit such as conv4/unit_1.'
    )
