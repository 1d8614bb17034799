import dataclasses
import hashlib
import json
import struct

import numpy as np
import pytest

from official_repro.data import crc32c, examples, manifest, records
from official_repro.data.hierarchy import Hierarchy
from tests.data import tiny_records


def make_rich():
  return tiny_records.make(
    1,
    source_id='bär/1',
    confidence=[0.5, 0.25, 1.0],
    boxes=np.array([[0, 0.25, 0.5, 1], [0.5, 0, 1, 0.125]], np.float32),
    box_labels=[3, 1],
    is_crowd=[False, True],
    area=[12.5, 8],
    segmentation_png=b'png',
    keypoints=np.arange(2 * 17 * 3).reshape(2, 17, 3) % 3,
  )


# Checksums of RFC 3720, appendix B.4.
@pytest.mark.parametrize(
  ('data', 'expected'),
  [
    (b'', 0),
    (b'123456789', 0xE3069283),
    (bytes(32), 0x8A9136AA),
    (b'\xff' * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
  ],
)
def test_crc32c(data, expected):
  assert crc32c.crc32c(data) == expected


def test_crc32c_of_long_data_agrees_with_the_bytewise_definition():
  data = np.random.default_rng(0).bytes(1000)
  crc = 0xFFFFFFFF
  for byte in data:
    crc ^= byte
    for _ in range(8):
      crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
  assert crc32c.crc32c(data) == crc ^ 0xFFFFFFFF


def test_example_and_its_encoding_are_inverse():
  original = make_rich()
  decoded = records.decode_example(records.encode_example(original))
  for field in dataclasses.fields(records.Example):
    np.testing.assert_array_equal(
      getattr(decoded, field.name), getattr(original, field.name), field.name
    )
  assert decoded.keypoints.shape == (2, 17, 3)
  assert decoded.boxes.dtype == np.float32


def test_what_is_absent_stays_absent():
  decoded = records.decode_example(records.encode_example(tiny_records.make(0)))
  for field in ('confidence', 'boxes', 'box_labels', 'is_crowd', 'area'):
    assert getattr(decoded, field) is None
  assert decoded.keypoints is None
  assert decoded.segmentation_png is None
  unlabelled = tiny_records.make(0, label_ids=[], given_label_ids=[])
  decoded = records.decode_example(records.encode_example(unlabelled))
  assert decoded.label_ids == decoded.given_label_ids == []


def test_an_image_without_objects_keeps_its_empty_boxes():
  example = tiny_records.make(0, boxes=np.zeros((0, 4)), box_labels=[])
  decoded = records.decode_example(records.encode_example(example))
  assert decoded.boxes.shape == (0, 4)
  assert len(decoded.box_labels) == 0


def test_wire_format_is_that_of_tensorflow():
  import tensorflow as tf

  serialized = records.encode_example(make_rich())
  proto = tf.train.Example.FromString(serialized)
  assert proto.SerializeToString(deterministic=True) == serialized
  feature = proto.features.feature
  assert set(feature) == {
    'image/encoded',
    'image/height',
    'image/width',
    'image/source_id',
    'image/class/label',
    'image/class/given_label',
    'image/class/confidence',
    'image/object/bbox/ymin',
    'image/object/bbox/xmin',
    'image/object/bbox/ymax',
    'image/object/bbox/xmax',
    'image/object/class/label',
    'image/object/is_crowd',
    'image/object/area',
    'image/segmentation/class/encoded',
    'image/object/keypoint/y',
    'image/object/keypoint/x',
    'image/object/keypoint/visibility',
  }
  assert list(feature['image/class/label'].int64_list.value) == [0, 1, 2]
  assert list(feature['image/class/given_label'].int64_list.value) == [2]
  assert list(feature['image/object/bbox/xmin'].float_list.value) == [0.25, 0]
  assert list(feature['image/object/is_crowd'].int64_list.value) == [0, 1]
  assert feature['image/source_id'].bytes_list.value[0] == 'bär/1'.encode()
  visibility = feature['image/object/keypoint/visibility'].int64_list.value
  assert list(visibility) == [2] * 34


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'encoded': b''}, 'the image is empty'),
    ({'source_id': ''}, 'the source id is empty'),
    ({'height': 0}, 'height and width must be positive, got 0 x 4'),
    ({'confidence': [0.5]}, r'one entry per label \(3\)'),
    ({'box_labels': [1]}, 'box_labels without boxes'),
    ({'boxes': np.zeros((2, 4))}, 'boxes without box_labels'),
    ({'boxes': np.zeros((2, 3))}, r'boxes must be \[N, 4\], got \(2, 3\)'),
    ({'boxes': np.zeros((1, 4)), 'box_labels': [0]}, 'start at 1'),
    (
      {'boxes': np.zeros((2, 4)), 'box_labels': [1]},
      r'box_labels must have one entry per box \(2\)',
    ),
  ],
)
def test_inconsistent_examples_are_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    records.encode_example(tiny_records.make(0, **changes))


def test_what_is_no_example_is_refused():
  with pytest.raises(ValueError, match=r'no tf\.train\.Example'):
    records.decode_example(b'\xff\xff')
  with pytest.raises(ValueError, match='no image/encoded'):
    records.decode_example(b'')


def test_round_robin_shards_of_even_size(tmp_path):
  writer = tiny_records.write(tmp_path, num_records=10, num_shards=3)
  assert writer.records == 10
  assert [s.records for s in writer.shards] == [4, 3, 3]
  assert [s.file for s in writer.shards] == [
    f'train-0000{i}-of-00003.tfrecord' for i in range(3)
  ]
  ids, reader = tiny_records.read_ids(tmp_path)
  assert ids == [0, 3, 6, 9, 1, 4, 7, 2, 5, 8]
  assert reader.skipped == 0


def test_no_more_shards_than_records(tmp_path):
  writer = tiny_records.write(tmp_path, num_records=2, num_shards=5)
  assert [s.records for s in writer.shards] == [1, 1]
  assert sorted(p.name for p in tmp_path.iterdir()) == [
    'dataset.json',
    'labels.tsv',
    'train-00000-of-00002.offsets',
    'train-00000-of-00002.tfrecord',
    'train-00001-of-00002.offsets',
    'train-00001-of-00002.tfrecord',
  ]


def test_tensorflow_reads_the_shards(tmp_path):
  import tensorflow as tf

  shards = tiny_records.write(tmp_path).shards
  files = [str(s.path) for s in shards]
  read = [r.numpy() for r in tf.data.TFRecordDataset(files)]
  assert read == list(records.iterate_records(tmp_path, 'train'))
  assert len(read) == 10


def test_manifest_and_sidecars_describe_the_files(tmp_path):
  shards = tiny_records.write(tmp_path, info={'seed': 3}).shards
  content = (tmp_path / 'dataset.json').read_bytes()
  parsed = json.loads(content)
  assert parsed['name'] == 'tiny'
  assert parsed['version'] == 1
  assert parsed['info'] == {'seed': 3}
  assert parsed['label_space'] == {
    'num_classes': 3,
    'hash': Hierarchy.flat(['a', 'b', 'c']).hash(),
    'file': 'labels.tsv',
  }
  assert parsed['splits']['train']['records'] == 10
  for shard, entry in zip(shards, parsed['splits']['train']['shards']):
    data = shard.path.read_bytes()
    assert entry == {
      'file': shard.path.name,
      'records': shard.records,
      'sha256': hashlib.sha256(data).hexdigest(),
      'bytes': len(data),
    }
    assert manifest.sha256_of_file(shard.path) == entry['sha256']
    offsets = shard.offsets()
    assert offsets.dtype == np.dtype('<i8')
    lengths = [struct.unpack_from('<Q', data, o)[0] for o in offsets]
    assert offsets.tolist() == [
      sum(n + 16 for n in lengths[:i]) for i in range(len(lengths))
    ]
    assert offsets[-1] + lengths[-1] + 16 == len(data)


def test_load(tmp_path):
  tiny_records.write(tmp_path, info={'seed': 3})
  dataset = records.Dataset.load(tmp_path)
  assert dataset.name == 'tiny'
  assert dataset.info == {'seed': 3}
  assert dataset.hierarchy.names == ['a', 'b', 'c']
  assert dataset.split('train').records == 10
  assert [s.records for s in dataset.splits['train'].shards] == [4, 3, 3]
  content = (tmp_path / 'dataset.json').read_bytes()
  assert dataset.manifest_hash == hashlib.sha256(content).hexdigest()


def test_same_records_give_the_same_hash(tmp_path):
  hashes = set()
  for name in ('a', 'b'):
    tiny_records.write(tmp_path / name)
    hashes.add(records.Dataset.load(tmp_path / name).manifest_hash)
  assert len(hashes) == 1


@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt])
def test_a_failed_writer_leaves_nothing(tmp_path, error):
  with (
    pytest.raises(error),
    records.RecordWriter(tmp_path, 'train', 2) as writer,
  ):
    writer.write(tiny_records.make(0))
    assert len(list(tmp_path.iterdir())) == 2
    assert not any(p.suffix == '.tfrecord' for p in tmp_path.iterdir())
    raise error
  assert list(tmp_path.iterdir()) == []


def test_writer_refuses_a_second_use_of_a_source_id(tmp_path):
  with (
    pytest.raises(ValueError, match="'id-0' occurs twice in split 'train'"),
    records.RecordWriter(tmp_path, 'train', 2) as writer,
  ):
    writer.write(tiny_records.make(0))
    writer.write(tiny_records.make(0))
  assert list(tmp_path.iterdir()) == []


def test_writer_checks_its_arguments(tmp_path):
  with pytest.raises(ValueError, match='at least 1, got 0'):
    records.RecordWriter(tmp_path, 'train', 0)
  with pytest.raises(ValueError, match=r"'\.\./x' must be letters"):
    records.RecordWriter(tmp_path, '../x', 1)


def test_declared_messages_stay_apart_from_tensorflows():
  assert examples._example_class().DESCRIPTOR.full_name == (
    'official_repro.Example'
  )
