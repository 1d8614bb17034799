"""COCO's 17 joints of a person. Left and right are the person's own."""

import numpy as np

NAMES = (
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

# How far people who annotate the same joint lie apart, by the square root of
# the person's area; COCO's, per joint (pycocotools' kpt_oks_sigmas).
SIGMAS = (
  0.026,
  *(0.025, 0.025),
  *(0.035, 0.035),
  *(0.079, 0.079),
  *(0.072, 0.072),
  *(0.062, 0.062),
  *(0.107, 0.107),
  *(0.087, 0.087),
  *(0.089, 0.089),
)

LEFT, MIDDLE, RIGHT = 'left', 'middle', 'right'

# Bones to draw, COCO's: joint, joint, side of the body.
SKELETON = (
  (15, 13, LEFT),
  (13, 11, LEFT),
  (16, 14, RIGHT),
  (14, 12, RIGHT),
  (11, 12, MIDDLE),
  (5, 11, LEFT),
  (6, 12, RIGHT),
  (5, 6, MIDDLE),
  (5, 7, LEFT),
  (6, 8, RIGHT),
  (7, 9, LEFT),
  (8, 10, RIGHT),
  (1, 2, MIDDLE),
  (0, 1, LEFT),
  (0, 2, RIGHT),
  (1, 3, LEFT),
  (2, 4, RIGHT),
  (3, 5, LEFT),
  (4, 6, RIGHT),
)


def exchange_xy(joints) -> np.ndarray:
  """Turns (y, x, visibility) into COCO's (x, y, visibility), and back.

  Args:
    joints: [..., 3].

  Returns:
    [..., 3] of the same dtype.
  """
  return np.asarray(joints)[..., [1, 0, 2]]
