"""Damaged records, bad ones, and arguments that cannot be."""

import json

import numpy as np
import pytest
import tensorflow as tf

from official_repro.data import pipeline, records
from tests.data import pipelines as base


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp('data')
  return base.write(path, [base.example(i) for i in range(base.N)])


@pytest.fixture(scope='module')
def trained(folder):
  """The first 160 rows of the training with seed 0: over four epochs."""
  return base.rows(base.make(folder, True), 160)


@pytest.fixture(scope='module')
def folder_to_damage(tmp_path_factory):
  path = tmp_path_factory.mktemp('to_damage')
  return base.write(path, [base.example(i) for i in range(base.N)])


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
    'training': base.make(folder_to_damage, True),
    'from 30': base.make(folder_to_damage, True, start_position=30),
    'evaluation': base.make(folder_to_damage, False),
  }


KINDS = ['data', 'length', 'length crc', 'cut']


@pytest.mark.parametrize('kind', KINDS)
def test_evaluation_leaves_out_exactly_the_damaged(
  own_folder, of_damaged, kind, capfd
):
  order = base.file_order(own_folder)
  lost = base.damage(own_folder, 1, 2, kind)
  got = base.rows(of_damaged['evaluation'])
  assert base.names(got['source_id']) == [n for n in order if n not in lost]
  error = capfd.readouterr().err
  assert f'train-00001-of-00005.tfrecord" : {len(lost)} of 8' in error


@pytest.mark.parametrize(
  'index, kind', [(0, 'data'), (7, 'length'), (3, 'length crc'), (5, 'cut')]
)
def test_training_replaces_exactly_the_damaged(
  own_folder, of_damaged, trained, kind, index, capfd
):
  before = {k: v[: 2 * base.N] for k, v in trained.items()}
  lost = base.damage(own_folder, 1, index, kind)
  after = base.rows(of_damaged['training'], 2 * base.N)
  hit = np.isin(base.names(before['source_id']), lost)
  assert hit.sum() == 2 * len(lost)
  assert not set(base.names(after['source_id'])) & set(lost)
  for key in before:
    np.testing.assert_array_equal(after[key][~hit], before[key][~hit])
  # Resuming meets the same replacements.
  tail = base.rows(of_damaged['from 30'], 24)
  base.assert_same(tail, {k: v[30:54] for k, v in after.items()})
  assert 'train-00001-of-00005.tfrecord" : ' in capfd.readouterr().err


def test_two_damaged_records_in_one_shard(own_folder, of_damaged):
  order = base.file_order(own_folder)
  lost = base.damage(own_folder, 2, 1, 'data')
  # The first one is not readable any more: the next is number 3 of 7.
  split = records.Dataset.load(own_folder).split('train')
  content = bytearray(split.shards[2].path.read_bytes())
  content[split.shards[2].offsets()[4] + 3] ^= 1
  split.shards[2].path.write_bytes(content)
  lost += [order[8 + 8 + 4]]
  got = base.rows(of_damaged['evaluation'])
  assert base.names(got['source_id']) == [n for n in order if n not in lost]


def test_a_start_reads_no_earlier_group(own_folder, trained, capfd):
  expected = base.names(trained['source_id'])
  # Of three groups the second begins at a place that two shards make.
  first_group = {
    path
    for path in own_folder.glob('*.tfrecord')
    if set(base.file_order_of(own_folder, path)) & set(expected[:14])
  }
  assert len(first_group) == 2
  for path in first_group:
    path.write_bytes(b'')
  begin = sum(len(base.file_order_of(own_folder, p)) for p in first_group)
  assert begin == 0  # nothing is left of them
  for start in (16, 20):
    assert (
      base.ids(own_folder, 6, start=start, **base.GROUPS)
      == (expected[start : start + 6])
    )
  assert 'Damaged' not in capfd.readouterr().err


def test_a_group_without_a_sound_record_is_an_error(tmp_path):
  base.write(tmp_path, [base.example(i) for i in range(4)], shards=1)
  (tmp_path / 'train-00000-of-00001.tfrecord').write_bytes(b'')
  with pytest.raises(tf.errors.InvalidArgumentError, match='No readable'):
    base.rows(base.make(tmp_path, True), 1)


# Bad records.


@pytest.mark.parametrize('training', [True, False])
def test_a_label_outside_the_label_space_names_the_record(tmp_path, training):
  dataset = None
  for bad in (base.CLASSES, -1):
    base.write(
      tmp_path, [base.example(0), base.example(1, label_ids=[3, bad])], shards=1
    )
    dataset = dataset or base.make(tmp_path, training, batch_size=2)
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
      base.rows(dataset, 2)
    message = str(error.value)
    assert 'outside 0..9 in record' in message
    assert 'r01' in message and str(bad) in message


@pytest.mark.parametrize('training', [True, False])
def test_too_many_labels_name_the_record_and_the_remedy(tmp_path, training):
  many = base.example(1, label_ids=[1, 2, 3], confidence=None)
  base.write(tmp_path, [base.example(0), many], shards=1)
  assert len(
    base.rows(base.make(tmp_path, training, max_labels=3, batch_size=2), 2)
  )
  with pytest.raises(tf.errors.InvalidArgumentError) as error:
    base.rows(base.make(tmp_path, training, max_labels=2, batch_size=2), 2)
  message = str(error.value)
  assert 'max_labels=2' in message and 'r01' in message and '3' in message


def test_given_labels_that_were_not_kept_are_an_error(tmp_path):
  base.write(tmp_path, [base.example(5, given_label_ids=[])], shards=1)
  with pytest.raises(tf.errors.InvalidArgumentError, match='given_label'):
    base.rows(base.make(tmp_path, False, labels='given'))


def test_a_missing_confidence_is_an_error_and_no_labels_are_none(tmp_path):
  base.write(tmp_path, [base.example(5, confidence=None)], shards=1)
  with pytest.raises(tf.errors.InvalidArgumentError, match='r05'):
    base.rows(base.make(tmp_path, False, with_confidence=True))
  bare = base.example(6, label_ids=[], given_label_ids=[], confidence=None)
  base.write(tmp_path, [bare], shards=1)
  for labels in ('filled', 'given'):
    got = base.rows(base.make(tmp_path, False, labels=labels, max_labels=2))
    assert got['label_ids'].tolist() == [[-1, -1]]


def test_a_picture_that_cannot_be_decoded_is_an_error(tmp_path):
  base.write(
    tmp_path, [base.example(5, encoded=b'\xff\xd8\xff broken')], shards=1
  )
  for training in (True, False):
    with pytest.raises(tf.errors.InvalidArgumentError):
      base.rows(base.make(tmp_path, training), 1)


# Bad arguments.


def test_a_missing_folder_or_split(folder, tmp_path):
  with pytest.raises(FileNotFoundError, match='nowhere'):
    base.make(tmp_path / 'nowhere', True)
  with pytest.raises(FileNotFoundError, match=r'dataset\.json'):
    base.make(tmp_path, True)
  with pytest.raises(ValueError, match='no split .eval.; it has train'):
    base.make(folder, False, split='eval')
  with pytest.raises(ValueError, match='no split .eval.; it has train'):
    pipeline.record_ids(folder, 'eval', start_position=0, count=1)


def test_an_empty_split(own_folder):
  path = own_folder / 'dataset.json'
  manifest = json.loads(path.read_text())
  manifest['splits']['train'] = {'records': 0, 'shards': []}
  path.write_text(json.dumps(manifest))
  for training in (True, False):
    with pytest.raises(ValueError, match='no records'):
      base.make(own_folder, training)


def test_a_missing_shard(own_folder):
  (own_folder / 'train-00002-of-00005.tfrecord').unlink()
  with pytest.raises(FileNotFoundError, match='train-00002-of-00005'):
    base.make(own_folder, True)


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
    ({'batch_size': 7, 'input_context': base.context(2, 0, 2)}, 'batch_size 7'),
    ({'batch_size': 6, 'input_context': base.context(2, 0, 4)}, '4 replicas'),
  ],
)
def test_bad_arguments(folder, options, words):
  options = {'training': True, **options}
  with pytest.raises(ValueError, match=words):
    base.make(folder, **options)
