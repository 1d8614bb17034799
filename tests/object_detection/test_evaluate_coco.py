import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools import coco as coco_lib
from pycocotools import cocoeval

from object_detection import coco_files, coco_metrics, evaluate
from object_detection.coco_matching import Detections, Objects
from tests.conftest import golden, shared_path

ANNOTATIONS = ('data', 'coco_eval_golden', 'instances_val2014_100.json')
COCO_IDS = [
  i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
]


def results_path(kind):
  name = f'instances_val2014_fake{kind}100_results.json'
  return shared_path('data', 'coco_eval_golden', name)


def plain(annotations, results, kind):
  """pycocotools from file to numbers, without any of our code."""
  with contextlib.redirect_stdout(io.StringIO()):
    truth = coco_lib.COCO(str(annotations))
    evaluator = cocoeval.COCOeval(truth, truth.loadRes(str(results)), kind)
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
  return evaluator


def golden_evaluation(kind, engine='fast'):
  evaluation = evaluate.CocoEvaluation.from_annotations(
    shared_path(*ANNOTATIONS), kind, engine
  )
  evaluation.load_results(results_path(kind))
  return evaluation


def same_tables(a, b):
  return all(map(np.array_equal, a, b))


def test_golden_bbox_numbers():
  case = golden('coco_eval')['bbox_fake100']
  metrics = golden_evaluation('bbox').metrics()
  for area in 'sml':
    name = {'s': 'small', 'm': 'medium', 'l': 'large'}[area]
    for kind in ('AP', 'AR'):
      metrics[f'{kind}{area}'] = metrics.pop(f'{kind}_{name}')
  assert set(metrics) == set(case['expected']['stats'])
  for name, value in case['expected']['stats'].items():
    assert metrics[name] == pytest.approx(value, abs=case['tol'])
  for name, value in case['expected']['published'].items():
    assert round(metrics[name], 3) == value


def test_golden_segm_number():
  assert round(golden_evaluation('segm').metrics()['AP'], 3) == 0.320


@pytest.mark.parametrize('engine', evaluate.ENGINES)
@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_golden_tables_are_those_of_plain_pycocotools(kind, engine):
  evaluation = golden_evaluation(kind, engine)
  peer = plain(shared_path(*ANNOTATIONS), results_path(kind), kind)
  tables = peer.eval['precision'], peer.eval['recall']
  assert same_tables(evaluation.tables(), tables)
  assert list(evaluation.metrics().values()) == peer.stats.tolist()


def random_world(seed, images=30, classes=4):
  """Many ties: whole-number boxes, few scores, repeated objects, crowds."""
  rng = np.random.default_rng(seed)

  def boxes(count):
    low = rng.integers(0, 60, (count, 2)) * 2
    return np.concatenate([low, rng.integers(0, 60, (count, 2)) * 2], 1)

  g, d = rng.integers(images * 3, images * 6), rng.integers(600, 4000)
  shapes = boxes(g).astype(float)
  shapes[rng.random(g) < 0.2] = shapes[0]
  objects = Objects(
    rng.integers(0, images, g),
    rng.integers(0, classes, g),
    shapes,
    shapes[:, 2] * shapes[:, 3] * rng.uniform(0.6, 1, g),
    rng.random(g) < 0.15,
  )
  near = rng.integers(0, g, d)
  found = shapes[near] + rng.integers(-3, 4, (d, 4))
  found[:, 2:] = np.maximum(found[:, 2:], 0)
  detections = Detections(
    # The last images have no detection, the first of each have over 100.
    np.where(
      rng.random(d) < 0.7,
      objects.image[near],
      rng.integers(0, 2, d),
    )
    % (images - 2),
    np.where(rng.random(d) < 0.7, objects.category[near], 0),
    found,
    found[:, 2] * found[:, 3],
    rng.integers(0, 20, d) / 20,
  )
  return objects, detections, classes, images


@pytest.mark.parametrize('seed', range(6))
def test_fast_tables_equal_pycocotools_on_random_worlds(seed):
  objects, detections, classes, images = random_world(seed)
  fast = coco_metrics.tables(objects, detections, classes)
  peer = coco_metrics.reference_tables(objects, detections, classes, images)
  assert same_tables(fast, peer)
  assert 0 < coco_metrics.summary(fast)['AP'] < 1
  # More than 100 of a class on one image: the limits matter.
  pairs = detections.image * classes + detections.category
  assert np.bincount(pairs).max() > 100
  assert not np.array_equal(fast.recall[..., 1], fast.recall[..., 2])


def test_chunks_do_not_change_the_tables(monkeypatch):
  objects, detections, classes, _ = random_world(9)
  whole = coco_metrics.tables(objects, detections, classes)
  monkeypatch.setattr('object_detection.coco_matching._CHUNK', 1)
  assert same_tables(coco_metrics.tables(objects, detections, classes), whole)


def test_hand_computed():
  evaluation = evaluate.CocoEvaluation(['thing'])
  square = [[0, 0, 100, 100]]
  evaluation.add_truth(1, square, [1])
  evaluation.add_truth(2, square, [1])
  evaluation.add(1, square, [1], [0.9])
  # Overlaps 0 and 62 * 100 / 100 ** 2 = 0.62.
  evaluation.add(2, [[200, 200, 300, 300], [0, 0, 62, 100]], [1, 1], [0.8, 0.7])
  metrics = evaluation.metrics()
  # Right, wrong, right: precision 1 up to recall 1/2 (51 of the 101 levels),
  # 2/3 up to recall 1 (50 levels). From threshold .65 on: right, wrong, wrong.
  ap50, ap75 = (51 + 50 * 2 / 3) / 101, 51 / 101
  assert metrics['AP50'] == pytest.approx(ap50)
  assert metrics['AP75'] == pytest.approx(ap75)
  assert metrics['AP'] == pytest.approx((3 * ap50 + 7 * ap75) / 10)
  # The surest detection of image 2 is the wrong one.
  assert metrics['AR1'] == pytest.approx(0.5)
  assert metrics['AR10'] == metrics['AR100'] == pytest.approx(0.65)
  # 100 ** 2 is above 96 ** 2.
  assert metrics['AP_large'] == metrics['AP']
  assert metrics['AP_small'] == metrics['AR_medium'] == -1


def test_detections_in_a_crowd_do_not_count():
  def ap(is_crowd):
    evaluation = evaluate.CocoEvaluation(['thing'])
    evaluation.add_truth(
      7, [[0, 0, 40, 40], [50, 0, 150, 100]], [1, 1], [False, is_crowd]
    )
    # Two wholly inside of the second box, surer than the right one.
    evaluation.add(
      7,
      [[60, 10, 80, 30], [60, 40, 80, 60], [0, 0, 40, 40]],
      [1, 1, 1],
      [0.9, 0.8, 0.7],
    )
    return evaluation.metrics()['AP50']

  assert ap(True) == pytest.approx(1)
  # One of two objects found as the third: 51 levels with precision 1/3.
  assert ap(False) == pytest.approx(51 / 3 / 101)


def test_an_image_without_objects_makes_its_detections_wrong():
  evaluation = evaluate.CocoEvaluation(['thing'])
  evaluation.add_truth(1, [[0, 0, 10, 10]], [1])
  evaluation.add(1, [[0, 0, 10, 10]], [1], [0.5])
  assert evaluation.metrics()['AP'] == pytest.approx(1)
  evaluation.add_truth(2, [], [])
  evaluation.add(2, np.array([[0, 0, 10, 10.0]]), [1], [0.6])
  assert evaluation.metrics()['AP'] == pytest.approx(0.5)
  evaluation.add_truth(3, np.zeros((0, 4)), np.zeros(0, int))
  evaluation.add(3, np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))
  assert evaluation.metrics()['AP'] == pytest.approx(0.5)


def test_no_detection_at_all_is_an_ap_of_zero():
  evaluation = evaluate.CocoEvaluation(['a', 'b'])
  evaluation.add_truth(1, [[0, 0, 10, 10]], [2])
  metrics = evaluation.metrics()
  assert metrics['AP'] == metrics['AR100'] == 0
  assert [row['AP'] for row in evaluation.per_class()] == [-1, 0]


def test_empty_evaluation_sets_are_one_sentence():
  evaluation = evaluate.CocoEvaluation(['thing'])
  with pytest.raises(ValueError, match='evaluation set has no image') as error:
    evaluation.metrics()
  assert '\n' not in str(error.value)
  evaluation.add_truth(1, [], [])
  evaluation.add_truth(2, [[0, 0, 9, 9]], [1], is_crowd=[1])
  with pytest.raises(ValueError, match=r'2 image\(s\).* nothing to measure'):
    evaluation.metrics()


def gapped_world():
  """Evaluation of 80 classes with COCO's 90 ids; text of its annotations."""
  rng = np.random.default_rng(0)
  names = [f'kind {i}' for i in COCO_IDS]
  evaluation = evaluate.CocoEvaluation(names, COCO_IDS)
  annotations = []
  for image in range(5, 25):
    low = rng.uniform(0, 50, (6, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 150, (6, 2))], 1)
    classes = rng.integers(1, 81, 6)
    evaluation.add_truth(np.int64(image), boxes, classes)
    found = (boxes + rng.normal(0, 3, boxes.shape)).astype(np.float32)
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2])
    scores = rng.random(6).astype(np.float32)
    evaluation.add(np.int64(image), found, classes, scores)
    for box, k in zip(coco_files.to_xywh(boxes), classes):
      annotations.append(
        {
          'id': len(annotations) + 1,
          'image_id': image,
          'category_id': COCO_IDS[k - 1],
          'bbox': box.tolist(),
          'area': box[2] * box[3],
          'iscrowd': 0,
        }
      )
  truth = {
    'images': [{'id': i, 'height': 200, 'width': 200} for i in range(5, 25)],
    'categories': [{'id': i, 'name': n} for i, n in zip(COCO_IDS, names)],
    'annotations': annotations,
  }
  return evaluation, json.dumps(truth)


def test_results_file_gives_pycocotools_the_same_numbers(tmp_path):
  evaluation, truth = gapped_world()
  (tmp_path / 'truth.json').write_text(truth)
  path = tmp_path / 'new' / 'results.json'
  evaluation.save_results(path)
  assert [p.name for p in path.parent.iterdir()] == ['results.json']
  peer = plain(tmp_path / 'truth.json', path, 'bbox')
  tables = peer.eval['precision'], peer.eval['recall']
  assert same_tables(evaluation.tables(), tables)
  assert 0.1 < evaluation.metrics()['AP'] < 1
  loaded = peer.cocoDt.loadAnns(peer.cocoDt.getAnnIds())
  rows = evaluation.results()
  assert len(rows) == len(loaded) == 120
  for ours, theirs in zip(rows, loaded):
    assert {key: theirs[key] for key in ours} == ours
  assert max(row['category_id'] for row in rows) > 80
  # And back: from the two files to the same evaluation.
  again = evaluate.CocoEvaluation.from_annotations(tmp_path / 'truth.json')
  assert again.category_ids == COCO_IDS
  again.load_results(path)
  assert again.results() == rows
  assert same_tables(again.tables(), evaluation.tables())


def test_gaps_in_category_ids():
  evaluation = evaluate.CocoEvaluation(list('abc'), [1, 13, 90])
  evaluation.add_truth('x', [[0, 0, 10, 20]] * 2, [2, 3])
  evaluation.add('x', [[0, 0, 10, 20]], [2], [0.5])
  assert evaluation.results() == [
    {
      'image_id': 'x',
      'category_id': 13,
      'bbox': [0, 0, 20, 10],
      'score': 0.5,
    }
  ]
  rows = evaluation.per_class()
  assert [row['category_id'] for row in rows] == [1, 13, 90]
  assert [row['AP'] for row in rows] == pytest.approx([-1, 1, 0])
  assert evaluation.metrics()['AP'] == pytest.approx(0.5)
  evaluation = evaluate.CocoEvaluation(list('abc'), [1, 13, 90])
  row = {'image_id': 'x', 'bbox': [0, 0, 1, 1], 'score': 1}
  with pytest.raises(ValueError, match='Entry 1 .* category_id 12'):
    evaluation.load_results(
      [{**row, 'category_id': 13}, {**row, 'category_id': 12}]
    )


def test_per_class_rows_and_their_table():
  evaluation = evaluate.CocoEvaluation(['cat', 'dog', 'zebra'])
  boxes = [[0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 90, 90]]
  evaluation.add_truth(1, boxes, [1, 1, 2], [False, True, False])
  evaluation.add_truth(2, boxes[:1], [1])
  evaluation.add(1, boxes, [1, 1, 2], [0.9, 0.8, 0.7])
  cat, dog, zebra = evaluation.per_class()
  assert (cat['images'], cat['objects']) == (2, 2)
  assert cat['AP50'] == pytest.approx(51 / 101)
  assert (dog['class'], dog['objects']) == (2, 1)
  assert dog['AP'] == pytest.approx(1)
  assert (zebra['images'], zebra['objects'], zebra['AP']) == (0, 0, -1)
  mean = (cat['AP'] + dog['AP']) / 2
  assert evaluation.metrics()['AP'] == pytest.approx(mean)
  table = evaluate.format_table([cat, dog, zebra]).splitlines()
  assert table[0].split()[:6] == [
    'name',
    'class',
    'images',
    'objects',
    'category_id',
    'AP',
  ]
  assert table[1].split()[:6] == ['cat', '1', '2', '2', '1', '50.5']
  assert table[3].split()[5:] == ['-'] * 12
  assert len({len(line) for line in table}) == 1


@pytest.mark.parametrize(
  'ids', [(b'a', b'b'), ('a', 'b'), (np.int64(3), np.int32(20)), (3, 20)]
)
def test_image_ids_of_many_kinds(ids):
  evaluation = evaluate.CocoEvaluation(['thing'])
  for image_id in ids:
    evaluation.add_truth(image_id, [[0, 0, 9, 9]], [1])
    evaluation.add(image_id, [[0, 0, 9, 9]], [1], [1.0])
  assert evaluation.metrics()['AP'] == pytest.approx(1)
  written = json.loads(json.dumps(evaluation.results()))
  assert [row['image_id'] for row in written] in ([3, 20], ['a', 'b'])


def test_image_id_of_a_source_id():
  assert coco_files.image_id('139') == 139
  assert coco_files.image_id('mini-coco-0-train-3') == 'mini-coco-0-train-3'
  assert coco_files.image_id('2007_000027') == '2007_000027'


def test_boxes_there_and_back():
  boxes = np.array([[1, 2, 5, 10], [0, 0, 0, 0]], np.float32)
  assert coco_files.to_xywh(boxes).tolist() == [[2, 1, 8, 4], [0, 0, 0, 0]]
  back = coco_files.from_xywh(coco_files.to_xywh(boxes))
  np.testing.assert_array_equal(back, boxes)
  assert coco_files.to_xywh([]).shape == (0, 4)
