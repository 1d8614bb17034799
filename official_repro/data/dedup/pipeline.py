"""Finds near-duplicates among the records of data folders, with Apache Beam.

Four steps, each a pipeline: hash all pictures; find candidates by banding;
read the pictures of the candidates once more for a closer look; compare. In
between lie files in a working folder. Only the pairs come back to the caller.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Optional

import numpy as np

from official_repro.data import engine
from official_repro.data.dedup import banding, grouping, looks, parts

beam = engine.beam

_PICTURES_AT_ONCE = 1 << 14
_PAIRS_AT_ONCE = 1 << 12


@dataclasses.dataclass(frozen=True)
class Options:
  """What counts as a copy.

  Attributes:
    radius: most bits between the hashes of candidates.
    min_score: least score of a confirmed pair.
    crops: whether to look for cropped copies, which needs seven times as many
      hashes.
    features: see `looks.Features`; None: pixels are compared.
  """

  radius: int = 10
  min_score: float = 0.84
  crops: bool = True
  features: Optional[looks.Features] = None

  def check(self) -> None:
    """Raises ValueError when a value is out of range."""
    if not 0 <= self.radius <= 20:
      raise ValueError(
        f'--radius is in bits of 64, from 0 to 20, got {self.radius}.'
      )
    if not 0 < self.min_score <= 1:
      raise ValueError(
        f'--min_score must be above 0 and at most 1, got {self.min_score:g}.'
      )


@dataclasses.dataclass(frozen=True)
class Found:
  """The copies.

  Attributes:
    pairs: grouping.CONFIRMED [P], the confirmed pairs, in order of the numbers.
    candidates: number of pairs that were compared.
    damaged: {index of part: records that cannot be read}.
    guarantee: hashes at most so many bits apart were compared for sure.
  """

  pairs: np.ndarray
  candidates: int
  damaged: dict
  guarantee: int


def find(
  all_parts: Sequence[parts.Part], folder, options: Options, **engine_options
) -> Found:
  """Finds the copies.

  Args:
    all_parts: as `parts.make_parts` gave them; with parts of side 1, pictures
      of side 0 are compared with those only.
    folder: for files between the steps; all workers must reach it.
    options: what counts as a copy.
    **engine_options: of `engine.run`.

  Raises:
    ValueError, OSError: bad options, or a shard that cannot be read.
  """
  options.check()
  folder = pathlib.Path(folder)
  run = functools.partial(engine.run, **engine_options)
  damaged = _hash(run, all_parts, folder)
  files, plan = _candidates(run, all_parts, folder, options)
  _look(run, all_parts, folder, files, options)
  pairs = _confirm(run, all_parts, folder, files, options)
  order = np.lexsort((pairs['view'], pairs['second'], pairs['first']))
  return Found(pairs[order], sum(n for _, n in files), damaged, plan.guarantee)


def plan_for(all_parts: Sequence[parts.Part], options: Options) -> banding.Plan:
  """Returns how the hashes of these parts are compared."""
  sides = sum(p.shard.records for p in all_parts if p.side == 0)
  against = any(p.side == 1 for p in all_parts)
  kind = {'against': against, 'crops': options.crops}
  one = np.ones(1, parts.PICTURE)
  rows = sum(
    p.shard.records * len(parts.rows_of(one, p, 0, **kind)) for p in all_parts
  )
  return banding.make_plan(rows, options.radius, against, sides)


def candidates(rows: beam.PCollection, plan: banding.Plan) -> beam.PCollection:
  """Finds the pairs of hashes that are close.

  Args:
    rows: of bytes, each some banding.ROWs.
    plan: how to compare them.

  Returns:
    PCollection of (range of pictures, bytes of banding.PAIR): a range once.
  """
  return (
    rows
    | 'SplitByKey' >> engine.FlatMap(_split, plan)
    | 'ByKey' >> beam.GroupByKey()
    | 'Match' >> engine.FlatMap(banding.match_group, plan)
    | 'ByPicture' >> beam.GroupByKey()
    | 'Merge' >> engine.Map(_merge)
  )


# --- the four steps ----------------------------------------------------------


def _hash(run, all_parts, folder):
  result = run(
    functools.partial(_over, all_parts, _hash_part, (str(folder),)),
    what='hashing',
    total=sum(p.shard.records for p in all_parts),
  )
  return dict(result.values)


def _candidates(run, all_parts, folder, options):
  """Returns [(path of a file of PAIRs, number of them)] and the Plan."""
  plan = plan_for(all_parts, options)

  def construct(pipeline, tally):
    rows = (
      pipeline
      | beam.Create(all_parts)
      | beam.Reshuffle()
      | 'ReadRows'
      >> engine.FlatMap(_read_rows, str(folder), plan.against, options.crops)
    )
    return candidates(rows, plan) | engine.Map(_save_pairs, str(folder))

  result = run(construct, what='comparing hashes')
  return sorted((path, n) for path, n in result.values if n), plan


def _look(run, all_parts, folder, files, options):
  """Makes the thumbnails or features of all pictures in pairs."""
  needed = np.empty(0, np.int64)
  for path, _ in files:
    pairs = np.load(path)
    needed = np.union1d(needed, np.union1d(pairs['first'], pairs['second']))
  wanted = []
  for part in all_parts:
    numbers = needed[(needed >= part.first) & (needed < part.end)]
    if len(numbers):
      parts.save(parts.file_of(folder, 'needed', part.index), numbers)
      wanted.append(part)
  arguments = (str(folder), options.features)
  if wanted:
    run(
      functools.partial(_over, wanted, _make_looks, arguments),
      what='reading candidates',
      total=len(needed),
    )


def _confirm(run, all_parts, folder, files, options):
  """Returns the confirmed pairs."""
  tasks = [
    (path, start, min(start + _PAIRS_AT_ONCE, n))
    for path, n in files
    for start in range(0, n, _PAIRS_AT_ONCE)
  ]
  firsts = tuple(p.first for p in all_parts)
  arguments = (str(folder), firsts, options.min_score)
  if not tasks:
    return np.empty(0, grouping.CONFIRMED)
  result = run(
    functools.partial(_over, tasks, _score_pairs, arguments),
    what='comparing pictures',
    total=sum(n for _, n in files),
  )
  return np.concatenate([np.load(path) for path, _ in result.values])


# --- in the workers ----------------------------------------------------------


def _over(elements, function, arguments, pipeline, tally):
  return (
    pipeline
    | beam.Create(elements)
    | beam.Reshuffle()
    | engine.Map(function, *arguments, tally)
  )


def _hash_part(part, folder, tally):
  return parts.hash_part(part, folder, tally.add)


def _make_looks(part, folder, features, tally):
  return looks.make_looks(part, folder, features, tally.add)


def _score_pairs(task, folder, firsts, min_score, tally):
  return looks.score_pairs(task, folder, firsts, min_score, tally.add)


def _read_rows(part, folder, against, crops):
  """Yields the hashes of a part in blocks of bytes."""
  pictures = np.load(
    parts.file_of(folder, 'pictures', part.index), mmap_mode='r'
  )
  for start in range(0, len(pictures), _PICTURES_AT_ONCE):
    some = np.array(pictures[start : start + _PICTURES_AT_ONCE])
    rows = parts.rows_of(some, part, start, against=against, crops=crops)
    yield rows.tobytes()


def _split(block, plan):
  return banding.split_rows(banding.from_bytes([block], banding.ROW), plan)


def _merge(element):
  of_range, blocks = element
  return of_range, banding.merge(blocks).tobytes()


def _save_pairs(element, folder):
  of_range, block = element
  path = parts.file_of(folder, 'pairs', of_range)
  pairs = banding.from_bytes([block], banding.PAIR)
  parts.save(path, pairs)
  return [str(path), len(pairs)]
