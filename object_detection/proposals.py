"""From what the region proposal network says to the boxes that it proposes.

Shapes: N images, A anchors, T proposals. Boxes are [ymin, xmin, ymax, xmax] in
pixels of the (padded) network input.
"""

from typing import NamedTuple

import tensorflow as tf

from object_detection import anchors as anchors_lib
from object_detection import boxes as boxes_lib
from object_detection import nms


class Proposals(NamedTuple):
  """Boxes in which the classifier looks, best first, padded with zeros to T.

  Attributes:
    boxes: float32 [N, T, 4], in the true image, not in its padding.
    scores: float32 [N, T], probability of an object.
    count: int32 [N], how many of the T are no padding.
  """

  boxes: tf.Tensor
  scores: tf.Tensor
  count: tf.Tensor


def usable_anchors(anchors, image_sizes, training: bool) -> tf.Tensor:
  """Says which anchors propose something; bool [N, A].

  In training those wholly inside of the true image, else those that stand on
  one of its cells (Ren et al. 2015, sec. 3.3, and the reference).
  """
  height, width = _sides(image_sizes)
  chosen = (
    anchors_lib.inside_image if training else anchors_lib.centred_in_image
  )
  return chosen(anchors, height, width)


def propose(
  anchors,
  codes,
  objectness_logits,
  image_sizes,
  num: int = 300,
  nms_iou: float = 0.7,
  score_threshold: float = 0.0,
  training: bool = False,
) -> Proposals:
  """Decodes, suppresses and keeps the best.

  In the reference's order (faster_rcnn_meta_arch, _postprocess_rpn): anchors
  that leave the image are dropped in training and cut at its edge otherwise;
  the boxes decoded from them are suppressed as they are; the `num` survivors
  are cut at the edge of the true image, and those outside of it drop out. So
  an image can have fewer than `num` proposals, and an image in a padded batch
  has those that it has alone.

  No gradient flows back through the result: the coordinates are inputs of the
  second stage, as in the paper's stack.

  Args:
    anchors: [A, 4].
    codes: [N, A, 4], relative to the anchors.
    objectness_logits: [N, A, 2], background and object.
    image_sizes: [N, 2] true height and width of each image, without padding.
    num: T.
    nms_iou: overlap above which the worse box goes.
    score_threshold: a box needs a larger probability.
    training: which anchors are used, see above.

  Returns:
    Proposals.
  """
  codes = tf.stop_gradient(tf.cast(codes, tf.float32))
  logits = tf.stop_gradient(tf.cast(objectness_logits, tf.float32))
  anchors = tf.expand_dims(tf.cast(anchors, tf.float32), 0)
  usable = usable_anchors(anchors, image_sizes, training)
  if not training:
    anchors = boxes_lib.clip(anchors, *_sides(image_sizes))
  scores = tf.where(usable, tf.nn.softmax(logits)[..., 1], -1.0)
  kept = nms.multiclass(
    tf.expand_dims(boxes_lib.decode(codes, anchors), 2),
    tf.expand_dims(scores, 2),
    iou_threshold=nms_iou,
    score_threshold=max(score_threshold, 0.0),
    per_class=num,
    total=num,
    window=boxes_lib.window_of(image_sizes),
  )
  return Proposals(
    *(tf.stop_gradient(x) for x in (kept.boxes, kept.scores)), kept.count
  )


def _sides(image_sizes):
  """Returns height and width, each [N, 1]."""
  sizes = tf.cast(image_sizes, tf.float32)
  return sizes[:, :1], sizes[:, 1:]
