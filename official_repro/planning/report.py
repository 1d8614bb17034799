"""A plan as text, one or two screens."""

from official_repro.planning import data_facts, estimate, paper_run, traffic
from official_repro.planning.tables import (
  cells,
  gibibytes,
  number,
  row,
  seconds,
  wrapped,
)

_MOST_SERVERS = 24
_FORMULAS = {
  'FLOPs': '2 k^2 c f s^2 of a convolution, 2 D W of a sub-FC layer (a product '
  'and a sum are 2); backward as many for kernels, and for inputs',
  'compute': 'batch x FLOPs of an image / (peak x share of the peak)',
  'network, records': 'bytes / link, in and out each by itself; every worker '
  'and every server has a link of its own',
  'servers take': 'link / bytes of the busiest server at one step',
  'all-reduce': '2 (n - 1) / n x bytes of a push, in and out',
  'a step': 'max(compute, in, out) if all overlaps, else the sum',
  'steps/s': 'async: min(workers / step, servers take); sync: 1 / step',
}
_LEFT_OUT = (
  'Left out: stragglers, restarts, evaluation, checkpoints, latency, what gRPC '
  'leaves of a link, servers as machines with a price and a CPU. A run takes '
  'longer.'
)


def text(plan: estimate.Plan) -> str:
  """Returns the plan for people, with its formulas and assumptions."""
  sections = [
    _title(plan),
    _storage(plan),
    _network(plan),
    _memory(plan),
    _traffic(plan) + _servers(plan),
    _times(plan),
    _sources(plan),
    paper_run.compared(plan),
    ['Formulas', *(line for k, v in _FORMULAS.items() for line in row(k, v))],
    wrapped(_LEFT_OUT),
  ]
  return '\n\n'.join('\n'.join(lines) for lines in sections if lines)


def _title(plan):
  cluster = plan.cluster
  return wrapped(
    f'{plan.experiment} on paper: {cluster.workers:,} worker(s) '
    f'({cluster.gpu.title}, {cluster.precision}), {cluster.servers:,} '
    f'parameter server(s), {cluster.network_gbps:g} Gbit/s'
  )


def _storage(plan):
  stored = plan.storage
  why = 'given'
  if plan.facts.bytes_per_image is None:
    why = f'assumed: {data_facts.WHY_BYTES}'
  return [
    'Storage',
    *row(
      'records',
      f'{number(stored.total_bytes, "B")}: {number(stored.images)} images of '
      f'{number(stored.bytes_per_image, "B")} ({why})',
    ),
    *row(
      'shards',
      f'{stored.shards:,} of {number(stored.shard_bytes, "B")}, '
      f'{stored.images / stored.shards:,.0f} images each',
    ),
    *row(
      'labels',
      f'{number(stored.images * stored.label_bytes, "B")}: '
      f'{plan.facts.given_labels:.3g} given and '
      f'{plan.facts.filled_labels:.3g} filled ids an image; a step carries '
      f'{number(stored.step_labels, "B")} of padded ids (dense targets: '
      f'{number(stored.step_dense_labels, "B")})',
    ),
  ]


def _network(plan):
  network, model = plan.network, plan.config.task.model
  variables = network.variables()
  trunk, head = (
    sum(v.size for v in part)
    for part in (network.trunk_variables(), network.head_variables())
  )
  slots = plan.slots * sum(v.bytes for v in variables if v.trained)
  return [
    f'Network: ResNet-{model.depth}, stride placement '
    f'{model.stride_placement}, {plan.config.task.train_data.crop} px, '
    f'{network.classes:,} labels',
    *row(
      'values',
      f'trunk {number(trunk)}, FC {number(head)} in {network.shards} part(s); '
      f'{number(traffic.pull_bytes(variables), "B")} as float32',
    ),
    *row(
      'optimizer',
      f'{plan.slots} slot(s) of each trained value: {number(slots, "B")}',
    ),
    *row(
      'FLOPs',
      f'of an image: {number(network.forward_flops())} forward, '
      f'{number(network.backward_flops())} backward; of a step of '
      f'{plan.batch}: {number(network.step_flops() * plan.batch)}',
    ),
  ]


def _memory(plan):
  gpu = plan.cluster.gpu
  lines = [
    f'Memory of the GPU: {gpu.memory_gb} GiB, of which about '
    f'{gibibytes(plan.memory.usable)} can be used'
  ]
  for name, memory in (
    ('with servers', plan.memory),
    ('all-reduce', plan.synchronous_memory),
  ):
    needed = memory.needed(plan.batch)
    fits = 'fits' if needed <= memory.usable else 'DOES NOT FIT'
    lines += row(
      name,
      f'batch {plan.batch} {fits}: roughly {gibibytes(needed)} '
      f'({number(memory.activations, "B")} of activations an image); the '
      f'largest batch is near {memory.largest_batch:,}',
    )
  return lines


def _traffic(plan):
  variables = plan.network.variables()
  pushed = traffic.push_bytes(variables)
  head = traffic.push_bytes(plan.network.head_variables())
  ring = traffic.ring_bytes(pushed, plan.cluster.workers)
  return [
    'Traffic of one worker at each step',
    *row(
      'pull', f'{number(traffic.pull_bytes(variables), "B")}: all variables'
    ),
    *row(
      'push',
      f'{number(pushed, "B")}: gradients, and changes of moving averages; '
      f'{number(head, "B")} are the dense gradient of the FC',
    ),
    *row('all-reduce', f'{number(ring, "B")} in, and as many out'),
  ]


def _servers(plan):
  lines = ['Each server, MB at each step of one worker, the busiest first']
  for how, loads in plan.loads.items():
    column = sorted((s.busiest / 1e6 for s in loads), reverse=True)
    shown = [f'{x:.1f}' for x in column]
    if len(shown) > _MOST_SERVERS:
      # The ends say it all.
      shown[_MOST_SERVERS // 2 : -_MOST_SERVERS // 4] = ['...']
    used = ' (used)' if how == plan.cluster.placement else ''
    limit = plan.cluster.bandwidth / (column[0] * 1e6)
    lines += row(f'{how}{used}', ' '.join(shown))
    lines += row(
      '',
      f'the busiest has {column[0] * len(column) / sum(column):.2f} of the '
      f'mean, so at most {limit:,.3g} steps/s; the fullest holds '
      f'{number(max(s.held for s in loads), "B")} with slots',
    )
  return lines


def _times(plan):
  both = (plan.asynchronous, plan.synchronous)
  lines = [
    cells(
      'Time of a step', ('parameter servers, async', 'all-reduce, sync'), 0
    ),
    cells('compute', [seconds(s.compute) for s in both]),
    cells('records in', [seconds(s.records_in) for s in both]),
    cells('network in', [seconds(s.network_in) for s in both]),
    cells('network out', [seconds(s.network_out) for s in both]),
    cells('servers take', (f'{both[0].server_limit:,.3g} steps/s', '-')),
  ]
  for overlap, title in (
    (True, 'If all overlaps'),
    (False, 'If nothing overlaps'),
  ):
    lines += [title, *_outcome(plan, both, overlap)]
  return lines


def _outcome(plan, both, overlap):
  workers = plan.cluster.workers
  rates = [s.images_per_second(overlap) for s in both]
  lines = [
    cells('binds', [s.binds(overlap) for s in both]),
    cells('steps/s', [f'{s.steps_per_second(overlap):,.3g}' for s in both]),
    cells(
      'images/s',
      [f'{number(r)} ({number(r / workers)} a worker)' for r in rates],
    ),
    cells('days', [f'{s.days(overlap):,.3g}' for s in both]),
  ]
  if plan.cluster.price is not None:
    costs = [f'{plan.cost(s, overlap):,.0f}' for s in both]
    lines.append(cells('cost of the GPUs', costs))
  return lines


def _sources(plan):
  gpu, speed = plan.cluster.gpu, plan.speed
  rate = plan.asynchronous.images_per_second(overlap=True)
  synchronous = plan.synchronous
  cores = rate / plan.cluster.workers / estimate.DECODED_PER_CORE
  return [
    'Where from',
    *row(
      'peak',
      f'{number(speed.peak)}FLOP/s, {gpu.peak_of[plan.cluster.precision]}: '
      f'{gpu.source}',
    ),
    *row('share of the peak', f'{speed.share:.1%}, {speed.why}'),
    *row(
      'steps',
      f'{plan.config.trainer.train_steps:,} of batch {plan.batch} are '
      f'{plan.epochs:.2f} epochs. Asynchronous steps of all workers count '
      'together; synchronous, the same images are '
      f'{synchronous.steps:,.0f} steps of {synchronous.step_images:,}',
    ),
    *row(
      'input',
      f'the storage gives {number(rate * plan.storage.record_bytes, "B")}/s to '
      f'all; each worker decodes with {cores:.2g} core(s), one doing '
      f'{estimate.DECODED_PER_CORE:,} images/s (README, input_pipeline)',
    ),
  ]
