"""The shards that are compared, and what the workers write about each.

Pictures are numbered through all parts: `Part.first` plus the place among the
records of the shard that belong to the data set.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Optional

import numpy as np

from official_repro.data import examples, image_files, manifest, records
from official_repro.data.dedup import banding, hashes

# What is known of a picture after its hashes were made.
PICTURE = np.dtype(
  [
    ('hashes', '<u8', (hashes.VIEWS,)),
    ('order', '<u8'),
    ('pixels', '<i8'),
    ('colour', '<u4'),
    ('sound', '?'),
  ]
)
_TALLY_EVERY = 20


@dataclasses.dataclass(frozen=True)
class Part:
  """One shard.

  Attributes:
    index: of the part.
    first: number of its first picture.
    side: 0, or 1 for what is compared against.
    split: name of its split, with the folder where that is another one.
    shard: the file.
  """

  index: int
  first: int
  side: int
  split: str
  shard: manifest.Shard

  @property
  def end(self) -> int:
    """The number after its last picture."""
    return self.first + self.shard.records


def make_parts(splits: Sequence[tuple]) -> list[Part]:
  """Numbers the shards of [(side, name, manifest.Split)], side 0 first."""
  parts: list = []
  for side, name, split in splits:
    for shard in split.shards:
      first = parts[-1].end if parts else 0
      parts.append(Part(len(parts), first, side, name, shard))
  return parts


def order_of(source_id: str) -> int:
  """Returns 64 bits of a source id."""
  digest = hashlib.blake2b(source_id.encode(), digest_size=8, person=b'dedup')
  return int.from_bytes(digest.digest(), 'little')


def file_of(folder, kind: str, part: int) -> pathlib.Path:
  """Path of what a worker wrote about a part."""
  return pathlib.Path(folder) / f'{kind}-{part:05d}.npy'


def save(path: pathlib.Path, array: np.ndarray) -> None:
  """Writes an .npy file whole or not at all, as a worker may do it twice."""
  temporary = path.with_name(f'.{path.name}.{os.getpid()}')
  with open(temporary, 'wb') as f:
    np.save(f, array)
  os.replace(temporary, path)


def hash_part(part: Part, folder, add) -> list:
  """Hashes the pictures of a part and writes what is known of them.

  Args:
    part: the shard.
    folder: for PICTURE [records] and the source ids.
    add: takes the numbers for the progress line.

  Returns:
    [index of the part, damaged records].
  """
  pictures = np.zeros(part.shard.records, PICTURE)
  path = file_of(folder, 'pictures', part.index)
  temporary = _ids_path(folder, part.index).with_suffix(f'.{os.getpid()}')
  with open(temporary, 'w', encoding='utf-8') as ids:
    for n, data in enumerate(records.read_shard(part.shard)):
      example = _decode(data)
      if example is not None:
        pictures[n] = describe(example)
      ids.write(json.dumps(example.source_id if example else None) + '\n')
      if (n + 1) % _TALLY_EVERY == 0:
        add(_TALLY_EVERY)
  add(part.shard.records % _TALLY_EVERY)
  os.replace(temporary, _ids_path(folder, part.index))
  save(path, pictures)
  return [part.index, int((~pictures['sound']).sum())]


def rows_of(
  pictures: np.ndarray, part: Part, start: int, *, against: bool, crops: bool
) -> np.ndarray:
  """Returns the hashes of pictures that take part in the comparison.

  Mirror images are needed on one side only; what was cropped may be either.

  Args:
    pictures: PICTURE [N], in order.
    part: where they are from.
    start: place of the first of them in the part.
    against: whether two sides are compared.
    crops: whether to look for crops.

  Returns:
    banding.ROW [R].
  """
  views = np.arange(hashes.VIEWS)
  if not crops:
    views = views[views % hashes.MIRROR == hashes.WHOLE]
  if against and part.side == 0:
    views = views[views < hashes.MIRROR]
  sound = np.flatnonzero(pictures['sound'])
  pictures = pictures[sound]
  rows = np.empty((len(pictures), len(views)), banding.ROW)
  rows['hash'] = pictures['hashes'][:, views]
  rows['number'] = (part.first + start + sound)[:, None]
  rows['order'] = pictures['order'][:, None]
  rows['colour'] = pictures['colour'][:, None]
  rows['view'] = views
  rows['side'] = part.side
  return rows.reshape(-1)


def read_pictures(
  part: Part, numbers: np.ndarray
) -> Iterator[Optional[examples.Example]]:
  """Yields the records of some pictures of a part, None for a damaged one.

  Args:
    part: the shard.
    numbers: int [N], ascending.
  """
  offsets = part.shard.offsets()[numbers - part.first]
  for data in records.read_at(part.shard.path, offsets):
    yield _decode(data)


def describe(example: examples.Example) -> np.ndarray:
  """Returns one PICTURE, not `sound` if the picture cannot be decoded."""
  try:
    pixels = hashes.read_pixels(example.encoded, hashes.LEAST_SIDE)
  except image_files.BadImageError:
    return np.zeros((), PICTURE)
  small = hashes.square(pixels)
  return np.array(
    (
      hashes.view_hashes(hashes.to_grey(small)),
      order_of(example.source_id),
      example.height * example.width,
      banding.colour_code(small.mean(axis=(0, 1))),
      True,
    ),
    PICTURE,
  )


def ids_of(folder, part: Part) -> Iterator[Optional[str]]:
  """Yields the source ids of a part, None for damaged records."""
  with open(_ids_path(folder, part.index), encoding='utf-8') as f:
    for line in f:
      yield json.loads(line)


def _ids_path(folder, part):
  return pathlib.Path(folder) / f'ids-{part:05d}.jsonl'


def _decode(data):
  if data is None:
    return None
  try:
    return examples.decode_example(data)
  except ValueError:
    return None
