"""Class folders as a source: ROOT/SPLIT/CLASS/*.jpg or ROOT/CLASS/*.jpg."""

import os
import posixpath
import sys
from collections.abc import Iterator, Sequence
from typing import Optional

from official_repro.data import hierarchy as hierarchy_lib
from official_repro.data import manifest
from official_repro.data.label_spaces import tencent, wordnet_graph
from official_repro.data.sources import labelled, source

# File names that end otherwise are passed over.
ENDINGS = frozenset(
  ['.bmp', '.gif', '.jpe', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp']
)
# Top folders with only such names are splits; the value is the split's name.
SPLIT_FOLDERS = {
  'train': 'train',
  'training': 'train',
  'val': 'validation',
  'valid': 'validation',
  'validation': 'validation',
  'test': 'test',
  'testing': 'test',
}


class ImagenetFolderSource:
  """The pictures of a folder in which each class has a folder of its own.

  The order is that of the names: split, class, file. Files are listed folder
  by folder, so the names of the largest folder are in memory, not all.

  Args:
    root: the folder. Where all folders in it are called train, val,
      validation, test and the like, they are the splits ("val" becomes
      `validation`) and the class folders are in them.
    splits: names of the split folders, where they are called otherwise.
    labels: labels.tsv; a class folder is called as a category.
    dictionary: Tencent ML-Images' dictionary; a class folder is called by its
      WordNet id. It holds all 1,000 classes of ImageNet with their ancestors.
    graph: WordNet graph as node-link JSON; class folders as with `dictionary`.
      Without these three the folder names, in alphabetical order, make a flat
      label space.
    nested: whether a picture in a folder below a class folder counts too;
      otherwise such a folder is an error.
    eval_fraction: share that goes to `validation` by a hash of the path.
      None: 0.1, or the split folders where there are some.

  Raises:
    FileNotFoundError: no such root, split folder or file.
    ValueError: an unknown class folder, a folder where none should be, no
      picture at all, or arguments that exclude each other.
  """

  has_objects = False

  def __init__(
    self,
    root,
    *,
    splits: Optional[Sequence[str]] = None,
    labels=None,
    dictionary=None,
    graph=None,
    nested: bool = False,
    eval_fraction: Optional[float] = None,
  ):
    root = labelled.checked_root(root)
    self._root, self._nested = str(root), nested
    self._splits = _split_folders(root, splits)
    if self._splits and eval_fraction is not None:
      raise ValueError(
        f'{root} has split folders ({", ".join(self._splits)}): leave '
        f'--eval_fraction={eval_fraction} out.'
      )
    self._fraction = (
      None if self._splits else labelled.checked_fraction(eval_fraction)
    )
    self._classes = _class_folders(self._root, self._splits)
    names = sorted({posixpath.basename(c) for _, c in self._classes})
    self.hierarchy, ids = _label_space(root, names, labels, dictionary, graph)
    self._ids = {name: ids[name] for name in names}
    self.name = root.resolve().name
    self.options = {
      'splits': dict(self._splits),
      'nested': nested,
      'eval_fraction': self._fraction,
    }
    self.sizes = self._count()
    self.reader = labelled.file_reader(root)

  def items(self) -> Iterator[source.Item]:
    """Yields the pictures: folder by folder, by name in each."""
    for split, folder in self._classes:
      payload = ((self._ids[posixpath.basename(folder)],), None)
      for path in self._files(folder):
        yield source.Item(self._split(split, path), path, payload)

  def _split(self, split, path):
    return split or labelled.split_of(path, self._fraction)

  def _files(self, folder, report=None):
    return _image_files(self._root, folder, self._nested, report)

  def _count(self):
    """Returns {split: number of pictures}; tells what was passed over."""
    passed_over, empty, sizes = _Noted(), _Noted(), {}
    for split, folder in self._classes:
      found = 0
      for path in self._files(folder, passed_over):
        name = self._split(split, path)
        sizes[name] = sizes.get(name, 0) + 1
        found += 1
      if not found:
        empty.add(folder)
    if not sizes:
      raise ValueError(
        f'{self._root} has no picture in its class folders; the files must '
        f'end in {", ".join(sorted(ENDINGS))}.'
      )
    empty.tell(self._root, 'class folder(s) without a picture')
    passed_over.tell(self._root, 'file(s) passed over that are no pictures')
    return {split: sizes[split] for split in sorted(sizes)}


class _Noted:
  """Counts paths and keeps the first."""

  def __init__(self):
    self._count, self._first = 0, None

  def add(self, path):
    self._first = self._first if self._count else path
    self._count += 1

  def tell(self, root, what):
    if self._count:
      print(
        f'{root}: {self._count:,} {what}, such as {self._first}.',
        file=sys.stderr,
      )


def _split_folders(root, names):
  """Returns {folder: split}, sorted; empty where ROOT holds the classes."""
  if names is None:
    found = _folders(root)
    if not found or any(f.lower() not in SPLIT_FOLDERS for f in found):
      return {}
    names = found
  splits = {}
  for folder in sorted(names):
    source.check_relative(folder, '--split_folders')
    if not (root / folder).is_dir():
      raise FileNotFoundError(f'There is no split folder {root / folder}.')
    split = SPLIT_FOLDERS.get(folder.lower(), folder)
    manifest.check_split_name(split)
    if split in splits.values():
      raise ValueError(
        f'{root} has two folders for split {split!r} ({", ".join(names)}): '
        'keep one of them.'
      )
    splits[folder] = split
  return splits


def _class_folders(root, splits):
  """Returns [(split or None, path below root)] in their order."""
  tops = [(split, f'{folder}/') for folder, split in splits.items()]
  tops = tops or [(None, '')]
  classes = [
    (split, f'{top}{name}')
    for split, top in tops
    for name in _folders(os.path.join(root, top))
  ]
  if not classes:
    raise ValueError(f'{root} has no class folders.')
  return classes


def _folders(path):
  """Returns the names of the folders in a folder, hidden ones left out."""
  with os.scandir(path) as entries:
    return sorted(
      e.name for e in entries if e.is_dir() and not e.name.startswith('.')
    )


def _image_files(root, folder, nested, report):
  """Yields the paths below root of the pictures in a folder, by name.

  Args:
    report: _Noted that takes the paths of other files, or None.
  """
  files, folders = [], []
  with os.scandir(os.path.join(root, folder)) as entries:
    for entry in entries:
      if entry.name.startswith('.'):
        continue
      path = f'{folder}/{entry.name}'
      if entry.is_dir():
        folders.append(path)
      elif os.path.splitext(entry.name)[1].lower() in ENDINGS:
        files.append(_checked_name(root, path))
      elif report is not None:
        report.add(path)
  if folders and not nested:
    raise ValueError(
      f'{root}: the class folder {folder!r} holds a folder, '
      f'{min(folders)!r}: name the splits with --split_folders if the folders '
      'at the top are splits, or add --nested if the pictures in it are of '
      f'class {os.path.basename(folder)!r} too.'
    )
  yield from sorted(files)
  for below in sorted(folders):
    # A link to a folder further up would never end.
    if not os.path.islink(os.path.join(root, below)):
      yield from _image_files(root, below, nested, report)


def _checked_name(root, path):
  try:
    path.encode('utf-8')
  except UnicodeEncodeError:
    raise ValueError(
      f'{root}: the file name {path!r} is not UTF-8; rename the file.'
    ) from None
  return path


def _label_space(root, names, labels, dictionary, graph):
  """Returns (label space, {class folder's name: label id})."""
  given = [p for p in (labels, dictionary, graph) if p]
  if len(given) > 1:
    raise ValueError(
      'Give one of --labels, --dictionary and --wordnet_graph, got '
      f'{" and ".join(map(str, given))}.'
    )
  if not given:
    print(
      f'No --labels given: {root} makes a flat label space of {len(names)} '
      'categories, in alphabetical order.',
      file=sys.stderr,
    )
    ids = {name: i for i, name in enumerate(names)}
    return hierarchy_lib.Hierarchy.flat(names), ids
  if labels:
    hierarchy = hierarchy_lib.Hierarchy.load(labels)
    return hierarchy, _ids_by_name(root, names, hierarchy)
  if dictionary:
    hierarchy = tencent.load_dictionary(dictionary)
    wordnet_ids = tencent.load_wordnet_ids(dictionary)
    ids = {wordnet_id: i for i, wordnet_id in enumerate(wordnet_ids)}
  else:
    hierarchy, ids = wordnet_graph.load_graph(graph)
  for name in names:
    if name not in ids:
      hint = hierarchy_lib.nearest_hint(name, ids)
      raise ValueError(
        f'{root}: the class folder {name!r} is no WordNet id of {given[0]}'
        f'{hint}.'
      )
  return hierarchy, ids


def _ids_by_name(root, names, hierarchy):
  try:
    return {name: hierarchy.index(name) for name in names}
  except ValueError as e:
    raise ValueError(f'{root}: class folder: {e}') from e
