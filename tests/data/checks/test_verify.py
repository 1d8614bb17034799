import io
import json

import numpy as np
import pytest
from PIL import Image

from official_repro import verify as binary
from official_repro.data import manifest, records, subsets, vocabulary
from official_repro.data.checks import verify
from official_repro.data.checks.shards import Finding
from official_repro.data.hierarchy import Hierarchy
from tests import binaries, tiny

# 0 thing > 1 fruit > 2 apple; 3 stone.
SPACE = Hierarchy(
  range(4), ['thing', 'fruit', 'apple', 'stone'], [(), (0,), (1,), ()], [1] * 4
)
SHARD = 'train-00001-of-00003.tfrecord'


def picture(i):
  pixels = np.random.default_rng(i).integers(0, 256, (6, 8, 3), np.uint8)
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, 'PNG')
  return file.getvalue()


def example(i, **changes):
  given = [2, 1, 3][i % 3]
  fields = {
    'encoded': picture(i),
    'height': 6,
    'width': 8,
    'source_id': f'id-{i}',
    'label_ids': SPACE.fill([given]),
    'given_label_ids': [given],
  }
  return records.Example(**{**fields, **changes})


def write(folder, examples, fill=True):
  with records.RecordWriter(folder, 'train', 3) as writer:
    for each in examples:
      # The writer refuses an id that it has seen.
      writer._source_ids.clear()
      writer.write(each)
  records.write_manifest(
    folder,
    name='test',
    hierarchy=SPACE,
    splits={'train': writer.shards, 'validation': ()},
    info={'options': {'fill': fill}},
  )
  return folder


@pytest.fixture
def folder(tmp_path):
  """A sound folder: record i is number i // 3 of shard i mod 3."""
  return write(tmp_path / 'data', [example(i) for i in range(12)])


def found_in(folder):
  return verify.verify(folder, processes=1).findings


def shards(folder):
  return manifest.Dataset.load(folder).split('train').shards


def edit(path, change):
  data = bytearray(path.read_bytes())
  changed = change(data)
  path.write_bytes(data if changed is None else changed)


def flip(at):
  def change(data):
    data[at] ^= 1

  return change


def test_a_sound_folder(folder):
  result = verify.verify(folder, processes=1)
  assert result == verify.Result([], 12, 3)


def test_wrong_records_are_named(tmp_path):
  wrong = [example(i) for i in range(12)]
  wrong[4] = example(4, label_ids=[1], given_label_ids=[1])
  wrong[7] = example(7, height=7, label_ids=[0, 1, 9])
  folder = write(tmp_path / 'data', wrong)
  assert found_in(folder) == [
    Finding(SHARD, 1, 'id-4', 'ancestors 0 of the labels are missing'),
    Finding(
      SHARD,
      2,
      'id-7',
      'the record says 7 x 8 (height x width), the picture is 6 x 8',
    ),
    Finding(SHARD, 2, 'id-7', 'labels 9 outside 0..3'),
  ]
  # Built without fill-in, 4 is as it should be.
  folder = write(tmp_path / 'unfilled', wrong, fill=False)
  assert {f.record for f in found_in(folder)} == {2}


def test_what_is_no_example_is_named(folder):
  writer = records.ShardWriter(folder / '.x')
  for data in (records.encode_example(example(1)), b'\xff\xff', b''):
    writer.write(data)
  writer.finish()
  shard = writer.rename('train-x')
  records.write_manifest(
    folder, name='t', hierarchy=SPACE, splits={'train': [shard]}
  )
  found = found_in(folder)
  assert [f.record for f in found] == [1, 2]
  assert found[0].what.startswith('it cannot be decoded: The record is no tf')
  assert 'has no image/encoded' in found[1].what


def test_a_damaged_record(folder):
  shard = shards(folder)[1]
  edit(shard.path, flip(shard.offsets()[2] + 50))
  found = found_in(folder)
  assert found[0] == Finding(
    SHARD, what='its SHA-256 is not the one in dataset.json: it was changed'
  )
  assert (found[1].file, found[1].record) == (SHARD, 2)
  assert found[1].what.startswith('no sound record at byte')
  assert len(found) == 2


def test_a_damaged_length_hides_no_other_record(folder):
  shard = shards(folder)[1]
  edit(shard.path, flip(shard.offsets()[1]))
  result = verify.verify(folder, processes=1)
  assert [f.record for f in result.findings] == [None, 1]
  assert result.records == 11


def test_a_cut_shard(folder):
  shard = shards(folder)[1]
  edit(shard.path, lambda data: data[: shard.offsets()[2] + 9])
  found = found_in(folder)
  assert [f.record for f in found] == [None, 2, 3]
  assert found[0].what == (
    f'{shard.offsets()[2] + 9} bytes, dataset.json says {shard.bytes}'
  )


def test_a_lengthened_shard(folder):
  shard = shards(folder)[1]
  edit(shard.path, lambda data: data + bytes(7))
  found = found_in(folder)
  assert [f.record for f in found] == [None, 3]
  assert found[1].what == '7 bytes between its end and what .offsets has next'


def test_a_missing_shard_is_one_finding(folder):
  shards(folder)[1].path.unlink()
  result = verify.verify(folder, processes=1)
  assert result.findings == [Finding(SHARD, what='the file is missing')]
  assert result.records == 8


OFFSETS = SHARD.replace('tfrecord', 'offsets')


def numbers(change):
  """Changes a file of int64."""
  return lambda data: change(np.frombuffer(bytes(data), '<i8').copy()).tobytes()


def add(place, value):
  def change(values):
    values[place] += value
    return values

  return numbers(change)


@pytest.mark.parametrize(
  'change, what',
  [
    (lambda data: data[:-3], '29 bytes are no list of offsets'),
    (lambda data: b'', '0 bytes are no list of offsets'),
    (numbers(lambda x: x[::-1]), 'its offsets do not ascend from 0'),
    (add(0, 1), 'its offsets do not ascend from 0'),
    (add(2, 1), 'its offsets are not where the records begin'),
    (add(3, 10**9), 'it has offsets behind the end of the shard'),
    (numbers(lambda x: x[:-1]), '3 offsets for 4 records'),
  ],
)
def test_a_wrong_sidecar(folder, change, what):
  edit(folder / OFFSETS, change)
  result = verify.verify(folder, processes=1)
  assert result.findings == [Finding(OFFSETS, what=what)]
  assert result.records == 12  # the records are found all the same


def test_a_missing_sidecar(folder):
  (folder / OFFSETS).unlink()
  assert found_in(folder) == [Finding(OFFSETS, what='the file is missing')]


def edit_manifest(folder, change):
  path = folder / 'dataset.json'
  content = json.loads(path.read_text())
  change(content)
  path.write_text(json.dumps(content))


def test_a_manifest_with_wrong_numbers(folder):
  def change(content):
    content['splits']['train']['records'] = 14
    content['splits']['train']['shards'][1]['records'] = 5

  edit_manifest(folder, change)
  assert found_in(folder) == [
    Finding(
      'dataset.json', what="split 'train' has 14 records, its shards have 13"
    ),
    Finding(SHARD, what='4 records, dataset.json says 5'),
  ]


def test_another_label_space(folder):
  Hierarchy.flat(list('abcd')).save(folder / 'labels.tsv')
  (found,) = found_in(folder)
  assert found.file == 'labels.tsv'
  assert 'is not the label space' in found.what
  (folder / 'labels.tsv').unlink()
  (found,) = found_in(folder)
  assert found == Finding('labels.tsv', what='No such file or directory')


def test_source_ids_that_occur_twice(tmp_path):
  ids = ['a', 'b', 'c', 'd', 'a', 'e', 'f', 'c', 'a']
  folder = write(
    tmp_path / 'data', [example(i, source_id=s) for i, s in enumerate(ids)]
  )
  first = (
    'its source id is also that of train-00000-of-00003.tfrecord, record 0'
  )
  assert found_in(folder) == [
    Finding(SHARD, 1, 'a', first),
    Finding('train-00002-of-00003.tfrecord', 2, 'a', first),
    Finding(
      'train-00002-of-00003.tfrecord',
      0,
      'c',
      f'its source id is also that of {SHARD}, record 2',
    ),
  ]


def test_the_same_id_in_two_splits_is_fine(folder):
  train = shards(folder)
  records.write_manifest(
    folder,
    name='t',
    hierarchy=SPACE,
    splits={'train': train, 'other': train[:1]},
  )
  assert found_in(folder) == []


def test_folders_that_cannot_be_checked(tmp_path):
  with pytest.raises(FileNotFoundError, match='no data folder'):
    verify.verify(tmp_path / 'nowhere', processes=1)
  (tmp_path / 'dataset.json').write_text('{')
  with pytest.raises(ValueError, match='is no JSON'):
    verify.verify(tmp_path, processes=1)
  (tmp_path / 'dataset.json').write_text('{"version": 1}')
  with pytest.raises(ValueError, match='is damaged'):
    verify.verify(tmp_path, processes=1)


# Subsets.


@pytest.fixture
def subset(folder, tmp_path):
  """Records 0 and 2 of each shard, as fruit and stone."""
  hierarchy, label_map = vocabulary.restrict(SPACE, [1, 3])
  subsets.write_subset(
    folder,
    tmp_path / 'subset',
    {'train': [np.array([True, False, True, False])] * 3},
    name='s',
    info={},
    hierarchy=hierarchy,
    label_map=label_map,
  )
  return tmp_path / 'subset'


def test_a_sound_subset(subset):
  assert verify.verify(subset, processes=1) == verify.Result([], 6, 3)


def test_only_damage_to_its_records_is_listed_by_record(folder, subset):
  shard = shards(folder)[1]
  edit(shard.path, flip(shard.offsets()[1] + 50))
  assert [f.record for f in found_in(subset)] == [None]
  edit(shard.path, flip(shard.offsets()[2] + 50))
  assert [f.record for f in found_in(subset)] == [None, 2]


def test_a_subset_whose_shard_is_gone(folder, subset):
  (folder / SHARD).unlink()
  assert found_in(subset) == [Finding(SHARD, what='the file is missing')]


def test_a_changed_selection_or_label_map(subset):
  path = subset / SHARD.replace('tfrecord', 'selection')
  edit(path, flip(0))
  assert found_in(subset) == [
    Finding(path.name, what='its SHA-256 is not the one in dataset.json')
  ]
  path.unlink()
  (found,) = found_in(subset)
  assert found == Finding(path.name, what='the file is missing')
  edit(subset / 'label_map.tsv', lambda data: data + b'\n')
  assert [f.file for f in found_in(subset)] == ['label_map.tsv', path.name]


def test_a_selection_of_other_offsets(folder, subset):
  path = subset / SHARD.replace('tfrecord', 'selection')
  edit(path, add(3, 1))

  def change(content):
    entry = content['splits']['train']['shards'][1]['selection']
    entry['sha256'] = manifest.sha256_of_file(path)

  edit_manifest(subset, change)
  found = found_in(subset)
  assert found[0] == Finding(
    path.name, what='its offsets are not those of the shard'
  )
  assert [f.record for f in found[1:]] == [2]


# The binary.


def test_the_binary(folder, tmp_path):
  done = tiny.call('verify', data_dir=folder, processes=2)
  assert (done.returncode, binaries.messages(done)) == (0, [])
  assert done.stdout == f'{folder}: 12 records in 3 shards are sound.\n'
  for shard in shards(folder):
    edit(shard.path, flip(shard.offsets()[0] + 50))
  done = tiny.call(
    'verify',
    data_dir=folder,
    max_listed=2,
    output=tmp_path / 'out',
    processes=1,
  )
  assert done.returncode == 1
  lines = done.stdout.splitlines()
  name = 'train-00000-of-00003.tfrecord'
  assert lines[0].startswith(f'{name}: its SHA-256')
  assert lines[1].startswith(f'{name}, record 0: no sound record at byte 0')
  assert lines[2] == '... and 4 more; --output=DIR lists all in verify.csv.'
  assert binaries.messages(done) == [
    f'Error: {folder}: 6 thing(s) wrong in 3 file(s); 9 records in 3 shards '
    'were read.'
  ]
  table = (tmp_path / 'out' / 'verify.csv').read_text().splitlines()
  assert table[0] == 'file,record,source_id,what'
  assert len(table) == 7
  assert table[2].startswith(f'{name},0,,"no sound record')


@pytest.mark.parametrize(
  'argv, expected',
  [
    (['v', 'dir'], ['v', '--data_dir=dir']),
    (['v', 'dir', '--processes=2'], ['v', '--data_dir=dir', '--processes=2']),
    (['v', '--processes=2', 'dir'], ['v', '--processes=2', '--data_dir=dir']),
    (['v', '--data_dir', 'dir'], ['v', '--data_dir', 'dir']),
    (['v'], ['v']),
  ],
)
def test_the_folder_needs_no_flag(argv, expected):
  assert binary.with_flag(argv) == expected


def test_a_finding_in_words():
  assert str(Finding('f', 3, 'x y', 'is odd')) == "f, record 3, 'x y': is odd"
  assert str(Finding('f', what='is odd')) == 'f: is odd'
