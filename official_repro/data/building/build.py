"""Builds a data folder from a source, with Apache Beam."""

import csv
import dataclasses
import json
import pathlib
import shutil
import time
from collections.abc import Sequence
from typing import Optional

from official_repro.data import audit, manifest, parallel, sources
from official_repro.data.audit import noise as label_noise
from official_repro.data.audit import report
from official_repro.data.audit.stats import LabelStats
from official_repro.data.building import plan, shards, staging

BAD_RECORDS = report.BAD_RECORDS
# Below, starting workers takes longer than the work.
_FEW_IMAGES = 256
_PLAN_DIR = 'plan'


@dataclasses.dataclass
class SplitReport:
  """Counts of one split.

  Attributes:
    stats: labels and bytes of its pictures.
    shards: files they are in.
    bytes: size of these files.
    bad: images left out.
  """

  stats: LabelStats = dataclasses.field(default_factory=LabelStats)
  shards: int = 0
  bytes: int = 0
  bad: int = 0

  @property
  def records(self) -> int:
    """Records written."""
    return self.stats.records

  @property
  def given_labels(self) -> int:
    """Labels before the fill-in, of all records together."""
    return sum(self.stats.given.values())

  @property
  def filled_labels(self) -> int:
    """Labels after it."""
    return sum(self.stats.filled.values())


@dataclasses.dataclass
class BuildReport:
  """What `build` wrote.

  Attributes:
    output_dir: the data folder.
    splits: {split: SplitReport}.
    seconds: of this run.
    kept_shards: shards that an earlier, stopped run had finished.
  """

  output_dir: pathlib.Path
  splits: dict
  seconds: float
  kept_shards: int = 0

  def __str__(self):
    """A line per split and a line in all."""
    if not self.splits:
      return f'{self.output_dir}: an earlier run had made all of it.'
    lines = [_split_line(n, s) for n, s in self.splits.items()]
    total = sum(s.records for s in self.splits.values())
    rate = total / max(self.seconds, 1e-9)
    went_on = (
      f'; {self.kept_shards} shard(s) were finished before'
      if self.kept_shards
      else f' ({rate:,.0f}/s)'
    )
    lines.append(
      f'{self.output_dir}: {total:,} records in {self.seconds:.1f} s{went_on}'
    )
    if any(s.bad for s in self.splits.values()):
      lines.append(f'Images left out: {self.output_dir / BAD_RECORDS}')
    lines.append(f'What is in it: {self.output_dir / "report.html"}')
    return '\n'.join(lines)


def _split_line(name, split):
  n = max(split.records, 1)
  before, after = split.stats.source_bytes, split.stats.encoded_bytes
  changed = (
    f'; pictures {before / 1e6:,.1f} MB before, {after / 1e6:,.1f} MB after'
    if before != after
    else ''
  )
  return (
    f'{name}: {split.records:,} records in {split.shards} shard(s), '
    f'{split.bytes / 1e6:,.1f} MB; labels per image '
    f'{split.given_labels / n:.2f} given, '
    f'{split.filled_labels / n:.2f} filled in; {split.bad:,} bad{changed}'
  )


def build(
  source: sources.Source,
  output_dir,
  *,
  num_shards: Optional[int] = None,
  fill: bool = True,
  resize: Optional[int] = None,
  max_bad: float = 0.01,
  overwrite: bool = False,
  processes: Optional[int] = None,
  beam_args: Sequence[str] = (),
) -> BuildReport:
  """Writes the shards, labels.tsv, reports, bad images and dataset.json.

  One worker makes one shard at a time. A build that was stopped goes on with
  the shards that are not finished when it is called again with the same source
  and options. The content does not depend on the workers.

  Args:
    source: the pictures.
    output_dir: made when absent; a cluster's workers must reach it too.
    num_shards: per split; None: see `plan.default_shards`.
    fill: whether `image/class/label` also holds all ancestors.
    resize: pixels that a picture's sides are reduced to; None: as they are.
    max_bad: largest share of bad images, 0..1, all splits together.
    overwrite: replace the data set in output_dir, once the new one is whole.
    processes: of the local runner; None: one per core.
    beam_args: flags of another Beam runner.

  Raises:
    ValueError: a data set is there already, there are too many bad images
      (their list is then written beside output_dir), a split came out empty,
      or an argument is out of range.
    OSError: a file cannot be written; finished shards stay for the next run.
  """
  _check_arguments(source, num_shards, resize, max_bad)
  output_dir = pathlib.Path(output_dir)
  start = time.monotonic()
  options = {**source.options, 'fill': fill, 'resize': resize}
  identity = {
    'source': source.name,
    'options': json.loads(json.dumps(options)),
    'sizes': source.sizes,
    'labels': source.hierarchy.hash(),
    'num_shards': num_shards,
  }
  with staging.opened(output_dir, overwrite) as folder:
    if staging.complete_move(folder, output_dir, identity):
      report.report_folder(output_dir, processes=processes, beam_args=beam_args)
      return BuildReport(output_dir, {}, time.monotonic() - start)
    tasks = _planned(source, folder, num_shards, identity, overwrite)
    kept = staging.finished_shards(folder)
    job = shards.ShardJob(
      folder=str(folder),
      plan_dir=str(folder / _PLAN_DIR),
      reader=source.reader,
      hierarchy=source.hierarchy,
      fill=fill,
      max_side=resize,
      trusted=getattr(source, 'trusted', False),
      max_bad=int(max_bad * sum(source.sizes.values())),
    )
    _make_shards(source, tasks, job, processes, beam_args)
    reports, bad, made = _read_results(folder, tasks)
    _check_bad(bad, source, max_bad, reports, output_dir)
    info = {'source': source.name, 'options': options}
    moves = _write_rest(source, folder, made, bad, info)
    staging.move_in(folder, output_dir, moves)
  _write_report(source, output_dir, reports, info, processes, beam_args)
  return BuildReport(output_dir, reports, time.monotonic() - start, kept)


def _check_arguments(source, num_shards, resize, max_bad):
  if not 0 <= max_bad <= 1:
    raise ValueError(f'max_bad must be from 0 to 1, got {max_bad}.')
  if num_shards is not None and num_shards < 1:
    raise ValueError(f'num_shards must be at least 1, got {num_shards}.')
  if resize is not None and resize < 1:
    raise ValueError(f'resize must be at least 1 pixel, got {resize}.')
  if resize and getattr(source, 'has_objects', False):
    raise ValueError(
      f'--resize={resize} would change the shape of pictures with boxes or '
      f'masks, which source {source.name!r} has: leave it out.'
    )


def _planned(source, folder, num_shards, identity, overwrite):
  """Returns [(split, shard)].

  The plan is made anew each time: that is cheap beside the pictures, and shows
  whether an unfinished build was of the same ones.
  """
  plan_dir = folder / _PLAN_DIR
  shutil.rmtree(plan_dir, ignore_errors=True)
  plan_dir.mkdir()
  result = plan.make_plan(source, plan_dir, num_shards)
  identity = {**identity, 'digest': result['digest']}
  staging.claim(folder, identity, overwrite, keep=plan_dir)
  return [(s, i) for s, n in result['shards'].items() for i in range(n)]


def _make_shards(source, tasks, job, processes, beam_args):
  # Beam takes seconds to import, which wrong use need not wait for.
  import apache_beam as beam

  from official_repro.data import engine

  total = sum(source.sizes.values())
  if processes is None and total < _FEW_IMAGES:
    processes = 1
  processes = min(processes or parallel.default_processes(), len(tasks))

  def construct(pipeline, tally):
    return (
      pipeline
      | 'Shards' >> beam.Create(tasks)
      | 'MakeShard' >> engine.Map(_make_shard, job, tally)
    )

  engine.run(
    construct,
    what='build',
    total=total,
    processes=processes,
    beam_args=beam_args,
    work_dir=job.folder if beam_args else None,
  )


def _make_shard(task, job, tally):
  return shards.make_shard(task, job, tally.add)


def _read_results(folder, tasks):
  """Returns {split: SplitReport}, bad images and finished shards.

  The second is [(split, source id, reason)], the third
  {split: [(stem, content of its .json)]} without shards that came out empty.
  """
  reports, bad, made = {}, [], {}
  for split, shard in tasks:
    of_split = reports.setdefault(split, SplitReport())
    stem = shards.shard_stem(folder, split, shard)
    content = shards.result_of(stem)
    bad += [(split, *row) for row in content['bad']]
    of_split.bad += len(content['bad'])
    if not content['records']:
      continue
    of_split.stats.merge(LabelStats.from_json(content['stats']))
    of_split.shards += 1
    of_split.bytes += content['bytes']
    made.setdefault(split, []).append((stem, content))
  return reports, bad, made


def _check_bad(bad, source, max_bad, reports, output_dir):
  total = sum(source.sizes.values())
  why = None
  if len(bad) > max_bad * total:
    why = (
      f'{len(bad):,} of {total:,} images are bad, more than '
      f'--max_bad={max_bad:g} allows; the last is {bad[-1][1]!r} '
      f'({bad[-1][2]})'
    )
  for split, of_split in reports.items():
    if not of_split.records and not why:
      why = f'Split {split!r} has no usable image'
  if not why:
    return
  if bad:
    beside = output_dir.with_name(f'{output_dir.name}.{BAD_RECORDS}')
    _save_bad(bad, beside)
    why += f'; {beside} lists them'
  raise ValueError(f'{why}.')


def _save_bad(bad, path):
  with open(path, 'w', encoding='utf-8', newline='') as f:
    rows = csv.writer(f, lineterminator='\n')
    rows.writerow(('split', 'source_id', 'reason'))
    rows.writerows(bad)


def _write_rest(source, folder, made, bad, info):
  """Writes all but the shards; returns [(name, name in the data folder)]."""
  moves, splits = [], {}
  for split, of_split in made.items():
    splits[split] = []
    for i, (stem, content) in enumerate(of_split):
      name = f'{split}-{i:05d}-of-{len(of_split):05d}'
      moves += [
        (f'{stem.name}{end}', f'{name}{end}')
        for end in ('.offsets', '.tfrecord')
      ]
      splits[split].append(
        manifest.Shard(
          folder / f'{name}.tfrecord',
          content['records'],
          content['sha256'],
          content['bytes'],
        )
      )
  if bad:
    _save_bad(bad, folder / BAD_RECORDS)
    moves.append((BAD_RECORDS, BAD_RECORDS))
  manifest.write_manifest(
    folder,
    name=source.name,
    hierarchy=source.hierarchy,
    splits=splits,
    info=info,
  )
  return [*moves, (manifest.LABELS, manifest.LABELS)]


def _write_report(source, output_dir, reports, info, processes, beam_args):
  few = sum(r.records for r in reports.values()) < _FEW_IMAGES
  noise = label_noise.default_estimate(
    output_dir, processes=1 if few else processes, beam_args=beam_args
  )
  content = audit.audit(
    {split: r.stats for split, r in reports.items()},
    source.hierarchy,
    noise=noise,
    bad={split: r.bad for split, r in reports.items()},
    info=info,
    name=source.name,
  )
  report.write(content, output_dir, report.some_pictures(output_dir))
