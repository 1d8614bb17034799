"""Which boxes an evaluation looks into, and which it refuses."""

import json
import math

import numpy as np
import pytest

from official_repro.data import manifest
from pose import evaluate, person_boxes, task_config
from pose import people as people_lib
from tests.pose import folders, tiny

SEEN = folders.person((4, 2, 44, 22))
FEW = folders.person((8, 20, 50, 40), visible=[2] * 3 + [0] * 14)
CROWD = folders.person((0, 0, 64, 48), crowd=True)
ROWS = [
  folders.example('000000000785', [CROWD, SEEN, FEW]),
  folders.example('12'),
  folders.example('cat', [SEEN]),
]


@pytest.fixture(scope='module')
def people(tmp_path_factory):
  folder = folders.write(tmp_path_factory.mktemp('data'), train=ROWS)
  return people_lib.read(manifest.Dataset.load(folder), 'train')


def of_file(people, path, **options):
  params = task_config.DataConfig(
    data_dir='DATA', boxes_file=str(path), **options
  )
  return person_boxes.of_config(params, people)


def test_annotated_boxes_are_those_of_people_with_joints(people):
  boxes, kind = person_boxes.of_config(task_config.DataConfig(), people)
  assert kind == evaluate.GT_BOXES
  assert set(boxes) == {'000000000785', 'cat'}
  np.testing.assert_allclose(
    boxes['000000000785'], [SEEN.box, FEW.box], rtol=1e-6
  )
  boxes, _ = person_boxes.of_config(
    task_config.DataConfig(min_joints=4), people
  )
  np.testing.assert_allclose(boxes['000000000785'], [SEEN.box], rtol=1e-6)
  with pytest.raises(ValueError, match='No person of the evaluation split has'):
    person_boxes.annotated(people, 18)


def test_detected_boxes_best_first_without_doubles(people, tmp_path):
  path = tiny.write_boxes(
    tmp_path / 'boxes.json',
    [
      # 785 is 000000000785. By itself; 1 and 3 overlap by 90 %.
      (785, [0, 0, 10, 10], 0.5),
      (785, [20, 0, 30, 10], 0.6),
      (785, [21, 0, 30, 10], 0.9),
      (785, [40, 0, 50, 10], 0.3),
      ('cat', [-5, -5, 99, 99], 0.31),
      (12, [0, 0, 64, 48], 0.9),
    ],
  )
  boxes, kind = of_file(people, path)
  assert kind == evaluate.DETECTED_BOXES
  assert set(boxes) == {'000000000785', 'cat', '12'}
  assert boxes['000000000785'].tolist() == [[21, 0, 30, 10], [0, 0, 10, 10]]
  assert boxes['cat'].tolist() == [[-5, -5, 99, 99]]
  boxes, _ = of_file(people, path, max_box_overlap=0.95, min_box_score=0.55)
  assert set(boxes) == {'000000000785', '12'}
  assert boxes['000000000785'].tolist() == [[21, 0, 30, 10], [20, 0, 30, 10]]


def test_boxes_of_other_categories_are_no_people(people, tmp_path):
  path = tiny.write_boxes(
    tmp_path / 'boxes.json', [(12, [0, 0, 9, 9], 0.9)], category_id=3
  )
  boxes, _ = of_file(people, path, person_category=3)
  assert set(boxes) == {'12'}
  with pytest.raises(
    ValueError, match='no box of category 1 with a score above 0.3; set task'
  ):
    of_file(people, path)


def test_boxes_of_pictures_that_the_split_lacks(people, tmp_path):
  path = tiny.write_boxes(
    tmp_path / 'boxes.json',
    [(i, [0, 0, 9, 9], 0.9) for i in (12, 13, 'dog')],
  )
  with pytest.raises(ValueError) as error:
    of_file(people, path)
  assert str(error.value) == (
    f"{path} has boxes for 2 of 3 pictures that the split 'train' of 'DATA' "
    'lacks; the first is 13. Give the results of that split.'
  )


def test_box_without_size_is_left_out_and_told(people, tmp_path, capsys):
  path = tiny.write_boxes(
    tmp_path / 'boxes.json',
    [(12, [5, 5, 5, 20], 0.9), (12, [5, 5, 25, 20], 0.8)],
  )
  boxes, _ = of_file(people, path)
  assert boxes['12'].tolist() == [[5, 5, 25, 20]]
  assert 'left out 1 box(es) without width' in capsys.readouterr().err


@pytest.mark.parametrize(
  'score, message',
  [(math.nan, 'entry 1 has the score nan: a finite'), (None, 'score None')],
)
def test_scores_that_are_no_numbers(people, tmp_path, score, message):
  path = tiny.write_boxes(
    tmp_path / 'boxes.json',
    [(12, [0, 0, 9, 9], 0.9), (12, [0, 0, 9, 9], score)],
  )
  with pytest.raises(ValueError, match=message):
    of_file(people, path)


def test_files_that_are_none(people, tmp_path):
  with pytest.raises(FileNotFoundError, match=r'nowhere\.json'):
    of_file(people, tmp_path / 'nowhere.json')
  path = tmp_path / 'boxes.json'
  path.write_text(json.dumps({'annotations': []}))
  with pytest.raises(ValueError, match='a JSON list is expected'):
    of_file(people, path)
