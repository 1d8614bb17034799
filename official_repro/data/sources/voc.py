"""PASCAL VOC's folders as a source: boxes or masks.

Layout: ROOT/VOC2012/{Annotations,JPEGImages,ImageSets,SegmentationClass}.
"""

import functools
import io
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from official_repro.data import examples, image_files, manifest
from official_repro.data import hierarchy as hierarchy_lib
from official_repro.data.sources import source
from official_repro.data.sources.coco import normalised_boxes

# In VOC's order: category i has box label and mask value i + 1.
CLASSES = (
  'aeroplane',
  'bicycle',
  'bird',
  'boat',
  'bottle',
  'bus',
  'car',
  'cat',
  'chair',
  'cow',
  'diningtable',
  'dog',
  'horse',
  'motorbike',
  'person',
  'pottedplant',
  'sheep',
  'sofa',
  'train',
  'tvmonitor',
)
TASKS = ('detection', 'segmentation')
_FOLDERS = {'detection': 'Main', 'segmentation': 'Segmentation'}
IGNORE = 255


class VocSource:
  """The pictures of VOC image sets, in the order of the sets.

  A detection record has all boxes; an object marked "difficult" has
  is_crowd 1, as evaluation leaves both out. VOC counts pixels from 1 and a
  box includes its last one, so that a box from 1 to W is the whole width: it
  becomes 0 to 1. (The TF Object Detection API divides the raw numbers, which
  moves the upper left corner by a pixel.) A segmentation record has the mask
  as an 8-bit grey PNG of class indices, 0 background and 255 ignore.

  Args:
    root: the folder VOCdevkit.
    splits: {split: [(year folder, image set)]}, such as
      {'train': [('VOC2007', 'trainval'), ('VOC2012', 'trainval')]}. A line of
      a set is an id, or paths of picture and mask as in trainaug lists.
    task: 'detection' or 'segmentation'.
    classes: names in the order of the mask values.

  Raises:
    FileNotFoundError: a folder or image set is missing.
    ValueError: an image set is empty or names a picture twice.
  """

  has_objects = True

  def __init__(
    self,
    root,
    splits: Mapping,
    task: str = 'detection',
    classes: Sequence[str] = CLASSES,
  ):
    if task not in TASKS:
      raise ValueError(
        f'--voc_task must be one of {", ".join(TASKS)}, got {task}.'
      )
    self._root, self._task = pathlib.Path(root), task
    if not self._root.is_dir():
      raise FileNotFoundError(f'There is no folder {self._root} (VOCdevkit).')
    self._splits = {
      manifest.check_split_name(s): [tuple(p) for p in sets]
      for s, sets in splits.items()
    }
    self.name = 'voc'
    self.hierarchy = hierarchy_lib.Hierarchy.flat(classes)
    self.sizes = {
      split: sum(len(self._lines(*name)) for name in sets)
      for split, sets in self._splits.items()
    }
    self.options = {
      'task': task,
      'image_sets': {
        split: ['/'.join(name) for name in sets]
        for split, sets in self._splits.items()
      },
    }
    self.reader = functools.partial(
      _read, str(self._root), task, tuple(classes)
    )

  def items(self) -> Iterator[source.Item]:
    """Yields the pictures of each image set."""
    for split, sets in self._splits.items():
      for year, image_set in sets:
        for picture, mask in self._lines(year, image_set):
          stem = pathlib.PurePosixPath(picture).stem
          yield source.Item(split, f'{year}/{stem}', (year, picture, mask))

  def _lines(self, year, image_set):
    """Returns [(picture, mask)], paths below the year's folder."""
    if not (self._root / year).is_dir():
      raise FileNotFoundError(f'There is no folder {self._root / year}.')
    folder = self._root / year / 'ImageSets' / _FOLDERS[self._task]
    path = folder / f'{image_set}.txt'
    if not path.is_file():
      raise FileNotFoundError(f'There is no image set {path}.')
    lines = []
    for number, line in enumerate(path.read_text('utf-8').splitlines(), 1):
      if line.strip():
        lines.append(_paths(line.split(), f'{path}, line {number}'))
    if not lines:
      raise ValueError(f'{path} lists no image.')
    return lines


def _paths(words, where):
  if '/' in words[0]:
    if len(words) != 2:
      raise ValueError(
        f'{where}: an id, or the paths of picture and mask expected, got '
        f'{" ".join(words)!r}.'
      )
    picture, mask = (word.lstrip('/') for word in words)
  else:
    picture = f'JPEGImages/{words[0]}.jpg'
    mask = f'SegmentationClass/{words[0]}.png'
  for path in (picture, mask):
    source.check_relative(path, where)
  return picture, mask


def _read(root, task, classes, item):
  """Returns the Example of an item, or a BadRecord."""
  year, picture, mask = item.payload
  try:
    encoded = source.read_image_file(root, f'{year}/{picture}')
    example = examples.Example(encoded, 0, 0, item.source_id)
    if task == 'segmentation':
      _take_mask(example, f'{root}/{year}', mask, len(classes))
    else:
      stem = pathlib.PurePosixPath(picture).stem
      path = pathlib.Path(root, year, 'Annotations', f'{stem}.xml')
      _take_boxes(example, path, classes)
  except image_files.BadImageError as e:
    return source.BadRecord(item.source_id, str(e))
  return example


def _take_boxes(example, path, classes):
  try:
    tree = ElementTree.parse(path).getroot()
  except OSError as e:
    raise image_files.BadImageError(f'no annotation {path.name}') from e
  except ElementTree.ParseError as e:
    raise image_files.BadImageError(f'{path.name} is no XML ({e})') from e
  try:
    example.height = int(tree.findtext('size/height'))
    example.width = int(tree.findtext('size/width'))
    objects = [_object(o) for o in tree.iter('object')]
  except (TypeError, ValueError) as e:
    raise image_files.BadImageError(
      f'{path.name} lacks a size, name or box, or has no number there'
    ) from e
  unknown = [name for name, _, _ in objects if name not in classes]
  if unknown:
    hint = hierarchy_lib.nearest_hint(unknown[0], classes)
    raise image_files.BadImageError(
      f'{path.name} has the unknown class {unknown[0]!r}{hint}'
    )
  example.boxes = normalised_boxes(
    [box for _, box, _ in objects], example.height, example.width
  )
  labels = np.array([classes.index(n) for n, _, _ in objects], np.int64)
  size = np.array([example.height, example.width] * 2, np.float32)
  ymin, xmin, ymax, xmax = (example.boxes * size).T
  example.area = ((ymax - ymin) * (xmax - xmin)).astype(np.float32)
  if (example.area <= 0).any():
    raise image_files.BadImageError(f'{path.name} has a box without area')
  example.box_labels = labels + 1
  example.is_crowd = np.array([d for _, _, d in objects], np.int64)
  example.label_ids = sorted(set(labels.tolist()))


def _object(node):
  """Returns (name, (ymin, xmin, ymax, xmax) from 0, difficult)."""
  side = lambda name: float(node.findtext(f'bndbox/{name}'))
  # The last pixel belongs to the box; the first one has the number 1.
  box = (side('ymin') - 1, side('xmin') - 1, side('ymax'), side('xmax'))
  return node.findtext('name').strip(), box, int(node.findtext('difficult', 0))


def _take_mask(example, folder, path, num_classes):
  data = source.read_image_file(folder, path)
  try:
    with Image.open(io.BytesIO(data)) as image:
      if image.mode not in ('P', 'L'):
        raise image_files.BadImageError(
          f'mask {path} has the mode {image.mode}; class indices need a '
          'palette or 8-bit grey'
        )
      values = np.asarray(image)
  except OSError as e:
    raise image_files.BadImageError(f'mask {path}: {e}') from e
  found = np.unique(values)
  wrong = found[(found > num_classes) & (found != IGNORE)]
  if len(wrong):
    raise image_files.BadImageError(
      f'mask {path} has the value {wrong[0]}; classes go up to {num_classes}'
    )
  out = io.BytesIO()
  Image.fromarray(values).save(out, 'PNG')
  example.segmentation_png = out.getvalue()
  example.height, example.width = values.shape
  example.label_ids = [int(v) - 1 for v in found if v not in (0, IGNORE)]
