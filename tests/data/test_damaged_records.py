"""Data folders and records that are damaged."""

import json
import struct

import pytest

from official_repro.data import crc32c, records
from official_repro.data.hierarchy import Hierarchy
from tests.data import tiny_records


def test_folders_that_are_no_data_set(tmp_path):
  with pytest.raises(FileNotFoundError, match='no data folder .*nowhere'):
    records.Dataset.load(tmp_path / 'nowhere')
  with pytest.raises(FileNotFoundError, match=r'has no dataset\.json'):
    records.Dataset.load(tmp_path)


def test_unknown_and_empty_splits(tmp_path):
  tiny_records.write(tmp_path)
  dataset = records.Dataset.load(tmp_path)
  with pytest.raises(ValueError, match="no split 'test'; it has train, valid"):
    dataset.split('test')
  with pytest.raises(ValueError, match="'validation' of .* has no records"):
    dataset.split('validation')


def test_a_missing_file_is_named(tmp_path):
  shards = tiny_records.write(tmp_path).shards
  shards[1].path.unlink()
  with pytest.raises(FileNotFoundError, match=shards[1].file):
    records.Dataset.load(tmp_path)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda m: m.pop('splits'), "damaged .KeyError: 'splits'"),
    (lambda m: m.update(version=2), 'version 2 is not 1'),
    (lambda m: m['splits']['train'].update(records=11), 'has 11 records'),
    (lambda m: m.update(splits=[]), 'damaged'),
  ],
)
def test_damaged_manifests(tmp_path, change, message):
  tiny_records.write(tmp_path)
  path = tmp_path / 'dataset.json'
  content = json.loads(path.read_text())
  change(content)
  path.write_text(json.dumps(content))
  with pytest.raises(ValueError, match=message):
    records.Dataset.load(tmp_path)
  path.write_text('{')
  with pytest.raises(ValueError, match='is no JSON'):
    records.Dataset.load(tmp_path)


def test_another_label_space_is_noticed(tmp_path):
  tiny_records.write(tmp_path)
  Hierarchy.flat(['a', 'c', 'b']).save(tmp_path / 'labels.tsv')
  with pytest.raises(ValueError, match='not the label space'):
    records.Dataset.load(tmp_path)


def flip(at):
  def damage(data, start, end):
    place = start + at if at >= 0 else end + at
    data[place] ^= 0x10

  return damage


# A record: 8 bytes length, 4 its checksum, the data, 4 their checksum.
@pytest.mark.parametrize(
  'damage',
  [flip(0), flip(7), flip(9), flip(12), flip(50), flip(-5), flip(-1)],
  ids=['length', 'huge', 'length crc', 'first', 'data', 'last', 'data crc'],
)
@pytest.mark.parametrize('record', [0, 1, 3])
def test_only_the_damaged_record_is_left_out(tmp_path, damage, record):
  shard = tiny_records.write(tmp_path).shards[0]
  offsets = [*shard.offsets().tolist(), shard.bytes]
  data = bytearray(shard.path.read_bytes())
  damage(data, offsets[record], offsets[record + 1])
  shard.path.write_bytes(data)
  ids, reader = tiny_records.read_ids(tmp_path)
  sound = [0, 3, 6, 9, 1, 4, 7, 2, 5, 8]
  sound.remove(3 * record)
  assert ids == sound
  assert reader.damaged == [(shard.file, record)]
  assert reader.skipped == 1
  # A second pass counts anew.
  assert len(list(reader)) == 9
  assert reader.skipped == 1


def test_a_length_beyond_the_end_takes_no_memory(tmp_path):
  shard = tiny_records.write(tmp_path).shards[0]
  data = bytearray(shard.path.read_bytes())
  length = struct.pack('<Q', 2**60)
  crc = struct.pack('<I', crc32c.masked_crc32c(length))
  start = shard.offsets()[2]
  data[start : start + 12] = length + crc
  shard.path.write_bytes(data)
  assert tiny_records.read_ids(tmp_path)[1].damaged == [(shard.file, 2)]


def test_records_at_offsets(tmp_path):
  shard = tiny_records.write(tmp_path).shards[0]
  everything = list(records.read_shard(shard))
  offsets = shard.offsets()[[1, 3]]
  for read_on in (True, False):
    got = list(records.read_at(shard.path, offsets, read_on))
    assert got == [everything[1], everything[3]]
  assert shard.rows().tolist() == [
    [i, offset] for i, offset in enumerate(shard.offsets())
  ]


@pytest.mark.parametrize('cut', [1, 4, 30, 'at the boundary'])
def test_truncated_last_record(tmp_path, cut):
  shard = tiny_records.write(tmp_path).shards[0]
  data = shard.path.read_bytes()
  end = shard.offsets()[-1] if isinstance(cut, str) else len(data) - cut
  shard.path.write_bytes(data[:end])
  ids, reader = tiny_records.read_ids(tmp_path)
  assert ids == [0, 3, 6, 1, 4, 7, 2, 5, 8]
  assert reader.damaged == [(shard.file, 3)]


def test_truncated_in_the_middle_and_zeroed(tmp_path):
  first, second, _ = tiny_records.write(tmp_path).shards
  data = first.path.read_bytes()
  first.path.write_bytes(data[: first.offsets()[2] + 3])
  data = bytearray(second.path.read_bytes())
  start, end = second.offsets()[:2]
  data[start:end] = bytes(end - start)
  second.path.write_bytes(data)
  ids, reader = tiny_records.read_ids(tmp_path)
  assert ids == [0, 3, 4, 7, 2, 5, 8]
  assert reader.damaged == [(first.file, 2), (first.file, 3), (second.file, 0)]


def test_damaged_sidecar_is_an_error(tmp_path):
  shard = tiny_records.write(tmp_path).shards[0]
  shard.offsets_path.write_bytes(shard.offsets_path.read_bytes()[:-8])
  with pytest.raises(ValueError, match='must hold 4 ascending offsets, got 3'):
    tiny_records.read_ids(tmp_path)
