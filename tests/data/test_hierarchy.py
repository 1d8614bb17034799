import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from official_repro.data.hierarchy import Hierarchy, nearest_name

# food (0) <- fruit (1) <- apple (2); plant (3) <- apple; rock (4)
NAMES = ['food', 'fruit', 'apple', 'plant', 'rock']
PARENTS = [(), (0,), (1, 3), (), ()]
HEADER = 'id\tname\tparent_ids\tweight\n'


def make():
  return Hierarchy(range(5), NAMES, PARENTS, [1, 2, 3, 4, 0.1])


def write(tmp_path, body, header=HEADER):
  path = tmp_path / 'labels.tsv'
  path.write_text(header + body, encoding='utf-8')
  return path


def random_hierarchy(num_classes, seed=0, max_depth=12):
  """Every category but ten has one or two parents with a smaller id."""
  rng = np.random.default_rng(seed)
  parents, depth = [()] * 10, [0] * 10
  while len(parents) < num_classes:
    of = {int(p) for p in rng.integers(0, len(parents), rng.integers(1, 3))}
    of = tuple(p for p in of if depth[p] < max_depth)
    parents.append(of)
    depth.append(max((depth[p] + 1 for p in of), default=0))
  names = [f'c{i}' for i in range(num_classes)]
  return Hierarchy(range(num_classes), names, parents, [1.0] * num_classes)


def random_labels(rng, num_images, num_classes):
  lengths = rng.integers(0, 4, num_images)
  splits = np.concatenate([[0], np.cumsum(lengths)])
  return rng.integers(0, num_classes, splits[-1]), splits


def calls(function):
  """Returns how often functions of Python and C are called within `function`.

  Stands in for the time, which depends on the machine and its other work.
  """
  count = 0

  def on_event(frame, event, argument):
    nonlocal count
    count += event in ('call', 'c_call')

  before = sys.getprofile()
  sys.setprofile(on_event)
  try:
    function()
  finally:
    sys.setprofile(before)
  return count


def test_relations():
  h = make()
  assert h.num_classes == 5
  assert h.names == NAMES
  assert h.parents == PARENTS
  assert h.weights.dtype == np.float32
  np.testing.assert_allclose(h.weights, [1, 2, 3, 4, 0.1])
  assert h.ancestors(2) == (0, 1, 3)
  assert h.ancestors(0) == ()
  assert h.descendants(0) == (1, 2)
  assert h.descendants(2) == ()
  assert h.children(0) == (1,)
  assert h.children(3) == (2,)
  assert h.index('plant') == 3
  # apple: the longest path is food > fruit > apple.
  assert [h.depth(i) for i in range(5)] == [0, 1, 2, 0, 0]
  assert h.max_depth == 2


def test_fill_of_one_list():
  h = make()
  assert h.fill([2]) == [0, 1, 2, 3]
  assert h.fill([4, 1, 1]) == [0, 1, 4]
  assert h.fill([]) == []
  assert h.fill(np.array([1])) == [0, 1]


def test_rows_may_come_in_any_order():
  order = [3, 0, 2, 1, 4]
  h = Hierarchy(
    order, [NAMES[i] for i in order], [PARENTS[i] for i in order], [1.0] * 5
  )
  assert h.names == NAMES
  assert h.parents == PARENTS


def test_weights_cannot_be_changed():
  with pytest.raises(ValueError, match='read-only'):
    make().weights[0] = 5


def test_save_and_load_are_inverse(tmp_path):
  h = make()
  path = tmp_path / 'labels.tsv'
  h.save(path)
  assert path.read_text().splitlines()[3] == '2\tapple\t1,3\t3.0'
  loaded = Hierarchy.load(path)
  assert (loaded.names, loaded.parents) == (h.names, h.parents)
  np.testing.assert_array_equal(loaded.weights, h.weights)
  assert loaded.hash() == h.hash()
  assert [p.name for p in tmp_path.iterdir()] == ['labels.tsv']


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / 'labels.tsv'
  make().save(path)
  before = path.read_bytes()

  def full(*_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr('os.replace', full)
  with pytest.raises(OSError, match='No space left'):
    Hierarchy.flat(['a']).save(path)
  assert [p.name for p in tmp_path.iterdir()] == ['labels.tsv']
  assert path.read_bytes() == before


def test_hash_is_of_names_and_parents():
  h = make()
  other_weights = Hierarchy(range(5), NAMES, PARENTS, [7.0] * 5)
  assert other_weights.hash() == h.hash()
  assert len(h.hash()) == 64
  renamed = Hierarchy(range(5), [*NAMES[:4], 'stone'], PARENTS, [1.0] * 5)
  moved = Hierarchy(range(5), NAMES, [*PARENTS[:4], (3,)], [1.0] * 5)
  assert len({h.hash(), renamed.hash(), moved.hash()}) == 3


def test_flat():
  h = Hierarchy.flat(['b', 'a'])
  assert h.names == ['b', 'a']
  assert h.fill([1]) == [1]
  assert h.weights.tolist() == [1, 1]
  assert h.max_depth == 0


def test_windows_line_ends_and_byte_order_mark(tmp_path):
  path = tmp_path / 'labels.tsv'
  text = '\ufeff' + HEADER + '0\tä "b", c\t\t1\n1\tx\t0\t.5\n'
  path.write_bytes(text.replace('\n', '\r\n').encode('utf-8'))
  h = Hierarchy.load(path)
  assert h.names == ['ä "b", c', 'x']
  assert h.weights.tolist() == [1, 0.5]


@pytest.mark.parametrize(
  ('body', 'message'),
  [
    ('0\ta\t1\t1\n1\tb\t2\t1\n2\tc\t0\t1\n', r"cycle: 'a' \(0\) -> 'b' \(1\)"),
    ('0\ta\t0\t1\n', r"cycle: 'a' \(0\) -> 'a' \(0\)"),
    ('0\ta\t\t1\n1\tb\t7\t1\n', r"1 \('b'\) has the unknown parent 7"),
    ('0\ta\t\t1\n0\tb\t\t1\n', "Duplicate id 0: 'a' and 'b'"),
    ('0\ta\t\t1\n2\tb\t\t1\n', 'Id 1 is missing'),
    ('1\ta\t\t1\n', 'Id 0 is missing'),
    ('0\ta\t\t1\n1\tb\t0\n', 'line 3: 4 tab-separated columns'),
    ('0\ta\t\theavy\n', "line 2: weight 'heavy'"),
    ('0\ta\t\tnan\n', "'a'.* weight nan"),
    ('0\ta\t\t-1\n', "'a'.* weight -1"),
    ('x\ta\t\t1\n', "line 2: id 'x'"),
    ('0\ta\t\t1\n1\tb\t0;0\t1\n', "line 3: parent id '0;0'"),
    ('0\ta\t\t1\n1\tb\t0,0\t1\n', "'b'.* lists a parent twice"),
    ('0\t\t\t1\n', 'Category 0 has the name'),
    ('0\ta\t\t1\n\n1\tb\t\t1\n', 'line 3: 4 tab-separated columns'),
  ],
)
def test_bad_files(tmp_path, body, message):
  path = write(tmp_path, body)
  with pytest.raises(ValueError, match=message) as e:
    Hierarchy.load(path)
  assert str(path) in str(e.value)
  assert '\n' not in str(e.value)


def test_cycle_below_sound_part_is_named_without_it(tmp_path):
  # 0 is a root; 1 and 2 are a cycle below it; 3 hangs below the cycle.
  body = '0\tr\t\t1\n1\ta\t0,2\t1\n2\tb\t1\t1\n3\tc\t2\t1\n'
  with pytest.raises(ValueError, match='cycle') as e:
    Hierarchy.load(write(tmp_path, body))
  assert "'r'" not in str(e.value)
  assert "'c'" not in str(e.value)


@pytest.mark.parametrize('header', ['', 'id,name,parent_ids,weight\n'])
def test_wrong_header(tmp_path, header):
  path = write(tmp_path, '', header)
  with pytest.raises(ValueError, match='line 1: the header must be'):
    Hierarchy.load(path)


def test_not_utf8(tmp_path):
  path = tmp_path / 'labels.tsv'
  path.write_bytes(HEADER.encode() + b'0\t\xff\t\t1\n')
  with pytest.raises(ValueError, match='not UTF-8'):
    Hierarchy.load(path)


def test_columns_of_different_lengths():
  with pytest.raises(ValueError, match='2 ids, 1 names'):
    Hierarchy([0, 1], ['a'], [(), ()], [1, 1])


def test_index_of_unknown_and_ambiguous_names():
  h = Hierarchy.flat(['jaguar', 'car', 'jaguar'])
  with pytest.raises(ValueError, match="'cat' is not among the 3"):
    h.index('cat')
  with pytest.raises(ValueError, match=r"'jaguar'.*\(0, 2\)"):
    h.index('jaguar')


def test_the_nearest_name_is_told():
  h = Hierarchy.flat(['golden retriever', 'Poodle', 'car', 'poodles'])
  for name, nearest in [
    ('golden retreiver', 'golden retriever'),
    # Upper and lower case before anything else.
    ('poodle', 'Poodle'),
    ('carr', 'car'),
  ]:
    message = (
      f"'{name}' is not among the 4 categories; the nearest is '{nearest}'"
    )
    with pytest.raises(ValueError, match=message):
      h.index(name)
  with pytest.raises(ValueError, match='the 4 categories\\.$'):
    h.index('xylophone')
  assert nearest_name('x', []) is None


def test_an_unknown_name_is_told_soon():
  rng = np.random.default_rng(0)
  letters = np.array(list('abcdefghijklmnop'))
  h = Hierarchy.flat([''.join(w) for w in rng.choice(letters, (20_000, 14))])

  def told(name):
    with pytest.raises(ValueError, match='not among the 20000') as e:
      h.index(name)
    assert len(str(e.value)) < 300

  # A look at each letter of each name, a few calls each; half a second.
  assert calls(lambda: told(h.names[77][::-1])) < 20_000 * 14 * 8
  # Nothing is compared.
  assert calls(lambda: told('a' * 100_000)) < 1000


def test_ids_out_of_range():
  h = make()
  calls = [
    lambda i: h.fill([0, i]),
    h.ancestors,
    h.descendants,
    h.children,
    h.depth,
    lambda i: h.fill_ragged([0, i], [0, 2]),
    lambda i: h.fill_batch([[0, i], [1, -1]]),
  ]
  for call in calls:
    for i in (5, -2):
      with pytest.raises(ValueError, match=f'Label id {i} .* range 0..4'):
        call(i)


def test_fill_ragged_by_hand():
  values, splits = make().fill_ragged([2, 4, 1, 1], [0, 1, 1, 4])
  assert values.tolist() == [0, 1, 2, 3, 0, 1, 4]
  assert splits.tolist() == [0, 4, 4, 7]
  assert (values.dtype, splits.dtype) == (np.int32, np.int64)


def test_fill_batch_by_hand():
  filled = make().fill_batch([[4, 1], [-1, -1], [-1, 2]])
  assert filled.dtype == np.int32
  assert filled.tolist() == [
    [0, 1, 4, -1],
    [-1, -1, -1, -1],
    [0, 1, 2, 3],
  ]


def test_fill_of_nothing():
  h = make()
  values, splits = h.fill_ragged([], [0, 0])
  assert (values.tolist(), splits.tolist()) == ([], [0, 0])
  assert h.fill_batch(np.full((2, 3), -1)).shape == (2, 0)
  assert h.fill_batch(np.zeros((0, 3), np.int32)).shape == (0, 0)


def test_fill_batch_wants_two_dimensions():
  with pytest.raises(ValueError, match=r'\[N, L\], got shape \(1,\)'):
    make().fill_batch([1])


@pytest.mark.parametrize('splits', [[0, 1], [1, 2], [0, 2, 1, 2], []])
def test_fill_ragged_checks_splits(splits):
  with pytest.raises(ValueError, match='row_splits'):
    make().fill_ragged([0, 1], splits)


def test_fractional_ids_are_refused():
  with pytest.raises(ValueError, match='must be integers'):
    make().fill_ragged([0.5], [0, 1])


def test_vectorised_fills_agree_with_the_loop():
  h = random_hierarchy(500)
  values, splits = random_labels(np.random.default_rng(1), 2000, 500)
  expected = [h.fill(values[a:b]) for a, b in zip(splits[:-1], splits[1:])]
  filled, filled_splits = h.fill_ragged(values, splits)
  rows = np.split(filled, filled_splits[1:-1])
  assert [r.tolist() for r in rows] == expected
  padded = np.full((2000, 3), -1)
  padded[np.arange(3) < np.diff(splits)[:, None]] = values
  rows = [[i for i in r if i >= 0] for r in h.fill_batch(padded).tolist()]
  assert rows == expected


def test_vectorised_fill_is_fast_enough():
  """A million lists over 18,291 categories are to take less than 5 s."""
  h = random_hierarchy(18_291)
  rng = np.random.default_rng(0)
  lengths = 1 + (rng.random(10_000) < 0.26)
  splits = np.concatenate([[0], np.cumsum(lengths)])
  values = rng.integers(0, h.num_classes, splits[-1])
  h.fill_ragged(values, splits)  # what only the first call does
  tracemalloc.start()
  filled, _ = h.fill_ragged(values, splits)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  # No loop over lists, and no table of lists by categories.
  few = splits[:101]
  of_few = calls(lambda: h.fill_ragged(values[: few[-1]], few))
  assert calls(lambda: h.fill_ragged(values, splits)) == of_few
  assert peak / len(filled) < 100


def test_imports_without_tensorflow():
  code = (
    'import sys; from official_repro.data import hierarchy, manifest, records; '
    'from official_repro.data import sources; '
    'from official_repro.data.building import build; '
    'sys.exit("tensorflow" in sys.modules)'
  )
  subprocess.run([sys.executable, '-c', code], check=True)
