"""What needs two replicas, or servers: each changes TensorFlow for good.

python -m tests.elastic_process FILE --FLAG=VALUE ...

Trains on two replicas, the record ids of each step to FILE (see recording):
up to step STOP first, then to the end, and evaluates. Then starts a worker for
each of two lanes and a parameter server as threads and prints what came to whom
as JSON, [[worker, record ids], ...].
"""

import functools
import json
import os
import socket
import sys

STOP = 7
# Of the lanes; as many rounds of steps as it takes until both workers have one.
START, BATCH, STEPS, ROUNDS, SEED, GROUP = 24, 4, 16, 100, 3, 32


def main():
  # With two devices in one process oneDNN's gradients crash now and then.
  os.environ['TF_ENABLE_ONEDNN_OPTS'] = '0'
  import tensorflow as tf

  from tests import recording, tiny
  from tests.conftest import optimize_graphs

  cpu = tf.config.list_physical_devices('CPU')[0]
  tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
  )
  optimize_graphs(False)
  path, *words = sys.argv[1:]
  options = dict(word[2:].split('=', 1) for word in words)
  options['strategy'] = 'mirrored'
  for more in ({'train_steps': STOP}, {'mode': 'train_and_eval'}):
    with recording.to(path):
      done = tiny.call('train', **{**options, **more})
    print(done.stdout)
    print(done.stderr, file=sys.stderr)
    if done.returncode:
      sys.exit(done.returncode)
  print(json.dumps(_lanes(options['data_dir'])))


def _lanes(data):
  import orbit
  import tensorflow as tf

  from official_repro.data import pipeline

  addresses = [_free_address() for _ in range(3)]
  cluster = tf.train.ClusterSpec({'worker': addresses[:2], 'ps': addresses[2:]})
  running = [
    tf.distribute.Server(cluster, job_name=job, task_index=index, start=True)
    for job, index in (('worker', 0), ('worker', 1), ('ps', 0))
  ]
  strategy = tf.distribute.ParameterServerStrategy(
    tf.distribute.cluster_resolver.SimpleClusterResolver(
      cluster, rpc_layer='grpc'
    )
  )

  def make(input_context=None):
    return pipeline.make_dataset(
      data,
      'train',
      batch_size=BATCH,
      training=True,
      resize=40,
      crop=32,
      seed=SEED,
      start_position=START,
      shuffle_group=GROUP,
      input_context=input_context,
      with_source_id=True,
    )

  @tf.function
  def step(iterator):
    worker = tf.distribute.coordinator.experimental_get_current_worker_index()
    return worker, next(iterator)['source_id']

  with strategy.scope():
    # As Model Garden's Trainer does.
    coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
    of_worker = tf.function(
      functools.partial(orbit.utils.make_distributed_dataset, strategy, make)
    )
    iterator = iter(coordinator.create_per_worker_dataset(of_worker))
    found = []
    for _ in range(ROUNDS):
      new = [coordinator.schedule(step, (iterator,)) for _ in range(STEPS)]
      coordinator.join()
      found += [
        [int(worker), [i.decode() for i in ids]]
        for worker, ids in map(coordinator.fetch, new)
      ]
      if {worker for worker, _ in found} == {0, 1}:
        break
  del running
  return found


def _free_address():
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    return f'127.0.0.1:{s.getsockname()[1]}'


if __name__ == '__main__':
  main()
