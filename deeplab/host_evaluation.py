"""What an evaluation gathers on the host, and the file that it leaves.

Batches come as numpy arrays, padded; the padding is cut off here, so that each
picture counts with its own pixels.
"""

import os

import numpy as np

from deeplab import evaluate, label_space

# Of data.make_dataset, and of the model: the classes of all pixels, padded
# ones included.
TRUE = ('image_size', 'mask')
FOUND = ('labels',)


class HostEvaluation:
  """Mean and per-class IoU over a split.

  Args:
    labels: the classes.
  """

  def __init__(self, labels: label_space.LabelSpace):
    self._names = list(labels.names)
    self._matrix = evaluate.ConfusionMatrix(
      labels.num_classes, label_space.IGNORE
    )

  def add(self, batch: dict) -> None:
    """Adds one replica's share of a batch, which may be empty.

    Args:
      batch: arrays under the names of TRUE and, with 'found_' before them, of
        FOUND: image_size int [B, 2], mask uint8 [B, H, W] and found_labels int
        [B, H, W].

    Raises:
      ValueError: the shapes do not agree, or a value is no class.
    """
    for size, mask, labels in zip(
      batch['image_size'], batch['mask'], batch['found_labels']
    ):
      if mask.shape != labels.shape:
        raise ValueError(
          f'A mask of {mask.shape} pixels (height, width) was given a '
          f'prediction of {labels.shape}; they must be equal.'
        )
      height, width = map(int, size)
      self._matrix.update(
        np.asarray(mask)[:height, :width], np.asarray(labels)[:height, :width]
      )

  def metrics(self) -> dict:
    """Returns {'mIoU': float, 'pixel_accuracy': float}, see evaluate.

    Raises:
      ValueError: no pixel, or none whose mask is not 255.
    """
    return {
      'mIoU': self._matrix.mean_iou(),
      'pixel_accuracy': self._matrix.pixel_accuracy(),
    }

  def per_class(self) -> list:
    """Returns a dict per class, see evaluate.ConfusionMatrix.per_class.

    Raises:
      ValueError: as metrics().
    """
    return self._matrix.per_class(self._names)

  def save(self, folder: str, split: str) -> None:
    """Writes classes-SPLIT.txt; that of an earlier evaluation is replaced."""
    table = evaluate.format_table(self.per_class())
    path = os.path.join(folder, f'classes-{split}.txt')
    with open(path + '.tmp', 'w', encoding='utf-8') as f:
      f.write(table + '\n')
    os.replace(path + '.tmp', path)
