"""Training on a subset is training on a copy of its records, bit for bit."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from official_repro.data import manifest, pipeline, records, subsets, vocabulary
from official_repro.data.hierarchy import Hierarchy

N, SHARDS, CLASSES = 48, 4, 10
SPACE = Hierarchy.flat([f'class {i}' for i in range(CLASSES)])
KEPT_LABELS = [0, 1, 2, 3, 4, 7]
# Of each shard of 12: few, so that they are read one by one; most, so that the
# shard is read on; none; all.
PLACES = [[0, 7, 11], [0, 1, 2, 4, 5, 6, 8, 9, 10], [], range(12)]
OPTIONS = {
  'resize': 12,
  'crop': 8,
  'with_source_id': True,
  'with_confidence': True,
  'max_labels': 2,
}


def example(i):
  pixels = np.random.default_rng(i).integers(0, 256, (12, 12, 3), np.uint8)
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, 'PNG')
  return records.Example(
    encoded=file.getvalue(),
    height=12,
    width=12,
    source_id=f'r{i:02d}',
    label_ids=[0, 1 + i % 9],
    given_label_ids=[1 + i % 9],
    confidence=[0.25, i / 64],
  )


def write_full(folder):
  with records.RecordWriter(folder, 'train', SHARDS) as writer:
    for i in range(N):
      writer.write(example(i))
  shards = {'train': writer.shards}
  records.write_manifest(folder, name='t', hierarchy=SPACE, splits=shards)


def write_subset(folder):
  hierarchy, label_map = vocabulary.restrict(SPACE, KEPT_LABELS)
  masks = [np.isin(np.arange(12), list(places)) for places in PLACES]
  subsets.write_subset(
    folder / 'full',
    folder / 'subset',
    {'train': masks},
    name='s',
    info={},
    hierarchy=hierarchy,
    label_map=label_map,
  )
  return hierarchy, label_map


def write_copy(folder, hierarchy, label_map):
  """The same records in shards of their own, labels rewritten."""
  folder.mkdir()
  shards = []
  for s, places in enumerate(PLACES):
    if not len(places):
      continue
    writer = records.ShardWriter(folder / f'.{s}')
    for place in places:
      new = vocabulary.relabel(example(s + SHARDS * place), label_map)
      writer.write(records.encode_example(new))
    writer.finish()
    shards.append(writer.rename(f'train-{s:05d}'))
  shards = {'train': tuple(shards)}
  records.write_manifest(folder, name='c', hierarchy=hierarchy, splits=shards)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """full: all records; subset: some of them; copy: what it should equal."""
  path = tmp_path_factory.mktemp('data')
  write_full(path / 'full')
  write_copy(path / 'copy', *write_subset(path))
  return path


@pytest.fixture
def damaged(folder):
  """The folder, whose shards the test may damage."""
  files = {path: path.read_bytes() for path in folder.glob('*/*.tfrecord')}
  yield folder
  for path, content in files.items():
    path.write_bytes(content)


@pytest.fixture(scope='module')
def training(folder):
  """Datasets from the start on, which read what is there when they are read."""
  return {name: make(folder / name, True) for name in ('subset', 'copy')}


@pytest.fixture(scope='module')
def expected(training):
  """The first 92 rows of training on the copy: over three epochs of 24."""
  return rows(training['copy'], 23)


def make(folder, training, batch_size=4, **options):
  if training:
    options = {'shuffle_group': 14, **options}
  return pipeline.make_dataset(
    folder,
    'train',
    batch_size=batch_size,
    training=training,
    **{**OPTIONS, **options},
  )


def rows(dataset, count=None):
  batches = [
    {k: v.numpy() for k, v in batch.items()}
    for batch in (dataset.take(count) if count else dataset)
  ]
  return {key: np.concatenate([b[key] for b in batches]) for key in batches[0]}


def assert_same(actual, expected):
  assert actual.keys() == expected.keys()
  for key in actual:
    np.testing.assert_array_equal(actual[key], expected[key], err_msg=key)


@pytest.mark.parametrize('start', [0, 31])
def test_training_on_a_subset_is_training_on_a_copy(
  folder, training, expected, start
):
  dataset = training['subset']
  if start:
    dataset = make(folder / 'subset', True, start_position=start)
  got = rows(dataset, 15)  # 60 rows, over two epochs of 24
  assert_same(got, {k: v[start : start + 60] for k, v in expected.items()})
  assert len(set(got['source_id'].tolist())) == 24


def test_given_labels_too(folder):
  got = rows(
    make(folder / 'subset', False, labels='given', with_confidence=False)
  )
  label_map = dict(zip(KEPT_LABELS, range(6)))
  for source_id, label_ids in zip(got['source_id'], got['label_ids']):
    given = label_map.get(1 + int(source_id[1:]) % 9, -1)
    assert label_ids.tolist() == [given, -1]


def test_evaluation_on_a_subset_is_evaluation_on_a_copy(folder):
  got = rows(make(folder / 'subset', False))
  assert_same(got, rows(make(folder / 'copy', False)))
  expected = [
    f'r{s + SHARDS * p:02d}' for s, places in enumerate(PLACES) for p in places
  ]
  assert [i.decode() for i in got['source_id']] == expected


def test_python_reads_the_same_bytes(folder):
  assert list(records.iterate_records(folder / 'subset', 'train')) == list(
    records.iterate_records(folder / 'copy', 'train')
  )


def test_record_ids(folder, expected):
  found = pipeline.record_ids(
    folder / 'subset', 'train', start_position=5, count=30, shuffle_group=14
  )
  assert found == [name.decode() for name in expected['source_id'][5:35]]


@pytest.mark.parametrize('i', [0, 1])
def test_two_pipelines_share_the_batches(folder, expected, i):
  context = tf.distribute.InputContext(2, i, 2)
  got = rows(make(folder / 'subset', True, input_context=context), 8)
  # Each has its half of the 8 batches of 4.
  of_pipeline = np.arange(32).reshape(8, 2, 2)[:, i].ravel()
  assert_same(got, {k: v[of_pipeline] for k, v in expected.items()})


def break_length(path, offset):
  data = bytearray(path.read_bytes())
  data[offset] ^= 1
  path.write_bytes(data)


@pytest.mark.parametrize('split', [0, 1, 3])
def test_a_damaged_record_costs_itself_only(damaged, training, capfd, split):
  shard = manifest.Dataset.load(damaged / 'full').split('train').shards[split]
  place = list(PLACES[split])[1]
  break_length(shard.path, shard.offsets()[place])
  (same,) = (damaged / 'copy').glob(f'train-{split:05d}.tfrecord')
  of_copy = manifest.Dataset.load(damaged / 'copy').split('train').shards
  (copied,) = (s for s in of_copy if s.path == same)
  break_length(same, copied.offsets()[1])
  got = rows(training['subset'], 12)
  told = capfd.readouterr().err
  assert shard.path.name in told
  assert f': 1 of {copied.records} left out.' in told
  assert_same(got, rows(training['copy'], 12))
  assert f'r{split + SHARDS * place:02d}'.encode() not in got['source_id']


def test_damage_to_a_record_outside_costs_nothing(
  damaged, training, expected, capfd
):
  shard = manifest.Dataset.load(damaged / 'full').split('train').shards[1]
  assert 3 not in PLACES[1]
  break_length(shard.path, shard.offsets()[3])
  got = rows(training['subset'], 12)
  assert 'Damaged' not in capfd.readouterr().err
  assert_same(got, {k: v[:48] for k, v in expected.items()})


def test_a_stored_label_outside_the_map_names_the_record(tmp_path):
  write_full(tmp_path / 'full')
  write_subset(tmp_path)
  space = Hierarchy.flat([f'class {i}' for i in range(5)])
  shards = {
    'train': manifest.Dataset.load(tmp_path / 'subset').split('train').shards
  }
  # As if the records had more labels than the map says.
  records.write_manifest(
    tmp_path / 'subset',
    name='s',
    hierarchy=space,
    splits=shards,
    label_map=np.arange(5, dtype=np.int32),
  )
  with pytest.raises(
    tf.errors.InvalidArgumentError, match=r'outside 0\.\.4 in record'
  ):
    rows(make(tmp_path / 'subset', False))
