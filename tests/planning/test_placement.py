import random

import pytest

from official_repro.core import placement


def loads(sizes, places, servers):
  out = [0] * servers
  for size, server in zip(sizes.values(), places):
    out[server] += size
  return out


def test_the_next_goes_to_the_lightest_server():
  sizes = {'a': 2, 'b': 7, 'c': 3, 'd': 5, 'e': 3}
  # a 2 -> 0; b 7 -> 1; c 3 -> 0, now 5; d 5 -> 0, now 10; e 3 -> 1 (7 < 10).
  assert placement.place_by_size(sizes, 2) == [0, 1, 0, 0, 1]


def test_equals_go_in_order():
  sizes = dict.fromkeys('abcdef', 4)
  assert placement.place_by_size(sizes, 3) == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize('servers', [1, 2, 3, 17, 40])
def test_the_bound_holds(servers):
  generator = random.Random(servers)
  sizes = {f'v{i}': int(generator.paretovariate(0.8)) for i in range(40)}
  places = placement.place_by_size(sizes, servers)
  assert placement.place_by_size(dict(sizes), servers) == places
  assert set(places) == set(range(servers))
  bound = sum(sizes.values()) / servers + max(sizes.values()) * (
    1 - 1 / servers
  )
  assert max(loads(sizes, places, servers)) <= bound


def test_variables_of_no_bytes_are_placed_too():
  assert placement.place_by_size({'a': 0, 'b': 0}, 2) == [0, 1]


def test_in_turn():
  sizes = dict.fromkeys('abcde', 1)
  assert placement.place_in_turn(sizes, 2) == [0, 1, 0, 1, 0]


def test_in_turn_can_leave_kernels_on_every_second_server():
  # kernel, bias, kernel, bias: an even number of servers halves their use.
  sizes = {}
  for part in range(8):
    sizes[f'{part}/kernel'], sizes[f'{part}/bias'] = 1000, 1
  in_turn = loads(sizes, placement.place_in_turn(sizes, 4), 4)
  assert in_turn == [4000, 4, 4000, 4]
  by_size = loads(sizes, placement.place_by_size(sizes, 4), 4)
  assert sum(by_size) == 8008 and max(by_size) - min(by_size) < 5


@pytest.mark.parametrize('place', ['place_by_size', 'place_in_turn'])
@pytest.mark.parametrize(
  'sizes, servers, words',
  [
    ({'a': 1}, 0, 'parameter servers is 0; give at least 1'),
    ({'a': 1}, 2, '2 parameter servers for 1 variables'),
    ({'a': -1, 'b': 1}, 2, "'a' has a size of -1 bytes"),
  ],
)
def test_bad_input(place, sizes, servers, words):
  with pytest.raises(ValueError, match=words):
    getattr(placement, place)(sizes, servers)
