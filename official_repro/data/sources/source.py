"""What a source of labelled pictures is."""

import dataclasses
import os
import pathlib
import posixpath
from collections.abc import Iterator
from typing import Any, Callable, Protocol, Union

from official_repro.data import examples, image_files
from official_repro.data import hierarchy as hierarchy_lib

# A larger file is no photo; reading it whole could exhaust the memory.
MAX_FILE_BYTES = 256 << 20


@dataclasses.dataclass(frozen=True)
class Item:
  """One picture of a source before it is read.

  Attributes:
    split: name of its split.
    source_id: unique in its split.
    payload: what else the source's reader needs; small and picklable.
  """

  split: str
  source_id: str
  payload: Any = None


@dataclasses.dataclass(frozen=True)
class BadRecord:
  """A picture that cannot be used.

  Attributes:
    source_id: as its Example would have.
    reason: a few words.
  """

  source_id: str
  reason: str


Reader = Callable[[Item], Union[examples.Example, BadRecord]]


class Source(Protocol):
  """Labelled pictures by split.

  Attributes:
    name: name of the data set.
    hierarchy: the label space.
    sizes: {split name: number of items}.
    options: what the data set's content depends on, as JSON takes it.
    has_objects: whether the pictures carry boxes or masks.
    reader: picklable; reads one item in a worker process. The labels of its
      Example are the given ones: `label_ids` and, where there is one, the
      aligned `confidence`; `given_label_ids` stays empty. `encoded` is the
      image file as it was found, in any format. Height and width are 0, or
      what the annotation says of the picture.
  """

  name: str
  hierarchy: hierarchy_lib.Hierarchy
  sizes: dict
  options: dict
  has_objects: bool
  reader: Reader

  def items(self) -> Iterator[Item]:
    """Yields the items of all splits, in an order that is always the same."""


def check_relative(path: str, where: str) -> None:
  """Checks that a path stays in the image folder.

  Args:
    path: as the user's table has it.
    where: file and line, for the message.

  Raises:
    ValueError: the path is empty, absolute or climbs out of the folder.
  """
  plain = path.replace(os.sep, '/')
  normal = posixpath.normpath(plain)
  if (
    not plain
    or '\0' in plain
    or posixpath.isabs(plain)
    or pathlib.PureWindowsPath(path).is_absolute()
    or normal.split('/')[0] == '..'
  ):
    raise ValueError(
      f'{where}: the path {path!r} leaves the image folder; give it relative '
      'to that folder.'
    )


def read_image_file(root, path: str) -> bytes:
  """Returns the bytes of an image file.

  Raises:
    image_files.BadImageError: it is missing, unreadable or too large for a
      photo; the message is the reason.
  """
  try:
    with open(os.path.join(root, path), 'rb') as f:
      size = os.fstat(f.fileno()).st_size
      if size > MAX_FILE_BYTES:
        raise image_files.BadImageError(
          f'a file of {size:,} bytes, more than {MAX_FILE_BYTES:,}'
        )
      return f.read()
  except OSError as e:
    raise image_files.BadImageError((e.strerror or str(e)).lower()) from e
