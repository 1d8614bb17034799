"""COCO annotation files as a source: boxes, or people with keypoints.

Format: cocodataset.org, "Data format". Boxes there are [x, y, width, height] in
pixels from the corner of the picture.
"""

import functools
import hashlib
import json
import pathlib
import sys
from collections.abc import Iterator, Mapping
from typing import Optional, Union

import numpy as np

from official_repro.data import examples, image_files, manifest, unique
from official_repro.data import hierarchy as hierarchy_lib
from official_repro.data.sources import source

KINDS = ('instances', 'keypoints')
# Annotators' boxes may stick out by rounding; more is a mistake.
_MAX_OUTSIDE = 1.0  # pixels
_PARTS = ('images', 'annotations', 'categories')


class CocoSource:
  """The pictures of COCO JSON files, in the order of their lists.

  A record has the boxes of all objects, crowds included, their area, and the
  set of their categories as labels. Box label 1 is the category with the
  lowest id; `options['category_ids']` has the ids, in order, for result files.
  A picture without objects is kept. Objects without width or height are left
  out and counted on stderr. One file at a time is in memory.

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
    self._categories, self._minival, sizes = None, None, {}
    for split, path in self._files.items():
      content = _load(path)
      self._check_categories(path, content)
      sizes[split] = _checked(path, content, self._ids, kind)
      if split == 'val' and minival is not None:
        self._minival = _chosen([i['id'] for i in content['images']], minival)
    if minival is not None:
      sizes = _minival_sizes(sizes, minival)
    self.sizes = sizes
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
    index = {c: i for i, c in enumerate(self._ids)}
    for split, path in self._files.items():
      content = _load(path)
      of_image = _objects(content, index, self._kind)
      for image in content['images']:
        size = (int(image['height']), int(image['width']))
        objects = tuple(of_image.get(image['id'], ()))
        payload = (split, image['file_name'], size, objects)
        yield source.Item(
          self._split_of(split, image['id']), str(image['id']), payload
        )

  def _split_of(self, split, image_id):
    if self._minival is None or split != 'val':
      return split
    return 'minival' if image_id in self._minival else 'train'

  def _check_categories(self, path, content):
    found = sorted((c['id'], c['name']) for c in content['categories'])
    if len({i for i, _ in found}) < len(found):
      raise ValueError(f'{path}: two categories have the same id.')
    if self._categories not in (None, found):
      raise ValueError(
        f'{path} has other categories than {next(iter(self._files.values()))}: '
        'all files of a data set need the same.'
      )
    self._categories = found


def _chosen(image_ids, count):
  """Returns the `count` image ids with the smallest hashes."""

  def rank(image_id):
    data = str(image_id).encode()
    return hashlib.blake2b(data, digest_size=8, person=b'minival').digest()

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


def _load(path):
  try:
    with open(path, encoding='utf-8') as f:
      content = json.load(f)
  except ValueError as e:
    raise ValueError(f'{path} is no JSON ({e}).') from e
  parts = content if isinstance(content, dict) else {}
  for part in _PARTS:
    if not isinstance(parts.get(part), list):
      raise ValueError(
        f'{path} has no list {part!r}: it is no COCO annotation file, which '
        f'has {", ".join(_PARTS)}.'
      )
  return content


def _checked(path, content, category_ids, kind):
  """Checks a file's pictures and objects; returns the number of pictures."""
  images = set()
  for i, image in enumerate(content['images']):
    where = f'{path}, images[{i}]'
    _need(where, image, ('id', 'file_name', 'height', 'width'))
    source.check_relative(image['file_name'], where)
    if image['id'] in images:
      raise ValueError(f'{where}: image id {image["id"]} was there before.')
    images.add(image['id'])
  if not images:
    raise ValueError(f'{path} lists no image.')
  names = lambda: (image['file_name'] for image in content['images'])
  found = unique.first_duplicate(names)
  if found:
    raise ValueError(
      f'{path}, images[{found[1]}]: file {found[2]!r} was there before, in '
      f'images[{found[0]}].'
    )
  keys = ('image_id', 'category_id', 'bbox')
  known_of = {'image_id': images, 'category_id': set(category_ids)}
  degenerate = 0
  for i, item in enumerate(content['annotations']):
    if kind == 'keypoints' and 'keypoints' not in item:
      continue
    where = f'{path}, annotations[{i}]'
    _need(where, item, keys)
    for key, known in known_of.items():
      if item[key] not in known:
        raise ValueError(
          f'{where}: {key} {item[key]} is not in the file; its {key[:-3]} must '
          'be listed.'
        )
    _check_numbers(where, item, kind)
    degenerate += not _has_size(item)
  if degenerate:
    print(
      f'{path}: {degenerate:,} object(s) without width or height left out.',
      file=sys.stderr,
    )
  return len(images)


def _need(where, item, keys):
  for key in keys:
    if key not in item:
      raise ValueError(f'{where}: {key!r} is missing.')


def _check_numbers(where, item, kind):
  box = item['bbox']
  if len(box) != 4 or not np.isfinite(box).all():
    raise ValueError(f'{where}: bbox {box} must be [x, y, width, height].')
  if kind == 'keypoints' and len(item['keypoints']) % 3:
    raise ValueError(
      f'{where}: keypoints must be triples of x, y, visibility, got '
      f'{len(item["keypoints"])} numbers.'
    )


def _has_size(item):
  return item['bbox'][2] > 0 and item['bbox'][3] > 0


def _objects(content, index, kind):
  """Returns {image id: [(box, category, crowd, area, keypoints)]}."""
  of_image = {}
  for item in content['annotations']:
    has_keypoints = 'keypoints' in item
    if not _has_size(item) or (kind == 'keypoints' and not has_keypoints):
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
  root, file_name, (height, width), objects = item.payload
  try:
    encoded = source.read_image_file(roots[root], file_name)
    boxes = normalised_boxes(
      [(y, x, y + h, x + w) for (x, y, w, h), *_ in objects], height, width
    )
  except image_files.BadImageError as e:
    return source.BadRecord(item.source_id, str(e))
  categories = [o[1] for o in objects]
  example = examples.Example(
    encoded=encoded,
    height=height,
    width=width,
    source_id=item.source_id,
    label_ids=sorted(set(categories)),
    boxes=boxes,
    box_labels=np.array(categories, np.int64) + 1,
    is_crowd=np.array([o[2] for o in objects], np.int64),
    area=np.array([o[3] for o in objects], np.float32),
  )
  if kind == 'keypoints' and objects:
    points = np.array([o[4] for o in objects], np.float32)
    points = points.reshape(len(objects), -1, 3)
    example.keypoints = np.stack(
      [points[..., 1] / height, points[..., 0] / width, points[..., 2]], -1
    )
  return example


def normalised_boxes(boxes, height: int, width: int) -> np.ndarray:
  """Returns boxes as parts of the picture, kept inside of it.

  Args:
    boxes: N tuples of ymin, xmin, ymax, xmax in pixels.
    height: pixels.
    width: pixels.

  Returns:
    float32 [N, 4], ymin, xmin, ymax, xmax from 0 to 1.

  Raises:
    BadImageError: a box sticks out by more than a pixel; names it.
  """
  boxes = np.array(boxes, np.float64).reshape(-1, 4)
  limit = np.array([height, width, height, width], np.float64)
  inside = np.clip(boxes, 0, limit)
  outside = np.abs(boxes - inside).max(axis=1, initial=0) > _MAX_OUTSIDE
  if outside.any():
    ymin, xmin, ymax, xmax = boxes[np.argmax(outside)].tolist()
    raise image_files.BadImageError(
      f'box x {xmin:g} to {xmax:g}, y {ymin:g} to {ymax:g} lies outside the '
      f'picture of {width} x {height} pixels'
    )
  return (inside / limit).astype(np.float32)
