import json
import math

import numpy as np
import pytest

from pose import coco_files
from tests.conftest import shared_path

ROW = {'image_id': 7, 'category_id': 1, 'bbox': [1, 2, 3, 4], 'score': 0.5}


def written(tmp_path, rows):
  path = tmp_path / 'boxes.json'
  path.write_text(json.dumps(rows))
  return path


def test_boxes_by_picture(tmp_path, capsys):
  rows = [
    ROW,
    {**ROW, 'image_id': 'a', 'score': 0.4},
    {**ROW, 'category_id': 3},
    {**ROW, 'score': 0.3},
    {**ROW, 'bbox': [0.5, 0, 10, 20], 'score': 0.9, 'more': None},
    {**ROW, 'image_id': 8, 'score': 0.1},
  ]
  found = coco_files.load_boxes(written(tmp_path, rows))
  assert list(found) == [7, 'a']
  boxes, scores = found[7]
  assert boxes.tolist() == [[2, 1, 6, 4], [0, 0.5, 20, 10.5]]
  assert scores.tolist() == [0.5, np.float32(0.9)]
  assert boxes.dtype == scores.dtype == np.float32
  assert capsys.readouterr().err == ''
  everything = coco_files.load_boxes(
    written(tmp_path, rows), category_id=None, score_above=0
  )
  assert {of: len(s) for of, (_, s) in everything.items()} == {
    7: 4,
    'a': 1,
    8: 1,
  }


def test_boxes_without_size_are_left_out_and_counted(tmp_path, capsys):
  rows = [{**ROW, 'bbox': [1, 2, 0, 4]}, ROW, {**ROW, 'bbox': [1, 2, 3, 0.0]}]
  rows.append({**ROW, 'bbox': [0, 0, 0, 0], 'score': 0.1})
  found = coco_files.load_boxes(written(tmp_path, rows))
  assert found[7][0].tolist() == [[2, 1, 6, 4]]
  assert 'left out 2 box(es) without width' in capsys.readouterr().err


def test_no_boxes(tmp_path):
  assert coco_files.load_boxes(written(tmp_path, [])) == {}


@pytest.mark.parametrize(
  'entry, message',
  [
    (7, 'entry 1 has no image_id, category_id, bbox, score'),
    ({'image_id': 7, 'bbox': [1] * 4}, 'entry 1 has no category_id, score'),
    ({**ROW, 'score': math.nan}, 'entry 1 has the score nan'),
    ({**ROW, 'score': '1'}, "entry 1 has the score '1'"),
    ({**ROW, 'bbox': [1, 2, math.inf, 4]}, r'bbox \[1, 2, inf, 4\]: four fin'),
    ({**ROW, 'bbox': [1, 2, math.nan, 4]}, r'bbox \[1, 2, nan, 4\]: four fin'),
    ({**ROW, 'bbox': [1, 2, 3]}, r'bbox \[1, 2, 3\]: four finite'),
    ({**ROW, 'bbox': None}, 'bbox None: four finite'),
    ({**ROW, 'bbox': [1, 2, -3, 4]}, r'\[1, 2, -3, 4\], whose width or height'),
    ({**ROW, 'image_id': [1]}, r'image_id \[1\]: whole number or text'),
  ],
)
def test_bad_entries(tmp_path, entry, message):
  path = written(tmp_path, [ROW, entry])
  with pytest.raises(ValueError, match=message) as error:
    coco_files.load_boxes(path)
  assert str(error.value).startswith(f'{path}: ')
  assert '\n' not in str(error.value)


def test_no_list(tmp_path):
  with pytest.raises(ValueError, match='a JSON list is expected, got a dict'):
    coco_files.load_boxes(written(tmp_path, {'boxes': []}))


def test_file_of_a_real_detector():
  path = shared_path('data', 'coco_keypoints', 'person_det_AP_H_56.json')
  found = coco_files.load_boxes(path)
  rows = [r for r in json.loads(path.read_text()) if r['score'] > 0.3]
  assert (
    set(found) == {r['image_id'] for r in rows} == {785, 40083, 196141, 197388}
  )
  assert sum(len(s) for _, s in found.values()) == len(rows)
  x, y, width, height = rows[0]['bbox']
  expected = [y, x, y + height, x + width]
  np.testing.assert_allclose(found[785][0][0], expected, rtol=1e-6)


def test_nms_by_hand():
  boxes = [[0, 0, 10, 10], [0, 0, 10, 8], [0, 4, 10, 14], [50, 50, 60, 60]]
  # With box 0: 1 overlaps by 80 / 100, 2 by 60 / 140, 3 not at all.
  scores = [0.9, 0.8, 0.7, 0.95]
  assert coco_files.box_nms(boxes, scores).tolist() == [3, 0, 2]
  assert coco_files.box_nms(boxes, scores, 0.8).tolist() == [3, 0, 1, 2]
  assert coco_files.box_nms(boxes, scores, 0.4).tolist() == [3, 0]
  # Without box 0: 1 and 2 overlap by 40 / 140.
  assert coco_files.box_nms(boxes[1:], scores[1:]).tolist() == [2, 0, 1]


def test_nms_of_equals_and_of_nothing():
  assert coco_files.box_nms([[0, 0, 1, 1]] * 3, [0.5] * 3).tolist() == [0]
  assert coco_files.box_nms([[0, 0, 0, 0]] * 2, [0.5] * 2).tolist() == [0, 1]
  assert coco_files.box_nms([], []).tolist() == []


@pytest.mark.parametrize(
  'boxes, scores, message',
  [
    ([[0, 0, 1, 1]], [math.nan], '1 of 1 boxes are not finite, .* number 0'),
    (
      [[0, 0, 1, 1], [0, 0, math.nan, 1]],
      [1, 1],
      'the first is number 1: .*nan',
    ),
    ([[0, 0, 1, 1]], [1, 2], r'1 boxes need as many scores.* \(2,\)'),
  ],
)
def test_nms_of_bad_boxes(boxes, scores, message):
  with pytest.raises(ValueError, match=message):
    coco_files.box_nms(boxes, scores)
