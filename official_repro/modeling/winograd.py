"""3x3 convolution of small maps with a third of the products.

Lavin and Gray 2016 ("Fast Algorithms for Convolutional Neural Networks"),
F(4x4, 3x3): 4x4 outputs of a tile from 36 products instead of 144. A whole map
of a few tiles goes through two small matrix products, into and out of the
domain where the convolution is 36 products of channels; between them is the
one large product. GPU libraries do this by themselves, TensorFlow on a CPU does
not. The result differs from the direct sum by about 1e-5 of its largest value.

Shapes: N maps of H x W pixels, C channels, F filters, T tiles of 4x4.
"""

import functools

import numpy as np
import tensorflow as tf

_TILE = 4  # outputs along a side
_PATCH = 6  # inputs along a side, two more
# Above this the matrices of a map cost more than the convolution.
LARGEST_SIDE = 8

# The matrices of the paper's sec. 4.2: input, kernel and output.
_INPUT = np.array(
  [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
  ],
  np.float64,
)
_KERNEL = np.array(
  [
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
  ],
  np.float64,
)
_OUTPUT = np.array(
  [
    [1, 1, 1, 1, 1, 0],
    [0, 1, -1, 2, -2, 0],
    [0, 1, 1, 4, 4, 0],
    [0, 1, -1, 8, -8, 1],
  ],
  np.float64,
)


def fits(height, width) -> bool:
  """Whether maps of this size, None where unknown, are small enough."""
  return all(
    side is not None and side <= LARGEST_SIDE for side in (height, width)
  )


def conv3x3(inputs, kernel) -> tf.Tensor:
  """Convolution at stride 1 with zero padding ('SAME').

  Args:
    inputs: float32 [N, H, W, C]; H and W are known and small, see fits.
    kernel: float32 [3, 3, C, F].

  Returns:
    float32 [N, H, W, F].
  """
  height, width, channels = inputs.shape[1:]
  filters = kernel.shape[-1]
  into, out_of, tiles = _matrices(height, width)
  points = _PATCH**2
  kernels = np.kron(_KERNEL, _KERNEL).astype(np.float32)
  kernels = tf.matmul(kernels, tf.reshape(kernel, [9, channels * filters]))
  kernels = tf.reshape(kernels, [points, channels, filters])

  x = tf.reshape(inputs, [-1, height * width, channels])
  x = tf.reshape(tf.matmul(into, x), [-1, points, tiles * channels])
  x = tf.reshape(tf.transpose(x, [1, 0, 2]), [points, -1, channels])
  x = tf.reshape(tf.matmul(x, kernels), [points, -1, tiles * filters])
  x = tf.reshape(tf.transpose(x, [1, 0, 2]), [-1, points * tiles, filters])
  return tf.reshape(tf.matmul(out_of, x), [-1, height, width, filters])


@functools.lru_cache(maxsize=16)
def _matrices(height, width):
  """Into the products' domain and back: [36 T, H W], [H W, 36 T], and T."""
  rows_in, rows_out = _axis(height)
  columns_in, columns_out = _axis(width)
  into = np.einsum('iah,jbw->abijhw', rows_in, columns_in)
  out_of = np.einsum('hia,wjb->hwabij', rows_out, columns_out)
  tiles = len(rows_in) * len(columns_in)
  rows = _PATCH**2 * tiles
  return (
    into.reshape(rows, height * width).astype(np.float32),
    out_of.reshape(height * width, rows).astype(np.float32),
    tiles,
  )


def _axis(size):
  """One axis: [tiles, 6, size] and [size, tiles, 6]; padding is left out."""
  tiles = -(-size // _TILE)
  into = np.zeros((tiles, _PATCH, size + 8))
  out_of = np.zeros((tiles * _TILE, tiles, _PATCH))
  for tile in range(tiles):
    start = tile * _TILE
    # The first input of the first tile is one before the map.
    into[tile, :, start : start + _PATCH] = _INPUT
    out_of[start : start + _TILE, tile] = _OUTPUT
  return into[..., 1 : size + 1], out_of[:size]
