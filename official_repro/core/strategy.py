"""The four tf.distribute strategies behind one name."""

import os
from typing import Optional

import tensorflow as tf

from official_repro.core import cluster_config, watchdog
from official_repro.util import onednn

_CLUSTER = ('multi_worker_mirrored', 'parameter_server')
_MIN_THREADS = 4


def create(
  name: str, cluster: Optional[cluster_config.ClusterConfig] = None
) -> tf.distribute.Strategy:
  """Returns the strategy called `name`.

  Args:
    name: one_device (the first GPU, else the CPU), mirrored (all local GPUs,
      else all logical CPU devices), multi_worker_mirrored or parameter_server
      (only on the chief).
    cluster: from `cluster`.

  Raises:
    ValueError: unknown name.
  """
  if name == 'one_device':
    device = 'GPU:0' if tf.config.list_logical_devices('GPU') else 'CPU:0'
    return tf.distribute.OneDeviceStrategy(device)
  if name == 'mirrored':
    gpus = tf.config.list_logical_devices('GPU')
    devices = gpus or tf.config.list_logical_devices('CPU')
    return tf.distribute.MirroredStrategy([d.name for d in devices])
  if cluster is not None:
    os.environ['TF_CONFIG'] = cluster.to_json()  # where TensorFlow looks
  if name == 'multi_worker_mirrored':
    return tf.distribute.MultiWorkerMirroredStrategy()
  if name == 'parameter_server':
    return tf.distribute.ParameterServerStrategy(
      tf.distribute.cluster_resolver.TFConfigClusterResolver()
    )
  raise ValueError(f'Unknown strategy {name!r}.')


def cluster(name: str) -> Optional[cluster_config.ClusterConfig]:
  """Reads and checks the cluster, see cluster_config.from_environment.

  Args:
    name: of the strategy.

  Returns:
    The cluster; None for strategies of one process, and where none is set.

  Raises:
    ValueError: it is missing or wrong.
  """
  config = cluster_config.from_environment(os.environ)
  cluster_config.check(config, name)
  return config if name in _CLUSTER else None


def serves(name: str, config: Optional[cluster_config.ClusterConfig]) -> bool:
  """Whether this task only serves: a worker or ps under parameter servers."""
  return name == 'parameter_server' and config.task_type in ('worker', 'ps')


def serve(
  config: cluster_config.ClusterConfig, model_dir: str, memory_growth: bool
) -> None:
  """Runs a tf.distribute.Server for a worker or ps task, and never returns.

  SIGTERM ends it as any process: it holds nothing that the chief does not
  save.

  Args:
    config: the cluster.
    model_dir: the run's folder.
    memory_growth: see RuntimeConfig; a server has its own setting of it.
  """
  os.environ['TF_CONFIG'] = config.to_json()
  resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
  facts = {'onednn': onednn.enabled()}
  with watchdog.Watchdog(model_dir, config.name, (), 0, facts=facts) as signs:
    server = tf.distribute.Server(
      resolver.cluster_spec(),
      job_name=resolver.task_type,
      task_index=resolver.task_id,
      protocol='grpc',
      config=_server_options(config, memory_growth),
      start=True,
    )
    signs.beat(0, 'serving')
    server.join()


def _server_options(config, memory_growth):
  options = tf.compat.v1.ConfigProto()
  options.gpu_options.allow_growth = memory_growth
  # By default as many as there are cores; with one thread a step that waits for
  # a variable keeps the input from running, and the worker hangs.
  options.inter_op_parallelism_threads = max(
    _MIN_THREADS, os.cpu_count() or 1, len(config.cluster['worker']) + 1
  )
  return options
