import numpy as np
import pytest
import tensorflow as tf

from object_detection import boxes
from tests.conftest import golden


def random_boxes(rng, *shape):
  corner = rng.uniform(-50, 150, (*shape, 2))
  return np.concatenate(
    [corner, corner + rng.uniform(1, 90, (*shape, 2))], -1
  ).astype('f4')


def close(found, expected, tol=1e-5):
  np.testing.assert_allclose(found, expected, rtol=tol, atol=tol)


def test_golden_iou_and_ioa():
  cases = golden('box_ops')
  a, b = (cases['iou']['inputs'][key] for key in ('boxes1', 'boxes2'))
  close(boxes.iou(a, b), cases['iou']['expected'])
  case = cases['ioa_2_over_1']
  close(boxes.ioa(b, a), case['expected'])


def test_golden_clipping():
  case = golden('box_ops')['clip_to_window_filter_nonoverlapping']
  given, window = case['inputs']['boxes'], case['inputs']['window']
  clipped = boxes.clip_to_window(given, window)
  kept = tf.boolean_mask(clipped, boxes.area(clipped) > 0)
  close(kept, case['expected'], case['tol'])
  height, width = window[2:]
  close(boxes.clip(given, height, width), clipped, 0)
  touching = boxes.intersects_window(given, height, width)
  assert touching.numpy().tolist() == [True] * 5 + [False]


def test_golden_change_frame():
  case = golden('box_ops')['change_coordinate_frame']
  found = boxes.change_frame(case['inputs']['boxes'], case['inputs']['window'])
  close(found, case['expected'], case['tol'])


@pytest.mark.parametrize(
  'name', ['encode', 'decode', 'encode_tiny_width', 'decode_10_10_5_5']
)
def test_golden_box_coder(name):
  case = golden('box_coder')[name]
  given = case['inputs']
  function = boxes.encode if 'encode' in name else boxes.decode
  found = function(
    np.array(given.get('boxes', given.get('codes'))),
    np.array(given['anchors']),
    scales=given['scale_factors'],
  )
  close(found, case['expected'], case['tol'])


def test_iou_by_hand():
  a = [[0, 0, 2, 2], [0, 0, 4, 1], [5, 5, 5, 9], [3, 3, 1, 1]]
  b = [[1, 1, 3, 3], [0, 0, 4, 1], [5, 5, 5, 9]]
  # Row 0: common 1 of 4 + 4 - 1; common 2 * 1 of 4 + 4 - 2; nothing.
  # Row 1: touches b[0] along a line only. Rows 2, 3: boxes without area.
  expected = [[1 / 7, 2 / 6, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]]
  close(boxes.iou(a, b), expected, 1e-7)
  # Over the area of b; that of the last is 0.
  close(boxes.ioa(a[:2], b), [[1 / 4, 2 / 4, 0], [0, 1, 0]], 1e-7)
  close(boxes.area(a), [4, 4, 0, 0], 0)


def test_a_batch_is_its_images_one_by_one():
  rng = np.random.default_rng(0)
  a, b = random_boxes(rng, 3, 5), random_boxes(rng, 3, 7)
  for function in (boxes.intersection, boxes.iou, boxes.ioa):
    together = function(a, b)
    assert together.shape == (3, 5, 7)
    close(together, [function(x, y) for x, y in zip(a, b)], 0)
  # One set of anchors with the boxes of three images.
  close(boxes.iou(a[0], b), [boxes.iou(a[0], y) for y in b], 0)


def test_encode_by_hand():
  # Centre (20, 30) of a box 20 x 40; anchor centre (10, 10), 20 x 20.
  # ty = 10 * 10 / 20, tx = 10 * 20 / 20, th = 5 * log 1, tw = 5 * log 2.
  codes = boxes.encode([10, 10, 30, 50], [0, 0, 20, 20])
  close(codes, [5, 10, 0, 5 * np.log(2)])


@pytest.mark.parametrize('scales', [boxes.SCALES, None, (1, 2, 3, 4)])
def test_decode_undoes_encode(scales):
  rng = np.random.default_rng(1)
  given, anchors = random_boxes(rng, 4, 50), random_boxes(rng, 50)
  codes = boxes.encode(given, anchors, scales)
  close(boxes.decode(codes, anchors, scales), given, 2e-4)


def test_codes_of_empty_boxes_are_finite():
  codes = boxes.encode([[5, 5, 5, 5], [1, 1, 9, 9]], [[0, 0, 4, 4], [3] * 4])
  assert np.all(np.isfinite(codes))


def test_decode_shares_a_proposal_among_classes():
  codes = np.zeros((2, 3, 5, 4), 'f4')
  codes[..., 4, 0] = 10.0  # One height further down.
  proposals = np.array([[[0, 0, 4, 8]] * 3, [[1, 1, 2, 2]] * 3], 'f4')
  found = boxes.decode(codes, proposals[:, :, None])
  close(found[0, :, 0], proposals[0], 1e-6)
  close(found[0, 1, 4], [4, 0, 8, 8], 1e-6)
  close(found[1, 2, 4], [2, 1, 3, 2], 1e-6)


def test_flip_scale_normalise_by_hand():
  box = [[10, 20, 30, 60]]
  close(boxes.flip_left_right(box, 100), [[10, 40, 30, 80]])
  close(boxes.flip_left_right(boxes.flip_left_right(box, 77), 77), box)
  close(boxes.scale(box, 2, 0.5), [[20, 10, 60, 30]])
  close(boxes.normalise(box, 40, 100), [[0.25, 0.2, 0.75, 0.6]])
  close(boxes.window_of([[3, 4], [5, 6]]), [[0, 0, 3, 4], [0, 0, 5, 6]])


def test_inside_counts_the_border_and_takes_a_size_for_each_image():
  given = [[0, 0, 10, 20], [0, 0, 10.01, 20], [-0.01, 0, 5, 5], [2, 2, 9, 30]]
  assert boxes.inside(given, 10, 20).numpy().tolist() == [1, 0, 0, 0]
  sizes = np.array([[10, 20], [11, 40]])
  found = boxes.inside(given, sizes[:, :1], sizes[:, 1:])
  assert found.numpy().tolist() == [[1, 0, 0, 0], [1, 1, 0, 1]]
  beside = boxes.intersects_window([[10, 0, 12, 5], [9, 0, 12, 5]], 10, 20)
  assert beside.numpy().tolist() == [False, True]


def test_in_a_data_pipeline_and_in_a_graph_of_unknown_size():
  rng = np.random.default_rng(2)
  given, anchors = random_boxes(rng, 6), random_boxes(rng, 6)

  def work(b, a):
    b = boxes.clip(boxes.flip_left_right(b, 120), 100, 120)
    return boxes.encode(b, a), boxes.iou(b, a), boxes.inside(b, 100, 120)

  eager = work(given, anchors)
  data = tf.data.Dataset.from_tensors((given, anchors)).map(work)
  spec = tf.TensorSpec([None, 4])
  graph = tf.function(work, input_signature=[spec, spec])
  for found in (next(iter(data)), graph(given, anchors)):
    for x, y in zip(found, eager):
      close(tf.cast(x, tf.float32), tf.cast(y, tf.float32), 1e-6)
