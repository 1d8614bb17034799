"""The four tf.distribute strategies behind one name."""

import os

import tensorflow as tf

from official_repro.core import cluster_config

_CLUSTER = ('multi_worker_mirrored', 'parameter_server')


def create(name: str) -> tf.distribute.Strategy:
  """Returns the strategy called `name`.

  Args:
    name: one_device (the first GPU, else the CPU), mirrored (all local GPUs,
      else all logical CPU devices), multi_worker_mirrored or parameter_server
      (only on the chief); for the cluster see cluster_config.from_environment.

  Raises:
    ValueError: unknown name, or the cluster is missing or wrong.
  """
  _checked_cluster(name)
  if name == 'one_device':
    device = 'GPU:0' if tf.config.list_logical_devices('GPU') else 'CPU:0'
    return tf.distribute.OneDeviceStrategy(device)
  if name == 'mirrored':
    gpus = tf.config.list_logical_devices('GPU')
    devices = gpus or tf.config.list_logical_devices('CPU')
    return tf.distribute.MirroredStrategy([d.name for d in devices])
  if name == 'multi_worker_mirrored':
    return tf.distribute.MultiWorkerMirroredStrategy()
  if name == 'parameter_server':
    return tf.distribute.ParameterServerStrategy(
      tf.distribute.cluster_resolver.TFConfigClusterResolver()
    )
  raise ValueError(f'Unknown strategy {name!r}.')


def serve_if_worker(name: str) -> None:
  """Runs a tf.distribute.Server for a worker or ps task, and never returns.

  The chief and the evaluator of a parameter server cluster, and all tasks of
  other strategies, go on.
  """
  if name != 'parameter_server':
    return
  if _checked_cluster(name).task_type not in ('worker', 'ps'):
    return
  resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
  server = tf.distribute.Server(
    resolver.cluster_spec(),
    job_name=resolver.task_type,
    task_index=resolver.task_id,
    protocol='grpc',
    start=True,
  )
  server.join()


def _checked_cluster(name):
  """Reads and checks the cluster; leaves it where TensorFlow looks for it."""
  config = cluster_config.from_environment(os.environ)
  cluster_config.check(config, name)
  if config is not None and name in _CLUSTER:
    os.environ['TF_CONFIG'] = config.to_json()
  return config
