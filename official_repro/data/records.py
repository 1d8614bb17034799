"""TFRecord shards: writing them whole or not at all, reading past damage.

A record is its length (uint64), the length's checksum (uint32), the data and
the data's checksum (uint32), all little-endian. No TensorFlow is needed.
"""

import array
import contextlib
import hashlib
import os
import pathlib
import struct
from collections.abc import Iterator
from typing import Optional

import numpy as np

from official_repro.data import crc32c, vocabulary
from official_repro.data.examples import Example, decode_example, encode_example
from official_repro.data.manifest import (
  Dataset,
  Shard,
  Split,
  check_split_name,
  write_manifest,
)

__all__ = [
  'Dataset',
  'Example',
  'RecordReader',
  'RecordWriter',
  'Shard',
  'ShardWriter',
  'Split',
  'decode_example',
  'encode_example',
  'iterate_records',
  'length_at',
  'read_at',
  'read_shard',
  'write_manifest',
]

_HEADER = struct.Struct('<QI')
_FOOTER = struct.Struct('<I')
_LENGTH = struct.Struct('<Q')
# Bytes of a record in a shard beside its data.
OVERHEAD = _HEADER.size + _FOOTER.size
_BUFFER_BYTES = 1 << 20
_SPARSE_BUFFER_BYTES = 1 << 12


class RecordWriter:
  """Writes one split as shards of even size; a context manager.

  Record i goes to shard i mod num_shards ("round robin"), so sizes differ by
  at most one, neighbours of a sorted source land in different shards, and the
  number of records need not be known. Files get their names only on a clean
  exit; an exception in the block removes them. With fewer records than shards
  there are as many shards as records.

  Attributes:
    records: number of records so far.
    shards: tuple of Shard after a clean exit.
  """

  def __init__(self, output_dir, split: str, num_shards: int = 8):
    """Opens the shards.

    Args:
      output_dir: folder, made when absent.
      split: letters, digits and underscores.
      num_shards: from 1.

    Raises:
      ValueError: a bad split name or number of shards.
    """
    if num_shards < 1:
      raise ValueError(f'num_shards must be at least 1, got {num_shards}.')
    self.records = 0
    self.shards = ()
    self._dir = pathlib.Path(output_dir)
    self._split = check_split_name(split)
    self._source_ids = set()
    self._dir.mkdir(parents=True, exist_ok=True)
    self._open = []
    try:
      for i in range(num_shards):
        self._open.append(ShardWriter(self._dir / f'.{split}-{i:05d}'))
    except OSError:
      self._discard()
      raise

  def write(self, example: Example) -> None:
    """Appends an example.

    Raises:
      ValueError: its source id was written before, or it is not consistent.
    """
    if example.source_id in self._source_ids:
      raise ValueError(
        f'Source id {example.source_id!r} occurs twice in split '
        f'{self._split!r}; it must be unique.'
      )
    serialized = encode_example(example)
    self._source_ids.add(example.source_id)
    self._open[self.records % len(self._open)].write(serialized)
    self.records += 1

  def __enter__(self) -> 'RecordWriter':
    return self

  def __exit__(self, error_type, *_) -> None:
    if error_type is not None:
      self._discard()
      return
    try:
      self.shards = self._finish()
    except BaseException:
      self._discard()
      raise

  def _finish(self):
    used = self._open[: self.records]
    for empty in self._open[self.records :]:
      empty.discard()
    for shard in used:
      shard.finish()
    return tuple(
      shard.rename(f'{self._split}-{i:05d}-of-{len(used):05d}')
      for i, shard in enumerate(used)
    )

  def _discard(self):
    for shard in self._open:
      shard.discard()


class ShardWriter:
  """Writes one shard under a temporary name, and its sidecar.

  Whoever uses it calls `finish` and then `rename`, or `discard`.

  Attributes:
    bytes: size of the file so far.
  """

  def __init__(self, stem):
    """Opens the temporary file.

    Args:
      stem: path without ending, in the folder of the shard to be.
    """
    stem = pathlib.Path(stem)
    self._path = stem.with_name(f'{stem.name}.tfrecord.tmp')
    self._offsets_path = stem.with_name(f'{stem.name}.offsets.tmp')
    self._final = None
    self._file = open(self._path, 'wb', buffering=_BUFFER_BYTES)  # noqa: SIM115
    self._digest = hashlib.sha256()
    self._offsets = array.array('q')
    self.bytes = 0

  @property
  def records(self) -> int:
    """Number of records so far."""
    return len(self._offsets)

  def write(self, data: bytes) -> None:
    """Appends a serialised record."""
    length = _LENGTH.pack(len(data))
    header = length + _FOOTER.pack(crc32c.masked_crc32c(length))
    footer = _FOOTER.pack(crc32c.masked_crc32c(data))
    for part in (header, data, footer):
      self._file.write(part)
      self._digest.update(part)
    self._offsets.append(self.bytes)
    self.bytes += len(data) + OVERHEAD

  def finish(self) -> None:
    """Brings the shard and its sidecar to the disk, still under `tmp`."""
    _sync_and_close(self._file)
    with open(self._offsets_path, 'wb') as f:
      f.write(np.asarray(self._offsets, '<i8').tobytes())
      _sync_and_close(f)

  def rename(self, stem) -> Shard:
    """Gives the finished files their names, the shard's last.

    Args:
      stem: final name without folder and ending, in the same folder.
    """
    self._final = self._path.with_name(f'{stem}.tfrecord')
    shard = Shard(
      self._final, self.records, self._digest.hexdigest(), self.bytes
    )
    os.replace(self._offsets_path, shard.offsets_path)
    os.replace(self._path, shard.path)
    return shard

  def discard(self) -> None:
    """Removes whatever of it is on the disk, under any name."""
    with contextlib.suppress(OSError):  # a full disk: the buffer stays
      self._file.close()
    for path in (self._path, self._offsets_path, self._final):
      if path is not None:
        path.unlink(missing_ok=True)
    if self._final is not None:
      self._final.with_suffix('.offsets').unlink(missing_ok=True)


def read_shard(shard: Shard) -> Iterator[Optional[bytes]]:
  """Yields the serialised records of a shard, None for a damaged one.

  Both checksums of every record are compared, at the offset that the sidecar
  gives, so that damage to a record (data, length, checksums, a cut file) costs
  that record only. The labels are those that are stored; see Split.label_map.

  Raises:
    ValueError: as `Shard.rows`.
  """
  rows = shard.rows()
  if len(rows):
    # With few records of many a large buffer would read what lies between.
    yield from read_at(
      shard.path, rows[:, 1], read_on=2 * len(rows) > rows[-1, 0] + 1
    )


def read_at(
  path, offsets: np.ndarray, read_on: bool = False
) -> Iterator[Optional[bytes]]:
  """Yields the serialised records at byte offsets, None for a damaged one.

  Args:
    path: shard.
    offsets: int [N], ascending.
    read_on: whether to read ahead, which pays where few are passed over.
  """
  buffering = _BUFFER_BYTES if read_on else _SPARSE_BUFFER_BYTES
  with open(path, 'rb', buffering=buffering) as f:
    size = os.fstat(f.fileno()).st_size
    for offset in offsets.tolist():
      f.seek(offset)
      yield _sound_data(f, size - offset)


class RecordReader:
  """Iterates over the sound records of a split, its labels in its own ids.

  Attributes:
    damaged: list of (file name, index in the file) of the records left out
      by the iteration under way or done last.
  """

  def __init__(self, split: Split):
    self._split = split
    self.damaged = []

  @property
  def skipped(self) -> int:
    """Number of records left out."""
    return len(self.damaged)

  def __iter__(self) -> Iterator[bytes]:
    self.damaged = []
    label_map = self._split.label_map
    for shard in self._split.shards:
      for n, data in enumerate(read_shard(shard)):
        if data is None:
          self.damaged.append((shard.file, int(shard.rows()[n, 0])))
        elif label_map is None:
          yield data
        else:
          yield _relabelled(data, label_map)


def iterate_records(data_dir, split: str) -> RecordReader:
  """Returns an iterable over the serialised sound records of a split.

  Order: shard by shard, in file order.

  Raises:
    FileNotFoundError, ValueError: as `Dataset.load` and `Dataset.split`.
  """
  return RecordReader(Dataset.load(data_dir).split(split))


def _sync_and_close(file):
  # A rename can reach the disk before the data does.
  file.flush()
  os.fsync(file.fileno())
  file.close()


def _relabelled(data, label_map):
  return encode_example(vocabulary.relabel(decode_example(data), label_map))


def length_at(file) -> Optional[int]:
  """Reads the header of a record; returns its length, None if damaged.

  Args:
    file: open for reading, at the start of a record.
  """
  header = file.read(_HEADER.size)
  if len(header) != _HEADER.size:
    return None
  length, length_crc = _HEADER.unpack(header)
  if crc32c.masked_crc32c(header[: _LENGTH.size]) != length_crc:
    return None
  return length


def _sound_data(file, left):
  """Returns the data of the record at the file's position, None if damaged.

  Args:
    file: open for reading.
    left: bytes from its position to its end.
  """
  length = length_at(file)
  if length is None or length + OVERHEAD > left:
    return None
  record = file.read(length + _FOOTER.size)
  data = record[: -_FOOTER.size]
  (data_crc,) = _FOOTER.unpack_from(record, length)
  return data if crc32c.masked_crc32c(data) == data_crc else None
