"""The losses by hand, and what must not count: nothing."""

import math

import numpy as np
import pytest
import tensorflow as tf

from pose import losses
from pose import targets as targets_lib


def gradients(loss, *values):
  """Returns a loss and its gradients by the values."""
  variables = [tf.Variable(v, dtype=tf.float32) for v in values]
  with tf.GradientTape() as tape:
    value = loss(*variables)
  return float(value), [g.numpy() for g in tape.gradient(value, variables)]


def case(seed=0, visibility=(2, 1, 0), others=True):
  """Two crops of three joints: logits, offsets and Targets."""
  rng = np.random.default_rng(seed)
  points = rng.uniform(0, 11, (2, 3, 2))
  joints = np.concatenate(
    [points, np.broadcast_to(np.reshape(visibility, (3, 1)), (2, 3, 1))], -1
  )
  foreign = rng.uniform(0, 11, (2, 2, 3, 3)) if others else None
  targets = targets_lib.make_targets(joints, 12, 10, 3, foreign)
  logits = rng.normal(0, 2, (2, 12, 10, 3))
  return logits, rng.normal(0, 4, (2, 12, 10, 3, 2)), targets


def test_heatmap_loss_by_hand():
  # Logits log 3 and 0 are probabilities 3/4 and 1/2. One in a disk is right
  # with 3/4, one outside of it with 1 - 3/4, one with 1/2; the fourth is left
  # out, but is in the number all the same.
  logits = np.reshape([math.log(3), math.log(3), 0, 5], (1, 2, 2, 1))
  found = losses.heatmap_loss(
    logits=logits,
    targets=np.reshape([1, 0, 1, 1], (1, 2, 2, 1)),
    weights=np.reshape([1, 1, 1, 0], (1, 2, 2, 1)),
  )
  expected = -(math.log(3 / 4) + math.log(1 / 4) + math.log(1 / 2)) / 4
  assert float(found) == pytest.approx(expected, rel=1e-6)


def test_offset_loss_by_hand():
  # Distances 5 (3, 4), 0.5 (0.3, 0.4), 0, and one outside of the disk:
  # 5 - 1/2 = 4.5, 0.25 / 2 = 0.125, 0.
  targets = np.full((1, 2, 2, 1, 2), 7.0)
  errors = np.reshape([[3, 4], [0.3, -0.4], [0, 0], [9, 9]], targets.shape)
  heatmaps = np.reshape([1, 1, 1, 0], (1, 2, 2, 1))
  found = losses.offset_loss(
    offsets=targets + errors, targets=targets, heatmaps=heatmaps
  )
  assert float(found) == pytest.approx((4.5 + 0.125) / 4, rel=1e-6)
  # With delta 10 all are on the parabola: 25 / 2 + 0.25 / 2.
  found = losses.offset_loss(
    offsets=targets + errors, targets=targets, heatmaps=heatmaps, delta=10
  )
  assert float(found) == pytest.approx((12.5 + 0.125) / 4, rel=1e-6)


def test_offset_gradients_by_hand():
  # Beyond delta the gradient has length 1 (3/5, 4/5), below it is the error
  # itself, and at no error it is 0, not NaN; each by four pixels.
  errors = np.reshape([[3, 4], [0.3, -0.4], [0, 0], [9, 9]], (1, 2, 2, 1, 2))
  _, (found,) = gradients(
    lambda offsets: losses.offset_loss(
      offsets=offsets,
      targets=tf.zeros(errors.shape),
      heatmaps=tf.constant([[[[1.0], [1]], [[1], [0]]]]),
    ),
    errors,
  )
  expected = [[0.6, 0.8], [0.3, -0.4], [0, 0], [0, 0]]
  np.testing.assert_allclose(
    found.reshape(4, 2) * 4, expected, rtol=1e-6, atol=1e-7
  )


def test_pose_loss_is_four_to_one_and_the_second_head_counts_as_the_first():
  logits, offsets, targets = case()
  wanted = {'targets': targets.heatmaps, 'weights': targets.weights}
  found = losses.pose_loss(
    logits=logits,
    offsets=offsets,
    targets=targets,
    intermediate_logits=-logits,
  )
  assert list(found) == [
    'heatmap_loss',
    'offset_loss',
    'intermediate_heatmap_loss',
  ]
  expected = (
    4 * losses.heatmap_loss(logits=logits, **wanted),
    losses.offset_loss(
      offsets=offsets, targets=targets.offsets, heatmaps=targets.heatmaps
    ),
    4 * losses.heatmap_loss(logits=-logits, **wanted),
  )
  np.testing.assert_allclose(list(found.values()), expected, rtol=1e-6)
  two = losses.pose_loss(
    logits=logits,
    offsets=offsets,
    targets=targets,
    heatmap_weight=1,
    offset_weight=3,
  )
  assert len(two) == 2
  np.testing.assert_allclose(
    [float(x) for x in two.values()],
    [float(expected[0]) / 4, float(expected[1]) * 3],
    rtol=1e-6,
  )


def total(targets):
  return lambda logits, offsets: tf.add_n(
    list(
      losses.pose_loss(logits=logits, offsets=offsets, targets=targets).values()
    )
  )


def test_gradients_are_where_something_is_learnt():
  logits, offsets, targets = case()
  inside, counts = targets.heatmaps.numpy(), targets.weights.numpy()
  assert 0 < inside.sum() < counts.sum() < 2 * 12 * 10 * 2
  value, (by_logits, by_offsets) = gradients(total(targets), logits, offsets)
  np.testing.assert_array_equal(by_logits != 0, counts == 1)
  np.testing.assert_array_equal(by_offsets.any(-1), inside == 1)
  assert not by_logits[..., 2].any()  # not labelled
  # Whatever the network says elsewhere, nothing changes.
  other = np.where(counts == 1, logits, 1e4)
  moved = np.where(inside[..., None] == 1, offsets, -1e4)
  again, same = gradients(total(targets), other, moved)
  assert again == value
  np.testing.assert_array_equal(same[0], by_logits)
  np.testing.assert_array_equal(same[1], by_offsets)


def test_the_gradient_of_a_logit_is_its_error():
  # Logit 0 against 1 and 0: 1/2 - 1 and 1/2, times 4, by the 720 of the maps.
  _, offsets, targets = case(visibility=(2, 2, 2), others=False)
  _, (found, _) = gradients(total(targets), np.zeros((2, 12, 10, 3)), offsets)
  expected = 4 * (0.5 - targets.heatmaps.numpy()) / 720
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_nothing_labelled_is_zero():
  logits, offsets, targets = case(visibility=(0, 0, 0))
  value, found = gradients(total(targets), logits, offsets)
  assert value == 0
  assert not any(g.any() for g in found)
  empty = targets_lib.Targets(*(x[:0] for x in targets))
  parts = losses.pose_loss(
    logits=logits[:0], offsets=offsets[:0], targets=empty
  )
  assert [float(x) for x in parts.values()] == [0, 0]


def test_a_labelled_joint_counts_the_same_whatever_else_is_labelled():
  logits, offsets, many = case(visibility=(2, 2, 2), others=False)
  _, _, one = case(visibility=(2, 0, 0), others=False)
  _, (all_logits, all_offsets) = gradients(total(many), logits, offsets)
  _, (own_logits, own_offsets) = gradients(total(one), logits, offsets)
  np.testing.assert_array_equal(own_logits[..., 0], all_logits[..., 0])
  np.testing.assert_array_equal(own_offsets[..., 0, :], all_offsets[..., 0, :])
  assert not own_logits[..., 1:].any() and all_logits[..., 1:].any()


def test_two_halves_of_a_batch_are_the_batch():
  logits, offsets, targets = case()
  whole = float(total(targets)(logits, offsets))
  halves = [
    float(
      total(targets_lib.Targets(*(x[i : i + 1] for x in targets)))(
        logits[i : i + 1], offsets[i : i + 1]
      )
    )
    for i in range(2)
  ]
  assert np.mean(halves) == pytest.approx(whole, rel=1e-6)


def test_balance_at_the_start_is_as_said():
  # The two terms of a net that knows how common disks are, and no more.
  joints = np.array([[[176.0, 128, 2]]])
  targets = targets_lib.make_targets(joints, 353, 257)
  share = float(tf.reduce_mean(targets.heatmaps))
  parts = losses.pose_loss(
    logits=tf.fill([1, 353, 257, 1], math.log(share / (1 - share))),
    offsets=tf.zeros([1, 353, 257, 1, 2]),
    targets=targets,
  )
  # 4 (-0.0216 log 0.0216 - 0.9784 log 0.9784) = 0.418; the mean distance in a
  # disk is 2/3 R: 0.0216 (16.67 - 0.5) = 0.349.
  assert float(parts['heatmap_loss']) == pytest.approx(0.418, abs=0.003)
  assert float(parts['offset_loss']) == pytest.approx(0.349, abs=0.003)


@pytest.mark.parametrize('size', [1e4, 1e30])
def test_extreme_values_stay_finite(size):
  _, _, targets = case()
  signs = np.where(np.arange(720) % 2, 1, -1).reshape(2, 12, 10, 3)
  offsets = np.full((2, 12, 10, 3, 2), 1e4)
  value, found = gradients(total(targets), size * signs, offsets)
  assert np.isfinite(value) and all(np.isfinite(g).all() for g in found)
  assert np.abs(found[0]).max() <= 4 / 720 * (1 + 1e-6)


def test_half_precision_is_summed_in_float32():
  logits, offsets, targets = case()
  half = total(targets)(
    tf.constant(logits, tf.bfloat16), tf.constant(offsets, tf.bfloat16)
  )
  assert half.dtype == tf.float32
  assert float(half) == pytest.approx(
    float(total(targets)(logits, offsets)), rel=0.01
  )


def test_shapes_that_do_not_fit_are_told():
  logits, offsets, targets = case()
  with pytest.raises(
    ValueError, match=r'logits are \(2, 6, 10, 3\) and targets'
  ):
    losses.pose_loss(logits=logits[:, :6], offsets=offsets, targets=targets)
  with pytest.raises(ValueError, match=r'offsets are \(2, 12, 10, 3, 1\)'):
    losses.pose_loss(logits=logits, offsets=offsets[..., :1], targets=targets)
