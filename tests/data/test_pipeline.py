import io
import json

import numpy as np
import pytest
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


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp('data')
  return write(path, [example(i) for i in range(N)])


@pytest.fixture(scope='module')
def trained(folder):
  """The first 160 rows of the training with seed 0: over four epochs."""
  return rows(make(folder, True), 160)


@pytest.fixture(scope='module')
def folder_to_damage(tmp_path_factory):
  path = tmp_path_factory.mktemp('to_damage')
  return write(path, [example(i) for i in range(N)])


@pytest.fixture
def own_folder(folder_to_damage):
  """A folder that the test may damage."""
  files = {path: path.read_bytes() for path in folder_to_damage.iterdir()}
  yield folder_to_damage
  for path, content in files.items():
    path.write_bytes(content)


@pytest.fixture(scope='module')
def of_damaged(folder_to_damage):
  """Datasets of that folder, which read what is there when they are read."""
  return {
    'training': make(folder_to_damage, True),
    'from 30': make(folder_to_damage, True, start_position=30),
    'evaluation': make(folder_to_damage, False),
  }


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


# Contents.


def test_what_training_gives(folder):
  dataset = make(folder, True, with_confidence=True, max_labels=5)
  assert dataset.element_spec == {
    'image': tf.TensorSpec([8, 8, 8, 3], tf.uint8),
    'label_ids': tf.TensorSpec([8, 5], tf.int32),
    'confidence': tf.TensorSpec([8, 5], tf.float32),
    'source_id': tf.TensorSpec([8], tf.string),
  }
  got = rows(dataset, N)
  for name, image, ids, confidence in zip(
    got['source_id'], got['image'], got['label_ids'], got['confidence']
  ):
    index = int(name[1:])
    assert ids.tolist() == [0, 1 + index % 9, -1, -1, -1]
    assert confidence.tolist() == [0.25, index / 64, 0, 0, 0]
    # A record of the right size is cut, not resampled: find the window.
    whole = np.asarray(Image.open(io.BytesIO(picture(index))))
    windows = [
      whole[y : y + 8, x : x + 8][:, ::step]
      for y in range(5)
      for x in range(5)
      for step in (1, -1)
    ]
    assert any((image == window).all() for window in windows)


def test_training_gives_only_what_is_asked_for(folder):
  dataset = make(folder, True, with_source_id=None)
  assert dataset.element_spec.keys() == {'image', 'label_ids'}


def test_evaluation_is_one_pass_in_file_order_of_central_windows(folder):
  dataset = make(folder, False, with_source_id=None)
  sizes = [len(batch['image']) for batch in dataset]
  assert sizes == [8, 8, 8, 8, 5]
  got = rows(dataset)
  assert names(got['source_id']) == file_order(folder)
  for name, image in zip(got['source_id'], got['image']):
    whole = np.asarray(Image.open(io.BytesIO(picture(int(name[1:])))))
    np.testing.assert_array_equal(image, whole[2:10, 2:10])


def test_evaluation_batches_larger_than_the_split(folder):
  (batch,) = make(folder, False, batch_size=100)
  assert batch['image'].shape == (N, 8, 8, 3)
  assert not list(make(folder, False, batch_size=100, drop_remainder=True))


def test_given_labels(folder):
  got = rows(make(folder, False, labels='given', max_labels=2))
  for name, ids in zip(got['source_id'], got['label_ids']):
    assert ids.tolist() == [1 + int(name[1:]) % 9, -1]


# Order.


def ids(folder, count, start=0, **options):
  return pipeline.record_ids(
    folder, 'train', start_position=start, count=count, **options
  )


@pytest.mark.parametrize('group', [1, 14, 8192])
def test_each_record_once_per_epoch_in_a_new_order(folder, trained, group):
  if group == GROUPS['shuffle_group']:
    order = names(trained['source_id'])[: 3 * N]
  else:
    order = ids(folder, 3 * N, shuffle_group=group)
  epochs = [order[e * N : (e + 1) * N] for e in range(3)]
  assert [sorted(epoch) for epoch in epochs] == [ALL] * 3
  assert len({tuple(epoch) for epoch in epochs}) == 3


def test_record_ids_are_those_of_the_batches(folder, trained):
  order = names(trained['source_id'])
  assert ids(folder, 3 * N, **GROUPS) == order[: 3 * N]
  assert ids(folder, 8, start=40, **GROUPS) == order[40:48]


def test_training_is_deterministic_and_depends_on_the_seed(folder, trained):
  assert_same(rows(make(folder, True), 160), trained)
  other = rows(make(folder, True, seed=1), N)
  assert names(other['source_id']) == ids(folder, N, seed=1, **GROUPS)
  assert (other['source_id'] != trained['source_id'][:N]).any()


def test_windows_differ_between_epochs(trained):
  seen = {}
  for name, image in zip(trained['source_id'], trained['image']):
    seen.setdefault(name, set()).add(image.tobytes())
  # 50 windows: four draws are nearly always different.
  assert np.mean([len(windows) for windows in seen.values()]) > 3.5


# Within the first group, at its end, and at the end of an epoch; in the third.
@pytest.mark.parametrize('start', [1, 13, 36, 37, 100])
def test_a_start_in_the_middle_is_bit_equal_to_skipping(folder, trained, start):
  tail = rows(make(folder, True, start_position=start), 48)
  assert_same(tail, {k: v[start : start + 48] for k, v in trained.items()})


def test_a_start_reads_no_earlier_group(own_folder, trained, capfd):
  expected = names(trained['source_id'])
  # Of three groups the second begins at a place that two shards make.
  first_group = {
    path
    for path in own_folder.glob('*.tfrecord')
    if set(file_order_of(own_folder, path)) & set(expected[:14])
  }
  assert len(first_group) == 2
  for path in first_group:
    path.write_bytes(b'')
  begin = sum(len(file_order_of(own_folder, p)) for p in first_group)
  assert begin == 0  # nothing is left of them
  for start in (16, 20):
    assert (
      ids(own_folder, 6, start=start, **GROUPS) == (expected[start : start + 6])
    )
  assert 'Damaged' not in capfd.readouterr().err


def file_order_of(folder, path):
  """Source ids of one shard."""
  split = records.Dataset.load(folder).split('train')
  shards = tuple(s for s in split.shards if s.path == path)
  reader = records.RecordReader(records.Split('train', 0, shards))
  return [records.decode_example(record).source_id for record in reader]


def test_one_record_is_enough_for_training(tmp_path):
  write(tmp_path, [example(3)])
  got = rows(make(tmp_path, True, batch_size=4), 8)
  assert names(got['source_id']) == ['r03'] * 8


def context(pipelines, pipeline_id, replicas):
  return tf.distribute.InputContext(pipelines, pipeline_id, replicas)


@pytest.mark.parametrize('pipelines, replicas', [(1, 2), (2, 4)])
def test_pipelines_together_give_the_global_batches(
  folder, trained, pipelines, replicas
):
  start, steps = 8, 12
  whole = {k: v[start : start + 8 * steps] for k, v in trained.items()}
  parts = []
  for i in range(pipelines):
    dataset = make(
      folder,
      True,
      start_position=start,
      input_context=context(pipelines, i, replicas),
    )
    assert dataset.element_spec['image'].shape[0] == 8 // replicas
    parts.append(rows(dataset, 8 * steps // pipelines))
  for key, expected in whole.items():
    # [step, pipeline, row] is the order of the global batch.
    split = [p[key].reshape(steps, -1, *p[key].shape[1:]) for p in parts]
    together = np.concatenate(split, axis=1)
    np.testing.assert_array_equal(together.reshape(expected.shape), expected)


def test_pipelines_of_an_evaluation_share_the_records(folder):
  parts = [
    rows(make(folder, False, input_context=context(2, i, 2))) for i in range(2)
  ]
  order = file_order(folder)
  assert names(parts[0]['source_id'])[:8] == order[0:4] + order[8:12]
  assert names(parts[1]['source_id'])[:8] == order[4:8] + order[12:16]
  assert sorted(names(np.concatenate([p['source_id'] for p in parts]))) == ALL


def test_a_strategy_and_a_traced_function_can_make_it(folder, trained):
  strategy = tf.distribute.OneDeviceStrategy('CPU:0')
  dataset = strategy.distribute_datasets_from_function(
    lambda c: make(folder, True, input_context=c)
  )

  @tf.function
  def first_images():
    return make(folder, True).take(1).get_single_element()['image']

  expected = trained['image'][:8]
  np.testing.assert_array_equal(next(iter(dataset))['image'], expected)
  np.testing.assert_array_equal(first_images(), expected)


@pytest.mark.parametrize('training', [True, False])
def test_the_graph_holds_no_python_function(folder, training):
  graph = make(folder, training)._as_serialized_graph().numpy()
  assert b'TFRecordDatasetV2' in graph
  assert b'PyFunc' not in graph


# Damage.


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


KINDS = ['data', 'length', 'length crc', 'cut']


@pytest.mark.parametrize('kind', KINDS)
def test_evaluation_leaves_out_exactly_the_damaged(
  own_folder, of_damaged, kind, capfd
):
  order = file_order(own_folder)
  lost = damage(own_folder, 1, 2, kind)
  got = rows(of_damaged['evaluation'])
  assert names(got['source_id']) == [n for n in order if n not in lost]
  error = capfd.readouterr().err
  assert f'train-00001-of-00005.tfrecord" : {len(lost)} of 8' in error


@pytest.mark.parametrize(
  'index, kind', [(0, 'data'), (7, 'length'), (3, 'length crc'), (5, 'cut')]
)
def test_training_replaces_exactly_the_damaged(
  own_folder, of_damaged, trained, kind, index, capfd
):
  before = {k: v[: 2 * N] for k, v in trained.items()}
  lost = damage(own_folder, 1, index, kind)
  after = rows(of_damaged['training'], 2 * N)
  hit = np.isin(names(before['source_id']), lost)
  assert hit.sum() == 2 * len(lost)
  assert not set(names(after['source_id'])) & set(lost)
  for key in before:
    np.testing.assert_array_equal(after[key][~hit], before[key][~hit])
  # Resuming meets the same replacements.
  tail = rows(of_damaged['from 30'], 24)
  assert_same(tail, {k: v[30:54] for k, v in after.items()})
  assert 'train-00001-of-00005.tfrecord" : ' in capfd.readouterr().err


def test_two_damaged_records_in_one_shard(own_folder, of_damaged):
  order = file_order(own_folder)
  lost = damage(own_folder, 2, 1, 'data')
  # The first one is not readable any more: the next is number 3 of 7.
  split = records.Dataset.load(own_folder).split('train')
  content = bytearray(split.shards[2].path.read_bytes())
  content[split.shards[2].offsets()[4] + 3] ^= 1
  split.shards[2].path.write_bytes(content)
  lost += [order[8 + 8 + 4]]
  got = rows(of_damaged['evaluation'])
  assert names(got['source_id']) == [n for n in order if n not in lost]


def test_a_group_without_a_sound_record_is_an_error(tmp_path):
  write(tmp_path, [example(i) for i in range(4)], shards=1)
  (tmp_path / 'train-00000-of-00001.tfrecord').write_bytes(b'')
  with pytest.raises(tf.errors.InvalidArgumentError, match='No readable'):
    rows(make(tmp_path, True), 1)


# Bad records.


@pytest.mark.parametrize('training', [True, False])
def test_a_label_outside_the_label_space_names_the_record(tmp_path, training):
  dataset = None
  for bad in (CLASSES, -1):
    write(tmp_path, [example(0), example(1, label_ids=[3, bad])], shards=1)
    dataset = dataset or make(tmp_path, training, batch_size=2)
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
      rows(dataset, 2)
    message = str(error.value)
    assert 'outside 0..9 in record' in message
    assert 'r01' in message and str(bad) in message


@pytest.mark.parametrize('training', [True, False])
def test_too_many_labels_name_the_record_and_the_remedy(tmp_path, training):
  many = example(1, label_ids=[1, 2, 3], confidence=None)
  write(tmp_path, [example(0), many], shards=1)
  assert len(rows(make(tmp_path, training, max_labels=3, batch_size=2), 2))
  with pytest.raises(tf.errors.InvalidArgumentError) as error:
    rows(make(tmp_path, training, max_labels=2, batch_size=2), 2)
  message = str(error.value)
  assert 'max_labels=2' in message and 'r01' in message and '3' in message


def test_given_labels_that_were_not_kept_are_an_error(tmp_path):
  write(tmp_path, [example(5, given_label_ids=[])], shards=1)
  with pytest.raises(tf.errors.InvalidArgumentError, match='given_label'):
    rows(make(tmp_path, False, labels='given'))


def test_a_missing_confidence_is_an_error_and_no_labels_are_none(tmp_path):
  write(tmp_path, [example(5, confidence=None)], shards=1)
  with pytest.raises(tf.errors.InvalidArgumentError, match='r05'):
    rows(make(tmp_path, False, with_confidence=True))
  bare = example(6, label_ids=[], given_label_ids=[], confidence=None)
  write(tmp_path, [bare], shards=1)
  for labels in ('filled', 'given'):
    got = rows(make(tmp_path, False, labels=labels, max_labels=2))
    assert got['label_ids'].tolist() == [[-1, -1]]


def test_a_picture_that_cannot_be_decoded_is_an_error(tmp_path):
  write(tmp_path, [example(5, encoded=b'\xff\xd8\xff broken')], shards=1)
  for training in (True, False):
    with pytest.raises(tf.errors.InvalidArgumentError):
      rows(make(tmp_path, training), 1)


# Bad arguments.


def test_a_missing_folder_or_split(folder, tmp_path):
  with pytest.raises(FileNotFoundError, match='nowhere'):
    make(tmp_path / 'nowhere', True)
  with pytest.raises(FileNotFoundError, match=r'dataset\.json'):
    make(tmp_path, True)
  with pytest.raises(ValueError, match='no split .eval.; it has train'):
    make(folder, False, split='eval')
  with pytest.raises(ValueError, match='no split .eval.; it has train'):
    pipeline.record_ids(folder, 'eval', start_position=0, count=1)


def test_an_empty_split(own_folder):
  path = own_folder / 'dataset.json'
  manifest = json.loads(path.read_text())
  manifest['splits']['train'] = {'records': 0, 'shards': []}
  path.write_text(json.dumps(manifest))
  for training in (True, False):
    with pytest.raises(ValueError, match='no records'):
      make(own_folder, training)


def test_a_missing_shard(own_folder):
  (own_folder / 'train-00002-of-00005.tfrecord').unlink()
  with pytest.raises(FileNotFoundError, match='train-00002-of-00005'):
    make(own_folder, True)


@pytest.mark.parametrize(
  'options, words',
  [
    ({'batch_size': 0}, 'batch_size must be at least 1; got 0'),
    ({'max_labels': 0}, 'max_labels must be at least 1; got 0'),
    ({'start_position': -1}, 'got -1'),
    ({'start_position': 8, 'training': False}, 'got 8'),
    ({'labels': 'true'}, "'given'.*'filled'|'filled'.*'given'.*'true'"),
    ({'labels': 'given', 'with_confidence': True}, "labels='filled'"),
    ({'crop': 13}, 'crop=13, resize=12'),
    ({'shuffle_group': 0}, 'shuffle_group must be at least 1; got 0'),
    ({'batch_size': 7, 'input_context': context(2, 0, 2)}, 'batch_size 7'),
    ({'batch_size': 6, 'input_context': context(2, 0, 4)}, '4 replicas'),
  ],
)
def test_bad_arguments(folder, options, words):
  options = {'training': True, **options}
  with pytest.raises(ValueError, match=words):
    make(folder, **options)
