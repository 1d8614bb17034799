"""A data folder of real pictures: people on two photos of COCO's."""

import json

import numpy as np

from official_repro.data import coco_results
from pose import joints as joints_lib
from tests.conftest import shared_path
from tests.pose import folders

# The second one is not for commercial use: nothing of it may be shipped.
PHOTOS = '000000000785.jpg', '000000196141.jpg'


def read():
  """Returns [(photo, path of the file, (height, width), [folders.Person])].

  Skips the test where ../shared is not there.
  """
  annotations = shared_path('data', 'coco_keypoints', 'person_keypoints.json')
  with open(annotations, encoding='utf-8') as f:
    data = json.load(f)
  found = []
  for photo in PHOTOS:
    path = shared_path('data', 'coco_keypoints', photo)
    (image,) = (i for i in data['images'] if i['file_name'] == photo)
    people = [
      folders.Person(
        tuple(coco_results.from_xywh(row['bbox'])[0]),
        joints_lib.exchange_xy(np.reshape(row['keypoints'], (17, 3))),
        crowd=bool(row['iscrowd']),
        area=row['area'],
      )
      for row in data['annotations']
      if row['image_id'] == image['id']
    ]
    found.append((photo, path, (image['height'], image['width']), people))
  return found


def write(folder):
  """Writes a data folder with the photos as `train` and as `validation`."""
  rows = [
    folders.example(
      photo.split('.')[0].lstrip('0'), people, size, encoded=path.read_bytes()
    )
    for photo, path, size, people in read()
  ]
  return folders.write(folder, train=rows, validation=rows)
