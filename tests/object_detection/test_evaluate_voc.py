import numpy as np
import pytest

from object_detection import evaluate, voc_metrics
from tests.conftest import golden, shared_path


def run(truth, found, threshold=0.5, names=('thing',)):
  """Evaluates rows (image, box, class, difficult) and (.., class, score)."""
  evaluation = evaluate.VocEvaluation(names, threshold)

  def columns(rows, image):
    mine = [row[1:] for row in rows if row[0] == image]
    return list(zip(*mine)) or [(), (), ()]

  for image in sorted({row[0] for row in [*truth, *found]}):
    evaluation.add_truth(image, *columns(truth, image))
    evaluation.add(image, *columns(found, image))
  return evaluation


def square(at, shift=0):
  """A box of 10 x 10 pixels; shifted by s it overlaps (10 - s) / (10 + s)."""
  return (at, shift, at + 10, 10 + shift)


def read_boxes(folder):
  """[(image, box, *columns before the box)] of the toy files."""
  for i in range(1, 8):
    path = shared_path('data', 'voc_ap_golden', folder, f'{i:05d}.txt')
    for line in path.read_text().split('\n'):
      if line.strip():
        *score, x, y, width, height = line.split()[1:]
        x, y, width, height = map(float, (x, y, width, height))
        # The publisher's far edges are inclusive pixel numbers, as VOC's are.
        box = (y, x, y + height + 1, x + width + 1)
        yield i, box, list(map(float, score))


def test_published_toy_boxes():
  truth = [(i, box, 1, False) for i, box, _ in read_boxes('groundtruths')]
  found = [(i, box, 1, s[0]) for i, box, s in read_boxes('detections')]
  assert (len(truth), len(found)) == (15, 24)
  metrics = run(truth, found, 0.3, ['person']).metrics()
  assert metrics['mAP'] == pytest.approx(0.2457, abs=5e-5)
  # Best precision is 1 at recall 0, 2/3 at .1, 3/7 at .2, .3 and .4, then 0
  # as 0.4667 is the last recall: (1 + 2/3 + 9/7) / 11 = 26.84%.
  assert metrics['mAP_11_point'] == pytest.approx((1 + 2 / 3 + 9 / 7) / 11)


def test_golden_precision_and_recall():
  case = golden('average_precision')['precision_recall']
  inputs, expected = case['inputs'], case['expected']
  # Ten objects on ten pictures; a label of 1 is a detection that meets one.
  truth = [(i, square(0), 1, False) for i in range(inputs['num_gt'])]
  found = [
    (i, square(0 if label else 50), 1, score)
    for i, (score, label) in enumerate(zip(inputs['scores'], inputs['labels']))
  ]
  evaluation = run(truth, found)
  objects, detections = evaluation._gathered.columns()
  (curve,) = voc_metrics.curves(objects, detections, 1)
  tol = case['tol']
  np.testing.assert_allclose(curve.precision, expected['precision'], atol=tol)
  np.testing.assert_allclose(curve.recall, expected['recall'], atol=tol)
  metrics = evaluation.metrics()
  assert metrics['mAP'] == pytest.approx(expected['voc_area_ap'], abs=tol)
  # Precision 1/2 at the recalls 0, .1, .2 and .3, which is 3/10 exactly.
  assert metrics['mAP_11_point'] == pytest.approx(4 * 0.5 / 11)


def test_difficult_objects_count_neither_way():
  truth = [(1, square(0), 1, False), (1, square(40), 1, True)]
  right = (1, square(0), 1, 0.5)
  # Both detections of the difficult object are ignored, though surer.
  found = [(1, square(40), 1, 0.9), (1, square(40, 1), 1, 0.8), right]
  evaluation = run(truth, found)
  assert evaluation.metrics() == {'mAP': 1, 'mAP_11_point': 1}
  (row,) = evaluation.per_class()
  assert (row['images'], row['objects']) == (1, 1)
  # Not difficult: one of two found, one duplicate; right, wrong, right.
  truth[1] = (1, square(40), 1, False)
  metrics = run(truth, found).metrics()
  # Recall 1/2 at precision 1, then recall 1 at 2/3.
  assert metrics['mAP'] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
  assert metrics['mAP_11_point'] == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)


def test_the_nearest_object_decides_even_if_it_is_difficult():
  truth = [(1, square(0, 0), 1, True), (1, square(0, 3), 1, False)]
  # Shifted by 1: 9/11 with the first, 8/12 with the second.
  found = [(1, square(0, 1), 1, 0.9)]
  assert run(truth, found).metrics()['mAP'] == 0
  (curve,) = curves_of(truth, found)
  assert len(curve.precision) == 0  # ignored, not wrong
  # Shifted by 2: 8/12 and 9/11.
  assert run(truth, [(1, square(0, 2), 1, 0.9)]).metrics()['mAP'] == 1


def curves_of(truth, found, threshold=0.5):
  columns = run(truth, found)._gathered.columns()
  return voc_metrics.curves(*columns, 1, threshold)


def test_the_nearest_object_decides_even_if_it_is_taken():
  truth = [(1, square(0, 0), 1, False), (1, square(0, 3), 1, False)]
  # Both detections are nearest to the first object (10/10 and 9/11); with the
  # free one the second has 8/12, which would do.
  found = [(1, square(0, 0), 1, 0.9), (1, square(0, 1), 1, 0.8)]
  (curve,) = curves_of(truth, found)
  assert curve.right.tolist() == [1, 1]
  assert curve.precision.tolist() == [1, 0.5]
  assert curve.recall.tolist() == [0.5, 0.5]


def test_duplicates_are_wrong_and_the_surest_is_right():
  truth = [(1, square(0), 1, False)]
  found = [(1, square(0, 3), 1, 0.6), (1, square(0), 1, 0.9)]
  (curve,) = curves_of(truth, found)
  assert curve.precision.tolist() == [1, 0.5]
  assert run(truth, found).metrics()['mAP'] == 1


def test_the_threshold_is_met_by_equality():
  truth = [(1, (0, 0, 10, 10), 1, False)]
  half = [(1, (0, 0, 10, 5), 1, 0.9)]
  assert run(truth, half).metrics()['mAP'] == 1
  less = [(1, (0, 0, 10, 4.9), 1, 0.9)]
  assert run(truth, less).metrics()['mAP'] == 0
  assert run(truth, less, threshold=0.4).metrics()['mAP'] == 1


def test_the_mean_is_over_classes_that_have_something_to_find():
  truth = [
    (1, square(0), 1, False),
    (1, square(0), 2, True),
    (2, square(0), 3, False),
  ]
  found = [
    (1, square(0), 1, 0.9),
    (1, square(40), 2, 0.9),
    (2, square(0), 1, 0.8),
    (2, square(0), 4, 0.8),
  ]
  evaluation = run(truth, found, names=list('abcd'))
  a, b, c, d = evaluation.per_class()
  assert (a['AP'], b['AP'], c['AP'], d['AP']) == (1, -1, 0, -1)
  assert evaluation.metrics()['mAP'] == 0.5
  table = evaluate.format_table(evaluation.per_class()).splitlines()
  assert table[1].split() == ['a', '1', '1', '1', '100.0', '100.0']
  assert table[2].split() == ['b', '2', '1', '0', '-', '-']


def test_an_image_without_objects_and_one_without_detections():
  truth = [(1, square(0), 1, False), (3, square(0), 1, False)]
  found = [(2, square(0), 1, 0.9), (3, square(0), 1, 0.8)]
  # Wrong, right: recall 1/2 at precision 1/2.
  assert run(truth, found).metrics()['mAP'] == pytest.approx(0.25)


def test_bad_input():
  with pytest.raises(ValueError, match='threshold .* got 0'):
    evaluate.VocEvaluation(['a'], 0)
  evaluation = evaluate.VocEvaluation(['a'])
  with pytest.raises(ValueError, match='evaluation set has no image'):
    evaluation.metrics()
  evaluation.add_truth('x', [square(0)], [1], difficult=[True])
  with pytest.raises(ValueError, match=r'1 image\(s\).*nothing to measure'):
    evaluation.metrics()
  with pytest.raises(ValueError, match=r"image 'y' have class 2, outside 1"):
    evaluation.add_truth('y', [square(0)], [2])
  evaluation.add('z', [square(0)], [1], [0.5])
  with pytest.raises(ValueError, match="image 'z', which is not in"):
    evaluation.metrics()


def by_the_kit(truth, found, threshold):
  """The development kit's loop for one class: (precision, recall) arrays."""
  taken, right, wrong, curve = set(), 0, 0, []
  wanted = sum(not row[3] for row in truth)
  for image, box, _, _ in sorted(found, key=lambda row: -row[3]):
    best, best_overlap = None, -1.0
    for n, (of, other, _, _) in enumerate(truth):
      if of != image:
        continue
      height = min(box[2], other[2]) - max(box[0], other[0])
      width = min(box[3], other[3]) - max(box[1], other[1])
      if height <= 0 or width <= 0:
        continue
      both = height * width
      area = lambda b: (b[2] - b[0]) * (b[3] - b[1])
      overlap = both / (area(box) + area(other) - both)
      if overlap > best_overlap:
        best, best_overlap = n, overlap
    if best is not None and best_overlap >= threshold:
      if truth[best][3]:
        continue
      if best in taken:
        wrong += 1
      else:
        taken.add(best)
        right += 1
    else:
      wrong += 1
    curve.append((right / (right + wrong), right / wanted))
  return np.array(curve).T


@pytest.mark.parametrize('seed', range(4))
def test_random_worlds_as_the_kit_has_them(seed):
  rng = np.random.default_rng(seed)

  def boxes(count):
    low = rng.integers(0, 12, (count, 2))
    return np.concatenate([low, low + rng.integers(4, 12, (count, 2))], 1)

  images = rng.integers(0, 6, 40).tolist()
  truth = [
    (i, tuple(b), 1, bool(rng.random() < 0.3))
    for i, b in zip(images, boxes(40).tolist())
  ]
  images = rng.integers(0, 6, 150).tolist()
  scores = rng.permutation(150) / 150
  found = [
    (i, tuple(b), 1, s) for i, b, s in zip(images, boxes(150).tolist(), scores)
  ]
  (curve,) = curves_of(truth, found)
  precision, recall = by_the_kit(truth, found, 0.5)
  np.testing.assert_allclose(curve.precision, precision)
  np.testing.assert_allclose(curve.recall, recall)
  assert 5 < curve.right[-1] < 30
