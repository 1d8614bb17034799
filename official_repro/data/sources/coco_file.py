"""Reading and checking COCO's annotation files.

Format: cocodataset.org, "Data format". Boxes there are [x, y, width, height] in
pixels from the corner of the picture.
"""

import json
import math
from typing import NamedTuple, Optional

from official_repro.data import unique
from official_repro.data.sources import pixel_boxes, source

_PARTS = ('images', 'annotations', 'categories')
_IMAGE_KEYS = ('id', 'file_name', 'height', 'width')
_OBJECT_KEYS = ('image_id', 'category_id', 'bbox')
_SHOWN = 60  # characters of a wrong value in a message


class Summary(NamedTuple):
  """What a checked file holds.

  Attributes:
    images: number of pictures.
    degenerate: objects without width or height in the picture.
    joints: K, keypoints of each object; None without keypoints.
  """

  images: int
  degenerate: int
  joints: Optional[int]


def load(path) -> dict:
  """Returns the content of a file, without the outlines of its objects.

  The outlines are most of a file; they are dropped while it is read.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is no JSON or lacks one of COCO's lists; names it.
  """
  try:
    with open(path, encoding='utf-8-sig') as f:
      content = json.load(f, object_hook=_without_outline)
  except (ValueError, RecursionError) as e:
    raise ValueError(f'{path} is no JSON ({e}).') from e
  parts = content if isinstance(content, dict) else {}
  for part in _PARTS:
    if not isinstance(parts.get(part), list):
      raise ValueError(
        f'{path} has no list {part!r}: it is no COCO annotation file, which '
        f'has {", ".join(_PARTS)}.'
      )
    for i, entry in enumerate(parts[part]):
      if not isinstance(entry, dict):
        raise ValueError(
          f'{path}, {part}[{i}]: an object with keys expected, got '
          f'{_shown(entry)}.'
        )
  return content


def categories(path, content: dict) -> list[tuple[int, str]]:
  """Returns the (id, name) of the categories, in ascending id.

  Raises:
    ValueError: none, an id that is no whole number or occurs twice, or a
      category without a name.
  """
  found = {}
  for i, category in enumerate(content['categories']):
    where = f'{path}, categories[{i}]'
    _need(where, category, ('id', 'name'))
    category_id, name = category['id'], category['name']
    if not _is_int(category_id) or not isinstance(name, str) or not name:
      raise ValueError(
        f'{where}: a whole number as id and a name expected, got '
        f'{_shown(category_id)} and {_shown(name)}.'
      )
    if category_id in found:
      raise ValueError(f'{where}: id {category_id} was there before.')
    found[category_id] = name
  if not found:
    raise ValueError(f'{path} lists no category.')
  return sorted(found.items())


def check(path, content: dict, keypoints: bool) -> Summary:
  """Checks a file's pictures and objects.

  Args:
    path: for messages.
    content: as `load` returns it, with categories that were checked.
    keypoints: whether only objects with keypoints count, and these must fit.

  Raises:
    ValueError: a value breaks a rule; names file, place and value.
  """
  sizes = _checked_images(path, content['images'])
  category_ids = {c['id'] for c in content['categories']}
  degenerate, joints = 0, None
  for i, item in enumerate(content['annotations']):
    if keypoints and 'keypoints' not in item:
      continue
    problem = _object_problem(item, sizes, category_ids)
    if not problem and keypoints:
      joints, problem = _checked_joints(item['keypoints'], joints)
    if problem:
      raise ValueError(f'{path}, annotations[{i}]: {problem}')
    degenerate += not has_size(item['bbox'], *sizes[item['image_id']])
  if keypoints and content['annotations'] and joints is None:
    raise ValueError(
      f'{path} has no object with keypoints: for its boxes use '
      '--kind=instances.'
    )
  return Summary(len(sizes), degenerate, joints)


def has_size(box, height: int, width: int) -> bool:
  """Whether a box has width and height, also after its rounding is cut off.

  Args:
    box: x, y, width, height in pixels.
    height: of the picture in pixels.
    width: of the picture in pixels.
  """
  return _side_has_size(box[0], box[2], width) and _side_has_size(
    box[1], box[3], height
  )


def _side_has_size(start, length, limit):
  if length <= 0:
    return False
  # What lies farther out is no rounding, but wrong: the reader tells.
  at_edge = (
    start >= -pixel_boxes.MAX_OUTSIDE
    and start + length <= limit + pixel_boxes.MAX_OUTSIDE
  )
  return not at_edge or min(start + length, limit) > max(start, 0)


def _without_outline(entry):
  entry.pop('segmentation', None)
  return entry


def _checked_images(path, images):
  """Returns {image id: (height, width)}."""
  sizes, names = {}, set()
  for i, image in enumerate(images):
    where = f'{path}, images[{i}]'
    _need(where, image, _IMAGE_KEYS)
    image_id, name, *size = (image[key] for key in _IMAGE_KEYS)
    if not (_is_int(image_id) or (image_id and isinstance(image_id, str))):
      raise ValueError(
        f'{where}: an id is a whole number or a text, got {_shown(image_id)}.'
      )
    if not isinstance(name, str):
      raise ValueError(
        f'{where}: file_name must be a text, got {_shown(name)}.'
      )
    source.check_relative(name, where)
    if not all(_is_whole(side) and side > 0 for side in size):
      raise ValueError(
        f'{where}: height and width must be whole numbers above 0, got '
        f'{_shown(size[0])} and {_shown(size[1])}.'
      )
    # As texts: the ids 7 and "7" would be one source id.
    if str(image_id) in names:
      raise ValueError(f'{where}: image id {image_id} was there before.')
    names.add(str(image_id))
    sizes[image_id] = (int(size[0]), int(size[1]))
  if not sizes:
    raise ValueError(f'{path} lists no image.')
  found = unique.first_duplicate(lambda: (i['file_name'] for i in images))
  if found:
    raise ValueError(
      f'{path}, images[{found[1]}]: file {found[2]!r} was there before, in '
      f'images[{found[0]}].'
    )
  return sizes


def _object_problem(item, sizes, category_ids):
  """Returns a clause on what is wrong with an object, '' if nothing is."""
  for key in _OBJECT_KEYS:
    if key not in item:
      return f'{key!r} is missing.'
  known_of = {'image_id': sizes, 'category_id': category_ids}
  for key, known in known_of.items():
    value = item[key]
    if isinstance(value, (list, dict)) or value not in known:
      return (
        f'{key} {_shown(value)} is not in the file; its {key[:-3]} must be '
        'listed.'
      )
  box = item['bbox']
  if not isinstance(box, list) or len(box) != 4 or not _are_finite(box):
    return f'bbox {_shown(box)} must be [x, y, width, height].'
  area = item.get('area', 0)
  if not _are_finite([area]) or area < 0:
    return f'area {_shown(area)} must be a number from 0.'
  crowd = item.get('iscrowd', 0)
  if isinstance(crowd, list) or crowd not in (0, 1):
    return f'iscrowd {_shown(crowd)} must be 0 or 1.'
  return ''


def _checked_joints(keypoints, joints):
  """Returns (number of keypoints, what is wrong with them or '')."""
  if (
    not isinstance(keypoints, list)
    or len(keypoints) % 3
    or not keypoints
    or not _are_finite(keypoints)
  ):
    return joints, (
      f'keypoints must be triples of x, y, visibility, got {_shown(keypoints)}.'
    )
  found = len(keypoints) // 3
  if joints not in (None, found):
    return joints, (
      f'{found} keypoints, where the objects before have {joints}: all must '
      'have the same.'
    )
  visibility = next((v for v in keypoints[2::3] if v not in (0, 1, 2)), None)
  if visibility is not None:
    return found, f'keypoint visibility {visibility} is none of 0, 1, 2.'
  return found, ''


def _need(where, entry, keys):
  for key in keys:
    if key not in entry:
      raise ValueError(f'{where}: {key!r} is missing.')


def _is_int(value):
  # In Python True is a number; in JSON it is none.
  return isinstance(value, int) and not isinstance(value, bool)


def _is_whole(value):
  return _is_int(value) or (isinstance(value, float) and value.is_integer())


def _are_finite(values):
  return all(
    (_is_int(v) or isinstance(v, float)) and math.isfinite(v) for v in values
  )


def _shown(value):
  text = json.dumps(value)
  return text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...'
