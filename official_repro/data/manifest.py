"""dataset.json: what a data folder holds.

A data folder is dataset.json, labels.tsv and per split the shards
`SPLIT-00000-of-00008.tfrecord`, each beside `.offsets`, the byte offset of
each record as little-endian int64.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import re
from typing import Optional

import numpy as np

from official_repro.data import hierarchy as hierarchy_lib

MANIFEST = 'dataset.json'
LABELS = 'labels.tsv'
VERSION = 1
_SPLIT_NAME = re.compile(r'[A-Za-z0-9_]+')
_REBUILD = 'build the data set again'


@dataclasses.dataclass(frozen=True)
class Shard:
  """One TFRecord file.

  Attributes:
    path: the file.
    records: number of records, damaged ones included.
    sha256: hex digest of the file as it was written.
    bytes: size of the file as it was written.
  """

  path: pathlib.Path
  records: int
  sha256: str
  bytes: int

  @property
  def file(self) -> str:
    """File name without folder."""
    return self.path.name

  @property
  def offsets_path(self) -> pathlib.Path:
    """The sidecar with the byte offset of each record."""
    return self.path.with_suffix('.offsets')

  def offsets(self) -> np.ndarray:
    """Returns int64 [records], the byte offset of each record.

    Raises:
      ValueError: the sidecar does not fit the manifest.
    """
    offsets = np.fromfile(self.offsets_path, '<i8')
    if len(offsets) != self.records or (np.diff(offsets) <= 0).any():
      raise ValueError(
        f'{self.offsets_path} must hold {self.records} ascending offsets, got '
        f'{len(offsets)} numbers: {_REBUILD}.'
      )
    return offsets


@dataclasses.dataclass(frozen=True)
class Split:
  """One split of a data set; `shards` in the order of their names."""

  name: str
  records: int
  shards: tuple


@dataclasses.dataclass(frozen=True)
class Dataset:
  """A data folder as dataset.json describes it.

  Attributes:
    data_dir: the folder.
    name: free text.
    splits: {name: Split}; `split(name)` is the checked way to one.
    hierarchy: the label space.
    info: source and options of the build.
    manifest_hash: hex SHA-256 of dataset.json, which holds that of every shard.
  """

  data_dir: pathlib.Path
  name: str
  splits: dict
  hierarchy: hierarchy_lib.Hierarchy
  info: dict
  manifest_hash: str

  @classmethod
  def load(cls, data_dir) -> 'Dataset':
    """Reads dataset.json and labels.tsv.

    Raises:
      FileNotFoundError: the folder, dataset.json, labels.tsv or a shard is
        missing.
      ValueError: dataset.json is damaged or labels.tsv is not the one it was
        built with.
    """
    data_dir = pathlib.Path(data_dir)
    if not data_dir.is_dir():
      raise FileNotFoundError(
        f'There is no data folder {data_dir}: give --data_dir the folder that '
        'build_records wrote.'
      )
    path = data_dir / MANIFEST
    if not path.is_file():
      raise FileNotFoundError(
        f'{data_dir} has no {MANIFEST}: it is no data folder, or its build '
        'did not finish.'
      )
    content = path.read_bytes()
    try:
      manifest = json.loads(content)
      if manifest['version'] != VERSION:
        raise ValueError(f'version {manifest["version"]} is not {VERSION}')
      space = manifest['label_space']
      splits = {
        name: _parse_split(data_dir, name, split)
        for name, split in manifest['splits'].items()
      }
      hierarchy = hierarchy_lib.Hierarchy.load(data_dir / space['file'])
      same = space['hash'] == hierarchy.hash()
      name, info = manifest['name'], manifest.get('info', {})
    except (KeyError, TypeError, AttributeError) as e:
      raise ValueError(
        f'{path} is damaged ({type(e).__name__}: {e}): {_REBUILD}.'
      ) from e
    except json.JSONDecodeError as e:
      raise ValueError(f'{path} is no JSON ({e}): {_REBUILD}.') from e
    if not same:
      raise ValueError(
        f'{data_dir / space["file"]} is not the label space that the records '
        f'were built with: restore it or {_REBUILD}.'
      )
    digest = hashlib.sha256(content).hexdigest()
    return cls(data_dir, name, splits, hierarchy, info, digest)

  def split(self, name: str) -> Split:
    """Returns a split; ValueError when it is unknown or has no records."""
    if name not in self.splits:
      raise ValueError(
        f'{self.data_dir} has no split {name!r}; it has '
        f'{", ".join(sorted(self.splits)) or "none"}.'
      )
    split = self.splits[name]
    if not split.records:
      raise ValueError(f'Split {name!r} of {self.data_dir} has no records.')
    return split


def write_manifest(
  data_dir,
  *,
  name: str,
  hierarchy: hierarchy_lib.Hierarchy,
  splits: dict,
  info: Optional[dict] = None,
) -> None:
  """Writes labels.tsv, then dataset.json, each under a temporary name first.

  Args:
    data_dir: folder that holds the shards.
    name: free text.
    hierarchy: the label space.
    splits: {split name: sequence of Shard}, as `RecordWriter.shards`.
    info: whatever JSON takes; source and options of the build.
  """
  data_dir = pathlib.Path(data_dir)
  hierarchy.save(data_dir / LABELS)
  manifest = {
    'name': name,
    'version': VERSION,
    'label_space': {
      'num_classes': hierarchy.num_classes,
      'hash': hierarchy.hash(),
      'file': LABELS,
    },
    'splits': {
      split: {
        'records': sum(s.records for s in shards),
        'shards': [
          {
            'file': s.file,
            'records': s.records,
            'sha256': s.sha256,
            'bytes': s.bytes,
          }
          for s in shards
        ],
      }
      for split, shards in splits.items()
    },
    'info': info or {},
  }
  temporary = data_dir / f'.{MANIFEST}.tmp'
  temporary.write_text(json.dumps(manifest, indent=1) + '\n', encoding='utf-8')
  os.replace(temporary, data_dir / MANIFEST)


def check_split_name(split: str) -> str:
  """Returns the name; ValueError unless it is letters, digits and _."""
  if not _SPLIT_NAME.fullmatch(split):
    raise ValueError(
      f'Split name {split!r} must be letters, digits and underscores.'
    )
  return split


def sha256_of_file(path) -> str:
  """Returns the hex SHA-256 of a file, read in pieces."""
  digest = hashlib.sha256()
  with open(path, 'rb') as f:
    while piece := f.read(1 << 20):
      digest.update(piece)
  return digest.hexdigest()


def _parse_split(data_dir, name, split):
  shards = tuple(
    Shard(data_dir / s['file'], s['records'], s['sha256'], s['bytes'])
    for s in split['shards']
  )
  for shard in shards:
    for path in (shard.path, shard.offsets_path):
      if not path.is_file():
        raise FileNotFoundError(
          f'{path} is missing, which {MANIFEST} lists: {_REBUILD}.'
        )
  if sum(s.records for s in shards) != split['records']:
    raise ValueError(
      f'Split {name!r} in {data_dir / MANIFEST} has {split["records"]} '
      f'records, but its shards have {sum(s.records for s in shards)}: '
      f'{_REBUILD}.'
    )
  return Split(name, split['records'], shards)
