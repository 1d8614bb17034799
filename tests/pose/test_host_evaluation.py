"""What is gathered picture by picture, and the files that it leaves."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools import coco as coco_lib
from pycocotools import cocoeval

from official_repro.data import coco_results, manifest
from pose import evaluate, host_evaluation
from pose import joints as joints_lib
from pose import people as people_lib
from tests.pose import folders

ONE = folders.person((4, 2, 44, 22))
OTHER = folders.person((10, 60, 60, 95), visible=[2, 1, 0] * 5 + [2, 2])
CROWD = folders.person((0, 0, 64, 96), crowd=True)
# Ids are not in the order of the file.
ROWS = [
  folders.example('30', [ONE, OTHER], (64, 96)),
  folders.example('4', [CROWD], (64, 96)),
  folders.example('007', [ONE], (64, 96)),
]


@pytest.fixture(scope='module')
def people(tmp_path_factory):
  folder = folders.write(tmp_path_factory.mktemp('data'), train=ROWS)
  return people_lib.read(manifest.Dataset.load(folder), 'train')


def name_bytes(name):
  row = np.zeros(256, np.uint8)
  row[: len(name)] = list(name.encode())
  return row


def batch(*found):
  """A replica's share of (source id, person, pixels away, score)."""
  joints = [
    np.concatenate(
      [folders.person(p.box, moved=moved).joints[:, :2], [[score]] * 17], 1
    )
    for _, p, moved, score in found
  ]
  return {
    'source_id': np.array([name_bytes(n) for n, *_ in found]).reshape(-1, 256),
    'box': np.float32([p.box for _, p, *_ in found]).reshape(-1, 4),
    'found_joints': np.float32(joints).reshape(-1, 17, 3),
  }


def gathered(people, *batches, threshold=0.5, boxes=evaluate.GT_BOXES):
  state = host_evaluation.HostEvaluation(people, boxes, threshold)
  for each in batches:
    state.add(each)
  return state.evaluation()


ALL = [('30', ONE, 0, 0.9), ('30', OTHER, 0, 0.8), ('007', ONE, 0, 0.7)]


def test_who_is_found_where_they_are_gives_1(people):
  # An empty share, and shares of other batches.
  evaluation = gathered(people, batch(*ALL[:2]), batch(), batch(*ALL[2:]))
  metrics = evaluation.metrics()
  assert metrics['AP/gt_boxes'] == metrics['AR/gt_boxes'] == 1
  # Their areas are 800 to 1750 square pixels: somebody of at least 32 x 32.
  assert metrics['APm/gt_boxes'] == pytest.approx(1)
  assert metrics['APl/gt_boxes'] == evaluate.UNDEFINED


def test_who_is_missed_counts(people):
  # One of three: precision 1 up to a recall of 1/3, 34 of 101 points.
  metrics = gathered(people, batch(ALL[0])).metrics()
  assert metrics['AP/gt_boxes'] == pytest.approx(34 / 101)
  assert metrics['AR/gt_boxes'] == pytest.approx(1 / 3)
  # Nobody at all.
  assert gathered(people, batch()).metrics()['AP/gt_boxes'] == 0


def test_kind_of_boxes_is_in_the_names(people):
  metrics = gathered(people, batch(*ALL), boxes='detected_boxes').metrics()
  assert {name.split('/')[1] for name in metrics} == {'detected_boxes'}


def test_of_two_poses_on_one_person_the_surer_one_is_left(people):
  twice = batch(*ALL, ('30', ONE, 0.3, 0.95))
  found = gathered(people, twice).results()
  assert [(r['image_id'], round(r['score'], 3)) for r in found] == [
    (30, 0.95), (30, 0.8), (7, 0.7)
  ]  # fmt: skip
  # In pixels of the picture, x before y.
  np.testing.assert_allclose(
    np.reshape(found[0]['keypoints'], (17, 3))[0],
    [ONE.joints[0, 1] + 0.3, ONE.joints[0, 0] + 0.3, 0.95],
    rtol=1e-6,
  )
  # Only what is more alike than the threshold is a double.
  assert len(gathered(people, twice, threshold=1.0).results()) == 4


def test_ids_are_all_numbers_or_all_text(tmp_path):
  rows = [folders.example('7', [ONE]), folders.example('cat', [ONE])]
  folder = folders.write(tmp_path, train=rows)
  people = people_lib.read(manifest.Dataset.load(folder), 'train')
  evaluation = gathered(people, batch(('7', ONE, 0, 0.9), ('cat', ONE, 0, 0.8)))
  assert [r['image_id'] for r in evaluation.results()] == ['7', 'cat']
  assert evaluation.metrics()['AP/gt_boxes'] == 1


def test_pose_of_nan_is_told(people):
  wrong = batch(*ALL)
  wrong['found_joints'][0, 3, 0] = np.nan
  with pytest.raises(ValueError, match='not finite, at index 0'):
    gathered(people, wrong)


def test_files_are_read_by_pycocotools(people, tmp_path):
  evaluation = gathered(people, batch(*ALL[:2], ('007', ONE, 2, 0.7)))
  for _ in range(2):
    host_evaluation.save(evaluation, str(tmp_path), 'val')
  names = sorted(p.name for p in tmp_path.iterdir())
  assert names == ['joints-val.txt', 'poses-val.json']
  table = (tmp_path / 'joints-val.txt').read_text().splitlines()
  assert table[0].split() == ['gt_boxes', 'all', '50', '75', 'medium', 'large']
  assert table[-1].split()[:3] == ['right_ankle', '3', '3']
  annotations = [
    {
      'image_id': image_id,
      'keypoints': joints_lib.exchange_xy(p.joints).ravel().tolist(),
      'num_keypoints': int((p.joints[:, 2] > 0).sum()),
      'bbox': coco_results.to_xywh([p.box])[0].tolist(),
      'area': float(np.prod(np.subtract(p.box[2:], p.box[:2]))),
      'iscrowd': int(p.crowd),
      'category_id': 1,
    }
    for image_id, p in ((30, ONE), (30, OTHER), (4, CROWD), (7, ONE))
  ]
  truth = coco_lib.COCO()
  truth.dataset = {
    'images': [{'id': i} for i in (4, 7, 30)],
    'categories': [{'id': 1, 'name': 'person'}],
    'annotations': [{'id': i + 1, **a} for i, a in enumerate(annotations)],
  }
  with contextlib.redirect_stdout(io.StringIO()):
    truth.createIndex()
    found = truth.loadRes(str(tmp_path / 'poses-val.json'))
    evaluator = cocoeval.COCOeval(truth, found, 'keypoints')
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
  assert len(json.loads((tmp_path / 'poses-val.json').read_text())) == 3
  metrics = evaluation.metrics()
  assert 0.3 < metrics['AP/gt_boxes'] < 1
  np.testing.assert_allclose(list(metrics.values()), evaluator.stats)
