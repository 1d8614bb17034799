"""Checks of a job's keys against each other."""

from cluster import job as job_lib
from cluster import tf_config
from official_repro.core import cluster_config

# Flags with folders or files, and whether the job writes there.
_PATHS = {
  'data_dir': False,
  'model_dir': True,
  'init_checkpoint': False,
  'config_file': False,
}


def check(job: job_lib.JobSpec) -> None:
  """Checks what no single key can tell.

  Raises:
    ValueError: one sentence that names the keys.
  """
  _check_cluster(job)
  _check_modes(job)
  _check_volumes(job)


def _check_cluster(job):
  tasks = sum(tf_config.training_tasks(job).values())
  if tasks > 1 and job.strategy in cluster_config.ONE_PROCESS:
    raise ValueError(
      f'Key command.flags.strategy is {job.strategy!r}, with which one task '
      f'trains, but workers, ps and chief make {tasks}; use '
      'multi_worker_mirrored or parameter_server.'
    )
  cluster = tf_config.cluster_of(job, lambda kind, i: f'{kind}-{i}:1')
  try:
    cluster_config.check(
      cluster_config.ClusterConfig(cluster, next(iter(cluster)), 0, 'the spec'),
      job.strategy,
    )
  except ValueError as e:
    raise ValueError(f'Keys workers, ps and chief: {e}') from e


def _check_modes(job):
  mode = job.flags.get('mode', 'train_and_eval')
  for reason, wanted in (
    ('strategy parameter_server', job.asynchronous),
    ('evaluator: true', job.evaluator),
  ):
    if wanted and mode != 'train':
      raise ValueError(
        f'Key command.flags.mode must be train with {reason}, got {mode!r}.'
      )
  if job.retries and job.flags.get('resume') == 'never':
    raise ValueError(
      "Key command.flags.resume is 'never', so that an interrupted job cannot "
      f'go on, but retries is {job.retries}; use auto, or retries: 0.'
    )


def _check_volumes(job):
  mounts = [v.mount for v in job.volumes]
  for mount in mounts:
    if mounts.count(mount) > 1:
      raise ValueError(f'Two volumes have the mount {mount!r}.')
  for flag, written in _PATHS.items():
    value = job.flags.get(flag) or []
    for path in value if isinstance(value, list) else [value]:
      _check_path(job, flag, str(path), written)


def _check_path(job, flag, path, written):
  if not any(v.holds(path) for v in job.volumes):
    raise ValueError(
      f'Key command.flags.{flag} is {path!r}, which lies in none of the '
      f'volumes ({", ".join(v.mount for v in job.volumes) or "there are none"}'
      ').'
    )
  volume = job.volume_of(path)
  if written and volume.read_only:
    raise ValueError(
      f'Key command.flags.{flag} is {path!r}, but volumes.{volume.name} is '
      'read_only.'
    )
