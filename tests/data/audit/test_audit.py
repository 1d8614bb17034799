import itertools
import json

import pytest

from official_repro.data import audit as audit_lib
from official_repro.data import manifest, records
from official_repro.data.audit import counts as label_counts
from official_repro.data.audit import stats as label_stats
from official_repro.data.examples import Example
from official_repro.data.hierarchy import Hierarchy

LabelStats = label_stats.LabelStats

# food > fruit > apple, pear; rock and moss stand alone.
SPACE = Hierarchy(
  range(6),
  ['food', 'fruit', 'apple', 'rock', 'pear', 'moss'],
  [(), (0,), (1,), (), (1,), ()],
  [1.0] * 6,
)
# (given, filled, stored bytes, bytes of the file)
PICTURES = (
  ([2], [0, 1, 2], 10, 20),
  ([3, 1], [0, 1, 3], 30, 40),
  ([0, 2], [0, 1, 2], 5, 5),  # food is an ancestor of apple
  ([], [], 5, 15),
)


def count(pictures=PICTURES, hierarchy=SPACE):
  stats = LabelStats(hierarchy)
  for given, filled, encoded, source in pictures:
    stats.add(given, filled, encoded_bytes=encoded, source_bytes=source)
  return stats


def flat(num_classes):
  return Hierarchy.flat([f'c{i}' for i in range(num_classes)])


def with_counts(counts):
  """Stats of pictures with one label each, counts[c] of category c."""
  stats = LabelStats()
  for c, n in enumerate(counts):
    for _ in range(n):
      stats.add([c], [c], encoded_bytes=1)
  return stats


def split_of(stats, hierarchy=SPACE, **kwargs):
  return audit_lib.audit({'train': stats}, hierarchy, **kwargs)['splits'][
    'train'
  ]


def test_counts_by_hand():
  stats = count()
  assert (stats.records, stats.encoded_bytes, stats.source_bytes) == (4, 50, 80)
  assert stats.given == {2: 2, 3: 1, 1: 1, 0: 1}
  assert stats.filled == {0: 3, 1: 3, 2: 2, 3: 1}
  assert stats.added == {0: 2, 1: 2}
  assert stats.given_per_image == {1: 1, 2: 2, 0: 1}
  assert stats.filled_per_image == {3: 3, 0: 1}
  assert stats.redundant == 1


def test_a_label_listed_twice_counts_once():
  stats = count([([2, 2], [0, 1, 2, 2], 1, 1)])
  assert stats.given == {2: 1}
  assert stats.given_per_image == {1: 1}
  assert stats.filled_per_image == {3: 1}
  assert stats.redundant == 0


@pytest.mark.parametrize('order', itertools.permutations(range(4), 4))
def test_parts_in_any_order_add_up_to_the_whole(order):
  whole = LabelStats()
  for i in order:
    part = count([PICTURES[i]])
    part.damaged = i
    restored = LabelStats.from_json(json.loads(json.dumps(part.to_json())))
    assert whole.merge(restored) is whole
  expected = count()
  expected.damaged = 6
  assert whole.to_json() == expected.to_json()


def test_what_one_part_does_not_know_the_whole_does_not_know():
  unknown = LabelStats()  # no hierarchy, no size of the file
  unknown.add([0, 2], [0, 1, 2], encoded_bytes=1)
  assert (unknown.source_bytes, unknown.redundant) == (None, None)
  merged = count().merge(unknown)
  assert (merged.source_bytes, merged.redundant) == (None, None)
  assert merged.records == 5
  result = split_of(merged)
  assert result['bytes_before'] is result['bytes_ratio'] is None
  assert result['redundant_given'] is None


@pytest.mark.parametrize(
  'value', [{}, [], {**LabelStats().to_json(), 'given': 3}, None]
)
def test_what_is_no_counts_is_refused(value):
  with pytest.raises(ValueError, match='These are no label counts'):
    LabelStats.from_json(value)


def test_audit_of_a_split_by_hand():
  result = split_of(count(), bad={'train': 3})
  assert (result['records'], result['bad'], result['damaged']) == (4, 3, 0)
  assert (result['bytes_before'], result['bytes_after']) == (80, 50)
  assert result['bytes_ratio'] == 0.625
  assert (result['redundant_given'], result['labels_added']) == (1, 4)
  # Given: 0, 1, 2, 2 labels; filled in: 0, 3, 3, 3.
  assert result['labels_per_image'] == {
    'given': {
      'total': 5,
      'mean': 1.25,
      'median': 1.5,
      'max': 2,
      'histogram': [[0, 1], [1, 1], [2, 2]],
    },
    'filled': {
      'total': 9,
      'mean': 2.25,
      'median': 3.0,
      'max': 3,
      'histogram': [[0, 1], [3, 3]],
    },
  }
  # Depth 0: food, rock, moss; depth 1: fruit; depth 2: apple, pear.
  assert result['by_depth'] == [
    {'depth': 0, 'classes': 3, 'given': 2, 'added': 2, 'filled': 4},
    {'depth': 1, 'classes': 1, 'given': 1, 'added': 2, 'filled': 3},
    {'depth': 2, 'classes': 2, 'given': 2, 'added': 0, 'filled': 2},
  ]
  given, filled = (result['classes'][k] for k in ('given', 'filled'))
  assert (given['seen'], given['none']) == (4, 2)
  assert given['most_frequent'][0] == [2, 'apple', 2]
  # 1% of 6 categories is rounded up to one: apple 2 of 5, food 3 of 9.
  assert given['top_1_percent'] == {'classes': 1, 'share': 0.4}
  assert filled['top_1_percent']['share'] == pytest.approx(1 / 3)
  assert filled['most_frequent'] == [
    [0, 'food', 3],
    [1, 'fruit', 3],
    [2, 'apple', 2],
    [3, 'rock', 1],
  ]
  assert filled['rarest'] == filled['most_frequent'][::-1]
  assert filled['curve'] == [[1, 3], [2, 3], [3, 2], [4, 1]]


def test_audit_of_the_label_space():
  report = audit_lib.audit(
    {'train': count(), 'test': count([([5], [5], 1, 1)])},
    SPACE,
    info={'source': 'csv'},
  )
  assert report['hierarchy'] == {
    'num_classes': 6,
    'edges': 3,
    'flat': False,
    'roots': 3,
    'leaves': 4,
    'several_parents': 0,
    'max_depth': 2,
    'classes_by_depth': [3, 1, 2],
    'max_children': 2,
    'max_children_of': 'fruit',
    'orphans': {'count': 2, 'first': [[3, 'rock'], [5, 'moss']]},
  }
  # Moss is in the split test.
  assert report['unseen'] == {'count': 1, 'first': [[4, 'pear']]}
  assert report['name'] == 'csv'
  assert report['splits']['test']['bad'] is None
  json.dumps(report)


def test_the_long_tail_counts_below_20_and_below_100():
  classes = split_of(with_counts([100, 99, 20, 19, 0]), flat(5))['classes']
  assert classes['given'] == classes['filled']
  assert classes['filled']['none'] == 1
  assert classes['filled']['below_20'] == 2  # 19 and 0
  assert classes['filled']['below_100'] == 4  # all but the first


def test_head_and_tail_list_twenty_categories():
  classes = split_of(with_counts(range(1, 151)), flat(150))['classes']
  head, tail = (classes['filled'][k] for k in ('most_frequent', 'rarest'))
  assert [n for _, _, n in head] == list(range(150, 130, -1))
  assert [n for _, _, n in tail] == list(range(1, 21))
  # The top 1% are two of 150: 150 + 149 of 150 * 151 / 2 labels.
  top = classes['filled']['top_1_percent']
  assert top == {'classes': 2, 'share': pytest.approx(299 / 11325)}


def test_a_long_curve_keeps_its_ends_and_stays_short():
  stats = LabelStats()
  stats.records = 1
  stats.filled.update({c: 20_000 - c for c in range(18_291)})
  curve = split_of(stats, flat(18_291))['classes']['filled']['curve']
  assert len(curve) <= 300
  assert curve[0] == [1, 20_000]
  assert curve[-1] == [18_291, 20_000 - 18_290]
  assert all(n == 20_001 - rank for rank, n in curve)


def test_labels_that_were_not_stored_as_given_are_unknown():
  stats = LabelStats(SPACE)
  stats.add([], [0, 1, 2], encoded_bytes=1)
  result = split_of(stats)
  assert result['labels_per_image']['given'] is None
  assert result['classes']['given'] is None
  assert result['labels_added'] is result['redundant_given'] is None
  assert result['by_depth'][0]['added'] is None
  assert result['labels_per_image']['filled']['mean'] == 3


def test_a_split_without_labels_or_pictures():
  no_labels = split_of(count([([], [], 1, 1)]))
  assert no_labels['labels_per_image']['given']['mean'] == 0
  assert no_labels['classes']['filled']['top_1_percent']['share'] is None
  nothing = split_of(LabelStats())
  assert nothing['labels_per_image']['filled']['mean'] is None


def test_labels_of_another_label_space_are_refused():
  stats = count([([9], [9], 1, 1)], hierarchy=None)
  with pytest.raises(ValueError, match=r"'train' has the label id 9.*0\.\.5"):
    audit_lib.audit({'train': stats}, SPACE)


def write_folder(folder, splits, hierarchy=SPACE, num_shards=2, **kwargs):
  """Writes {split: [(source id, given ids, filled ids or None)]}."""
  shards = {}
  for split, pictures in splits.items():
    with records.RecordWriter(folder, split, num_shards) as writer:
      for source_id, given, filled in pictures:
        filled = hierarchy.fill(given) if filled is None else filled
        image = kwargs.get('image', b'12345')
        writer.write(Example(image, 1, 1, source_id, filled, list(given)))
    shards[split] = writer.shards
  manifest.write_manifest(
    folder, name='toy', hierarchy=hierarchy, splits=shards, info={'a': 1}
  )
  return shards


def test_counting_a_folder(tmp_path):
  pictures = [(f'p{i}', p[0], p[1]) for i, p in enumerate(PICTURES)]
  write_folder(tmp_path, {'train': pictures, 'test': [('q', [4], None)]})
  stats = label_counts.count_folder(tmp_path, processes=1)
  expected = count()
  assert set(stats) == {'train', 'test'}
  for name in ('given', 'added', 'filled', 'given_per_image', 'redundant'):
    assert getattr(stats['train'], name) == getattr(expected, name)
  assert stats['train'].encoded_bytes == 4 * 5
  assert stats['train'].source_bytes is None
  assert stats['test'].filled == {0: 1, 1: 1, 4: 1}


def test_counting_goes_past_damage(tmp_path):
  shards = write_folder(
    tmp_path, {'train': [(f'p{i}', [2], None) for i in range(6)]}
  )
  shard = shards['train'][1]
  data = bytearray(shard.path.read_bytes())
  data[shard.offsets()[1] + 20] ^= 1
  shard.path.write_bytes(data)
  stats = label_counts.count_folder(tmp_path, processes=1)['train']
  assert (stats.records, stats.damaged) == (5, 1)


def test_a_folder_built_again_is_counted_again(tmp_path):
  for n in (1, 3):
    write_folder(tmp_path, {'train': [(f'{i}', [2], None) for i in range(n)]})
    assert (
      label_counts.count_folder(tmp_path, processes=1)['train'].records == n
    )
