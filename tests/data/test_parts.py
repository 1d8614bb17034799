"""Training on parts of records: order, resume, damage."""

import collections

import numpy as np
import pytest

from official_repro.data import manifest, pipeline
from official_repro.data import parts as parts_lib
from official_repro.data import records as records_lib
from tests.data import pipelines as base

N, SHARDS = 13, 4


@pytest.fixture(scope='module')
def split(tmp_path_factory):
  folder = tmp_path_factory.mktemp('parts')
  base.write(folder, [base.example(i) for i in range(N)], SHARDS)
  return manifest.Dataset.load(str(folder)).split('train')


def numbered(split, counts):
  """Parts 10, 11, ... of each record; counts [N] in file order."""
  rows, numbers, start = [], [], 0
  for shard in split.shards:
    own = counts[start : start + shard.records]
    start += shard.records
    rows.append(np.repeat(np.arange(shard.records), own))
    numbers.append(np.concatenate([10 + np.arange(n) for n in own]))
  return parts_lib.Parts(rows, numbers)


def stream(split, parts, count, **options):
  records, _ = pipeline.serialized_records(
    split, batch_size=2, training=True, parts=parts, **options
  )
  found = []
  for draws, number, record in records.take(count):
    name = records_lib.decode_example(record.numpy()).source_id
    found.append((name, int(number), *draws.numpy().tolist()))
  return found


COUNTS = np.array([1, 0, 3, 2, 0, 0, 1, 4, 1, 0, 2, 1, 1])


@pytest.mark.parametrize('group', [4, 1000])
def test_each_part_comes_once_an_epoch_in_a_new_order(split, group):
  total = COUNTS.sum()
  found = stream(split, numbered(split, COUNTS), 2 * total, shuffle_group=group)
  first, second = ([f[:2] for f in found[i:][:total]] for i in (0, total))
  order = base.file_order(_folder(split))
  expected = {
    (name, 10 + k) for name, n in zip(order, COUNTS) for k in range(n)
  }
  assert len(first) == len(set(first)) and set(first) == expected
  assert set(second) == expected and first != second


def _folder(split):
  return split.shards[0].path.parent


@pytest.fixture(scope='module')
def straight(split):
  return stream(split, numbered(split, COUNTS), 30, shuffle_group=5)


def test_a_start_in_the_middle_goes_on_as_a_straight_run(split, straight):
  parts = numbered(split, COUNTS)
  for start in (1, 9, 20):
    later = stream(
      split, parts, 30 - start, shuffle_group=5, start_position=start
    )
    assert later == straight[start:]


def test_record_ids_name_the_parts(split, straight):
  names = pipeline.record_ids(
    str(_folder(split)),
    'train',
    start_position=2,
    count=4,
    shuffle_group=5,
    parts=numbered(split, COUNTS),
  )
  assert names == [f'{name}#{number}' for name, number, *_ in straight[2:6]]


def test_shards_and_groups_without_parts_are_passed_over(split):
  counts = np.zeros(N, int)
  counts[-2:] = 1, 2
  found = stream(split, numbered(split, counts), 9, shuffle_group=1)
  assert set(collections.Counter(f[:2] for f in found).values()) == {3}


def test_no_part_at_all_is_an_error(split):
  with pytest.raises(ValueError, match='at least one record'):
    stream(split, numbered(split, np.zeros(N, int)), 1)


def test_parts_of_a_damaged_record_are_replaced(tmp_path):
  folder = base.write(tmp_path, [base.example(i) for i in range(N)], SHARDS)
  data = manifest.Dataset.load(str(folder)).split('train')
  parts = numbered(data, np.full(N, 2))
  names = base.file_order(folder)
  base.damage(folder, 1, 0, 'data')
  lost = names[data.shards[0].records]
  found = stream(data, parts, 2 * N, shuffle_group=1000)
  assert len(found) == 2 * N
  assert lost not in {f[0] for f in found}
  assert {f[0] for f in found} == set(names) - {lost}
