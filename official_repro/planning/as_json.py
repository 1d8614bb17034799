"""A plan as plain numbers, for machines: bytes, seconds, FLOPs."""

import dataclasses
from typing import Any

from official_repro.planning import estimate, traffic


def as_json(plan: estimate.Plan) -> dict[str, Any]:
  """Returns what json.dump takes; units are in the names or in the classes."""
  cluster, network = plan.cluster, plan.network
  variables = network.variables()
  return {
    'experiment': plan.experiment,
    'cluster': {
      **dataclasses.asdict(cluster),
      'gpu': dataclasses.asdict(cluster.gpu),
    },
    'data': dataclasses.asdict(plan.facts),
    'storage': {
      **dataclasses.asdict(plan.storage),
      'record_bytes': plan.storage.record_bytes,
      'shard_bytes': plan.storage.shard_bytes,
      'total_bytes': plan.storage.total_bytes,
    },
    'network': {
      'trunk_values': sum(v.size for v in network.trunk_variables()),
      'head_values': sum(v.size for v in network.head_variables()),
      'optimizer_slots': plan.slots,
      'forward_flops': network.forward_flops(),
      'backward_flops': network.backward_flops(),
      'batch': plan.batch,
    },
    'speed': dataclasses.asdict(plan.speed),
    'memory': {
      'parameter_servers': _memory(plan, plan.memory),
      'all_reduce': _memory(plan, plan.synchronous_memory),
    },
    'traffic': {
      'pull_bytes': traffic.pull_bytes(variables),
      'push_bytes': traffic.push_bytes(variables),
      'ring_bytes': traffic.ring_bytes(
        traffic.push_bytes(variables), cluster.workers
      ),
      'servers': {
        how: [dataclasses.asdict(load) for load in loads]
        for how, loads in plan.loads.items()
      },
    },
    'epochs': plan.epochs,
    'asynchronous': _schedule(plan, plan.asynchronous),
    'synchronous': _schedule(plan, plan.synchronous),
  }


def _memory(plan, memory):
  needed = memory.needed(plan.batch)
  return {
    **dataclasses.asdict(memory),
    'needed': needed,
    'fits': needed <= memory.usable,
    'largest_batch': memory.largest_batch,
  }


def _schedule(plan, schedule):
  out = dataclasses.asdict(schedule)
  for name, overlap in (('all_overlaps', True), ('nothing_overlaps', False)):
    out[name] = {
      'binds': schedule.binds(overlap),
      'step_seconds': schedule.seconds(overlap),
      'steps_per_second': schedule.steps_per_second(overlap),
      'images_per_second': schedule.images_per_second(overlap),
      'days': schedule.days(overlap),
      'cost': plan.cost(schedule, overlap),
    }
  return out
