"""Places a network on real parameter servers of one process; takes a step.

python -m tests.planning.cluster_of_threads SERVERS

Prints as JSON {"held": {way of placing: what the servers hold}, "steps": {once,
each_time: what `step` returns}}. A process of its own, as a strategy of this
kind changes TensorFlow's context for good.
"""

import contextlib
import json
import socket
import sys
from unittest import mock

import tensorflow as tf

from official_repro import experiments, record_task
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
  held = {how: _made(strategy, way) for how, way in placing.items()}
  steps = {'once': step(strategy)}
  with mock.patch.object(server_variables, 'read_once', contextlib.nullcontext):
    steps['each_time'] = step(strategy)
  print(json.dumps({'held': held, 'steps': steps}))
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


def step(strategy):
  """Takes one step whose loss has a regulariser, on the worker.

  Returns:
    The loss, the gradient, and how often the step fetches the weights.
  """
  with strategy.scope():
    layer = tf.keras.layers.Dense(
      1,
      use_bias=False,
      kernel_initializer=tf.constant_initializer([3.0, 4.0]),
      kernel_regularizer=tf.keras.regularizers.L2(0.5),
    )
    layer.build([None, 2])
    optimizer = tf.keras.optimizers.legacy.SGD(1.0, momentum=0.9)
    optimizer._create_all_weights(layer.trainable_variables)

  def forward():
    outputs = layer(tf.constant([[1.0, 2.0]]))
    return tf.reduce_sum(outputs) + tf.add_n(layer.losses), None

  def of_worker():
    descend = record_task.descend
    return strategy.run(lambda: descend(forward, layer, optimizer)[0])

  coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
  with strategy.scope():
    for _ in range(2):  # the second trace has nothing of the first one
      function = tf.function(of_worker, autograph=False)
      traced = function.get_concrete_function()
  loss = coordinator.fetch(coordinator.schedule(traced))
  slot = optimizer.get_slot(layer.kernel, 'momentum')  # minus the gradient
  return float(loss), (-slot.numpy()[:, 0]).tolist(), _fetches(traced, layer)


def _fetches(traced, layer):
  (place,) = (
    inner
    for outer, inner in traced.graph.captures
    if outer is layer.kernel.handle
  )
  return sum(op.type == 'ReadVariableOp' for op in place.consumers())


def _free_address():
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    return f'127.0.0.1:{s.getsockname()[1]}'


if __name__ == '__main__':
  main(int(sys.argv[1]))
