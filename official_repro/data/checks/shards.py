"""What can be wrong with a shard, its sidecar, its selection and its framing.

No record is decoded here; see record_checks.
"""

import dataclasses
import os
from collections.abc import Iterator
from typing import Optional

import numpy as np

from official_repro.data import manifest, records

_NO_ROWS = np.zeros((0, 2), np.int64)


@dataclasses.dataclass(frozen=True)
class Finding:
  """One thing that is wrong.

  Attributes:
    file: name of the file.
    record: index of the record in it, None where it is about the file.
    source_id: of the record, '' where it is unknown.
    what: a clause.
  """

  file: str
  record: Optional[int] = None
  source_id: str = ''
  what: str = ''

  def __str__(self):
    """file, record index, source id: what."""
    where = [self.file]
    if self.record is not None:
      where.append(f'record {self.record}')
    if self.source_id:
      where.append(repr(self.source_id))
    return f'{", ".join(where)}: {self.what}'


def check(shard: manifest.Shard) -> tuple[np.ndarray, list[Finding]]:
  """Checks a shard's files as wholes.

  Returns:
    (int64 [N, 2], the rows of its records as far as they can be found:
    index in the file and byte offset; findings).
  """
  if not shard.path.is_file():
    return _NO_ROWS, [Finding(shard.file, what='the file is missing')]
  found = []
  size = os.path.getsize(shard.path)
  if size != shard.bytes:
    what = f'{size} bytes, dataset.json says {shard.bytes}'
    found.append(Finding(shard.file, what=what))
  elif manifest.sha256_of_file(shard.path) != shard.sha256:
    what = 'its SHA-256 is not the one in dataset.json: it was changed'
    found.append(Finding(shard.file, what=what))
  offsets, problem = _sidecar(shard)
  if problem:
    found.append(Finding(shard.offsets_path.name, what=problem))
  if shard.selection is not None:
    rows, problem = _selection(shard, None if problem else offsets)
    if problem:
      found.append(Finding(shard.selection.name, what=problem))
    return rows, found
  if len(offsets) != shard.records:
    what = f'{len(offsets)} records, dataset.json says {shard.records}'
    found.append(Finding(shard.file, what=what))
  return np.stack([np.arange(len(offsets)), offsets], axis=1), found


def read(
  shard: manifest.Shard, rows: np.ndarray, found: list
) -> Iterator[tuple[int, bytes]]:
  """Yields (index in the file, data) of the sound records at `rows`.

  Args:
    shard: to read from.
    rows: as `check` returns them.
    found: list that gets a Finding for each record that is not sound.
  """
  if not len(rows):
    return
  ends = [*rows[1:, 1].tolist(), os.path.getsize(shard.path)]
  sound = records.read_at(
    shard.path, rows[:, 1], read_on=2 * len(rows) > rows[-1, 0] + 1
  )
  for (index, offset), end, data in zip(rows.tolist(), ends, sound):
    if data is None:
      what = (
        f'no sound record at byte {offset}: its length, data or checksums are '
        'damaged'
      )
      found.append(Finding(shard.file, index, what=what))
      continue
    behind = end - offset - records.OVERHEAD - len(data)
    if shard.selection is None and behind:
      what = f'{behind} bytes between its end and what .offsets has next'
      found.append(Finding(shard.file, index, what=what))
    yield index, data


def _sidecar(shard):
  """Returns (the offsets of all records, what is wrong with the sidecar)."""
  path = shard.offsets_path
  if not path.is_file():
    return _walk(shard.path), 'the file is missing'
  size = os.path.getsize(path)
  offsets = np.fromfile(path, '<i8')
  if size % 8 or not len(offsets):
    return _walk(shard.path), f'{size} bytes are no list of offsets'
  if offsets[0] or (np.diff(offsets) <= 0).any():
    return _walk(shard.path), 'its offsets do not ascend from 0'
  if offsets[-1] >= shard.bytes:
    return _walk(shard.path), 'it has offsets behind the end of the shard'
  walked = _walk(shard.path)
  common = min(len(walked), len(offsets))
  if (walked[:common] != offsets[:common]).any():
    # The headers' checksums hold: it is not the shard that is wrong.
    return walked, 'its offsets are not where the records begin'
  if len(walked) > len(offsets):
    return walked, f'{len(offsets)} offsets for {len(walked)} records'
  return offsets, ''


def _selection(shard, offsets):
  """Returns (rows of the records of a subset, what is wrong with them)."""
  path = shard.selection
  if not path.is_file():
    return _NO_ROWS, 'the file is missing'
  if manifest.sha256_of_file(path) != shard.selection_sha256:
    return _NO_ROWS, 'its SHA-256 is not the one in dataset.json'
  rows = np.fromfile(path, '<i8')
  if len(rows) != 2 * shard.records:
    return _NO_ROWS, f'{len(rows)} numbers for {shard.records} records'
  rows = rows.reshape(-1, 2)
  if offsets is None:
    return rows, ''
  inside = rows[:, 0] < len(offsets)
  if not inside.all() or (offsets[rows[:, 0]] != rows[:, 1]).any():
    return rows, 'its offsets are not those of the shard'
  return rows, ''


def _walk(path):
  """Returns int64 [N], where records begin, up to the first bad length."""
  offsets, at = [], 0
  with open(path, 'rb') as f:
    size = os.fstat(f.fileno()).st_size
    while at < size:
      f.seek(at)
      length = records.length_at(f)
      if length is None:
        break
      offsets.append(at)
      at += length + records.OVERHEAD
  return np.array(offsets, np.int64)
