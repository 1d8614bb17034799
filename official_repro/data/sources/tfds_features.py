"""Which features of a TensorFlow Datasets set hold picture, labels, objects."""

from collections.abc import Mapping
from typing import NamedTuple, Optional

import numpy as np

# Of several features of a kind, these are the ones that TFDS's own sets mean.
_IMAGES = ('image',)
_LABELS = ('label', 'labels')
_OBJECTS = ('objects', 'bobjects')
_BOX_LABELS = ('label', 'type')
# Other corners or pixels would be wrong boxes without a word.
_BOX_FORMAT = 'REL_YXYX'


class Keys(NamedTuple):
  """Which features hold what.

  Attributes:
    image: key of the picture.
    label: key of its label or labels; None where there are objects.
    objects: key of its objects, or None.
    box_label: key of an object's label, or None.
    names: list of names of the categories.
  """

  image: str
  label: Optional[str]
  objects: Optional[str]
  box_label: Optional[str]
  names: list


def keys(features: Mapping, supervised, folder) -> Keys:
  """Returns which features hold what.

  Args:
    features: {key: feature}, in any order.
    supervised: TFDS's (key of the input, key of the target), or None.
    folder: for messages.

  Raises:
    ValueError: there are none, or it is not clear which, or of a kind that
      cannot be read.
  """
  import tensorflow_datasets as tfds

  f = tfds.features
  images = [k for k, v in features.items() if isinstance(v, f.Image)]
  labels = {k: c for k, v in features.items() if (c := _class_label(v))}
  objects = [k for k, v in features.items() if _has_boxes(v)]
  if not images or not (labels or objects):
    raise ValueError(
      f'{folder} has no picture with a class label or with labelled boxes; '
      f'its features are {", ".join(sorted(features))}.'
    )
  meant = supervised if supervised and len(supervised) == 2 else ()
  image = _one_of(images, (*meant[:1], *_IMAGES), 'pictures', folder)
  if np.dtype(features[image].np_dtype) not in (np.uint8, np.uint16):
    raise ValueError(
      f'{folder}: picture {image!r} is of {features[image].np_dtype}; only '
      'uint8 and uint16 are pictures that a file can hold.'
    )
  if not objects:
    label = _one_of(labels, (*meant[1:], *_LABELS), 'labels', folder)
    return Keys(image, label, None, None, _names(labels[label]))
  # The boxes' label space is the one that their labels count in.
  key = _one_of(objects, _OBJECTS, 'lists of objects', folder)
  parts = dict(features[key].feature.items())
  found = {k: c for k, v in parts.items() if (c := _class_label(v))}
  box_label = _one_of(found, _BOX_LABELS, "objects' labels", folder)
  _check_box_format(parts['bbox'], folder)
  return Keys(image, None, key, box_label, _names(found[box_label]))


def _class_label(feature):
  """Returns the ClassLabel of one label or a sequence of them, else None."""
  import tensorflow_datasets as tfds

  if isinstance(feature, tfds.features.Sequence):
    feature = feature.feature
  is_label = isinstance(feature, tfds.features.ClassLabel)
  return feature if is_label else None


def _has_boxes(feature):
  """Whether a feature is a sequence of labelled boxes."""
  import tensorflow_datasets as tfds

  f = tfds.features
  if not isinstance(feature, f.Sequence):
    return False
  if not isinstance(feature.feature, f.FeaturesDict):
    return False
  parts = dict(feature.feature.items())
  return isinstance(parts.get('bbox'), f.BBoxFeature) and any(
    map(_class_label, parts.values())
  )


def _one_of(found, usual, what, folder):
  """Returns the only or the usual one of some keys."""
  if len(found) == 1:
    return next(iter(found))
  for key in usual:
    if isinstance(key, str) and key in found:
      return key
  raise ValueError(
    f'{folder} has several {what} ({", ".join(sorted(found))}), and none of '
    f'them is called {" or ".join(map(str, usual))}: which to take is not '
    'clear.'
  )


def _check_box_format(feature, folder):
  # Older versions have the one format only, and do not write it down.
  kind = getattr(feature, 'bbox_format', None)
  kind = getattr(kind, 'name', kind)
  if kind not in (None, _BOX_FORMAT):
    raise ValueError(
      f'{folder} has boxes in the format {kind}; only {_BOX_FORMAT} can be '
      'read.'
    )


def _names(feature):
  return feature.names or [str(i) for i in range(feature.num_classes)]
