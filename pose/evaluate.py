"""COCO's keypoint AP and AR, by pycocotools, gathered picture by picture.

Joints are float [.., 17, 3] (y, x, visibility or score) in pixels of the
original picture; a visibility above 0 says that the joint is labelled. Boxes
are ymin, xmin, ymax, xmax. No TensorFlow.

Glossary: P people of a picture, D poses found in it.
"""

import contextlib
import io
from typing import NamedTuple

import numpy as np
from pycocotools import coco as coco_lib
from pycocotools import cocoeval

from official_repro.data import coco_results
from pose import coco_files, joints, oks

GT_BOXES, DETECTED_BOXES = 'gt_boxes', 'detected_boxes'
# pycocotools' order. COCO has no small people: their joints are not labelled.
NAMES = (
  'AP',
  'AP50',
  'AP75',
  'APm',
  'APl',
  'AR',
  'AR50',
  'AR75',
  'ARm',
  'ARl',
)
# A number that has nothing to be measured on.
UNDEFINED = -1.0
_JOINTS = len(joints.NAMES)


class _People(NamedTuple):
  joints: np.ndarray  # float64 [P, 17, 3]
  boxes: np.ndarray  # float64 [P, 4] x, y, width, height
  areas: np.ndarray  # float64 [P]
  is_crowd: np.ndarray  # bool [P]


class _Poses(NamedTuple):
  joints: np.ndarray  # float64 [D, 17, 3]
  scores: np.ndarray  # float64 [D]


class KeypointEvaluation:
  """COCO's numbers for poses, as pycocotools has them.

  People without a labelled joint and crowds need not be found, and a pose on
  one counts neither way. Per picture the 20 surest poses count.

  Args:
    boxes: where the crops came from, 'gt_boxes' or 'detected_boxes'. It is part
      of the metrics' names, as the two must not be compared.

  Raises:
    ValueError: it is neither.
  """

  def __init__(self, boxes: str = GT_BOXES):
    if boxes not in (GT_BOXES, DETECTED_BOXES):
      raise ValueError(
        f'KeypointEvaluation got boxes={boxes!r}; use {GT_BOXES!r} or '
        f'{DETECTED_BOXES!r}.'
      )
    self._boxes = boxes
    self._people, self._poses = {}, {}
    self._evaluator = None

  def add_truth(self, image_id, keypoints, boxes, areas, is_crowd=None) -> None:
    """Adds the people of a picture; it may have none.

    Args:
      image_id: number or text, as in COCO's files; all of one kind.
      keypoints: [P, 17, 3], y, x, visibility.
      boxes: [P, 4], ymin, xmin, ymax, xmax.
      areas: [P], square pixels, of the person's outline.
      is_crowd: bool [P]; None: no crowd.

    Raises:
      ValueError: a shape or value is wrong; names the picture.
    """
    image_id = _plain(image_id)
    if image_id in self._people:
      raise ValueError(f'Image {image_id!r} was given its people twice.')
    where = f'people of image {image_id!r}'
    keypoints = _joints(where, keypoints)
    count = len(keypoints)
    is_crowd = np.zeros(count, bool) if is_crowd is None else is_crowd
    self._evaluator = None
    self._people[image_id] = _People(
      keypoints,
      coco_results.to_xywh(_column(where, 'boxes', boxes, (count, 4))),
      _column(where, 'areas', areas, (count,)),
      _column(where, 'crowd flags', is_crowd, (count,)).astype(bool),
    )

  def add(self, image_id, keypoints, scores) -> None:
    """Adds the poses that were found in a picture.

    Args:
      image_id: as for add_truth.
      keypoints: [D, 17, 3], y, x, score of the joint. That score is passed on
        to the results file; no number depends on it.
      scores: [D], of the poses; of equals the first counts first.

    Raises:
      ValueError: a shape or value is wrong; names the picture.
    """
    image_id = _plain(image_id)
    if image_id in self._poses:
      raise ValueError(f'Image {image_id!r} was given its poses twice.')
    where = f'poses of image {image_id!r}'
    keypoints = _joints(where, keypoints)
    scores = _column(where, 'scores', scores, (len(keypoints),))
    self._evaluator = None
    self._poses[image_id] = _Poses(keypoints, scores)

  def metrics(self) -> dict:
    """Returns {'AP/gt_boxes': float, ...}: `NAMES`, and where boxes came from.

    A number without anybody to measure it on is -1, as in pycocotools.

    Raises:
      ValueError: nobody to find, or poses of an unknown picture.
    """
    return {
      f'{name}/{self._boxes}': float(value)
      for name, value in zip(NAMES, self._evaluated().stats)
    }

  def results(self) -> list:
    """Returns the poses as COCO's results: a list of dicts."""
    return [
      {
        'image_id': image_id,
        'category_id': coco_files.PERSON,
        'keypoints': joints.exchange_xy(pose).ravel().tolist(),
        'score': float(score),
      }
      for image_id, poses in self._poses.items()
      for pose, score in zip(*poses)
    ]

  def save_results(self, path) -> None:
    """Writes the results file, whole or not at all."""
    coco_files.save_results(path, self.results())

  def per_joint(self) -> list:
    """Returns a dict per joint, of the people found with an OKS of 0.5.

    'labelled': in all people to find; 'found': in those of them that were
    found; 'OKS': mean over the latter, 0..1; 'pixels': their mean distance. The
    last two are NaN where there are none.

    Raises:
      ValueError: as metrics().
    """
    people, poses = self._matched()
    labelled = [
      (p.joints[..., 2] > 0)[~p.is_crowd].sum(0) for p in self._people.values()
    ]
    counts = people.joints[..., 2] > 0
    similar = oks.joint_similarities(
      joints.exchange_xy(people.joints),
      joints.exchange_xy(poses),
      people.areas,
    )
    return [
      {
        'joint': name,
        'labelled': int(total),
        'found': int(counts[:, k].sum()),
        'OKS': float(similar[counts[:, k], k].mean())
        if counts[:, k].any()
        else float('nan'),
        'pixels': end_point_error(
          poses[:, k : k + 1, :2],
          people.joints[:, k : k + 1, :2],
          counts[:, k : k + 1],
        ),
      }
      for k, (name, total) in enumerate(zip(joints.NAMES, sum(labelled)))
    ]

  def _matched(self):
    """Who was found, one row each: _People and their poses [rows, 17, 3]."""
    ids = _sorted_ids(self._people)
    everybody = _stacked(ids, self._people, _NOBODY)
    poses = _stacked(ids, self._poses, _NO_POSES)
    rows, of = [], []
    # The first entries are those of people of any size, the first thresholds
    # 0.5; ids count from 1.
    for entry in self._evaluated().evalImgs[: len(ids)]:
      if entry is None:
        continue
      for person, ignored, pose in zip(
        entry['gtIds'], entry['gtIgnore'], entry['gtMatches'][0]
      ):
        if pose and not ignored:
          rows.append(person - 1)
          of.append(int(pose) - 1)
    people = _People(*(column[np.array(rows, int)] for column in everybody))
    return people, poses.joints[np.array(of, int)]

  def _evaluated(self):
    """Returns pycocotools' COCOeval, with all done; works once."""
    if self._evaluator is None:
      self._check()
      ids = _sorted_ids(self._people)
      with contextlib.redirect_stdout(io.StringIO()):
        evaluator = cocoeval.COCOeval(
          _coco(len(ids), _truth_rows(ids, self._people)),
          _coco(len(ids), _pose_rows(ids, self._poses)),
          'keypoints',
        )
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
      self._evaluator = evaluator
    return self._evaluator

  def _check(self):
    for image_id in self._poses:
      if image_id not in self._people:
        raise ValueError(
          f'There are poses for image {image_id!r}, which is not in the '
          'evaluation set.'
        )
    if not any(
      ((p.joints[..., 2] > 0).any(1) & ~p.is_crowd).any()
      for p in self._people.values()
    ):
      raise ValueError(
        f'The {len(self._people)} image(s) of the evaluation set have nobody '
        'with a labelled joint: there is nothing to measure. Evaluate on a '
        'split with annotated people.'
      )


_NOBODY = _People(
  np.zeros((0, _JOINTS, 3)), np.zeros((0, 4)), np.zeros(0), np.zeros(0, bool)
)
_NO_POSES = _Poses(np.zeros((0, _JOINTS, 3)), np.zeros(0))


def _plain(image_id):
  """The id as Python's number or text; TensorFlow's text is bytes."""
  if isinstance(image_id, np.generic):
    image_id = image_id.item()
  return image_id.decode() if isinstance(image_id, bytes) else image_id


def _sorted_ids(ids):
  try:
    return sorted(ids)
  except TypeError as e:
    raise ValueError(
      'The image ids of an evaluation must all be numbers, or all be text.'
    ) from e


def _joints(where, values):
  values = np.asarray(values, np.float64)
  if not values.size:
    return np.zeros((0, _JOINTS, 3))
  if values.ndim != 3 or values.shape[1:] != (_JOINTS, 3):
    raise ValueError(
      f'The {where}: keypoints must be [number, {_JOINTS}, 3], (y, x, '
      f"visibility) of COCO's joints; got the shape {values.shape}."
    )
  return _column(where, 'keypoints', values, values.shape)


def _column(where, what, values, shape):
  """Returns the values as float64 of that shape, all finite."""
  values = np.asarray(values, np.float64)
  if not values.size and not shape[0]:
    return np.zeros(shape)
  if values.shape != shape:
    raise ValueError(
      f'The {where}: {what} of the shape {values.shape} for keypoints of '
      f'{shape[0]}; give one each.'
    )
  wrong = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(1))
  if len(wrong):
    raise ValueError(
      f'The {where}: {what} must be finite; number {wrong[0]} of {len(values)} '
      'has NaN or infinity.'
    )
  return values


def _stacked(ids, by_image, empty):
  """Columns of all images, in the order of the ids."""
  rows = [empty, *(by_image[i] for i in ids if i in by_image)]
  return type(empty)(*(np.concatenate(column) for column in zip(*rows)))


def _coco(num_images, rows):
  """Annotations or results as pycocotools' COCO; ids of rows count from 1."""
  coco = coco_lib.COCO()
  coco.dataset = {
    'images': [{'id': n} for n in range(num_images)],
    'categories': [{'id': coco_files.PERSON, 'name': 'person'}],
    'annotations': [
      {'id': i + 1, 'category_id': coco_files.PERSON, 'iscrowd': 0, **row}
      for i, row in enumerate(rows)
    ],
  }
  coco.createIndex()
  return coco


def _truth_rows(ids, by_image):
  for n, image_id in enumerate(ids):
    for keypoints, box, area, is_crowd in zip(*by_image[image_id]):
      yield {
        'image_id': n,
        'keypoints': joints.exchange_xy(keypoints).ravel().tolist(),
        'num_keypoints': int((keypoints[:, 2] > 0).sum()),
        'bbox': box.tolist(),
        'area': float(area),
        'iscrowd': int(is_crowd),
      }


def _pose_rows(ids, by_image):
  for n, image_id in enumerate(ids):
    for keypoints, score in zip(*by_image.get(image_id, _NO_POSES)):
      sides = np.ptp(keypoints[:, :2], axis=0)
      yield {
        'image_id': n,
        'keypoints': joints.exchange_xy(keypoints).ravel().tolist(),
        'score': float(score),
        # As in pycocotools: by this a pose that no one has is small or large.
        'area': float(sides[0] * sides[1]),
      }


def end_point_error(output, target, mask) -> float:
  """Returns the mean distance of joints to where they should be.

  Args:
    output: [N, K, 2], in pixels; y, x or x, y.
    target: [N, K, 2], in the same order.
    mask: [N, K], nonzero where a joint is labelled; others do not count.

  Returns:
    In pixels; NaN if no joint is labelled.
  """
  counts = np.asarray(mask) > 0
  if not counts.any():
    return float('nan')
  delta = np.asarray(output, np.float64) - np.asarray(target, np.float64)
  return float(np.linalg.norm(delta, axis=-1)[counts].mean())
