"""Features of pictures by a trained classifier, in any process."""

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from official_repro import trained


@functools.lru_cache(maxsize=1)
def load(model_dir: str) -> trained.TrainedClassifier:
  """Loads a classifier once per process; errors as `trained.load`."""
  return trained.load(model_dir)


def features(encoded: Sequence[bytes], model_dir: str) -> np.ndarray:
  """Returns what the last layer of a network sees of some pictures.

  Args:
    encoded: N JPEG or PNG files.
    model_dir: folder of a classification run.

  Returns:
    float32 [N, F].

  Raises:
    ValueError: as `trained.load`.
  """
  classifier = load(model_dir)
  images = tf.stack([classifier.decode(tf.constant(e)) for e in encoded])
  return classifier(images, top=1)['features'].numpy()
