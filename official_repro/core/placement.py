"""Which parameter server holds which variable; pure functions."""

import heapq
from collections.abc import Mapping


def place_by_size(sizes: Mapping[str, int], servers: int) -> list[int]:
  """Deals variables out so that the servers hold about the same.

  Each variable, in the order in which they are made, goes to the server that
  holds least so far; of equals to the one with the fewest variables, then that
  of the smallest number. So sub-FC layers of one size go round the servers. No
  server holds more than total / servers + largest * (1 - 1 / servers).

  Args:
    sizes: {name: bytes}, in the order in which the variables are made.
    servers: number of parameter servers.

  Returns:
    The server of each variable, from 0, in the order of `sizes`.

  Raises:
    ValueError: servers below 1 or more than there are variables, or a
      negative size.
  """
  _check(sizes, servers)
  loads = Loads(servers)
  return [loads.add(size) for size in sizes.values()]


class Loads:
  """What the servers hold so far, for variables that come one by one.

  Args:
    servers: number of parameter servers.
  """

  def __init__(self, servers: int):
    # Bytes, variables (so that empty ones are spread too), number.
    self._heap = [(0, 0, server) for server in range(servers)]

  def add(self, size: int) -> int:
    """Returns the server that a variable of so many bytes goes to."""
    load, count, server = self._heap[0]
    heapq.heapreplace(self._heap, (load + size, count + 1, server))
    return server


def place_in_turn(sizes: Mapping[str, int], servers: int) -> list[int]:
  """What `tf.distribute.ParameterServerStrategy` does: one after the other.

  Left to itself, that is (see server_variables); it knows no sizes. Where every
  layer has the same number of variables and that number and `servers` have a
  common factor, the kernels, which are nearly all bytes, end on some of the
  servers only.

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
