"""Which parameter server holds which variable; pure functions."""

import heapq
from collections.abc import Mapping


def place_by_size(sizes: Mapping[str, int], servers: int) -> list[int]:
  """Deals variables out so that the servers hold about the same.

  The largest variable goes first, each to the server that holds least so far;
  of equals the one that comes first in `sizes`, and the server with the fewest
  variables, then that of the smallest number. So the same mapping always gives
  the same answer. No server holds more than
  total / servers + largest * (1 - 1 / servers).

  Args:
    sizes: {name: bytes}.
    servers: number of parameter servers.

  Returns:
    The server of each variable, from 0, in the order of `sizes`.

  Raises:
    ValueError: servers below 1 or more than there are variables, or a
      negative size.
  """
  _check(sizes, servers)
  values = list(sizes.values())
  # Bytes, variables (so that empty ones are spread too), number.
  loads = [(0, 0, server) for server in range(servers)]
  places = [0] * len(values)
  # Sorting is stable: equals stay in their order.
  for index in sorted(range(len(values)), key=lambda i: -values[i]):
    load, count, server = loads[0]
    places[index] = server
    heapq.heapreplace(loads, (load + values[index], count + 1, server))
  return places


def place_in_turn(sizes: Mapping[str, int], servers: int) -> list[int]:
  """What `tf.distribute.ParameterServerStrategy` does: one after the other.

  It knows no sizes. Where every layer has the same number of variables and
  that number and `servers` have a common factor, the kernels, which are nearly
  all bytes, end on some of the servers only.

  Args:
    sizes: {name: bytes}, in the order in which the variables are made.
    servers: number of parameter servers.

  Returns:
    The server of each variable, from 0, in the order of `sizes`.

  Raises:
    ValueError: as place_by_size.
  """
  _check(sizes, servers)
  return [index % servers for index in range(len(sizes))]


def _check(sizes, servers):
  if servers < 1:
    raise ValueError(
      f'The number of parameter servers is {servers}; give at least 1.'
    )
  if servers > len(sizes):
    raise ValueError(
      f'{servers:,} parameter servers for {len(sizes):,} variables: some would '
      f'hold nothing; give at most {len(sizes):,}.'
    )
  for name, size in sizes.items():
    if size < 0:
      raise ValueError(f'Variable {name!r} has a size of {size} bytes.')
