"""The four losses of Faster R-CNN, with the reference's normalisers.

Each is a sum over what was sampled in an image, divided by how many were
sampled there (positives and negatives alike), then averaged over the images
(faster_rcnn_meta_arch, _loss_rpn and _loss_box_classifier). Dividing the boxes'
loss by all samples, not by the positives, keeps its weight against the class
loss the same in an image with few objects as in one with many. Nor do the
divisors depend on the other images, so replicas need not exchange them.

Shapes: N images, A anchors, S sampled proposals, K classes without background,
B = K, or 1 where the classes share boxes. Computed in float32.
"""

import tensorflow as tf

from object_detection import targets as targets_lib


def smooth_l1(*, predictions, targets, delta: float = 1.0) -> tf.Tensor:
  """Huber loss of codes, summed over the code.

  0.5 x^2 for |x| <= delta, delta |x| - 0.5 delta^2 beyond.

  Args:
    predictions: [..., 4].
    targets: [..., 4].
    delta: where the parabola ends.

  Returns:
    float32 [...].
  """
  error = tf.cast(predictions, tf.float32) - tf.cast(targets, tf.float32)
  size = tf.abs(error)
  # min(|x|, delta) (|x| - min(|x|, delta) / 2) is both branches at once.
  near = tf.minimum(size, delta)
  return tf.reduce_sum(near * (size - 0.5 * near), -1)


def rpn_losses(
  *,
  objectness_logits,
  codes,
  targets: targets_lib.RpnTargets,
  sampled,
  localisation_weight: float = 2.0,
  objectness_weight: float = 1.0,
) -> dict:
  """Losses of the region proposal network.

  Args:
    objectness_logits: [N, A, 2], background and object.
    codes: [N, A, 4].
    targets: RpnTargets.
    sampled: bool [N, A], a sample of the anchors whose label is not -1.
    localisation_weight: of the boxes' loss.
    objectness_weight: of the softmax cross-entropy.

  Returns:
    'rpn_objectness_loss' and 'rpn_box_loss', float32 scalars, weighted.
  """
  sampled = tf.cast(sampled, tf.float32)
  number = tf.maximum(tf.reduce_sum(sampled, 1), 1.0)
  objectness = tf.nn.sparse_softmax_cross_entropy_with_logits(
    # Anchors that take no part have no class, and weight 0.
    labels=tf.maximum(targets.labels, 0),
    logits=tf.cast(objectness_logits, tf.float32),
  )
  box = smooth_l1(predictions=codes, targets=targets.codes)
  return {
    'rpn_objectness_loss': objectness_weight
    * _per_image(objectness * sampled, number),
    'rpn_box_loss': localisation_weight
    * _per_image(box * sampled * targets.weights, number),
  }


def classifier_losses(
  *,
  class_logits,
  codes,
  targets: targets_lib.ClassifierTargets,
  count,
  localisation_weight: float = 2.0,
  classification_weight: float = 1.0,
) -> dict:
  """Losses of the second stage.

  Args:
    class_logits: [N * S, K + 1] or [N, S, K + 1], the background first.
    codes: [N * S, B, 4] or [N, S, B, 4]; only those of the target's class are
      looked at.
    targets: ClassifierTargets of the S.
    count: int [N], how many of the S are no padding.
    localisation_weight: of the boxes' loss.
    classification_weight: of the softmax cross-entropy.

  Returns:
    'class_loss' and 'box_loss', float32 scalars, weighted.
  """
  lead = tf.shape(targets.classes)
  num_scores, num_boxes = class_logits.shape[-1], codes.shape[-2]
  logits = tf.reshape(
    tf.cast(class_logits, tf.float32), tf.concat([lead, [num_scores]], 0)
  )
  codes = tf.reshape(codes, tf.concat([lead, [num_boxes, 4]], 0))
  count = tf.cast(count, tf.int32)
  number = tf.cast(tf.maximum(count, 1), tf.float32)
  real = tf.cast(tf.range(lead[1]) < count[:, None], tf.float32)
  classes = tf.nn.sparse_softmax_cross_entropy_with_logits(
    labels=targets.classes, logits=logits
  )
  box = smooth_l1(
    predictions=_of_class(codes, targets.classes), targets=targets.codes
  )
  return {
    'class_loss': classification_weight * _per_image(classes * real, number),
    'box_loss': localisation_weight
    * _per_image(box * real * targets.weights, number),
  }


def _of_class(codes, classes):
  """Returns [N, S, 4]: codes [N, S, B, 4] of each target class.

  Background has none: it gets those of class 1, which its weight 0 hides.
  """
  if codes.shape[2] == 1:
    return codes[:, :, 0]
  return tf.gather(codes, tf.maximum(classes - 1, 0), batch_dims=2)


def _per_image(values, number):
  """Mean over the images of sum(values [N, A]) / number [N]; 0 for N = 0."""
  per_image = tf.reduce_sum(values, 1) / number
  images = tf.cast(tf.maximum(tf.shape(per_image)[0], 1), tf.float32)
  return tf.reduce_sum(per_image) / images
