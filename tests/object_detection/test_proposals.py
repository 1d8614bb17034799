import numpy as np
import pytest
import tensorflow as tf

from object_detection import anchors, boxes, proposals, roi


def inputs(height, width, num=1, seed=0):
  """A grid for the size, random codes and logits."""
  rng = np.random.default_rng(seed)
  grid = anchors.grid_anchors(
    -(-height // 16), -(-width // 16), base_size=64
  ).numpy()
  codes = rng.normal(0, 1, (num, len(grid), 4)).astype('f4')
  logits = rng.normal(0, 2, (num, len(grid), 2)).astype('f4')
  return grid, codes, logits


def two_step(grid, codes, logits, size, training, num=300, iou=0.7):
  """The reference's order in numpy and one plain op."""
  height, width = size
  if training:
    keep = boxes.inside(grid, height, width).numpy()
  else:
    grid = boxes.clip(grid, height, width).numpy()
    keep = boxes.area(grid).numpy() > 0
  decoded = boxes.decode(codes[keep], grid[keep]).numpy()
  scores = tf.nn.softmax(logits[keep])[:, 1].numpy()
  kept, _ = tf.image.non_max_suppression_with_scores(
    decoded, scores, num, iou, 0.0
  )
  found = boxes.clip(decoded[kept.numpy()], height, width).numpy()
  sound = boxes.area(found).numpy() > 0
  return found[sound], scores[kept.numpy()][sound]


@pytest.mark.parametrize('size', [(64, 96), (75, 50), (128, 33)])
@pytest.mark.parametrize('training', [True, False])
def test_follows_the_order_of_the_reference(size, training):
  grid, codes, logits = inputs(*size)
  found = proposals.propose(
    grid, codes, logits, [size], num=40, training=training
  )
  expected, scores = two_step(grid, codes[0], logits[0], size, training, num=40)
  count = int(found.count[0])
  assert count == len(expected) > 5
  np.testing.assert_allclose(found.boxes[0, :count], expected, atol=1e-4)
  np.testing.assert_allclose(found.scores[0, :count], scores, rtol=1e-5)
  assert found.boxes.shape == (1, 40, 4)
  assert not np.any(found.boxes[0, count:])


@pytest.mark.parametrize('training', [True, False])
def test_a_padded_batch_is_its_images_one_by_one(training):
  sizes = [(96, 128), (80, 90), (33, 128), (64, 64)]
  rows, columns = 6, 8
  grid, codes, logits = inputs(96, 128, num=4, seed=1)
  function = tf.function(proposals.propose)
  together = function(
    grid, codes, logits, tf.constant(sizes), num=60, training=training
  )
  for i, (height, width) in enumerate(sizes):
    # The cells that the image has alone.
    cells = (slice(-(-height // 16)), slice(-(-width // 16)))
    own, own_codes, own_logits = (
      x.reshape(rows, columns, 12, -1)[cells].reshape(-1, x.shape[-1])
      for x in (grid, codes[i], logits[i])
    )
    alone = proposals.propose(
      own,
      own_codes[None],
      own_logits[None],
      [(height, width)],
      num=60,
      training=training,
    )
    assert int(alone.count[0]) > 0
    for x, y in zip(together, alone):
      np.testing.assert_allclose(x[i], y[0], rtol=1e-5, atol=1e-4)
    limit = np.array([height, width] * 2) + 1e-4
    assert np.all(together.boxes[i] <= limit)


def test_nothing_proposed_where_no_anchor_fits():
  grid, codes, logits = inputs(32, 32)
  # In training every anchor leaves an image of 9 x 9.
  found = proposals.propose(grid, codes, logits, [(9, 9)], training=True)
  np.testing.assert_array_equal(found.count, [0])
  assert not np.any(found.boxes)
  assert found.boxes.shape == (1, 300, 4)
  found = proposals.propose(grid, codes, logits, [(9, 9)], training=False)
  assert int(found.count[0]) > 0


def test_fewer_survive_than_are_asked_for():
  # All codes lead to the same box, whatever the anchor: one proposal.
  grid, _, logits = inputs(64, 64)
  inside = boxes.clip(grid, 64, 64)
  codes = boxes.encode(np.array([10, 10, 40, 50], 'f4'), inside)[None]
  found = proposals.propose(grid, codes, logits, [(64, 64)])
  np.testing.assert_array_equal(found.count, [1])
  np.testing.assert_allclose(found.boxes[0, 0], [10, 10, 40, 50], atol=1e-3)
  best = tf.reduce_max(tf.nn.softmax(logits)[..., 1])
  np.testing.assert_allclose(found.scores[0, 0], best, rtol=1e-6)


def test_no_more_than_asked_for_and_best_first():
  grid, codes, logits = inputs(96, 96)
  found = proposals.propose(grid, codes, logits, [(96, 96)], num=7, nms_iou=0.9)
  assert found.boxes.shape == (1, 7, 4)
  np.testing.assert_array_equal(found.count, [7])
  assert np.all(np.diff(found.scores[0]) <= 0)


def test_a_score_threshold():
  grid, codes, logits = inputs(96, 96)
  all_of_them = proposals.propose(grid, codes, logits, [(96, 96)])
  some = proposals.propose(grid, codes, logits, [(96, 96)], score_threshold=0.6)
  count = int(some.count[0])
  assert 0 < count < int(all_of_them.count[0])
  assert np.all(some.scores[0, :count] > 0.6)


@pytest.mark.parametrize('training', [True, False])
def test_no_gradient_through_the_coordinates(training):
  grid, codes, logits = inputs(96, 96)
  codes, logits = tf.constant(codes), tf.constant(logits)
  features = tf.random.stateless_normal([1, 6, 6, 2], (0, 1))
  with tf.GradientTape() as tape:
    tape.watch([codes, logits, features])
    found = proposals.propose(
      grid, codes, logits, [(96, 96)], training=training
    )
    # What the second stage computes from them.
    crops = roi.crop_and_pool(features, found.boxes, (96, 96))
    total = (
      tf.reduce_sum(crops**2)
      + tf.reduce_sum(found.boxes)
      + tf.reduce_sum(found.scores)
    )
  to_codes, to_logits, to_features = tape.gradient(
    total, [codes, logits, features]
  )
  assert to_codes is None and to_logits is None
  assert np.any(to_features)


def test_in_a_graph_of_unknown_size():
  grid, codes, logits = inputs(96, 64, num=2)
  sizes = [[96, 64], [70, 60]]
  eager = proposals.propose(grid, codes, logits, sizes, num=50)
  graph = tf.function(
    lambda *args: proposals.propose(*args, num=50),
    input_signature=[
      tf.TensorSpec([None, 4]),
      tf.TensorSpec([None, None, 4]),
      tf.TensorSpec([None, None, 2]),
      tf.TensorSpec([None, 2], tf.int32),
    ],
  )
  assert graph.get_concrete_function().output_shapes.boxes.as_list() == [
    None,
    50,
    4,
  ]
  for x, y in zip(graph(grid, codes, logits, sizes), eager):
    np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-4)
