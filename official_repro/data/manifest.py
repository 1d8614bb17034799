"""dataset.json: what a data folder holds.

A data folder is dataset.json, labels.tsv and per split the shards
`SPLIT-00000-of-00008.tfrecord`, each beside `.offsets`, the byte offset of
each record as little-endian int64.

A subset is a data folder without shards of its own. Its dataset.json names
those of another folder by relative path and, for each that it does not take
whole, a `.selection` file: a row of two little-endian int64 per record that
belongs to it, the record's index in the shard and its byte offset. Where its
label space is a part of the other folder's, `label_map.tsv` tells which.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Optional

import numpy as np

from official_repro.data import hierarchy as hierarchy_lib
from official_repro.data import vocabulary

MANIFEST = 'dataset.json'
LABELS = 'labels.tsv'
LABEL_MAP = 'label_map.tsv'
VERSION = 1
_SPLIT_NAME = re.compile(r'[A-Za-z0-9_]+')
_REBUILD = 'build the data set again'
_RESELECT = 'make the subset again'


@dataclasses.dataclass(frozen=True)
class Shard:
  """One TFRecord file, or the records of it that belong to a subset.

  Attributes:
    path: the file.
    records: number of records that belong to the data set, damaged ones
      included.
    sha256: hex digest of the file as it was written.
    bytes: size of the file as it was written.
    selection: file with the rows of the records of a subset; None: all
      records of the shard belong to the data set.
    selection_sha256: hex digest of that file, '' without one.
  """

  path: pathlib.Path
  records: int
  sha256: str
  bytes: int
  selection: Optional[pathlib.Path] = None
  selection_sha256: str = ''

  @property
  def file(self) -> str:
    """File name without folder."""
    return self.path.name

  @property
  def offsets_path(self) -> pathlib.Path:
    """The sidecar with the byte offset of every record in the file."""
    return self.path.with_suffix('.offsets')

  def rows(self) -> np.ndarray:
    """Returns int64 [records, 2]: index in the file and byte offset.

    Raises:
      ValueError: the sidecar, or the selection, does not fit the manifest.
    """
    if self.selection is None:
      offsets = np.fromfile(self.offsets_path, '<i8')
      rows = np.stack([np.arange(len(offsets)), offsets], axis=1)
      path, again = self.offsets_path, _REBUILD
    else:
      numbers = np.fromfile(self.selection, '<i8')
      rows = numbers[: len(numbers) // 2 * 2].reshape(-1, 2)
      path, again = self.selection, _RESELECT
    if len(rows) != self.records or (np.diff(rows, axis=0) <= 0).any():
      raise ValueError(
        f'{path} must hold {self.records} ascending offsets, got '
        f'{len(rows)} numbers: {again}.'
      )
    return rows

  def offsets(self) -> np.ndarray:
    """Returns int64 [records], the byte offset of each record; see `rows`."""
    return self.rows()[:, 1]


@dataclasses.dataclass(frozen=True)
class Split:
  """One split of a data set.

  Attributes:
    name: of the split.
    records: number of records.
    shards: tuple of Shard in the order of their names.
    label_map: int32 [stored classes], from the label ids in the records to
      those of the data set, -1 for none; None where they are the same.
  """

  name: str
  records: int
  shards: tuple
  label_map: Optional[np.ndarray] = dataclasses.field(
    default=None, compare=False, repr=False
  )


@dataclasses.dataclass(frozen=True)
class Dataset:
  """A data folder as dataset.json describes it.

  Attributes:
    data_dir: the folder.
    name: free text.
    splits: {name: Split}; `split(name)` is the checked way to one.
    hierarchy: the label space.
    info: source and options of the build.
    manifest_hash: hex SHA-256 of dataset.json, which holds that of every shard
      and selection.
    label_map: see Split.
  """

  data_dir: pathlib.Path
  name: str
  splits: dict
  hierarchy: hierarchy_lib.Hierarchy
  info: dict
  manifest_hash: str
  label_map: Optional[np.ndarray] = dataclasses.field(
    default=None, compare=False, repr=False
  )

  @classmethod
  def load(cls, data_dir) -> 'Dataset':
    """Reads dataset.json and labels.tsv.

    Raises:
      FileNotFoundError: the folder, dataset.json, labels.tsv or a shard is
        missing.
      ValueError: dataset.json is damaged, labels.tsv is not the one it was
        built with, or the shards of a subset have changed.
    """
    data_dir = pathlib.Path(data_dir)
    content = read_manifest(data_dir)
    with naming_damage(data_dir):
      name, manifest = content.parsed['name'], content.parsed
      label_map = load_label_map(data_dir, manifest)
      splits = {
        split: parse_split(data_dir, split, entry, label_map)
        for split, entry in manifest['splits'].items()
      }
      for split in splits.values():
        _check_files(data_dir, split, manifest['splits'][split.name])
      hierarchy = load_labels(data_dir, manifest)
      info = manifest.get('info', {})
    return cls(data_dir, name, splits, hierarchy, info, content.hash, label_map)

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


@dataclasses.dataclass(frozen=True)
class ManifestFile:
  """dataset.json: `parsed` JSON and `hash`, the hex SHA-256 of the file."""

  parsed: dict
  hash: str


def read_manifest(data_dir) -> ManifestFile:
  """Reads dataset.json alone.

  Raises:
    FileNotFoundError: there is no such folder, or it has no dataset.json.
    ValueError: dataset.json is no JSON or of another version.
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
  with naming_damage(data_dir):
    manifest = json.loads(content)
    if manifest['version'] != VERSION:
      raise ValueError(
        f'{path}: version {manifest["version"]} is not {VERSION}: {_REBUILD}.'
      )
  return ManifestFile(manifest, hashlib.sha256(content).hexdigest())


def load_labels(data_dir, manifest: Mapping[str, Any]):
  """Returns the Hierarchy of a parsed dataset.json.

  Raises:
    FileNotFoundError, ValueError: labels.tsv is missing, damaged or another.
  """
  space = manifest['label_space']
  path = pathlib.Path(data_dir) / space['file']
  hierarchy = hierarchy_lib.Hierarchy.load(path)
  if space['hash'] != hierarchy.hash():
    raise ValueError(
      f'{path} is not the label space that the records were built with: '
      f'restore it or {_REBUILD}.'
    )
  return hierarchy


def load_label_map(data_dir, manifest: Mapping[str, Any]):
  """Returns the label map (see Split) of a parsed dataset.json, or None.

  Raises:
    FileNotFoundError, ValueError: its file is missing, damaged or another.
  """
  entry = manifest['label_space'].get('map')
  if entry is None:
    return None
  path = pathlib.Path(data_dir) / entry['file']
  if not path.is_file():
    raise FileNotFoundError(
      f'{path} is missing, which {MANIFEST} lists: {_RESELECT}.'
    )
  if sha256_of_file(path) != entry['sha256']:
    raise ValueError(
      f'{path} is not the file that the subset was made with: {_RESELECT}.'
    )
  return vocabulary.load_map(path)


def parse_split(data_dir, name: str, entry, label_map=None) -> Split:
  """Returns a Split of dataset.json without looking at its files.

  Args:
    data_dir: the data folder.
    name: of the split.
    entry: what dataset.json has under the split's name.
    label_map: as `load_label_map` returns it.
  """
  data_dir = pathlib.Path(data_dir)
  shards = []
  for s in entry['shards']:
    selection = s.get('selection')
    shards.append(
      Shard(
        data_dir / s['file'],
        s['records'],
        s['sha256'],
        s['bytes'],
        data_dir / selection['file'] if selection else None,
        selection['sha256'] if selection else '',
      )
    )
  return Split(name, entry['records'], tuple(shards), label_map)


def write_manifest(
  data_dir,
  *,
  name: str,
  hierarchy: hierarchy_lib.Hierarchy,
  splits: dict,
  info: Optional[dict] = None,
  label_map: Optional[np.ndarray] = None,
) -> None:
  """Writes labels.tsv, then dataset.json, each under a temporary name first.

  Args:
    data_dir: folder that holds the shards, or the selections of a subset.
    name: free text.
    hierarchy: the label space.
    splits: {split name: sequence of Shard}, as `RecordWriter.shards`.
    info: whatever JSON takes; source and options of the build.
    label_map: see Split; written to label_map.tsv.
  """
  data_dir = pathlib.Path(data_dir)
  hierarchy.save(data_dir / LABELS)
  label_space = {
    'num_classes': hierarchy.num_classes,
    'hash': hierarchy.hash(),
    'file': LABELS,
  }
  if label_map is not None:
    vocabulary.save_map(data_dir / LABEL_MAP, label_map)
    digest = sha256_of_file(data_dir / LABEL_MAP)
    label_space['map'] = {'file': LABEL_MAP, 'sha256': digest}
  manifest = {
    'name': name,
    'version': VERSION,
    'label_space': label_space,
    'splits': {
      split: {
        'records': sum(s.records for s in shards),
        'shards': [_shard_entry(data_dir, s) for s in shards],
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


def _shard_entry(data_dir, shard):
  entry = {
    'file': _relative(shard.path, data_dir),
    'records': shard.records,
    'sha256': shard.sha256,
    'bytes': shard.bytes,
  }
  if shard.selection is not None:
    entry['selection'] = {
      'file': _relative(shard.selection, data_dir),
      'sha256': shard.selection_sha256,
    }
  return entry


def _relative(path, folder):
  # Only folders are resolved: a shard may be a link, its sidecar beside it.
  path = os.path.join(os.path.realpath(path.parent), path.name)
  return os.path.relpath(path, os.path.realpath(folder))


@contextlib.contextmanager
def naming_damage(data_dir) -> Iterator[None]:
  """Turns the errors of a manifest of another form into one sentence."""
  path = pathlib.Path(data_dir) / MANIFEST
  try:
    yield
  except json.JSONDecodeError as e:
    raise ValueError(f'{path} is no JSON ({e}): {_REBUILD}.') from e
  except (KeyError, TypeError, AttributeError) as e:
    raise ValueError(
      f'{path} is damaged ({type(e).__name__}: {e}): {_REBUILD}.'
    ) from e


def _check_files(data_dir, split, entry):
  """Checks that the files are there, and the number of records."""
  for shard in split.shards:
    for path in (shard.path, shard.offsets_path, shard.selection):
      if path is not None and not path.is_file():
        _fail_missing(data_dir, path)
    if _is_outside(data_dir, shard):
      size = shard.path.stat().st_size
      if size != shard.bytes:
        raise ValueError(
          f'{shard.path} has {size} bytes, not the {shard.bytes} as when the '
          f'subset {data_dir} of its records was made: {_RESELECT}.'
        )
  total = sum(s.records for s in split.shards)
  if total != entry['records']:
    raise ValueError(
      f'Split {split.name!r} in {data_dir / MANIFEST} has {entry["records"]} '
      f'records, but its shards have {total}: {_REBUILD}.'
    )


def _is_outside(data_dir, shard):
  return shard.path.parent != data_dir


def _fail_missing(data_dir, path):
  if path.parent == data_dir:
    raise FileNotFoundError(
      f'{path} is missing, which {MANIFEST} lists: {_REBUILD}.'
    )
  raise FileNotFoundError(
    f'{path} is missing: {data_dir} is a subset of the records there; put '
    f'them back or {_RESELECT}.'
  )
