"""Where predict looks for people: boxes of a file, of a detector, or one.

A source is called with a picture's path and its pixels, uint8 [H, W, 3], and
returns Boxes. `about` says for people what it is. Files are COCO's: x, y, width
and height in pixels of the picture. TensorFlow is loaded for a detector only.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

import numpy as np

from official_repro.data import coco_results
from official_repro.data import hierarchy as hierarchy_lib
from pose import coco_files

_NAME = 'person'
_OUTPUTS = (
  'detection_boxes',
  'detection_classes',
  'detection_scores',
  'num_detections',
)


class Boxes(NamedTuple):
  """Where people may be in a picture.

  Attributes:
    boxes: float32 [P, 4], ymin, xmin, ymax, xmax in pixels; best first.
    scores: float32 [P].
    left_out: float32 [Q, 4], boxes without height or width.
  """

  boxes: np.ndarray
  scores: np.ndarray
  left_out: np.ndarray


def _chosen(boxes, scores, min_score) -> Boxes:
  """Takes the sound boxes that are sure enough, of doubles the surer one."""
  boxes = np.float32(boxes).reshape(-1, 4)
  scores = np.float32(scores).reshape(-1)
  sure = scores > min_score
  boxes, scores = boxes[sure], scores[sure]
  empty = (boxes[:, 2:] <= boxes[:, :2]).any(1)
  left_out, boxes, scores = boxes[empty], boxes[~empty], scores[~empty]
  kept = coco_files.box_nms(boxes, scores)
  return Boxes(boxes[kept], scores[kept], left_out)


class WholePicture:
  """One box, the picture itself."""

  def __init__(self):
    self.about = {'from': 'whole picture'}

  def __call__(self, path: str, pixels: np.ndarray) -> Boxes:
    """See the module."""
    del path  # The same for each.
    return _chosen([[0, 0, *pixels.shape[:2]]], [1.0], 0.0)


class File:
  """Boxes of a COCO file: a results file, or one in the form of annotations.

  A results file is a list of {image_id, category_id, bbox, score}; the id is
  the number, or the text, that the picture is called: 785 is 000000000785.jpg.
  In the form of annotations, as object_detection.predict writes it, `images`
  gives the names; a box without a score is an annotated one and counts as sure,
  a crowd is left out.

  Args:
    path: of the file.
    pictures: paths of all pictures that will be asked for.
    min_score: boxes of this score or a lower one are left out.
    person_category: id of people; None: that of the category 'person' where the
      file lists its categories, else 1.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is no such file, an entry is wrong, or none of the pictures
      is in it.
  """

  def __init__(
    self,
    path: str,
    pictures: Sequence[str],
    min_score: float = coco_files.SCORE_ABOVE,
    person_category: Optional[int] = None,
  ):
    content = coco_results.load_json(path)
    self._path, self._min_score = path, min_score
    entries, self._ids, self._sizes, categories = _parts(
      path, content, pictures
    )
    person = person_category
    if person is None:
      person = _listed_person(path, categories)
    self._rows: dict[Any, list] = {}
    known = set(self._sizes)
    for i, entry in enumerate(entries):
      image_id, row = _checked(f'{path}: entry {i}', entry, content)
      known.add(image_id)
      if entry['category_id'] == person and not entry.get('iscrowd'):
        self._rows.setdefault(image_id, []).append(row)
    if known.isdisjoint(self._ids.values()):
      raise ValueError(
        f'{path} has boxes of none of the {len(pictures)} pictures at --images '
        f'(the first is {pictures[0]}): a results file calls a picture by its '
        'number or name without suffix, other files list file names.'
      )
    self.about = {
      'from': 'boxes_file',
      'path': path,
      'min_score': min_score,
      'person_category': person,
    }

  def __call__(self, path: str, pixels: np.ndarray) -> Boxes:
    """See the module.

    Raises:
      ValueError: the file is about a picture of another size.
    """
    image_id = self._ids.get(path)
    size = self._sizes.get(image_id, pixels.shape[:2])
    if size != pixels.shape[:2]:
      raise ValueError(
        f'{path} has {pixels.shape[:2]} pixels (height, width), but '
        f'{self._path} has boxes of a picture of {size}; give the pictures '
        'that the boxes were found in.'
      )
    rows = np.reshape(self._rows.get(image_id, []), (-1, 5))
    boxes = coco_results.from_xywh(rows[:, :4])
    return _chosen(boxes, rows[:, 4], self._min_score)


def _parts(path, content, pictures):
  """Returns what a file tells.

  Entries; {picture: image id}; {image id: (height, width)}; {category: id}.
  """
  if isinstance(content, list):
    stem = lambda p: os.path.splitext(os.path.basename(p))[0]
    return content, {p: coco_files.image_id(stem(p)) for p in pictures}, {}, {}
  try:
    images = content['images']
    names = {image['id']: image['file_name'] for image in images}
    sizes = {
      image['id']: (image['height'], image['width'])
      for image in images
      if 'height' in image and 'width' in image
    }
    categories = {c['name']: c['id'] for c in content.get('categories', ())}
    entries = list(content['annotations'])
    return entries, _by_name(names, pictures), sizes, categories
  except (TypeError, KeyError) as e:
    raise ValueError(
      f'{path} is no COCO file with boxes: a list of results is expected, or '
      'images (id, file_name) and annotations.'
    ) from e


def _by_name(names: Mapping[Any, str], pictures) -> dict[str, Any]:
  """Finds the image id of each picture: by its path, else by its file name.

  A file name that several pictures have, here or there, decides nothing.
  """
  by_path = {os.path.abspath(name): i for i, name in names.items()}
  by_base = _unique((os.path.basename(n), i) for i, n in names.items())
  found = _unique((os.path.basename(p), p) for p in pictures)
  ids = {p: by_base[base] for base, p in found.items() if base in by_base}
  for path in pictures:
    if os.path.abspath(path) in by_path:
      ids[path] = by_path[os.path.abspath(path)]
  return ids


def _unique(pairs):
  """Returns a dict of the pairs whose key is there once."""
  values = {}
  for key, value in pairs:
    values.setdefault(key, []).append(value)
  return {key: found[0] for key, found in values.items() if len(found) == 1}


def _listed_person(path, categories):
  """Returns the id of the category 'person'; COCO's if none are listed."""
  if categories and _NAME not in categories:
    raise ValueError(
      f'{path} has no category {_NAME!r}, but '
      f'{", ".join(map(str, categories))}; say with --person_category which '
      'id people have.'
    )
  return categories.get(_NAME, coco_files.PERSON)


def _checked(where, entry, content):
  """Returns an entry's image id, and its box and score: float64 [5]."""
  try:
    image_id, _ = entry['image_id'], entry['category_id']
    if isinstance(content, list):
      image_id, score = coco_files.image_id(str(image_id)), entry['score']
    else:
      score = entry.get('score', 1.0)
    box = entry['bbox']
    row = np.array([*box, score], np.float64)
    hash(image_id)
  except (TypeError, KeyError, ValueError, AttributeError) as e:
    raise ValueError(
      f'{where} needs image_id, category_id, bbox (x, y, width, height) and '
      f'score, got {str(entry)[:200]}.'
    ) from e
  if row.shape != (5,) or not np.isfinite(row).all() or row[2:4].min() < 0:
    raise ValueError(
      f'{where} has the bbox {box} and the score {score}: finite numbers are '
      'expected, x, y, width and height, the last two not below 0.'
    )
  return image_id, row


class Detector:
  """An exported detector, see object_detection.export.

  Also one of the TF Object Detection API: the signature is the same.

  Args:
    folder: of the SavedModel.
    min_score: boxes of this score or a lower one are left out.
    person_category: what it calls people; None: by assets.extra/labels.tsv the
      place of 'person' there, from 1, which is COCO's id too; without that file
      1. (A detector of some of COCO's classes keeps their ids: say which.)

  Raises:
    ValueError: there is no such detector, or it does not know people.
  """

  def __init__(
    self,
    folder: str,
    min_score: float = coco_files.SCORE_ABOVE,
    person_category: Optional[int] = None,
  ):
    if not os.path.exists(os.path.join(folder, 'saved_model.pb')):
      raise ValueError(
        f'There is no SavedModel at --detector {folder!r}; make one with '
        'python -m object_detection.export.'
      )
    self._person = person_category
    if person_category is None:
      self._person = _labelled_person(folder)
    # Not above, so that a wrong folder is told before TensorFlow has loaded.
    import tensorflow as tf

    # Kept, as its variables go with it.
    self._loaded = tf.saved_model.load(folder)
    self._serve = self._loaded.signatures.get('serving_default')
    if self._serve is None or not self._fits():
      raise ValueError(
        f'The SavedModel at --detector {folder!r} is no detector: a signature '
        f'serving_default with input_tensor and {", ".join(_OUTPUTS)} is '
        'expected.'
      )
    self._min_score = min_score
    self.about = {
      'from': 'detector',
      'path': folder,
      'min_score': min_score,
      'person_category': self._person,
    }

  def _fits(self):
    _, inputs = self._serve.structured_input_signature
    return list(inputs) == ['input_tensor'] and set(_OUTPUTS) <= set(
      self._serve.structured_outputs
    )

  def __call__(self, path: str, pixels: np.ndarray) -> Boxes:
    """See the module.

    Raises:
      ValueError: a box or a score of a person is not finite.
    """
    import tensorflow as tf

    found = self._serve(input_tensor=tf.constant(pixels[None]))
    boxes, classes, scores, count = (found[k].numpy()[0] for k in _OUTPUTS)
    people = np.rint(classes[: int(count)]) == self._person
    boxes, scores = (v[: int(count)][people] for v in (boxes, scores))
    wrong = ~np.isfinite(np.c_[boxes, scores]).all(1)
    if wrong.any():
      i = int(np.argmax(wrong))
      raise ValueError(
        f'{path}: the detector found a person at {boxes[i].tolist()} with the '
        f'score {scores[i]}, which is not finite; check its training.'
      )
    return _chosen(
      boxes * np.tile(pixels.shape[:2], 2), scores, self._min_score
    )


def _labelled_person(folder):
  path = os.path.join(folder, 'assets.extra', 'labels.tsv')
  if not os.path.exists(path):
    return coco_files.PERSON
  try:
    return hierarchy_lib.Hierarchy.load(path).index(_NAME) + 1
  except ValueError as e:
    raise ValueError(
      f'The detector does not know people: {path}: {e} Say with '
      '--person_category which class they are.'
    ) from e
