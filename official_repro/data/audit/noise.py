"""How many labels are wrong or missing, measured on pictures with true labels.

A clean split holds pictures that another split, the noisy one, also has, under
the same source id, with labels that are all true and complete. Of a picture

  precision = share of its given labels that are among the true ones,
  recall = share of its true labels that are among the filled given ones,

both over the labels of all pictures together; "true" and "filled" include the
ancestors. The 95% intervals are Wilson's. Labels of one picture stand or fall
together, above all an "apple" and its "fruit", so the number of labels is
divided by the design effect first (Kish, Survey Sampling, 1965): how much more
the counts vary from picture to picture than those of independent labels would.
"""

import collections
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Optional

from official_repro.data.audit import counts as label_counts
from official_repro.data.hierarchy import Hierarchy
from official_repro.data.manifest import Dataset

NOISY_SPLIT, CLEAN_SPLIT = 'train', 'clean'
_Z95 = 1.959963984540054  # 97.5% quantile of the normal distribution
_LISTED = 20
_PICTURES, _UNMATCHED = 'pictures', 'unmatched'
_ALL = -1  # in place of a category or depth


class NothingSharedError(ValueError):
  """The two splits have no picture in common."""


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
    FileNotFoundError, ValueError: as `Dataset.load` and `Dataset.split`.
    NothingSharedError: the splits share no picture.
  """
  dataset = Dataset.load(data_dir)
  splits = [dataset.split(s) for s in (noisy_split, clean_split)]
  if noisy_split == clean_split:
    raise ValueError(
      f'The clean split must be another one than {noisy_split!r}.'
    )
  rows = _compare_splits(dataset, splits, processes, beam_args)
  numbers = estimate(rows, dataset.hierarchy)
  if not numbers[_PICTURES]:
    raise NothingSharedError(
      f'No picture of split {clean_split!r} of {data_dir} is in split '
      f'{noisy_split!r}: a clean split must hold pictures of the noisy one '
      'under the same source ids.'
    )
  return {'noisy_split': noisy_split, 'clean_split': clean_split, **numbers}


def default_estimate(
  data_dir,
  *,
  processes: Optional[int] = None,
  beam_args: Sequence[str] = (),
) -> Optional[dict]:
  """Compares `train` with `clean` where both are there and share pictures.

  Returns:
    As `noise_estimate`, or None; a `clean` split of other pictures is told on
    stderr.
  """
  if not {NOISY_SPLIT, CLEAN_SPLIT} <= set(Dataset.load(data_dir).splits):
    return None
  try:
    return noise_estimate(data_dir, processes=processes, beam_args=beam_args)
  except NothingSharedError as e:
    print(f'No estimate of the label noise: {e}', file=sys.stderr)
    return None


def _compare_splits(dataset, splits, processes, beam_args):
  """Returns the rows of `compare` for [noisy Split, clean Split]."""
  # Beam takes seconds to import and only pipelines need it.
  import apache_beam as beam

  from official_repro.data import engine

  data_dir = str(dataset.data_dir)

  def construct(pipeline, tally):
    def labels_of(split):
      keys = label_counts.shard_keys(dataset, [split.name])
      return (
        pipeline
        | f'Shards of {split.name}' >> beam.Create(keys)
        | f'Read {split.name}' >> engine.FlatMap(_read_labels, data_dir, tally)
      )

    return compare(*map(labels_of, splits), dataset.hierarchy)

  return engine.run(
    construct,
    what='comparing labels',
    total=sum(split.records for split in splits),
    processes=processes,
    beam_args=beam_args,
  ).values


def compare(noisy, clean, hierarchy: Hierarchy):
  """Joins two splits by source id and counts where their labels agree.

  Args:
    noisy: PCollection of (source id, (given ids, filled ids)).
    clean: PCollection of the same; its filled ids are the truth.
    hierarchy: the label space.

  Returns:
    PCollection of [what, category id or depth, count] for `estimate`.
  """
  import apache_beam as beam

  from official_repro.data import engine

  depths = [hierarchy.depth(c) for c in range(hierarchy.num_classes)]
  return (
    {'noisy': noisy, 'clean': clean}
    | 'Join' >> beam.CoGroupByKey()
    | 'Compare' >> engine.FlatMap(compare_labels, depths)
    | 'Count' >> beam.CombinePerKey(sum)
    | 'Rows' >> beam.MapTuple(_row)
  )


def compare_labels(joined, depths: Sequence[int]) -> Iterable:
  """Yields ((what, category id or depth), count) of one picture.

  Args:
    joined: (source id, {'noisy': [...], 'clean': [...]}), each list with at
      most one (given ids, filled ids).
    depths: depth of each category.

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
    yield (_UNMATCHED, _ALL), 1
    return
  given, filled = map(set, noisy[0])
  true = set(clean[0][1])
  yield (_PICTURES, _ALL), 1
  for measure, hits, trials in (
    ('precision', given & true, given),
    ('recall', filled & true, true),
  ):
    for c in hits:
      yield (f'{measure} hits', c), 1
    for c in trials:
      yield (f'{measure} trials', c), 1
    yield from _moments(measure, hits, trials, depths)


def _moments(measure, hits, trials, depths):
  """Yields the squares and the product of a picture's counts, by depth."""
  hits_at = collections.Counter(depths[c] for c in hits)
  trials_at = collections.Counter(depths[c] for c in trials)
  hits_at[_ALL], trials_at[_ALL] = len(hits), len(trials)
  for depth, t in trials_at.items():
    h = hits_at[depth]
    yield (f'{measure} hh', depth), h * h
    yield (f'{measure} ht', depth), h * t
    yield (f'{measure} tt', depth), t * t


def estimate(rows: Iterable, hierarchy: Hierarchy) -> dict:
  """Returns precision and recall: in all, by depth, and the worst categories.

  Args:
    rows: (what, category id or depth, count) as `compare` gives, in any order.
    hierarchy: the label space.

  Returns:
    'pictures': in both splits; 'unmatched': in the clean one only;
    'precision' and 'recall': as `wilson`; 'by_depth': list of the same with
    'depth'; 'worst': up to 20 categories with wrong labels, least upper bound
    of the precision first, so that a category is not called bad on the ground
    of one picture.
  """
  counts = collections.defaultdict(collections.Counter)
  for what, key, count in rows:
    counts[what][key] += count
  categories = sorted({*counts['precision trials'], *counts['recall trials']})
  depths = collections.defaultdict(list)
  for c in categories:
    depths[hierarchy.depth(c)].append(c)
  each = [
    {'id': c, 'name': hierarchy.names[c], **_shares(counts, [c], None)}
    for c in categories
    if counts['precision hits'][c] < counts['precision trials'][c]
  ]
  each.sort(key=lambda row: (row['precision']['high'], row['id']))
  return {
    'pictures': counts[_PICTURES][_ALL],
    'unmatched': counts[_UNMATCHED][_ALL],
    **_shares(counts, categories, _ALL),
    'by_depth': [
      {'depth': d, **_shares(counts, depths[d], d)} for d in sorted(depths)
    ],
    'worst': each[:_LISTED],
  }


def wilson(hits: int, trials: int, design_effect: float = 1.0) -> dict:
  """Returns a share and its 95% interval (Wilson, JASA 1927).

  Args:
    hits: how many of the trials.
    trials: number of labels.
    design_effect: by how much the trials count less than independent ones.

  Returns:
    {'hits', 'trials', 'share', 'low', 'high'}; of no trials the share is None
    and the interval 0..1.
  """
  result = {'hits': hits, 'trials': trials}
  if not trials:
    return {**result, 'share': None, 'low': 0.0, 'high': 1.0}
  share, n, z2 = hits / trials, trials / design_effect, _Z95 * _Z95
  middle = (share * n + z2 / 2) / (n + z2)
  half = _Z95 / (n + z2) * math.sqrt(share * (1 - share) * n + z2 / 4)
  return {
    **result,
    'share': share,
    'low': max(0.0, middle - half),
    'high': min(1.0, middle + half),
  }


def design_effect(hits, trials, hh, ht, tt) -> float:
  """Returns the variance of a share over that of independent labels, from 1.

  Args:
    hits: sum over the pictures of h, a picture's hits.
    trials: sum of t, its trials.
    hh: sum of h * h.
    ht: sum of h * t.
    tt: sum of t * t.
  """
  if not trials:
    return 1.0
  share = hits / trials
  if share in (0, 1):
    # Nothing varies, so take the worst: each picture is all right or all wrong.
    return max(1.0, tt / trials)
  # Sum of (h - share * t) ** 2, of a ratio estimator's variance.
  spread = hh - 2 * share * ht + share * share * tt
  return max(1.0, spread / (share * (1 - share) * trials))


def _shares(counts, categories, group):
  """Returns precision and recall of the categories; group: None, one category.

  A picture has a category once at most, so its labels are independent.
  """
  shares = {}
  for measure in ('precision', 'recall'):
    hits, trials = (
      sum(counts[f'{measure} {what}'][c] for c in categories)
      for what in ('hits', 'trials')
    )
    effect = 1.0
    if group is not None:
      moments = (counts[f'{measure} {m}'][group] for m in ('hh', 'ht', 'tt'))
      effect = design_effect(hits, trials, *moments)
    shares[measure] = wilson(hits, trials, effect)
  return shares


def _read_labels(key, data_dir, tally):
  """Yields (source id, (given ids, filled ids)) of the pictures of a shard."""
  hierarchy = label_counts.load(data_dir).hierarchy
  for example in label_counts.ShardReader(data_dir, *key, tally.add):
    given = example.given_label_ids
    # The build may have left the ancestors out.
    filled = hierarchy.fill({*given, *example.label_ids})
    yield example.source_id, (given, filled)


def _row(key, count):
  return [*key, count]
