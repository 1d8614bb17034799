"""Builds a data folder from a source: all of it or nothing."""

import contextlib
import csv
import dataclasses
import json
import os
import pathlib
import shutil
import time
from collections.abc import Iterator
from typing import Optional

from official_repro.data import examples, manifest, parallel, records, sources
from official_repro.data import hierarchy as hierarchy_lib

BAD_RECORDS = 'bad_records.csv'
_STAGING = '.building'


@dataclasses.dataclass
class SplitReport:
  """Counts of one split.

  Attributes:
    records: records written.
    shards: files they are in.
    bytes: size of these files.
    given_labels: labels before the fill-in, of all records together.
    filled_labels: labels after it.
    bad: images left out.
  """

  records: int = 0
  shards: int = 0
  bytes: int = 0
  given_labels: int = 0
  filled_labels: int = 0
  bad: int = 0


@dataclasses.dataclass
class BuildReport:
  """What `build` wrote: the folder, {split: SplitReport} and seconds."""

  output_dir: pathlib.Path
  splits: dict
  seconds: float

  def __str__(self):
    """A line per split and a line in all."""
    lines = []
    for name, split in self.splits.items():
      n = max(split.records, 1)
      lines.append(
        f'{name}: {split.records:,} records in {split.shards} shard(s), '
        f'{split.bytes / 1e6:,.1f} MB; labels per image '
        f'{split.given_labels / n:.2f} given, '
        f'{split.filled_labels / n:.2f} filled in; {split.bad:,} bad'
      )
    total = sum(s.records for s in self.splits.values())
    rate = total / max(self.seconds, 1e-9)
    lines.append(
      f'{self.output_dir}: {total:,} records in {self.seconds:.1f} s '
      f'({rate:,.0f}/s)'
    )
    if any(s.bad for s in self.splits.values()):
      lines.append(f'Images left out: {self.output_dir / BAD_RECORDS}')
    return '\n'.join(lines)


def build(
  source: sources.Source,
  output_dir,
  *,
  num_shards: int = 8,
  fill: bool = True,
  max_bad: float = 0.01,
  overwrite: bool = False,
  processes: Optional[int] = None,
) -> BuildReport:
  """Writes the shards, labels.tsv, the list of bad images and dataset.json.

  All is made in a folder below `output_dir` and moved out of it at the end,
  dataset.json last. The content does not depend on `processes`.

  Args:
    source: the pictures.
    output_dir: made when absent.
    num_shards: per split.
    fill: whether `image/class/label` also holds all ancestors.
    max_bad: largest share of bad images, 0..1, all splits together.
    overwrite: replace the data set in output_dir, once the new one is whole.
    processes: None: one per core.

  Raises:
    ValueError: a data set is there already, there are too many bad images
      (their list is then written beside output_dir), or a split came out empty.
  """
  if not 0 <= max_bad <= 1:
    raise ValueError(f'max_bad must be from 0 to 1, got {max_bad}.')
  output_dir = pathlib.Path(output_dir)
  start = time.monotonic()
  processes = processes or parallel.default_processes()
  bad = _BadRecords(max_bad, sum(source.sizes.values()), output_dir)
  reports, shards = {}, {}
  with _staged(output_dir, overwrite) as staging:
    for split in source.sizes:
      reports[split] = SplitReport()
      with records.RecordWriter(staging, split, num_shards) as writer:
        _write_split(source, split, processes, fill, writer, bad, reports)
      shards[split] = writer.shards
      reports[split].shards = len(writer.shards)
      reports[split].bytes = sum(s.bytes for s in writer.shards)
    if bad.records:
      bad.save(staging / BAD_RECORDS)
    manifest.write_manifest(
      staging,
      name=source.name,
      hierarchy=source.hierarchy,
      splits=shards,
      info={'source': source.name, 'options': {**source.options, 'fill': fill}},
    )
  return BuildReport(output_dir, reports, time.monotonic() - start)


def fill_in(
  example: examples.Example, hierarchy: hierarchy_lib.Hierarchy
) -> None:
  """Adds the ancestors of an example's labels, in place.

  The confidence of a category is the largest of the given ones on it and
  below it: what is surely an apple is at least as surely a fruit.
  """
  given = example.label_ids
  example.label_ids = hierarchy.fill(given)
  if example.confidence is None:
    return
  best = dict.fromkeys(example.label_ids, 0.0)
  for label_id, confidence in zip(given, example.confidence):
    for i in (label_id, *hierarchy.ancestors(label_id)):
      best[i] = max(best[i], confidence)
  example.confidence = [best[i] for i in example.label_ids]


def _write_split(source, split, processes, fill, writer, bad, reports):
  report = reports[split]
  progress = parallel.Progress(split, source.sizes[split])
  items = source.iterate(split, processes)
  # Closing ends the processes at once when something below goes wrong.
  with contextlib.closing(items):
    for done, item in enumerate(items, start=1):
      if isinstance(item, sources.BadRecord):
        report.bad += 1
        bad.add(split, item)
      else:
        item.given_label_ids = list(item.label_ids)
        if fill:
          fill_in(item, source.hierarchy)
        writer.write(item)
        report.records += 1
        report.given_labels += len(item.given_label_ids)
        report.filled_labels += len(item.label_ids)
      progress.update(done)
  if not report.records:
    bad.fail(f'Split {split!r} has no usable image')


class _BadRecords:
  """Collects the bad images, and stops the build when there are too many."""

  def __init__(self, max_bad, total, output_dir):
    self.records = []
    self._max_bad, self._total = max_bad, total
    self._beside = output_dir.with_name(f'{output_dir.name}.{BAD_RECORDS}')

  def add(self, split, record):
    self.records.append((split, record.source_id, record.reason))
    if len(self.records) > self._max_bad * self._total:
      self.fail(
        f'{len(self.records):,} of {self._total:,} images are bad so far, more '
        f'than --max_bad={self._max_bad:g} allows; the last is '
        f'{record.source_id!r} ({record.reason})'
      )

  def fail(self, why):
    if self.records:
      self._beside.parent.mkdir(parents=True, exist_ok=True)
      self.save(self._beside)
      why += f'; {self._beside} lists them'
    raise ValueError(f'{why}.')

  def save(self, path):
    with open(path, 'w', encoding='utf-8', newline='') as f:
      rows = csv.writer(f, lineterminator='\n')
      rows.writerow(('split', 'source_id', 'reason'))
      rows.writerows(self.records)


@contextlib.contextmanager
def _staged(output_dir: pathlib.Path, overwrite) -> Iterator[pathlib.Path]:
  """Yields a folder whose files move to output_dir if the block succeeds."""
  if (output_dir / manifest.MANIFEST).exists() and not overwrite:
    raise ValueError(
      f'{output_dir} holds a data set already: choose another --output, or '
      'replace it with --overwrite.'
    )
  existed = output_dir.exists()
  staging = output_dir / _STAGING
  if overwrite and staging.is_dir():
    shutil.rmtree(staging)
  output_dir.mkdir(parents=True, exist_ok=True)
  try:
    staging.mkdir()
  except FileExistsError:
    raise ValueError(
      f'{staging} is there: another build is under way, or one was killed; '
      'in the second case add --overwrite.'
    ) from None
  try:
    yield staging
    _move_in(staging, output_dir)
  finally:
    shutil.rmtree(staging, ignore_errors=True)
    if not existed and not any(output_dir.iterdir()):
      output_dir.rmdir()


def _move_in(staging, output_dir):
  old = _files_of(output_dir)
  # Without dataset.json the folder is no data set while its files change.
  for name in (manifest.MANIFEST, *old):
    (output_dir / name).unlink(missing_ok=True)
  last = staging / manifest.MANIFEST
  for path in sorted(staging.iterdir()):
    if path != last:
      os.replace(path, output_dir / path.name)
  os.replace(last, output_dir / last.name)


def _files_of(data_dir):
  """Returns the names of the files of the data set that is there, if any."""
  try:
    content = json.loads((data_dir / manifest.MANIFEST).read_text())
    stems = [
      pathlib.PurePath(shard['file']).stem
      for split in content['splits'].values()
      for shard in split['shards']
    ]
  except (OSError, ValueError, KeyError, TypeError, AttributeError):
    return []
  shards = [f'{s}{end}' for s in stems for end in ('.tfrecord', '.offsets')]
  return [*shards, manifest.LABELS, BAD_RECORDS]
