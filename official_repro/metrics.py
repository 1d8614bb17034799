"""Metrics of classification, streamed over batches on the host (NumPy).

Shapes: B images, C classes, L label slots of an image (padded with -1).
"""

from typing import Optional

import numpy as np

# Images whose scores are worked on at once: bounds the scratch memory, and
# 128 x 6,000 float32 scores still fit into a processor's cache.
_CHUNK = 128
# Classes in a group where the k-th highest score is looked for.
_GROUP = 16


class MeanAveragePrecisionAtK:
  """Class-weighted mean average precision over each image's top k.

  The metric of FastEval14k (Sun et al. 2017, sec. 3.2). An image predicts the k
  classes with its highest scores and nothing else. For each class the images
  that predict it are ranked by their score of that class:

    AP = sum over its true images among them of the precision at their rank
         / number of ALL its true images.

  So a true image that does not predict the class counts as a miss. Classes
  without a true image are left out; the mean over the rest is weighted.

  Ties: equal scores within an image are cut at k in the order of the class ids
  (as `tf.math.top_k`); equal scores of a class in several images share one
  rank, the last of them (as scikit-learn's `average_precision_score`, with
  which this agrees where k covers all classes).

  Memory: 8 bytes for each (class, score, is true) triple, that is 8 * k for an
  image (14,000 images at k = 100: 11 MB), and as much again for the result.

  Args:
    num_classes: C.
    k: predictions kept of each image; more than C means C.
    class_weights: optional [C], >= 0, e.g. `Hierarchy.weights`; without it all
      classes weigh the same.
    name: default `map_at_K`.

  Raises:
    ValueError: sizes or weights out of range.
  """

  def __init__(
    self,
    num_classes: int,
    k: int = 100,
    class_weights=None,
    name: Optional[str] = None,
  ):
    if num_classes < 1 or k < 1:
      raise ValueError(
        'MeanAveragePrecisionAtK wants num_classes and k of at least 1, got '
        f'num_classes={num_classes}, k={k}.'
      )
    self.num_classes = int(num_classes)
    self.k = min(int(k), self.num_classes)
    self.name = name or f'map_at_{int(k)}'
    self.class_weights = _check_weights(class_weights, self.num_classes)
    self.reset_state()

  def reset_state(self) -> None:
    """Forgets all images."""
    self._positives = np.zeros(self.num_classes, np.int64)
    self._keys = []

  reset_states = reset_state

  def update_state(self, label_ids, scores) -> None:
    """Adds a batch of images.

    Args:
      label_ids: [B, L] integer ids in [0, C), negative = padding; repeats count
        once.
      scores: [B, C] float logits or probabilities, higher = more likely; kept
        in float32.

    Raises:
      ValueError: shapes that do not fit, an id out of range, a score that is
        NaN.
    """
    label_ids, scores = _check_batch(label_ids, scores, self.num_classes)
    for start in range(0, len(scores), _CHUNK):
      part = slice(start, start + _CHUNK)
      self._update(label_ids[part], scores[part])

  def _update(self, label_ids, scores):
    classes = top_k(scores, self.k)
    rows, slots = np.nonzero(label_ids >= 0)
    true = np.unique(rows * self.num_classes + label_ids[rows, slots])
    truth = np.zeros(scores.shape, bool)
    truth.ravel()[true] = True
    self._positives += np.bincount(
      true % self.num_classes, minlength=self.num_classes
    )
    self._keys.append(
      _pack(
        classes,
        np.take_along_axis(scores, classes, axis=1),
        np.take_along_axis(truth, classes, axis=1),
      )
    )

  def merge(self, other: 'MeanAveragePrecisionAtK') -> None:
    """Adds the images of another metric, e.g. of another worker (picklable).

    Raises:
      ValueError: the two do not measure the same.
    """
    if (self.num_classes, self.k) != (other.num_classes, other.k):
      raise ValueError(
        'Metrics to merge differ: '
        f'num_classes={self.num_classes}, k={self.k} against '
        f'num_classes={other.num_classes}, k={other.k}.'
      )
    if not np.array_equal(self.class_weights, other.class_weights):
      raise ValueError('Metrics to merge have different class_weights.')
    self._positives += other._positives
    self._keys.extend(other._keys)

  def per_class(self) -> np.ndarray:
    """Returns [C] float64 average precisions, NaN without a true image."""
    sums = _precision_sums(self._keys, self.num_classes)
    with np.errstate(invalid='ignore'):
      # No true image means no hit: 0 / 0.
      return sums / self._positives

  def result(self) -> float:
    """Returns the weighted mean; NaN when no weighted class has an image."""
    present = self._positives > 0
    weights = self.class_weights * present
    if not weights.any():
      return float('nan')
    precisions = np.where(present, self.per_class(), 0)
    return float(np.average(precisions, weights=weights))


class TopKAccuracy:
  """Share of images with any of their labels among the k highest scores.

  With one label per image the usual top-1 and top-5 accuracy. Equal scores rank
  in the order of the class ids, so that a constant output gets chance, not 1.
  Images without a label are left out.

  Args:
    k: at least 1; more than C makes every image right.
    name: default `top_K_accuracy`.

  Raises:
    ValueError: k below 1.
  """

  def __init__(self, k: int, name: Optional[str] = None):
    if k < 1:
      raise ValueError(f'TopKAccuracy wants k of at least 1, got {k}.')
    self.k = int(k)
    self.name = name or f'top_{self.k}_accuracy'
    self.reset_state()

  def reset_state(self) -> None:
    """Forgets all images."""
    self._right = 0
    self._images = 0

  reset_states = reset_state

  def update_state(self, label_ids, scores) -> None:
    """Adds a batch; arguments and errors of MeanAveragePrecisionAtK."""
    label_ids, scores = _check_batch(label_ids, scores)
    labelled = (label_ids >= 0).any(axis=1)
    label_ids, scores = label_ids[labelled], scores[labelled]
    if not len(scores):
      return
    at_labels = np.take_along_axis(scores, np.maximum(label_ids, 0), axis=1)
    at_labels = np.where(label_ids >= 0, at_labels, -np.inf)
    best = at_labels.max(axis=1, keepdims=True)
    # Of several labels with the best score, the first in rank.
    candidates = (label_ids >= 0) & (at_labels == best)
    first = np.where(candidates, label_ids, scores.shape[1]).min(axis=1)
    before = np.arange(scores.shape[1]) < first[:, None]
    rank = ((scores > best) | ((scores == best) & before)).sum(axis=1)
    self._right += int((rank < self.k).sum())
    self._images += len(scores)

  def merge(self, other: 'TopKAccuracy') -> None:
    """Adds the images of another metric.

    Raises:
      ValueError: another k.
    """
    if self.k != other.k:
      raise ValueError(
        f'Metrics to merge differ: k={self.k} against k={other.k}.'
      )
    self._right += other._right
    self._images += other._images

  def result(self) -> float:
    """Returns the share in [0, 1]; NaN without any labelled image."""
    return self._right / self._images if self._images else float('nan')


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
  """Finds the k highest scores of each row.

  Args:
    scores: [B, C] float without NaN.
    k: in [1, C].

  Returns:
    [B, k] ids, ascending; of equal scores at the cut the lower ids.
  """
  if scores.shape[1] // _GROUP < k:
    return _top_k_by_partition(scores, k)
  few, classes = _thin_out(scores, k)
  return np.take_along_axis(classes, _top_k_by_partition(few, k), axis=1)


def _top_k_by_partition(scores, k):
  images, num_classes = scores.shape
  first = num_classes - k
  cut = np.partition(scores, first, axis=1)[:, first, None]
  chosen = scores >= cut
  for row in np.flatnonzero(chosen.sum(axis=1) > k):
    ties = np.flatnonzero(scores[row] == cut[row])
    above = int((scores[row] > cut[row]).sum())
    chosen[row, ties[k - above :]] = False
  return (np.flatnonzero(chosen) % num_classes).reshape(images, k)


def _thin_out(scores, k):
  """Finds the few classes of each row that can be among its k highest.

  The k-th highest maximum of a group of classes is a lower bound of the k-th
  highest score, found without ordering all classes.

  Returns:
    few: [B, W] their scores, W >= k, padded with -inf at the end.
    classes: [B, W] their ids, ascending.
  """
  images, num_classes = scores.shape
  groups = num_classes // _GROUP
  # Group g holds the classes g, g + groups, ...; a rest belongs to none.
  grouped = scores[:, : groups * _GROUP].reshape(images, _GROUP, groups)
  bound = np.partition(grouped.max(axis=1), groups - k, axis=1)[:, groups - k]
  flat = np.flatnonzero(scores >= bound[:, None])
  rows = flat // num_classes
  counts = np.bincount(rows, minlength=images)
  columns = np.arange(len(flat)) - np.repeat(np.cumsum(counts) - counts, counts)
  shape = images, counts.max(initial=k)
  few = np.full(shape, -np.inf, np.float32)
  classes = np.zeros(shape, np.int64)
  few[rows, columns] = scores.ravel()[flat]
  classes[rows, columns] = flat - rows * num_classes
  return few, classes


def _check_weights(weights, num_classes):
  if weights is None:
    return np.ones(num_classes)
  weights = np.asarray(weights, np.float64)
  if weights.shape != (num_classes,):
    raise ValueError(
      f'class_weights must have shape ({num_classes},), got {weights.shape}.'
    )
  if not (np.isfinite(weights).all() and (weights >= 0).all()):
    raise ValueError(
      'class_weights must be finite and not negative, got '
      f'{weights.min()} to {weights.max()}.'
    )
  return weights


def _check_batch(label_ids, scores, num_classes=None):
  """Returns label_ids and float32 scores as arrays that fit each other."""
  label_ids = np.asarray(label_ids)
  scores = np.asarray(scores)
  if scores.ndim != 2 or num_classes not in (None, scores.shape[1]):
    raise ValueError(
      f'scores must have shape [images, {num_classes or "classes"}], got '
      f'{list(scores.shape)}.'
    )
  if label_ids.ndim != 2 or len(label_ids) != len(scores):
    raise ValueError(
      f'label_ids must have shape [{len(scores)}, labels] beside the scores, '
      f'got {list(label_ids.shape)}.'
    )
  if label_ids.size and label_ids.max() >= scores.shape[1]:
    raise ValueError(
      f'label_ids holds {label_ids.max()}, but there are only '
      f'{scores.shape[1]} classes: check the label space of the data.'
    )
  scores = scores.astype(np.float32, copy=False)
  # Any NaN makes the sum NaN; so do two infinities, hence the second look.
  with np.errstate(invalid='ignore', over='ignore'):
    bad = np.flatnonzero(np.isnan(scores.sum(axis=1)))
  bad = bad[np.isnan(scores[bad]).any(axis=1)]
  if bad.size:
    raise ValueError(
      f'scores of image {bad[0]} of the batch hold NaN: the model has diverged.'
    )
  return label_ids, scores


def _pack(classes, scores, hits):
  """Packs triples into integers that sort by class, then score descending.

  Bits: class (31), score as an ordered integer, inverted (32), is true (1).
  """
  # + 0.0 turns -0.0 into 0.0, which is the same score.
  bits = (scores + np.float32(0)).view(np.uint32)
  negative = (bits >> np.uint32(31)).astype(bool)
  # Floats of one sign are ordered as their bits are; negative ones backwards.
  descending = np.where(negative, bits, bits ^ np.uint32(0x7FFFFFFF))
  return (
    (classes.astype(np.uint64) << np.uint64(33))
    | (descending.astype(np.uint64) << np.uint64(1))
    | hits.astype(np.uint64)
  ).ravel()


def _precision_sums(keys, num_classes):
  """Sum of the precisions at the true predictions, of each class [C]."""
  if not keys:
    return np.zeros(num_classes)
  keys = np.concatenate(keys)
  keys.sort()
  ranks = keys >> np.uint64(1)
  hits = np.flatnonzero(keys & np.uint64(1))
  classes = (keys[hits] >> np.uint64(33)).astype(np.int64)
  first_keys = np.arange(num_classes, dtype=np.uint64) << np.uint64(33)
  starts = np.searchsorted(keys, first_keys)
  # A rank ends where class or score change; all its images share it.
  ends = np.searchsorted(ranks, ranks[hits], side='right')
  hits_before = np.searchsorted(hits, starts)
  hits_of_rank = np.searchsorted(hits, ends) - hits_before[classes]
  precision = hits_of_rank / (ends - starts[classes])
  return np.bincount(classes, precision, minlength=num_classes)
