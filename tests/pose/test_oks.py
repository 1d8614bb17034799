import json
import math

import numpy as np
import pytest

from pose import joints, oks
from tests.conftest import golden, shared_path

MATRIX = 'oks_matrix (area = mean of both)'


def pose(x=0.0, y=0.0, visible=2):
  joints_ = np.zeros((17, 3))
  joints_[:] = x, y, visible
  return joints_


def golden_poses():
  given = golden('oks_nms')[MATRIX]['inputs']
  return given['keypoints'], given['scores'], given['areas']


def test_by_hand():
  a, b = pose(visible=0), pose(visible=0)
  a[0, 2], a[5, 2] = 2, 1
  b[0, :2], b[5, :2], b[9, :2] = (3, 4), (0, 10), (1e6, 0)
  # Only the nose, exp(-25 / (2 * .052^2 * 10000)) = exp(-25 / 54.08), and the
  # shoulder, exp(-100 / (2 * .158^2 * 10000)) = exp(-100 / 499.28), count.
  expected = (math.exp(-25 / 54.08) + math.exp(-100 / 499.28)) / 2
  assert oks.oks(a, b, 10000) == pytest.approx(expected, abs=1e-9)
  assert oks.oks(a, a, 10000) == 1
  assert oks.oks(a, a, 0) == 1
  assert oks.oks(a, b, 0) == 0
  assert 0 <= oks.oks(a, pose(1e9, -1e9), 1) < 1e-300


def test_larger_people_may_be_missed_by_more():
  values = [oks.oks(pose(), pose(5, 5), area) for area in (100, 1e3, 1e4)]
  assert values == sorted(values)


def test_golden_matrix():
  case = golden('oks_nms')[MATRIX]
  poses, _, areas = golden_poses()
  means = np.add.outer(areas, areas) / 2
  found = [
    [oks.oks(a, b, area) for b, area in zip(poses, row)]
    for a, row in zip(poses, means)
  ]
  np.testing.assert_allclose(found, case['expected'], rtol=0, atol=case['tol'])
  # What the suppression compares.
  poses = np.array(poses)
  everyone = np.arange(len(poses))
  for one, row in enumerate(case['expected']):
    overlaps = oks._with_one(poses, np.array(areas), one, everyone)
    np.testing.assert_allclose(overlaps, row, rtol=0, atol=case['tol'])


@pytest.mark.parametrize('image_id', [40083, 197388])
def test_golden_of_pycocotools(image_id):
  case = golden('oks_nms')[f'coco_computeOks_image_{image_id}']
  folder = ('data', 'coco_eval_keypoints')
  with open(shared_path(*folder, 'example_coco_val.json')) as f:
    people = [
      a for a in json.load(f)['annotations'] if a['image_id'] == image_id
    ]
  with open(shared_path(*folder, 'example_coco_preds.json')) as f:
    poses = [p for p in json.load(f) if p['image_id'] == image_id]
  poses = sorted(poses, key=lambda p: -p['score'])[:20]
  column = lambda rows, key: np.array([r[key] for r in rows], float)
  found = oks.oks_matrix(
    column(people, 'keypoints').reshape(-1, 17, 3),
    column(poses, 'keypoints').reshape(-1, 17, 3),
    column(people, 'area'),
    column(people, 'bbox'),
  )
  np.testing.assert_allclose(
    found.T, case['expected'], rtol=0, atol=case['tol']
  )


def test_people_without_labelled_joints():
  blank, seen = pose(visible=0), pose()
  with pytest.raises(ValueError, match='Person 1 has no labelled joint'):
    oks.oks_matrix([seen, blank], [seen], [1, 1])
  with pytest.raises(ValueError, match='no labelled joint'):
    oks.oks(blank, seen, 1)
  # The box 10..14 x 20..28 becomes 6..18 x 12..36: inside it all is 1.
  found = oks.oks_matrix(
    [seen, blank],
    [pose(7, 35), pose(9, 46)],
    [1, 900],
    [[0] * 4, [10, 20, 4, 8]],
  )
  outside = np.exp(-(10**2) / (8 * np.square(joints.SIGMAS) * 900)).mean()
  np.testing.assert_allclose(found[1], [1, outside], rtol=1e-9)


def test_empty_matrices():
  assert oks.oks_matrix([], [pose()], []).shape == (0, 1)
  assert oks.oks_matrix([pose()], [], [1]).shape == (1, 0)


def test_nms_by_hand():
  # 0 and 2 are one person, 1 another; 3 is a third, equal in score to 1.
  poses = [pose(), pose(500), pose(1, 1), pose(0, 500)]
  kept = oks.oks_nms(poses, [0.5, 0.7, 0.9, 0.7], [900] * 4)
  assert kept.tolist() == [2, 1, 3]
  assert kept.dtype == np.int64
  # OKS of 1 is not above 1.
  kept = oks.oks_nms([pose(), pose()], [0.1, 0.2], [9, 9], threshold=1)
  assert kept.tolist() == [1, 0]
  assert oks.oks_nms([], [], []).tolist() == []
  # Not even a hair's breadth.
  kept = oks.oks_nms([pose(), pose(99)], [0.1, 0.2], [900, 900], threshold=0)
  assert kept.tolist() == [1]


def test_nms_of_poses_that_are_not_labelled():
  """Found joints carry scores, 0 included: all of them count."""
  poses = [pose(visible=0), pose(1, visible=0)]
  assert oks.oks_nms(poses, [0.5, 0.6], [900, 900]).tolist() == [1]


def random_people(seed, people=40, each=5):
  rng = np.random.default_rng(seed)
  truth = rng.uniform(0, 900, (people, 1, 1, 2)) + rng.uniform(
    0, 100, (people, 1, 17, 2)
  )
  found = truth + rng.normal(0, 6, (people, each, 17, 2))
  found = found.reshape(-1, 17, 2)
  poses = np.concatenate([found, rng.random((len(found), 17, 1))], -1)
  return poses, rng.random(len(poses)), rng.uniform(4e3, 2e4, len(poses))


def plain_nms(poses, scores, areas, threshold):
  """Greedy, pair by pair."""
  counting = np.array(poses)
  counting[..., 2] = 1
  kept = []
  for i in np.argsort(-scores, kind='stable'):
    if all(
      oks.oks(counting[k], counting[i], (areas[k] + areas[i]) / 2) <= threshold
      for k in kept
    ):
      kept.append(i)
  return kept


@pytest.mark.parametrize('threshold', [0.2, 0.5, 0.8])
def test_nms_equals_a_plain_loop(threshold):
  poses, scores, areas = random_people(int(10 * threshold))
  scores = np.round(scores, 1)  # some are equal
  kept = oks.oks_nms(poses, scores, areas, threshold)
  assert kept.tolist() == plain_nms(poses, scores, areas, threshold)
  assert 1 < len(kept) < len(poses)


@pytest.mark.parametrize('threshold', [0.3, 0.5, 0.9])
def test_golden_soft_nms(threshold):
  case = golden('oks_nms')[f'soft_oks_nms_thr_{threshold}_max6']
  poses, scores, areas = golden_poses()
  limit = case['inputs']['max_dets']
  kept = oks.soft_oks_nms(poses, scores, areas, threshold, limit)
  assert kept.tolist() == case['expected']
  whole = oks.soft_oks_nms(poses, scores, areas, threshold, None)
  assert whole[:limit].tolist() == case['expected']
  assert sorted(whole.tolist()) == list(range(len(poses)))


def test_soft_nms_by_hand():
  # The twin of the best falls from .8 to .8 exp(-1 / .5) = .108, below .2.
  poses, scores = [pose(), pose(), pose(500)], [0.9, 0.8, 0.2]
  given = np.array(scores)
  kept = oks.soft_oks_nms(poses, given, [900] * 3, 0.5)
  assert kept.tolist() == [0, 2, 1]
  assert given.tolist() == scores
  # exp(-1 / 2) leaves .485.
  kept = oks.soft_oks_nms(poses, scores, [900] * 3, 2, max_detections=2)
  assert kept.tolist() == [0, 1]
  assert oks.soft_oks_nms([], [], []).tolist() == []


@pytest.mark.parametrize('suppress', [oks.oks_nms, oks.soft_oks_nms])
@pytest.mark.parametrize(
  'changes, message',
  [
    (
      {'scores': [math.nan, 1, math.nan]},
      '2 of 3 scores are NaN, at index 0, 2',
    ),
    ({'scores': [1, 2]}, r'3 poses need as many scores, got the shape \(2,\)'),
    ({'areas': [1, 2]}, r'3 poses need as many areas, got the shape \(2,\)'),
    ({'areas': [1, 2, -3]}, 'area of pose 2 is -3'),
    ({'areas': [1, math.nan, 3]}, 'area of pose 1 is nan'),
    (
      {'keypoints': np.zeros((3, 16, 3))},
      r'keypoints must be \[number, 17, 3\]',
    ),
    ({'keypoints': np.zeros((17, 3))}, r'the shape \(17, 3\)'),
    ({'keypoints': [pose(), pose(math.nan), pose()]}, '1 of 3 poses have.* 1:'),
    ({'threshold': math.nan}, 'threshold .* got nan'),
    ({'threshold': -1}, 'threshold .* got -1'),
  ],
)
def test_bad_poses(suppress, changes, message):
  good = {'keypoints': [pose()] * 3, 'scores': [1, 2, 3], 'areas': [1, 2, 3]}
  with pytest.raises(ValueError, match=message) as error:
    suppress(**{**good, **changes})
  assert '\n' not in str(error.value)


def test_many_nan_scores_are_counted():
  with pytest.raises(
    ValueError, match=r'9 of 9 .* 0, 1, 2, 3, 4, \.\.\.: check'
  ):
    oks.oks_nms([pose()] * 9, [math.nan] * 9, [1] * 9)


@pytest.mark.parametrize(
  'a, b, area, message',
  [
    (pose()[:16], pose(), 1, r'a must be \[17, 3\].* shape \(16, 3\)'),
    (pose(), pose()[:, :2], 1, r'b must be \[17, 3\].* shape \(17, 2\)'),
    (pose(), pose(), -1, 'area of pose 0 is -1'),
  ],
)
def test_bad_pair(a, b, area, message):
  with pytest.raises(ValueError, match=message):
    oks.oks(a, b, area)
