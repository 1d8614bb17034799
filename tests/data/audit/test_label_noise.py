import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that, equal_to

from official_repro.data import engine
from official_repro.data.audit import noise as label_noise
from official_repro.data.mini import MiniJft
from tests.data.audit.test_audit import SPACE, write_folder

# food 0 > fruit 1 > apple 2, pear 4; rock 3.
NOISY = [
  ('a', ([2], [0, 1, 2])),
  ('b', ([3], [3])),
  ('c', ([2], [0, 1, 2])),  # not in the clean split
]
CLEAN = [
  ('a', ([2, 3], [0, 1, 2, 3])),
  ('b', ([4], [0, 1, 4])),
  ('d', ([4], [0, 1, 4])),  # not in the noisy split
]
ROWS = [
  ['pictures', -1, 2],
  ['unmatched', -1, 1],
  ['precision trials', 2, 1],
  ['precision trials', 3, 1],
  ['precision hits', 2, 1],
  ['recall trials', 0, 2],
  ['recall trials', 1, 2],
  ['recall trials', 2, 1],
  ['recall trials', 3, 1],
  ['recall trials', 4, 1],
  ['recall hits', 0, 1],
  ['recall hits', 1, 1],
  ['recall hits', 2, 1],
  # Sums over the pictures of squares and products, at depth d or, -1, in all.
  # Given: a has 1 hit of 1 (apple, depth 2), b 0 of 1 (rock, depth 0).
  ['precision hh', -1, 1],
  ['precision ht', -1, 1],
  ['precision tt', -1, 2],
  ['precision hh', 2, 1],
  ['precision ht', 2, 1],
  ['precision tt', 2, 1],
  ['precision hh', 0, 0],
  ['precision ht', 0, 0],
  ['precision tt', 0, 1],
  # True: a has 3 of 4 (depth 0: 1 of 2), b 0 of 3 (one at each depth).
  ['recall hh', -1, 9],
  ['recall ht', -1, 12],
  ['recall tt', -1, 16 + 9],
  ['recall hh', 0, 1],
  ['recall ht', 0, 2],
  ['recall tt', 0, 4 + 1],
  ['recall hh', 1, 1],
  ['recall ht', 1, 1],
  ['recall tt', 1, 2],
  ['recall hh', 2, 1],
  ['recall ht', 2, 1],
  ['recall tt', 2, 2],
]


def test_compare_joins_by_source_id():
  with TestPipeline(runner=engine.local_runner()) as pipeline:
    noisy = pipeline | 'Noisy' >> beam.Create(NOISY)
    clean = pipeline | 'Clean' >> beam.Create(CLEAN)
    assert_that(label_noise.compare(noisy, clean, SPACE), equal_to(ROWS))


def test_estimate_by_hand():
  result = label_noise.estimate(reversed(ROWS), SPACE)
  assert (result['pictures'], result['unmatched']) == (2, 1)
  # Right: apple of a; wrong: rock of b.
  assert result['precision']['share'] == 0.5
  # Of a, food, fruit and apple are found but not rock; of b nothing of three.
  assert (result['recall']['hits'], result['recall']['trials']) == (3, 7)
  shares = [
    (r['depth'], r['precision']['share'], r['recall']['share'])
    for r in result['by_depth']
  ]
  assert shares == [
    (0, 0.0, pytest.approx(1 / 3)),  # rock; food of a, not rock, food of b
    (1, None, 0.5),
    (2, 1.0, 0.5),
  ]
  assert [(r['id'], r['name']) for r in result['worst']] == [(3, 'rock')]


def test_the_surely_bad_come_before_the_perhaps_bad():
  rows = [
    ('precision trials', 2, 1),
    ('precision trials', 3, 100),
    ('precision hits', 3, 30),
  ]
  worst = label_noise.estimate(rows, SPACE)['worst']
  # None of 1 right: up to 79%. 30 of 100 right: at most 40%.
  assert [r['name'] for r in worst] == ['rock', 'apple']


def test_wilson_interval():
  # (8 + 1.92) / (10 + 3.84) -+ 1.96 / 13.84 * sqrt(8 * 2 / 10 + .96)
  result = label_noise.wilson(8, 10)
  assert result['share'] == 0.8
  assert result['low'] == pytest.approx(0.490162, abs=1e-6)
  assert result['high'] == pytest.approx(0.943318, abs=1e-6)
  assert label_noise.wilson(5, 5)['high'] == 1.0
  assert label_noise.wilson(0, 5)['low'] == 0.0
  nothing = label_noise.wilson(0, 0)
  assert (nothing['share'], nothing['low'], nothing['high']) == (None, 0, 1)


def test_labels_of_one_picture_count_less():
  # 10 pictures of 4 labels, 8 all right and 2 all wrong: as 10 labels.
  effect = label_noise.design_effect(32, 40, hh=8 * 16, ht=8 * 16, tt=160)
  assert effect == pytest.approx(4)
  result, ten = label_noise.wilson(32, 40, effect), label_noise.wilson(8, 10)
  assert result['low'] == pytest.approx(ten['low'])
  assert result['high'] == pytest.approx(ten['high'])
  # 1 label each is independent: h * h = h * t = h.
  assert label_noise.design_effect(8, 10, 8, 8, 10) == pytest.approx(1)
  # Each picture 3 of 4: less spread than by chance, and no credit for it.
  assert label_noise.design_effect(30, 40, 90, 120, 160) == 1
  # All right: 10 pictures, not 40 labels.
  assert label_noise.design_effect(40, 40, 160, 160, 160) == 4
  assert label_noise.design_effect(0, 0, 0, 0, 0) == 1


def test_intervals_hold_the_truth_as_often_as_they_say():
  generator = MiniJft(noise=0.2)
  space = generator.hierarchy
  depths = [space.depth(c) for c in range(space.num_classes)]
  contents = [generator.content(i) for i in range(6000)]
  results = []
  for start in range(0, 6000, 100):
    rows = []
    for i, c in enumerate(contents[start : start + 100]):
      labels = {
        'noisy': [(c.given, space.fill(c.given))],
        'clean': [((), c.true)],
      }
      for key, n in label_noise.compare_labels((str(i), labels), depths):
        rows.append((*key, n))
    results.append(label_noise.estimate(rows, space))
  for measure in ('precision', 'recall'):
    shares = [r[measure] for r in results]
    true = sum(s['hits'] for s in shares) / sum(s['trials'] for s in shares)
    inside = sum(s['low'] < true < s['high'] for s in shares)
    # 57 of 60 are expected; fewer than 52 happen once in a thousand times.
    assert inside >= 52, measure


def test_a_source_id_that_occurs_twice_is_an_error():
  joined = ('a', {'noisy': [NOISY[0][1]] * 2, 'clean': []})
  with pytest.raises(ValueError, match="'a' occurs twice"):
    list(label_noise.compare_labels(joined, [0, 1, 2]))


@pytest.fixture(scope='module')
def mini(tmp_path_factory):
  """A folder of 4,000 pictures, 1,000 of them in the clean split, and truth."""
  folder = tmp_path_factory.mktemp('mini')
  generator = MiniJft(noise=0.2)
  contents = [generator.content(i) for i in range(4000)]
  rows = [(f'{i}', c.given, None) for i, c in enumerate(contents)]
  clean = [(f'{i}', c.true, None) for i, c in enumerate(contents) if i % 4 == 0]
  splits = {'train': rows, 'clean': clean, 'other': [('x', [0], None)]}
  write_folder(folder, splits, generator.hierarchy)
  hits = sum(len(set(c.given) & set(c.true)) for c in contents)
  found = sum(
    len(set(generator.hierarchy.fill(c.given)) & set(c.true)) for c in contents
  )
  return folder, {
    'precision': hits / sum(len(c.given) for c in contents),
    'recall': found / sum(len(c.true) for c in contents),
  }


def test_the_estimate_on_mini_jft_holds_the_truth(mini):
  folder, truth = mini
  result = label_noise.noise_estimate(folder, processes=1)
  assert (result['noisy_split'], result['clean_split']) == ('train', 'clean')
  assert (result['pictures'], result['unmatched']) == (1000, 0)
  for name, true in truth.items():
    share = result[name]
    assert share['low'] < true < share['high'], name
    # Narrow enough to say something.
    assert share['high'] - share['low'] < 0.05
  # The generator was asked for a fifth of wrong labels.
  assert result['precision']['low'] < 0.8 < result['precision']['high']
  assert (
    sum(r['precision']['trials'] for r in result['by_depth'])
    == (result['precision']['trials'])
  )
  assert len(result['worst']) == 20


def test_splits_without_a_common_picture(mini, capsys, tmp_path):
  folder, _ = mini
  with pytest.raises(ValueError, match="No picture of split 'other' .*'train'"):
    label_noise.noise_estimate(folder, 'train', 'other', processes=1)
  with pytest.raises(ValueError, match='must be another one'):
    label_noise.noise_estimate(folder, 'train', 'train', processes=1)
  splits = {'train': [('a', [0], None)], 'clean': [('b', [0], None)]}
  write_folder(tmp_path, splits)
  assert label_noise.default_estimate(tmp_path, processes=1) is None
  assert 'No estimate of the label noise' in capsys.readouterr().err


def test_without_a_clean_split_there_is_no_estimate(tmp_path):
  write_folder(tmp_path, {'train': [('a', [0], None)]})
  assert label_noise.default_estimate(tmp_path, processes=1) is None


def test_pictures_built_without_fill_in_are_filled_for_the_recall(tmp_path):
  splits = {
    'train': [('a', [2], [2])],
    'clean': [('a', [2], [2])],
  }
  write_folder(tmp_path, splits)
  result = label_noise.noise_estimate(tmp_path, processes=1)
  assert (result['recall']['hits'], result['recall']['trials']) == (3, 3)
