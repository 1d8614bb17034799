"""What the segmentation net learns: the class of every labelled pixel.

Shapes: N images, H x W pixels of the masks, h x w cells of the logits, K
classes with the background.
"""

import tensorflow as tf

from deeplab.label_space import IGNORE
from official_repro.core import replicas
from official_repro.modeling import upsampling


def segmentation_loss(
  *, logits, labels, stride: int = 8, full_size: bool = False
) -> tf.Tensor:
  """Softmax cross entropy, a mean over the pixels whose label is not 255.

  The mean is over all pixels of all images together, as in DeepLab v2: a
  picture with few labelled pixels counts for less. Where there is none, the
  loss is 0. In a step of several replicas the sum over a replica's pixels is
  divided by the mean number of the replicas, see core.replicas.

  By default the masks are reduced to the logits' size: cell i takes the label
  of pixel stride * i, which it is centred on (65 cells: pixels 0, 8, ... 512).
  No label is made up between two classes, and no large map is needed.

  Args:
    logits: float [N, h, w, K].
    labels: integers [N, H, W], 0 to K - 1 or 255; h = ceil(H / stride), and so
      the width.
    stride: pixels from one cell to the next.
    full_size: upsample the logits instead, and let all pixels count; H - 1 and
      W - 1 must be multiples of the stride.

  Returns:
    float32 scalar. Pixels with 255 give no gradient.

  Raises:
    ValueError: the sizes do not fit (where they are known; else
      tf.errors.InvalidArgumentError, when run).
  """
  logits = tf.cast(logits, tf.float32)
  if full_size:
    size = tf.shape(labels)
    logits = upsampling.upsample(logits, size[1], size[2], stride)
  else:
    labels = labels[:, ::stride, ::stride]
  _check_sizes(logits, labels, stride)
  labels = tf.cast(labels, tf.int32)
  counts = tf.not_equal(labels, IGNORE)
  each = tf.nn.sparse_softmax_cross_entropy_with_logits(
    labels=tf.where(counts, labels, 0), logits=logits
  )
  total = tf.reduce_sum(tf.where(counts, each, 0.0))
  number = replicas.mean_count(tf.reduce_sum(tf.cast(counts, tf.float32)))
  return tf.math.divide_no_nan(total, number)


def _check_sizes(logits, labels, stride):
  """The loss itself would tell only that two shapes differ."""
  if not logits.shape[:3].is_compatible_with(labels.shape):
    raise ValueError(
      f'Logits of {tuple(logits.shape[1:3])} cells do not fit labels that have '
      f'{tuple(labels.shape[1:])} at stride {stride}.'
    )
