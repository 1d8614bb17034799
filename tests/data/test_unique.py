import tracemalloc

import pytest

from official_repro.data import unique


@pytest.mark.parametrize(
  ('ids', 'found'),
  [
    ('', None),
    ('a', None),
    ('abc', None),
    ('abca', (0, 3, 'a')),
    # b comes again before a does.
    ('abba', (1, 2, 'b')),
    ('aaa', (0, 1, 'a')),
  ],
)
def test_by_hand(ids, found):
  assert unique.first_duplicate(lambda: iter(ids)) == found


def test_unequal_ids_with_one_hash_are_no_duplicate(monkeypatch):
  monkeypatch.setattr(unique, '_hash', len)
  assert unique.first_duplicate(lambda: iter(['ab', 'cd', 'efg'])) is None
  ids = ['ab', 'cd', 'efg', 'cd']
  assert unique.first_duplicate(lambda: iter(ids)) == (1, 3, 'cd')


def test_only_repeated_hashes_cost_a_second_pass():
  passes = []

  def ids(names):
    passes.append(names)
    return iter(names)

  unique.first_duplicate(lambda: ids('abc'))
  assert len(passes) == 1
  unique.first_duplicate(lambda: ids('aba'))
  assert len(passes) == 3


def test_names_that_are_no_unicode():
  assert unique.first_duplicate(lambda: iter(['\udcff', '\ud800'])) is None


def test_memory_for_each_id_is_small():
  n = 150_000

  def ids():
    return (f'a/rather/long/folder/image_{i:09d}.jpg' for i in range(n))

  tracemalloc.start()
  assert unique.first_duplicate(ids) is None
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  # 8 bytes, the growth of the array (an eighth) and one byte of comparison.
  assert peak / n < 12


def test_very_many_repeated_ids():
  # All ids come twice: one of them is told.
  n = unique._MAX_CANDIDATES + 1000
  ids = [str(i) for i in range(n)] * 2
  first, second, name = unique.first_duplicate(lambda: iter(ids))
  assert ids[first] == ids[second] == name
  assert second == first + n
