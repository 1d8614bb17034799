"""What the anchors and the proposals should answer.

Shapes: N images, A anchors, P proposals, G true boxes, padded. Boxes are
[ymin, xmin, ymax, xmax] in pixels of the (padded) network input. Every function
takes a batch, or one image without the dimension N.
"""

from typing import NamedTuple

import tensorflow as tf

from object_detection import anchors as anchors_lib
from object_detection import boxes as boxes_lib

NEGATIVE, IGNORED = -1, -2


class RpnTargets(NamedTuple):
  """Targets of the region proposal network.

  Attributes:
    labels: int32 [N, A]: 1 object, 0 background, -1 takes no part.
    codes: float32 [N, A, 4], of the matched box; zeros without one.
    weights: float32 [N, A], of the codes: 1 for an object, else 0.
  """

  labels: tf.Tensor
  codes: tf.Tensor
  weights: tf.Tensor


class ClassifierTargets(NamedTuple):
  """Targets of the second stage.

  Attributes:
    classes: int32 [N, P], from 1; 0 = background.
    codes: float32 [N, P, 4], of the matched box; zeros without one.
    weights: float32 [N, P], of the codes: 1 for an object, else 0.
  """

  classes: tf.Tensor
  codes: tf.Tensor
  weights: tf.Tensor


def match(
  iou, valid, positive: float = 0.7, negative: float = 0.3, force: bool = True
) -> tf.Tensor:
  """Gives every anchor a box, as the reference's ArgMaxMatcher.

  An anchor takes the box that it overlaps most, the first one of equals: a
  match from `positive` on, a negative below `negative`, ignored in between.
  With `force` every box also gets the anchor that it overlaps most, the first
  of equals, however small the overlap; where two boxes want one anchor, the
  first box has it.

  Args:
    iou: [..., A, G] overlaps; an anchor whose whole row is negative takes no
      part and stays negative.
    valid: bool [..., G]; the others (padding) are never matched.
    positive: overlap from which an anchor is matched.
    negative: overlap below which it is negative.
    force: see above.

  Returns:
    int32 [..., A]: index of the box, -1 negative, -2 ignored.

  Raises:
    ValueError: negative > positive.
  """
  if negative > positive:
    raise ValueError(
      'The negative overlap of a match must not be above the positive one; '
      f'got {negative} > {positive}.'
    )
  # One column that wins only where there is no valid box, so G may be 0.
  nothing = tf.concat([tf.shape(iou)[:-1], [1]], 0)
  iou = tf.where(tf.expand_dims(valid, -2), iou, -1.0)
  iou = tf.concat([iou, tf.fill(nothing, -1.0)], -1)
  best = tf.reduce_max(iou, -1)
  result = tf.argmax(iou, -1, output_type=tf.int32)
  result = tf.where(best < positive, IGNORED, result)
  result = tf.where(best < negative, NEGATIVE, result)
  if not force:
    return result
  forced = _forced(iou[..., :-1], valid)
  forced = tf.where(best >= 0, forced, NEGATIVE)
  return tf.where(forced >= 0, forced, result)


def rpn_targets(
  anchors,
  gt_boxes,
  gt_valid,
  image_size,
  positive: float = 0.7,
  negative: float = 0.3,
) -> RpnTargets:
  """Matches anchors with the true boxes.

  Anchors that leave the true image take no part (Ren et al. 2015, sec. 3.3).
  Neither do true boxes of area zero, to which the reference would force an
  anchor with a target of log(1e-8).

  Args:
    anchors: [A, 4].
    gt_boxes: [N, G, 4].
    gt_valid: bool [N, G], False for padding.
    image_size: [N, 2] true height and width, without padding.
    positive: see match.
    negative: see match.

  Returns:
    RpnTargets.
  """
  size = tf.cast(image_size, tf.float32)
  usable = anchors_lib.inside_image(anchors, size[..., :1], size[..., 1:])
  valid = _sound(gt_boxes, gt_valid)
  iou = tf.where(usable[..., None], boxes_lib.iou(anchors, gt_boxes), -1.0)
  matched = match(iou, valid, positive, negative, force=True)
  codes, weights = _regression(matched, gt_boxes, anchors)
  labels = tf.where(matched >= 0, 1, tf.where(matched == NEGATIVE, 0, -1))
  return RpnTargets(tf.where(usable, labels, -1), codes, weights)


def classifier_targets(
  proposals,
  num_proposals,
  gt_boxes,
  gt_classes,
  gt_valid,
  positive: float = 0.5,
) -> ClassifierTargets:
  """Matches proposals with the true boxes; everything else is background.

  Args:
    proposals: [N, P, 4].
    num_proposals: int [N], how many of the P are no padding; padding is
      background here and must not be sampled.
    gt_boxes: [N, G, 4].
    gt_classes: int [N, G], from 1.
    gt_valid: bool [N, G], False for padding.
    positive: overlap from which a proposal is matched.

  Returns:
    ClassifierTargets.
  """
  count = tf.expand_dims(tf.cast(num_proposals, tf.int32), -1)
  real = tf.range(tf.shape(proposals)[-2]) < count
  iou = boxes_lib.iou(proposals, gt_boxes)
  iou = tf.where(real[..., None], iou, -1.0)
  valid = _sound(gt_boxes, gt_valid)
  matched = match(iou, valid, positive, positive, force=False)
  codes, weights = _regression(matched, gt_boxes, proposals)
  classes = gather_matched(tf.cast(gt_classes, tf.int32), matched)
  return ClassifierTargets(classes, codes, weights)


def gather_matched(values, matched) -> tf.Tensor:
  """Looks up what belongs to the matched boxes.

  Args:
    values: [..., G] or [..., G, D], one of each true box.
    matched: int32 [..., A], see match.

  Returns:
    [..., A] or [..., A, D]; 0 without a match.
  """
  axis = matched.shape.rank - 1
  paddings = [[0, 0]] * values.shape.rank
  paddings[axis] = [0, 1]
  values = tf.pad(values, paddings)
  last = tf.shape(values)[axis] - 1
  return tf.gather(
    values, tf.where(matched >= 0, matched, last), batch_dims=axis
  )


def _forced(iou, valid):
  """Returns int32 [..., A]: the first box whose best anchor this is, or -1."""
  shape = tf.shape(iou)
  num_anchors, num_boxes = shape[-2], shape[-1]
  wanted = tf.argmax(iou, -2, output_type=tf.int32)
  images = tf.reduce_prod(shape[:-2])
  wanted = tf.reshape(wanted, [images, num_boxes])
  # One segment an anchor; a negative one is passed over.
  wanted += tf.range(images)[:, None] * num_anchors
  wanted = tf.where(tf.reshape(valid, [images, num_boxes]), wanted, -1)
  takers = tf.broadcast_to(tf.range(num_boxes), [images, num_boxes])
  first = tf.math.unsorted_segment_min(takers, wanted, images * num_anchors)
  first = tf.where(first < num_boxes, first, NEGATIVE)
  return tf.reshape(first, shape[:-1])


def _sound(gt_boxes, gt_valid):
  return gt_valid & (boxes_lib.area(gt_boxes) > 0)


def _regression(matched, gt_boxes, references):
  """Returns codes [..., A, 4] of the matched boxes and weights [..., A]."""
  positive = matched >= 0
  # A background anchor gets itself as box: code 0, and no log(0) on the way.
  references = tf.cast(references, tf.float32)
  boxes = tf.where(
    positive[..., None],
    gather_matched(tf.cast(gt_boxes, tf.float32), matched),
    references,
  )
  codes = boxes_lib.encode(boxes, references)
  codes = tf.where(positive[..., None], codes, 0.0)
  return tf.stop_gradient(codes), tf.cast(positive, tf.float32)
