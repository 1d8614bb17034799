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
from typing import Any, Optional

import numpy as np

from official_repro.data import examples, manifest, records
from official_repro.data import hierarchy as hierarchy_lib
from official_repro.data.sources import source, tfds_features

_INFO = 'dataset_info.json'
_PART = r'\w[\w.+-]*'
_VERSION = r'\d+\.\d+\.\d+'
_NAME = re.compile(rf'{_PART}(/{_PART})?(:{_VERSION})?')
_CROWD_KEYS = ('is_crowd', 'is_difficult', 'is_group_of')
_SLACK = 1e-3  # of the picture: boxes that were rounded


class TfdsSource:
  """A classification or detection set in TFDS's folder layout.

  Nothing is downloaded: the set must have been prepared, as TFRecord files.
  The labels are those of its ClassLabel feature (one or a sequence), or the
  set of the labels of its boxes. Of several such features the set's
  `supervised_keys` or the usual names decide. Objects that are crowds, groups
  or "difficult" have is_crowd 1; boxes without height or width are left out. A
  record's source id is its split and number.

  Args:
    name: 'NAME', 'NAME/CONFIG', with ':VERSION' where it is not the newest.
    data_dir: TFDS's data folder; None: $TFDS_DATA_DIR or
      ~/tensorflow_datasets.
    splits: splits to take; None: all.

  Raises:
    FileNotFoundError: the set, or a file of it, is not there.
    ValueError: it has no picture or label, or it is not clear which; another
      file format, no such split, or it is damaged.
  """

  def __init__(
    self,
    name: str,
    data_dir=None,
    splits: Optional[Sequence[str]] = None,
  ):
    self._folder = _find(name, data_dir)
    info, keys, _ = _loaded(str(self._folder))
    self.name = name.partition(':')[0].replace('/', '_')
    self._lengths = self._checked_splits(info.splits, splits)
    self.sizes = {s: sum(n.values()) for s, n in self._lengths.items()}
    self.hierarchy = hierarchy_lib.Hierarchy.flat(keys.names)
    self.has_objects = keys.objects is not None
    self.options = {'name': info.full_name, 'splits': list(self.sizes)}
    self.reader = functools.partial(_read, str(self._folder))

  def items(self) -> Iterator[source.Item]:
    """Yields the records in the order of the files.

    Raises:
      ValueError: a file has another number of records than it should.
    """
    for split, lengths in self._lengths.items():
      index = 0
      for file, length in lengths.items():
        path, first = self._folder / file, index
        for offset in _offsets(path):
          yield source.Item(split, f'{split}/{index:09d}', (file, offset))
          index += 1
        if index - first != length:
          raise ValueError(
            f'{path} has {index - first:,} records, {_INFO} says {length:,}: '
            'prepare the set again.'
          )

  def _checked_splits(self, known, wanted):
    """Returns {split: {file name: records}} of the splits with records."""
    found = {}
    for split in wanted or known:
      if split not in known:
        raise ValueError(
          f'{self._folder} has no split {split!r}; it has {", ".join(known)}.'
        )
      if not known[split].num_examples:
        continue
      manifest.check_split_name(split)
      paths = [pathlib.Path(p) for p in known[split].filepaths]
      for path in paths:
        if not path.is_file():
          raise FileNotFoundError(
            f'There is no file {path}, which {_INFO} names.'
          )
      lengths = known[split].shard_lengths
      found[split] = {p.name: n for p, n in zip(paths, lengths)}
    if not found:
      raise ValueError(f'{self._folder} has no records.')
    return found


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
  # While TFDS writes a set its folder has a longer name.
  folders = [
    info.parent
    for info in (root / path).glob(f'*/{_INFO}')
    if re.fullmatch(version or _VERSION, info.parent.name)
  ]
  if folders:
    return max(folders, key=_version)
  configs = {f.parents[1].name for f in (root / path).glob(f'*/*/{_INFO}')}
  if configs:
    raise FileNotFoundError(
      f'{root / path} has the configs {", ".join(sorted(configs))}: write '
      f'tfds:{path}/CONFIG.'
    )
  raise FileNotFoundError(
    f'There is no prepared set {name!r} in {root}: name its folder with '
    '--tfds_dir, or prepare it with TensorFlow Datasets; nothing is '
    'downloaded here.'
  )


def _version(folder):
  return [int(n) for n in folder.name.split('.')]


@functools.lru_cache(maxsize=2)
def _loaded(folder) -> tuple[Any, tfds_features.Keys, Any]:
  """Returns (DatasetInfo, Keys, the features that `_read` needs)."""
  # TensorFlow Datasets takes time to import, which others need not wait for.
  import tensorflow_datasets as tfds

  try:
    info = tfds.builder_from_directory(folder).info
    file_format, features = info.file_format.value, dict(info.features.items())
  # It raises about any type on damaged files.
  except Exception as e:
    raise ValueError(
      f'{folder} cannot be read as a TFDS set: {" ".join(str(e).split())}'
    ) from e
  if file_format != 'tfrecord':
    raise ValueError(
      f'{folder} is in the format {file_format}; only tfrecord can be read: '
      'prepare it with file_format="tfrecord".'
    )
  keys = tfds_features.keys(features, info.supervised_keys, folder)
  used = [k for k in (keys.image, keys.label, keys.objects) if k]
  return info, keys, tfds.features.FeaturesDict({k: features[k] for k in used})


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

  _, keys, features = _loaded(folder)
  name, offset = item.payload
  (data,) = records.read_at(os.path.join(folder, name), np.array([offset]))
  if data is None:
    return source.BadRecord(item.source_id, 'damaged record')
  try:
    values = features.deserialize_example(
      data, decoders={keys.image: tfds.decode.SkipDecoding()}
    )
    encoded = values[keys.image].numpy()
    example = examples.Example(encoded, 0, 0, item.source_id)
    labels = values[keys.objects or keys.label]
  # It raises about any type on a record that is not of this set.
  except Exception as e:
    reason = f'not a record of this set: {" ".join(str(e).split())}'
    return source.BadRecord(item.source_id, reason)
  if keys.objects:
    problem = _take_objects(example, labels, keys)
    return source.BadRecord(item.source_id, problem) if problem else example
  # TFDS writes -1 where a test set hides its labels.
  labels = np.array(labels, np.int64).reshape(-1)
  example.label_ids = sorted({int(i) for i in labels if i >= 0})
  return example


def _take_objects(example, objects, keys):
  """Sets boxes and what belongs to them; returns what is wrong, or ''."""
  boxes = np.array(objects['bbox'], np.float32).reshape(-1, 4)
  labels = np.array(objects[keys.box_label], np.int64).reshape(-1)
  # Written so that what is no number is wrong, too.
  wrong = ~((boxes >= -_SLACK) & (boxes <= 1 + _SLACK)).all(axis=1)
  if wrong.any():
    ymin, xmin, ymax, xmax = boxes[np.argmax(wrong)].tolist()
    return (
      f'box ymin {ymin:g}, xmin {xmin:g}, ymax {ymax:g}, xmax {xmax:g} is not '
      'within 0 and 1'
    )
  if (labels < 0).any():
    return 'an object without a label'
  boxes = np.clip(boxes, 0, 1)
  keep = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
  example.boxes, example.box_labels = boxes[keep], labels[keep] + 1
  example.label_ids = sorted(set(labels[keep].tolist()))
  crowd = next((k for k in _CROWD_KEYS if k in objects), None)
  if crowd:
    # -1 stands for "not known".
    is_crowd = np.array(objects[crowd], np.int64).reshape(-1) == 1
    example.is_crowd = is_crowd[keep].astype(np.int64)
  if 'area' in objects:
    area = np.array(objects['area'], np.float32).reshape(-1)
    example.area = area[keep]
  return ''
