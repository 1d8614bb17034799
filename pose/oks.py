"""Object keypoint similarity (OKS), and which of many poses to keep.

COCO's measure: the mean over joints of exp(-d^2 / (2 (2 sigma_k)^2 area)), d
the distance in pixels and sigma_k COCO's, see pose.joints. Here joints are
(x, y, visibility) as in COCO's files, 17 of them; no TensorFlow.

Glossary: P people, D poses.
"""

from typing import Optional

import numpy as np

from pose import joints as joints_lib

_JOINTS = len(joints_lib.NAMES)
# 2 (2 sigma)^2, with the operations of pycocotools.
_SPREAD = 2 * (2 * np.array(joints_lib.SIGMAS)) ** 2
_SHOWN = 5


def joint_similarities(a, b, area) -> np.ndarray:
  """Returns exp(-d^2 / (2 (2 sigma_k)^2 area)) of each joint.

  Args:
    a: [..., 17, 2 or 3], x, y in pixels.
    b: likewise; the leading axes broadcast.
    area: [...], square pixels.

  Returns:
    float64 [..., 17], in 0..1.
  """
  a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
  square = (a[..., 0] - b[..., 0]) ** 2 + (a[..., 1] - b[..., 1]) ** 2
  # COCO allows for an area of 0 in this way.
  area = np.asarray(area, np.float64)[..., None] + np.spacing(1)
  return np.exp(-square / (_SPREAD * area))


def oks(a, b, area) -> float:
  """Returns how alike two poses are, in 0..1; 1 is equal.

  Args:
    a: [17, 3], the annotated pose. Its joints with a visibility above 0 count.
    b: [17, 3], the other pose; its visibility does not matter.
    area: of the person of `a` in square pixels.

  Raises:
    ValueError: a shape or value is wrong, or no joint of `a` is labelled. OKS
      is not defined then. COCO's evaluation, which passes over such a person,
      looks at the box for it: see oks_matrix.
  """
  a, b = _checked('a', a, 2), _checked('b', b, 2)
  return float(oks_matrix(a[None], b[None], [area])[0, 0])


def oks_matrix(people, poses, areas, boxes=None) -> np.ndarray:
  """Returns the OKS of each person with each pose, as pycocotools has it.

  Args:
    people: [P, 17, 3], annotated. The joints of a person with a visibility
      above 0 count.
    poses: [D, 17, 3]; their visibility does not matter.
    areas: [P], of the people, in square pixels.
    boxes: [P, 4] x, y, width, height in pixels, only needed where a person has
      no labelled joint: then the distance of a pose's joint is that to the box
      made three times as wide and high, 0 inside of it.

  Returns:
    float64 [P, D].

  Raises:
    ValueError: a shape or value is wrong, or a person has no labelled joint and
      there are no boxes.
  """
  people, poses = _checked('people', people), _checked('poses', poses)
  areas = _checked_areas(areas, len(people))
  labelled = people[..., 2] > 0
  blank = np.flatnonzero(~labelled.any(-1))
  if len(blank) and boxes is None:
    raise ValueError(
      f'Person {blank[0]} has no labelled joint (all 17 have visibility 0): '
      'OKS is not defined. Leave such people out, or give boxes.'
    )
  similar = joint_similarities(people[:, None], poses[None], areas[:, None])
  if len(blank):
    near = _nearest(poses, np.asarray(boxes, np.float64)[blank])
    similar[blank] = joint_similarities(near, poses, areas[blank, None])
    labelled[blank] = True
  total = np.where(labelled[:, None], similar, 0.0).sum(-1)
  return total / labelled.sum(-1)[:, None]


def _nearest(poses, boxes):
  """Points of the enlarged boxes [P, 4] next to the joints: [P, D, 17, 2]."""
  low = boxes[:, None, None, :2] - boxes[:, None, None, 2:]
  high = boxes[:, None, None, :2] + 2 * boxes[:, None, None, 2:]
  return np.clip(poses[None, ..., :2], low, high)


def oks_nms(keypoints, scores, areas, threshold: float = 0.5) -> np.ndarray:
  """Keeps the best pose, drops those too like it, and so on.

  Two found poses are compared in all of their joints, with the mean of both
  areas. Papandreou et al. 2017, sec. 3.4.

  Args:
    keypoints: [D, 17, 3], x, y in pixels and what is not used here.
    scores: [D], higher is surer; of equals the first one counts as surer.
    areas: [D], square pixels.
    threshold: a pose is dropped if its OKS with a kept one is above it.

  Returns:
    int64 [kept]: indices, best first.

  Raises:
    ValueError: a shape or a value is wrong; NaN is named by its place.
  """
  poses, scores, areas = _checked_poses(keypoints, scores, areas)
  if not 0 <= threshold <= 1:
    raise ValueError(f'oks_nms needs a threshold from 0 to 1, got {threshold}.')
  left = np.argsort(-scores, kind='stable')
  kept = []
  while len(left):
    best, left = left[0], left[1:]
    kept.append(best)
    left = left[_with_one(poses, areas, best, left) <= threshold]
  return np.array(kept, np.int64)


def soft_oks_nms(
  keypoints,
  scores,
  areas,
  threshold: float = 0.9,
  max_detections: Optional[int] = 20,
) -> np.ndarray:
  """Lowers the scores of poses like a better one, rather than dropping them.

  The best pose is taken, the scores of all others are multiplied by
  exp(-OKS^2 / threshold), and so on: mmpose's Gaussian variant.

  Args:
    keypoints: as for oks_nms.
    scores: as for oks_nms.
    areas: as for oks_nms.
    threshold: width of the Gaussian, above 0; the smaller, the stricter.
    max_detections: how many to keep; None: all, in their new order.

  Returns:
    int64 [at most max_detections]: indices, best new score first.

  Raises:
    ValueError: a shape or a value is wrong; NaN is named by its place.
  """
  poses, scores, areas = _checked_poses(keypoints, scores, areas)
  if not threshold > 0:
    raise ValueError(
      f'soft_oks_nms needs a threshold above 0, got {threshold}.'
    )
  limit = len(poses) if max_detections is None else max_detections
  left, kept = np.arange(len(poses)), []
  while len(left) and len(kept) < limit:
    best = left[np.argmax(scores[left])]
    left = left[left != best]
    kept.append(best)
    overlaps = _with_one(poses, areas, best, left)
    scores[left] *= np.exp(-(overlaps**2) / threshold)
  return np.array(kept, np.int64)


def _with_one(poses, areas, one, others):
  """OKS of a pose with each of the others, all joints counting."""
  area = (areas[one] + areas[others]) / 2
  return joint_similarities(poses[one], poses[others], area).mean(-1)


def _checked_poses(keypoints, scores, areas):
  """Returns float64 arrays; the scores are a copy."""
  poses = _checked('keypoints', keypoints)
  scores = np.array(scores, np.float64)
  if scores.shape != (len(poses),):
    raise ValueError(
      f'{len(poses)} poses need as many scores, got the shape {scores.shape}.'
    )
  _refuse_nan('scores', np.isnan(scores))
  _refuse_nan('poses', ~np.isfinite(poses[..., :2]).all((1, 2)))
  return poses, scores, _checked_areas(areas, len(poses))


def _refuse_nan(what, wrong):
  if not wrong.any():
    return
  places = np.flatnonzero(wrong)
  shown = ', '.join(map(str, places[:_SHOWN]))
  more = ', ...' if len(places) > _SHOWN else ''
  has = (
    'are NaN' if what == 'scores' else 'have a coordinate that is not finite'
  )
  raise ValueError(
    f'{len(places)} of {len(wrong)} {what} {has}, at index {shown}{more}: '
    'check what made them.'
  )


def _checked(name, joints, rank=3):
  joints = np.asarray(joints, np.float64)
  if not joints.size and rank == 3:
    return np.zeros((0, _JOINTS, 3))
  if joints.ndim != rank or joints.shape[-2:] != (_JOINTS, 3):
    shape = f'[{_JOINTS}, 3]' if rank == 2 else f'[number, {_JOINTS}, 3]'
    raise ValueError(
      f"{name} must be {shape}, (x, y, visibility) of COCO's joints; got the "
      f'shape {joints.shape}.'
    )
  return joints


def _checked_areas(areas, count):
  areas = np.asarray(areas, np.float64)
  if areas.shape != (count,):
    raise ValueError(
      f'{count} poses need as many areas, got the shape {areas.shape}.'
    )
  wrong = np.flatnonzero(~(np.isfinite(areas) & (areas >= 0)))
  if len(wrong):
    raise ValueError(
      f'The area of pose {wrong[0]} is {areas[wrong[0]]:g}: square pixels, 0 '
      'or more, are expected.'
    )
  return areas
