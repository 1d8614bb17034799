"""Draws the anchors and proposals that the losses look at.

Every draw is a pure function of its seed, so a run that is stopped and resumed
samples what it would have sampled. A seed is two integers: one pair for all
images, or [N, 2] with a pair for each (as official_repro.data.order's
augment_seeds makes them), and then the sample of an image does not depend on
the batch or replica that it stands in, but for the size that it is padded to:
that decides which anchors there are.

Shapes: N images, A anchors or proposals, S sampled.
"""

from typing import NamedTuple

import tensorflow as tf

from object_detection import targets as targets_lib


class SampledProposals(NamedTuple):
  """Proposals for the second stage's loss, padded with zeros to S.

  Attributes:
    boxes: float32 [N, S, 4] in the order of the proposals.
    count: int32 [N], how many of the S are no padding.
    targets: ClassifierTargets of the S.
  """

  boxes: tf.Tensor
  count: tf.Tensor
  targets: targets_lib.ClassifierTargets


def balanced_sample(
  indicator, positive, size: int, positive_fraction: float, seed
) -> tf.Tensor:
  """Draws positives and negatives at a given balance.

  At most int(size * positive_fraction) positives; negatives fill up the rest;
  fewer than `size` in all where there are not enough of them (the reference's
  BalancedPositiveNegativeSampler).

  Args:
    indicator: bool [N, A] or [A], what may be drawn.
    positive: bool, likewise; the others are negatives.
    size: to draw for each image.
    positive_fraction: of `size`, at most.
    seed: int [2], or int [N, 2].

  Returns:
    bool, shape of `indicator`: what was drawn.

  Raises:
    ValueError: positive_fraction outside [0, 1], or size below 1.
  """
  if not 0 <= positive_fraction <= 1 or size < 1:
    raise ValueError(
      'A sample needs a size of at least 1 and a positive fraction from 0 to '
      f'1; got {size} and {positive_fraction}.'
    )
  indicator = tf.convert_to_tensor(indicator)
  if indicator.shape.rank == 1:
    sample = balanced_sample(
      indicator[None], positive[None], size, positive_fraction, seed
    )
    return sample[0]
  draws = _draws(tf.shape(indicator), tf.convert_to_tensor(seed))
  positives = _highest(
    draws, indicator & positive, size, int(size * positive_fraction)
  )
  num_positives = tf.reduce_sum(tf.cast(positives, tf.int32), 1)
  negatives = _highest(
    draws, indicator & ~positive, size, size - num_positives[:, None]
  )
  return tf.ensure_shape(positives | negatives, indicator.shape)


def sample_proposals(
  boxes,
  count,
  targets: targets_lib.ClassifierTargets,
  size: int,
  positive_fraction: float,
  seed,
) -> SampledProposals:
  """Draws the proposals of the second stage's loss.

  Args:
    boxes: [N, P, 4] proposals.
    count: int [N], how many of the P are no padding.
    targets: of the P.
    size: S.
    positive_fraction: see balanced_sample.
    seed: see balanced_sample.

  Returns:
    SampledProposals.
  """
  real = tf.range(tf.shape(boxes)[1]) < tf.cast(count, tf.int32)[:, None]
  mask = balanced_sample(
    real, targets.classes > 0, size, positive_fraction, seed
  )
  (boxes, *targets), count = compact(mask, size, boxes, *targets)
  return SampledProposals(boxes, count, targets_lib.ClassifierTargets(*targets))


def compact(mask, size: int, *tensors):
  """Moves what is chosen to the front, in its order, padded with zeros.

  Args:
    mask: bool [N, A], what is chosen.
    size: length of the result; what is chosen beyond it drops out.
    *tensors: each [N, A, ...].

  Returns:
    List of tensors [N, size, ...], and int32 [N], how many are no padding.
  """
  length = tf.minimum(size, tf.shape(mask)[1])
  order = tf.argsort(tf.cast(~mask, tf.int32), axis=1, stable=True)
  order = order[:, :length]
  count = tf.minimum(tf.reduce_sum(tf.cast(mask, tf.int32), 1), size)
  keep = tf.range(size) < count[:, None]

  def move(x):
    x = tf.gather(x, order, batch_dims=1)
    more = [[0, 0]] * (x.shape.rank - 2)
    x = tf.pad(x, [[0, 0], [0, size - length], *more])
    x = tf.ensure_shape(x, [x.shape[0], size, *x.shape[2:]])
    shown = tf.reshape(keep, [-1, size] + [1] * (x.shape.rank - 2))
    return tf.where(shown, x, tf.zeros_like(x))

  return [move(x) for x in tensors], count


def _draws(shape, seed):
  """Returns int32 [N, A] of random numbers >= 0."""

  def draw(one, size):
    return tf.random.stateless_uniform(
      size, one, 0, tf.int32.max, dtype=tf.int32
    )

  if seed.shape.rank == 1:
    return draw(seed, shape)
  if seed.shape[0] is not None:
    return tf.stack([draw(one, shape[1:]) for one in tf.unstack(seed)])
  return tf.map_fn(
    lambda one: draw(one, shape[1:]), seed, fn_output_signature=tf.int32
  )


def _highest(draws, allowed, most: int, wanted):
  """Returns bool [N, A]: the `wanted` (<= most) allowed with highest draws."""
  shape = tf.shape(draws)
  top = tf.nn.top_k(tf.where(allowed, draws, -1), tf.minimum(most, shape[1]))
  chosen = (top.values >= 0) & (tf.range(tf.shape(top.values)[1]) < wanted)
  places = top.indices + tf.range(shape[0])[:, None] * shape[1]
  flat = tf.scatter_nd(
    tf.reshape(places, [-1, 1]),
    tf.reshape(tf.cast(chosen, tf.int32), [-1]),
    tf.reshape(shape[0] * shape[1], [1]),
  )
  return tf.reshape(flat, shape) > 0
