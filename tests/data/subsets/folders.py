"""Data folders to take subsets of, and what is in them."""

from official_repro.data import records
from official_repro.data.hierarchy import Hierarchy
from official_repro.data.subsets import choosing
from official_repro.data.subsets.choosing import Choice

N = 300
# 0 thing > 1 fruit > 2 apple; 3 stone.
SPACE = Hierarchy(
  range(4), ['thing', 'fruit', 'apple', 'stone'], [(), (0,), (1,), ()], [1] * 4
)


def example(i, **changes):
  given = [2, 1, 3][i % 3]
  fields = {
    'encoded': bytes([i % 251]) * 2000,
    'height': 3,
    'width': 4,
    'source_id': f'id-{i}',
    'label_ids': SPACE.fill([given]),
    'given_label_ids': [given],
  }
  return records.Example(**{**fields, **changes})


def write(folder, numbers, num_shards=4, validation=10, **changes):
  shards = {}
  for split, of_split in (
    ('train', numbers),
    ('validation', range(validation)),
  ):
    with records.RecordWriter(folder, split, num_shards) as writer:
      for i in of_split:
        writer.write(example(i, **changes))
    shards[split] = writer.shards
  records.write_manifest(
    folder, name='fruit', hierarchy=SPACE, splits=shards, info={'source': 'x'}
  )
  return folder


def read(folder, split='train'):
  reader = records.iterate_records(folder, split)
  return [records.decode_example(r) for r in reader]


def ids(folder, split='train'):
  return [e.source_id for e in read(folder, split)]


def make(folder, output, **options):
  choice = Choice(**options)
  return choosing.make_subset(folder, output, choice, processes=1)
