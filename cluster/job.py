"""A job as the spec describes it."""

import dataclasses
import math
import pathlib
import re
from collections.abc import Mapping
from typing import Any, Optional, Union

from cluster import command

# Bytes of the units that Kubernetes writes.
UNITS = {
  'Mi': 2**20,
  'Gi': 2**30,
  'Ti': 2**40,
  'M': 10**6,
  'G': 10**9,
  'T': 10**12,
}


def memory(text: Any) -> Optional[tuple]:
  """'1.5Gi' -> (1.5, 'Gi'); None where it is no amount of memory."""
  match = re.fullmatch(rf'(\d+(?:\.\d+)?)({"|".join(UNITS)})', str(text))
  return match and (float(match[1]), match[2])


@dataclasses.dataclass(frozen=True)
class Volume:
  """A folder that all tasks see.

  Attributes:
    name: of the volume.
    mount: absolute path where the tasks see it.
    kind: pvc, nfs or host_path.
    source: the claim's name, {'server', 'path'} or a path on the nodes.
    read_only: nothing is written there.
  """

  name: str
  mount: str
  kind: str
  source: Any
  read_only: bool = False

  def holds(self, path: str) -> bool:
    """Whether `path` lies in it."""
    return pathlib.PurePosixPath(path).is_relative_to(self.mount)


@dataclasses.dataclass(frozen=True)
class JobSpec:
  """A job; spec.py describes its keys.

  Attributes:
    flags: {flag: value} of the command.
    strategy: of the flags; one_device where they do not say.
  """

  name: str
  image: str
  module: str
  flags: Mapping[str, Any]
  strategy: str
  volumes: tuple
  workers: int = 1
  ps: int = 0
  chief: bool = False
  evaluator: bool = False
  gpus: int = 0
  cpus: Union[int, float] = 4
  memory: str = '16Gi'
  tensorboard: bool = False
  namespace: str = 'default'
  retries: int = 3

  @property
  def asynchronous(self) -> bool:
    """Whether parameter servers are used, whose workers wait for a chief."""
    return self.strategy == 'parameter_server'

  @property
  def model_dir(self) -> str:
    """Folder of the run, as the tasks see it."""
    return str(self.flags['model_dir'])

  @property
  def memory_mib(self) -> int:
    """Memory of a task in MiB, rounded up."""
    number, unit = memory(self.memory)
    return math.ceil(number * UNITS[unit] / 2**20)

  def words(self, kind: str) -> list:
    """Returns [module, '--flag=value', ...] of a task of type `kind`."""
    return command.words(self.module, self.flags, kind)

  def gpus_of(self, kind: str) -> int:
    """Returns the GPUs of a task of type `kind`."""
    if kind == 'evaluator':
      return min(self.gpus, 1)
    # An asynchronous chief only hands out the steps.
    idle = kind == 'ps' or (kind == 'chief' and self.asynchronous)
    return 0 if idle else self.gpus

  def volume_of(self, path: str) -> Volume:
    """Returns the volume with `path`, the innermost if several have it."""
    holding = [v for v in self.volumes if v.holds(path)]
    return max(holding, key=lambda v: len(v.mount))
