import contextlib
import io
import json
import math
import re

import numpy as np
import pytest
from pycocotools import coco as coco_lib
from pycocotools import cocoeval

from pose import evaluate, joints, tables
from tests.conftest import golden, shared_path

BOX = [[0, 0, 100, 50]]


def person(y=0.0, x=0.0, visible=2):
  """Joints (y, x, visibility) 10 pixels apart."""
  pose = np.zeros((17, 3))
  pose[:, 0] = y + 10 * np.arange(17)
  pose[:, 1] = x
  pose[:, 2] = visible
  return pose


def filled(**options):
  """Two pictures; one person each, of 2,000 (medium) and 20,000 pixels."""
  evaluation = evaluate.KeypointEvaluation(**options)
  evaluation.add_truth(1, [person()], BOX, [2000])
  evaluation.add_truth(2, [person(5, 5)], BOX, [20000])
  return evaluation


def from_files(truth, results, **options):
  """An evaluation with what is in COCO's files, in our order of axes."""
  evaluation = evaluate.KeypointEvaluation(**options)
  by_image = {i['id']: ([], []) for i in truth['images']}
  for place, rows in enumerate((truth['annotations'], results)):
    for row in rows:
      by_image[row['image_id']][place].append(row)
  pose = lambda row: joints.exchange_xy(np.reshape(row['keypoints'], (17, 3)))
  for image_id, (people, poses) in by_image.items():
    boxes = [[y, x, y + h, x + w] for x, y, w, h in (a['bbox'] for a in people)]
    evaluation.add_truth(
      image_id,
      [pose(a) for a in people],
      boxes,
      [a['area'] for a in people],
      [a['iscrowd'] for a in people],
    )
    evaluation.add(
      image_id, [pose(r) for r in poses], [r['score'] for r in poses]
    )
  return evaluation


def plain(truth, results):
  """pycocotools with its own loading of results."""
  with contextlib.redirect_stdout(io.StringIO()):
    coco = coco_lib.COCO()
    coco.dataset = truth
    coco.createIndex()
    evaluator = cocoeval.COCOeval(coco, coco.loadRes(results), 'keypoints')
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
  return evaluator.stats.tolist()


def random_files(seed, images=12):
  """Truth and results as in COCO's files: crowds, blanks, misses, many."""
  rng = np.random.default_rng(seed)
  truth, results = [], []
  for image_id in range(images):
    for _ in range(rng.integers(0, 5)):
      scale = np.exp(rng.uniform(2.5, 5.5))
      points = rng.uniform(0, 300, 2) + scale * rng.random((17, 2))
      visible = rng.integers(0, 3, 17) * (rng.random() < 0.85)
      low, side = points.min(0), np.ptp(points, 0)
      truth.append(
        {
          'id': len(truth) + 1,
          'image_id': image_id,
          'category_id': 1,
          'keypoints': np.c_[points, visible].ravel().tolist(),
          'num_keypoints': int((visible > 0).sum()),
          'bbox': [*low.tolist(), *side.tolist()],
          'area': float(0.6 * np.prod(side)),
          'iscrowd': int(rng.random() < 0.1),
        }
      )
      for _ in range(rng.integers(0, 9)):
        near = points + rng.normal(0, 0.1 * scale, (17, 2)) * rng.random()
        results.append(
          {
            'image_id': image_id,
            'category_id': 1,
            'keypoints': np.c_[near, rng.random(17)].ravel().tolist(),
            'score': float(np.round(rng.random(), 1)),
          }
        )
  dataset = {
    'images': [{'id': i} for i in range(images)],
    'categories': [{'id': 1, 'name': 'person'}],
    'annotations': truth,
  }
  return dataset, results


def test_golden():
  case = golden('coco_eval')['keypoints_xtcoco_example']
  truth, results = (
    json.loads(shared_path(*case['inputs'][key].split('/')).read_text())
    for key in ('groundtruth', 'results')
  )
  evaluation = from_files(truth, results, boxes='detected_boxes')
  expected = case['expected']['stats']
  metrics = evaluation.metrics()
  assert list(metrics) == [f'{name}/detected_boxes' for name in expected]
  np.testing.assert_allclose(
    list(metrics.values()), list(expected.values()), rtol=0, atol=case['tol']
  )
  # Twelve of the fourteen have labelled joints; at OKS 0.5 all are found.
  rows = evaluation.per_joint()
  labelled = np.array([a['keypoints'][2::3] for a in truth['annotations']]) > 0
  assert [r['labelled'] for r in rows] == labelled.sum(0).tolist()
  assert [r['found'] for r in rows] == [r['labelled'] for r in rows]
  assert all(0.7 < r['OKS'] <= 1 for r in rows)
  assert all(0 < r['pixels'] < 20 for r in rows)


@pytest.mark.parametrize('seed', range(4))
def test_equals_pycocotools_and_its_files(seed, tmp_path):
  truth, results = random_files(seed)
  evaluation = from_files(truth, results)
  metrics = evaluation.metrics()
  path = tmp_path / 'results.json'
  evaluation.save_results(path)
  assert json.loads(path.read_text()) == sorted(
    results, key=lambda row: row['image_id']
  )
  assert list(metrics.values()) == plain(truth, json.loads(path.read_text()))
  assert 0 < metrics['AP/gt_boxes'] < 1


def test_perfect_poses_and_missed_ones(capsys):
  evaluation = filled()
  assert set(evaluation.metrics().values()) == {0.0}
  evaluation.add(1, [person()], [0.9])
  metrics = evaluation.metrics()
  assert metrics['APm/gt_boxes'] == pytest.approx(1)
  assert metrics['APl/gt_boxes'] == 0
  assert metrics['AR/gt_boxes'] == 0.5
  evaluation.add(2, [person(5, 5)], [0.1])
  values = list(evaluation.metrics().values())
  assert values == pytest.approx([1] * 10)
  assert capsys.readouterr().out == ''


def test_numbers_that_have_nobody_are_minus_one():
  evaluation = evaluate.KeypointEvaluation()
  evaluation.add_truth('a', [person()], BOX, [2000])
  evaluation.add('a', [person()], [1])
  metrics = evaluation.metrics()
  assert metrics['APl/gt_boxes'] == metrics['ARl/gt_boxes'] == -1
  assert metrics['APm/gt_boxes'] == pytest.approx(1)


def test_people_who_need_not_be_found():
  """A blank and a crowd: whether there are poses on them makes no odds."""
  evaluation = filled()
  truth = [person(400, 400, 0), person(700, 700)]
  box = lambda y: [y, y, y + 170, y + 10]
  evaluation.add_truth(3, truth, [box(400), box(700)], [4e3] * 2, [0, 1])
  evaluation.add(1, [person()], [0.5])
  evaluation.add(2, [person(5, 5)], [0.5])
  evaluation.add(3, [person(400, 400), person(700, 700)], [0.9, 0.9])
  assert list(evaluation.metrics().values()) == pytest.approx([1] * 10)
  assert {r['labelled'] for r in evaluation.per_joint()} == {2}


def test_results():
  evaluation = filled()
  pose = person(3, 4)
  pose[:, 2] = 0.25
  evaluation.add(np.int64(2), np.float32([pose]), np.float32([0.5]))
  (row,) = json.loads(json.dumps(evaluation.results()))
  assert row['keypoints'][:6] == [4, 3, 0.25, 4, 13, 0.25]
  assert len(row.pop('keypoints')) == 51
  assert row == {'image_id': 2, 'category_id': 1, 'score': 0.5}


def test_per_joint_by_hand():
  evaluation = filled()
  first = person()
  first[0, :2] += 3, 4  # the nose: 5 pixels
  second = person(5, 5)
  second[0, 0] += 1
  # A worse pose on the first person: the surer one is matched.
  evaluation.add(1, [person(0, 3), first], [0.5, 0.9])
  evaluation.add(2, [second], [0.9])
  nose, eye = evaluation.per_joint()[:2]
  # 2 (2 * .026)^2 = .005408.
  similar = math.exp(-25 / (0.005408 * 2000)), math.exp(-1 / (0.005408 * 2e4))
  assert nose['OKS'] == pytest.approx(sum(similar) / 2)
  assert nose['pixels'] == pytest.approx((5 + 1) / 2)
  assert (nose['labelled'], nose['found']) == (2, 2)
  assert (eye['joint'], eye['OKS'], eye['pixels']) == ('left_eye', 1, 0)


def test_per_joint_of_nobody_found():
  rows = filled().per_joint()
  assert {(r['labelled'], r['found']) for r in rows} == {(2, 0)}
  assert all(math.isnan(r['OKS']) and math.isnan(r['pixels']) for r in rows)


def test_end_point_error():
  case = golden('pose_metrics')['end_point_error']
  found = evaluate.end_point_error(**case['inputs'])
  # (4 + 8 + 10 sqrt(2) + 20) / 4.
  assert found == pytest.approx(case['expected'], abs=case['tol'])
  assert found == pytest.approx((32 + 10 * math.sqrt(2)) / 4)
  nothing = evaluate.end_point_error([[[1, 2]]], [[[3, 4]]], [[0]])
  assert math.isnan(nothing)


def test_table():
  evaluation = evaluate.KeypointEvaluation('detected_boxes')
  pose = person()
  pose[16, 2] = 0
  evaluation.add_truth(1, [pose], BOX, [2000])
  shifted = person()
  shifted[0, :2] += 3, 4
  evaluation.add(1, [shifted], [1])
  metrics = evaluation.metrics()
  lines = tables.format_table(metrics, evaluation.per_joint()).split('\n')
  cells = [re.split(r'\s+', line) for line in lines]
  # OKS (15 + exp(-25 / 10.816)) / 16 = .94 passes 9 of 10 thresholds.
  assert cells[:3] == [
    ['detected_boxes', 'all', '50', '75', 'medium', 'large'],
    ['AP', '90.0', '100.0', '100.0', '90.0', '-'],
    ['AR', '90.0', '100.0', '100.0', '90.0', '-'],
  ]
  assert cells[4] == ['joint', 'labelled', 'found', 'OKS', 'pixels']
  assert cells[5] == ['nose', '1', '1', '9.9', '5.0']
  assert cells[-1] == ['right_ankle', '0', '0', '-', '-']
  assert len({len(line) for line in lines[:3]}) == 1
  assert len({len(line) for line in lines[4:]}) == 1
  assert tables.format_table(metrics).split('\n') == lines[:3]


POSE = [person()]


@pytest.mark.parametrize(
  'arguments, message',
  [
    ((1, POSE, BOX, [9]), 'Image 1 was given its people twice'),
    ((3, POSE, BOX, [9, 9]), r'people of image 3: areas of the shape \(2,\)'),
    ((3, POSE, [], [9]), r'boxes of the shape \(0,\) for keypoints of 1'),
    ((3, POSE, BOX, [math.nan]), 'areas must be finite; number 0 of 1'),
    ((3, POSE, BOX, [9], [0, 0]), r'crowd flags of the shape \(2,\)'),
    ((3, [person()[:16]], BOX, [9]), r"COCO's joints; .* \(1, 16, 3\)"),
    ((3, [person(math.inf)], BOX, [9]), 'image 3: keypoints must be finite'),
  ],
)
def test_bad_truth(arguments, message):
  with pytest.raises(ValueError, match=message) as error:
    filled().add_truth(*arguments)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  'arguments, message',
  [
    (
      (1, POSE, [math.nan]),
      'poses of image 1: scores must be finite; number 0',
    ),
    ((1, POSE, [1, 2]), r'scores of the shape \(2,\) for keypoints of 1'),
    ((1, person(), [1]), r'must be \[number, 17, 3\].* \(17, 3\)'),
  ],
)
def test_bad_poses(arguments, message):
  with pytest.raises(ValueError, match=message):
    filled().add(*arguments)


def test_poses_twice_or_of_an_unknown_picture():
  evaluation = filled()
  evaluation.add(4, POSE, [1])
  with pytest.raises(ValueError, match='Image 4 was given its poses twice'):
    evaluation.add(4, POSE, [1])
  with pytest.raises(ValueError, match='image 4, which is not in the evalu'):
    evaluation.metrics()


def test_ids_of_two_kinds():
  evaluation = filled()
  evaluation.add_truth(b'text', POSE, BOX, [9])
  with pytest.raises(ValueError, match='all be numbers, or all be text'):
    evaluation.metrics()


@pytest.mark.parametrize('crowd, visible', [(True, 2), (False, 0)])
def test_nobody_to_find(crowd, visible):
  evaluation = evaluate.KeypointEvaluation()
  with pytest.raises(ValueError, match=r'The 0 image\(s\).*nobody with a lab'):
    evaluation.metrics()
  evaluation.add_truth(1, [], [], [])
  evaluation.add_truth(2, [person(visible=visible)], BOX, [9], [crowd])
  for ask in (evaluation.metrics, evaluation.per_joint):
    with pytest.raises(
      ValueError, match=r'The 2 image\(s\).*nobody with a lab'
    ):
      ask()


def test_unknown_boxes():
  with pytest.raises(ValueError, match="boxes='mine'; use 'gt_boxes' or 'det"):
    evaluate.KeypointEvaluation('mine')
