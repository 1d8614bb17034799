"""Who is in the cluster of a job, and TF_CONFIG of each task."""

import json
from collections.abc import Mapping, Sequence
from typing import Callable, Union

from cluster import job as job_lib

# As TFJob's; pods have addresses of their own, so all can have the same.
PORT = 2222


def training_tasks(job: job_lib.JobSpec) -> dict:
  """Returns {task type: number of tasks}: the cluster, the first one first."""
  return {
    kind: count
    for kind, count in (
      ('chief', int(job.chief)),
      ('ps', job.ps),
      ('worker', job.workers),
    )
    if count
  }


def all_tasks(job: job_lib.JobSpec) -> dict:
  """As `training_tasks`, with the evaluator, which is not in the cluster."""
  return {**training_tasks(job), **({'evaluator': 1} if job.evaluator else {})}


def is_needed(job: job_lib.JobSpec) -> bool:
  """Whether tasks need a TF_CONFIG: a single one does not."""
  return sum(all_tasks(job).values()) > 1


def cluster_of(
  job: job_lib.JobSpec, address: Callable[[str, int], str]
) -> dict:
  """Returns {task type: addresses}.

  Args:
    job: from spec.load.
    address: (task type, index) -> host:port.
  """
  return {
    kind: [address(kind, i) for i in range(count)]
    for kind, count in training_tasks(job).items()
  }


def text(
  cluster: Mapping[str, Sequence[str]], kind: str, index: Union[int, str]
) -> str:
  """Returns TF_CONFIG of a task.

  Args:
    cluster: {task type: addresses}.
    kind: type of the task.
    index: of the task, or what will be replaced by it, such as $(INDEX).
  """
  task = f'{{"type": {json.dumps(kind)}, "index": {index}}}'
  return f'{{"cluster": {json.dumps(cluster)}, "task": {task}}}'
