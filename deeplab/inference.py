"""Class probabilities of one picture of any size, whole or by windows.

`whole` runs the network once, on the picture padded to at least the window's
size, as in an evaluation. `sliding` runs it on overlapping windows, so that the
network's memory does not grow with the picture, and mixes what they say; where
the picture fits into one window the two are equal. Beyond that they are not:
a cell's surroundings reach further than a window does.

Shapes: H x W pixels, S the window's side, K classes with the background.
"""

from collections.abc import Iterator
from typing import Callable, Optional

import numpy as np
import tensorflow as tf

from deeplab import data
from official_repro.data import batching
from official_repro.data import images as images_lib

WINDOW = 513

Probabilities = Callable[[tf.Tensor], tf.Tensor]


def graph_function(model) -> Probabilities:
  """Returns uint8 [1, H, W, 3] -> float32 [1, H, W, K] as one graph.

  Args:
    model: model.DeepLab.
  """

  @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8)])
  def run(images):
    return model.probabilities(images_lib.normalize(images))

  return run


def whole(run: Probabilities, image, window: int = WINDOW) -> np.ndarray:
  """Returns the probabilities of a picture in one piece.

  Args:
    run: from graph_function.
    image: uint8 [H, W, 3] RGB.
    window: S; a smaller picture is padded to it.

  Returns:
    float32 [H, W, K].

  Raises:
    ValueError: an argument out of range.
  """
  height, width = _checked(image).shape[:2]
  check_window(window)
  padded = _padded(image, window)
  return run(padded[None])[0].numpy()[:height, :width]


def sliding(
  run: Probabilities,
  image,
  window: int = WINDOW,
  overlap: Optional[int] = None,
) -> np.ndarray:
  """As `whole`, window by window; see bands."""
  return np.concatenate([*bands(run, image, window, overlap)])


def labels_of(run: Probabilities, image, mode: str, window, overlap=None):
  """Returns the likeliest classes: uint8 [H, W].

  Args:
    run: from graph_function.
    image: uint8 [H, W, 3] RGB.
    mode: 'whole' or 'sliding'; the latter holds the probabilities of a
      window's height of rows only.
    window, overlap: see bands.
  """
  if mode == 'whole':
    parts = [whole(run, image, window)]
  else:
    parts = bands(run, image, window, overlap)
  return np.concatenate([p.argmax(-1).astype(np.uint8) for p in parts])


def labels_of_batch(model, images, sizes, window: int = WINDOW) -> tf.Tensor:
  """Returns the likeliest classes of a batch of an evaluation.

  A picture gets the same answer in any batch. In one that is larger than the
  window, because one of its pictures is, the others have more padding than
  alone, which would move what is found near their edges; so each is cut to its
  own size, as `whole` pads it, and goes through the network by itself.

  Args:
    model: model.DeepLab.
    images: uint8 [B, H, W, 3], padded, see data.make_dataset.
    sizes: int32 [B, 2], height and width without padding.
    window: S, the batch's least side.

  Returns:
    uint8 [B, H, W]; what it says of padding means nothing.
  """
  number, height, width = tf.unstack(tf.shape(images)[:3])
  large = tf.maximum(height, width) > data.padded_side(window)
  # All pictures at once or one by one: either way a loop over parts of the
  # batch, so that the network is in the graph only once.
  parts = tf.where(large, number, 1)
  share = number // parts

  def labels_of(part):
    pixels, size = part
    sides = data.padded_side(tf.maximum(tf.reduce_max(size, 0), window))
    # A replica's share may be empty and without height.
    bottom, right = tf.unstack(tf.minimum(sides, [height, width]))
    pixels = images_lib.normalize(pixels[:, :bottom, :right])
    rest = [[0, 0], [0, height - bottom], [0, width - right]]
    return tf.pad(model.labels(pixels), rest)

  found = tf.map_fn(
    labels_of,
    (
      tf.reshape(images, [parts, share, height, width, images_lib.CHANNELS]),
      tf.reshape(sizes, [parts, share, 2]),
    ),
    fn_output_signature=tf.TensorSpec([None, None, None], tf.uint8),
    parallel_iterations=1,  # the memory of one part
  )
  return tf.reshape(found, [number, height, width])


def bands(
  run: Probabilities,
  image,
  window: int = WINDOW,
  overlap: Optional[int] = None,
) -> Iterator[np.ndarray]:
  """Yields the probabilities of a picture from top to bottom.

  Windows lie on multiples of the cells' distance, so that all of them have
  their cells on the same pixels. Where they overlap, each counts the less the
  nearer its edge is, so that there is no seam.

  Args:
    run: from graph_function.
    image: uint8 [H, W, 3] RGB.
    window: S, one more than a multiple of 8, from 9.
    overlap: pixels that neighbours share at least; None: a third of S.

  Yields:
    float32 [rows, W, K]; rows add up to H.

  Raises:
    ValueError: an argument out of range.
  """
  height, width = _checked(image).shape[:2]
  overlap = window // 3 if overlap is None else overlap
  check_window(window, overlap)
  if max(height, width) <= window:
    yield whole(run, image, window)
    return
  padded = _padded(image, window)
  tops = starts(padded.shape[0], window, overlap)
  lefts = starts(padded.shape[1], window, overlap)
  weight = _weight(window)
  rest = 0.0, 0.0  # What earlier rows of windows have said of these pixels.
  for top, following in zip(tops, [*tops[1:], padded.shape[0]]):
    found = _row(run, padded, top, lefts, window, weight)
    sums, weights = (new + old for new, old in zip(found, rest))
    done = following - top
    kept = max(0, min(done, height - top))
    if kept:
      yield (sums[:kept] / weights[:kept])[:, :width]
    rest = _moved_up(sums, done), _moved_up(weights, done)


def check_window(window: int, overlap: Optional[int] = None) -> None:
  """Raises ValueError for a window or an overlap out of range; see bands."""
  if window <= data.STRIDE or (window - 1) % data.STRIDE:
    raise ValueError(
      f'The window is {window} pixels; it must be one more than a multiple of '
      f'{data.STRIDE}, such as {WINDOW}.'
    )
  if not 0 <= (overlap or 0) <= window - data.STRIDE:
    raise ValueError(
      f'The overlap is {overlap} pixels; with a window of {window} it must be '
      f'from 0 to {window - data.STRIDE}.'
    )


def starts(side: int, window: int, overlap: int) -> list[int]:
  """Returns where windows begin along a side: multiples of 8.

  The last window ends with the side.

  Args:
    side: pixels, one more than a multiple of 8, at least `window`.
    window, overlap: see bands.
  """
  step = (window - overlap) // data.STRIDE * data.STRIDE
  last = side - window
  return [*range(0, last, step), last]


def _row(run, padded, top, lefts, window, weight):
  """Sum of a row of windows, [S, W', K], and of their weights, [S, W', 1]."""
  sums, weights = None, np.zeros((window, padded.shape[1], 1), np.float32)
  for left in lefts:
    part = padded[top : top + window, left : left + window]
    found = run(part[None])[0].numpy()
    if sums is None:
      shape = (window, padded.shape[1], found.shape[-1])
      sums = np.zeros(shape, np.float32)
    sums[:, left : left + window] += found * weight
    weights[:, left : left + window] += weight
  return sums, weights


def _moved_up(rows, count):
  moved = np.zeros_like(rows)
  moved[: len(rows) - count] = rows[count:]
  return moved


def _weight(window):
  """Largest in the middle, smallest but not 0 at the edge: [S, S, 1]."""
  line = np.arange(window)
  line = (1 + np.minimum(line, line[::-1])).astype(np.float32) / window
  return (line[:, None] * line)[..., None]


def _padded(image, window):
  """Pads at the bottom and right to at least S x S and whole cells."""
  height, width = image.shape[:2]
  sides = [int(data.padded_side(max(n, window))) for n in (height, width)]
  more = (0, sides[0] - height), (0, sides[1] - width), (0, 0)
  return np.pad(image, more, constant_values=batching.PADDING)


def _checked(image):
  if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
    raise ValueError(
      f'A picture is uint8 [H, W, 3], got {image.dtype} of shape {image.shape}.'
    )
  if not image.size:
    raise ValueError(f'The picture has no pixel, its shape is {image.shape}.')
  return image
