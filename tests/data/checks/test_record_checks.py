import io

import numpy as np
import pytest
from PIL import Image

from official_repro.data import examples
from official_repro.data.checks import records as record_checks
from official_repro.data.hierarchy import Hierarchy

# 0 thing > 1 fruit > 2 apple; 3 stone.
SPACE = Hierarchy(range(4), list('abcd'), [(), (0,), (1,), ()], [1] * 4)
RULES = record_checks.Rules(4, SPACE)


def picture(height=6, width=8, kind='PNG', mode='RGB', value=0):
  file = io.BytesIO()
  Image.new(mode, (width, height), value).save(file, kind)
  return file.getvalue()


def sound(**changes):
  """An example without a fault, but for `changes`."""
  fields = {
    'encoded': picture(),
    'height': 6,
    'width': 8,
    'source_id': 'id',
    'label_ids': [0, 1, 2],
    'given_label_ids': [2],
    'confidence': [1.0, 0.0, 0.5],
    'boxes': np.array([[0, 0.25, 0.5, 1], [0.5, 0.5, 0.5, 1]], np.float32),
    'box_labels': np.array([1, 4]),
    'is_crowd': np.array([0, 1]),
    'area': np.array([3.0, 0.0]),
    'keypoints': np.array([[[0.5, 1, 2], [9, 9, 0]]] * 2),
    'segmentation_png': picture(mode='L', value=4),
  }
  return examples.Example(**{**fields, **changes})


def test_a_sound_record():
  assert record_checks.problems(sound(), RULES) == []
  ignored = picture(mode='L', value=255)
  assert not record_checks.problems(sound(segmentation_png=ignored), RULES)


def boxes(*box):
  return {'boxes': np.array([[0, 0, 1, 1], box], np.float32)}


@pytest.mark.parametrize(
  'changes, expected',
  [
    ({'source_id': ''}, 'the source id is empty'),
    ({'encoded': b'x'}, 'picture: not an image in a known format'),
    ({'encoded': picture(kind='BMP')}, 'picture: BMP of mode RGB'),
    (
      {'height': 7},
      'the record says 7 x 8 (height x width), the picture is 6 x 8',
    ),
    ({'label_ids': [0, 1, 4]}, 'labels 4 outside 0..3'),
    ({'given_label_ids': [-1]}, 'given labels -1 outside 0..3'),
    ({'label_ids': [0, 1, 1]}, 'labels twice: 1'),
    ({'given_label_ids': [2, 2]}, 'given labels twice: 2'),
    ({'given_label_ids': [3]}, 'given labels 3 are not among the labels'),
    ({'label_ids': [0, 2, 3]}, 'ancestors 1 of the labels are missing'),
    ({'label_ids': [2, 1, 0]}, 'the labels are not in ascending order'),
    ({'confidence': [1, 1]}, '2 confidences for 3 labels'),
    ({'confidence': [1, 1, 1.5]}, 'a confidence outside 0..1'),
    ({'confidence': [1, 1, np.nan]}, 'a confidence outside 0..1'),
    (boxes(0, 0, 1.25, 1), 'box 1 [0, 0, 1.25, 1] leaves the picture (0..1)'),
    (boxes(0, np.nan, 1, 1), 'box 1 [0, nan, 1, 1] leaves the picture'),
    (boxes(0.5, 0, 0.25, 1), 'box 1 [0.5, 0, 0.25, 1] (ymin, xmin, ymax, xma'),
    (boxes(0, 0.5, 1, 0.25), 'box 1 [0, 0.5, 1, 0.25] (ymin, xmin, ymax, xma'),
    ({'box_labels': None}, 'boxes without labels'),
    ({'box_labels': np.array([1])}, '1 box_labels for 2 boxes'),
    ({'box_labels': np.array([0, 4])}, 'box labels 0 outside 1..4'),
    ({'box_labels': np.array([1, 5])}, 'box labels 5 outside 1..4'),
    ({'is_crowd': np.array([1])}, '1 is_crowd for 2 boxes'),
    ({'area': np.array([1, -1])}, 'an area below 0 or not a number'),
    (
      {'keypoints': np.array([[[0.5, 0.5, 3]], [[0, 0, 0]]])},
      'object 0: keypoint visibilities 3 are none of 0, 1, 2',
    ),
    (
      {'keypoints': np.array([[[0, 0, 0]], [[0.5, 1.5, 1]]])},
      'object 1: visible keypoint 0 at [0.5, 1.5] (y, x) leaves the picture',
    ),
    ({'segmentation_png': b'x'}, 'mask: not an image in a known format'),
    (
      {'segmentation_png': picture(5, 8, mode='L')},
      'the mask is 5 x 8 (height x width), the picture 6 x 8',
    ),
    (
      {'segmentation_png': picture(mode='L', value=5)},
      'mask values 5 above 4 and not 255',
    ),
  ],
)
def test_each_fault_is_named(changes, expected):
  found = record_checks.problems(sound(**changes), RULES)
  assert any(problem.startswith(expected) for problem in found), found
  if not changes.keys() & {'label_ids', 'given_label_ids'}:
    assert len(found) == 1


def test_without_fill_in_ancestors_need_not_be_there():
  rules = record_checks.Rules(4)
  example = sound(label_ids=[2, 0], given_label_ids=[2], confidence=None)
  assert record_checks.problems(example, rules) == []


def test_without_a_label_space_only_the_rest_is_checked():
  rules = record_checks.Rules(None)
  example = sound(
    label_ids=[99, 2], confidence=None, box_labels=np.array([9, 1])
  )
  assert record_checks.problems(example, rules) == []
  assert record_checks.problems(sound(box_labels=np.array([0, 1])), rules)


def test_long_lists_are_cut():
  rules = record_checks.Rules(1)
  (found,) = record_checks.problems(
    sound(
      label_ids=list(range(9)),
      given_label_ids=[],
      confidence=None,
      boxes=None,
      segmentation_png=None,
    ),
    rules,
  )
  assert found == 'labels 1, 2, 3, 4, 5, ... outside 0..0'
