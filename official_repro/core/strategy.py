"""The four tf.distribute strategies behind one name."""

import json
import os

import tensorflow as tf


def create(name: str) -> tf.distribute.Strategy:
  """Returns the strategy called `name`.

  Args:
    name: one_device (the first GPU, else the CPU), mirrored (all local GPUs,
      else all logical CPU devices), multi_worker_mirrored (TF_CONFIG) or
      parameter_server (TF_CONFIG; only on the chief).

  Raises:
    ValueError: unknown name, or TF_CONFIG is missing or not JSON.
  """
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
    cluster = _cluster('parameter_server')
    if 'ps' not in cluster.get('cluster', {}):
      raise ValueError(
        'Strategy parameter_server needs "ps" and "worker" addresses in '
        f'TF_CONFIG, got {os.environ["TF_CONFIG"]!r}.'
      )
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
  task = _cluster(name).get('task', {}).get('type')
  if task not in ('worker', 'ps'):
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


def _cluster(name):
  text = os.environ.get('TF_CONFIG')
  if not text:
    raise ValueError(
      f'Strategy {name} needs the cluster in the environment variable '
      'TF_CONFIG, which is not set.'
    )
  try:
    return json.loads(text)
  except ValueError as e:
    raise ValueError(f'TF_CONFIG is not JSON: {e}; got {text!r}.') from e
