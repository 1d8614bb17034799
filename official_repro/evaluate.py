"""The numbers of one evaluation, gathered batch by batch on the host."""

from official_repro import metrics as metrics_lib


class Evaluation:
  """mAP@k, top-1, top-5 and the mean loss over a split.

  Args:
    num_classes: C.
    top_k: the k of mAP@k.
    class_weights: [C] weights of the classes' AP.
  """

  def __init__(self, num_classes, top_k, class_weights):
    self._k = top_k
    self._map = metrics_lib.MeanAveragePrecisionAtK(
      num_classes, top_k, class_weights
    )
    self._top1 = metrics_lib.TopKAccuracy(1)
    self._top5 = metrics_lib.TopKAccuracy(5)
    self._loss, self._images = 0.0, 0

  def add(self, labels, scores, mean_loss):
    """Adds one batch.

    Args:
      labels: [B, L] int ids padded with -1; B may be 0.
      scores: [B, C] float, higher is likelier.
      mean_loss: mean over the batch's images.
    """
    if not len(labels):  # a replica's share of the last batch may be empty
      return
    for metric in (self._map, self._top1, self._top5):
      metric.update_state(labels, scores)
    self._loss += mean_loss * len(labels)
    self._images += len(labels)

  def result(self):
    """Returns {name: float}.

    Raises:
      ValueError: there was no image.
    """
    if not self._images:
      raise ValueError('The evaluation split gave no picture.')
    return {
      f'mAP@{self._k}': float(self._map.result()),
      'top1': float(self._top1.result()),
      'top5': float(self._top5.result()),
      'loss': self._loss / self._images,
    }
