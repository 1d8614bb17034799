"""Faster R-CNN "C4": a ResNet cut after conv4, proposals, conv5 on crops.

Stage 1 is conv1..conv4 at stride 16, which the region proposal network (RPN)
and the classifier share; stage 2 is conv5 at stride 1 on 7x7 crops, its
spatial mean and two fully connected layers (Ren et al. 2015; He et al. 2015;
the TF Object Detection API's faster_rcnn_resnet101). Sun et al. 2017, sec. 4.

Variables: those of resnet.ResNet from conv1 to conv5, under the names that
they have in a classifier, so that one classification checkpoint starts both
stages; and rpn/{conv,objectness,box}/{kernel,bias},
head/{class,box}/{kernel,bias}.

Shapes: N images, H x W pixels of the padded batch, h x w cells of conv4
(ceil(H / 16)), C its channels, A = h * w * 12 anchors, P proposals, G padded
true boxes, K classes without the background, B = K, or 1 with shared boxes.
Boxes are float32 [ymin, xmin, ymax, xmax] in pixels of the network's input.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

import numpy as np
import tensorflow as tf

from object_detection import anchors as anchors_lib
from object_detection import losses as losses_lib
from object_detection import postprocess, proposals, roi, sampling, targets
from official_repro.core import checkpoints
from official_repro.modeling import resnet

STRIDE = 16
RPN_CHANNELS = 512
# Names that a classification checkpoint lacks.
NEW_LAYERS = ('rpn/', 'head/')
_RPN_DEVIATION = 0.01

PixelRange = tuple[
  Union[float, Sequence[float]], Union[float, Sequence[float]]
]


@dataclasses.dataclass(frozen=True)
class AnchorOptions:
  """Boxes around every cell; the defaults are the reference's.

  Attributes:
    base_size: side of the square anchor of scale 1, in pixels.
    scales: factors of the side.
    aspect_ratios: width / height.
  """

  base_size: float = 256.0
  scales: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
  aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)

  @property
  def per_cell(self) -> int:
    """Number of anchors at a cell."""
    return len(self.scales) * len(self.aspect_ratios)


@dataclasses.dataclass(frozen=True)
class Sampling:
  """What the losses look at in one image (Sun et al. 2017, sec. 4†).

  The reference implementation has 256 for the RPN and 64 for the classifier.

  Attributes:
    rpn: anchors.
    rpn_positive_fraction: at most this part of them is positive.
    classifier: proposals.
    classifier_positive_fraction: at most this part of them is positive.
  """

  rpn: int = 64
  rpn_positive_fraction: float = 0.5
  classifier: int = 256
  classifier_positive_fraction: float = 0.25


class Affine(tf.keras.layers.Layer):
  """Convolution (or fully connected layer) with bias, at stride 1.

  Args:
    in_channels, out_channels: of the kernel.
    size: of the square kernel; 0 for a fully connected layer.
    scope: variables are SCOPE/kernel and SCOPE/bias.
    initializer: of the kernel.
    weight_decay: see blocks.BlockOptions.
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
  ):
    super().__init__(name=scope.replace('/', '_'))
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
    x = tf.nn.conv2d(inputs, self.kernel, 1, 'SAME')
    return tf.nn.bias_add(x, self.bias)


class ProposalNetwork(tf.keras.layers.Layer):
  """RPN: 3x3 convolution with ReLU6, then two 1x1 ones.

  Args:
    channels: C of the input.
    per_cell: anchors at a cell.
    weight_decay: see blocks.BlockOptions.
  """

  def __init__(self, channels: int, per_cell: int, weight_decay: float):
    super().__init__(name='rpn')

    def affine(key, in_channels, out_channels, size):
      return Affine(
        in_channels,
        out_channels,
        size,
        scope=f'rpn/{key}',
        initializer=tf.keras.initializers.TruncatedNormal(
          stddev=_RPN_DEVIATION
        ),
        weight_decay=weight_decay,
      )

    self.conv = affine('conv', channels, RPN_CHANNELS, 3)
    self.objectness = affine('objectness', RPN_CHANNELS, per_cell * 2, 1)
    self.box = affine('box', RPN_CHANNELS, per_cell * 4, 1)

  def call(self, features):
    """[N, h, w, C] -> logits [N, A, 2] (background, object), codes [N, A, 4]."""
    x = tf.nn.relu6(self.conv(features))
    return _rows(self.objectness(x), 2), _rows(self.box(x), 4)


class BoxHead(tf.keras.layers.Layer):
  """Scores and boxes of pooled crops.

  Args:
    channels: of the input.
    num_classes: K.
    num_boxes: B.
    weight_decay: see blocks.BlockOptions.
  """

  def __init__(
    self, channels: int, num_classes: int, num_boxes: int, weight_decay: float
  ):
    super().__init__(name='head')

    def affine(key, out_channels):
      return Affine(
        channels,
        out_channels,
        0,
        scope=f'head/{key}',
        # The reference's variance_scaling_initializer, uniform, FAN_AVG.
        initializer=tf.keras.initializers.GlorotUniform(),
        weight_decay=weight_decay,
      )

    self.classes = affine('class', num_classes + 1)
    self.box = affine('box', num_boxes * 4)
    self._num_boxes = num_boxes

  def call(self, features):
    """[N * P, 2048] -> logits [N * P, K + 1], codes [N * P, B, 4]."""
    codes = tf.reshape(self.box(features), [-1, self._num_boxes, 4])
    return self.classes(features), codes


class FasterRCNN(tf.keras.Model):
  """The detector.

  Batch norm is frozen by default, as in the reference: moving averages, also
  in training, that do not move; gamma and beta are trained. The variables are
  made at once.

  Args:
    num_classes: K.
    depth: a key of resnet.UNITS.
    stride_placement: of the checkpoint that it starts from, see resnet.
    width: multiplier of the trunk's channels.
    freeze: 'none' or a stage: everything up to it is fixed ('conv4' is the
      paper's frozen variant; 'conv5' also fixes the second stage).
    freeze_batch_norm: see above.
    weight_decay: L2 / 2 on all kernels that are trained; the reference has 0.
    batch_norm_momentum, batch_norm_epsilon: see resnet.ResNet.
    shared_boxes: one box for all classes instead of one for each.
    pixel_range: what 0 and 255 become before the first convolution, each one
      number or three for red, green and blue. The images given to the model are
      in [-1, 1] whatever this is: a checkpoint from elsewhere records another
      range here, e.g. mean subtraction, and the model applies it.
    anchors: AnchorOptions.
    num_proposals: P after non-maximum suppression.
    name: of the model.

  Attributes:
    trunk: resnet.ResNet up to conv4.
    conv5: resnet.Stage.
    rpn, head: the new layers.

  Raises:
    ValueError: an argument out of its range.
  """

  def __init__(
    self,
    num_classes: int,
    depth: int = 101,
    stride_placement: str = 'slim',
    width: float = 1.0,
    freeze: str = 'none',
    freeze_batch_norm: bool = True,
    weight_decay: float = 0.0,
    batch_norm_momentum: float = 0.997,
    batch_norm_epsilon: float = 1e-5,
    shared_boxes: bool = False,
    pixel_range: PixelRange = (-1, 1),
    anchors: Optional[AnchorOptions] = None,
    num_proposals: int = 300,
    name: str = 'faster_rcnn',
  ):
    super().__init__(name=name)
    if num_classes < 1:
      raise ValueError(f'num_classes is {num_classes}; it must be at least 1.')
    self.built = True  # The parts make their variables here.
    self.num_classes, self.num_proposals = num_classes, num_proposals
    self.num_boxes = 1 if shared_boxes else num_classes
    self.anchor_options = anchors or AnchorOptions()
    self._pixels = _check_pixel_range(pixel_range)
    self._metadata = {
      'depth': depth,
      'width': width,
      'stride_placement': stride_placement,
      'num_classes': num_classes,
      'pixel_range': [np.asarray(p).tolist() for p in pixel_range],
      'shared_boxes': shared_boxes,
      'anchors': _lists(dataclasses.asdict(self.anchor_options)),
    }
    common = {
      'depth': depth,
      'stride_placement': stride_placement,
      'width': width,
      'weight_decay': weight_decay,
      'batch_norm_momentum': batch_norm_momentum,
      'batch_norm_epsilon': batch_norm_epsilon,
      'freeze_batch_norm': freeze_batch_norm,
    }
    self.trunk = resnet.ResNet(
      output_stride=STRIDE,
      last_stage='conv4',
      freeze='conv4' if freeze == 'conv5' else freeze,
      name='trunk',
      **common,
    )
    self.conv5 = resnet.conv5_stage(
      stride=1, trainable=freeze != 'conv5', **common
    )
    channels = self.trunk.channels['conv4']
    self.rpn = ProposalNetwork(
      channels, self.anchor_options.per_cell, weight_decay
    )
    # conv5 has twice the channels of conv4.
    self.head = BoxHead(
      2 * channels, num_classes, self.num_boxes, weight_decay
    )
