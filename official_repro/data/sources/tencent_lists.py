"""Tencent ML-Images as a source: its dictionary and a list of images."""

import collections
import pathlib
from collections.abc import Iterator
from typing import Optional

from official_repro.data import manifest
from official_repro.data.label_spaces import tencent
from official_repro.data.sources import labelled, source


class TencentSource:
  """The pictures of a list, in its order, with its confidence.

  The list is read line by line, here and in `items`; 8 bytes a line stay in
  memory while it is checked. Many of the photos are no longer on the web: a
  listed file that is not there is a bad record when it is read.

  Args:
    path: list of lines `name index:confidence index:confidence ...`, separated
      by tabs, such as train_im_list_tiny.txt. Of a name that is a URL
      (train_urls_tiny.txt) the last part counts.
    dictionary: dictionary_and_semantic_hierarchy.txt.
    image_root: folder of the images; None: the list's.
    eval_fraction: share that goes to `validation` by a hash of the name;
      None: 0.1.

  Raises:
    FileNotFoundError: no such list, dictionary or image root.
    ValueError: a line is wrong; names file and line.
  """

  name = 'tencent_ml_images'
  has_objects = False

  def __init__(
    self,
    path,
    dictionary,
    image_root=None,
    eval_fraction: Optional[float] = None,
  ):
    self._path = pathlib.Path(path)
    root = labelled.checked_root(image_root or self._path.parent)
    self._fraction = labelled.checked_fraction(eval_fraction)
    self.hierarchy = tencent.load_dictionary(dictionary)
    self.sizes = self._count()
    self.options = {
      'list': self._path.name,
      'list_sha256': manifest.sha256_of_file(self._path),
      'eval_fraction': self._fraction,
    }
    self.reader = labelled.file_reader(root)

  def items(self) -> Iterator[source.Item]:
    """Yields the pictures in the order of the list."""
    for name, row in self._rows():
      payload = labelled.merge_labels(row.label_ids, row.confidence)
      split = labelled.split_of(name, self._fraction)
      yield source.Item(split, name, payload)

  def _rows(self):
    """Yields (file name, Annotation), checked."""
    rows = tencent.read_annotations(self._path, self.hierarchy.num_classes)
    for row in rows:
      where = f'{self._path}, line {row.line}'
      if not row.label_ids:
        raise ValueError(f'{where}: image {row.name!r} has no label.')
      name = row.name.rpartition('/')[2] if '://' in row.name else row.name
      source.check_relative(name, where)
      yield name, row

  def _count(self):
    sizes = collections.Counter(item.split for item in self.items())
    if not sizes:
      raise ValueError(f'{self._path} lists no image.')
    labelled.check_unique(
      lambda: (((self._path, row.line), name) for name, row in self._rows()),
      'give all its labels in one line',
    )
    return {split: sizes[split] for split in sorted(sizes)}
