"""3x3 convolution with a third of the products, for CPUs.

Lavin and Gray 2016 ("Fast Algorithms for Convolutional Neural Networks"):
F(4x4, 3x3) takes 4x4 outputs of a tile from 36 products instead of 144, and
F(2x2, 3x3), which suits maps of at most two pixels, 2x2 outputs from 16 instead
of 36. A map goes into the domain where the convolution is one product of
channels per point, and out of it, by two products with constant matrices, one
for its rows and one for its columns. GPU libraries do this by themselves,
TensorFlow on a CPU does not. The result differs from the exact sum by about
3e-6 of its largest value, the direct one by 3e-7.

Shapes: N maps of H x W pixels, C channels, F filters; along an axis T tiles of
P points.
"""

import functools
from typing import NamedTuple, Union

import numpy as np
import tensorflow as tf

# Along an axis; a size that is not known when the graph is made is a tensor.
Size = Union[int, tf.Tensor]


class _Algorithm(NamedTuple):
  """The matrices of the paper's sec. 4 along one axis.

  Attributes:
    tile: outputs.
    into: [P, P] of the inputs.
    kernel: [P, 3] of the kernel.
    out_of: [tile, P] of the outputs.
  """

  tile: int
  into: np.ndarray
  kernel: np.ndarray
  out_of: np.ndarray


_F2 = _Algorithm(
  2,
  np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
  np.array(
    [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]]
  ),
  np.array([[1, 1, 1, 0], [0, 1, -1, -1]]),
)
# The points 0, 1/r, -1/r, r, -r and infinity with r the root of 2: rounding
# errors are a third of those of the paper's 0, 1, -1, 2, -2 (on the choice:
# Barabasz et al. 2018, "Error Analysis and Improving the Accuracy of Winograd
# Convolution").
_R = 2**0.5
_F4 = _Algorithm(
  4,
  np.array(
    [
      [1, 0, -5 / 2, 0, 1, 0],
      [0, -_R, -2, _R / 2, 1, 0],
      [0, _R, -2, -_R / 2, 1, 0],
      [0, -_R / 2, -1 / 2, _R, 1, 0],
      [0, _R / 2, -1 / 2, -_R, 1, 0],
      [0, 1, 0, -5 / 2, 0, 1],
    ]
  ),
  np.array(
    [
      [1, 0, 0],
      [-2 / 3, -_R / 3, -1 / 3],
      [-2 / 3, _R / 3, -1 / 3],
      [1 / 6, _R / 6, 1 / 3],
      [1 / 6, -_R / 6, 1 / 3],
      [0, 0, 1],
    ]
  ),
  np.array(
    [
      [1, 1, 1, 1, 1, 0],
      [0, _R / 2, -_R / 2, _R, -_R, 0],
      [0, 1 / 2, 1 / 2, 2, 2, 0],
      [0, _R / 4, -_R / 4, 2 * _R, -2 * _R, 1],
    ]
  ),
)


class Work(NamedTuple):
  """What one map takes.

  Attributes:
    tiles: of all its parts.
    products: of a channel with a filter; the direct sum has 9 H W.
    transforms: products of a channel, or of a filter, with the matrices.
  """

  tiles: Size
  products: Size
  transforms: Size


def work(height: Size, width: Size, rate: int = 1) -> Work:
  """Returns the work for a map of a size; numbers, or tensors where unknown."""
  tiles = points = 1
  along = []
  for size in (height, width):
    part = -(-size // rate)
    algorithm = _algorithm(part)
    count = -(-part // algorithm.tile)
    tiles, points = tiles * count, points * len(algorithm.into)
    along.append((part, count * len(algorithm.into)))
  (rows, row_points), (columns, _) = along
  products = tiles * points
  transforms = row_points * rows * columns + products * columns
  parts = rate**2
  return Work(parts * tiles, parts * products, parts * transforms)


def conv3x3(inputs, kernel, rate: int = 1, sparing: bool = True) -> tf.Tensor:
  """Convolution at stride 1 with zero padding ('SAME').

  Args:
    inputs: float32 [N, H, W, C]; any of N, H and W may be unknown.
    kernel: float32 [3, 3, C, F].
    rate: dilation; pixels that see each other become a map of their own.
    sparing: see _sparing. Such a gradient has no gradient itself, and does not
      go through a tf.cond in a loop.

  Returns:
    float32 [N, H, W, F].
  """
  convolve = _sparing if sparing else _conv3x3
  if rate == 1:
    return convolve(inputs, kernel)
  _, height, width, _ = sizes(inputs)
  block = [rate, rate]
  more = [[0, -height % rate], [0, -width % rate]]
  maps = convolve(tf.space_to_batch(inputs, block, more), kernel)
  return tf.batch_to_space(maps, block, more)


def _sparing(inputs, kernel):
  """As _conv3x3, with the points of maps and kernel held for a moment only.

  They take 2.25 and 4 times the memory of these: for the gradients they are
  made once more, and those of the kernels not before the layer's turn.
  """
  with tf.control_dependencies([inputs]):
    kernel = tf.identity(kernel)
  return tf.recompute_grad(_conv3x3)(inputs, kernel)


def _conv3x3(inputs, kernel):
  count, height, width, channels = sizes(inputs)
  filters = kernel.shape[-1]
  rows, columns = _axis(height), _axis(width)
  x = tf.reshape(inputs, [count, height, width * channels])
  x = tf.matmul(rows.into, x)
  x = tf.reshape(x, [count * rows.points * rows.tiles, width, channels])
  x = tf.matmul(columns.into, x)
  grid = [rows.points, rows.tiles, columns.points, columns.tiles]
  x = tf.transpose(tf.reshape(x, [count, *grid, channels]), [1, 3, 0, 2, 4, 5])
  points = rows.points * columns.points
  many = count * rows.tiles * columns.tiles
  kernels = np.kron(rows.kernel, columns.kernel).astype(np.float32)
  kernels = tf.matmul(kernels, tf.reshape(kernel, [9, channels * filters]))
  x = tf.matmul(
    tf.reshape(x, [points, many, channels]),
    tf.reshape(kernels, [points, channels, filters]),
  )
  grid = [rows.points, columns.points, count, rows.tiles, columns.tiles]
  x = tf.transpose(tf.reshape(x, [*grid, filters]), [2, 0, 3, 1, 4, 5])
  of_row = columns.points * columns.tiles
  x = tf.reshape(x, [count * rows.points * rows.tiles, of_row, filters])
  x = tf.matmul(columns.out_of, x)
  of_column = rows.points * rows.tiles
  x = tf.matmul(rows.out_of, tf.reshape(x, [count, of_column, width * filters]))
  return tf.reshape(x, [count, height, width, filters])


class _Axis(NamedTuple):
  """Along one axis: its matrices, into [P T, size] and out_of [size, P T]."""

  points: int
  tiles: Size
  kernel: np.ndarray
  into: Union[np.ndarray, tf.Tensor]
  out_of: Union[np.ndarray, tf.Tensor]


def _algorithm(size):
  return _F2 if isinstance(size, int) and size <= _F2.tile else _F4


@functools.lru_cache(maxsize=64)
def _known_axis(size):
  return _make_axis(size, np, np.arange, np.clip, np.take)


def _axis(size):
  if isinstance(size, int):
    return _known_axis(size)
  return _make_axis(size, tf, tf.range, tf.clip_by_value, tf.gather)


def _make_axis(size, lib, arange, clip, take):
  """By numpy or, for a size that is a tensor, TensorFlow."""
  tile, into, kernel, out_of = _algorithm(size)
  points = len(into)
  count = -(-size // tile)
  # Pixel of the map less first pixel of the tile: [size, T].
  offsets = arange(size)[:, None] - tile * arange(count)[None]

  def band(matrix, first):
    """[size, T, P]: the rows of matrix along the diagonal of tiles, else 0."""
    matrix = np.pad(matrix, [(1, 1), (0, 0)]).astype(np.float32)
    at = clip(offsets - first + 1, 0, len(matrix) - 1)
    return take(matrix, at, axis=0)

  # The first input of a tile is one before its first output.
  into = lib.transpose(band(into.T, -1), [2, 1, 0])
  out_of = lib.transpose(band(out_of, 0), [0, 2, 1])
  return _Axis(
    points,
    count,
    kernel,
    lib.reshape(into, [points * count, size]),
    lib.reshape(out_of, [size, points * count]),
  )


def sizes(inputs) -> list[Size]:
  """Returns the sizes of a tensor's axes: numbers where known, else tensors."""
  dynamic = tf.shape(inputs)
  return [
    dynamic[axis] if size is None else size
    for axis, size in enumerate(inputs.shape)
  ]
