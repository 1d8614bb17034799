"""PASCAL VOC's folders as a source: boxes or masks.

Layout: ROOT/VOC2012/{Annotations,JPEGImages,ImageSets,SegmentationClass}.
"""

import functools
import io
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from xml.etree import ElementTree

import numpy as np
from PIL import Image, UnidentifiedImageError

from official_repro.data import examples, image_files, manifest, unique
from official_repro.data import hierarchy as hierarchy_lib
from official_repro.data.sources import pixel_boxes, source

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
# Behind an id in the image sets of one class: without, with, or hardly.
_MARKS = ('-1', '0', '1')
IGNORE = 255
_PNG_DEPTH = 24  # where a PNG has its bits per sample


class VocSource:
  """The pictures of VOC image sets, in the order of the sets.

  A detection record has all boxes; an object marked "difficult" has
  is_crowd 1, as evaluation leaves both out. VOC counts pixels from 1 and a
  box includes its last one, so that a box from 1 to W is the whole width: it
  becomes 0 to 1, and its width is the one that VOC's evaluation takes,
  xmax - xmin + 1. (The TF Object Detection API divides the raw numbers, which
  moves the upper left corner by a pixel.) A segmentation record has the mask
  as an 8-bit grey PNG of class indices, 0 background and 255 ignore.

  A picture is a bad one when its XML or mask is missing or damaged, or a box
  sticks out by more than a pixel or has no area.

  Args:
    root: the folder VOCdevkit.
    splits: {split: [(year folder, image set)]}, such as
      {'train': [('VOC2007', 'trainval'), ('VOC2012', 'trainval')]}. A line of
      a set is an id, or paths of picture and mask as in trainaug lists. The
      mark in the sets of one class is passed over: all their pictures count.
    task: 'detection' or 'segmentation'.
    classes: names in the order of the mask values; at most 254.

  Raises:
    FileNotFoundError: a folder or image set is missing.
    ValueError: an image set is empty or names a picture twice, or a class
      occurs twice.
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
    if len(set(classes)) < len(classes) or not 0 < len(classes) < IGNORE:
      raise ValueError(
        f'classes must be 1 to {IGNORE - 1} different names, got '
        f'{len(classes)}, {len(set(classes))} of them different.'
      )
    self.hierarchy = hierarchy_lib.Hierarchy.flat(classes)
    self.sizes = {split: self._checked(split) for split in self._splits}
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
    for split in self._splits:
      for source_id, _, payload in self._lines(split):
        yield source.Item(split, source_id, payload)

  def _checked(self, split):
    """Checks the image sets of a split; returns its pictures."""
    size = 0
    for path, _ in self._sets(split):
      of_set = sum(1 for _ in _set_lines(path))
      if not of_set:
        raise ValueError(f'{path} lists no image.')
      size += of_set
    found = unique.first_duplicate(lambda: (i for i, *_ in self._lines(split)))
    if found:
      first, second = (self._where(split, n) for n in found[:2])
      raise ValueError(
        f'{second}: {found[2]} was there before, in {first}; a picture may be '
        'in a split only once.'
      )
    return size

  def _where(self, split, wanted):
    return next(
      w for n, (_, w, _) in enumerate(self._lines(split)) if n == wanted
    )

  def _lines(self, split):
    """Yields (source id, file and line, payload) of the pictures of a split."""
    for path, year in self._sets(split):
      for where, picture, mask in _set_lines(path):
        stem = pathlib.PurePosixPath(picture).stem
        yield f'{year}/{stem}', where, (year, picture, mask)

  def _sets(self, split):
    """Returns [(file of an image set, year folder)]."""
    found = []
    for year, image_set in self._splits[split]:
      if not (self._root / year).is_dir():
        raise FileNotFoundError(f'There is no folder {self._root / year}.')
      folder = self._root / year / 'ImageSets' / _FOLDERS[self._task]
      path = folder / f'{image_set}.txt'
      if not path.is_file():
        raise FileNotFoundError(f'There is no image set {path}.')
      found.append((path, year))
    return found


def _set_lines(path):
  """Yields (file and line, picture, mask), paths below the year's folder."""
  number = 0
  try:
    with open(path, encoding='utf-8-sig') as f:
      for number, line in enumerate(f, 1):
        if line.strip():
          where = f'{path}, line {number}'
          yield (where, *_paths(line.split(), where))
  except UnicodeDecodeError as e:
    raise ValueError(
      f'{path} is not UTF-8 text, somewhere after line {number}.'
    ) from e


def _paths(words, where):
  """Returns the paths of picture and mask below the year's folder."""
  has_paths = '/' in words[0]
  if has_paths and len(words) == 2:
    picture, mask = (word.lstrip('/') for word in words)
  elif has_paths or len(words) > 2 or not set(words[1:]) <= set(_MARKS):
    raise ValueError(
      f'{where}: an id, or the paths of picture and mask expected, got '
      f'{" ".join(words)!r}.'
    )
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
  """Sets what the XML file says: size, boxes, labels."""
  tree = _parsed(path)
  try:
    example.height = int(tree.findtext('size/height'))
    example.width = int(tree.findtext('size/width'))
    objects = [_object(o) for o in tree.iter('object')]
  except (AttributeError, TypeError, ValueError) as e:
    raise image_files.BadImageError(
      f'{path.name} lacks a size, name or box, or has no number there'
    ) from e
  if example.height < 1 or example.width < 1:
    raise image_files.BadImageError(
      f'{path.name} says that the picture is {example.width} x '
      f'{example.height} pixels'
    )
  for name, _, difficult in objects:
    if name not in classes:
      hint = hierarchy_lib.nearest_hint(name, classes)
      raise image_files.BadImageError(
        f'{path.name} has the unknown class {name!r}{hint}'
      )
    if difficult not in (0, 1):
      raise image_files.BadImageError(
        f'{path.name} has "difficult" {difficult}, neither 0 nor 1'
      )
  example.boxes = pixel_boxes.normalised(
    [box for _, box, _ in objects], example.height, example.width
  )
  labels = np.array([classes.index(n) for n, _, _ in objects], np.int64)
  size = np.array([example.height, example.width] * 2, np.float32)
  ymin, xmin, ymax, xmax = (example.boxes * size).T
  if (ymax <= ymin).any() or (xmax <= xmin).any():
    raise image_files.BadImageError(f'{path.name} has a box without area')
  example.area = ((ymax - ymin) * (xmax - xmin)).astype(np.float32)
  example.box_labels = labels + 1
  example.is_crowd = np.array([d for _, _, d in objects], np.int64)
  example.label_ids = sorted(set(labels.tolist()))


def _parsed(path):
  """Returns the root of an XML file."""
  try:
    return ElementTree.parse(path).getroot()
  except OSError as e:
    raise image_files.BadImageError(f'no annotation {path.name}') from e
  # The last two are for encodings that the parser does not have.
  except (ElementTree.ParseError, LookupError, ValueError) as e:
    raise image_files.BadImageError(f'{path.name} is no XML ({e})') from e


def _object(node):
  """Returns (name, (ymin, xmin, ymax, xmax) from 0, difficult)."""
  side = lambda name: float(node.findtext(f'bndbox/{name}'))
  # The last pixel belongs to the box; the first one has the number 1.
  box = (side('ymin') - 1, side('xmin') - 1, side('ymax'), side('xmax'))
  return node.findtext('name').strip(), box, int(node.findtext('difficult', 0))


def _take_mask(example, folder, path, num_classes):
  """Sets the mask, the size that it says, and the labels in it."""
  try:
    values = _indices(source.read_image_file(folder, path))
  except image_files.BadImageError as e:
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


def _indices(data):
  """Returns uint8 [H, W], the class indices of a mask's file."""
  try:
    with Image.open(io.BytesIO(data)) as image:
      kind, height, width = image.format, image.height, image.width
      if height * width > image_files.MAX_PIXELS:
        raise image_files.BadImageError(
          f'{width} x {height} pixels, more than the limit of '
          f'{image_files.MAX_PIXELS:,}'
        )
      # Fewer bits of grey would come as multiples, and JPEG blurs.
      bits = data[_PNG_DEPTH] if kind == 'PNG' else 0
      if not bits or (image.mode != 'P' and (image.mode, bits) != ('L', 8)):
        raise image_files.BadImageError(
          f'{kind} of mode {image.mode}{f", {bits} bits" if bits else ""}; '
          'class indices need a PNG with a palette or in 8-bit grey'
        )
      return np.array(image)
  except image_files.BadImageError:
    raise
  except Image.DecompressionBombError as e:
    raise image_files.BadImageError(
      f'more pixels than the limit of {image_files.MAX_PIXELS:,}'
    ) from e
  except UnidentifiedImageError as e:
    what = 'not an image in a known format' if data else 'empty file'
    raise image_files.BadImageError(what) from e
  # Pillow's decoders raise about any type on damaged data.
  except Exception as e:
    raise image_files.BadImageError(
      f'cannot be decoded: {" ".join(str(e).split())}'
    ) from e
