"""The numbers of one evaluation, gathered image by image on the host.

Glossary: N objects or detections of an image, K classes, numbered from 1 (the
background, 0, has no boxes).
"""

import collections
from collections.abc import Sequence
from typing import Any, Optional, Union

from object_detection import coco_files, coco_metrics, gathered, voc_metrics

ENGINES = ('fast', 'pycocotools')


class CocoEvaluation:
  """COCO's AP and AR, as pycocotools has them.

  Per image and class the 100 surest detections count. Numbers without any
  object to measure them on are -1.

  Args:
    class_names: [K] names of the classes 1..K.
    category_ids: [K] their ids in COCO's files, which may have gaps (80 ids up
      to 90); None: 1..K.
    iou_type: 'bbox' or 'segm': whether boxes or masks are compared.
    engine: 'fast', or 'pycocotools' to have it all done there; the numbers are
      equal.

  Raises:
    ValueError: an argument is none of those, or ids and names do not agree.
  """

  def __init__(
    self,
    class_names: Sequence[str],
    category_ids: Optional[Sequence[int]] = None,
    iou_type: str = 'bbox',
    engine: str = 'fast',
  ):
    for name, value, known in (
      ('iou_type', iou_type, ('bbox', 'segm')),
      ('engine', engine, ENGINES),
    ):
      if value not in known:
        raise ValueError(
          f'CocoEvaluation got {name}={value!r}; use one of {", ".join(known)}.'
        )
    self._gathered = gathered.Gathered(class_names, iou_type == 'segm')
    count = len(self._gathered.class_names)
    ids = range(1, count + 1) if category_ids is None else category_ids
    self.category_ids = [int(i) for i in ids]
    if len(set(self.category_ids)) != count or len(self.category_ids) != count:
      raise ValueError(
        f'{count} classes need as many different category ids, got '
        f'{self.category_ids}.'
      )
    self._class_of = {c: k + 1 for k, c in enumerate(self.category_ids)}
    self._iou_type, self._engine = iou_type, engine
    self._tables = None

  @classmethod
  def from_annotations(cls, path, iou_type='bbox', engine='fast'):
    """An evaluation with the truth of a COCO annotation file.

    The classes are the file's categories by ascending id.

    Raises:
      FileNotFoundError, ValueError: as coco_files.load_annotations.
    """
    data = coco_files.load_annotations(path)
    ids, names = zip(*data.categories) if data.categories else ((), ())
    self = cls(names, ids, iou_type, engine)
    for image_id, size in data.images.items():
      rows = data.by_image.get(image_id, [])
      self._gathered.put_truth(
        image_id,
        [
          coco_files.encoded_mask(a['segmentation'], *size)
          if iou_type == 'segm'
          else a['bbox']
          for a in rows
        ],
        [self._class_of[a['category_id']] for a in rows],
        [bool(a.get('iscrowd', 0)) for a in rows],
        [a['area'] for a in rows],
      )
    return self

  def add_truth(self, image_id, shapes, classes, is_crowd=None, area=None):
    """Adds the objects of an image; it may have none.

    Args:
      image_id: number or text, as in COCO's files; all of one kind.
      shapes: float [N, 4] boxes ymin, xmin, ymax, xmax in pixels of the
        original picture; for 'segm' N run-length encoded masks.
      classes: int [N], 1..K.
      is_crowd: bool [N]; None: no crowd.
      area: float [N], square pixels; None: that of the box or mask.

    Raises:
      ValueError: lengths or values are wrong; names the image.
    """
    self._tables = None
    shapes = self._shapes(shapes)
    self._gathered.put_truth(image_id, shapes, classes, is_crowd, area)

  def add(self, image_id, shapes, classes, scores):
    """Adds the detections of an image; the padding must be cut off.

    Args:
      image_id: as for add_truth.
      shapes: as for add_truth.
      classes: int [N], 1..K.
      scores: float [N], higher is surer; of equals the first counts first.

    Raises:
      ValueError: lengths or values are wrong; names the image.
    """
    self._tables = None
    shapes = self._shapes(shapes)
    self._gathered.put_found(image_id, shapes, classes, scores)

  def _shapes(self, shapes):
    masks = self._iou_type == 'segm'
    return shapes if masks else coco_files.to_xywh(shapes)

  def metrics(self) -> dict:
    """Returns {name: float}, see coco_metrics.NAMES.

    Raises:
      ValueError: no image, no object, or detections of an unknown image.
    """
    return coco_metrics.summary(self.tables())

  def per_class(self) -> list:
    """Returns a dict per class: what there is of it, and its numbers.

    Raises:
      ValueError: as metrics().
    """
    objects, tables = self._evaluated()
    numbers = coco_metrics.by_category(tables)
    return [
      {
        **self._gathered.class_row(k, objects),
        'category_id': category_id,
        **numbers[k],
      }
      for k, category_id in enumerate(self.category_ids)
    ]

  def tables(self) -> coco_metrics.Tables:
    """Returns precision and recall as COCOeval.eval has them.

    Raises:
      ValueError: as metrics().
    """
    return self._evaluated()[1]

  def _evaluated(self):
    """Returns Objects and Tables; does the work once."""
    if self._tables is None:
      objects, found = self._gathered.columns()
      count = len(self.category_ids)
      if self._engine == 'fast':
        tables = coco_metrics.tables(objects, found, count)
      else:
        tables = coco_metrics.reference_tables(
          objects, found, count, self._gathered.num_images, self._iou_type
        )
      self._tables = objects, tables
    return self._tables

  def results(self) -> list:
    """Returns the detections as COCO's results: a list of dicts."""
    masks = self._iou_type == 'segm'
    key = 'segmentation' if masks else 'bbox'
    rows = []
    for image_id, entry in self._gathered.found.items():
      shapes, classes, _, scores = entry
      shapes = [_json_mask(s) for s in shapes] if masks else shapes.tolist()
      for shape, k, score in zip(shapes, classes.tolist(), scores.tolist()):
        row = {'image_id': image_id, 'category_id': self.category_ids[k]}
        rows.append({**row, key: shape, 'score': score})
    return rows

  def save_results(self, path) -> None:
    """Writes the results file, whole or not at all."""
    coco_files.save_results(path, self.results())

  def load_results(self, results: Union[str, Any]) -> None:
    """Adds the detections of a results file.

    Args:
      results: path of the file, or the list that is in one.

    Raises:
      FileNotFoundError: no such file.
      ValueError: an entry is wrong, or names an unknown category.
    """
    if not isinstance(results, list):
      results = coco_files.load_results(results)
    by_image = collections.defaultdict(list)
    for i, entry in enumerate(results):
      if entry['category_id'] not in self._class_of:
        raise ValueError(
          f'Entry {i} of the results has category_id '
          f'{entry["category_id"]!r}, which is not among the categories.'
        )
      by_image[entry['image_id']].append(entry)
    self._tables = None
    for image_id, rows in by_image.items():
      self._load_image(image_id, rows)

  def _load_image(self, image_id, rows):
    masks = self._iou_type == 'segm'
    key = 'segmentation' if masks else 'bbox'
    shapes = [r.get(key) for r in rows]
    if None in shapes:
      raise ValueError(
        f'The results of image {image_id!r} have an entry without {key}.'
      )
    area = None
    if masks and all('bbox' in r for r in rows):
      # As in pycocotools, where the box then says how large it is.
      area = [r['bbox'][2] * r['bbox'][3] for r in rows]
    classes = [self._class_of[r['category_id']] for r in rows]
    scores = [r['score'] for r in rows]
    self._gathered.put_found(image_id, shapes, classes, scores, area)


def _json_mask(mask):
  """The encoding with its counts as text."""
  counts = mask['counts']
  counts = counts.decode('ascii') if isinstance(counts, bytes) else counts
  return {'size': [int(n) for n in mask['size']], 'counts': counts}


class VocEvaluation:
  """PASCAL VOC's mean average precision, 11-point and every-point.

  Args:
    class_names: [K] names of the classes 1..K.
    threshold: least overlap of a right detection, above 0 to 1.

  Raises:
    ValueError: no class, or a threshold out of range.
  """

  def __init__(self, class_names: Sequence[str], threshold: float = 0.5):
    if not 0 < threshold <= 1:
      raise ValueError(
        f'VocEvaluation needs a threshold above 0 and up to 1, got {threshold}.'
      )
    self._gathered = gathered.Gathered(class_names)
    self._threshold = threshold
    self._evaluated = None

  def add_truth(self, image_id, boxes, classes, difficult=None):
    """Adds the objects of an image; it may have none.

    Args:
      image_id: number or text, all of one kind.
      boxes: float [N, 4] ymin, xmin, ymax, xmax in pixels of the original
        picture, far edges exclusive (see voc_metrics).
      classes: int [N], 1..K.
      difficult: bool [N]; None: none is.

    Raises:
      ValueError: lengths or values are wrong; names the image.
    """
    self._evaluated = None
    boxes = coco_files.to_xywh(boxes)
    self._gathered.put_truth(image_id, boxes, classes, difficult)

  def add(self, image_id, boxes, classes, scores):
    """Adds the detections of an image; the padding must be cut off.

    Args:
      image_id: as for add_truth.
      boxes: as for add_truth.
      classes: int [N], 1..K.
      scores: float [N], higher is surer.

    Raises:
      ValueError: lengths or values are wrong; names the image.
    """
    self._evaluated = None
    boxes = coco_files.to_xywh(boxes)
    self._gathered.put_found(image_id, boxes, classes, scores)

  def metrics(self) -> dict:
    """Returns {'mAP': every-point, 'mAP_11_point': 11-point}.

    The mean is over the classes that have an object to find.

    Raises:
      ValueError: no image, no object, or detections of an unknown image.
    """
    rows = [row for row in self.per_class() if row['objects']]
    mean = lambda key: sum(row[key] for row in rows) / len(rows)
    return {'mAP': mean('AP'), 'mAP_11_point': mean('AP_11_point')}

  def per_class(self) -> list:
    """Returns a dict per class; AP is -1 without an object to find.

    Raises:
      ValueError: as metrics().
    """
    if self._evaluated is None:
      objects, found = self._gathered.columns()
      count = len(self._gathered.class_names)
      curves = voc_metrics.curves(objects, found, count, self._threshold)
      self._evaluated = [
        {**self._gathered.class_row(k, objects), **_voc_numbers(curve)}
        for k, curve in enumerate(curves)
      ]
    return self._evaluated


def _voc_numbers(curve):
  if not curve.wanted:
    undefined = coco_metrics.UNDEFINED
    return {'AP': undefined, 'AP_11_point': undefined}
  return {
    'AP': voc_metrics.every_point(curve),
    'AP_11_point': voc_metrics.eleven_point(curve),
  }


def format_table(rows: Sequence[dict]) -> str:
  """Returns per-class rows as aligned text, numbers in percent.

  Args:
    rows: of CocoEvaluation.per_class or VocEvaluation.per_class; what is -1
      there is a dash here.
  """
  counts = ('class', 'category_id', 'images', 'objects')
  keys = [k for k in rows[0] if k != 'name']

  def cell(key, value):
    if key in counts:
      return str(value)
    return f'{100 * value:.1f}' if value > coco_metrics.UNDEFINED else '-'

  lines = [['name', *keys]]
  lines += [[row['name'], *(cell(k, row[k]) for k in keys)] for row in rows]
  widths = [max(map(len, column)) for column in zip(*lines)]
  return '\n'.join(
    '  '.join(
      [line[0].ljust(widths[0])]
      + [text.rjust(width) for text, width in zip(line[1:], widths[1:])]
    )
    for line in lines
  )
