"""The tables of a data set's report, as text ready to print."""

import dataclasses
from collections.abc import Sequence

from official_repro.data.audit.findings import FEW, SOME

UNKNOWN = '-'


@dataclasses.dataclass(frozen=True)
class Table:
  """A table.

  Attributes:
    header: names of the columns.
    rows: sequences of text, one text per column; what follows a line break
      explains the first line.
    caption: what it shows.
    text_columns: columns that hold words; the others hold numbers.
  """

  header: Sequence[str]
  rows: Sequence[Sequence[str]]
  caption: str = ''
  text_columns: tuple = (0,)


def key_numbers(report: dict) -> list:
  """Returns [(value, what it is)], the most telling numbers."""
  splits = report['splits'].values()
  name, main = main_split(report)
  per_image = main['labels_per_image']
  given = per_image['given'] and per_image['given']['mean']
  before = [s['bytes_before'] for s in splits]
  after = sum(s['bytes_after'] for s in splits)
  numbers = [
    (count(sum(s['records'] for s in splits)), 'pictures in all splits'),
    (count(report['hierarchy']['num_classes']), 'categories'),
    (
      f'{mean(given)} → {mean(per_image["filled"]["mean"])}',
      f'labels of a picture of {name}: given → filled in',
    ),
    (size(after), _stored(before, after)),
  ]
  bad = [s['bad'] for s in splits]
  if None not in bad:
    numbers.append((count(sum(bad)), 'bad images left out'))
  if report['noise']:
    precision = report['noise']['precision']
    wrong = None if precision['share'] is None else 1 - precision['share']
    numbers.append((percent(wrong), 'of the given labels are wrong (estimate)'))
  return numbers


def splits(report: dict) -> Table:
  """Returns a row for each split."""
  rows = []
  for name, s in report['splits'].items():
    given, filled = (s['labels_per_image'][k] for k in ('given', 'filled'))
    none = dict(map(tuple, filled['histogram'])).get(0, 0)
    rows.append(
      (
        name,
        count(s['records']),
        _spread(given),
        _spread(filled),
        count(none),
        size(s['bytes_before']),
        size(s['bytes_after']),
        percent(s['bytes_ratio']),
        count(s['bad']),
        count(s['damaged']),
      )
    )
  header = (
    'split',
    'pictures',
    'labels given',
    'labels filled in',
    'without label',
    'original files',
    'stored',
    'of original',
    'left out',
    'damaged',
  )
  return Table(
    header,
    rows,
    'Labels of a picture: mean / median / most. Sizes are of the pictures '
    'alone. Left out: bad images that the build refused. Damaged: records '
    'that cannot be read now.',
  )


def beside_paper(report: dict) -> Table:
  """Returns our numbers beside JFT-300M's (design notes, section 1)."""
  name, s = main_split(report)
  space = report['hierarchy']
  given = s['labels_per_image']['given']
  classes = s['classes']['given'] or s['classes']['filled']
  tail = lambda bound: share_of(classes[f'below_{bound}'], space['num_classes'])
  noise = report['noise']
  precision = noise['precision'] if noise else None
  recall = share(noise['recall']) if noise else UNKNOWN
  rows = [
    (f'pictures\nof {name}', count(s['records']), '300M'),
    ('labels\ngiven', count(given and given['total']), '375M'),
    ('labels per picture\ngiven', mean(given and given['mean']), '1.26†'),
    ('categories\nin the label space', count(space['num_classes']), '18,291'),
    ('rare categories\n' + _below(SOME), tail(SOME), '> 3,000† (16%)'),
    ('rarest categories\n' + _below(FEW), tail(FEW), '~ 2,000† (11%)'),
    ('depth\nlongest way from a root', count(space['max_depth']), '12†'),
    (
      'children\nof one category, at most',
      count(space['max_children']),
      '2,876†',
    ),
    ('wrong labels\nof the given ones', wrong(precision), 'about 20%†'),
    ('recall\nof all that is true', recall, 'not known'),
  ]
  return Table(('', 'here', 'JFT-300M'), rows)


def long_tail(split: dict) -> Table:
  """Returns the number of categories with few pictures."""
  kinds = [k for k in ('given', 'filled') if split['classes'][k]]
  values = [split['classes'][k] for k in kinds]
  total = values[0]['seen'] + values[0]['none']
  rows = [
    (what, *(share_of(v[key], total) for v in values))
    for what, key in (
      ('no picture', 'none'),
      (f'fewer than {FEW}', f'below_{FEW}'),
      (f'fewer than {SOME}', f'below_{SOME}'),
    )
  ]
  top = values[0]['top_1_percent']['classes']
  noun = '1 category' if top == 1 else f'{top:,} categories'
  rows.append(
    (
      f'labels on the top 1% ({noun})',
      *(percent(v['top_1_percent']['share']) for v in values),
    )
  )
  header = (
    'pictures',
    *({'given': 'given', 'filled': 'filled in'}[k] for k in kinds),
  )
  return Table(
    header,
    rows,
    f'Long tail: categories, of {total:,}, with so many pictures.',
  )


def by_depth(split: dict) -> Table:
  """Returns the labels of each level."""
  keys = ('depth', 'classes', 'given', 'added', 'filled')
  rows = [[count(level[k]) for k in keys] for level in split['by_depth']]
  return Table(
    ('depth', 'categories', 'given', 'added', 'in the end'),
    rows,
    'Labels by level of the hierarchy; depth 0 are the roots.',
    (),
  )


def most_frequent(split: dict) -> Table:
  """Returns the most frequent categories."""
  return _ranking(split, 'most_frequent', 'Most frequent.')


def rarest(split: dict) -> Table:
  """Returns the rarest categories that have a picture."""
  return _ranking(split, 'rarest', 'Rarest that have a picture.')


def hierarchy(space: dict) -> Table:
  """Returns the numbers of the label space."""
  most = space['max_children_of']
  rows = [
    ('categories', count(space['num_classes'])),
    ('roots', count(space['roots'])),
    ('leaves', count(space['leaves'])),
    ('parent links', count(space['edges'])),
    ('categories with several parents', count(space['several_parents'])),
    ('largest depth', count(space['max_depth'])),
    (
      f'most children{f" ({most})" if most else ""}',
      count(space['max_children']),
    ),
  ]
  return Table(('', ''), rows)


def classes_by_depth(space: dict) -> Table:
  """Returns the number of categories at each depth."""
  rows = [
    (count(depth), count(number))
    for depth, number in enumerate(space['classes_by_depth'])
  ]
  return Table(('depth', 'categories'), rows, '', ())


def noise_in_all(noise: dict) -> Table:
  """Returns precision and recall over all labels."""
  rows = [
    (
      what,
      percent(noise[key]['share']),
      interval(noise[key]),
      f'{noise[key]["hits"]:,} of {noise[key]["trials"]:,}',
    )
    for what, key in (
      ('precision of the given labels', 'precision'),
      ('recall of the filled-in labels', 'recall'),
    )
  ]
  return Table(('', 'share', '95% interval', 'labels'), rows)


def noise_by_depth(noise: dict) -> Table:
  """Returns precision and recall of each level."""
  rows = [
    (count(r['depth']), share(r['precision']), share(r['recall']))
    for r in noise['by_depth']
  ]
  return Table(('depth', 'precision', 'recall'), rows, 'By level.', ())


def noise_worst(noise: dict) -> Table:
  """Returns the categories whose given labels are surest to be wrong."""
  rows = [
    (
      r['name'],
      f'{r["precision"]["hits"]:,} of {r["precision"]["trials"]:,}',
      interval(r['precision']),
      percent(r['recall']['share']),
    )
    for r in noise['worst']
  ]
  return Table(
    ('category', 'right', 'precision', 'recall'),
    rows,
    'Worst categories, smallest upper bound of the precision first.',
  )


def main_split(report: dict) -> tuple:
  """Returns (name, split): `train`, or else the one with most pictures."""
  found = report['splits']
  if 'train' in found:
    return 'train', found['train']
  return max(found.items(), key=lambda item: item[1]['records'])


def count(value) -> str:
  """1234567 -> '1,234,567'; None -> '-'."""
  return UNKNOWN if value is None else f'{value:,}'


def mean(value) -> str:
  """1.2649 -> '1.26'; None -> '-'."""
  return UNKNOWN if value is None else f'{value:,.2f}'


def percent(value) -> str:
  """.1234 -> '12.3%'; None -> '-'."""
  return UNKNOWN if value is None else f'{100 * value:.1f}%'


def size(value) -> str:
  """1234567 bytes -> '1.2 MB'; None -> '-'."""
  if value is None:
    return UNKNOWN
  for unit, name in ((1e12, 'TB'), (1e9, 'GB'), (1e6, 'MB'), (1e3, 'kB')):
    if value >= unit:
      return f'{value / unit:,.1f} {name}'
  return f'{value:,} B'


def share_of(value: int, total: int) -> str:
  """12, 48 -> '12 (25.0%)'."""
  return f'{value:,} ({percent(value / total if total else None)})'


def interval(share_: dict) -> str:
  """Returns the interval of a `wilson` result, e.g. '75.0 to 85.0%'."""
  return f'{100 * share_["low"]:.1f} to {100 * share_["high"]:.1f}%'


def share(share_: dict) -> str:
  """Returns a `wilson` result, e.g. '80.0% (75.0 to 85.0%)'."""
  if share_['share'] is None:
    return UNKNOWN
  return f'{percent(share_["share"])} ({interval(share_)})'


def wrong(precision) -> str:
  """Returns what is missing to a precision, e.g. '20.0% (15.0 to 25.0%)'."""
  if not precision or precision['share'] is None:
    return UNKNOWN
  return share(
    {
      'share': 1 - precision['share'],
      'low': 1 - precision['high'],
      'high': 1 - precision['low'],
    }
  )


def _below(bound):
  return f'fewer than {bound} pictures, or none'


def _spread(spread):
  if spread is None or spread['mean'] is None:
    return UNKNOWN
  return f'{mean(spread["mean"])} / {spread["median"]:g} / {spread["max"]}'


def _ranking(split, key, caption):
  classes = split['classes']['filled']
  rows = [(name, count(c), count(n)) for c, name, n in classes[key]]
  return Table(('category', 'id', 'pictures'), rows, caption)


def _stored(before, after):
  if not before or None in before or not sum(before):
    return 'of stored pictures'
  return f'of stored pictures; {size(sum(before))} before'
