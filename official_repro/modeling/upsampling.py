"""Maps of cells made as large as the picture, for dense predictions.

With sides of `stride * k + 1` pixels cell i of a ResNet's output has its centre
on pixel stride * i: 513 pixels have 65 cells at stride 8, 353 have 45, and the
first and the last cell lie on the first and the last pixel. So bilinear
upsampling aligns the corners, as DeepLab v2 and TF-slim's DeepLab do.
"""

import tensorflow as tf


def upsample(maps, height, width, stride: int = 8):
  """Upsamples maps bilinearly so that cell i is exact on pixel stride * i.

  Args:
    maps: [N, h, w, K].
    height, width: of the result, int scalars; at most stride * (h - 1) + 1.
    stride: pixels from one cell to the next.

  Returns:
    float32 [N, height, width, K].
  """
  size = (tf.shape(maps)[1:3] - 1) * stride + 1
  full = tf.raw_ops.ResizeBilinear(images=maps, size=size, align_corners=True)
  wanted = [tf.get_static_value(n) for n in (height, width)]
  known = [n and (n - 1) * stride + 1 for n in maps.shape[1:3]]
  if None not in wanted and wanted == known:
    # A slice of all copies the maps, and its gradient does so again.
    full.set_shape([None, *wanted, None])
    return full
  return full[:, :height, :width]


def padding(side, stride: int):
  """Pixels to be added so that a side is one more than a multiple of stride.

  Args:
    side: pixels, int or int tensor, at least 1.
    stride: pixels from one cell to the next.
  """
  return -(side - 1) % stride
