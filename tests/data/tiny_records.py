"""A data folder of ten small records."""

import dataclasses

from official_repro.data import records
from official_repro.data.hierarchy import Hierarchy


def make(i, **changes):
  example = records.Example(
    encoded=bytes([i % 251]) * (300 + 7 * i),
    height=3,
    width=4,
    source_id=f'id-{i}',
    label_ids=[0, 1, 2],
    given_label_ids=[2],
  )
  return dataclasses.replace(example, **changes)


def write(data_dir, num_records=10, num_shards=3, **kwargs):
  with records.RecordWriter(data_dir, 'train', num_shards) as writer:
    for i in range(num_records):
      writer.write(make(i))
  records.write_manifest(
    data_dir,
    name='tiny',
    hierarchy=Hierarchy.flat(['a', 'b', 'c']),
    splits={'train': writer.shards, 'validation': ()},
    **kwargs,
  )
  return writer


def read_ids(data_dir):
  reader = records.iterate_records(data_dir, 'train')
  ids = [int(records.decode_example(r).source_id[3:]) for r in reader]
  return ids, reader
