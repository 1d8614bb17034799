"""Perceptual hashes of pictures, and of their mirror images and crops.

The hash is ImageHash's `phash` (64 bits: which of the 8 x 8 lowest frequencies
of the 32 x 32 grey picture are above their median). Coding, resizing and small
changes of brightness move 0 to 4 of its bits; pictures of other things are
about 32 apart. A mirror image has a wholly other hash, and a crop of 5% per
side is 8 to 18 bits away, so these are hashed as further views of a picture:
what was mirrored or cropped is then near a view of its original.
"""

import functools
import io

import cv2
import imagehash
import numpy as np
import scipy.fftpack
from PIL import Image

from official_repro.data import image_files, jpeg

BITS = 64
# Side of the picture that the views are cut from, and of what it is made from
# at least: a crop of .8 still has the 32 pixels of the hash.
SIDE, LEAST_SIDE = 64, 40
_HASH_SIDE, _FREQUENCIES = 32, 8
# What the views show, as (top, left, bottom, right) of the picture. Centred
# crops of 5% and 10% per side, and the crops of 10% that leave a corner.
BOXES = (
  (0.0, 0.0, 1.0, 1.0),
  (0.05, 0.05, 0.95, 0.95),
  (0.1, 0.1, 0.9, 0.9),
  (0.0, 0.0, 0.9, 0.9),
  (0.0, 0.1, 0.9, 1.0),
  (0.1, 0.0, 1.0, 0.9),
  (0.1, 0.1, 1.0, 1.0),
)
WHOLE = 0
# View v + MIRROR is the mirror image of view v.
MIRROR = len(BOXES)
VIEWS = 2 * MIRROR
_WEIGHTS = 1 << np.arange(BITS - 1, -1, -1, dtype=np.uint64)


def read_pixels(encoded: bytes, side: int) -> np.ndarray:
  """Decodes a record's picture, at 1/8, 1/4 or 1/2 of its size if it can.

  Args:
    encoded: JPEG or PNG file.
    side: pixels that both sides have at least, if the picture has.

  Returns:
    uint8 [H, W, 3] RGB.

  Raises:
    BadImageError: it cannot be decoded.
  """
  header = jpeg.read_header(encoded)
  if header is not None and header.plain:
    sides = (min(side, header.height), min(side, header.width))
    try:
      pixels = jpeg.decode(encoded, header, *sides)
      return np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    except ValueError:
      pass  # Pillow accepts more, and has the better words if not
  try:
    with Image.open(io.BytesIO(encoded)) as image:
      return np.asarray(image.convert('RGB'))
  except Exception as e:  # Pillow's decoders raise about any type
    raise image_files.BadImageError(
      f'cannot be decoded: {" ".join(str(e).split())}'
    ) from e


def to_grey(pixels: np.ndarray) -> np.ndarray:
  """uint8 [H, W, 3] RGB -> [H, W]."""
  return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def square(pixels: np.ndarray, side: int = SIDE) -> np.ndarray:
  """Stretches uint8 [H, W, 3] to [side, side, 3]."""
  shrinks = min(pixels.shape[:2]) >= side
  return cv2.resize(
    np.ascontiguousarray(pixels),
    (side, side),
    interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
  )


def phash(picture: np.ndarray) -> int:
  """Returns ImageHash's phash of uint8 [SIDE, SIDE] grey, 64 bits."""
  bits = imagehash.phash(Image.fromarray(_small(picture))).hash
  return int(_pack(bits.reshape(1, BITS))[0])


def view_hashes(picture: np.ndarray) -> np.ndarray:
  """Hashes all views of a picture.

  The library takes a fifth of a millisecond a picture, so it gets only the
  whole one. The other views are one matrix product, and mirroring is a change
  of sign; their bits are what the library's would be.

  Args:
    picture: uint8 [SIDE, SIDE] grey.

  Returns:
    uint64 [VIEWS], `BOXES` upright, then mirrored.
  """
  views = np.stack([_view(picture, box) for box in BOXES]).astype(np.float64)
  transform = _dct()
  waves = transform @ views @ transform.T
  # Of flat pictures the coefficients are zero, but for rounding.
  waves = np.round(waves, 3)
  # cos(pi (2(n-1-x)+1) k / 2n) = (-1)^k cos(pi (2x+1) k / 2n)
  signs = (-1.0) ** np.arange(_FREQUENCIES)
  both = np.concatenate([waves, waves * signs]).reshape(VIEWS, BITS)
  result = _pack(both > np.median(both, axis=1, keepdims=True))
  result[WHOLE] = phash(picture)
  return result


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """Number of bits, uint8, by which two arrays of hashes (uint64) differ."""
  # Sums of the bits in pairs, fours and bytes; then of the bytes.
  x = np.bitwise_xor(a, b)
  ones = lambda byte: np.uint64(0x0101010101010101 * byte)
  x = x - ((x >> np.uint64(1)) & ones(0x55))
  x = (x & ones(0x33)) + ((x >> np.uint64(2)) & ones(0x33))
  x = (x + (x >> np.uint64(4))) & ones(0x0F)
  with np.errstate(over='ignore'):  # meant to drop what goes over
    return ((x * ones(1)) >> np.uint64(56)).astype(np.uint8)


def transform_name(view: int) -> str:
  """Says what a copy that is like this view went through."""
  cropped = view % MIRROR != WHOLE
  if view >= MIRROR:
    return 'mirrored and cropped' if cropped else 'mirrored'
  return 'cropped' if cropped else 'same'


@functools.lru_cache(maxsize=1)
def _dct():
  """Float [8, 32]: the lowest frequencies of the transform that phash uses."""
  return scipy.fftpack.dct(np.eye(_HASH_SIDE), axis=0)[:_FREQUENCIES]


def _small(picture):
  return cv2.resize(
    picture, (_HASH_SIDE, _HASH_SIDE), interpolation=cv2.INTER_AREA
  )


def _view(picture, box):
  if box == BOXES[WHOLE]:
    return _small(picture)
  top, left, bottom, right = (side * SIDE for side in box)
  y, x = (bottom - top) / _HASH_SIDE, (right - left) / _HASH_SIDE
  return cv2.warpAffine(
    picture,
    np.array([[x, 0, left + (x - 1) / 2], [0, y, top + (y - 1) / 2]]),
    (_HASH_SIDE, _HASH_SIDE),
    flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    borderMode=cv2.BORDER_REPLICATE,
  )


def _pack(bits):
  return (bits * _WEIGHTS).sum(axis=-1, dtype=np.uint64)
