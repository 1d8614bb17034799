"""Writes report.json and report.html of a data folder."""

import csv
import dataclasses
import io
import itertools
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Optional

from official_repro.data import audit, manifest
from official_repro.data.audit import counts as label_counts
from official_repro.data.audit import noise as label_noise

JSON, HTML = 'report.json', 'report.html'
BAD_RECORDS = 'bad_records.csv'  # which a build leaves
NUM_PICTURES = 24
_SIDE = 192  # pixels of a shown picture's longer side
_MAX_NAMES = 8  # given or added label names under a picture


@dataclasses.dataclass(frozen=True)
class Picture:
  """A picture to show.

  Attributes:
    split: its split.
    source_id: its source id.
    jpeg: a small copy.
    given: names of the labels before the fill-in.
    added: names of those that the fill-in added.
  """

  split: str
  source_id: str
  jpeg: bytes
  given: tuple
  added: tuple


def write(report: dict, output_dir, pictures: Sequence[Picture] = ()) -> None:
  """Writes both files, each whole or not at all.

  Args:
    report: result of `audit.audit`.
    output_dir: folder, made when absent.
    pictures: some to show, as `some_pictures` gives.
  """
  # matplotlib takes a second to import, which workers need not spend.
  from official_repro.data.audit import html as report_html

  output_dir = pathlib.Path(output_dir)
  contents = {
    JSON: json.dumps(report, indent=1) + '\n',
    HTML: report_html.render(report, pictures),
  }
  output_dir.mkdir(parents=True, exist_ok=True)
  waiting = {name: output_dir / f'.{name}.tmp' for name in contents}
  try:
    for name, content in contents.items():
      waiting[name].write_text(content, encoding='utf-8', newline='\n')
    for name, path in waiting.items():
      os.replace(path, output_dir / name)
  finally:
    for path in waiting.values():
      path.unlink(missing_ok=True)


def report_folder(
  data_dir,
  output_dir=None,
  *,
  noisy_split: str = label_noise.NOISY_SPLIT,
  clean_split: Optional[str] = None,
  num_pictures: int = NUM_PICTURES,
  processes: Optional[int] = None,
  beam_args: Sequence[str] = (),
) -> dict:
  """Counts a data folder, of a build or a subset, and writes its report.

  What the records do not tell, the size of the original files and the number
  of bad images, comes from the report and the list that the build left in the
  folder, as far as they fit the records.

  Args:
    data_dir: a data folder.
    output_dir: where the two files go; None: the data folder.
    noisy_split: split whose labels `clean_split` judges.
    clean_split: split with true labels; None: as
      `label_noise.default_estimate`.
    num_pictures: pictures to show.
    processes: of the local runner; None: one per core.
    beam_args: Beam's flags.

  Returns:
    The content of report.json.

  Raises:
    FileNotFoundError, ValueError: as `Dataset.load` and `noise_estimate`.
  """
  data_dir = pathlib.Path(data_dir)
  dataset = manifest.Dataset.load(data_dir)
  options = {'processes': processes, 'beam_args': beam_args}
  # First, as it finds wrong names of splits.
  if clean_split is None and noisy_split == label_noise.NOISY_SPLIT:
    noise = label_noise.default_estimate(data_dir, **options)
  else:
    clean_split = clean_split or label_noise.CLEAN_SPLIT
    noise = label_noise.noise_estimate(
      data_dir, noisy_split, clean_split, **options
    )
  stats = label_counts.count_folder(data_dir, **options)
  result = audit.audit(
    stats,
    dataset.hierarchy,
    noise=noise,
    bad=_bad_records(data_dir, dataset.splits),
    info=dataset.info,
    name=dataset.name,
  )
  _take_over_sizes(result, data_dir)
  pictures = some_pictures(data_dir, num_pictures)
  write(result, output_dir or data_dir, pictures)
  return result


def some_pictures(data_dir, count: int = NUM_PICTURES) -> list:
  """Returns up to `count` Pictures, as many of each split as of any other.

  They are the first sound records of shards that lie evenly over the split.
  """
  dataset = manifest.Dataset.load(data_dir)
  splits = [s for s in dataset.splits.values() if s.records]
  pictures = []
  for i, split in enumerate(splits):
    wanted = count * (i + 1) // len(splits) - count * i // len(splits)
    shards = _evenly(len(split.shards), wanted)
    for j, index in enumerate(shards):
      n = wanted * (j + 1) // len(shards) - wanted * j // len(shards)
      found = label_counts.ShardReader(str(data_dir), split.name, index)
      pictures += [
        _picture(split.name, example, dataset.hierarchy)
        for example in itertools.islice(found, n)
      ]
  return [p for p in pictures if p is not None]


def summary(report: dict) -> str:
  """Returns a line per split, and one on noise where it was measured."""
  lines = []
  for name, split in report['splits'].items():
    per_image = split['labels_per_image']
    given, filled = (
      'unknown' if not s or s['mean'] is None else f'{s["mean"]:.2f}'
      for s in (per_image['given'], per_image['filled'])
    )
    classes = split['classes']['filled']
    lines.append(
      f'{name}: {split["records"]:,} records, labels per image {given} given, '
      f'{filled} filled in; of {report["hierarchy"]["num_classes"]:,} '
      f'categories {classes["none"]:,} without image, '
      f'{classes[f"below_{audit.SOME}"]:,} with fewer than {audit.SOME}'
    )
  if report['noise'] and report['noise']['precision']['share'] is not None:
    noise = report['noise']
    low, high = (1 - noise['precision'][k] for k in ('high', 'low'))
    lines.append(
      f'{noise["noisy_split"]}: {1 - noise["precision"]["share"]:.1%} of the '
      f'given labels are wrong (95% interval {low:.1%} to {high:.1%}, '
      f'{noise["pictures"]:,} images of {noise["clean_split"]})'
    )
  return '\n'.join(lines)


def _picture(split, example, hierarchy) -> Optional[Picture]:
  """Returns the Picture of an Example, None if it cannot be drawn."""
  from PIL import Image

  try:
    with Image.open(io.BytesIO(example.encoded)) as image:
      image.draft('RGB', (_SIDE, _SIDE))
      small = image.convert('RGB')
  # Pillow raises about any type on damaged data; `verify` tells of it.
  except Exception:
    return None
  small.thumbnail((_SIDE, _SIDE))
  out = io.BytesIO()
  small.save(out, 'JPEG', quality=85)
  given = dict.fromkeys(example.given_label_ids)
  added = [c for c in example.label_ids if c not in given]
  if not given:
    given, added = dict.fromkeys(example.label_ids), []
  return Picture(
    split,
    example.source_id,
    out.getvalue(),
    _some_names(list(given), hierarchy),
    _some_names(added, hierarchy),
  )


def _some_names(ids, hierarchy):
  # The most specific ones say most.
  ids = sorted(ids, key=lambda c: (-hierarchy.depth(c), c))
  names = [hierarchy.names[c] for c in ids[:_MAX_NAMES]]
  rest = len(ids) - len(names)
  return (*names, f'{rest} more') if rest else tuple(names)


def _evenly(count, wanted):
  """Returns up to `wanted` indices that lie evenly in range(count)."""
  used = min(count, wanted)
  return [i * count // used for i in range(used)]


def _bad_records(data_dir, splits):
  """Returns {split: bad images}, None where no build left its list."""
  path = data_dir / BAD_RECORDS
  counts = dict.fromkeys(splits, 0)
  if not path.is_file():
    return None
  with open(path, encoding='utf-8', newline='') as f:
    for row in csv.DictReader(f):
      if row.get('split') in counts:
        counts[row['split']] += 1
  return counts


def _take_over_sizes(report, data_dir):
  """Takes from the build's report what the records do not tell."""
  try:
    old = json.loads((data_dir / JSON).read_text(encoding='utf-8'))['splits']
  except (OSError, ValueError, KeyError, TypeError):
    return
  for name, split in report['splits'].items():
    before = old.get(name, {})
    if all(before.get(k) == split[k] for k in ('records', 'bytes_after')):
      for key in ('bytes_before', 'bytes_ratio'):
        split[key] = before.get(key)
      if split['bad'] is None:
        split['bad'] = before.get('bad')
