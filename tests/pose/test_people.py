"""Who is found on the pictures of a split, and what is kept of it."""

import os

import numpy as np
import pytest
import tensorflow as tf

from official_repro.data import hierarchy, manifest, subsets
from pose import people as people_lib
from tests.pose import folders

FIRST = folders.person((8, 4, 40, 20), crowd=True, area=77)
SECOND = folders.person((0, 10, 60, 44), visible=[2] * 5 + [1] * 5 + [0] * 7)
THIRD = folders.person((10.5, 20.25, 50, 40.75))
ROWS = [
  folders.example('a', [FIRST, SECOND]),
  folders.example('nobody'),
  folders.example('c', [THIRD], (96, 80)),
]


def read(folder, split='train', **options):
  return people_lib.read(manifest.Dataset.load(folder), split, **options)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return folders.write(tmp_path_factory.mktemp('data'), train=ROWS)


@pytest.fixture(scope='module')
def people(folder):
  return read(folder)


def test_people_in_pixels_and_in_file_order(people):
  assert people.source_ids.tolist() == ['a', 'nobody', 'c']
  assert people.shards.tolist() == [0, 0, 0]
  assert people.rows.tolist() == [0, 1, 2]
  assert people.starts.tolist() == [0, 2, 2, 3]
  assert people.numbers.tolist() == [0, 1, 0]
  everybody = [FIRST, SECOND, THIRD]
  np.testing.assert_allclose(
    people.boxes, [p.box for p in everybody], rtol=1e-6
  )
  np.testing.assert_allclose(
    people.joints, np.stack([p.joints for p in everybody]), rtol=1e-6
  )
  assert people.joints.dtype == people.boxes.dtype == np.float32
  assert people.is_crowd.tolist() == [True, False, False]
  # 60 x 34, and 39.5 x 20.5.
  np.testing.assert_allclose(people.area, [77, 2040, 809.75])
  assert people.of_picture(0) == slice(0, 2)
  assert people.of_picture(1) == slice(2, 2)


def test_they_are_read_while_a_graph_is_made(tmp_path):
  # As for the workers of a parameter server strategy.
  folder = folders.write(tmp_path, train=ROWS)
  found = []

  @tf.function(autograph=False)
  def of_worker():
    found.append(read(folder).source_ids.tolist())
    return tf.constant(0)

  of_worker()
  assert found == [['a', 'nobody', 'c']]


def test_shards_hold_every_other_record(tmp_path):
  found = read(folders.write(tmp_path, num_shards=2, train=ROWS))
  assert found.source_ids.tolist() == ['a', 'c', 'nobody']
  assert found.shards.tolist() == [0, 0, 1]
  assert found.rows.tolist() == [0, 1, 0]
  parts = found.parts(2)
  assert [rows.tolist() for rows in parts.rows] == [[0, 1], []]
  assert [numbers.tolist() for numbers in parts.numbers] == [[1, 0], []]


def test_who_can_be_learnt_from(people):
  # The first is a crowd, the second has ten labelled joints.
  assert people.usable().tolist() == [False, True, True]
  assert people.usable(10).tolist() == [False, True, True]
  assert people.usable(11).tolist() == [False, False, True]
  assert people.usable(0).tolist() == people.usable(1).tolist()
  parts = people.parts(1, 11)
  assert parts.sizes == [1]
  assert (parts.rows[0].tolist(), parts.numbers[0].tolist()) == ([2], [0])


@pytest.mark.parametrize(
  'changed',
  [
    folders.person((10, 10, 10, 30)),
    folders.person((10, 10, 30, 10.5)),
    folders.person((30, 10, 10, 30)),
    folders.person((10, 10, 40, 30), visible=0),
  ],
)
def test_no_box_or_no_joint_is_left_out(tmp_path, changed):
  rows = [folders.example('x', [changed, THIRD])]
  found = read(folders.write(tmp_path, train=rows))
  assert len(found.boxes) == 2
  assert found.usable().tolist() == [False, True]


def test_other_objects_are_passed_over(tmp_path):
  """Not everything with joints is a person: the label decides."""
  dog = folders.person((2, 2, 30, 30), label=1)
  human = folders.person((8, 4, 40, 20), label=2)
  rows = [folders.example('a', [dog, human, dog]), folders.example('b', [dog])]
  folder = folders.write(tmp_path / 'data', ['dog', 'person'], train=rows)
  found = read(folder)
  assert found.starts.tolist() == [0, 1, 1]
  # Its place among all objects of the record.
  assert found.numbers.tolist() == [1]
  np.testing.assert_allclose(found.boxes, [human.box], rtol=1e-6)
  # Without such a category everything counts.
  unnamed = folders.write(tmp_path / 'unnamed', ['dog', 'man'], train=rows)
  assert read(unnamed).starts.tolist() == [0, 3, 4]


def test_subset_with_a_vocabulary_of_its_own(tmp_path):
  dog, human = (
    folders.person((8, 4, 40, 20), label=1),
    folders.person((8, 4, 50, 30), label=2),
  )
  rows = [folders.example('a', [dog, human]), folders.example('b', [human])]
  folder = folders.write(tmp_path / 'all', ['dog', 'person'], train=rows)
  subsets.write_subset(
    folder,
    tmp_path / 'part',
    {'train': [np.array([True, False])]},
    name='part',
    info={},
    hierarchy=hierarchy.Hierarchy.flat(['person']),
    label_map=np.int32([-1, 0]),
  )
  found = read(tmp_path / 'part')
  assert found.source_ids.tolist() == ['a']
  np.testing.assert_allclose(found.boxes, [human.box], rtol=1e-6)


def test_record_without_keypoints(tmp_path):
  rows = [folders.example('a', [THIRD, SECOND], keypoints=None)]
  found = read(folders.write(tmp_path, train=rows))
  assert not found.joints.any()
  assert found.joints.shape == (2, 17, 3)
  assert not found.usable().any()
  assert found.parts(1).sizes == [0]


def test_damaged_record_is_passed_over(tmp_path, capfd):
  folder = folders.write(tmp_path, train=ROWS)
  (path,) = tmp_path.glob('*.tfrecord')
  content = bytearray(path.read_bytes())
  content[40] ^= 1
  path.write_bytes(content)
  found = read(folder)
  assert found.source_ids.tolist() == ['nobody', 'c']
  assert found.rows.tolist() == [1, 2]
  assert found.starts.tolist() == [0, 0, 1]
  assert '1 of 3' in capfd.readouterr().err
  path.write_bytes(b'')
  people_lib._gathered.cache_clear()
  with pytest.raises(ValueError, match="'train' of .* no record that can be"):
    read(folder)


def test_cache_saves_the_reading(folder, people, tmp_path, monkeypatch):
  cache = str(tmp_path / 'run' / 'people.npz')
  first = read(folder, cache=cache)
  assert os.listdir(tmp_path / 'run') == ['people.npz']

  def never(*args):
    raise AssertionError('read again')

  with monkeypatch.context() as patched:
    patched.setattr(people_lib, '_gathered', never)
    again = read(folder, cache=cache)
  for field in people_lib.People._fields:
    for found in (first, again):
      expected = getattr(people, field)
      assert getattr(found, field).dtype == expected.dtype
      np.testing.assert_array_equal(getattr(found, field), expected)


@pytest.mark.parametrize('damage', ['empty', 'cut', 'turned', 'text', 'other'])
def test_cache_that_does_not_fit_is_made_anew(folder, people, tmp_path, damage):
  cache = tmp_path / 'people.npz'
  if damage == 'other':
    other = folders.write(tmp_path / 'other', train=ROWS[2:])
    read(other, cache=str(cache))
  else:
    read(folder, cache=str(cache))
    content = cache.read_bytes()
    middle = len(content) // 2
    turned = bytes([content[middle] ^ 1])
    cache.write_bytes(
      {
        'empty': b'',
        'cut': content[:-200],
        'turned': content[:middle] + turned + content[middle + 1 :],
        'text': b'no archive',
      }[damage]
    )
  before = cache.read_bytes()
  found = read(folder, cache=str(cache))
  np.testing.assert_array_equal(found.joints, people.joints)
  assert cache.read_bytes() != before
  with np.load(cache) as stored:
    np.testing.assert_array_equal(stored['joints'], people.joints)


def test_wrong_record_is_named(tmp_path):
  short = folders.example('short-one', [THIRD], keypoints=np.zeros((1, 14, 3)))
  folder = folders.write(tmp_path, train=[ROWS[0], short])
  with pytest.raises(tf.errors.InvalidArgumentError, match='short-one'):
    read(folder)
