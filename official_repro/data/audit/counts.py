"""Counts the labels of a data folder with a pipeline over its shards."""

import dataclasses
import functools
import os
from collections.abc import Iterator, Sequence
from typing import Optional

from official_repro.data import examples, records
from official_repro.data.audit.stats import LabelStats
from official_repro.data.manifest import MANIFEST, Dataset

# A counter costs about as much as a small record.
_TALLY_EVERY = 64


def count_folder(
  data_dir,
  *,
  processes: Optional[int] = None,
  beam_args: Sequence[str] = (),
) -> dict:
  """Returns {split: LabelStats} of any data folder.

  The size of the original files is not in the records, so `source_bytes` is
  None.

  Args:
    data_dir: a data folder; on a cluster a path that all workers reach.
    processes: of the local runner; None: one per core.
    beam_args: Beam's flags.

  Raises:
    FileNotFoundError, ValueError: as `Dataset.load`, or a record that is none.
  """
  # Beam takes seconds to import and only pipelines need it.
  import apache_beam as beam

  from official_repro.data import engine

  dataset = Dataset.load(data_dir)
  keys = shard_keys(dataset)

  def construct(pipeline, tally):
    return (
      pipeline
      | beam.Create(keys)
      | engine.Map(_count_shard, str(data_dir), tally)
    )

  result = engine.run(
    construct,
    what='counting labels',
    total=sum(s.records for s in dataset.splits.values()),
    processes=processes,
    beam_args=beam_args,
  )
  stats = {split: LabelStats(dataset.hierarchy) for split in dataset.splits}
  for split, value in result.values:
    stats[split].merge(LabelStats.from_json(value))
  return stats


def shard_keys(
  dataset: Dataset, splits: Optional[Sequence[str]] = None
) -> list:
  """Returns (split, index of the shard) of the given splits, or of all."""
  return [
    (name, index)
    for name, split in dataset.splits.items()
    if splits is None or name in splits
    for index in range(len(split.shards))
  ]


class ShardReader:
  """Iterates over the Examples of one shard.

  Attributes:
    damaged: records left out by the iteration done last.
  """

  def __init__(self, data_dir: str, split: str, index: int, add=None):
    """Opens nothing yet.

    Args:
      data_dir: a data folder.
      split: name of a split.
      index: of the shard in the split.
      add: told the number of records read, as `engine.Tally.add`.
    """
    whole = load(data_dir).split(split)
    shard = whole.shards[index]
    self._records = records.RecordReader(
      dataclasses.replace(whole, records=shard.records, shards=(shard,))
    )
    self._add = add or (lambda n: None)
    self.damaged = 0

  def __iter__(self) -> Iterator[examples.Example]:
    waiting = 0
    for serialized in self._records:
      yield examples.decode_example(serialized)
      waiting += 1
      if waiting == _TALLY_EVERY:
        self._add(waiting)
        waiting = 0
    self.damaged = self._records.skipped
    self._add(waiting + self.damaged)


def load(data_dir: str) -> Dataset:
  """Returns the Dataset of a folder; a process reads it once."""
  written = os.stat(os.path.join(data_dir, MANIFEST)).st_mtime_ns
  return _load(data_dir, written)


@functools.lru_cache(maxsize=2)
def _load(data_dir, written):
  del written  # so that a data set that was built again is read again
  return Dataset.load(data_dir)


def _count_shard(key, data_dir, tally):
  """Returns (split, LabelStats as JSON) of one shard."""
  split, index = key
  stats = LabelStats(load(data_dir).hierarchy)
  shard = ShardReader(data_dir, split, index, tally.add)
  for example in shard:
    stats.add(
      example.given_label_ids,
      example.label_ids,
      encoded_bytes=len(example.encoded),
    )
  stats.damaged = shard.damaged
  return split, stats.to_json()
