"""Bytes that a training step moves between machines.

Parameter servers, per step of one worker:
  pull   all variables, as float32
  push   a dense gradient of every trained variable, and the changes of batch
         norm's moving averages
A weight decay that is part of the loss reads the kernels once more, which sends
nothing (server_variables.read_once); benchmarks/cluster_traffic.py counts it.
Each server carries the part of its variables; optimizer slots lie beside their
variable and never travel.

Synchronous all-reduce in a ring of n workers, per step and worker:
  2 (n - 1) / n x the bytes of a push, out and as many in
"""

import dataclasses
from collections.abc import Sequence

from official_repro.core import placement
from official_repro.planning.layers import Variable

# What training does, see server_variables; in_turn is tf.distribute's own.
DEFAULT_PLACEMENT = 'by_size'
PLACEMENTS = {
  'in_turn': placement.place_in_turn,
  'by_size': placement.place_by_size,
}


@dataclasses.dataclass(frozen=True)
class ServerLoad:
  """What one parameter server has; bytes.

  Attributes:
    variables: number of them.
    held: variables and slots.
    pulled: leaves it at a step of one worker.
    pushed: reaches it at a step of one worker.
  """

  variables: int
  held: int
  pulled: int
  pushed: int

  @property
  def busiest(self) -> int:
    """Of the two directions of its link, which do not share."""
    return max(self.pulled, self.pushed)


def pull_bytes(variables: Sequence[Variable]) -> int:
  """Returns what a worker reads at each step."""
  return sum(v.bytes for v in variables)


def push_bytes(variables: Sequence[Variable]) -> int:
  """Returns what a worker sends at each step."""
  return sum(v.bytes for v in variables if v.trained or v.averaged)


def ring_bytes(pushed: int, workers: int) -> float:
  """Returns what a worker sends, and receives, in one ring all-reduce."""
  return 2 * (workers - 1) / workers * pushed


def server_loads(
  variables: Sequence[Variable], servers: int, slots: int, how: str
) -> list[ServerLoad]:
  """Places the variables and adds up what each server has.

  Args:
    variables: in the order in which they are made.
    servers: number of parameter servers.
    slots: that the optimizer keeps of a trained variable.
    how: a key of PLACEMENTS.

  Returns:
    One ServerLoad a server. Which of them is number 0 is not said: counters of
    Keras, made before the first variable, take their turns too.

  Raises:
    ValueError: as the placement.
  """
  places = PLACEMENTS[how]({v.name: v.bytes for v in variables}, servers)
  held = [[] for _ in range(servers)]
  for variable, server in zip(variables, places):
    held[server].append(variable)
  return [
    ServerLoad(
      variables=len(of_server),
      held=sum(v.bytes * (1 + slots * v.trained) for v in of_server),
      pulled=pull_bytes(of_server),
      pushed=push_bytes(of_server),
    )
    for of_server in held
  ]
