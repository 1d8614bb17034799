"""Reads and checks the cluster before anything starts; no TensorFlow.

A cluster is {task type: addresses}, as in tf.train.ClusterSpec, and the place
of this process in it. TensorFlow's own resolvers hand on what they find, and a
wrong cluster then hangs in a collective; here it is one sentence.
"""

import collections
import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Optional

TASK_TYPES = ('chief', 'worker', 'ps', 'evaluator')
# One process trains, whatever is around it.
ONE_PROCESS = ('one_device', 'mirrored')

# Vertex AI's pools of a custom job, in their order.
_VERTEX_POOLS = {
  'workerpool0': 'chief',
  'workerpool1': 'worker',
  'workerpool2': 'ps',
  'workerpool3': 'evaluator',
}
# Of tasks that srun started without a TF_CONFIG. Jobs may share a node, hence
# the job's id; tasks of a job on one node count up from there.
_SLURM_PORTS = range(20_000, 30_000)


@dataclasses.dataclass(frozen=True)
class ClusterConfig:
  """A cluster and this process in it.

  Attributes:
    cluster: {task type: ('host:port', ...)}; an evaluator need not be in it.
    task_type: of this process, one of TASK_TYPES.
    task_index: of this process among those of its type, from 0.
    source: where it was read, for messages: TF_CONFIG, CLUSTER_SPEC or Slurm.
  """

  cluster: Mapping[str, tuple]
  task_type: str
  task_index: int
  source: str = 'TF_CONFIG'

  @property
  def name(self) -> str:
    """This process, for messages and file names: worker-1."""
    return f'{self.task_type}-{self.task_index}'

  @property
  def address(self) -> str:
    """The 'host:port' at which the others look for this process."""
    return self.cluster[self.task_type][self.task_index]

  @property
  def trainers(self) -> tuple:
    """The tasks that compute steps: chief-0, worker-0, worker-1, ..."""
    return tuple(
      f'{kind}-{i}'
      for kind in ('chief', 'worker')
      for i in range(len(self.cluster.get(kind, ())))
    )

  @property
  def leads(self) -> bool:
    """Whether this process writes the run's files: the first trainer does."""
    return self.name == self.trainers[0]

  def others(self) -> dict[str, str]:
    """Returns {name: address} of all tasks but this one and evaluators."""
    return {
      f'{kind}-{i}': address
      for kind, addresses in self.cluster.items()
      if kind != 'evaluator'
      for i, address in enumerate(addresses)
      if f'{kind}-{i}' != self.name
    }

  def to_json(self) -> str:
    """Returns the value of TF_CONFIG, which TensorFlow's resolver reads."""
    cluster = {kind: list(hosts) for kind, hosts in self.cluster.items()}
    task = {'type': self.task_type, 'index': self.task_index}
    return json.dumps({'cluster': cluster, 'task': task})


def from_environment(environ: Mapping[str, str]) -> Optional[ClusterConfig]:
  """Reads the cluster that this process is part of.

  The first of these that is set counts:

  - TF_CONFIG: JSON, as Kubeflow's TFJob, cluster.render and Vertex AI set it.
  - CLUSTER_SPEC: JSON of a custom job of Vertex AI; workerpool0 is the chief,
    1 the workers, 2 the parameter servers, 3 the evaluator.
  - SLURM_PROCID with SLURM_STEP_NODELIST (else SLURM_JOB_NODELIST) and
    SLURM_STEP_TASKS_PER_NODE (else SLURM_TASKS_PER_NODE, else SLURM_NTASKS
    spread evenly): every task is a worker, in srun's order by blocks. Other
    roles need a TF_CONFIG, which the script of cluster.render makes. Not by
    tf.distribute's SlurmClusterResolver: it sorts the nodes by name, so that
    n10 comes before n9 and a task listens where another one lives; and it
    sets CUDA_VISIBLE_DEVICES.

  Args:
    environ: os.environ.

  Returns:
    The cluster, not yet checked (see `check`); None where none is set, or for
    a Slurm job of one task.

  Raises:
    ValueError: what is set is not JSON, or not of the right form.
  """
  if environ.get('TF_CONFIG', '').strip():
    return _from_json(environ['TF_CONFIG'], 'TF_CONFIG')
  if environ.get('CLUSTER_SPEC', '').strip():
    return _from_json(environ['CLUSTER_SPEC'], 'CLUSTER_SPEC', _VERTEX_POOLS)
  if environ.get('SLURM_PROCID'):
    return _from_slurm(environ)
  return None


def check(config: Optional[ClusterConfig], strategy: str) -> None:
  """Checks a cluster, and that it fits the strategy.

  Args:
    config: from `from_environment`; None is fine but for parameter_server.
    strategy: one_device, mirrored, multi_worker_mirrored, parameter_server.

  Raises:
    ValueError: something is wrong, in one sentence.
  """
  if config is None:
    if strategy == 'parameter_server':
      raise ValueError(
        'Strategy parameter_server needs the cluster in the environment '
        'variable TF_CONFIG, which is not set.'
      )
    return
  _check_addresses(config)
  _check_task(config)
  _check_strategy(config, strategy)


def _from_json(text, source, names=None):
  try:
    content = json.loads(text)
  except ValueError as e:
    raise ValueError(f'{source} is not JSON: {e}; got {text!r}.') from e
  form = '{"cluster": {"worker": ["host:port"]}, "task": {"type": "worker", '
  wrong = f'{source} must have the form {form}"index": 0}}}}, got {text!r}'
  if not isinstance(content, dict):
    raise ValueError(f'{wrong}.')
  cluster, task = content.get('cluster'), content.get('task')
  if not isinstance(cluster, dict) or not cluster:
    raise ValueError(f'{wrong}: "cluster" is no object with task types.')
  for kind, hosts in cluster.items():
    if not _is_list_of_strings(hosts):
      raise ValueError(f'{wrong}: the addresses of {kind!r} are no list.')
  if not isinstance(task, dict) or not isinstance(task.get('type'), str):
    raise ValueError(f'{wrong}: "task" says no "type".')
  if type(task.get('index')) is not int:  # a bool is an int
    raise ValueError(f'{wrong}: "task" says no whole number as "index".')
  rename = (names or {}).get
  return ClusterConfig(
    {rename(kind, kind): tuple(hosts) for kind, hosts in cluster.items()},
    rename(task['type'], task['type']),
    task['index'],
    source,
  )


def _is_list_of_strings(value):
  return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _from_slurm(environ):
  for name in ('SLURM_STEP_NODELIST', 'SLURM_JOB_NODELIST'):
    if environ.get(name):
      nodes = expand_nodes(environ[name])
      break
  else:
    raise ValueError(
      'SLURM_PROCID is set, but neither SLURM_STEP_NODELIST nor '
      'SLURM_JOB_NODELIST; start the tasks with srun, or unset it.'
    )
  counts = _tasks_per_node(environ, len(nodes))
  if sum(counts) == 1:
    return None
  job = _slurm_number(environ, 'SLURM_JOB_ID', '0')
  first = _SLURM_PORTS[job % len(_SLURM_PORTS)]
  addresses = tuple(
    f'{node}:{first + i}'
    for node, count in zip(nodes, counts)
    for i in range(count)
  )
  index = _slurm_number(environ, 'SLURM_PROCID')
  return ClusterConfig({'worker': addresses}, 'worker', index, 'Slurm')


def _tasks_per_node(environ, nodes):
  """Returns [tasks] of each node; Slurm writes 2,2,2,1 as 2(x3),1."""
  for name in ('SLURM_STEP_TASKS_PER_NODE', 'SLURM_TASKS_PER_NODE'):
    text = environ.get(name)
    if text:
      counts = []
      for part in text.split(','):
        match = re.fullmatch(r'(\d+)(?:\(x(\d+)\))?', part)
        if not match:
          raise ValueError(f'{name} must look like 2(x3),1, got {text!r}.')
        counts += [int(match[1])] * int(match[2] or 1)
      if len(counts) != nodes:
        raise ValueError(
          f'{name} is {text!r}, for {len(counts)} nodes, but the list of nodes '
          f'has {nodes}.'
        )
      return counts
  tasks = _slurm_number(environ, 'SLURM_NTASKS', str(nodes))
  return [tasks // nodes + (i < tasks % nodes) for i in range(nodes)]


def _slurm_number(environ, name, default=''):
  text = environ.get(name) or default
  if not text.isdigit():
    raise ValueError(f'{name} must be a whole number, got {text!r}.')
  return int(text)


def expand_nodes(text: str) -> list:
  """Returns the nodes of a list as Slurm writes it, in its order.

  Args:
    text: such as `n[08-10,12],login,rack[1-2]x[0-3]`.

  Raises:
    ValueError: it is none.
  """
  # Commas that are not inside brackets.
  parts = re.split(r',(?![^\[]*\])', text)
  pieces = r'[^\[\],\s]+|\[\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*\]'
  nodes = []
  for part in parts:
    if not re.fullmatch(f'(?:{pieces})+', part):
      raise ValueError(
        f'A list of Slurm nodes looks like n[1-3],m5, got {text!r}.'
      )
    names = ['']
    for piece in re.findall(pieces, part):
      ends = _expand_range(piece[1:-1]) if piece[0] == '[' else [piece]
      names = [name + end for name in names for end in ends]
    nodes += names
  return nodes


def _expand_range(text):
  """'08-10,12' -> ['08', '09', '10', '12']."""
  out = []
  for part in text.split(','):
    first, _, last = part.partition('-')
    for i in range(int(first), int(last or first) + 1):
      out.append(str(i).zfill(len(first)))
  return out


def _check_addresses(config):
  for kind, hosts in config.cluster.items():
    if kind not in TASK_TYPES:
      raise ValueError(
        f'{config.source} has the unknown task type {kind!r} in its cluster; '
        f'known: {", ".join(TASK_TYPES)}.'
      )
    if not hosts:
      raise ValueError(
        f'{config.source} has no addresses for task type {kind!r}; name them, '
        'or leave the type out.'
      )
    for host in hosts:
      _check_address(config.source, kind, host)
  every = [host for hosts in config.cluster.values() for host in hosts]
  host, times = collections.Counter(every).most_common(1)[0]
  if times > 1:
    raise ValueError(
      f'{config.source} has the address {host!r} {times} times; each task '
      'needs its own.'
    )


def _check_address(source, kind, address):
  # An IPv6 address stands in brackets: its colons are no ports.
  match = re.fullmatch(r'(\[[0-9a-fA-F:.%\w]+\]|[^\s:/\[\]]+):(\d+)', address)
  if not match or not 1 <= int(match[2]) <= 65_535:
    raise ValueError(
      f'{source} has the address {address!r} for task type {kind!r}; it must '
      'be host:port with a port from 1 to 65535.'
    )


def _check_task(config):
  kind, index, source = config.task_type, config.task_index, config.source
  if kind not in TASK_TYPES:
    raise ValueError(
      f'{source} gives this process the unknown task type {kind!r}; known: '
      f'{", ".join(TASK_TYPES)}.'
    )
  if kind not in config.cluster and kind != 'evaluator':
    raise ValueError(
      f'{source} says that this process is {kind} {index}, but its cluster '
      f'has only {_kinds(config)}.'
    )
  # An evaluator that is not in the cluster has no number of tasks.
  count = len(config.cluster.get(kind, ())) or max(index, 0) + 1
  if not 0 <= index < count:
    raise ValueError(
      f'{source} says that this process is {kind} {index}, but there are '
      f'{count}: the index must be from 0 to {count - 1}.'
    )


def _check_strategy(config, strategy):
  source, cluster = config.source, config.cluster
  chiefs = len(cluster.get('chief', ()))
  if chiefs > 1:
    raise ValueError(f'{source} has {chiefs} chiefs; there can be only one.')
  if strategy in ONE_PROCESS:
    _check_alone(config, strategy)
    return
  if config.task_type == 'evaluator':
    raise ValueError(
      f'{source} says that this process is an evaluator, which is no part of '
      f'--strategy={strategy}; start it with --mode=continuous_eval '
      '--strategy=one_device.'
    )
  if strategy == 'parameter_server':
    for kind in ('chief', 'worker', 'ps'):
      if kind not in cluster:
        raise ValueError(
          f'Strategy parameter_server needs addresses of "chief", "ps" and '
          f'"worker", but {source} has only {_kinds(config)}.'
        )
  elif 'ps' in cluster:
    raise ValueError(
      f'{source} has parameter servers (ps), which strategy {strategy} does '
      'not use; leave them out, or use --strategy=parameter_server.'
    )


def _check_alone(config, strategy):
  # Slurm's tasks may well be separate runs: only a TF_CONFIG means a cluster.
  if config.task_type == 'evaluator' or config.source == 'Slurm':
    return
  tasks = sum(len(v) for k, v in config.cluster.items() if k != 'evaluator')
  if tasks > 1:
    raise ValueError(
      f'{config.source} has {tasks} training tasks, and each would train by '
      f'itself with --strategy={strategy}; use multi_worker_mirrored or '
      'parameter_server.'
    )


def _kinds(config):
  return ', '.join(config.cluster)
