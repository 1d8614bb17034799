"""COCO annotation files as a source: boxes, or people with keypoints."""

import functools
import hashlib
import pathlib
import sys
from collections.abc import Iterator, Mapping
from typing import Optional, Union

import numpy as np

from official_repro.data import examples, image_files, manifest
from official_repro.data import hierarchy as hierarchy_lib
from official_repro.data.sources import coco_file, pixel_boxes, source

KINDS = ('instances', 'keypoints')


class CocoSource:
  """The pictures of COCO JSON files, in the order of their lists.

  A record has the boxes of all objects, crowds included, their area, and the
  set of their categories as labels. Box label 1 is the category with the
  lowest id; `options['category_ids']` has the ids, in order, for result files.
  A picture without objects is kept. Objects without width or height are left
  out and counted on stderr; a picture with a box or a labelled keypoint that
  sticks out by more than a pixel is a bad one. One file at a time is in memory,
  without the outlines in it.

  Args:
    annotations: {split: JSON file}; all with the same categories.
    image_root: folder of the pictures, or {split: folder}.
    kind: 'instances', or 'keypoints': only objects with keypoints count, and a
      record has theirs, y and x from 0 to 1 and the visibility.
    minival: pictures of `val` that make the split `minival`; the others of it
      join `train`, as in the paper's minival* of 8,000 (sec. 5). Which ones
      the authors took is not known: here a hash of the image id decides.

  Raises:
    FileNotFoundError: a file or folder is missing.
    ValueError: a file breaks a rule; names file, part and value.
  """

  has_objects = True

  def __init__(
    self,
    annotations: Mapping,
    image_root: Union[str, pathlib.Path, Mapping],
    kind: str = 'instances',
    minival: Optional[int] = None,
  ):
    if kind not in KINDS:
      raise ValueError(f'--kind must be one of {", ".join(KINDS)}, got {kind}.')
    if not isinstance(image_root, Mapping):
      image_root = dict.fromkeys(annotations, image_root)
    self._files = {
      manifest.check_split_name(s): pathlib.Path(p)
      for s, p in annotations.items()
    }
    roots = {s: _checked_root(s, image_root) for s in self._files}
    self._kind, self.name = kind, 'coco'
    self._categories = self._joints = self._minival = None
    self.sizes = {s: self._checked(p) for s, p in self._files.items()}
    if minival is not None:
      self.sizes = _minival_sizes(self.sizes, minival)
      self._minival = _chosen(self._files['val'], minival)
    self.hierarchy = hierarchy_lib.Hierarchy.flat(
      [name for _, name in self._categories]
    )
    self.options = {
      'kind': kind,
      'minival': minival,
      'category_ids': self._ids,
      'annotations': {
        split: manifest.sha256_of_file(path)
        for split, path in self._files.items()
      },
    }
    self.reader = functools.partial(_read, roots, kind)

  @property
  def _ids(self):
    return [category_id for category_id, _ in self._categories]

  def items(self) -> Iterator[source.Item]:
    """Yields the pictures of each file."""
    for split, path in self._files.items():
      yield from self._items_of(split, path)

  def _items_of(self, split, path):
    content = coco_file.load(path)
    images = content['images']
    of_image = _objects(content, self._ids, self._kind)
    del content
    for image in images:
      size = (int(image['height']), int(image['width']))
      objects = tuple(of_image.pop(image['id'], ()))
      payload = (split, image['file_name'], size, objects)
      yield source.Item(
        self._split_of(split, image['id']), str(image['id']), payload
      )

  def _split_of(self, split, image_id):
    if self._minival is None or split != 'val':
      return split
    return 'minival' if image_id in self._minival else 'train'

  def _checked(self, path):
    """Checks a file, also against those before; returns its pictures."""
    content = coco_file.load(path)
    categories = coco_file.categories(path, content)
    first = next(iter(self._files.values()))
    if self._categories not in (None, categories):
      raise ValueError(
        f'{path} has other categories than {first}: all files of a data set '
        'need the same.'
      )
    self._categories = categories
    found = coco_file.check(path, content, self._kind == 'keypoints')
    joints = self._joints or found.joints
    if found.joints not in (None, joints):
      raise ValueError(
        f'{path} has {found.joints} keypoints an object, {first} has {joints}: '
        'all files of a data set need the same.'
      )
    self._joints = joints
    if found.degenerate:
      print(
        f'{path}: {found.degenerate:,} object(s) without width or height left '
        'out.',
        file=sys.stderr,
      )
    return found.images


def _chosen(path, count):
  """Returns the `count` image ids of a file with the smallest hashes."""

  def rank(image_id):
    data = str(image_id).encode()
    return hashlib.blake2b(data, digest_size=8, person=b'minival').digest()

  image_ids = [image['id'] for image in coco_file.load(path)['images']]
  return set(sorted(image_ids, key=rank)[:count])


def _minival_sizes(sizes, minival):
  if sizes.keys() != {'train', 'val'} or not 0 < minival <= sizes['val']:
    raise ValueError(
      f'--minival={minival} needs the splits train and val, with at least as '
      f'many pictures in val, got {sizes}.'
    )
  rest = sizes['val'] - minival
  return {'train': sizes['train'] + rest, 'minival': minival}


def _checked_root(split, roots):
  if split not in roots:
    raise ValueError(
      f'--image_root names no folder for split {split!r}, only for '
      f'{", ".join(roots)}.'
    )
  if not pathlib.Path(roots[split]).is_dir():
    raise FileNotFoundError(f'There is no image root {roots[split]}.')
  return str(roots[split])


def _objects(content, category_ids, kind):
  """Returns {image id: [(box, category, crowd, area, keypoints)]}."""
  index = {c: i for i, c in enumerate(category_ids)}
  sizes = {i['id']: (i['height'], i['width']) for i in content['images']}
  of_image = {}
  for item in content['annotations']:
    if kind == 'keypoints' and 'keypoints' not in item:
      continue
    if not coco_file.has_size(item['bbox'], *sizes[item['image_id']]):
      continue
    x, y, width, height = map(float, item['bbox'])
    of_image.setdefault(item['image_id'], []).append(
      (
        (x, y, width, height),
        index[item['category_id']],
        int(item.get('iscrowd', 0)),
        float(item.get('area', width * height)),
        tuple(item['keypoints']) if kind == 'keypoints' else None,
      )
    )
  return of_image


def _read(roots, kind, item):
  """Returns the Example of an item, or a BadRecord."""
  root, file_name, size, objects = item.payload
  try:
    encoded = source.read_image_file(roots[root], file_name)
    boxes = pixel_boxes.normalised(
      [(y, x, y + h, x + w) for (x, y, w, h), *_ in objects], *size
    )
    keypoints = None
    if kind == 'keypoints' and objects:
      points = np.reshape([o[4] for o in objects], (len(objects), -1, 3))
      keypoints = pixel_boxes.normalised_points(points, *size)
  except image_files.BadImageError as e:
    return source.BadRecord(item.source_id, str(e))
  categories = [o[1] for o in objects]
  return examples.Example(
    encoded,
    *size,
    item.source_id,
    label_ids=sorted(set(categories)),
    boxes=boxes,
    box_labels=np.array(categories, np.int64) + 1,
    is_crowd=np.array([o[2] for o in objects], np.int64),
    area=np.array([o[3] for o in objects], np.float32),
    keypoints=keypoints,
  )
