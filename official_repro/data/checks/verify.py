"""Checks a whole data folder and lists everything that is wrong with it."""

import base64
import collections
import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, Optional

import numpy as np

from official_repro.data import engine, examples, manifest, vocabulary
from official_repro.data.checks import records as record_checks
from official_repro.data.checks import shards as shard_checks
from official_repro.data.checks.shards import Finding

_TALLY_EVERY = 20


@dataclasses.dataclass(frozen=True)
class Result:
  """What a check found.

  Attributes:
    findings: list of Finding, by split, shard and record.
    records: records that were read.
    shards: shards that were looked at.
  """

  findings: list
  records: int
  shards: int


@dataclasses.dataclass(frozen=True)
class _Job:
  """What a worker needs to know; picklable.

  Attributes:
    rules: for the records.
    label_map: see `manifest.Split`.
    tally: for progress.
  """

  rules: record_checks.Rules
  label_map: Optional[np.ndarray]
  tally: Any


def verify(
  data_dir,
  *,
  processes: Optional[int] = None,
  beam_args: Sequence[str] = (),
  work_dir=None,
) -> Result:
  """Checks every file and every record of a data folder.

  Memory: 8 bytes a record, for the source ids.

  Args:
    data_dir: a data folder; of a subset, the records that belong to it and
      the whole of the shards that they are in.
    processes: of the local runner; None: one per core.
    beam_args: Beam's flags; empty: local.
    work_dir: see `engine.run`.

  Raises:
    FileNotFoundError, ValueError: there is no dataset.json that can be read.
  """
  data_dir = pathlib.Path(data_dir)
  content = manifest.read_manifest(data_dir).parsed
  with manifest.naming_damage(data_dir):
    findings, rules, label_map = _check_labels(data_dir, content)
    splits = {
      name: manifest.parse_split(data_dir, name, entry)
      for name, entry in content['splits'].items()
    }
    for split in splits.values():
      findings.extend(_check_sum(split))
  shards = [
    (s.name, i, x) for s in splits.values() for i, x in enumerate(s.shards)
  ]
  run = functools.partial(
    engine.run, processes=processes, beam_args=beam_args, work_dir=work_dir
  )
  result = run(
    functools.partial(
      _construct, shards=shards, rules=rules, label_map=label_map
    ),
    what='verifying',
    total=sum(x.records for *_, x in shards),
  )
  order = {name: n for n, name in enumerate(splits)}
  values = sorted(result.values, key=lambda v: (order[v[0]], v[1]))
  for value in values:
    findings.extend(Finding(*f) for f in value[2])
  findings.extend(_repeated_ids(shards, values, run))
  return Result(findings, sum(v[3] for v in values), len(shards))


def _check_labels(data_dir, content):
  """Returns (findings, Rules, label map) of labels.tsv and its map."""
  findings, hierarchy, label_map = [], None, None
  num_classes = content['label_space']['num_classes']
  try:
    hierarchy = manifest.load_labels(data_dir, content)
  except (OSError, ValueError) as e:
    findings.append(Finding(content['label_space']['file'], what=_text(e)))
  try:
    label_map = manifest.load_label_map(data_dir, content)
  except (OSError, ValueError) as e:
    findings.append(Finding(manifest.LABEL_MAP, what=_text(e)))
    num_classes = hierarchy = None  # what the labels mean is unknown
  filled = content.get('info', {}).get('options', {}).get('fill', False)
  rules = record_checks.Rules(num_classes, hierarchy if filled else None)
  return findings, rules, label_map


def _check_sum(split) -> Iterator[Finding]:
  total = sum(s.records for s in split.shards)
  if total != split.records:
    yield Finding(
      manifest.MANIFEST,
      what=f'split {split.name!r} has {split.records} records, its shards '
      f'have {total}',
    )


# --- in the workers ----------------------------------------------------------


def _construct(pipeline, tally, *, shards, rules, label_map):
  job = _Job(rules, label_map, tally)
  return _over(pipeline, shards) | engine.Map(_check_shard, job)


def _construct_ids(pipeline, tally, *, shards, hashes):
  return _over(pipeline, shards) | engine.FlatMap(_find_ids, hashes, tally)


def _over(pipeline, shards):
  beam = engine.beam
  return pipeline | beam.Create(shards) | beam.Reshuffle()


def _check_shard(element, job: _Job):
  """Returns (split, shard, findings, records, hashes of the source ids)."""
  split, index, shard = element
  found: list = []
  hashes, done = [], 0
  try:
    rows, found = shard_checks.check(shard)
    for number, data in shard_checks.read(shard, rows, found):
      example, problems = _check_record(data, job)
      source_id = example.source_id if example else ''
      found.extend(Finding(shard.file, number, source_id, p) for p in problems)
      if source_id:
        hashes.append(_hash(source_id))
      done += 1
      if done % _TALLY_EVERY == 0:
        job.tally.add(_TALLY_EVERY)
    job.tally.add(done % _TALLY_EVERY)
  except OSError as e:
    found.append(Finding(shard.file, what=f'it cannot be read: {_text(e)}'))
  text = base64.b64encode(np.array(hashes, np.uint64).tobytes()).decode()
  return split, index, [dataclasses.astuple(f) for f in found], done, text


def _check_record(data, job):
  """Returns (Example or None, what is wrong)."""
  try:
    example = examples.decode_example(data)
  except (ValueError, TypeError) as e:  # TypeError: one of four box sides
    return None, [f'it cannot be decoded: {_text(e)}']
  if job.label_map is not None:
    try:
      example = vocabulary.relabel(example, job.label_map)
    except ValueError as e:
      return example, [_text(e)]
  return example, record_checks.problems(example, job.rules)


def _find_ids(element, hashes, tally):
  """Yields (split, shard, file, record, id) of the ids with these hashes."""
  split, index, shard = element
  wanted = set(hashes)
  rows, _ = shard_checks.check(shard)
  for number, data in shard_checks.read(shard, rows, []):
    tally.add()
    try:
      source_id = examples.decode_example(data).source_id
    except (ValueError, TypeError):
      continue
    if _hash(source_id) in wanted:
      yield split, index, shard.file, number, source_id


# --- source ids that occur twice ---------------------------------------------


def _repeated_ids(shards, values, run) -> list[Finding]:
  """Finds source ids that occur more than once in a split."""
  candidates, concerned = set(), []
  for split in dict.fromkeys(name for name, *_ in shards):
    parts = {
      v[1]: np.frombuffer(base64.b64decode(v[4]), np.uint64)
      for v in values
      if v[0] == split
    }
    repeated = _repeated(np.concatenate([*parts.values()]))
    candidates.update(repeated.tolist())
    concerned += [
      (name, i, shard)
      for name, i, shard in shards
      if name == split and np.isin(parts[i], repeated).any()
    ]
  if not candidates:
    return []
  result = run(
    functools.partial(
      _construct_ids, shards=concerned, hashes=sorted(candidates)
    ),
    what='comparing source ids',
    total=sum(shard.records for *_, shard in concerned),
  )
  # Equal hashes may still be of different ids.
  places = collections.defaultdict(list)
  for split, _index, file, number, source_id in sorted(result.values):
    places[split, source_id].append((file, number))
  return [
    Finding(file, number, source_id, _twice(first))
    for (_, source_id), (first, *others) in places.items()
    for file, number in others
  ]


def _twice(first):
  return f'its source id is also that of {first[0]}, record {first[1]}'


def _repeated(hashes):
  hashes = np.sort(hashes)
  return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])


def _hash(source_id):
  digest = hashlib.blake2b(source_id.encode(), digest_size=8).digest()
  return int.from_bytes(digest, 'little')


def _text(error):
  if isinstance(error, OSError) and error.strerror:
    return error.strerror
  return ' '.join(str(error).split()).rstrip('.')
