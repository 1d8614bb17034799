"""Takes the near-duplicates out of a split and writes what was done."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
from collections.abc import Iterator, Sequence
from typing import Any, Optional

import numpy as np

from official_repro.data import manifest, parallel, subsets
from official_repro.data.dedup import (
  grouping,
  hashes,
  parts,
  pipeline,
  writing,
)

_WORK = '.dedup'
# Below, starting workers takes longer than the work.
_FEW_RECORDS = 3000


@dataclasses.dataclass(frozen=True)
class Report:
  """What `remove` did.

  Attributes:
    output_dir: the new data folder.
    numbers: the content of dedup.json.
  """

  output_dir: pathlib.Path
  numbers: dict

  def __str__(self):
    """A line on the split, one on the ways of copying, one on the rest."""
    n = self.numbers
    share = n['dropped'] / max(n['records'], 1)
    against = ', '.join(f'{a["name"]} ({a["records"]:,})' for a in n['against'])
    what = f'near-duplicates of {against}' if against else 'near-duplicates'
    lines = [
      f'{n["split"]}: {n["dropped"]:,} of {n["records"]:,} records dropped '
      f'({share:.2%}) as {what}; {n["kept"]:,} kept'
    ]
    if n['by_transform']:
      ways = (f'{count:,} {way}' for way, count in n['by_transform'].items())
      lines.append(f'Copies: {", ".join(ways)}')
    damaged = n['damaged'] + sum(a['damaged'] for a in n['against'])
    if damaged:
      lines.append(
        f'{n["damaged"]:,} damaged records are left out; '
        f'{damaged - n["damaged"]:,} to compare with could not be read.'
      )
    lines.append(
      f'{self.output_dir}: a data folder without them; {writing.DROPPED} '
      f'lists them, {writing.SHEET} shows the least sure.'
    )
    return '\n'.join(lines)


def remove(
  data_dir,
  output_dir,
  options: pipeline.Options,
  *,
  split: str = 'train',
  against: Sequence[str] = (),
  against_dir=None,
  confirm: str = 'pixels',
  overwrite: bool = False,
  processes: Optional[int] = None,
  beam_args: Sequence[str] = (),
) -> Report:
  """Writes a data folder without the near-duplicates in one split.

  Args:
    data_dir: a data folder.
    output_dir: of the result, a subset over the same records; made when absent.
    options: what counts as a copy.
    split: the split that loses records; the others stay whole.
    against: splits whose copies go; empty: copies within `split` itself, of
      which one stays.
    against_dir: data folder of the splits `against`; None: data_dir.
    confirm: what `options.features` are, for the report.
    overwrite: replace the subset in output_dir.
    processes: of the local runner; None: one per core.
    beam_args: flags of another Beam runner.

  Raises:
    FileNotFoundError, ValueError: bad input, or no record is left.
  """
  options.check()
  dataset = manifest.Dataset.load(data_dir)
  others = _others(dataset, split, against, against_dir)
  subsets.check_output(data_dir, output_dir, overwrite)
  all_parts = parts.make_parts([(0, split, dataset.split(split)), *others])
  output_dir = pathlib.Path(output_dir)
  total = sum(p.shard.records for p in all_parts)
  if processes is None and total < _FEW_RECORDS:
    processes = 1
  with _working_folder(output_dir) as folder:
    found = pipeline.find(
      all_parts,
      folder,
      options,
      processes=processes or parallel.default_processes(),
      beam_args=beam_args,
      work_dir=folder if beam_args else None,
    )
    drops = _decide(found, all_parts, folder)
    keep = _masks(drops, all_parts, folder)
    if not any(mask.any() for mask in keep):
      raise ValueError(
        f'Nothing is left of split {split!r} of {data_dir}: all of its records '
        'are damaged, or copies of what it is compared with.'
      )
    numbers = _numbers(found, drops, all_parts, options, confirm)
    writing.write(output_dir, drops, keep, numbers, found, all_parts, folder)
  name = f'{dataset.name} (without near-duplicates in {split})'
  subsets.write_subset(
    data_dir,
    output_dir,
    {split: keep},
    name=name,
    info={'of': dataset.name, 'manifest': dataset.manifest_hash, **numbers},
    overwrite=overwrite,
  )
  return Report(output_dir, numbers)


def _others(dataset, split, against, against_dir):
  """Returns [(1, name, Split)] of what is compared against."""
  if not against:
    if against_dir:
      raise ValueError(
        f'--against_dir={against_dir} needs --against, the splits there.'
      )
    return []
  where = manifest.Dataset.load(against_dir) if against_dir else dataset
  same = os.path.realpath(where.data_dir) == os.path.realpath(dataset.data_dir)
  if same and split in against:
    raise ValueError(
      f'--against names {split!r} itself, and all of its records are copies of '
      'themselves; leave out --against to look within the split.'
    )
  if len(set(against)) != len(against):
    raise ValueError(f'--against={",".join(against)} names a split twice.')
  prefix = '' if same else f'{against_dir}:'
  return [(1, f'{prefix}{name}', where.split(name)) for name in against]


@contextlib.contextmanager
def _working_folder(output_dir) -> Iterator[pathlib.Path]:
  folder = output_dir / _WORK
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  try:
    yield folder
  finally:
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # only if nothing came of it
      output_dir.rmdir()


def _decide(found, all_parts, folder):
  """Returns the Drops."""
  sides = sum(p.shard.records for p in all_parts if p.side == 0)
  if any(p.side for p in all_parts):
    return grouping.drops_against(found.pairs, sides)
  # Only what is in pairs is held in memory.
  ends = [found.pairs['first'], found.pairs['second']]
  numbers, local = np.unique(np.concatenate(ends), return_inverse=True)
  pairs = found.pairs.copy()
  pairs['first'], pairs['second'] = local.reshape(2, -1)
  facts = np.empty(len(numbers), parts.PICTURE)
  for part in all_parts:
    mine = (numbers >= part.first) & (numbers < part.end)
    facts[mine] = _pictures(folder, part)[numbers[mine] - part.first]
  drops = grouping.drops_within(pairs, facts['pixels'], facts['order'])
  at = numbers.tolist()
  return sorted(
    (
      grouping.Drop(at[d.number], at[d.like], at[d.kept], d.pair) for d in drops
    ),
    key=lambda d: d.number,
  )


def _pictures(folder, part):
  path = parts.file_of(folder, 'pictures', part.index)
  return np.load(path, mmap_mode='r')


def _masks(drops, all_parts, folder):
  """Returns bool [records] for each shard of the split."""
  dropped = np.array([d.number for d in drops], np.int64)
  masks = []
  for part in all_parts:
    if part.side == 0:
      mask = np.array(_pictures(folder, part)['sound'])
      here = dropped[(dropped >= part.first) & (dropped < part.end)]
      mask[here - part.first] = False
      masks.append(mask)
  return masks


def _numbers(found, drops, all_parts, options, confirm) -> dict[str, Any]:
  """Returns the content of dedup.json."""
  names = dict.fromkeys((p.side, p.split) for p in all_parts)
  of = {
    name: [p for p in all_parts if (p.side, p.split) == name] for name in names
  }
  counts = {
    name: {
      'name': name[1],
      'records': sum(p.shard.records for p in of[name]),
      'damaged': sum(found.damaged[p.index] for p in of[name]),
    }
    for name in names
  }
  (_, split), *others = names
  mine = counts[0, split]
  ways = [hashes.transform_name(found.pairs['view'][d.pair]) for d in drops]
  return {
    'split': split,
    'records': mine['records'],
    'kept': mine['records'] - mine['damaged'] - len(drops),
    'dropped': len(drops),
    'damaged': mine['damaged'],
    'against': [counts[name] for name in others],
    'by_transform': {way: ways.count(way) for way in sorted(set(ways))},
    'candidate_pairs': found.candidates,
    'confirmed_pairs': len(found.pairs),
    'options': {
      'radius': options.radius,
      'found_for_sure': found.guarantee,
      'crops': options.crops,
      'confirm': confirm,
      'min_score': options.min_score,
    },
  }
