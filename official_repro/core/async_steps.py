"""Asynchronous steps under parameter servers, as in the paper (Downpour SGD).

Every worker reads the variables, computes a gradient on its own batch and
applies it, without waiting for the others. A step's staleness is the number of
other steps that were applied between its reading and its applying; with W
workers of one speed it is W - 1 on average.
"""

import time
from typing import Any, Callable

import tensorflow as tf

_POLL_SECONDS = 0.02
# Steps that wait in the queue for each worker, so that none runs dry.
_AHEAD = 4

_STEPS, _WAITED, _STALE = range(3)


class WorkerCounts:
  """What each worker has done: a variable on the servers.

  Args:
    workers: W.
  """

  def __init__(self, workers: int):
    self.workers = workers
    self._totals = tf.Variable(
      tf.zeros([workers, 3], tf.float64),
      trainable=False,
      name='worker_counts',
    )
    self._before = self._totals.numpy()
    self._time = time.perf_counter()

  def add(self, waited: tf.Tensor, staleness: tf.Tensor) -> None:
    """Counts a step of the worker that runs this; in a scheduled function.

    Args:
      waited: float64 [], seconds for the batch.
      staleness: int64 [].
    """
    worker = tf.distribute.coordinator.experimental_get_current_worker_index()
    row = tf.stack([1.0, waited, tf.cast(staleness, tf.float64)])
    self._totals.scatter_nd_add([[worker]], [row])

  def steps(self) -> list[int]:
    """Returns the steps that each worker has done."""
    return [int(n) for n in self._totals.numpy()[:, _STEPS]]

  def logs(self, batch_size: int) -> dict[str, float]:
    """Returns what happened since the last call, for TensorBoard.

    Args:
      batch_size: images of a step.

    Returns:
      staleness: mean of the steps; data_wait_seconds: sum of the workers;
      worker/K/images_per_second, worker/K/data_wait: of each worker, the second
      as a share of the time.
    """
    now, totals = time.perf_counter(), self._totals.numpy()
    elapsed = max(now - self._time, 1e-9)
    done = totals - self._before
    self._time, self._before = now, totals
    logs = {
      'staleness': done[:, _STALE].sum() / max(done[:, _STEPS].sum(), 1),
      'data_wait_seconds': done[:, _WAITED].sum(),
    }
    for worker, (steps, waited, _) in enumerate(done):
      logs[f'worker/{worker}/images_per_second'] = steps * batch_size / elapsed
      logs[f'worker/{worker}/data_wait'] = waited / elapsed
    return logs


def make_step(
  counts: WorkerCounts,
  iterations: tf.Variable,
  train_step: Callable[[Any], None],
) -> Callable:
  """Returns the function that the coordinator sends to a worker.

  Args:
    counts: gets the step.
    iterations: of the optimizer, which every applied gradient advances.
    train_step: takes a batch.
  """

  def step(iterator):
    start = tf.timestamp()
    with tf.control_dependencies([start]):
      inputs = next(iterator)
    tensors = tf.nest.flatten(inputs, expand_composites=True)
    with tf.control_dependencies(tensors):
      waited = tf.timestamp() - start
      before = iterations.read_value()
    with tf.control_dependencies([waited, before]):
      train_step(inputs)
    # Reads of a variable keep their place among its changes.
    after = iterations.read_value()
    counts.add(waited, after - before - 1)

  return tf.function(step, autograph=False)


def run(
  coordinator,
  step: Callable,
  iterator,
  num_steps: int,
  *,
  done: Callable[[], int],
  workers: int,
  should_stop: Callable[[], bool],
  on_poll: Callable[[int], None],
) -> int:
  """Has the workers do steps; returns when all that began have ended.

  A step of a worker that dies is given to another one. Steps are handed out
  little by little, so that a stop is quick.

  Args:
    coordinator: ClusterCoordinator.
    step: from make_step.
    iterator: of the per-worker dataset.
    num_steps: steps to do.
    done: returns the number of steps that have ended.
    workers: W.
    should_stop: asked all the time; True ends the loop early.
    on_poll: called all the time with the number of steps that have ended.

  Returns:
    The number of steps handed out.
  """
  begun = 0
  while begun < num_steps and not should_stop():
    ended = done()
    on_poll(ended)
    while begun < min(num_steps, ended + _AHEAD * workers):
      coordinator.schedule(step, args=(iterator,))
      begun += 1
    time.sleep(_POLL_SECONDS)
  while not coordinator.done():
    on_poll(done())
    time.sleep(_POLL_SECONDS)
  coordinator.join()  # raises what a step raised
  return begun
