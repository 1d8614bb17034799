"""What a model that never looks at the picture reaches: the label prior."""

import numpy as np

from official_repro import metrics
from official_repro.data import records


def label_prior(data_dir: str, split: str = 'train') -> np.ndarray:
  """Returns the share of the split's images that have each label.

  Args:
    data_dir: a data folder.
    split: its training split; labels after hierarchy fill-in count.

  Returns:
    float32 [C].
  """
  dataset = records.Dataset.load(data_dir)
  counts = np.zeros(dataset.hierarchy.num_classes, np.int64)
  images = 0
  for record in records.iterate_records(data_dir, split):
    ids = records.decode_example(record).label_ids
    counts[np.unique(np.asarray(ids, np.int64))] += 1
    images += 1
  return (counts / max(images, 1)).astype(np.float32)


def prior_mean_average_precision(
  data_dir: str, split: str = 'validation', k: int = 100
) -> float:
  """Returns mAP@k of predicting `label_prior` for every image.

  Args:
    data_dir: a data folder with the splits `train` and `split`.
    split: the evaluation split.
    k: predictions an image, the most common labels.
  """
  dataset = records.Dataset.load(data_dir)
  prior = label_prior(data_dir)
  metric = metrics.MeanAveragePrecisionAtK(
    dataset.hierarchy.num_classes, k, dataset.hierarchy.weights
  )
  for record in records.iterate_records(data_dir, split):
    ids = records.decode_example(record).label_ids
    metric.update_state(np.asarray([ids], np.int32), prior[None])
  return float(metric.result())
