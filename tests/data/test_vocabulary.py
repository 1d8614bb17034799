import numpy as np
import pytest

from official_repro.data import examples, vocabulary
from official_repro.data.hierarchy import Hierarchy

# 0 thing > 1 fruit > 2 apple > 3 granny; 4 tree > 2 apple; 5 stone (a root).
PARENTS = [(), (0,), (1, 4), (2,), (), ()]
NAMES = ['thing', 'fruit', 'apple', 'granny', 'tree', 'stone']


@pytest.fixture
def space():
  return Hierarchy(range(6), NAMES, PARENTS, [1, 2, 3, 4, 5, 6])


def write(path, text):
  path.write_bytes(text.encode())
  return path


def test_a_list_of_names_and_ids(space, tmp_path):
  path = write(tmp_path / 'l', '\ufefftree\r\n\r\n3\r\n apple \r\ntree\r\n')
  assert vocabulary.read_labels(path, space) == [2, 3, 4]


def test_what_is_name_and_id_is_a_name(tmp_path):
  space = Hierarchy.flat(['2', '1', '0'])
  path = write(tmp_path / 'l', '2\n')
  assert vocabulary.read_labels(path, space) == [0]


@pytest.mark.parametrize(
  'text, message',
  [
    ('tree\naple\n', "l, line 2: Label name 'aple' .*nearest is 'apple'"),
    ('6', 'l, line 1: Label id 6 is outside the range 0..5'),
    ('\n \n', 'l has no labels'),
  ],
)
def test_wrong_lists(space, tmp_path, text, message):
  with pytest.raises(ValueError, match=message):
    vocabulary.read_labels(write(tmp_path / 'l', text), space)


def test_lists_that_cannot_be_read(space, tmp_path):
  with pytest.raises(FileNotFoundError, match='no file .*l: give --labels'):
    vocabulary.read_labels(tmp_path / 'l', space)
  (tmp_path / 'l').write_bytes(b'\xff\xfe')
  with pytest.raises(ValueError, match='is not UTF-8 text'):
    vocabulary.read_labels(tmp_path / 'l', space)


def test_parents_are_the_nearest_that_stay(space):
  smaller, label_map = vocabulary.restrict(space, [5, 3, 0])
  assert smaller.names == ['thing', 'granny', 'stone']
  assert smaller.parents == [(), (0,), ()]
  assert smaller.weights.tolist() == [1, 4, 6]
  assert label_map.tolist() == [0, -1, -1, 1, -1, 2]
  # granny reaches tree past apple, and fruit before thing.
  smaller, _ = vocabulary.restrict(space, [0, 1, 3, 4])
  assert smaller.parents == [(), (0,), (1, 3), ()]


def test_all_labels_give_the_same_space(space):
  smaller, label_map = vocabulary.restrict(space, range(6))
  assert smaller.hash() == space.hash()
  assert label_map.tolist() == list(range(6))


def test_filling_in_and_restricting_commute(space):
  kept = [0, 3, 4]
  smaller, label_map = vocabulary.restrict(space, kept)
  for i in range(6):
    filled = [label_map[j] for j in space.fill([i]) if j in kept]
    restricted = [label_map[i]] if i in kept else []
    assert set(smaller.fill(restricted)) <= set(filled)
    if i in kept:
      assert smaller.fill(restricted) == filled


def test_no_labels_and_unknown_ones(space):
  with pytest.raises(ValueError, match='at least one label'):
    vocabulary.restrict(space, [])
  with pytest.raises(ValueError, match='6 is outside the range 0..5'):
    vocabulary.restrict(space, [6])


def example(**changes):
  fields = {
    'encoded': b'x',
    'height': 1,
    'width': 1,
    'source_id': 'id',
    'label_ids': [0, 1, 2, 4],
    'given_label_ids': [2],
    'confidence': [0.1, 0.2, 0.3, 0.4],
  }
  return examples.Example(**{**fields, **changes})


def test_labels_outside_vanish_and_confidence_stays_aligned(space):
  _, label_map = vocabulary.restrict(space, [1, 4])
  got = vocabulary.relabel(example(), label_map)
  assert got.label_ids == [0, 1]
  assert got.given_label_ids == []
  assert got.confidence == [0.2, 0.4]


def test_boxes_outside_vanish_with_all_that_is_theirs(space):
  _, label_map = vocabulary.restrict(space, [2, 5])
  boxes = np.array([[0, 0, 1, 1], [0, 0, 0.5, 1], [0, 0, 1, 0.5]], np.float32)
  got = vocabulary.relabel(
    example(
      boxes=boxes,
      box_labels=np.array([6, 1, 3]),  # stone, thing, apple
      is_crowd=np.array([0, 1, 1]),
      area=np.array([3.0, 4, 5]),
      keypoints=np.arange(18).reshape(3, 2, 3),
    ),
    label_map,
  )
  assert got.box_labels.tolist() == [2, 1]
  assert got.boxes.tolist() == boxes[[0, 2]].tolist()
  assert got.is_crowd.tolist() == [0, 1]
  assert got.area.tolist() == [3, 5]
  assert got.keypoints[:, 0, 0].tolist() == [0, 12]


def test_what_cannot_be_relabelled(space):
  _, label_map = vocabulary.restrict(space, [2])
  with pytest.raises(
    ValueError, match=r"'id' has the label id 6, outside 0..5"
  ):
    vocabulary.relabel(example(label_ids=[6], confidence=None), label_map)
  with pytest.raises(ValueError, match="'id' has a mask"):
    vocabulary.relabel(example(segmentation_png=b'png'), label_map)


def test_a_map_and_its_file_are_inverse(tmp_path):
  label_map = np.array([-1, 0, 1, -1, 2], np.int32)
  vocabulary.save_map(tmp_path / 'm', label_map)
  assert (tmp_path / 'm').read_text().startswith('stored_id\tid\n0\t-1\n1\t0\n')
  got = vocabulary.load_map(tmp_path / 'm')
  assert got.dtype == np.int32
  assert got.tolist() == label_map.tolist()
