"""The articulated person: parts and the 17 COCO joints.

Object space as in geometry.py. Left and right are the person's own: seen from
the front, the left hand is on the right of the picture.
"""

import cv2
import numpy as np

from official_repro.data.mini.geometry import bar, disc, ellipse, poly

JOINT_NAMES = (
  'nose',
  'left_eye',
  'right_eye',
  'left_ear',
  'right_ear',
  'left_shoulder',
  'right_shoulder',
  'left_elbow',
  'right_elbow',
  'left_wrist',
  'right_wrist',
  'left_hip',
  'right_hip',
  'left_knee',
  'right_knee',
  'left_ankle',
  'right_ankle',
)

# Index of each joint's mirror image.
MIRRORED = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)

STYLES = ('standing', 'cheering', 'running', 'sitting')

_UPPER_ARM, _LOWER_ARM, _THIGH, _SHIN = 0.3, 0.28, 0.42, 0.42
_HEAD = (0.0, -0.76)
_VISIBLE, _OCCLUDED = 2.0, 1.0


def _step(start, length, angle):
  """Point at a distance; angle 0 is down, positive towards +x."""
  return (
    start[0] + length * np.sin(angle),
    start[1] + length * np.cos(angle),
  )


def _angles(rng, style, sides):
  """Upper and lower angles of arms and legs, per body side (left, right)."""
  spread, bend = rng.uniform(0.1, 0.6, 2), rng.uniform(-0.2, 0.9, 2)
  stance, knee = rng.uniform(0.0, 0.22, 2), rng.uniform(-0.15, 0.1, 2)
  arms, legs = [], []
  for i, side in enumerate(sides):
    if style == 'cheering':
      arm = (
        side * (np.pi - 0.2 - spread[i]),
        side * (np.pi - 0.3 + bend[i] / 3),
      )
    elif style == 'running':
      swing = (0.6 + spread[i]) * (1, -1)[i]
      arm = (swing, swing + 1.2)
    else:
      arm = (side * spread[i], side * (spread[i] - bend[i]))
    if style == 'running':
      swing = (-0.55, 0.75)[i] - stance[i]
      leg = (swing, swing - (0.7, 0.25)[i] - bend[i] * 0.3)
    elif style == 'sitting':
      leg = (1.35 - stance[i], 0.05 + knee[i])
    else:
      leg = (side * stance[i], side * (stance[i] + knee[i]))
    arms.append(arm)
    legs.append(leg)
  return arms, legs


def _limb(points, widths, roles):
  """Two bars with round joints through three points."""
  (a, b, c), (w0, w1, w2), (upper, lower, end) = points, widths, roles
  return [
    disc(*a, w0 / 2, upper, 10),
    bar(*a, *b, w0, w1, upper),
    disc(*b, w1 / 2, lower, 10),
    bar(*b, *c, w1, w2, lower),
    disc(*c, w2 * 0.7, end, 10),
  ]


def _face_joints(side, turn, from_behind):
  """Nose, eyes and ears: float [5, 3] (x, y, visibility)."""
  x, y = _HEAD
  face = x + turn * 0.12
  seen = _OCCLUDED if from_behind else _VISIBLE
  # A turned head hides the ear on the side that it turns to.
  ears = [
    _OCCLUDED if turn * s > 0.5 and not from_behind else _VISIBLE
    for s in (side, -side)
  ]
  return np.array(
    [
      (face + turn * 0.05, y + 0.06, seen),
      (face + side * 0.06, y, seen),
      (face - side * 0.06, y, seen),
      (x + side * 0.17, y + 0.01, ears[0]),
      (x - side * 0.17, y + 0.01, ears[1]),
    ]
  )


def _head(face_joints, turn, from_behind):
  """Neck, hair, ears and, from the front, the face."""
  x, y = _HEAD
  parts = [
    bar(0.0, -0.62, 0.0, -0.45, 0.12, 0.14, 'skin'),
    disc(x + turn * 0.02, y - 0.03, 0.19, 'hair'),
  ]
  for ear_x, ear_y, visibility in face_joints[3:]:
    if visibility == _VISIBLE:
      parts.append(disc(ear_x, ear_y, 0.05, 'skin', 8))
  if from_behind:
    return parts
  parts.append(ellipse(x + turn * 0.07, y + 0.03, 0.15, 0.17, 'skin'))
  for (eye_x, eye_y, _), size in zip(face_joints, (0.02, 0.028, 0.028)):
    parts.append(disc(eye_x, eye_y, size, 'black', 6))
  return parts


def _hide(joints, parts):
  """Marks the joints [N, 3] that lie inside any of the parts as hidden."""
  outlines = [p.points.astype(np.float32)[:, None] for p in parts]
  for joint in joints:
    at = (float(joint[0]), float(joint[1]))
    if any(cv2.pointPolygonTest(o, at, False) > 0 for o in outlines):
      joint[2] = _OCCLUDED


def _sides(rng, style, side, half, hip, hip_y):
  """Joints and limbs of the left and the right half of the body.

  Returns:
    Two pairs (joints float [6, 3]: shoulder, elbow, wrist, hip, knee, ankle;
    (arm parts, leg parts)).
  """
  arms, legs = _angles(rng, style, (side, -side))
  halves = []
  for s, arm, leg in zip((side, -side), arms, legs):
    shoulder, root = (s * half, -0.42), (s * hip, hip_y)
    elbow = _step(shoulder, _UPPER_ARM, arm[0])
    wrist = _step(elbow, _LOWER_ARM, arm[1])
    knee = _step(root, _THIGH, leg[0])
    ankle = _step(knee, _SHIN, leg[1])
    arm_path, leg_path = (shoulder, elbow, wrist), (root, knee, ankle)
    joints = np.array([(*p, _VISIBLE) for p in (*arm_path, *leg_path)])
    limbs = (
      _limb(arm_path, (0.15, 0.12, 0.09), ('body', 'skin', 'skin')),
      _limb(leg_path, (0.2, 0.16, 0.12), ('pants', 'pants', 'shoe')),
    )
    halves.append((joints, limbs))
  return halves


def figure(rng, style='standing', from_behind=None):
  """Draws one person.

  Running and sitting people are turned to the right of the picture, so that
  their right side is the near one, whether seen from the front or the back.

  Args:
    rng: np.random.Generator.
    style: one of `STYLES`.
    from_behind: seen from the back; None: one time in five.

  Returns:
    parts: list of Part, back to front.
    joints: float64 [17, 3] (x, y, visibility), COCO order, object space;
      visibility 2 = seen, 1 = hidden by the person's own body.

  Raises:
    ValueError: unknown style.
  """
  if style not in STYLES:
    raise ValueError(f'figure() got style {style!r}; use one of {STYLES}.')
  chance, turn, narrow = rng.uniform(0, 1, 3)
  from_behind = chance < 0.2 if from_behind is None else from_behind
  turned = style in ('running', 'sitting')
  turn = 0.5 + 0.5 * turn if turned else turn - 0.5
  side = -1.0 if from_behind else 1.0
  half = (0.15 if turned else 0.22) + 0.03 * narrow
  hip, hip_y = half * 0.6, 0.3 if style == 'sitting' else 0.05
  torso = poly(
    'body',
    (-half - 0.06, -0.47),
    (half + 0.06, -0.47),
    (hip + 0.09, hip_y + 0.03),
    (-hip - 0.09, hip_y + 0.03),
  )
  face = _face_joints(side, turn, from_behind)
  head = _head(face, turn, from_behind)
  (left, (arm_l, leg_l)), (right, (arm_r, leg_r)) = _sides(
    rng, style, side, half, hip, hip_y
  )
  if turned:
    _hide(left[1:3], [*leg_r, torso, *head, *arm_r])
    _hide(left[4:6], [*leg_r, torso, *arm_r])
    parts = [*arm_l, *leg_l, *leg_r, torso, *head, *arm_r]
  else:
    parts = [*leg_l, *leg_r, torso, *head, *arm_l, *arm_r]
  body = np.stack([left, right], 1).reshape(12, 3)
  return parts, np.concatenate([face, body])
