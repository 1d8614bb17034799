"""COCO's files: annotations in, results in and out.

A results file is a JSON list of {image_id, category_id, bbox or segmentation,
score}; a bbox is x, y, width, height in pixels of the original picture.
"""

import collections
from typing import NamedTuple

from pycocotools import mask as mask_lib

from official_repro.data import coco_results
from official_repro.data.coco_results import (
  from_xywh,
  image_id,
  save_results,
  to_xywh,
)

__all__ = [
  'Annotations',
  'encoded_mask',
  'from_xywh',
  'image_id',
  'load_annotations',
  'load_results',
  'save_results',
  'to_xywh',
]

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
  data = coco_results.load_json(path)
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
  data = coco_results.load_list(path)
  needed = {'image_id', 'category_id', 'score'}
  for i, entry in enumerate(data):
    missing = needed - set(entry) if isinstance(entry, dict) else needed
    if missing or not ('bbox' in entry or 'segmentation' in entry):
      lack = ', '.join(sorted(missing)) or 'bbox or segmentation'
      raise ValueError(f'{path}: entry {i} has no {lack}.')
  return data


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
