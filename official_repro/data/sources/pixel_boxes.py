"""Boxes and points in pixels to parts of the picture. N objects, K points."""

import numpy as np

from official_repro.data import image_files

# Annotators' boxes may stick out by rounding; more is a mistake.
MAX_OUTSIDE = 1.0  # pixels


def normalised(boxes, height: int, width: int) -> np.ndarray:
  """Returns boxes as parts of the picture, kept inside of it.

  Args:
    boxes: N tuples of ymin, xmin, ymax, xmax in pixels.
    height: pixels, above 0.
    width: pixels, above 0.

  Returns:
    float32 [N, 4], ymin, xmin, ymax, xmax from 0 to 1.

  Raises:
    BadImageError: a box sticks out by more than a pixel or has a side that is
      no number; names it.
  """
  boxes = np.array(boxes, np.float64).reshape(-1, 4)
  limit = np.array([height, width, height, width], np.float64)
  inside, wrong = _clipped(boxes, limit)
  if wrong.any():
    ymin, xmin, ymax, xmax = boxes[np.argmax(wrong)].tolist()
    raise image_files.BadImageError(
      f'box x {xmin:g} to {xmax:g}, y {ymin:g} to {ymax:g} lies outside the '
      f'picture of {width} x {height} pixels'
    )
  return (inside / limit).astype(np.float32)


def normalised_points(points, height: int, width: int) -> np.ndarray:
  """Returns keypoints as parts of the picture.

  Args:
    points: [N, K, 3], x and y in pixels, and visibility, 0 for a point that
      is not labelled and may be anywhere.
    height: pixels, above 0.
    width: pixels, above 0.

  Returns:
    float32 [N, K, 3], y and x, from 0 to 1 where labelled, and visibility.

  Raises:
    BadImageError: a labelled point lies outside by more than a pixel.
  """
  points = np.array(points, np.float64)[..., [1, 0, 2]]
  limit = np.array([height, width], np.float64)
  inside, wrong = _clipped(points[..., :2], limit)
  labelled = points[..., 2] > 0
  wrong &= labelled
  if wrong.any():
    y, x, _ = points[wrong][0].tolist()
    raise image_files.BadImageError(
      f'keypoint x {x:g}, y {y:g} lies outside the picture of {width} x '
      f'{height} pixels'
    )
  points[..., :2] = np.where(labelled[..., None], inside, points[..., :2])
  points[..., :2] /= limit
  return points.astype(np.float32)


def _clipped(values, limit):
  """Returns (values inside of 0..limit, bool: which were too far outside)."""
  inside = np.clip(values, 0, limit)
  # Written so that what is no number is wrong, too.
  return inside, ~(np.abs(values - inside) <= MAX_OUTSIDE).all(axis=-1)
