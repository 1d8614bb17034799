"""Tiny data folders of numbered pictures, and what a pipeline reads."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image

from official_repro.data import hierarchy, pipeline, records

N, SHARDS, CLASSES = 37, 5, 10
SMALL = {'resize': 12, 'crop': 8}
GROUPS = {'shuffle_group': 14}  # two shards of 7 or 8: three groups an epoch


def picture(index):
  """A PNG of 12 x 12 that no other index has."""
  pixels = np.random.default_rng(index).integers(0, 256, (12, 12, 3), np.uint8)
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, 'PNG')
  return file.getvalue()


def example(index, **changes):
  fields = {
    'encoded': picture(index),
    'height': 12,
    'width': 12,
    'source_id': f'r{index:02d}',
    'label_ids': [0, 1 + index % 9],
    'given_label_ids': [1 + index % 9],
    'confidence': [0.25, index / 64],
  }
  return records.Example(**{**fields, **changes})


def write(folder, examples, shards=SHARDS, splits=('train',)):
  written = {}
  for split in splits:
    with records.RecordWriter(folder, split, num_shards=shards) as writer:
      for each in examples:
        writer.write(each)
    written[split] = writer.shards
  flat = hierarchy.Hierarchy.flat([f'class {i}' for i in range(CLASSES)])
  records.write_manifest(folder, name='test', hierarchy=flat, splits=written)
  return folder


def make(path, training, batch_size=8, split='train', **options):
  options = {**SMALL, **(GROUPS if training else {}), **options}
  options.setdefault('with_source_id', True)
  return pipeline.make_dataset(
    path, split, batch_size=batch_size, training=training, **options
  )


def rows(dataset, count=None):
  """The first `count` (or all) rows of a dataset: {key: array}."""
  batches = []
  for batch in dataset:
    batches.append({k: v.numpy() for k, v in batch.items()})
    if count and sum(len(b['image']) for b in batches) >= count:
      break
  return {
    key: np.concatenate([b[key] for b in batches])[:count] for key in batches[0]
  }


def names(array):
  return [name.decode() for name in array]


def assert_same(actual, expected):
  assert actual.keys() == expected.keys()
  for key in actual:
    np.testing.assert_array_equal(actual[key], expected[key], err_msg=key)


ALL = [f'r{i:02d}' for i in range(N)]


def file_order(path, split='train'):
  return [
    records.decode_example(record).source_id
    for record in records.iterate_records(path, split)
  ]


def file_order_of(folder, path):
  """Source ids of one shard."""
  split = records.Dataset.load(folder).split('train')
  shards = tuple(s for s in split.shards if s.path == path)
  reader = records.RecordReader(records.Split('train', 0, shards))
  return [records.decode_example(record).source_id for record in reader]


def damage(folder, shard_index, record_index, kind):
  """Damages one record; returns the source ids that are lost."""
  split = records.Dataset.load(folder).split('train')
  shard = split.shards[shard_index]
  names_in_shard = file_order_of(folder, shard.path)
  begin = shard.offsets()[record_index]
  content = bytearray(shard.path.read_bytes())
  if kind == 'cut':
    shard.path.write_bytes(content[: begin + 30])
    return names_in_shard[record_index:]
  content[begin + {'length': 1, 'length crc': 9, 'data': 40}[kind]] ^= 1
  shard.path.write_bytes(content)
  return names_in_shard[record_index : record_index + 1]


def context(pipelines, pipeline_id, replicas):
  return tf.distribute.InputContext(pipelines, pipeline_id, replicas)


def ids(folder, count, start=0, **options):
  return pipeline.record_ids(
    folder, 'train', start_position=start, count=count, **options
  )
