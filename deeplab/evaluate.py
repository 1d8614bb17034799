"""Intersection over union, from a confusion matrix gathered picture by picture.

Glossary: C classes with the background. No TensorFlow.
"""

from collections.abc import Sequence
from typing import Optional

import numpy as np

from deeplab.label_space import IGNORE

_VALUES = 256  # of a mask's pixel
# Pixels; where runs are shorter, they cost more than they save.
_WORTH_OF_A_RUN = 4


class ConfusionMatrix:
  """How often each class was taken for which, over all pixels of a set.

  Masks consist of patches, so neighbours in a row mostly have the same truth
  and the same prediction: whole runs of pixels are counted at once.

  Args:
    num_classes: C, at most 256.
    ignore: truth of the pixels that do not count; None: all count.

  Attributes:
    matrix: int64 [C, C], pixels; rows are the truth, columns the prediction.
    ignored: pixels that did not count.

  Raises:
    ValueError: an argument out of range.
  """

  def __init__(self, num_classes: int, ignore: Optional[int] = IGNORE):
    if not 1 <= num_classes <= _VALUES:
      raise ValueError(
        f'ConfusionMatrix needs 1 to {_VALUES} classes, got {num_classes}.'
      )
    if ignore is not None and not 0 <= ignore < _VALUES:
      raise ValueError(
        f'ConfusionMatrix needs ignore from 0 to {_VALUES - 1} or None, got '
        f'{ignore}.'
      )
    self.num_classes, self.ignore = int(num_classes), ignore
    self.matrix = np.zeros((num_classes, num_classes), np.int64)
    self.ignored = 0
    # Two places more, for what is ignored and for what is no class.
    self._place = np.full(_VALUES, num_classes + 1)
    self._place[:num_classes] = np.arange(num_classes)
    self._row = self._place.copy()
    if ignore is not None:
      self._row[ignore] = num_classes
    self._row *= num_classes + 2

  def update(self, truth, prediction) -> None:
    """Adds one picture, or several.

    Args:
      truth: integers of any shape, classes or `ignore`.
      prediction: integers of that shape, classes; anything from 0 to 255
        where the truth is `ignore`.

    Raises:
      ValueError: shapes differ, or a value is no class.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape:
      raise ValueError(
        f'The truth has the shape {truth.shape}, the prediction '
        f'{prediction.shape}; they must be equal.'
      )
    rows, columns, counts = _counted(
      _bytes('truth', truth), _bytes('prediction', prediction)
    )
    n = self.num_classes
    cells = self._row[rows] + self._place[columns]
    pixels = np.bincount(cells, counts, (n + 2) ** 2).astype(np.int64)
    pixels = pixels.reshape(n + 2, n + 2)
    if pixels[n + 1].any() or pixels[:n, n + 1].any():
      self._refuse(rows, columns)
    self.matrix += pixels[:n, :n]
    self.ignored += int(pixels[n].sum())

  def _refuse(self, rows, columns):
    """Tells which pixel is wrong; one of them is."""
    kept = np.ones(len(rows), bool)
    but = ''
    if self.ignore is not None:
      kept, but = rows != self.ignore, f' and not {self.ignore} (ignored)'
    what, counted = 'truth', rows[kept]
    if counted.max() < self.num_classes:
      what, counted, but = 'prediction', columns[kept], ''
    raise ValueError(
      f'A pixel of the {what} has the value {counted.max()}, above the classes '
      f'0..{self.num_classes - 1}{but}.'
    )

  def merge(self, other: 'ConfusionMatrix') -> None:
    """Adds the pixels of another matrix.

    Raises:
      ValueError: it has other classes or ignores another value.
    """
    mine = self.num_classes, self.ignore
    if mine != (other.num_classes, other.ignore):
      raise ValueError(
        'Confusion matrices can be merged if classes and ignored value are '
        f'equal, got {mine} and {(other.num_classes, other.ignore)}.'
      )
    self.matrix += other.matrix
    self.ignored += other.ignored

  def iou(self) -> np.ndarray:
    """Returns intersection over union: float64 [C], NaN for absent classes.

    A class is absent if no pixel that counts has it, in truth or prediction.

    Raises:
      ValueError: there is no pixel that counts.
    """
    self._need_pixels()
    both = np.diag(self.matrix)
    union = self.matrix.sum(0) + self.matrix.sum(1) - both
    return np.where(union > 0, both / np.maximum(union, 1), np.nan)

  def mean_iou(self) -> float:
    """Returns the mean of `iou` over the classes that are not absent.

    The development kit of PASCAL VOC takes the mean over all of its classes. A
    class that no truth has but some prediction has counts there, with 0, and
    here alike. A class that neither has is 0 / 0 in the kit, whose mean is
    then no number at all; here that class is left out. So this is the kit's
    number wherever the kit has one: every class of VOC's own sets is there.

    Raises:
      ValueError: there is no pixel that counts.
    """
    return float(np.nanmean(self.iou()))

  def pixel_accuracy(self) -> float:
    """Returns the share of the pixels that are right.

    Raises:
      ValueError: there is no pixel that counts.
    """
    self._need_pixels()
    return float(np.trace(self.matrix) / self.matrix.sum())

  def _need_pixels(self):
    if self.matrix.any():
      return
    if not self.ignored:
      raise ValueError('The evaluation has seen no pixel: the set is empty.')
    raise ValueError(
      f'All {self.ignored:,} pixels of the evaluation set have the mask value '
      f'{self.ignore} (ignored): there is no truth to compare with. Evaluate '
      'on a split with labelled masks.'
    )

  def per_class(self, names: Sequence[str]) -> list[dict]:
    """Returns a dict per class: name, mask value, IoU and pixels.

    Args:
      names: [C], the background first.

    Raises:
      ValueError: another number of names, or no pixel that counts.
    """
    if len(names) != self.num_classes:
      raise ValueError(
        f'{self.num_classes} classes need as many names, got {len(names)}.'
      )
    return [
      {
        'name': name,
        'class': i,
        'IoU': float(value),
        'true_pixels': int(self.matrix[i].sum()),
        'predicted_pixels': int(self.matrix[:, i].sum()),
      }
      for i, (name, value) in enumerate(zip(names, self.iou()))
    ]


def _bytes(what, values):
  """Returns integers as uint8, flat.

  Raises:
    ValueError: no integers, or some that no mask can hold.
  """
  if not np.issubdtype(values.dtype, np.integer):
    raise ValueError(
      f'The {what} must be integers (class indices), got {values.dtype}.'
    )
  values = values.reshape(-1)
  if values.dtype != np.uint8:
    low, high = values.min(initial=0), values.max(initial=0)
    if low < 0 or high >= _VALUES:
      raise ValueError(
        f'A pixel of the {what} has the value {low if low < 0 else high}, '
        f'outside 0..{_VALUES - 1}.'
      )
    values = values.astype(np.uint8)
  return values


def _counted(truth, prediction):
  """Counts pixels that are equal in both.

  Args:
    truth, prediction: uint8 [N].

  Returns:
    truth [P], prediction [P] and int64 [P]: of how many of the N pixels. A pair
    may occur more than once.
  """
  changes = truth[1:] != truth[:-1]
  changes |= prediction[1:] != prediction[:-1]
  if np.count_nonzero(changes) * _WORTH_OF_A_RUN > len(truth):
    counts = np.bincount((truth.astype(np.uint16) << 8) | prediction)
    found = np.flatnonzero(counts)
    return found >> 8, found & 255, counts[found]
  # The last pixel of each run.
  ends = np.append(np.flatnonzero(changes), len(truth) - 1)[: len(truth)]
  return truth[ends], prediction[ends], np.diff(ends, prepend=-1)


def format_table(rows: Sequence[dict]) -> str:
  """Returns the rows of `per_class` as aligned text, IoU in percent.

  A dash stands for the IoU of an absent class.
  """
  keys = list(rows[0])

  def cell(key, value):
    if key != 'IoU':
      return str(value)
    return '-' if np.isnan(value) else f'{100 * value:.1f}'

  lines = [keys, *([cell(k, row[k]) for k in keys] for row in rows)]
  widths = [max(map(len, column)) for column in zip(*lines)]
  return '\n'.join(
    '  '.join(
      [line[0].ljust(widths[0])]
      + [text.rjust(width) for text, width in zip(line[1:], widths[1:])]
    )
    for line in lines
  )
