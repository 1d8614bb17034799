"""Which rows of the global batches an input pipeline gives."""

import tensorflow as tf


def lane():
  """Returns which of the asynchronous workers makes this dataset, of how many.

  In Downpour SGD (Sun et al. 2017: 50 workers†) each worker takes whole
  batches at its own speed. tf.distribute tells all of them that they are the
  only input pipeline. To be called where the dataset is made.

  What holds: batch b since the start belongs to lane b % count, and each lane
  comes in order and without a gap. At a resume all lanes start at the
  checkpoint's position. What a fast lane had seen ahead of it is seen again and
  what a slow lane had not come to is missed: for each lane at most as many
  batches as it was ahead or behind in steps. A worker that is restarted begins
  its lane anew. Evaluation is not asynchronous.

  Returns:
    The worker's index, int64 [], and the number of workers, int; 0 and 1
    without ParameterServerStrategy.
  """
  strategy = tf.distribute.get_strategy()
  asynchronous = isinstance(strategy, tf.distribute.ParameterServerStrategy)
  if not asynchronous or tf.executing_eagerly():
    return 0, 1
  # TensorFlow 2.15 has no public way: cluster_resolver is None here.
  workers = strategy.extended._num_workers
  # A tensor that is filled in when a worker runs the function.
  index = tf.distribute.coordinator.experimental_get_current_worker_index()
  return index, workers


def slicer(batch_size, start, context, lane=(0, 1)):
  """Cuts one input pipeline's rows out of the global batches.

  Args:
    batch_size: GLOBAL.
    start: position of the first row.
    context: tf.distribute.InputContext.
    lane: index and count; of `count` batches the one of that index is taken,
      see the function `lane`.

  Returns:
    A function from positions, int64, to bool, those of this pipeline; and the
    batch size of one replica.

  Raises:
    ValueError: the batch cannot be divided among the replicas.
  """
  pipelines = context.num_input_pipelines
  if batch_size % context.num_replicas_in_sync or batch_size % pipelines:
    raise ValueError(
      f'The global batch_size {batch_size} cannot be divided among '
      f'{context.num_replicas_in_sync} replicas on {pipelines} input '
      'pipelines; make it a multiple of both.'
    )
  rows = batch_size // pipelines
  pipeline = context.input_pipeline_id

  index, count = lane

  def slice_of(positions):
    batch = (positions - start) // batch_size
    row = (positions - start) % batch_size
    return tf.equal(row // rows, pipeline) & tf.equal(batch % count, index)

  return slice_of, context.get_per_replica_batch_size(batch_size)
