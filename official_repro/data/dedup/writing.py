"""The files of a removal: lists, numbers, and a sheet of pairs."""

import contextlib
import csv
import json
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from official_repro.data.dedup import hashes, parts, pipeline, sheet

KEPT, DROPPED = 'kept.txt', 'dropped.csv'
SHEET, REPORT = 'pairs.jpg', 'dedup.json'
# `duplicate_of` is what the dropped picture was compared with, in the split
# `in`; `kept_instead` stays, and is like it directly or by way of others.
COLUMNS = (
  'source_id',
  'duplicate_of',
  'in',
  'kept_instead',
  'hash_distance',
  'score',
  'transform',
)
_PAIRS_SHOWN = 40


def write(
  output_dir: pathlib.Path,
  drops: Sequence,
  keep: Sequence[np.ndarray],
  numbers: dict,
  found: pipeline.Found,
  all_parts: Sequence[parts.Part],
  folder: pathlib.Path,
) -> None:
  """Writes kept.txt, dropped.csv, pairs.jpg (if any) and dedup.json.

  Args:
    output_dir: where to.
    drops: of grouping.Drop.
    keep: bool [records] for each shard of the split.
    numbers: content of dedup.json.
    found: the pairs.
    all_parts: the shards.
    folder: with the files of the workers.
  """
  rows = list(_rows(drops, found, all_parts, folder))
  with _whole_file(output_dir / KEPT) as f:
    _write_kept(f, keep, all_parts, folder)
  with _whole_file(output_dir / DROPPED) as f:
    writer = csv.writer(f, lineterminator='\n')
    writer.writerow(COLUMNS)
    writer.writerows(rows)
  _write_sheet(output_dir / SHEET, drops, rows, found, all_parts)
  with _whole_file(output_dir / REPORT) as f:
    f.write(json.dumps(numbers, indent=1) + '\n')


def _rows(drops, found, all_parts, folder):
  """Yields the rows of dropped.csv."""
  numbers = {n for d in drops for n in (d.number, d.like, d.kept)}
  names = {}
  for part in all_parts:
    for n, source_id in enumerate(parts.ids_of(folder, part), part.first):
      if n in numbers:
        names[n] = (source_id, part.split)
  for d in drops:
    pair = found.pairs[d.pair]
    yield (
      names[d.number][0],
      *names[d.like],
      names[d.kept][0],
      int(pair['distance']),
      f'{pair["score"]:.4f}',
      hashes.transform_name(int(pair['view'])),
    )


def _write_kept(file, keep, all_parts, folder):
  for part, mask in zip(all_parts, keep):
    for source_id, stays in zip(parts.ids_of(folder, part), mask):
      if stays:
        file.write(f'{source_id}\n')


@contextlib.contextmanager
def _whole_file(path):
  """Opens a file for writing that gets its name when all is in it."""
  temporary = path.with_name(f'.{path.name}.tmp')
  try:
    with open(temporary, 'w', encoding='utf-8', newline='') as f:
      yield f
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)


def _write_sheet(path, drops, rows, found, all_parts):
  """Shows the least sure pairs, the very least first."""
  path.unlink(missing_ok=True)
  order = sorted(
    range(len(drops)), key=lambda i: float(found.pairs['score'][drops[i].pair])
  )[:_PAIRS_SHOWN]
  if not order:
    return
  numbers = {n for i in order for n in (drops[i].number, drops[i].like)}
  pictures = _read_pictures(sorted(numbers), all_parts)
  pairs = []
  for i in order:
    dropped, like, where, _, distance, score, way = rows[i]
    texts = [
      f'{way}, score {float(score):.3f}, {distance} bits',
      f'dropped: {dropped}',
      f'like: {like} ({where})',
    ]
    pairs.append((pictures[drops[i].number], pictures[drops[i].like], texts))
  sheet.save(sheet.pair_sheet(pairs), path)


def _read_pictures(numbers, all_parts):
  """Returns {number: JPEG or PNG file}."""
  numbers, result = np.array(numbers), {}
  for part in all_parts:
    mine = numbers[(numbers >= part.first) & (numbers < part.end)]
    if len(mine):
      for number, example in zip(mine, parts.read_pictures(part, mine)):
        result[int(number)] = example.encoded
  return result
