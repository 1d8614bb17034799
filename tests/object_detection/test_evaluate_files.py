import json

import numpy as np
import pytest
from pycocotools import mask as mask_lib

from object_detection import coco_files, evaluate

BOX = [[0, 0, 9, 9]]


def filled(**options):
  evaluation = evaluate.CocoEvaluation(['a', 'b'], **options)
  evaluation.add_truth(1, BOX, [1])
  return evaluation


@pytest.mark.parametrize(
  'arguments, message',
  [
    ((2, BOX, [3]), r'objects of image 2 have class 3, outside 1\.\.2'),
    ((2, BOX, [0]), r'class 0, outside 1\.\.2'),
    ((2, BOX, [1, 1]), r'image 2: \(2,\) classes for 1 boxes'),
    ((2, [0, 0, 9, 9], [1, 1, 1, 1]), 'classes for 1 boxes'),
    ((2, [[0, 0, np.nan, 9]], [1]), 'image 2 have a box with ymin=0'),
    ((2, [[5, 0, 2, 9]], [1]), 'height=-3'),
    ((2, BOX, [1], [0, 1]), r'flags of shape \(2,\) for 1 boxes'),
    ((2, BOX, [1], [0], [np.nan]), 'area must be finite'),
    ((1, BOX, [1]), 'Image 1 was given its objects twice'),
  ],
)
def test_bad_truth(arguments, message):
  with pytest.raises(ValueError, match=message) as error:
    filled().add_truth(*arguments)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  'arguments, message',
  [
    ((1, BOX, [3], [0.5]), r'detections of image 1 have class 3'),
    ((1, BOX, [1], [np.nan]), 'scores must be finite'),
    ((1, BOX, [1], [0.5, 0.4]), r'scores of shape \(2,\)'),
    ((1, [[0, 0, np.inf, 9]], [1], [0.5]), 'which is none'),
  ],
)
def test_bad_detections(arguments, message):
  with pytest.raises(ValueError, match=message):
    filled().add(*arguments)


def test_detections_twice_or_of_an_unknown_image():
  evaluation = filled()
  evaluation.add(4, BOX, [1], [0.5])
  with pytest.raises(ValueError, match='Image 4 was given its detections tw'):
    evaluation.add(4, BOX, [1], [0.5])
  with pytest.raises(ValueError, match='image 4, which is not in the eval'):
    evaluation.metrics()


def test_ids_of_two_kinds():
  evaluation = filled()
  evaluation.add_truth('2', BOX, [1])
  with pytest.raises(ValueError, match='all be numbers, or all be text'):
    evaluation.metrics()


@pytest.mark.parametrize(
  'names, options, message',
  [
    ([], {}, 'at least one class'),
    (['a'], {'iou_type': 'keypoints'}, "iou_type='keypoints'"),
    (['a'], {'engine': 'quick'}, "engine='quick'.*fast, pycocotools"),
    (['a', 'b'], {'category_ids': [1]}, r'2 classes .* got \[1\]'),
    (['a', 'b'], {'category_ids': [3, 3]}, r'different .* got \[3, 3\]'),
  ],
)
def test_bad_options(names, options, message):
  with pytest.raises(ValueError, match=message):
    evaluate.CocoEvaluation(names, **options)


@pytest.mark.parametrize(
  'text, message',
  [
    ('{"a": ', 'is no JSON file'),
    ('{"a": 1}', 'a JSON list is expected, got a dict'),
    ('[{"image_id": 1}]', 'entry 0 has no category_id, score'),
    ('[{"image_id": 1, "category_id": 1, "score": 1}]', 'no bbox or segm'),
    ('[7]', 'entry 0 has no category_id, image_id, score'),
  ],
)
def test_bad_results_file(tmp_path, text, message):
  path = tmp_path / 'results.json'
  path.write_text(text)
  with pytest.raises(ValueError, match=message) as error:
    filled().load_results(path)
  assert str(path) in str(error.value)


def test_results_of_the_other_kind():
  row = {'image_id': 1, 'category_id': 1, 'score': 1, 'segmentation': {}}
  with pytest.raises(ValueError, match='image 1 have an entry without bbox'):
    filled().load_results([row])


def annotation_file(tmp_path, **changes):
  data = {
    'images': [{'id': 1, 'height': 20, 'width': 30}, {'id': 2}],
    'categories': [{'id': 7, 'name': 'b'}, {'id': 5, 'name': 'a'}],
    'annotations': [
      {
        'id': 1,
        'image_id': 1,
        'category_id': 7,
        'bbox': [2, 3, 4, 5],
        'area': 11,
        'iscrowd': 0,
        'segmentation': [[2, 3, 6, 3, 6, 8, 2, 8]],
      }
    ],
  }
  data.update(changes)
  data = {key: value for key, value in data.items() if value is not None}
  path = tmp_path / 'truth.json'
  path.write_text(json.dumps(data))
  return path


def test_annotation_file(tmp_path):
  evaluation = evaluate.CocoEvaluation.from_annotations(
    annotation_file(tmp_path)
  )
  assert evaluation.category_ids == [5, 7]
  # Image 2 has no object; 11 is the area, not 4 * 5.
  evaluation.add(2, BOX, [1], [0.9])
  evaluation.add(1, [[3, 2, 8, 6]], [2], [0.9])
  a, b = evaluation.per_class()
  assert (a['name'], a['AP'], b['name']) == ('a', -1, 'b')
  assert b['AP'] == pytest.approx(1)
  objects, _ = evaluation._gathered.columns()
  assert objects.area.tolist() == [11]


@pytest.mark.parametrize('key', ['images', 'categories', 'annotations'])
def test_annotation_file_without_a_key(tmp_path, key):
  path = annotation_file(tmp_path, **{key: None})
  with pytest.raises(ValueError, match=f"has no '{key}'"):
    evaluate.CocoEvaluation.from_annotations(path)


ROW = {'id': 9, 'image_id': 1, 'category_id': 7, 'bbox': [0] * 4, 'area': 0}


@pytest.mark.parametrize(
  'row, message',
  [
    ({**ROW, 'image_id': 3}, 'annotation 9 has the image_id 3, which'),
    ({**ROW, 'category_id': 6}, 'annotation 9 has the category_id 6, which'),
    ({'id': 9, 'image_id': 1, 'area': 0}, 'has no category_id, bbox'),
  ],
)
def test_bad_annotation(tmp_path, row, message):
  path = annotation_file(tmp_path, annotations=[row])
  with pytest.raises(ValueError, match=message):
    coco_files.load_annotations(path)


def test_masks_that_come_with_boxes_have_the_size_of_the_box(tmp_path):
  path = annotation_file(tmp_path)
  mask = mask_lib.encode(np.ones((20, 30), np.uint8, order='F'))
  row = {
    'image_id': 1,
    'category_id': 7,
    'score': 0.5,
    'segmentation': mask,
    'bbox': [0, 0, 4, 5],
  }
  evaluation = evaluate.CocoEvaluation.from_annotations(path, 'segm')
  evaluation.load_results([row])
  _, found = evaluation._gathered.columns()
  assert found.area.tolist() == [20]
  evaluation = evaluate.CocoEvaluation.from_annotations(path, 'segm')
  evaluation.add(1, [mask], [2], [0.5])
  _, found = evaluation._gathered.columns()
  assert found.area.tolist() == [600]


def test_masks(tmp_path):
  evaluation = evaluate.CocoEvaluation.from_annotations(
    annotation_file(tmp_path), iou_type='segm'
  )
  mask = np.zeros((20, 30), np.uint8, order='F')
  mask[3:8, 2:5] = 1  # 15 of the 20 true pixels
  evaluation.add(1, [mask_lib.encode(mask)], [2], [0.5])
  metrics = evaluation.metrics()
  # Overlap .75: found at the thresholds .5, .55, ... .75.
  assert metrics['AP'] == pytest.approx(0.6)
  assert metrics['AP75'] == pytest.approx(1)
  path = tmp_path / 'results.json'
  evaluation.save_results(path)
  again = evaluate.CocoEvaluation.from_annotations(
    annotation_file(tmp_path), iou_type='segm', engine='pycocotools'
  )
  again.load_results(path)
  assert again.metrics() == metrics
  runs = {'size': [2, 3], 'counts': [1, 2, 3]}
  encoded = coco_files.encoded_mask(runs, 2, 3)
  # Column by column: one pixel off, two on, three off.
  assert mask_lib.decode(encoded).tolist() == [[0, 1, 0], [1, 0, 0]]


def test_a_failed_write_leaves_the_old_file(tmp_path):
  path = tmp_path / 'results.json'
  coco_files.save_results(path, [1])
  with pytest.raises(ValueError, match='nan'):
    coco_files.save_results(path, [float('nan')])
  assert path.read_text() == '[1]'
  assert [p.name for p in tmp_path.iterdir()] == ['results.json']
