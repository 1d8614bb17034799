"""A data folder of one real picture: people on a photo of COCO's."""

import io
import json

import numpy as np
from PIL import Image
from pycocotools import mask as mask_lib

from official_repro.data import examples
from tests.conftest import shared_path
from tests.deeplab import folders

PERSON, IGNORE = 1, 255
# CC BY 2.0; the other photo there is not for commercial use.
PHOTO = '000000000785.jpg'


def mask_of(rows, height, width):
  """Mask of COCO annotations: uint8 [H, W], people 1, crowds and others 255.

  Args:
    rows: of an annotation file; polygons or run lengths.
    height, width: pixels of the picture.
  """
  mask = np.zeros((height, width), np.uint8)
  # People last: they are known where a crowd lies over them, too.
  is_person = lambda row: row['category_id'] == 1 and not row['iscrowd']
  for row in sorted(rows, key=is_person):
    shape = row['segmentation']
    if isinstance(shape, list):
      shape = mask_lib.merge(mask_lib.frPyObjects(shape, height, width))
    elif isinstance(shape['counts'], list):
      shape = mask_lib.frPyObjects(shape, height, width)
    inside = mask_lib.decode(shape) > 0
    mask[inside] = PERSON if is_person(row) else IGNORE
  return mask


def read(photo=PHOTO):
  """Returns a photo, uint8 [H, W, 3], and its mask, uint8 [H, W].

  Skips the test where ../shared is not there.
  """
  path = shared_path('data', 'coco_keypoints', photo)
  annotations = path.with_name('person_keypoints.json')
  with open(annotations, encoding='utf-8') as f:
    data = json.load(f)
  pixels = np.asarray(Image.open(path).convert('RGB'))
  (image,) = (i for i in data['images'] if i['file_name'] == photo)
  rows = [a for a in data['annotations'] if a['image_id'] == image['id']]
  return pixels, mask_of(rows, *pixels.shape[:2])


def write(folder, photo=PHOTO, max_side=None):
  """Writes a data folder with the photo as `train` and as `validation`.

  Args:
    folder: where to.
    photo: file name.
    max_side: the longer side is reduced to so many pixels; None: as it is.

  Returns:
    Path of the folder; its only category is person.
  """
  pixels, mask = read(photo)
  height, width = mask.shape
  scale = min(1, (max_side or height + width) / max(height, width))
  size = round(width * scale), round(height * scale)
  pixels = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
  mask = Image.fromarray(mask).resize(size, Image.Resampling.NEAREST)
  file = io.BytesIO()
  pixels.save(file, 'JPEG', quality=95)
  example = examples.Example(
    encoded=file.getvalue(),
    height=size[1],
    width=size[0],
    source_id=photo,
    label_ids=[0],
    segmentation_png=folders.png(np.asarray(mask)),
  )
  splits = {'train': [example], 'validation': [example]}
  return folders.write(folder, ['person'], **splits)
