r"""A whole cluster on this machine, for tests and a first look.

  python -m cluster.local_cluster --chiefs=1 --workers=2 --ps=1 -- \
      official_repro.train --experiment=mini_jft --data_dir=DIR \
      --model_dir=DIR --strategy=parameter_server --mode=train

starts each task as a process with its TF_CONFIG and ends with the training, as
supervisor.py says. Without --chiefs and --ps it is a cluster of
--strategy=multi_worker_mirrored. The output of the chief, or of worker 0, is
shown; LOG_DIR/TASK-INDEX.log has each one's.

SIGTERM is handed on: the training saves, and the exit code is 143. Ctrl-C, and
on Linux even SIGKILL, ends all tasks at once.

All addresses are of 127.0.0.1, but TensorFlow's servers listen on every network
interface, whatever their address, and anyone who reaches them may use them.
"""

import difflib
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Optional

from absl import flags

from cluster import command, processes, supervisor, tf_config
from official_repro.core import cluster_config
from official_repro.core import flags as core_flags

_TO_BEGIN = 'a Python module, such as official_repro.train'
# The last one of a flag counts.
_OF_EVALUATOR = ('--mode=continuous_eval', '--strategy=one_device')


class LocalCluster:
  """Tasks on 127.0.0.1 that run one training; a context manager.

  Leaving the context ends all tasks. Tasks have to be started from a thread
  that lives as long as they do (see processes.start).

  A task is (kind, index): kind is chief, worker, ps or evaluator.

  Attributes:
    tasks: all of them, the first one of the training first.
    leaders: those that end by themselves and save: with parameter servers the
      chief, else all but the evaluator.
    asynchronous: whether it has parameter servers.
    processes: {task: subprocess.Popen}, of those that were started.
    log_dir: folder with TASK-INDEX.log of each.
    restarts: as given.
    keep_logs: whether a log_dir that was not given stays after the context; it
      does after an exception, too.
  """

  def __init__(
    self,
    words: Sequence[str],
    *,
    chiefs: int = 0,
    workers: int = 0,
    ps: int = 0,
    evaluator: bool = False,
    restarts: int = 0,
    log_dir: Optional[str] = None,
    environ: Optional[Mapping[str, str]] = None,
  ):
    """Checks what is to run; starts nothing.

    Args:
      words: [module, '--flag=value', ...], as of command.words.
      chiefs: number of chiefs, 0 or 1.
      workers: number of workers.
      ps: number of parameter servers.
      evaluator: whether a task evaluates each checkpoint.
      restarts: how often the supervisor starts again each worker, parameter
        server or evaluator, and the whole cluster.
      log_dir: folder for the logs, made if need be; default: a temporary one.
      environ: variables of the tasks beside those of this process.

    Raises:
      ValueError: the tasks do not fit each other or the command.
      OSError: log_dir cannot be made.
    """
    counts = {'chief': chiefs, 'worker': workers, 'ps': ps}
    check(words, counts, evaluator, restarts)
    counts = {kind: count for kind, count in counts.items() if count}
    addresses = iter(processes.free_addresses(sum(counts.values())))
    self.cluster = {
      kind: [next(addresses) for _ in range(count)]
      for kind, count in counts.items()
    }
    self._words = list(words)
    self._environ = {**os.environ, **(environ or {})}
    training = [(kind, i) for kind, n in counts.items() for i in range(n)]
    self.tasks = training + ([('evaluator', 0)] if evaluator else [])
    self.asynchronous = 'ps' in counts
    self.leaders = training[:1] if self.asynchronous else training
    self.processes = {}
    self.restarts = restarts
    self.keep_logs = log_dir is not None
    if log_dir is not None:
      os.makedirs(log_dir, exist_ok=True)
    self.log_dir = log_dir or tempfile.mkdtemp(prefix='local_cluster-')
    for task in self.tasks:
      with open(self.log(*task), 'wb'):
        pass  # empties that of an earlier cluster

  def __enter__(self):
    return self

  def __exit__(self, kind, *_):
    self.end()
    if kind is None and not self.keep_logs:
      shutil.rmtree(self.log_dir)

  def start(self) -> None:
    """Starts all tasks."""
    for task in self.tasks:
      self.start_task(*task)

  def start_task(self, kind: str, index: int) -> None:
    """Starts a task, or starts it again at the same address.

    Raises:
      ValueError: the cluster has no such task, or it runs.
    """
    task = (kind, index)
    if task not in self.tasks:
      raise ValueError(f'The cluster has no {kind}-{index}.')
    if task in self.processes and self.code(kind, index) is None:
      raise ValueError(f'Task {kind}-{index} runs already.')
    words = self._words
    if kind == 'evaluator':
      words = [*words, *_OF_EVALUATOR]
    self.processes[task] = processes.start(
      words, self.log(kind, index), self._environment(kind, index)
    )

  def kill(self, kind: str, index: int, number: int = signal.SIGKILL) -> None:
    """Sends a signal to a task, if it runs."""
    self.processes[kind, index].send_signal(number)

  def code(self, kind: str, index: int) -> Optional[int]:
    """Returns a task's exit code, 128 + n for signal n; None while it runs."""
    return processes.exit_code(self.processes[kind, index])

  def wait(self, kind: str, index: int, timeout: float) -> int:
    """Waits until a task ends; returns its exit code as `code` does.

    Args:
      kind: of the task.
      index: of the task.
      timeout: in seconds.

    Raises:
      TimeoutError: it still runs then; with its last lines.
    """
    end = time.monotonic() + timeout
    while self.code(kind, index) is None:
      if time.monotonic() > end:
        lines = self.output(kind, index).splitlines()[-5:]
        raise TimeoutError(
          f'{kind}-{index} still runs after {timeout} s; its last lines: '
          + ' / '.join(lines)
        )
      time.sleep(0.02)
    return self.code(kind, index)

  def log(self, kind: str, index: int) -> str:
    """Returns the path of a task's log."""
    return os.path.join(self.log_dir, f'{kind}-{index}.log')

  def output(self, kind: str, index: int) -> str:
    """Returns what a task has written so far to stdout and stderr."""
    with open(self.log(kind, index), encoding='utf-8', errors='replace') as f:
      return f.read()

  def end(self, tasks: Optional[Iterable[tuple]] = None) -> None:
    """Kills all tasks, or some, and waits until they are gone."""
    chosen = self.processes if tasks is None else tasks
    processes.end(self.processes[task] for task in chosen)

  def _environment(self, kind, index):
    environ = {
      'TF_CPP_MIN_LOG_LEVEL': '3',
      # Else a log would come in blocks, and the last one of a killed task not
      # at all.
      'PYTHONUNBUFFERED': '1',
      # The tasks share this machine's GPUs.
      'TF_FORCE_GPU_ALLOW_GROWTH': 'true',
      **self._environ,
      'TF_CONFIG': tf_config.text(self.cluster, kind, index),
    }
    if self.asynchronous and kind in ('chief', 'ps'):
      environ['CUDA_VISIBLE_DEVICES'] = '-1'  # as JobSpec.gpus_of
    return environ


def check(
  words: Sequence[str],
  counts: Mapping[str, int],
  evaluator: bool = False,
  restarts: int = 0,
) -> None:
  """Checks a cluster and its command before anything starts.

  Args:
    words: [module, '--flag=value', ...].
    counts: {chief, worker, ps: number of tasks}.
    evaluator: whether there is one.
    restarts: see LocalCluster.

  Raises:
    ValueError: something is wrong, in one sentence.
  """
  for kind, count in counts.items():
    if count < 0:
      raise ValueError(
        f'The number of {kind} tasks must be 0 or more, got {count}.'
      )
  if not any(counts.values()):
    raise ValueError(
      'There is no task: give --workers=N, and for parameter servers '
      '--chiefs=1 and --ps=N, too.'
    )
  _check_module(words)
  values = _parse(words)
  if not values.strategy:
    raise ValueError(
      'The command has no --strategy; give parameter_server for a chief, '
      'workers and ps, multi_worker_mirrored for workers alone.'
    )
  _check_cluster(counts, values.strategy)
  for reason, wanted in (
    ('--strategy=parameter_server', values.strategy == 'parameter_server'),
    ('--evaluator', evaluator),
  ):
    if wanted and values.mode != 'train':
      raise ValueError(
        f'Flag --mode of the command must be train with {reason}, got '
        f'{values.mode!r}.'
      )
  if restarts and values.resume == 'never':
    raise ValueError(
      "Flag --resume of the command is 'never', so that it cannot go on, but "
      f'--restarts is {restarts}; use auto, or --restarts=0.'
    )


def _check_module(words):
  if not words:
    raise ValueError(
      f'There is no command; write it after --, beginning with {_TO_BEGIN}.'
    )
  name = words[0]
  if name.startswith('-') or not _is_program(name):
    near = difflib.get_close_matches(name, command.MODULES, 1)
    hint = f'; did you mean {near[0]}?' if near else '.'
    raise ValueError(
      f'The command after -- must begin with {_TO_BEGIN}, got {name!r}{hint}'
    )


def _is_program(name):
  """Whether python -m finds it; imports the packages around it only."""
  try:
    found = importlib.util.find_spec(name)
    if found is not None and found.submodule_search_locations is not None:
      found = importlib.util.find_spec(f'{name}.__main__')
  except (ImportError, ValueError):
    return False
  return found is not None


def _parse(words):
  values = command.parse({})
  try:
    # The binary itself tells what is wrong with others.
    values(words, known_only=True)
  except flags.Error as e:
    text = ' '.join(str(e).split()).rstrip('.')
    raise ValueError(f'The command has a wrong value: {text}.') from e
  return values


def _check_cluster(counts, strategy):
  cluster = {
    kind: [f'{kind}-{i}:1' for i in range(count)]
    for kind, count in counts.items()
    if count
  }
  config = cluster_config.ClusterConfig(
    cluster, next(iter(cluster)), 0, 'this cluster'
  )
  try:
    cluster_config.check(config, strategy)
  except ValueError as e:
    raise ValueError(f'Flags --chiefs, --workers and --ps: {e}') from e


def main(words: Sequence[str]) -> int:
  """Parses flags and runs a cluster; returns the exit code.

  Args:
    words: what comes after --.
  """
  values = flags.FLAGS
  if os.environ.get('TF_CONFIG', '').strip():
    raise ValueError(
      'TF_CONFIG is set, so this is a task of a cluster already; unset it, as '
      f'each task here gets its own; got {os.environ["TF_CONFIG"]!r}.'
    )
  with LocalCluster(
    words,
    chiefs=values.chiefs,
    workers=values.workers,
    ps=values.ps,
    evaluator=values.evaluator,
    restarts=values.restarts,
    log_dir=values.log_dir,
  ) as cluster:
    names = ', '.join(f'{kind}-{i}' for kind, i in cluster.tasks)
    print(f'Starting {names}; logs in {cluster.log_dir}', file=sys.stderr)
    code = supervisor.Supervisor(cluster).run()
    cluster.keep_logs = cluster.keep_logs or code != 0
  return code


def define_flags() -> None:
  """Defines the flags of this binary."""
  d = flags
  for name, text in (
    ('chiefs', 'Chiefs: 1 with parameter servers.'),
    ('workers', 'Workers.'),
    ('ps', 'Parameter servers.'),
    ('restarts', 'How often a lost task, or the cluster, is started again.'),
  ):
    d.DEFINE_integer(name, 0, text, lower_bound=0)
  d.DEFINE_bool('evaluator', False, 'A task that evaluates each checkpoint.')
  d.DEFINE_string(
    'log_dir',
    None,
    'Folder for the logs; default: temporary, kept on failure.',
    allow_override=True,  # absl has one, for log files of its own
  )


def _split(words):
  """Returns what comes before --, and what comes after."""
  place = words.index('--') if '--' in words else len(words)
  return words[:place], words[place + 1 :]


if __name__ == '__main__':
  define_flags()
  # Taken out, as absl would call them arguments of this program.
  sys.argv[:], of_tasks = _split(sys.argv)
  core_flags.run(lambda _: main(of_tasks))
