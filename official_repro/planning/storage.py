"""Bytes on disk and bytes of labels of a step.

record    picture, labels, and the keys, sizes, id and checksums that the writer
          adds
labels    (given + filled) x mean bytes of an id as a varint
shards    as build_records makes them: 10,000 images each, at least 8
offsets   8 bytes a record, beside each shard
"""

import dataclasses

from official_repro.data import examples, records
from official_repro.data.building import plan as building_plan
from official_repro.planning.data_facts import BITS_PER_PIXEL, DataFacts

_OFFSET_BYTES = 8
_SOURCE_ID = 'a' * 16
_LABEL_ID_BYTES = 4
# Ids below each of these take one byte more than those below the one before.
_VARINT_STEPS = (1 << 7, 1 << 14, 1 << 21, 1 << 28)


@dataclasses.dataclass(frozen=True)
class Storage:
  """The training split on disk; bytes.

  Attributes:
    images: number of them.
    bytes_per_image: of the encoded picture.
    label_bytes: of an image's labels, given and filled.
    other_bytes: of a record beside picture and labels.
    shards: number of files.
    step_labels: labels of one batch as they reach the device, padded ids.
    step_dense_labels: the same as a dense float matrix, for comparison.
  """

  images: int
  bytes_per_image: float
  label_bytes: float
  other_bytes: int
  shards: int
  step_labels: int
  step_dense_labels: int

  @property
  def record_bytes(self) -> float:
    """Of one record in its shard."""
    return self.bytes_per_image + self.label_bytes + self.other_bytes

  @property
  def total_bytes(self) -> float:
    """Of all shards and their offsets."""
    return self.images * (self.record_bytes + _OFFSET_BYTES)

  @property
  def shard_bytes(self) -> float:
    """Of one shard."""
    return self.images * self.record_bytes / self.shards


def make_storage(
  facts: DataFacts, *, resize: int, batch: int, max_labels: int
) -> Storage:
  """Returns what the data takes.

  Args:
    facts: the data.
    resize: side of a stored picture, pixels.
    batch: images of a step on one worker.
    max_labels: label slots an image.

  Raises:
    ValueError: images, classes or bytes_per_image out of range.
  """
  picture = facts.bytes_per_image
  if picture is None:
    picture = resize**2 * BITS_PER_PIXEL / 8
  for name, value in (
    ('images', facts.images),
    ('classes', facts.classes),
    ('bytes_per_image', picture),
  ):
    if not 1 <= value < float('inf'):
      raise ValueError(f'{name} is {value:g}; give a number from 1.')
  images = int(facts.images)
  labels = facts.given_labels + facts.filled_labels
  return Storage(
    images=images,
    bytes_per_image=picture,
    label_bytes=labels * mean_id_bytes(facts.classes),
    other_bytes=_other_bytes(round(picture), resize),
    shards=min(building_plan.default_shards(images), images),
    step_labels=batch * max_labels * _LABEL_ID_BYTES,
    step_dense_labels=batch * facts.classes * _LABEL_ID_BYTES,
  )


def mean_id_bytes(classes: int) -> float:
  """Returns the mean bytes of a label id from 0 to classes - 1 in a record."""
  beyond = sum(max(classes - step, 0) for step in _VARINT_STEPS)
  return 1 + beyond / classes


def _other_bytes(picture, side):
  # One id of one byte in each list: an empty list is shorter by its header.
  example = examples.Example(
    bytes(picture), side, side, _SOURCE_ID, label_ids=[0], given_label_ids=[0]
  )
  written = len(examples.encode_example(example)) + records.OVERHEAD
  return written - picture - 2
