"""Data folders of pictures with people, made by hand."""

from typing import NamedTuple, Optional

import numpy as np

from official_repro.data import examples, records
from official_repro.data import hierarchy as hierarchy_lib
from pose import joints as joints_lib
from tests.deeplab.folders import picture, png

K = len(joints_lib.NAMES)
# Where the joints of a person who stands are in the box: y and x from 0 to 1,
# COCO's order. The person faces us: the left of the body has the larger x.
STANDING = np.array(
  [
    [0.10, 0.50],
    *([0.07, 0.56], [0.07, 0.44]),
    *([0.09, 0.63], [0.09, 0.37]),
    *([0.22, 0.75], [0.22, 0.25]),
    *([0.37, 0.85], [0.37, 0.15]),
    *([0.50, 0.95], [0.50, 0.05]),
    *([0.52, 0.65], [0.52, 0.35]),
    *([0.74, 0.67], [0.74, 0.33]),
    *([0.95, 0.70], [0.95, 0.30]),
  ]
)


class Person(NamedTuple):
  """Somebody, or something, on a picture.

  Attributes:
    box: ymin, xmin, ymax, xmax in pixels.
    joints: [K, 3], y and x in pixels, visibility.
    label: category, from 1.
    crowd: whether it is one.
    area: square pixels; None: that of the box.
  """

  box: tuple
  joints: np.ndarray
  label: int = 1
  crowd: bool = False
  area: Optional[float] = None


def person(box, visible=2, moved=0.0, **fields):
  """Somebody who stands in a box.

  Args:
    box: ymin, xmin, ymax, xmax in pixels.
    visible: of all joints, or [K].
    moved: pixels that every joint is away from where it should be.
    **fields: further ones of Person.
  """
  box = np.array(box, float)
  points = box[:2] + STANDING * (box[2:] - box[:2]) + moved
  visibility = np.broadcast_to(visible, [K])[:, None]
  points = np.where(visibility > 0, points, 0)
  return Person(tuple(box), np.concatenate([points, visibility], 1), **fields)


def example(source_id, people=(), size=(64, 48), image=None, **fields):
  """A record of people on a picture.

  Args:
    source_id: its name.
    people: of Person.
    size: height and width of a random picture.
    image: uint8 [H, W, 3] instead.
    **fields: further ones of examples.Example, or instead of those made here.
  """
  if image is None:
    image = picture(*size, seed=sum(source_id.encode()))
  height, width = image.shape[:2]
  boxes = np.array([p.box for p in people], np.float64).reshape(-1, 4)
  joints = np.array([p.joints for p in people], np.float64).reshape(-1, K, 3)
  areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
  own = {
    'boxes': np.float32(boxes / ([height, width] * 2)),
    'box_labels': np.array([p.label for p in people], np.int64),
    'is_crowd': np.array([p.crowd for p in people], np.int64),
    'area': np.float32(
      [a if p.area is None else p.area for a, p in zip(areas, people)]
    ),
    'keypoints': np.float32(joints / [height, width, 1]),
  }
  return examples.Example(
    height=height,
    width=width,
    source_id=source_id,
    **{'encoded': png(image), **own, **fields},
  )


def write(folder, names=('person',), num_shards=1, **splits):
  """Writes a data folder of Examples, {split: [Example]}; returns its path."""
  shards = {}
  for split, rows in splits.items():
    with records.RecordWriter(folder, split, num_shards=num_shards) as writer:
      for row in rows:
        writer.write(row)
    shards[split] = writer.shards
  records.write_manifest(
    folder,
    name='folders',
    hierarchy=hierarchy_lib.Hierarchy.flat(list(names)),
    splits=shards,
  )
  return str(folder)
