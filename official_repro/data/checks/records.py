"""What can be wrong with one record whose bytes are sound. Pure functions.

Glossary: C classes, N objects, K keypoints of an object.
"""

import dataclasses
from collections.abc import Iterator
from typing import Optional

import numpy as np

from official_repro.data import examples, image_files
from official_repro.data import hierarchy as hierarchy_lib

_IGNORED = 255  # mask value of pixels without a class
_SLACK = 1e-6  # boxes are stored as float32
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Rules:
  """What the records of a data set have to obey.

  Attributes:
    num_classes: C; None: the label space is unknown, labels go unchecked.
    hierarchy: where labels must hold all their ancestors, else None.
  """

  num_classes: Optional[int]
  hierarchy: Optional[hierarchy_lib.Hierarchy] = None


def problems(example: examples.Example, rules: Rules) -> list[str]:
  """Returns what is wrong with an example, a clause each; [] if nothing."""
  found = []
  if not example.source_id:
    found.append('the source id is empty')
  try:
    size = image_files.check_encoded(example.encoded)
  except image_files.BadImageError as e:
    found.append(f'picture: {e}')
    size = (example.height, example.width)
  if size != (example.height, example.width):
    found.append(
      f'the record says {example.height} x {example.width} (height x width), '
      f'the picture is {size[0]} x {size[1]}'
    )
  found.extend(_label_problems(example, rules))
  found.extend(_object_problems(example, rules))
  if example.segmentation_png is not None:
    found.extend(_mask_problems(example.segmentation_png, size, rules))
  return found


def _label_problems(example, rules) -> Iterator[str]:
  labels, given = example.label_ids, example.given_label_ids
  for what, ids in (('label', labels), ('given label', given)):
    if rules.num_classes is not None:
      wrong = [i for i in ids if not 0 <= i < rules.num_classes]
      if wrong:
        yield f'{what}s {_some(wrong)} outside 0..{rules.num_classes - 1}'
    if len(set(ids)) < len(ids):
      yield f'{what}s twice: {_some([i for i in ids if ids.count(i) > 1])}'
  missing = sorted(set(given) - set(labels))
  if missing:
    yield f'given labels {_some(missing)} are not among the labels'
  if rules.hierarchy is not None:
    yield from _fill_problems(labels, rules.hierarchy)
  confidence = example.confidence
  if confidence is None:
    return
  if len(confidence) != len(labels):
    yield f'{len(confidence)} confidences for {len(labels)} labels'
  if not _within(confidence, 0, 1):
    yield 'a confidence outside 0..1'


def _fill_problems(labels, hierarchy):
  known = [i for i in labels if 0 <= i < hierarchy.num_classes]
  missing = sorted(set(hierarchy.fill(known)) - set(labels))
  if missing:
    yield f'ancestors {_some(missing)} of the labels are missing'
  if labels != sorted(labels):
    yield 'the labels are not in ascending order'


def _object_problems(example, rules) -> Iterator[str]:
  if example.boxes is None:
    return
  boxes, n = example.boxes, len(example.boxes)
  for i, box in enumerate(boxes):
    ymin, xmin, ymax, xmax = box.tolist()
    if not _within(box, 0, 1):
      yield f'box {i} {_numbers(box)} leaves the picture (0..1)'
    elif ymin > ymax or xmin > xmax:
      yield f'box {i} {_numbers(box)} (ymin, xmin, ymax, xmax) is inside out'
  for field in ('box_labels', 'is_crowd', 'area'):
    value = getattr(example, field)
    if value is None and field == 'box_labels':
      yield 'boxes without labels'
    elif value is not None and len(value) != n:
      yield f'{len(value)} {field} for {n} boxes'
  labels = [] if example.box_labels is None else example.box_labels.tolist()
  highest = np.inf if rules.num_classes is None else rules.num_classes
  wrong = [i for i in labels if not 1 <= i <= highest]
  if wrong:
    yield f'box labels {_some(wrong)} outside 1..{highest}'
  if example.area is not None and not _within(example.area, 0, np.inf):
    yield 'an area below 0 or not a number'
  if example.keypoints is not None:
    yield from _keypoint_problems(example.keypoints)


def _keypoint_problems(keypoints):
  for i, joints in enumerate(keypoints):
    visibility = joints[:, 2]
    wrong = ~np.isin(visibility, (0, 1, 2))
    if wrong.any():
      yield (
        f'object {i}: keypoint visibilities {_some(visibility[wrong])} are '
        'none of 0, 1, 2'
      )
    for k in np.flatnonzero(visibility > 0):
      if not _within(joints[k, :2], 0, 1):
        yield (
          f'object {i}: visible keypoint {k} at {_numbers(joints[k, :2])} '
          '(y, x) leaves the picture (0..1)'
        )


def _mask_problems(png, size, rules) -> Iterator[str]:
  try:
    mask = image_files.check_mask(png)
  except image_files.BadImageError as e:
    yield f'mask: {e}'
    return
  if mask.shape != size:
    yield (
      f'the mask is {mask.shape[0]} x {mask.shape[1]} (height x width), the '
      f'picture {size[0]} x {size[1]}'
    )
  if rules.num_classes is not None:
    values = np.unique(mask)
    wrong = values[(values > rules.num_classes) & (values != _IGNORED)]
    if len(wrong):
      yield (
        f'mask values {_some(wrong)} above {rules.num_classes} and not '
        f'{_IGNORED}'
      )


def _within(values, low, high):
  values = np.asarray(values, np.float64)
  # A comparison with what is not a number is false.
  return bool(((values >= low - _SLACK) & (values <= high + _SLACK)).all())


def _some(values):
  values = [f'{v:g}' for v in dict.fromkeys(values)]
  return ', '.join(values[:_SHOWN]) + (', ...' if len(values) > _SHOWN else '')


def _numbers(values):
  return '[' + ', '.join(f'{v:g}' for v in values.tolist()) + ']'
