"""Objects and detections, image by image, as the columns that are compared.

Glossary: N objects or detections of an image, K classes, numbered from 1 (the
background, 0, has no boxes).
"""

import numpy as np
from pycocotools import mask as mask_lib

from object_detection.coco_matching import Detections, Objects


class Gathered:
  """Objects and detections of the images so far.

  Args:
    class_names: [K] names of the classes 1..K.
    takes_masks: whether shapes are run-length encoded masks, else boxes
      x, y, width, height in pixels.

  Raises:
    ValueError: no class.
  """

  def __init__(self, class_names, takes_masks=False):
    self.class_names = list(class_names)
    if not self.class_names:
      raise ValueError('An evaluation needs at least one class, got none.')
    self.takes_masks = takes_masks
    self.truth, self.found = {}, {}

  @property
  def num_images(self) -> int:
    """How many images have their truth."""
    return len(self.truth)

  def put_truth(self, image_id, shapes, classes, flags=None, area=None):
    """Adds the objects of an image.

    Args:
      image_id: number or text.
      shapes: float [N, 4] or N encodings.
      classes: int [N], 1..K.
      flags: bool [N], crowd or difficult; None: none is.
      area: float [N]; None: that of the shapes.

    Raises:
      ValueError: lengths or values are wrong; names the image.
    """
    image_id = _plain(image_id)
    if image_id in self.truth:
      raise ValueError(f'Image {image_id!r} was given its objects twice.')
    where = f'objects of image {image_id!r}'
    shapes, classes = self._checked(where, shapes, classes)
    flags = np.zeros(len(classes), bool) if flags is None else flags
    area = _area(shapes) if area is None else area
    self.truth[image_id] = (
      shapes,
      classes,
      _column(where, 'area', area, classes, np.float64),
      _column(where, 'crowd or difficult flags', flags, classes, bool),
    )

  def put_found(self, image_id, shapes, classes, scores, area=None):
    """Adds the detections of an image; arguments as for put_truth.

    Raises:
      ValueError: lengths or values are wrong; names the image.
    """
    image_id = _plain(image_id)
    if image_id in self.found:
      raise ValueError(f'Image {image_id!r} was given its detections twice.')
    where = f'detections of image {image_id!r}'
    shapes, classes = self._checked(where, shapes, classes)
    area = _area(shapes) if area is None else area
    self.found[image_id] = (
      shapes,
      classes,
      _column(where, 'area', area, classes, np.float64),
      _column(where, 'scores', scores, classes, np.float64),
    )

  def _checked(self, where, shapes, classes):
    """Returns shapes and classes from 0, as arrays."""
    classes = np.asarray(classes)
    if classes.ndim != 1 or len(shapes) != len(classes):
      raise ValueError(
        f'The {where}: {np.shape(classes)} classes for {len(shapes)} boxes or '
        'masks; give one each.'
      )
    classes = classes.astype(np.int64)
    wrong = classes[(classes < 1) | (classes > len(self.class_names))]
    if len(wrong):
      raise ValueError(
        f'The {where} have class {wrong[0]}, outside '
        f'1..{len(self.class_names)}.'
      )
    if self.takes_masks:
      masks = np.empty(len(shapes), object)
      masks[:] = list(shapes)
      return masks, classes - 1
    return _checked_boxes(where, shapes), classes - 1

  def columns(self) -> tuple:
    """Returns Objects and Detections, images in ascending order of ids.

    Raises:
      ValueError: no image, no object, or detections of an unknown image.
    """
    if not self.truth:
      raise ValueError('The evaluation set has no image.')
    for image_id in self.found:
      if image_id not in self.truth:
        raise ValueError(
          f'There are detections for image {image_id!r}, which is not in the '
          'evaluation set.'
        )
    ids = _sorted_ids(self.truth)
    objects = Objects(*_stacked(ids, self.truth, self.takes_masks))
    if objects.is_crowd.all():
      raise ValueError(
        f'The {len(ids)} image(s) of the evaluation set have no object to '
        'find: there is nothing to measure.'
      )
    found = Detections(*_stacked(ids, self.found, self.takes_masks))
    return objects, found

  def class_row(self, k, objects) -> dict:
    """Returns what there is of class k, from 0."""
    of_class = objects.category == k
    return {
      'class': k + 1,
      'name': self.class_names[k],
      'images': len(np.unique(objects.image[of_class])),
      'objects': int(np.sum(of_class & ~objects.is_crowd)),
    }


def _plain(image_id):
  """The id as Python's number or text; TensorFlow's text is bytes."""
  if isinstance(image_id, np.generic):
    image_id = image_id.item()
  return image_id.decode() if isinstance(image_id, bytes) else image_id


def _checked_boxes(where, boxes):
  """Returns float64 [N, 4] x, y, width, height."""
  boxes = np.asarray(boxes, np.float64)
  if not boxes.size:
    return np.zeros((0, 4))
  if boxes.ndim != 2 or boxes.shape[1] != 4:
    raise ValueError(f'The {where}: boxes must be [N, 4], got {boxes.shape}.')
  wrong = ~np.isfinite(boxes).all(1) | (boxes[:, 2:] < 0).any(1)
  if wrong.any():
    x, y, width, height = boxes[wrong][0].tolist()
    raise ValueError(
      f'The {where} have a box with ymin={y:g}, xmin={x:g}, height={height:g}, '
      f'width={width:g}, which is none.'
    )
  return boxes


def _column(where, what, values, classes, dtype):
  """Returns the values as an array with an entry per class."""
  values = np.asarray(values, dtype)
  if values.shape != classes.shape:
    raise ValueError(
      f'The {where}: {what} of shape {values.shape} for {len(classes)} boxes '
      'or masks; give one each.'
    )
  if not np.isfinite(values).all():
    raise ValueError(f'The {where}: {what} must be finite, got {values}.')
  return values


def _area(shapes):
  """Square pixels of each shape."""
  if shapes.ndim == 2:
    return shapes[:, 2] * shapes[:, 3]
  if not len(shapes):
    return np.zeros(0)
  return mask_lib.area(list(shapes)).astype(np.float64)


def _sorted_ids(ids):
  try:
    return sorted(ids)
  except TypeError as e:
    raise ValueError(
      'The image ids of an evaluation must all be numbers, or all be text.'
    ) from e


def _stacked(ids, by_image, takes_masks):
  """Columns image, class, shapes, area and the last one, of all images."""
  kept = [(n, by_image[i]) for n, i in enumerate(ids) if i in by_image]
  empty = np.zeros(0, object) if takes_masks else np.zeros((0, 4))
  none = (empty, np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
  rows = [entry for _, entry in kept] or [none]
  shapes, classes, area, last = (np.concatenate(c) for c in zip(*rows))
  counts = [len(entry[1]) for _, entry in kept]
  image = np.repeat(np.array([n for n, _ in kept], np.int64), counts)
  return image, classes, shapes, area, last
