"""JPEG by libjpeg-turbo: the header, a quick check, decoding at a scale.

Only for plain files: whoever gets a ValueError here asks Pillow, which accepts
more and gives the reason. Coordinates are (height, width).
"""

import dataclasses
from typing import Optional

import numpy as np
import simplejpeg

# Of a reduced picture. On photos a coding at 90 is 39 to 42 dB from its pixels
# in brightness, more than any two ways to resize are apart; 4:2:0, as most
# photos come, stores colour at half the resolution (all in all 33 to 38 dB) and
# halves the blocks that each training step must decode.
QUALITY = 90
_SUBSAMPLING = '420'
# The factors by which libjpeg can shrink while it decodes; the odd ones (7/8,
# 3/4, ...) cost more than they save.
_RATIOS = (8, 4, 2, 1)
_START, _END, _SCAN, _APP1 = 0xD8, 0xD9, 0xDA, 0xE1
# Start-of-frame markers of baseline, extended and progressive Huffman coding.
_PLAIN_FRAMES = (0xC0, 0xC1, 0xC2)
_ALL_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclasses.dataclass(frozen=True)
class Header:
  """What stands in a JPEG before the pixels.

  Attributes:
    height: pixels as stored; 0 where only the decoder finds it out.
    width: pixels as stored.
    channels: 1 grey, 3 colour, 4 CMYK.
    plain: 8 bits a channel, grey or colour, in Huffman coding of the baseline,
      extended or progressive kind, which every reader knows.
    has_app1: EXIF or XMP is there, which may ask for a rotation.
  """

  height: int
  width: int
  channels: int
  plain: bool
  has_app1: bool


def read_header(data: bytes) -> Optional[Header]:
  """Returns the header of a JPEG; None: no JPEG, or one that is damaged."""
  if data[:2] != b'\xff\xd8':
    return None
  at, frame, has_app1 = 2, None, False
  while at + 4 <= len(data):
    if data[at] != 0xFF:
      return None
    marker = data[at + 1]
    if marker == 0xFF:  # fill byte
      at += 1
      continue
    if marker in (_SCAN, _END):
      break
    if marker in _ALL_FRAMES:
      frame = (marker, data[at + 4 : at + 10])
    has_app1 |= marker == _APP1
    at += 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
  if frame is None or len(frame[1]) < 6:
    return None
  marker, (bits, *size, channels) = frame
  height, width = size[0] << 8 | size[1], size[2] << 8 | size[3]
  plain = marker in _PLAIN_FRAMES and bits == 8 and channels in (1, 3)
  return Header(height, width, channels, plain, has_app1)


def check(data: bytes, header: Header) -> None:
  """Reads all of a plain JPEG, but makes next to no pixels of it.

  Damage shows in the entropy coding, which is read to its end; the colours and
  most of the inverse transform are left out, which halves the time.

  Raises:
    ValueError: anything is wrong, even what decoders pass over.
  """
  _decode(data, 'GRAY', -(-header.height // 8), -(-header.width // 8))


def decode(data: bytes, header: Header, height: int, width: int) -> np.ndarray:
  """Decodes a plain JPEG at the smallest scale that keeps a size.

  Args:
    data: the file.
    header: its header.
    height: the result has at least so many pixels; at most the header's.
    width: likewise.

  Returns:
    uint8 [H, W, 1 or 3], grey or RGB, 1/8, 1/4, 1/2 or all of the size.

  Raises:
    ValueError: anything is wrong, even what decoders pass over.
  """
  # libjpeg rounds up.
  scaled = (
    (-(-header.height // ratio), -(-header.width // ratio)) for ratio in _RATIOS
  )
  size = next(s for s in scaled if s[0] >= height and s[1] >= width)
  return _decode(data, 'GRAY' if header.channels == 1 else 'RGB', *size)


def encode(pixels: np.ndarray) -> bytes:
  """Encodes uint8 [H, W, 1 or 3], grey or RGB, at `QUALITY`."""
  grey = pixels.shape[2] == 1
  return simplejpeg.encode_jpeg(
    np.ascontiguousarray(pixels),
    quality=QUALITY,
    colorspace='GRAY' if grey else 'RGB',
    colorsubsampling='Gray' if grey else _SUBSAMPLING,
  )


def _decode(data, colours, height, width):
  return simplejpeg.decode_jpeg(
    data,
    colours,
    min_height=height,
    min_width=width,
    # Chroma by repetition, as in training: 4:2:0 keeps no more of it anyway.
    fastupsample=True,
    strict=True,
  )
