"""Makes a network and its slots on real parameter servers of one process.

python -m tests.planning.cluster_of_threads SERVERS

Prints {way of placing: what the servers hold} as JSON. A process of its own, as
a strategy of this kind changes TensorFlow's context for good.
"""

import contextlib
import json
import socket
import sys

import tensorflow as tf

from official_repro import experiments
from official_repro.core import optimizers, server_variables
from official_repro.modeling import classifier

CLASSES, SHARDS = 23, 5
OPTIONS = {'depth': 14, 'width': 0.125}


def main(servers):
  """Starts the servers, makes the variables, adds up."""
  addresses = {
    'ps': [_free_address() for _ in range(servers)],
    'worker': [_free_address()],
  }
  cluster = tf.train.ClusterSpec(addresses)
  running = [
    tf.distribute.Server(cluster, job_name=job, task_index=index, start=True)
    for job, of_job in addresses.items()
    for index in range(len(of_job))
  ]
  strategy = tf.distribute.ParameterServerStrategy(
    tf.distribute.cluster_resolver.SimpleClusterResolver(
      cluster, rpc_layer='grpc'
    )
  )
  placing = {
    'in_turn': contextlib.nullcontext(),
    'by_size': server_variables.placed_by_size(strategy),
  }
  print(json.dumps({how: _made(strategy, way) for how, way in placing.items()}))
  sys.stdout.flush()
  del running


def _made(strategy, placing):
  config = experiments.jft300m_resnet101().trainer.optimizer_config
  with strategy.scope(), placing:
    model = classifier.Classifier(CLASSES, SHARDS, **OPTIONS)
    optimizer = optimizers.build_optimizer(config)
    optimizer._create_all_weights(model.trainable_variables)
  variables = (*model.variables, *optimizer.weights[1:])
  held = {
    server: sum(v.shape.num_elements() * v.dtype.size for v in of_server)
    for server, of_server in server_variables.by_server(variables).items()
  }
  table = server_variables.table(variables)
  return {'held': held, 'slots': len(optimizer.weights) - 1, 'table': table}


def _free_address():
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    return f'127.0.0.1:{s.getsockname()[1]}'


if __name__ == '__main__':
  main(int(sys.argv[1]))
