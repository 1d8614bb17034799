"""Losses of classification: per-label logistic (JFT-300M), softmax (ImageNet).

Shapes: B images, C classes, L label slots of an image (padded with -1).
"""

from typing import Optional

import tensorflow as tf

from official_repro.core import replicas


def per_label_logistic_loss(
  *,
  logits: tf.Tensor,
  label_ids: tf.Tensor,
  confidence: Optional[tf.Tensor] = None,
  positive_weight: Optional[float] = None,
) -> tf.Tensor:
  """Sigmoid cross-entropy of every class, from sparse label ids.

  Sum over the labels, mean over the images (Sun et al. 2017, sec. 3); classes
  that an image does not name are negatives. The sum is not divided by C: with
  18,291 classes and one or two true ones a mean would hide what a label costs.

  Equals `tf.nn.sigmoid_cross_entropy_with_logits` on the dense [B, C] target
  (with `positive_weight`: `tf.nn.weighted_cross_entropy_with_logits`), which is
  never built: the true entries are corrected in place, forward and backward.

  Args:
    logits: [B, C] float; float16 and bfloat16 are computed in float32.
    label_ids: [B, L] integer ids in [0, C), in any order; negative = padding;
      an id that stands twice in a row counts once.
    confidence: optional [B, L] float in [0, 1], aligned with `label_ids`: the
      target of that label is its confidence instead of 1. Where an id stands
      twice, the largest confidence wins.
    positive_weight: optional factor >= 0 on the positive part of each term.

  Returns:
    float32 scalar; 0 for an empty batch.

  Raises:
    tf.errors.InvalidArgumentError: an id >= C, on the CPU only; GPU kernels
      pass over it, so check label spaces before training.
  """
  logits = tf.cast(logits, tf.float32)
  ids, targets = _distinct(label_ids, confidence)
  weight = 1.0 if positive_weight is None else float(positive_weight)
  if weight < 0:
    raise ValueError(
      f'positive_weight of the logistic loss must be >= 0, got {weight}.'
    )
  images = tf.maximum(tf.shape(logits)[0], 1)
  total = _logistic_sum(logits, ids, targets, weight)
  return total / tf.cast(images, tf.float32)


def softmax_loss(
  *, logits: tf.Tensor, label_ids: tf.Tensor, over_replicas: bool = False
) -> tf.Tensor:
  """Softmax cross-entropy with the first label of each image.

  For single-label data (the ImageNet baseline and fine-tuning of Sun et al.
  2017, sec. 4). Mean over the images that have a label.

  Args:
    logits: [B, C] float; float16 and bfloat16 are computed in float32.
    label_ids: [B, L] integer ids in [0, C); only column 0 is read, negative =
      an image without label, which is left out.
    over_replicas: divide by the mean over the replicas of their labelled
      images, as a training step must, see core.replicas.

  Returns:
    float32 scalar; 0 when no image has a label.
  """
  first = label_ids[:, 0]
  labelled = tf.cast(first >= 0, tf.float32)
  losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
    labels=tf.maximum(first, 0), logits=tf.cast(logits, tf.float32)
  )
  number = tf.reduce_sum(labelled)
  if over_replicas:
    number = replicas.mean_count(number)
  return tf.math.divide_no_nan(tf.reduce_sum(losses * labelled), number)


def _distinct(label_ids, confidence):
  """Sorts each row by id and clears the target of padding and repeats.

  Returns:
    ids: [B, L] int32, 0 in place of padding.
    targets: [B, L] float32, 0 where the slot must change nothing.
  """
  ids = tf.cast(label_ids, tf.int32)
  if confidence is None:
    ids = tf.sort(ids, axis=-1)
    targets = tf.ones_like(ids, tf.float32)
  else:
    targets = tf.cast(confidence, tf.float32)
    # Two stable sorts: by id, and within an id the most confident first.
    order = tf.argsort(targets, axis=-1, direction='DESCENDING', stable=True)
    ids, targets = _reorder(order, ids, targets)
    order = tf.argsort(ids, axis=-1, stable=True)
    ids, targets = _reorder(order, ids, targets)
  repeated = tf.pad(ids[:, 1:] == ids[:, :-1], [[0, 0], [1, 0]])
  counts = (ids >= 0) & ~repeated
  return tf.maximum(ids, 0), tf.where(counts, targets, 0.0)


def _reorder(order, *tensors):
  return [tf.gather(t, order, axis=-1, batch_dims=1) for t in tensors]


def _logistic_sum(logits, ids, targets, weight):
  """Sum over images and classes of the (weighted) logistic loss.

  A term is weight * t * softplus(-x) + (1 - t) * softplus(x), hence
  softplus(x) wherever t = 0. Its own gradient keeps nothing of size [B, C]
  between the passes but the logits themselves.
  """
  rows = tf.repeat(tf.range(tf.shape(ids)[0]), tf.shape(ids)[1])
  places = tf.stack([rows, tf.reshape(ids, [-1])], axis=-1)
  targets = tf.reshape(targets, [-1])

  @tf.custom_gradient
  def total(x):
    at_labels = tf.gather_nd(x, places)
    positive, negative = tf.nn.softplus(-at_labels), tf.nn.softplus(at_labels)
    terms = tf.tensor_scatter_nd_add(
      tf.nn.softplus(x), places, targets * (weight * positive - negative)
    )

    def grad(upstream):
      # d/dx = sigmoid(x) + t * (weight * (sigmoid(x) - 1) - sigmoid(x)).
      probability = tf.sigmoid(at_labels)
      change = targets * (weight * (probability - 1.0) - probability)
      return upstream * tf.tensor_scatter_nd_add(tf.sigmoid(x), places, change)

    return tf.reduce_sum(terms), grad

  return total(logits)
