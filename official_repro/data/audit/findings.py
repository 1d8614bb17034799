"""What the counts of a data set say (Sun et al. 2017, sec. 3).

`audit` turns the `LabelStats` of all splits into the content of report.json.
Glossary: given labels are those of the source, filled ones also hold their
ancestors; depth 0 is a root.
"""

import collections
import math
from collections.abc import Mapping
from typing import Optional

from official_repro.data.audit.noise import noise_estimate
from official_repro.data.audit.stats import LabelStats
from official_repro.data.hierarchy import Hierarchy

__all__ = ['LabelStats', 'audit', 'noise_estimate']

VERSION = 1
# The bounds of the paper's long tail, pictures.
FEW, SOME = 20, 100
_LISTED = 20  # most frequent and rarest categories
_LISTED_NAMES = 50  # orphans and categories without a picture
_TOP_SHARE = 0.01
_RANKS = 300  # points of the frequency curve


def audit(
  stats_by_split: Mapping[str, LabelStats],
  hierarchy: Hierarchy,
  noise: Optional[dict] = None,
  bad: Optional[Mapping[str, int]] = None,
  info: Optional[dict] = None,
  name: str = '',
) -> dict:
  """Returns the content of report.json.

  Args:
    stats_by_split: counts by split name.
    hierarchy: the label space.
    noise: result of `noise_estimate`, or None.
    bad: {split: images that the build left out}, None when not known.
    info: source and options of the build; whatever JSON takes.
    name: of the data set.

  Raises:
    ValueError: a count of a category outside the label space; names split
      and id.
  """
  for split, stats in stats_by_split.items():
    _check_ids(split, stats, hierarchy)
  seen = set().union(*(s.filled for s in stats_by_split.values()))
  unseen = [c for c in range(hierarchy.num_classes) if c not in seen]
  return {
    'version': VERSION,
    'name': name or (info or {}).get('source', ''),
    'info': info or {},
    'hierarchy': _describe(hierarchy),
    'unseen': _named(unseen, hierarchy),
    'splits': {
      split: _audit_split(
        stats, hierarchy, None if bad is None else bad.get(split, 0)
      )
      for split, stats in stats_by_split.items()
    },
    'noise': noise,
  }


def _audit_split(stats, hierarchy, bad):
  # Records of other programs may hold the final labels only.
  has_given = bool(stats.given) or not stats.filled
  before, after = stats.source_bytes, stats.encoded_bytes
  per_image = {
    'given': _spread(stats.given_per_image) if has_given else None,
    'filled': _spread(stats.filled_per_image),
  }
  classes = {
    'given': _frequencies(stats.given, hierarchy) if has_given else None,
    'filled': _frequencies(stats.filled, hierarchy),
  }
  return {
    'records': stats.records,
    'bad': bad,
    'damaged': stats.damaged,
    'bytes_before': before,
    'bytes_after': after,
    'bytes_ratio': after / before if before else None,
    'redundant_given': stats.redundant if has_given else None,
    'labels_added': sum(stats.added.values()) if has_given else None,
    'labels_per_image': per_image,
    'by_depth': _by_depth(stats, hierarchy, has_given),
    'classes': classes,
  }


def _describe(hierarchy):
  """Returns the numbers of the label space itself."""
  ids = range(hierarchy.num_classes)
  children = [len(hierarchy.children(c)) for c in ids]
  depths = collections.Counter(map(hierarchy.depth, ids))
  orphans = [c for c in ids if not hierarchy.parents[c] and not children[c]]
  largest = max(ids, key=lambda c: (children[c], -c), default=None)
  return {
    'num_classes': hierarchy.num_classes,
    'edges': sum(children),
    'flat': not any(children),
    'roots': depths[0],
    'leaves': children.count(0),
    'several_parents': sum(len(p) > 1 for p in hierarchy.parents),
    'max_depth': hierarchy.max_depth,
    'classes_by_depth': [depths[d] for d in sorted(depths)],
    'max_children': max(children, default=0),
    'max_children_of': (
      None
      if largest is None or not children[largest]
      else hierarchy.names[largest]
    ),
    'orphans': _named(orphans, hierarchy),
  }


def _named(ids, hierarchy):
  """Returns how many ids there are, and the first of them with their names."""
  shown = ids[:_LISTED_NAMES]
  return {'count': len(ids), 'first': [[c, hierarchy.names[c]] for c in shown]}


def _spread(histogram):
  """Returns mean, median and largest value of {value: how often}."""
  count = sum(histogram.values())
  values = sorted(histogram)
  total = sum(v * histogram[v] for v in values)
  return {
    'total': total,
    'mean': total / count if count else None,
    'median': _median(histogram, values, count) if count else None,
    'max': values[-1] if values else None,
    'histogram': [[v, histogram[v]] for v in values],
  }


def _median(histogram, values, count):
  """The middle one of `count` values, or the mean of the two in the middle."""
  below, middle = 0, []
  for value in values:
    below += histogram[value]
    if not middle and 2 * below >= count:
      middle.append(value)
    if 2 * below > count:
      middle.append(value)
      break
  return sum(middle) / 2


def _by_depth(stats, hierarchy, has_given):
  levels = [
    {'depth': d, 'classes': 0, 'given': 0, 'added': 0, 'filled': 0}
    for d in range(hierarchy.max_depth + 1 if hierarchy.num_classes else 0)
  ]
  for c in range(hierarchy.num_classes):
    levels[hierarchy.depth(c)]['classes'] += 1
  for kind in ('given', 'added', 'filled'):
    for c, count in getattr(stats, kind).items():
      levels[hierarchy.depth(c)][kind] += count
  if not has_given:
    for level in levels:
      level['given'] = level['added'] = None
  return levels


def _frequencies(counter, hierarchy):
  """Returns the long tail, the head and the curve of {category: pictures}."""
  num_classes = hierarchy.num_classes
  # Of equally frequent categories the one with the smaller id comes first.
  order = sorted(counter, key=lambda c: (-counter[c], c))
  total = sum(counter.values())
  top = math.ceil(_TOP_SHARE * num_classes)
  few = sum(n < FEW for n in counter.values())
  some = sum(n < SOME for n in counter.values())
  unseen = num_classes - len(counter)
  rows = lambda ids: [[c, hierarchy.names[c], counter[c]] for c in ids]
  return {
    'seen': len(counter),
    'none': unseen,
    f'below_{FEW}': unseen + few,
    f'below_{SOME}': unseen + some,
    'top_1_percent': {
      'classes': top,
      'share': sum(counter[c] for c in order[:top]) / total if total else None,
    },
    'most_frequent': rows(order[:_LISTED]),
    'rarest': rows(order[::-1][:_LISTED]),
    'curve': [[r, counter[order[r - 1]]] for r in _ranks(len(order))],
  }


def _ranks(count):
  """Returns ranks from 1 to `count`, at most _RANKS, evenly in the log."""
  if count <= _RANKS:
    return list(range(1, count + 1))
  last = _RANKS - 1
  return sorted({round(count ** (i / last)) for i in range(_RANKS)})


def _check_ids(split, stats, hierarchy):
  found = {*stats.given, *stats.filled}
  if not found:
    return
  for wrong in (min(found), max(found)):
    if not 0 <= wrong < hierarchy.num_classes:
      raise ValueError(
        f'Split {split!r} has the label id {wrong}, but the ids are '
        f'0..{hierarchy.num_classes - 1}: the records belong to another label '
        'space; build them again.'
      )
