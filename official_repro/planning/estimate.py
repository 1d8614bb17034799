"""Puts a plan together: preset, data and cluster to all the numbers."""

import dataclasses
from typing import Any, Optional

from official_repro.core import config as config_lib
from official_repro.planning import (
  layout,
  machines,
  memory,
  storage,
  timing,
  traffic,
)
from official_repro.planning.data_facts import DataFacts
from official_repro.planning.layers import Network

# Images per second on one core of records at 340 px, decoded and cropped:
# measured by benchmarks/input_pipeline.py, see README.
DECODED_PER_CORE = 1370


@dataclasses.dataclass(frozen=True)
class Cluster:
  """The machines; every worker and every server has a link of its own.

  Attributes:
    workers: GPUs, each of them a worker.
    servers: parameter servers.
    gpu: of all workers.
    network_gbps: of each link, Gbit/s in each direction.
    precision: one of machines.PRECISIONS.
    placement: one of traffic.PLACEMENTS.
    utilisation: share of the peak; None: from public rates.
    price: of a GPU for an hour, in any currency; None: not asked.

  Raises:
    ValueError: a field out of its range.
  """

  workers: int
  servers: int
  gpu: machines.Gpu
  network_gbps: float = 10.0
  precision: str = 'float32'
  placement: str = traffic.DEFAULT_PLACEMENT
  utilisation: Optional[float] = None
  price: Optional[float] = None

  def __post_init__(self):
    if self.workers < 1:
      raise ValueError(f'workers is {self.workers}; give at least 1.')
    if not 0 < self.network_gbps < float('inf'):
      raise ValueError(
        f'network_gbps is {self.network_gbps:g}; give the speed of a link in '
        'Gbit/s, above 0.'
      )
    if self.placement not in traffic.PLACEMENTS:
      raise ValueError(
        f'placement is {self.placement!r}; use one of '
        f'{", ".join(traffic.PLACEMENTS)}.'
      )
    if self.price is not None and not 0 <= self.price < float('inf'):
      raise ValueError(f'price_per_gpu_hour is {self.price:g}; give 0 or more.')

  @property
  def bandwidth(self) -> float:
    """Bytes per second of a link in one direction."""
    return self.network_gbps * 1e9 / 8


@dataclasses.dataclass(frozen=True)
class Plan:
  """All numbers of a plan.

  Attributes:
    experiment: name of the preset.
    config: ExperimentConfig.
    facts: the data.
    cluster: the machines.
    storage: the data on disk.
    network: the classifier on paper.
    slots: that the optimizer keeps of a variable.
    speed: of the GPU.
    memory: of a worker's step with parameter servers.
    synchronous_memory: of a step with the optimizer on the GPU.
    loads: {placement: list of ServerLoad}.
    asynchronous, synchronous: Schedule, with parameter servers and with ring
      all-reduce.
  """

  experiment: str
  config: Any
  facts: DataFacts
  cluster: Cluster
  storage: storage.Storage
  network: Network
  slots: int
  speed: timing.Speed
  memory: memory.Memory
  synchronous_memory: memory.Memory
  loads: dict[str, list[traffic.ServerLoad]]
  asynchronous: timing.Schedule
  synchronous: timing.Schedule

  @property
  def batch(self) -> int:
    """Images of one worker's step."""
    return self.config.task.train_data.global_batch_size

  @property
  def train_images(self) -> int:
    """That the whole run consumes."""
    return self.config.trainer.train_steps * self.batch

  @property
  def epochs(self) -> float:
    """Passes over the images."""
    return self.train_images / self.storage.images

  def cost(self, schedule: timing.Schedule, overlap: bool) -> Optional[float]:
    """Returns the price of all GPUs for the run, None where none is given."""
    if self.cluster.price is None:
      return None
    hours = schedule.days(overlap) * 24
    return hours * self.cluster.workers * self.cluster.price


def make_plan(
  experiment: str,
  config: config_lib.ExperimentConfig,
  facts: DataFacts,
  cluster: Cluster,
) -> Plan:
  """Works everything out.

  Args:
    experiment: name of the preset.
    config: a classification preset; its global_batch_size is one worker's.
    facts: the data.
    cluster: the machines.

  Raises:
    ValueError: something is out of range or does not fit together.
  """
  data, trainer = config.task.train_data, config.trainer
  for name, value in (
    ('global_batch_size', data.global_batch_size),
    ('train_steps', trainer.train_steps),
  ):
    if value < 1:
      raise ValueError(f'{name} is {value}; give at least 1.')
  stored = storage.make_storage(
    facts,
    resize=data.resize,
    batch=data.global_batch_size,
    max_labels=data.max_labels,
  )
  model = config.task.model
  network = layout.make_network(
    depth=model.depth,
    classes=facts.classes,
    shards=model.fc_shards,
    side=data.crop,
    width=model.width,
    stride_placement=model.stride_placement,
    freeze=config.task.freeze,
  )
  slots = slots_of(trainer.optimizer_config)
  variables = network.variables()
  loads = {
    how: traffic.server_loads(variables, cluster.servers, slots, how)
    for how in traffic.PLACEMENTS
  }
  speed = timing.speed_of(cluster.gpu, cluster.precision, cluster.utilisation)
  on_gpu = [
    memory.memory_of(network, cluster.gpu, cluster.precision, s)
    for s in (0, slots)
  ]
  schedules = _schedules(
    cluster,
    variables,
    loads[cluster.placement],
    steps=trainer.train_steps,
    batch=data.global_batch_size,
    compute=network.step_flops() * data.global_batch_size / speed.flops,
    record_bytes=stored.record_bytes,
  )
  return Plan(
    experiment,
    config,
    facts,
    cluster,
    stored,
    network,
    slots,
    speed,
    *on_gpu,
    loads,
    *schedules,
  )


def _schedules(
  cluster, variables, loads, *, steps, batch, compute, record_bytes
):
  """Returns the asynchronous and the synchronous Schedule."""
  workers, bandwidth = cluster.workers, cluster.bandwidth
  pushed = traffic.push_bytes(variables)
  ring = traffic.ring_bytes(pushed, workers) / bandwidth
  both = {'compute': compute, 'records_in': batch * record_bytes / bandwidth}
  asynchronous = timing.Schedule(
    **both,
    network_in=traffic.pull_bytes(variables) / bandwidth,
    network_out=pushed / bandwidth,
    steps=steps,
    step_images=batch,
    workers_count=workers,
    server_limit=bandwidth / max(s.busiest for s in loads),
  )
  synchronous = timing.Schedule(
    **both,
    network_in=ring,
    network_out=ring,
    # The same images: fewer steps, each with a batch of every worker.
    steps=steps / workers,
    step_images=batch * workers,
    workers_count=1,
  )
  return asynchronous, synchronous


def slots_of(optimizer_config) -> int:
  """Returns how many values the optimizer keeps of each weight.

  RMSProp: the mean square and the momentum; SGD: the momentum.

  Args:
    optimizer_config: core.optimizers.OptimizationConfig.

  Raises:
    ValueError: an optimizer whose slots are not known here.
  """
  kind = optimizer_config.optimizer.type
  known = {'rmsprop_tf1': 2, 'sgd': 1, 'adam': 2}
  if kind not in known:
    raise ValueError(
      f'The slots of optimizer {kind!r} are not known here; use one of '
      f'{", ".join(known)}.'
    )
  slots = known[kind]
  if kind == 'sgd' and not optimizer_config.optimizer.get().momentum:
    slots = 0
  return slots + bool(optimizer_config.averaging_decay)
