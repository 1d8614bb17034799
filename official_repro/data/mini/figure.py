"""The articulated person: parts and the 17 COCO joints.

Object space as in geometry.py. Left and right are the person's own: seen from
the front, the left hand is on the right of the picture.
"""

import numpy as np

from official_repro.data.mini.geometry import bar
from official_repro.data.mini.geometry import disc
from official_repro.data.mini.geometry import ellipse
from official_repro.data.mini.geometry import poly

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
      arm = (side * (np.pi - 0.2 - spread[i]), side * (np.pi - 0.3 + bend[i] / 3))
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


def _head(turn, from_behind):
  x, y = _HEAD
  x += turn * 0.05
  parts = [
    bar(0.0, -0.62, 0.0, -0.45, 0.12, 0.14, 'skin'),
    disc(x, y - 0.03, 0.2, 'hair'),
  ]
  if from_behind:
    return parts
  face = x + turn * 0.07
  return parts + [
    ellipse(face, y + 0.03, 0.15, 0.17, 'skin'),
    disc(face - 0.06 + turn * 0.04, y, 0.025, 'black', 6),
    disc(face + 0.06 + turn * 0.04, y, 0.025, 'black', 6),
  ]


def _face_joints(side, turn, from_behind):
  """(x, y, visibility) of nose, eyes and ears."""
  x, y = _HEAD
  face = x + turn * 0.12
  seen = _OCCLUDED if from_behind else _VISIBLE
  # A turned head hides the ear on the side it turns to.
  ears = [
    _OCCLUDED if turn * s > 0.5 and not from_behind else _VISIBLE
    for s in (side, -side)
  ]
  return [
    (face + turn * 0.05, y + 0.05, seen),
    (face + side * 0.06, y, seen),
    (face - side * 0.06, y, seen),
    (x + side * 0.16, y + 0.01, ears[0]),
    (x - side * 0.16, y + 0.01, ears[1]),
  ]


def figure(rng, style='standing', from_behind=None):
  """Draws one person.

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
  hip_y = 0.3 if style == 'sitting' else 0.05
  hip = half * 0.6
  arms, legs = _angles(rng, style, (side, -side))
  joints = _face_joints(side, turn, from_behind)
  limbs, chains = [], []
  for i, s in enumerate((side, -side)):
    shoulder = (s * half, -0.42)
    elbow = _step(shoulder, _UPPER_ARM, arms[i][0])
    wrist = _step(elbow, _LOWER_ARM, arms[i][1])
    root = (s * hip, hip_y)
    knee = _step(root, _THIGH, legs[i][0])
    ankle = _step(knee, _SHIN, legs[i][1])
    limbs.append(
      (
        _limb(
          (shoulder, elbow, wrist), (0.15, 0.12, 0.09), ('body', 'skin', 'skin')
        ),
        _limb((root, knee, ankle), (0.2, 0.16, 0.12), ('pants', 'pants', 'shoe')),
      )
    )
    chains.append((shoulder, elbow, wrist, root, knee, ankle))
  for left, right in zip(*chains):
    joints += [(*left, _VISIBLE), (*right, _VISIBLE)]
  torso = poly(
    'body',
    (-half - 0.06, -0.47),
    (half + 0.06, -0.47),
    (hip + 0.09, hip_y + 0.03),
    (-hip - 0.09, hip_y + 0.03),
  )
  (arm_l, leg_l), (arm_r, leg_r) = limbs
  behind = arm_l if turned else []
  front = arm_r if turned else arm_l + arm_r
  parts = [*behind, *leg_l, *leg_r, torso, *_head(turn, from_behind), *front]
  return parts, np.array(joints)
