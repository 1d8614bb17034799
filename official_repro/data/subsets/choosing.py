"""Chooses the records of a subset: by size, and by vocabulary.

Which records belong to a subset of a given size is a matter of their source
ids alone: a record is in it when the hash of its id, as a number from 0 to 1,
is below the fraction. So subsets are nested (the 1% lies in the 3%, that in the
10%), and neither the order of the files, nor the sharding, nor what else is in
the data set changes anything (Sun et al. 2017, sec. 5, compares such sizes).
"""

import base64
import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from official_repro.data import (
  engine,
  examples,
  manifest,
  records,
  subsets,
  vocabulary,
)

_FULL = 2**64
_TALLY_EVERY = 100


def hash_of(source_id: str, seed: int = 0) -> int:
  """Returns 64 bits that stand for a source id.

  Another function than the one that deals images out to training and
  evaluation, or one would be a choice within the other.
  """
  digest = hashlib.blake2b(
    source_id.encode(),
    digest_size=8,
    salt=(seed % _FULL).to_bytes(8, 'big'),
    person=b'subset',
  ).digest()
  return int.from_bytes(digest, 'big')


@dataclasses.dataclass(frozen=True)
class Choice:
  """What a subset takes.

  Attributes:
    split: the split that is made smaller; the vocabulary goes for all splits.
    fraction: share of its records, above 0 and up to 1, by hash.
    num_images: instead: this many records, those with the smallest hashes.
    labels: instead or as well: ids of the labels to keep, None for all.
      Records with none of them drop out, before num_images are counted.
    having: lists of such ids: records of `split` that lack a label of any list
      drop out too, whichever labels stay; so vocabularies are compared on the
      same images.
    seed: another seed gives another choice of the same kind.
  """

  split: str = 'train'
  fraction: float = 1.0
  num_images: Optional[int] = None
  labels: Optional[Sequence[int]] = None
  having: Sequence[Sequence[int]] = ()
  seed: int = 0

  def check(self) -> None:
    """Raises ValueError when a value is out of range or nothing is chosen."""
    if not 0 < self.fraction <= 1:
      raise ValueError(
        f'fraction must be above 0 and at most 1, got {self.fraction:g}.'
      )
    if self.num_images is not None and self.num_images < 1:
      raise ValueError(f'num_images must be at least 1, got {self.num_images}.')
    if self.num_images is not None and self.fraction < 1:
      raise ValueError('Give --fraction or --num_images, not both.')
    by_label = self.labels is not None or self.having
    if self.num_images is None and self.fraction == 1 and not by_label:
      raise ValueError(
        'This subset would be the whole data set: give --fraction, '
        '--num_images, --labels or --having.'
      )

  def __str__(self):
    """What it takes, in words."""
    parts = []
    if self.num_images is not None:
      parts.append(f'num_images={self.num_images}')
    elif self.fraction < 1:
      parts.append(f'fraction={self.fraction:g}')
    if self.labels is not None:
      parts.append(f'{len(self.labels)} labels')
    if self.having:
      parts.append(f'having one of {" and ".join(map(_count, self.having))}')
    if self.seed:
      parts.append(f'seed={self.seed}')
    return ', '.join(parts)


def _count(labels):
  return f'{len(labels)} labels'


@dataclasses.dataclass(frozen=True)
class Report:
  """Numbers of a subset.

  Attributes:
    records: {split: (records of the subset, records before)}.
    classes: (labels of the subset, labels before).
    damaged: records left out because they cannot be read.
  """

  records: dict
  classes: tuple
  damaged: int


def make_subset(
  data_dir,
  output_dir,
  choice: Choice,
  *,
  overwrite: bool = False,
  processes: Optional[int] = None,
  beam_args: Sequence[str] = (),
) -> Report:
  """Chooses records of a data folder and writes the subset.

  Args:
    data_dir: a data folder; may be a subset itself.
    output_dir: folder of the subset, made when absent.
    choice: which records.
    overwrite: replace the subset in output_dir.
    processes: of the local runner; None: one per core.
    beam_args: Beam's flags; empty: local.

  Raises:
    FileNotFoundError, ValueError: bad input, or no record is left.
  """
  choice.check()
  dataset = manifest.Dataset.load(data_dir)
  whole = dataset.split(choice.split)
  subsets.check_output(data_dir, output_dir, overwrite)
  hierarchy = label_map = wanted = None
  if choice.labels is not None:
    hierarchy, label_map = vocabulary.restrict(dataset.hierarchy, choice.labels)
    wanted = _stored(dataset, choice.labels)
  having = [_stored(dataset, labels) for labels in choice.having]
  keep, damaged = _scan(
    dataset,
    choice,
    wanted,
    having,
    processes=processes,
    beam_args=beam_args,
    # Workers elsewhere leave what they find where the subset will be.
    work_dir=output_dir if beam_args else None,
  )
  if not any(mask.any() for mask in keep[choice.split]):
    raise ValueError(
      f'Nothing is left of the {whole.records:,} records of split '
      f'{choice.split!r} of {data_dir} ({choice}): take a larger part.'
    )
  info = dataclasses.asdict(choice)
  info['labels'] = choice.labels and len(choice.labels)
  info['having'] = [len(labels) for labels in choice.having]
  if not choice.having:  # manifests of other subsets stay as they were
    del info['having']
  subsets.write_subset(
    data_dir,
    output_dir,
    keep,
    name=f'{dataset.name} ({choice})',
    info={'of': dataset.name, 'manifest': dataset.manifest_hash, **info},
    hierarchy=hierarchy,
    label_map=label_map,
    overwrite=overwrite,
  )
  made = manifest.Dataset.load(output_dir)
  return Report(
    {s: (made.splits[s].records, dataset.splits[s].records) for s in keep},
    (made.hierarchy.num_classes, dataset.hierarchy.num_classes),
    damaged,
  )


def _stored(dataset, labels):
  """Returns bool [stored classes]: which of them are among the labels."""
  _, label_map = vocabulary.restrict(dataset.hierarchy, labels)
  return subsets.compose(dataset.label_map, label_map) != vocabulary.NONE


@dataclasses.dataclass(frozen=True)
class _Scan:
  """What a worker needs to know; picklable.

  Attributes:
    split: the split that the limit goes for.
    limit: records with a smaller hash are candidates.
    seed: of the hash.
    wanted: bool [stored classes] or None: candidates have one of them.
    having: such arrays, of each of which candidates of `split` have one.
    with_hashes: whether to return the hashes of the candidates.
    tally: for progress.
  """

  split: str
  limit: int
  seed: int
  wanted: Optional[np.ndarray]
  having: Sequence[np.ndarray]
  with_hashes: bool
  tally: Any


def _scan(dataset, choice, wanted, having, **engine_options):
  """Returns ({split: [bool [records] of each shard]}, damaged records)."""
  splits = [
    split
    for name, split in dataset.splits.items()
    if name == choice.split or wanted is not None
  ]
  shards = [(s.name, i, x) for s in splits for i, x in enumerate(s.shards)]
  with_hashes = choice.num_images is not None
  result = engine.run(
    functools.partial(
      _construct,
      shards=shards,
      split=choice.split,
      limit=int(choice.fraction * _FULL),
      seed=choice.seed,
      wanted=wanted,
      having=having,
      with_hashes=with_hashes,
    ),
    what='choosing records',
    total=sum(split.records for split in splits),
    **engine_options,
  )
  keep = {s.name: [None] * len(s.shards) for s in splits}
  hashes = [None] * len(dataset.splits[choice.split].shards)
  for name, i, bits, hashes_of_shard, _ in result.values:
    size = dataset.splits[name].shards[i].records
    keep[name][i] = np.unpackbits(_decode(bits, np.uint8), count=size) > 0
    if name == choice.split:
      hashes[i] = _decode(hashes_of_shard, np.uint64)
  if with_hashes:
    keep[choice.split] = _smallest(keep[choice.split], hashes, choice)
  return keep, sum(damaged for *_, damaged in result.values)


def _construct(pipeline, tally, *, shards, **options):
  return (
    pipeline
    | engine.beam.Create(shards)
    | engine.beam.Reshuffle()
    | engine.Map(_scan_shard, _Scan(tally=tally, **options))
  )


def _scan_shard(element, scan: _Scan):
  """Returns (split, shard, candidates as bits, their hashes, damaged)."""
  name, index, shard = element
  chosen = np.zeros(shard.records, bool)
  limit, masks = _FULL, [scan.wanted]
  if name == scan.split:
    limit, masks = scan.limit, [scan.wanted, *scan.having]
  hashes, damaged = [], 0
  for n, data in enumerate(records.read_shard(shard)):
    if data is None:
      damaged += 1
    else:
      example = examples.decode_example(data)
      value = hash_of(example.source_id, scan.seed)
      chosen[n] = value < limit and all(
        _has_label(example, mask) for mask in masks
      )
      if chosen[n] and scan.with_hashes and name == scan.split:
        hashes.append(value)
    if (n + 1) % _TALLY_EVERY == 0:
      scan.tally.add(_TALLY_EVERY)
  scan.tally.add(shard.records % _TALLY_EVERY)
  hashes = _encode(np.array(hashes, np.uint64))
  return name, index, _encode(np.packbits(chosen)), hashes, damaged


def _has_label(example, wanted):
  if wanted is None:
    return True
  if example.segmentation_png is not None:
    raise ValueError(
      f'Record {example.source_id!r} has a mask, whose class indices stay as '
      'they are: --labels and --having are for data sets without masks.'
    )
  boxes = () if example.box_labels is None else example.box_labels - 1
  return any(wanted[i] for i in (*example.label_ids, *boxes))


def _smallest(masks, hashes, choice):
  """Returns the masks of the `num_images` smallest hashes."""
  found = np.concatenate(hashes)
  if len(found) < choice.num_images:
    by_label = choice.labels is not None or choice.having
    of_labels = ' with one of the labels' if by_label else ''
    raise ValueError(
      f'--num_images={choice.num_images} is more than the {len(found):,} '
      f'readable records{of_labels} of split {choice.split!r}.'
    )
  # Stable: with equal hashes the first in file order.
  order = np.argsort(found, kind='stable')[: choice.num_images]
  chosen = np.zeros(len(found), bool)
  chosen[order] = True
  places = np.flatnonzero(np.concatenate(masks))[chosen]
  result = np.zeros(sum(map(len, masks)), bool)
  result[places] = True
  return np.split(result, np.cumsum([len(m) for m in masks])[:-1])


def _encode(array):
  return base64.b64encode(array.tobytes()).decode()


def _decode(text, dtype):
  return np.frombuffer(base64.b64decode(text), dtype)
