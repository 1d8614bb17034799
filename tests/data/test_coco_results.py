import json

import numpy as np
import pytest

from official_repro.data import coco_results


def test_there_and_back(tmp_path):
  path = tmp_path / 'new' / 'results.json'
  rows = [{'image_id': 'a', 'category_id': 1, 'score': 0.25}]
  coco_results.save_results(path, rows)
  assert coco_results.load_list(path) == rows == json.loads(path.read_text())
  assert [p.name for p in path.parent.iterdir()] == ['results.json']


def test_a_failed_write_leaves_the_old_file(tmp_path):
  path = tmp_path / 'results.json'
  coco_results.save_results(path, [1])
  with pytest.raises(ValueError, match='nan'):
    coco_results.save_results(path, [float('nan')])
  assert path.read_text() == '[1]'
  assert [p.name for p in tmp_path.iterdir()] == ['results.json']


@pytest.mark.parametrize(
  'data, message',
  [
    (b'{"a": ', 'is no JSON file'),
    (b'\xff\xfe', 'is no JSON file'),
    (b'{"a": 1}', 'a JSON list is expected, got a dict'),
  ],
)
def test_bad_files(tmp_path, data, message):
  path = tmp_path / 'results.json'
  path.write_bytes(data)
  with pytest.raises(ValueError, match=message) as error:
    coco_results.load_list(path)
  assert str(path) in str(error.value)
  with pytest.raises(FileNotFoundError):
    coco_results.load_list(tmp_path / 'other.json')


def test_image_id_of_a_source_id():
  assert coco_results.image_id('000139') == 139
  assert coco_results.image_id('mini-person-3') == 'mini-person-3'
  # A digit to Unicode, but no number.
  assert coco_results.image_id('\u00b2') == '\u00b2'


def test_boxes_there_and_back():
  boxes = np.array([[1, 2, 5, 10], [0, 0, 0, 0]], np.float32)
  assert coco_results.to_xywh(boxes).tolist() == [[2, 1, 8, 4], [0, 0, 0, 0]]
  back = coco_results.from_xywh(coco_results.to_xywh(boxes))
  np.testing.assert_array_equal(back, boxes)
  assert coco_results.to_xywh([]).shape == (0, 4)
  assert coco_results.from_xywh([]).shape == (0, 4)
