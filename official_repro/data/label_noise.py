"""How many labels are wrong or missing, measured on pictures with true labels.

A clean split holds pictures that another split, the noisy one, also has, under
the same source id, with labels that are all true and complete. Of a picture

  precision = share of its given labels that are among the true ones,
  recall = share of its true labels that are among the filled given ones,

both over the labels of all pictures together; "true" and "filled" include the
ancestors. The 95% intervals are Wilson's, which take labels as independent;
those of one picture are not quite.
"""

import collections
import math
from collections.abc import Iterable, Sequence
from typing import Optional

from official_repro.data import label_counts
from official_repro.data.hierarchy import Hierarchy
from official_repro.data.manifest import Dataset

NOISY_SPLIT, CLEAN_SPLIT = 'train', 'clean'
_Z95 = 1.959963984540054  # 97.5% quantile of the normal distribution
_LISTED = 20
_PICTURES, _UNMATCHED = 'pictures', 'unmatched'
_GIVEN, _RIGHT, _TRUE, _FOUND = 'given', 'right', 'true', 'found'


def noise_estimate(
  data_dir,
  noisy_split: str = NOISY_SPLIT,
  clean_split: str = CLEAN_SPLIT,
  *,
  processes: Optional[int] = None,
  beam_args: Sequence[str] = (),
) -> dict:
  """Compares the labels of the pictures that two splits share.

  Args:
    data_dir: a data folder.
    noisy_split: split whose labels are judged.
    clean_split: split whose labels are the truth.
    processes: of the local runner; None: one per core.
    beam_args: Beam's flags.

  Returns:
    What `estimate` returns, and the names of the splits.

  Raises:
    FileNotFoundError, ValueError: as `Dataset.load` and `Dataset.split`, or
      the splits share no picture.
  """
  # Beam takes seconds to import and only pipelines need it.
  import apache_beam as beam

  from official_repro.data import engine

  dataset = Dataset.load(data_dir)
  wanted = [dataset.split(s) for s in (noisy_split, clean_split)]
  if noisy_split == clean_split:
    raise ValueError(
      f'The clean split must be another one than {noisy_split!r}.'
    )

  def construct(pipeline, tally):
    def labels_of(split):
      return (
        pipeline
        | f'Shards {split}'
        >> beam.Create(label_counts.shard_keys(dataset, [split]))
        | f'Read {split}' >> engine.FlatMap(_read_labels, str(data_dir), tally)
      )

    return compare(labels_of(noisy_split), labels_of(clean_split))

  result = engine.run(
    construct,
    what='comparing labels',
    total=sum(split.records for split in wanted),
    processes=processes,
    beam_args=beam_args,
  )
  numbers = estimate(result.values, dataset.hierarchy)
  if not numbers[_PICTURES]:
    raise ValueError(
      f'No picture of split {clean_split!r} of {data_dir} is in split '
      f'{noisy_split!r}: a clean split must hold pictures of the noisy one '
      'under the same source ids.'
    )
  return {'noisy_split': noisy_split, 'clean_split': clean_split, **numbers}


def compare(noisy, clean):
  """Joins two splits by source id and counts where their labels agree.

  Args:
    noisy: PCollection of (source id, (given ids, filled ids)).
    clean: PCollection of the same; its filled ids are the truth.

  Returns:
    PCollection of [what, category id, count] for `estimate`.
  """
  import apache_beam as beam

  from official_repro.data import engine

  return (
    {'noisy': noisy, 'clean': clean}
    | 'Join' >> beam.CoGroupByKey()
    | 'Compare' >> engine.FlatMap(compare_labels)
    | 'Count' >> beam.CombinePerKey(sum)
    | 'Rows' >> beam.MapTuple(_row)
  )


def compare_labels(joined) -> Iterable:
  """Yields ((what, category id), 1) of one picture.

  Args:
    joined: (source id, {'noisy': [...], 'clean': [...]}), each list with at
      most one (given ids, filled ids).

  Raises:
    ValueError: the source id occurs twice in a split.
  """
  source_id, found = joined
  noisy, clean = list(found['noisy']), list(found['clean'])
  if max(len(noisy), len(clean)) > 1:
    raise ValueError(
      f'Source id {source_id!r} occurs twice in a split, so its pictures '
      'cannot be matched: build the data set again.'
    )
  if not clean:
    return
  if not noisy:
    yield (_UNMATCHED, -1), 1
    return
  given, filled = map(set, noisy[0])
  true = set(clean[0][1])
  yield (_PICTURES, -1), 1
  for what, ids in (
    (_GIVEN, given),
    (_RIGHT, given & true),
    (_TRUE, true),
    (_FOUND, filled & true),
  ):
    for c in sorted(ids):
      yield (what, c), 1


def estimate(rows: Iterable, hierarchy: Hierarchy) -> dict:
  """Returns precision and recall: in all, by depth, and the worst categories.

  Args:
    rows: (what, category id, count) as `compare` gives, in any order.
    hierarchy: the label space.

  Returns:
    'pictures': in both splits; 'unmatched': in the clean one only;
    'precision' and 'recall': as `wilson`; 'by_depth': list of the same with
    'depth'; 'worst': up to 20 categories with wrong labels, least upper bound
    of the precision first, so that a category is not called bad on the ground
    of one picture.
  """
  counts = collections.defaultdict(collections.Counter)
  for what, c, count in rows:
    counts[what][c] += count
  categories = sorted({*counts[_GIVEN], *counts[_TRUE]})
  depths = collections.defaultdict(list)
  for c in categories:
    depths[hierarchy.depth(c)].append(c)
  each = [
    {'id': c, 'name': hierarchy.names[c], **_shares(counts, [c])}
    for c in categories
    if counts[_RIGHT][c] < counts[_GIVEN][c]
  ]
  each.sort(key=lambda row: (row['precision']['high'], row['id']))
  return {
    'pictures': counts[_PICTURES][-1],
    'unmatched': counts[_UNMATCHED][-1],
    **_shares(counts, categories),
    'by_depth': [
      {'depth': d, **_shares(counts, depths[d])} for d in sorted(depths)
    ],
    'worst': each[:_LISTED],
  }


def wilson(hits: int, trials: int) -> dict:
  """Returns a share and its 95% interval (Wilson, JASA 1927).

  Returns:
    {'hits', 'trials', 'share', 'low', 'high'}; of no trials the share is None
    and the interval 0..1.
  """
  result = {'hits': hits, 'trials': trials}
  if not trials:
    return {**result, 'share': None, 'low': 0.0, 'high': 1.0}
  z2 = _Z95 * _Z95
  middle = (hits + z2 / 2) / (trials + z2)
  spread = hits * (trials - hits) / trials + z2 / 4
  half = _Z95 / (trials + z2) * math.sqrt(spread)
  return {
    **result,
    'share': hits / trials,
    'low': max(0.0, middle - half),
    'high': min(1.0, middle + half),
  }


def _shares(counts, categories):
  total = lambda what: sum(counts[what][c] for c in categories)
  return {
    'precision': wilson(total(_RIGHT), total(_GIVEN)),
    'recall': wilson(total(_FOUND), total(_TRUE)),
  }


def _read_labels(key, data_dir, tally):
  """Yields (source id, (given ids, filled ids)) of the pictures of a shard."""
  hierarchy = label_counts.load(data_dir).hierarchy
  for example in label_counts.read_shard(data_dir, *key):
    given = example.given_label_ids
    # The build may have left the ancestors out.
    filled = hierarchy.fill({*given, *example.label_ids})
    yield example.source_id, (given, filled)
    tally.add()


def _row(key, count):
  return [*key, count]
