"""Makes one shard of a build: what a Beam worker does.

A finished shard is SPLIT-NNNNN.tfrecord, its .offsets and, last, its .json
with counts and bad images; where the .json is, nothing is done again.
"""

import dataclasses
import json
import os
import pathlib
from typing import Callable, Optional, Union

from official_repro.data import examples, image_files, records, sources
from official_repro.data import hierarchy as hierarchy_lib
from official_repro.data.audit.stats import LabelStats
from official_repro.data.building import plan

_TALLY_EVERY = 16


@dataclasses.dataclass(frozen=True)
class ShardJob:
  """What is the same for all shards of a build.

  Attributes:
    folder: where the shards are made.
    plan_dir: where `plan.make_plan` wrote.
    reader: of the source.
    hierarchy: the label space.
    fill: whether labels get their ancestors.
    max_side: pixels that a picture's sides are reduced to, or None.
    trusted: whether the source's pictures need no check.
    max_bad: images that may be bad in all shards together.
  """

  folder: str
  plan_dir: str
  reader: sources.Reader
  hierarchy: hierarchy_lib.Hierarchy
  fill: bool = True
  max_side: Optional[int] = None
  trusted: bool = False
  max_bad: int = 0


def shard_stem(folder, split: str, shard: int) -> pathlib.Path:
  """Returns the path of a finished shard without its suffix."""
  return pathlib.Path(folder) / f'{split}-{shard:05d}'


def make_shard(task, job: ShardJob, add: Callable[..., None]) -> str:
  """Makes a shard, unless it is finished.

  Args:
    task: (split, number of the shard).
    job: what to do.
    add: takes the numbers for the progress line and the counters, as
      `engine.Tally.add`.

  Returns:
    'made', 'kept', or 'too many bad': then it is left unfinished.

  Raises:
    OSError: it cannot be written; nothing of it is left.
    ValueError: a record breaks a rule; names the image.
  """
  split, shard = task
  stem = shard_stem(job.folder, split, shard)
  if stem.with_suffix('.json').exists():
    add(sum(1 for _ in plan.planned_items(job.plan_dir, split, shard)))
    return 'kept'
  writer = records.ShardWriter(stem.with_name(f'.{stem.name}'))
  stats, bad = LabelStats(job.hierarchy), []
  try:
    for done, item in enumerate(
      plan.planned_items(job.plan_dir, split, shard), start=1
    ):
      result = read_example(item, job)
      if isinstance(result, sources.BadRecord):
        bad.append((result.source_id, result.reason))
        if len(bad) > job.max_bad:
          return _give_up(writer, stem, bad)
      else:
        _write(writer, stats, *result)
      if done % _TALLY_EVERY == 0:
        add(_TALLY_EVERY)
    _finish(writer, stem, stats, bad)
  except BaseException:
    writer.discard()
    raise
  add(done % _TALLY_EVERY)
  _count(stats, bad, add)
  return 'made'


def result_of(stem: pathlib.Path) -> dict:
  """Returns what is known of a shard that was worked on.

  Returns:
    records, bad ([(source id, reason)]), and, with records: stats
    (`LabelStats.to_json`), sha256, bytes.
  """
  try:
    return json.loads(stem.with_suffix('.json').read_text('utf-8'))
  except FileNotFoundError:
    bad = json.loads(stem.with_suffix('.bad').read_text('utf-8'))
    return {'records': 0, 'bad': bad}


def read_example(
  item: sources.Item, job: ShardJob
) -> Union[tuple, sources.BadRecord]:
  """Reads one picture and makes it fit for a record.

  Returns:
    (Example, bytes of the image file as it was found), or BadRecord.
  """
  example = job.reader(item)
  if isinstance(example, sources.BadRecord):
    return example
  source_bytes = len(example.encoded)
  if not job.trusted or job.max_side:
    try:
      _take_image(example, job.max_side)
    except image_files.BadImageError as e:
      return sources.BadRecord(example.source_id, str(e))
  example.given_label_ids = list(example.label_ids)
  if job.fill:
    fill_in(example, job.hierarchy)
  return example, source_bytes


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


def _take_image(example, max_side):
  placed = example.boxes is not None or example.segmentation_png is not None
  if placed and not image_files.is_upright(example.encoded):
    # Nobody says whether its annotation counts before or after the turn.
    raise image_files.BadImageError(
      'has boxes or a mask, but EXIF data that turn the picture'
    )
  claimed = (example.height, example.width)
  image = image_files.usable_image(example.encoded, max_side=max_side)
  actual = (image.height, image.width)
  if claimed != (0, 0) and max_side is None and claimed != actual:
    raise image_files.BadImageError(
      f'is {actual[1]} x {actual[0]} pixels, its annotation says '
      f'{claimed[1]} x {claimed[0]}'
    )
  example.encoded = image.encoded
  example.height, example.width = actual


def _write(writer, stats, example, source_bytes):
  writer.write(examples.encode_example(example))
  stats.add(
    example.given_label_ids,
    example.label_ids,
    encoded_bytes=len(example.encoded),
    source_bytes=source_bytes,
  )


def _finish(writer, stem, stats, bad):
  content = {'bad': bad, 'stats': stats.to_json(), 'records': stats.records}
  if stats.records:
    writer.finish()
    shard = writer.rename(stem.name)
    content.update(sha256=shard.sha256, bytes=shard.bytes)
  else:
    writer.discard()
  _write_json(stem.with_suffix('.json'), content)


def _give_up(writer, stem, bad):
  writer.discard()
  _write_json(stem.with_suffix('.bad'), bad)
  return 'too many bad'


def _write_json(path, content):
  temporary = path.with_name(f'.{path.name}.tmp')
  with open(temporary, 'w', encoding='utf-8') as f:
    json.dump(content, f)
    f.flush()
    os.fsync(f.fileno())
  os.replace(temporary, path)


def _count(stats, bad, add):
  add(stats.records, 'records')
  add(len(bad), 'bad')
  add(stats.source_bytes, 'bytes_before')
  add(stats.encoded_bytes, 'bytes_after')
  added = sum(stats.filled.values()) - sum(stats.given.values())
  add(max(added, 0), 'labels_added')
