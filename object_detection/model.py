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
