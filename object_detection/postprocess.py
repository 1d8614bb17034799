"""From what the classifier says to the detections of an image.

Shapes: N images, P proposals, K classes without the background, B = K, or 1
where the classes share boxes, T detections. Boxes are [ymin, xmin, ymax, xmax]
in pixels of the (padded) network input.
"""

from typing import Optional

import tensorflow as tf

from object_detection import boxes as boxes_lib
from object_detection import nms


def refine(proposals, codes, class_logits):
  """Applies the second stage's answer to its proposals.

  Args:
    proposals: [N, P, 4].
    codes: [N * P, B, 4] or [N, P, B, 4], relative to the proposals.
    class_logits: [N * P, K + 1] or [N, P, K + 1], the background first.

  Returns:
    boxes: float32 [N, P, B, 4], not cut at the image.
    scores: float32 [N, P, K], softmax without the background.
  """
  proposals = tf.cast(proposals, tf.float32)
  num_boxes, num_scores = codes.shape[-2], class_logits.shape[-1]
  lead = tf.shape(proposals)[:2]
  codes = tf.reshape(codes, tf.concat([lead, [num_boxes, 4]], 0))
  logits = tf.reshape(class_logits, tf.concat([lead, [num_scores]], 0))
  boxes = boxes_lib.decode(codes, tf.expand_dims(proposals, 2))
  return boxes, tf.nn.softmax(tf.cast(logits, tf.float32))[..., 1:]


def detections(
  boxes,
  scores,
  count=None,
  image_sizes: Optional[tf.Tensor] = None,
  *,
  nms_iou: float = 0.6,
  per_class: int = 100,
  total: int = 300,
  score_threshold: float = 0.0,
) -> dict:
  """Suppresses within each class and keeps the best of the image.

  Defaults: the reference's faster_rcnn_resnet101_coco.

  Args:
    boxes: [N, P, B, 4], not yet cut at the image.
    scores: [N, P, K] probabilities, without the background.
    count: int [N], how many of the P are no padding; None = all.
    image_sizes: [N, 2] true height and width; boxes are cut there, and those
      outside drop out. None = no cut.
    nms_iou: overlap above which the worse box of a class goes.
    per_class: detections of one class at most.
    total: T.
    score_threshold: a detection needs a larger score.

  Returns:
    Best first, padded with zeros to T: 'boxes' float32 [N, T, 4], 'scores'
    float32 [N, T], 'classes' int32 [N, T] from 1 (0 = padding), 'proposals'
    int32 [N, T] the index among the P, 'count' int32 [N].
  """
  scores = tf.cast(scores, tf.float32)
  if count is not None:
    real = tf.range(tf.shape(scores)[1]) < tf.cast(count, tf.int32)[:, None]
    scores = tf.where(real[..., None], scores, -float('inf'))
  kept = nms.multiclass(
    boxes,
    scores,
    iou_threshold=nms_iou,
    score_threshold=score_threshold,
    per_class=per_class,
    total=total,
    window=None if image_sizes is None else boxes_lib.window_of(image_sizes),
  )
  real = tf.range(total) < kept.count[:, None]
  return {
    'boxes': kept.boxes,
    'scores': kept.scores,
    'classes': tf.where(real, kept.classes + 1, 0),
    'proposals': kept.indices,
    'count': kept.count,
  }
