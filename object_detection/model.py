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
import json
from typing import Any, Optional

import tensorflow as tf

from object_detection import anchors as anchors_lib
from object_detection import (
  heads,
  losses,
  postprocess,
  proposals,
  roi,
  sampling,
  targets,
)
from official_repro.modeling import pixels, resnet

STRIDE = 16
# Any number but 0.
_SECOND_SEED = 0x5EC07D


@dataclasses.dataclass(frozen=True)
class AnchorOptions:
  """Boxes around every cell; the defaults are the reference's.

  Attributes:
    base_size: side of the square anchor of scale 1, in pixels.
    scales: factors of the side.
    aspect_ratios: width / height.
  """

  base_size: float = 256.0
  scales: tuple[float, ...] = anchors_lib.SCALES
  aspect_ratios: tuple[float, ...] = anchors_lib.ASPECT_RATIOS

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
    batch_norm_momentum, batch_norm_epsilon, sync_batch_norm: see
      resnet.ResNet.
    shared_boxes: one box for all classes instead of one for each.
    pixel_range: what 0 and 255 become before the first convolution, each one
      number or three for red, green and blue. The images given to the model are
      in [-1, 1] whatever this is: a checkpoint from elsewhere records another
      range here, e.g. mean subtraction, and the model applies it.
    anchors: AnchorOptions.
    num_proposals: P after non-maximum suppression.
    crop: side of the second stage's crops before the 2x2 max-pool, even.
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
    sync_batch_norm: bool = False,
    weight_decay: float = 0.0,
    batch_norm_momentum: float = 0.997,
    batch_norm_epsilon: float = 1e-5,
    shared_boxes: bool = False,
    pixel_range: pixels.PixelRange = (-1, 1),
    anchors: Optional[AnchorOptions] = None,
    num_proposals: int = 300,
    crop: int = 14,
    name: str = 'faster_rcnn',
  ):
    super().__init__(name=name)
    if num_classes < 1:
      raise ValueError(f'num_classes is {num_classes}; it must be at least 1.')
    self.built = True  # The parts make their variables here.
    self.num_classes, self.num_proposals = num_classes, num_proposals
    self._crop = crop
    self.num_boxes = 1 if shared_boxes else num_classes
    self.anchor_options = anchors or AnchorOptions()
    self._pixels = pixels.PixelMap(pixel_range)
    # As text: Keras would turn a dict into a wrapper that is no JSON.
    self._metadata = json.dumps(
      {
        'depth': depth,
        'width': width,
        'stride_placement': stride_placement,
        'num_classes': num_classes,
        'pixel_range': self._pixels.as_list(),
        'shared_boxes': shared_boxes,
        'crop': crop,
        'anchors': dataclasses.asdict(self.anchor_options),
      }
    )
    common = {
      'depth': depth,
      'stride_placement': stride_placement,
      'width': width,
      'weight_decay': weight_decay,
      'batch_norm_momentum': batch_norm_momentum,
      'batch_norm_epsilon': batch_norm_epsilon,
      'freeze_batch_norm': freeze_batch_norm,
      'sync_batch_norm': sync_batch_norm,
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
    self.rpn = heads.ProposalNetwork(
      channels, self.anchor_options.per_cell, weight_decay
    )
    # conv5 has twice the channels of conv4.
    self.head = heads.BoxHead(
      2 * channels, num_classes, self.num_boxes, weight_decay
    )

  def metadata(self) -> dict[str, Any]:
    """What must travel with the weights, see loading.from_checkpoint."""
    return json.loads(self._metadata)

  def first_stage(self, images, training=None) -> dict[str, tf.Tensor]:
    """Runs conv1..conv4 and the RPN.

    Args:
      images: [N, H, W, 3] float in [-1, 1].
      training: as in resnet.ResNet; without effect on frozen batch norm.

    Returns:
      features: [N, h, w, C], anchors: [A, 4] (not clipped), rpn_logits:
      [N, A, 2] (background, object) and rpn_codes: [N, A, 4], float32.
    """
    features = self.trunk(self._pixels(images), training=training)['conv4']
    logits, codes = self.rpn(features)
    options = self.anchor_options
    height, width = _size(features)
    grid = anchors_lib.grid_anchors(
      height,
      width,
      stride=STRIDE,
      base_size=options.base_size,
      scales=options.scales,
      aspect_ratios=options.aspect_ratios,
    )
    return {
      'features': features,
      'anchors': tf.cast(grid, tf.float32),
      'rpn_logits': logits,
      'rpn_codes': codes,
    }

  def second_stage(self, features, boxes, image_size, training=None):
    """Runs conv5 and the head on crops.

    Args:
      features: [N, h, w, C].
      boxes: [N, P, 4]; no gradient flows to them.
      image_size: (H, W) that h x w cells stand for, the padded input's.
      training: see first_stage.

    Returns:
      class_logits: [N, P, K + 1] with the background first, box_codes:
      [N, P, B, 4], float32.
    """
    count = boxes.shape[1]
    boxes = tf.stop_gradient(boxes)
    crops = roi.crop_and_pool(features, boxes, image_size, self._crop)
    maps = self.conv5(crops, training=training)
    x = tf.reduce_mean(tf.cast(maps, tf.float32), [1, 2])
    logits, codes = self.head(x)
    logits = tf.reshape(logits, [-1, count, self.num_classes + 1])
    codes = tf.reshape(codes, [-1, count, self.num_boxes, 4])
    return logits, codes

  def call(self, images, image_sizes, training=None):
    """Runs both stages as at test time.

    Args:
      images: [N, H, W, 3] float in [-1, 1], padded at the bottom and right.
      image_sizes: int32 [N, 2], true height and width.
      training: see first_stage.

    Returns:
      What first_stage returns, and proposals: [N, P, 4] padded with zeros,
      proposal_scores: [N, P], num_proposals: int32 [N], class_logits:
      [N, P, K + 1], box_codes: [N, P, B, 4].
    """
    first = self.first_stage(images, training=training)
    boxes, scores, count = self._propose(first, image_sizes)
    logits, codes = self.second_stage(
      first['features'], boxes, _size(images), training=training
    )
    return {
      **first,
      'proposals': boxes,
      'proposal_scores': scores,
      'num_proposals': count,
      'class_logits': logits,
      'box_codes': codes,
    }

  def detect(self, images, image_sizes, **options) -> dict[str, tf.Tensor]:
    """Finds objects.

    Args:
      images, image_sizes: see call.
      **options: of postprocess.detections.

    Returns:
      See postprocess.detections: boxes [N, T, 4] in pixels of the input,
      classes [N, T] from 1, scores [N, T], count [N].
    """
    found = self(images, image_sizes, training=False)
    return self.detections_of(found, image_sizes, **options)

  def detections_of(self, found, image_sizes, **options):
    """As `detect`, from what the model returned (see call)."""
    boxes, scores = postprocess.refine(
      found['proposals'], found['box_codes'], found['class_logits']
    )
    return postprocess.detections(
      boxes, scores, found['num_proposals'], image_sizes, **options
    )

  def losses_for(
    self,
    images,
    image_sizes,
    gt_boxes,
    gt_classes,
    gt_valid,
    *,
    seed,
    options: Optional[Sampling] = None,
  ) -> dict[str, tf.Tensor]:
    """Runs a training step's forward pass; no gradient to the proposals.

    Args:
      images: [N, H, W, 3] float in [-1, 1], padded at the bottom and right.
      image_sizes: int32 [N, 2], true height and width.
      gt_boxes: [N, G, 4].
      gt_classes: int [N, G], from 1.
      gt_valid: bool [N, G], False for padding.
      seed: int32 [2], or [N, 2] with one for each image; the samples are a pure
        function of it.
      options: Sampling; None is the paper's.

    Returns:
      rpn_objectness_loss, rpn_box_loss, class_loss and box_loss: scalars,
      weighted, see losses.rpn_losses and losses.classifier_losses.
    """
    options = options or Sampling()
    first = self.first_stage(images, training=True)
    rpn = targets.rpn_targets(first['anchors'], gt_boxes, gt_valid, image_sizes)
    rpn_seed, classifier_seed = _split(seed)
    sampled = sampling.balanced_sample(
      rpn.labels >= 0,
      rpn.labels > 0,
      options.rpn,
      options.rpn_positive_fraction,
      rpn_seed,
    )
    boxes, _, count = self._propose(first, image_sizes, training=True)
    chosen = sampling.sample_proposals(
      boxes,
      count,
      targets.classifier_targets(boxes, count, gt_boxes, gt_classes, gt_valid),
      min(options.classifier, self.num_proposals),
      options.classifier_positive_fraction,
      classifier_seed,
    )
    logits, codes = self.second_stage(
      first['features'], chosen.boxes, _size(images), training=True
    )
    return {
      **losses.rpn_losses(
        objectness_logits=first['rpn_logits'],
        codes=first['rpn_codes'],
        targets=rpn,
        sampled=sampled,
      ),
      **losses.classifier_losses(
        class_logits=logits,
        codes=codes,
        targets=chosen.targets,
        count=chosen.count,
      ),
    }

  def _propose(self, first, image_sizes, training=False):
    return proposals.propose(
      first['anchors'],
      first['rpn_codes'],
      first['rpn_logits'],
      image_sizes,
      num=self.num_proposals,
      training=training,
    )


def _split(seed):
  """Two seeds from one, int [2] or [N, 2]: the draws must not be related."""
  seed = tf.cast(seed, tf.int32)
  return seed, seed ^ tf.constant(_SECOND_SEED, tf.int32)


def _size(maps):
  """Height and width of [N, H, W, C]: ints where known, else tensors."""
  dynamic = tf.shape(maps)
  return tuple(maps.shape[i] or dynamic[i] for i in (1, 2))
