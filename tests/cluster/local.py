"""Clusters on this machine for tests: of stand-ins, and of tiny trainings."""

import json

from cluster import local_cluster, supervisor
from tests import binaries, tiny
from tests.cluster import waiting

ASYNCHRONOUS = {'chiefs': 1, 'workers': 1, 'ps': 1}
SYNCHRONOUS = {'workers': 2}


def strategy(tasks):
  """Returns the strategy of a cluster of {chiefs, workers, ps: number}."""
  return 'parameter_server' if 'ps' in tasks else 'multi_worker_mirrored'


def fake_words(folder, tasks, plan):
  """Returns the command of stand-ins.

  Args:
    folder: where they leave their files.
    tasks: {chiefs, workers, ps: number}.
    plan: {KIND-INDEX: [steps of each start]}, see fake_task.
  """
  return _words(
    'tests.cluster.fake_task',
    folder=folder,
    strategy=strategy(tasks),
    mode='train',
    plan=json.dumps(plan),
  )


def fake(folder, tasks, plan, **options):
  """Returns a LocalCluster of stand-ins, not started; logs in folder/logs."""
  return local_cluster.LocalCluster(
    fake_words(folder, tasks, plan),
    log_dir=folder / 'logs',
    **tasks,
    **options,
  )


def run(folder, tasks, plan, **options):
  """Runs stand-ins to their end; returns the exit code."""
  with fake(folder, tasks, plan, **options) as cluster:
    code = supervisor.Supervisor(cluster).run()
    assert all(p.poll() is not None for p in cluster.processes.values())
  return code


def started(folder, name, count=0):
  """Waits until a stand-in has started; returns what it was given."""
  path = folder / f'{name}.{count}'
  waiting.until(path.exists, what=path.name)
  return json.loads(path.read_text())


def training(
  data, model_dir, steps=8, log_dir=None, options=None, record=None, **tasks
):
  """Returns a LocalCluster, not started, that trains a tiny mini_jft.

  Args:
    data: folder made by tiny.build.
    model_dir: the run's folder.
    steps: optimizer steps.
    log_dir: see LocalCluster.
    options: {flag: value} beside those of tiny.train_options.
    record: folder for the records that each task takes, see recorded.
    **tasks: chiefs, workers, ps: numbers of tasks; with ps it is asynchronous,
      else multi_worker_mirrored. And evaluator, restarts: see LocalCluster.
  """
  given = {'mode': 'train', 'strategy': strategy(tasks), **(options or {})}
  flags = tiny.train_options(data, model_dir, steps=steps, **given)
  if record is None:
    words = _words('official_repro.train', **flags)
  else:
    words = [*_words('tests.cluster.recorded', **flags), str(record)]
  return local_cluster.LocalCluster(words, log_dir=log_dir, **tasks)


def _words(module, **options):
  """Returns a command as LocalCluster takes it: without python -m."""
  return binaries.command(module, **options)[2:]
