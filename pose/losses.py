"""What the pose net learns: disks about the joints, and offsets in them.

Papandreou et al. 2017 (G-RMI), sec. 3.2: a logistic loss of the heatmaps, and a
Huber loss of the offsets inside the disks; total = 4 L_h + 1 L_o. Shapes: N
crops of H x W pixels, K joints. Computed in float32.

The paper's losses are sums over pixels and joints. Here each is the sum divided
by N H W K, a number that does not depend on what is in the crops:

- Both are divided alike, so the paper's 4 : 1 keeps its meaning. With disks of
  25 pixels (2% of a crop) a net that knows how common disks are, but not where,
  has 4 L_h = 4 x 0.10, and one that predicts no offset 1 L_o = 0.02 x 16: the
  two weigh about the same. With a mean over the disks for the offsets, L_o
  would be 46 times larger, and the trunk would learn little else.
- A labelled joint counts the same in a batch with few labels as in one with
  many, and on a replica as on one device; a batch without any gives 0.
- Gradients suit the paper's learning rate, 0.005, as the loss of a pixel does
  not grow with the size of the crop: from logits of 0, a heatmap's bias gets a
  gradient of 4 x 0.48 / K = 0.11, most of it from the 98% without a disk.
"""

import tensorflow as tf

from pose import targets as targets_lib

HEATMAP_WEIGHT, OFFSET_WEIGHT = 4.0, 1.0
# Where the Huber loss turns from a parabola into a line, in pixels of the crop:
# what is nearer is as good as right (a network's cell is 8 pixels wide).
DELTA = 1.0


def heatmap_loss(*, logits, targets, weights) -> tf.Tensor:
  """Logistic loss of the heatmaps.

  Args:
    logits: float [N, H, W, K].
    targets: float [N, H, W, K], 0 or 1; see targets.make_targets.
    weights: float [N, H, W, K], 0 where nothing is learnt.

  Returns:
    float32 scalar: the sum by N H W K. Pixels of weight 0 give no gradient.

  Raises:
    ValueError: the shapes differ.
  """
  logits, targets, weights = _float32(logits, targets, weights)
  _check('heatmap_loss', logits=logits, targets=targets, weights=weights)
  each = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits)
  return _normalised(each * weights)


def offset_loss(*, offsets, targets, heatmaps, delta: float = DELTA):
  """Huber loss of the distance between found and true offset, in the disks.

  With d = |F_k(x) - (l_k - x)|: d^2 / 2 up to delta, delta (d - delta / 2)
  beyond.

  Args:
    offsets: float [N, H, W, K, 2] in pixels of the crop.
    targets: float [N, H, W, K, 2]; see targets.make_targets.
    heatmaps: float [N, H, W, K], 1 inside the disks and 0 elsewhere.
    delta: pixels.

  Returns:
    float32 scalar: the sum by N H W K. Pixels outside of disks give no
    gradient; the gradient of an offset that is just right is 0.

  Raises:
    ValueError: the shapes differ.
  """
  offsets, targets, heatmaps = _float32(offsets, targets, heatmaps)
  _check('offset_loss', offsets=offsets, targets=targets)
  _check('offset_loss', heatmaps=heatmaps, targets=targets[..., 0])
  error = (offsets - targets) * heatmaps[..., None]
  square = tf.reduce_sum(tf.square(error), -1)
  # The root has no gradient at 0, and where the parabola is taken the other
  # branch must not be asked for one.
  distance = tf.sqrt(tf.maximum(square, delta**2))
  near = square <= delta**2
  each = tf.where(near, square / 2, delta * (distance - delta / 2))
  return _normalised(each)


def pose_loss(
  *,
  logits,
  offsets,
  targets: targets_lib.Targets,
  intermediate_logits=None,
  heatmap_weight: float = HEATMAP_WEIGHT,
  offset_weight: float = OFFSET_WEIGHT,
) -> dict:
  """The losses of a step; their sum is what is minimised.

  Args:
    logits: float [N, H, W, K] of the heatmaps.
    offsets: float [N, H, W, K, 2] in pixels of the crop.
    targets: Targets of the N crops.
    intermediate_logits: float [N, H, W, K] of a second heatmap head, in the
      middle of the network, which learns the same with the same weight; None:
      there is none.
    heatmap_weight: of each heatmap's loss.
    offset_weight: of the offsets' loss.

  Returns:
    'heatmap_loss', 'offset_loss' and, with a head in the middle,
    'intermediate_heatmap_loss': float32 scalars, weighted.

  Raises:
    ValueError: shapes do not fit.
  """
  wanted = {'targets': targets.heatmaps, 'weights': targets.weights}
  losses = {
    'heatmap_loss': heatmap_weight * heatmap_loss(logits=logits, **wanted),
    'offset_loss': offset_weight
    * offset_loss(
      offsets=offsets, targets=targets.offsets, heatmaps=targets.heatmaps
    ),
  }
  if intermediate_logits is not None:
    losses['intermediate_heatmap_loss'] = heatmap_weight * heatmap_loss(
      logits=intermediate_logits, **wanted
    )
  return losses


def _float32(*tensors):
  return [tf.cast(t, tf.float32) for t in tensors]


def _normalised(each):
  """Returns the sum of losses [N, H, W, K] by N H W K; 0 for N = 0.

  The one place of the normaliser; for why, see the top.
  """
  number = tf.cast(tf.maximum(tf.size(each), 1), tf.float32)
  return tf.reduce_sum(each) / number


def _check(name, **tensors):
  """The losses themselves would broadcast, or tell only that shapes differ."""
  (first, a), *others = ((n, t.shape) for n, t in tensors.items())
  for second, b in others:
    if not a.is_compatible_with(b):
      raise ValueError(f'{name}: {first} are {a} and {second} {b}, not equal.')
