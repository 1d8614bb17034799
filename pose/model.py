"""The pose net: a ResNet at output stride 8 and one convolution.

G-RMI (Papandreou et al. 2017, arXiv 1701.01779, sec. 3.2; Sun et al. 2017,
sec. on human pose): a 1x1 convolution on conv5 gives, for each of K joints, a
heatmap and the two coordinates of an offset; they are upsampled bilinearly to
the crop's size, see modeling.upsampling for where cells lie. A second head on
a unit of conv4 gives heatmaps only, which are learnt and thrown away.

Variables: those of resnet.ResNet, under the names that they have in a
classifier, so that a classification checkpoint loads; head/{kernel,bias} and
intermediate/{kernel,bias}. Of the 3K outputs of the head the first K are the
heatmaps; then come dy and dx of joint 0, of joint 1 and so on.

Shapes: N crops of H x W pixels, h x w cells, K joints.
"""

import json
from collections.abc import Mapping
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
from pose import joints as joints_lib

STRIDE = 8
# Names that a classification checkpoint lacks.
NEW_LAYERS = ('head/', 'intermediate/')
# Grey, what lies beyond the picture in a crop (crops.cut).
_PADDING = batching.PADDING / 127.5 - 1


class Maps(tf.keras.layers.Layer):
  """A 1x1 convolution with bias, from N(0, .01) and 0; always in float32.

  Args:
    channels: outputs.
    weight_decay: L2 / 2 on the kernel; the bias has none.
    name: of the layer, and of the variables before /kernel and /bias.
  """

  def __init__(self, channels: int, weight_decay: float, name: str):
    super().__init__(name=name, dtype='float32')
    self._channels, self._weight_decay = channels, weight_decay

  def build(self, input_shape):
    """Makes the variables, under their full names."""
    with tf.name_scope(f'{self.name}/'):
      self.kernel = self.add_weight(
        'kernel',
        (1, 1, input_shape[-1], self._channels),
        initializer=tf.keras.initializers.RandomNormal(stddev=0.01),
        regularizer=blocks.half_l2(self._weight_decay),
      )
      self.bias = self.add_weight(
        'bias', (self._channels,), initializer='zeros'
      )
    super().build(input_shape)

  def call(self, inputs):
    """[N, h, w, C] -> float32 [N, h, w, channels]."""
    maps = convolution.conv2d(inputs, self.kernel)
    return tf.nn.bias_add(maps, self.bias)


class PoseNet(tf.keras.Model):
  """The pose net. The variables are made at once.

  Args:
    depth: a key of resnet.UNITS.
    stride_placement: of the checkpoint that it starts from, see resnet.
    width: multiplier of the trunk's channels.
    num_joints: K.
    intermediate: unit that gets a heatmap head of its own in training, such as
      'conv4/unit_10'; '' for none.
    radius: pixels of the disks that it is trained on, for the decoder.
    freeze: 'none' or a stage: everything up to it is fixed.
    freeze_batch_norm: moving averages, also in training.
    weight_decay: L2 / 2 on all kernels that are trained.
    batch_norm_momentum, batch_norm_epsilon, sync_batch_norm: see
      resnet.ResNet.
    pixel_range: see pixels.PixelMap; the images given to the model are in
      [-1, 1] whatever this is.
    name: of the model.

  Attributes:
    trunk: resnet.ResNet.
    head: Maps with 3K channels.
    intermediate_head: Maps with K channels, or None.

  Raises:
    ValueError: an argument out of its range.
  """

  def __init__(
    self,
    depth: int = 101,
    stride_placement: str = 'slim',
    width: float = 1.0,
    num_joints: int = len(joints_lib.NAMES),
    intermediate: str = '',
    radius: float = 25.0,
    freeze: str = 'none',
    freeze_batch_norm: bool = True,
    sync_batch_norm: bool = False,
    weight_decay: float = 0.0,
    batch_norm_momentum: float = 0.997,
    batch_norm_epsilon: float = 1e-5,
    pixel_range: pixels.PixelRange = (-1, 1),
    name: str = 'pose',
  ):
    super().__init__(name=name)
    if radius <= 0:
      raise ValueError(f'radius is {radius} pixels; it must be positive.')
    self.built = True  # The parts make their variables here.
    self.num_joints, self.radius = num_joints, radius
    self._intermediate = intermediate
    self._pixels = pixels.PixelMap(pixel_range)
    self.trunk = resnet.ResNet(
      depth=depth,
      output_stride=STRIDE,
      stride_placement=stride_placement,
      width=width,
      batch_norm_momentum=batch_norm_momentum,
      batch_norm_epsilon=batch_norm_epsilon,
      weight_decay=weight_decay,
      freeze=freeze,
      freeze_batch_norm=freeze_batch_norm,
      sync_batch_norm=sync_batch_norm,
      extra_endpoints=[intermediate] if intermediate else [],
      name='trunk',
    )
    self.head = Maps(3 * num_joints, weight_decay, 'head')
    self.head.build((None, None, None, self.trunk.channels['conv5']))
    self.intermediate_head = None
    if intermediate:
      stage = intermediate.split('/')[0]
      self.intermediate_head = Maps(num_joints, weight_decay, 'intermediate')
      self.intermediate_head.build(
        (None, None, None, self.trunk.channels[stage])
      )
    # As text: Keras would turn a dict into a wrapper that is no JSON.
    self._metadata = json.dumps(
      {
        'depth': depth,
        'width': width,
        'stride_placement': stride_placement,
        'num_joints': num_joints,
        'intermediate': intermediate,
        'radius': radius,
        'pixel_range': self._pixels.as_list(),
      }
    )

  def metadata(self) -> dict[str, Any]:
    """What must travel with the weights."""
    return json.loads(self._metadata)

  def call(self, images, training=None) -> Mapping[str, tf.Tensor]:
    """Runs the network.

    Args:
      images: [N, H, W, 3] float in [-1, 1].
      training: as in resnet.ResNet; without effect on frozen batch norm.

    Returns:
      float32, at the crop's size:
        heatmaps: [N, H, W, K], logits.
        offsets: [N, H, W, K, 2], dy and dx to the joint, in pixels.
        intermediate: [N, H, W, K], logits; in training, where there is such a
          head.
    """
    size = tf.shape(images)[1:3]
    height, width = (images.shape[i + 1] or size[i] for i in (0, 1))
    endpoints = self.trunk(self._padded(images), training=training)
    full = lambda maps: upsampling.upsample(maps, height, width, STRIDE)
    # Taken apart while they are small.
    heatmaps, offsets = (
      full(maps)
      for maps in tf.split(
        self.head(endpoints['conv5']),
        [self.num_joints, 2 * self.num_joints],
        -1,
      )
    )
    shape = tf.concat([tf.shape(offsets)[:3], [self.num_joints, 2]], 0)
    found = {'heatmaps': heatmaps, 'offsets': tf.reshape(offsets, shape)}
    if training and self.intermediate_head:
      maps = self.intermediate_head(endpoints[self._intermediate])
      found['intermediate'] = full(maps)
    return found

  def _padded(self, images):
    """To whole cells and one pixel, in grey; and in the checkpoint's range."""
    size = tf.shape(images)
    more = [
      upsampling.padding(images.shape[i] or size[i], STRIDE) for i in (1, 2)
    ]
    # A tensor may be anything; it cannot be asked while the graph is made.
    if any(tf.is_tensor(n) or n for n in more):
      images = tf.pad(
        images,
        [[0, 0], [0, more[0]], [0, more[1]], [0, 0]],
        constant_values=_PADDING,
      )
    return self._pixels(images)
