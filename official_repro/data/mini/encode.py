"""Fast picture encoding with OpenCV."""

import cv2
import numpy as np


def encode_jpeg(image, quality=95) -> bytes:
  """Encodes uint8 [H, W, 3] RGB as JPEG."""
  return _encode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode_png(image) -> bytes:
  """Encodes uint8 [H, W, 3] RGB or [H, W] as PNG, without loss."""
  return _encode('.png', image, [cv2.IMWRITE_PNG_COMPRESSION, 3])


def _encode(suffix, image, options):
  if image.dtype != np.uint8:
    raise ValueError(
      f'A picture to encode as {suffix[1:]} must be uint8, got {image.dtype} '
      f'of shape {image.shape}.'
    )
  if image.ndim == 3:
    image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
  return cv2.imencode(suffix, image, options)[1].tobytes()
