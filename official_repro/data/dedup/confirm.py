"""Confirmation: whether two pictures whose hashes are close are copies.

By pixels: the two are laid over each other, as 64 x 64 colour thumbnails, and
what differs is compared with what there is:

  score = 1 - sum (a - b)^2 / (sum (a - mean a)^2 + sum (b - mean b)^2 + noise)

1 is the same picture, 0 an unrelated one. For pictures of equal mean and
contrast this is their correlation; other than that it sees colour and
brightness, and of flat pictures these alone. A crop is first laid to its place
(ECC, Evangelidis and Psarakis 2008), from where the hash found it.

A few strokes look like a crop of any few strokes, and the drawings of one
character by two hands are much alike. So what differs counts double for crops
and for pictures with few details, and the latter are never taken for crops.
"""

from typing import Optional

import cv2
import numpy as np

from official_repro.data.dedup import hashes

NOTHING = -1.0
# Side of the thumbnails in pixels.
SIDE = hashes.SIDE
# Standard deviation in grey levels that counts as noise of flat pictures.
_NOISE = 4.0
# A cell of 8 x 8 pixels has detail from this standard deviation on.
_CELL, _DETAIL = 8, 8.0
_FEW_DETAILS = 18
# By how much a crop may be sheared or go over the edge, as parts of the side.
_SHEAR, _OVER = 0.02, 0.03
_LEAST_SIZE = 0.7
_ECC = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 1e-3)
_ECC_BLUR = 3


def thumbnail(encoded: bytes) -> np.ndarray:
  """Returns uint8 [SIDE, SIDE, 3] RGB of a record's picture, stretched.

  Raises:
    BadImageError: it cannot be decoded.
  """
  return hashes.square(hashes.read_pixels(encoded, SIDE), SIDE)


def pixel_score(first: np.ndarray, second: np.ndarray, view: int) -> float:
  """Compares two thumbnails.

  Args:
    first: uint8 [SIDE, SIDE, 3] RGB.
    second: uint8 [SIDE, SIDE, 3] RGB, said to be like the view of `first`.
    view: see `hashes`.

  Returns:
    At most 1; NOTHING where no crop can be laid over the other.
  """
  if view >= hashes.MIRROR:
    second = second[:, ::-1]
  few = min(details(first), details(second)) < _FEW_DETAILS
  if view % hashes.MIRROR == hashes.WHOLE:
    score = similarity(first, second)
    return _doubled(score) if few else score
  if few:
    return NOTHING
  placed = _lay(first, second, hashes.BOXES[view % hashes.MIRROR])
  if placed is None:
    return NOTHING
  # The crop was enlarged and is less sharp: halves are compared.
  return _doubled(similarity(_half(placed), _half(second)))


def similarity(a: np.ndarray, b: np.ndarray) -> float:
  """The score of two uint8 [H, W, 3] pictures that lie over each other."""
  a, b = a.astype(np.float32), b.astype(np.float32)
  different = cv2.norm(a, b, cv2.NORM_L2SQR) / a.size
  there = sum((cv2.meanStdDev(x)[1] ** 2).mean() for x in (a, b))
  return float(1 - different / (there + _NOISE**2))


def details(thumb: np.ndarray) -> int:
  """Number of cells, of 64, in which there is something to see."""
  grey = thumb.astype(np.float32).mean(axis=2)
  cells = (SIDE // _CELL, SIDE // _CELL)
  mean, square = (
    cv2.resize(x, cells, interpolation=cv2.INTER_AREA) for x in (grey, grey**2)
  )
  return int((square - mean**2 > _DETAIL**2).sum())


def cosine(a: np.ndarray, b: np.ndarray) -> float:
  """Cosine of the angle between two feature vectors; 0 if one is zero."""
  length = float(np.linalg.norm(a) * np.linalg.norm(b))
  return float(a @ b) / length if length else 0.0


def _doubled(score):
  """The score of twice the difference."""
  return max(1 - 2 * (1 - score), NOTHING)


def _lay(whole, crop, box) -> Optional[np.ndarray]:
  """Returns the part of `whole` that `crop` shows, None if there is none."""
  top, left, bottom, right = (side * SIDE for side in box)
  y, x = (bottom - top) / SIDE, (right - left) / SIDE
  found = np.array(
    [[x, 0, left + (x - 1) / 2], [0, y, top + (y - 1) / 2]], np.float32
  )
  # At half the size it is faster, and it comes from further away.
  found = _aligned(_half(whole), _half(crop), _scaled(found, 0.5))
  if found is None or not _is_crop(found, SIDE // 2):
    return None
  return cv2.warpAffine(
    whole,
    _scaled(found, 2),
    (SIDE, SIDE),
    flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    borderMode=cv2.BORDER_REPLICATE,
  )


def _aligned(whole, crop, start):
  """Returns the map from `crop` to `whole`, float32 [2, 3], or None."""
  try:
    _, found = cv2.findTransformECC(
      hashes.to_grey(np.ascontiguousarray(crop)),
      hashes.to_grey(whole),
      start,
      cv2.MOTION_AFFINE,
      _ECC,
      None,
      _ECC_BLUR,
    )
  except cv2.error:  # it did not converge
    return None
  return found


def _scaled(transform, factor):
  """The map for pictures of another size; the centre of pixel i is i + .5."""
  linear, shift = transform[:, :2], transform[:, 2:]
  centre = (1 - linear.sum(axis=1, keepdims=True)) / 2
  return np.hstack([linear, (shift + centre) * factor - centre])


def _is_crop(transform, side):
  """Whether a map of a square is into the square, and nearly upright."""
  scale, shear = np.diag(transform[:, :2]), np.diag(transform[::-1, :2])
  start = transform[:, 2] / side
  inside = start.min() > -_OVER and (start + scale).max() < 1 + _OVER
  return inside and scale.min() > _LEAST_SIZE and abs(shear).sum() < _SHEAR


def _half(picture):
  return cv2.resize(
    picture, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA
  )
