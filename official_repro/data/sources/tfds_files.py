"""TensorFlow Datasets sets that are on disk, as a source.

The records are found by their lengths, without parsing them; each is read by
itself, so that many workers can share the work. The encoded pictures pass
through unchanged.
"""

import functools
import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Optional

import numpy as np

from official_repro.data import examples, records
from official_repro.data import hierarchy as hierarchy_lib
from official_repro.data.sources import source

_INFO = 'dataset_info.json'
_CROWD_KEYS = ('is_crowd', 'is_difficult')
_NAME = re.compile(r'[\w/]+(:[\d.]+)?')


class TfdsSource:
  """A classification or detection set in TFDS's folder layout.

  Nothing is downloaded: the set must have been prepared, as TFRecord files.
  The labels are those of its ClassLabel feature (one or a sequence), or the
  set of the labels of its boxes. A record's source id is its split and number.

  Args:
    name: 'NAME', 'NAME/CONFIG', with ':VERSION' where it is not the newest.
    data_dir: TFDS's data folder; None: $TFDS_DATA_DIR or
      ~/tensorflow_datasets.
    splits: splits to take; None: all.

  Raises:
    FileNotFoundError: the set is not there.
    ValueError: it has no picture or label, another file format, or no such
      split.
  """

  def __init__(
    self,
    name: str,
    data_dir=None,
    splits: Optional[Sequence[str]] = None,
  ):
    folder = _find(name, data_dir)
    builder = _builder(str(folder))
    self.name = name.partition(':')[0].replace('/', '_')
    if builder.info.file_format.value != 'tfrecord':
      raise ValueError(
        f'{folder} is in the format {builder.info.file_format.value}; only '
        'tfrecord can be read: prepare it with file_format="tfrecord".'
      )
    keys = _keys(builder.info.features, folder)
    found = builder.info.splits
    for split in splits or ():
      if split not in found:
        raise ValueError(
          f'{folder} has no split {split!r}; it has {", ".join(found)}.'
        )
    self._paths = {
      split: sorted(map(str, found[split].filepaths))
      for split in splits or found
      if found[split].num_examples
    }
    self.sizes = {s: found[s].num_examples for s in self._paths}
    self.hierarchy = hierarchy_lib.Hierarchy.flat(_names(keys['class']))
    self.has_objects = keys['objects'] is not None
    self.options = {
      'name': builder.info.full_name,
      'splits': list(self._paths),
    }
    self.reader = functools.partial(_read, str(folder))

  def items(self) -> Iterator[source.Item]:
    """Yields the records in the order of the files."""
    for split, paths in self._paths.items():
      index = 0
      for path in paths:
        for offset in _offsets(path):
          source_id = f'{split}/{index:09d}'
          yield source.Item(split, source_id, (os.path.basename(path), offset))
          index += 1


def _find(name, data_dir):
  """Returns the folder of the set's newest or given version."""
  if not _NAME.fullmatch(name):
    raise ValueError(
      f'--source=tfds:{name} is no name of a set; write '
      'tfds:NAME[/CONFIG][:VERSION].'
    )
  path, _, version = name.partition(':')
  root = pathlib.Path(
    data_dir
    or os.environ.get('TFDS_DATA_DIR')
    or pathlib.Path.home() / 'tensorflow_datasets'
  )
  folders = sorted((root / path).glob(f'*/{_INFO}'), key=_version)
  if version:
    folders = [f for f in folders if f.parent.name == version]
  if not folders:
    raise FileNotFoundError(
      f'There is no prepared set {name!r} in {root}: name its folder with '
      '--tfds_dir, or prepare it with TensorFlow Datasets; nothing is '
      'downloaded here.'
    )
  return folders[-1].parent


def _version(path):
  return [int(n) for n in re.findall(r'\d+', path.parent.name)]


@functools.lru_cache(maxsize=2)
def _builder(folder):
  # TensorFlow takes seconds to import, which other sources need not wait for.
  import tensorflow_datasets as tfds

  return tfds.builder_from_directory(folder)


def _keys(features, folder):
  """Returns which features hold the picture, its labels and its objects."""
  import tensorflow_datasets as tfds

  f = tfds.features
  found = {'image': None, 'label': None, 'objects': None, 'class': None}
  for key, feature in features.items():
    inner = getattr(feature, 'feature', feature)
    if isinstance(feature, f.Image) and found['image'] is None:
      found['image'] = key
    elif isinstance(inner, f.ClassLabel) and found['label'] is None:
      found['label'], found['class'] = key, found['class'] or inner
    elif isinstance(feature, f.Sequence) and isinstance(inner, f.FeaturesDict):
      parts = dict(inner.items())
      label = parts.get('label')
      if 'bbox' in parts and isinstance(label, f.ClassLabel):
        # The boxes' label space is the one that their labels count in.
        found['objects'], found['class'] = key, label
  if found['image'] is None or found['class'] is None:
    raise ValueError(
      f'{folder} has no picture with a class label or with labelled boxes; '
      f'its features are {", ".join(features)}.'
    )
  if found['objects']:
    found['label'] = None
  return found


def _names(feature):
  return feature.names or [str(i) for i in range(feature.num_classes)]


def _offsets(path):
  """Yields the byte offset of each record of a TFRecord file."""
  end = os.path.getsize(path)
  with open(path, 'rb') as f:
    offset = 0
    while offset < end:
      f.seek(offset)
      length = records.length_at(f)
      if length is None:
        raise ValueError(f'{path} is damaged at byte {offset:,}.')
      yield offset
      offset += length + records.OVERHEAD


def _read(folder, item):
  """Returns the Example of an item, or a BadRecord."""
  import tensorflow_datasets as tfds

  builder = _builder(folder)
  keys = _keys(builder.info.features, folder)
  name, offset = item.payload
  (data,) = records.read_at(os.path.join(folder, name), np.array([offset]))
  if data is None:
    return source.BadRecord(item.source_id, 'damaged record')
  values = builder.info.features.deserialize_example(
    data, decoders={keys['image']: tfds.decode.SkipDecoding()}
  )
  encoded = values[keys['image']].numpy()
  example = examples.Example(encoded, 0, 0, item.source_id)
  if keys['objects']:
    _take_objects(example, values[keys['objects']])
  else:
    labels = np.atleast_1d(values[keys['label']].numpy())
    # TFDS writes -1 where a test set hides its labels.
    example.label_ids = sorted({int(i) for i in labels if i >= 0})
  return example


def _take_objects(example, objects):
  labels = objects['label'].numpy().astype(np.int64)
  example.boxes = objects['bbox'].numpy().astype(np.float32).reshape(-1, 4)
  example.box_labels = labels + 1
  example.label_ids = sorted(set(labels.tolist()))
  for key in _CROWD_KEYS:
    if key in objects:
      example.is_crowd = objects[key].numpy().astype(np.int64)
      break
  if 'area' in objects:
    example.area = objects['area'].numpy().astype(np.float32)
