"""COCO's files: annotations in, results in and out.

A results file is a JSON list of {image_id, category_id, bbox or segmentation,
score}; a bbox is x, y, width, height in pixels of the original picture.
"""

import collections
import json
import os
import pathlib
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as mask_lib

_KEYS = ('image_id', 'category_id', 'bbox', 'area')


class Annotations(NamedTuple):
  """What an annotation file says.

  Attributes:
    categories: [(category id, name)] by ascending id.
    images: {image id: (height, width)}; 0 where the file does not say.
    by_image: {image id: [annotation]} for images that have some.
  """

  categories: list
  images: dict
  by_image: dict


def load_annotations(path) -> Annotations:
  """Reads an annotation file of objects.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is no such file, or an annotation lacks a key or names an
      image or a category that the file does not have.
  """
  data = _load(path)
  for key in ('images', 'categories', 'annotations'):
    if not isinstance(data, dict) or key not in data:
      raise ValueError(f'{path} has no {key!r}: it is no COCO annotation file.')
  categories = sorted((c['id'], c['name']) for c in data['categories'])
  known = {category_id for category_id, _ in categories}
  images = {
    i['id']: (i.get('height', 0), i.get('width', 0)) for i in data['images']
  }
  by_image = collections.defaultdict(list)
  for annotation in data['annotations']:
    missing = [key for key in _KEYS if key not in annotation]
    if missing:
      raise ValueError(
        f'{path}: annotation {annotation.get("id")} has no '
        f'{", ".join(missing)}.'
      )
    for key, among in (('image_id', images), ('category_id', known)):
      if annotation[key] not in among:
        raise ValueError(
          f'{path}: annotation {annotation.get("id")} has the {key} '
          f'{annotation[key]!r}, which the file does not list.'
        )
    by_image[annotation['image_id']].append(annotation)
  return Annotations(categories, images, dict(by_image))


def load_results(path) -> list:
  """Reads a results file.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is no such file; names the first entry that is wrong.
  """
  data = _load(path)
  if not isinstance(data, list):
    raise ValueError(
      f'{path} is no COCO results file: a JSON list is expected, got a '
      f'{type(data).__name__}.'
    )
  needed = {'image_id', 'category_id', 'score'}
  for i, entry in enumerate(data):
    missing = needed - set(entry) if isinstance(entry, dict) else needed
    if missing or not ('bbox' in entry or 'segmentation' in entry):
      lack = ', '.join(sorted(missing)) or 'bbox or segmentation'
      raise ValueError(f'{path}: entry {i} has no {lack}.')
  return data


def save_results(path, results) -> None:
  """Writes a results file, whole or not at all.

  Args:
    path: of the file.
    results: list of dicts as COCO has them.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'.{path.name}.tmp')
  try:
    with open(temporary, 'w', encoding='utf-8') as f:
      json.dump(results, f, separators=(',', ':'), allow_nan=False)
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)


def image_id(source_id: str) -> Any:
  """COCO's id of an image: the number that its source id is, else the text."""
  is_number = source_id.isascii() and source_id.isdigit()
  return int(source_id) if is_number else source_id


def encoded_mask(segmentation, height, width) -> dict:
  """Run-length encoding of an annotation's segmentation.

  Args:
    segmentation: polygons [[x0, y0, x1, y1, ...], ...], or a run-length
      encoding {'size', 'counts'}, compressed or not.
    height: of the picture.
    width: of the picture.

  Returns:
    {'size': [height, width], 'counts': bytes or text}.
  """
  if isinstance(segmentation, list):
    return mask_lib.merge(mask_lib.frPyObjects(segmentation, height, width))
  if isinstance(segmentation['counts'], list):
    return mask_lib.frPyObjects(segmentation, height, width)
  return segmentation


def to_xywh(boxes) -> np.ndarray:
  """Boxes [N, 4] ymin, xmin, ymax, xmax as float64 x, y, width, height."""
  boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
  ymin, xmin, ymax, xmax = boxes.T
  return np.stack([xmin, ymin, xmax - xmin, ymax - ymin], 1)


def from_xywh(boxes) -> np.ndarray:
  """Boxes [N, 4] x, y, width, height as float64 ymin, xmin, ymax, xmax."""
  x, y, width, height = np.asarray(boxes, np.float64).reshape(-1, 4).T
  return np.stack([y, x, y + height, x + width], 1)


def _load(path):
  try:
    with open(path, encoding='utf-8') as f:
      return json.load(f)
  except (UnicodeDecodeError, json.JSONDecodeError) as e:
    raise ValueError(f'{path} is no JSON file: {e}.') from e
