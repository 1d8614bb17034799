import pathlib
import re

import numpy as np
import pytest

from deeplab import evaluate, host_evaluation, label_space
from official_repro.data.hierarchy import Hierarchy
from tests import conftest


def counted(truth, prediction, num_classes=3, **options):
  matrix = evaluate.ConfusionMatrix(num_classes, **options)
  matrix.update(np.array(truth), np.array(prediction))
  return matrix


def by_definition(truth, prediction, num_classes, ignore=255):
  """Pixel by pixel."""
  matrix = np.zeros((num_classes, num_classes), np.int64)
  for t, p in zip(truth.ravel().tolist(), prediction.ravel().tolist()):
    if t != ignore:
      matrix[t, p] += 1
  return matrix


def test_hand_computed():
  truth = [[0, 0, 1, 1], [2, 2, 2, 255]]
  prediction = [[0, 1, 1, 1], [2, 0, 2, 2]]
  matrix = counted(truth, prediction)
  expected = [[1, 1, 0], [0, 2, 0], [1, 0, 2]]
  assert matrix.matrix.tolist() == expected
  assert matrix.matrix.dtype == np.int64
  assert matrix.ignored == 1
  # Class 0: 1 / (2 + 2 - 1); 1: 2 / (2 + 3 - 2); 2: 2 / (3 + 2 - 2).
  iou = matrix.iou()
  assert iou.dtype == np.float64
  np.testing.assert_allclose(iou, [1 / 3, 2 / 3, 2 / 3])
  assert matrix.mean_iou() == pytest.approx(5 / 9)
  assert matrix.pixel_accuracy() == pytest.approx(5 / 7)


def test_golden():
  case = conftest.golden('mean_iou')['five_classes_ignore_255']
  given, expected = case['inputs'], case['expected']
  matrix = evaluate.ConfusionMatrix(given['classes'], given['ignore'])
  for truth, prediction in zip(given['target'], given['prediction']):
    matrix.update(truth, prediction)
  assert matrix.matrix.tolist() == expected['confusion_rows_target']
  close = lambda found, key: np.testing.assert_allclose(
    found, expected[key], rtol=0, atol=case['tol']
  )
  close(matrix.iou(), 'per_class')
  close(matrix.mean_iou(), 'mean_iou')
  close(matrix.pixel_accuracy(), 'pixel_accuracy')


def test_class_that_only_a_prediction_has_counts_as_in_the_voc_kit():
  # Class 1 is 0 / (0 + 1 - 0), class 0 is 3 / (4 + 3 - 3).
  matrix = counted([0, 0, 0, 0], [0, 0, 0, 1], 2)
  np.testing.assert_allclose(matrix.iou(), [0.75, 0])
  assert matrix.mean_iou() == pytest.approx(0.375)


def test_class_that_neither_has_is_left_out():
  matrix = counted([0, 0, 0, 0], [0, 0, 0, 1], 3)
  np.testing.assert_array_equal(np.isnan(matrix.iou()), [0, 0, 1])
  assert matrix.mean_iou() == pytest.approx(0.375)


def test_ignored_pixels_may_be_predicted_as_anything():
  matrix = counted([255, 255, 0], [254, 1, 0], 2)
  assert matrix.matrix.tolist() == [[1, 0], [0, 0]]
  assert matrix.mean_iou() == 1


@pytest.mark.parametrize('dtype', [np.uint8, np.int32, np.int64, np.uint16])
@pytest.mark.parametrize('shape', [(1,), (7,), (5, 9), (2, 3, 4), (0, 3)])
def test_any_integers_of_any_shape(dtype, shape):
  rng = np.random.default_rng(3)
  truth = rng.choice([0, 1, 2, 3, 255], shape).astype(dtype)
  prediction = rng.integers(0, 4, shape).astype(dtype)
  matrix = counted(truth, prediction, 4)
  expected = by_definition(truth, prediction, 4)
  np.testing.assert_array_equal(matrix.matrix, expected)
  assert matrix.ignored + matrix.matrix.sum() == truth.size


@pytest.mark.parametrize('repeat', [1, 3, 6, 7, 8, 40])
def test_noise_and_patches_count_alike(repeat):
  """Counted by value where runs are short, else by runs."""
  rng = np.random.default_rng(repeat)
  draw = lambda values: np.repeat(rng.choice(np.uint8(values), 500), repeat)
  truth, prediction = draw([*range(21), 255]), draw(range(21))
  matrix = counted(truth, prediction, 21)
  expected = by_definition(truth, prediction, 21)
  np.testing.assert_array_equal(matrix.matrix, expected)


def test_slices_are_counted_without_what_lies_beside():
  mask = np.full((8, 8), 2, np.uint8)
  mask[:3, :5] = 1
  matrix = counted(mask[:3, :5], np.ones((3, 5), np.uint8))
  assert matrix.matrix.tolist() == [[0, 0, 0], [0, 15, 0], [0, 0, 0]]


def test_other_ignored_values():
  matrix = counted([0, 0, 1], [1, 0, 1], 2, ignore=0)
  assert matrix.matrix.tolist() == [[0, 0], [0, 1]]
  matrix = counted([255, 0], [255, 255], 256, ignore=None)
  assert matrix.matrix[255, 255] == matrix.matrix[0, 255] == 1
  assert matrix.ignored == 0


def test_pictures_add_up_and_matrices_merge():
  rng = np.random.default_rng(0)
  truth, prediction = rng.integers(0, 3, (2, 4, 6, 5))
  whole = counted(truth, prediction)
  streamed = evaluate.ConfusionMatrix(3)
  first, second = counted(truth[:1], prediction[:1]), None
  for i in range(4):
    streamed.update(truth[i], prediction[i])
  second = counted(truth[1:], prediction[1:])
  first.merge(second)
  for other in (streamed, first):
    np.testing.assert_array_equal(whole.matrix, other.matrix)
  with pytest.raises(ValueError, match=r'got \(3, 255\) and \(4, 255\)'):
    first.merge(evaluate.ConfusionMatrix(4))


def test_counts_are_exact_above_what_float32_holds():
  matrix = counted(np.zeros(1, np.uint8), np.zeros(1, np.uint8))
  matrix.matrix[0, 0] = 2**24
  matrix.update(np.zeros(1, np.uint8), np.zeros(1, np.uint8))
  assert matrix.matrix[0, 0] == 2**24 + 1


@pytest.mark.parametrize(
  'truth, prediction, message',
  [
    ([0, 1], [0], r'shape \(2,\), the prediction \(1,\)'),
    ([3], [0], r'truth has the value 3, above the classes 0\.\.2 and not 255'),
    ([254], [0], 'truth has the value 254'),
    ([0], [3], r'prediction has the value 3, above the classes 0\.\.2\.'),
    ([0], [255], 'prediction has the value 255'),
    ([-1], [0], r'truth has the value -1, outside 0\.\.255'),
    ([0], [300], r'prediction has the value 300, outside 0\.\.255'),
    ([0.0], [0], 'truth must be integers.* got float64'),
    ([0], [True], 'prediction must be integers.* got bool'),
  ],
)
def test_bad_pixels(truth, prediction, message):
  matrix = evaluate.ConfusionMatrix(3)
  with pytest.raises(ValueError, match=message) as error:
    matrix.update(np.array(truth), np.array(prediction))
  assert '\n' not in str(error.value)
  assert not matrix.matrix.any()


@pytest.mark.parametrize('options', [(0,), (257,), (2, -1), (2, 256)])
def test_bad_options(options):
  with pytest.raises(ValueError, match=str(options[-1])):
    evaluate.ConfusionMatrix(*options)


@pytest.mark.parametrize('number', ['iou', 'mean_iou', 'pixel_accuracy'])
def test_nothing_to_evaluate(number):
  matrix = evaluate.ConfusionMatrix(3)
  with pytest.raises(ValueError, match='seen no pixel'):
    getattr(matrix, number)()
  matrix.update(np.full((40, 50), 255), np.zeros((40, 50), int))
  with pytest.raises(ValueError, match='All 2,000 pixels .* value 255'):
    getattr(matrix, number)()


def labels():
  return label_space.of(Hierarchy.flat(['cat', 'dog']))


def batch(truth, sizes, found):
  return {
    'mask': np.uint8(truth),
    'image_size': np.int32(sizes),
    'found_labels': np.int32(found),
  }


def test_host_evaluation_leaves_the_padding_out():
  evaluation = host_evaluation.HostEvaluation(labels())
  # The padding is 0 here, which would count.
  truth = [[[1, 1, 0], [1, 1, 0], [0, 0, 0]], [[2, 0, 1], [0] * 3, [0] * 3]]
  found = [[[1, 0, 2], [1, 1, 2], [2, 2, 2]], [[2, 1, 1], [1] * 3, [1] * 3]]
  evaluation.add(batch(truth, [[2, 2], [1, 3]], found))
  evaluation.add(batch(np.zeros((0, 3, 3)), np.zeros((0, 2)), []))
  # Class 0: 0 of 2; 1: 3 + 1 of 6; 2: 1 of 1.
  rows = evaluation.per_class()
  assert [row['name'] for row in rows] == ['background', 'cat', 'dog']
  assert [row['IoU'] for row in rows] == pytest.approx([0, 4 / 6, 1])
  assert [row['true_pixels'] for row in rows] == [1, 5, 1]
  assert [row['predicted_pixels'] for row in rows] == [1, 5, 1]
  metrics = evaluation.metrics()
  assert metrics == {
    'mIoU': pytest.approx(5 / 9),
    'pixel_accuracy': pytest.approx(5 / 7),
  }


def test_pictures_count_alike_alone_and_in_a_batch():
  rng = np.random.default_rng(2)
  truth, found = rng.integers(0, 3, (2, 4, 6, 7))
  sizes = [[6, 7], [1, 1], [3, 7], [6, 2]]
  together = host_evaluation.HostEvaluation(labels())
  together.add(batch(truth, sizes, found))
  alone = host_evaluation.HostEvaluation(labels())
  for i, (height, width) in enumerate(sizes):
    cut = np.s_[i : i + 1, :height, :width]
    alone.add(batch(truth[cut], sizes[i : i + 1], found[cut]))
  assert together.metrics() == alone.metrics()


def test_host_evaluation_wants_predictions_at_the_size_of_the_mask():
  evaluation = host_evaluation.HostEvaluation(labels())
  wrong = batch(np.zeros((1, 4, 4)), [[2, 2]], np.zeros((1, 3, 3)))
  with pytest.raises(ValueError, match=r'\(4, 4\) .* prediction of \(3, 3\)'):
    evaluation.add(wrong)


def test_table_of_classes(tmp_path):
  evaluation = host_evaluation.HostEvaluation(labels())
  evaluation.add(batch([[[0, 0], [1, 255]]], [[2, 2]], [[[0, 0], [0, 1]]]))
  evaluation.save(str(tmp_path), 'validation')
  assert [p.name for p in tmp_path.iterdir()] == ['classes-validation.txt']
  table = (tmp_path / 'classes-validation.txt').read_text()
  cells = [re.split(' {2,}', line) for line in table.splitlines()]
  assert cells == [
    ['name', 'class', 'IoU', 'true_pixels', 'predicted_pixels'],
    ['background', '0', '66.7', '2', '3'],
    ['cat', '1', '0.0', '1', '0'],
    ['dog', '2', '-', '0', '0'],
  ]
  assert len({len(line) for line in table.splitlines()}) == 1


def test_evaluation_without_a_labelled_pixel_says_so(tmp_path):
  evaluation = host_evaluation.HostEvaluation(labels())
  nothing = np.full((1, 2, 2), 255)
  evaluation.add(batch(nothing, [[2, 2]], np.zeros((1, 2, 2))))
  with pytest.raises(ValueError, match='All 4 pixels'):
    evaluation.metrics()
  with pytest.raises(ValueError, match='All 4 pixels'):
    evaluation.save(str(tmp_path), 'validation')
  assert not list(pathlib.Path(tmp_path).iterdir())
