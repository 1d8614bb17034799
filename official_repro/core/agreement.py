"""What the processes of a synchronous cluster must agree on."""

import sys
from typing import Optional

import tensorflow as tf

from official_repro.core import cluster_config, watchdog
from official_repro.util import onednn


class Agreement:
  """Adds up numbers over the processes of MultiWorkerMirroredStrategy.

  Every process must call the same methods in the same order: each call is a
  collective operation. Under other strategies there is one process, and its
  own numbers are the sums.

  Args:
    strategy: tf.distribute.Strategy.
    index: of this process.
    count: of processes.
  """

  def __init__(self, strategy, index: int = 0, count: int = 1):
    self._strategy, self._index, self.count = strategy, index, count
    # Each replica of a process gives the process's numbers once more.
    self._local = strategy.num_replicas_in_sync // max(count, 1)

    def total(values):
      of_replicas = strategy.run(lambda v: v, args=(values,))
      return strategy.reduce(tf.distribute.ReduceOp.SUM, of_replicas, axis=None)

    self._total = tf.function(total, autograph=False)

  def gather(self, value: float) -> list[float]:
    """Returns the value of every process, by its index."""
    if self.count == 1:
      return [float(value)]
    own = [value if i == self._index else 0.0 for i in range(self.count)]
    total = self._total(tf.constant(own, tf.float32)).numpy()
    return [float(v) / self._local for v in total]

  def any(self, value: bool) -> bool:
    """Whether it is true in any process."""
    return any(self.gather(float(value)))

  def check_same(self, value: int, what: str) -> None:
    """Checks that all processes have the same number.

    Raises:
      ValueError: they differ.
    """
    # float32 holds 24 bits: two halves of a position are exact.
    for part in (value % 2**20, value // 2**20):
      found = self.gather(part)
      if len(set(found)) > 1:
        raise ValueError(
          f'The processes disagree on {what}: this one has {value:,d}; give '
          'all of them the same --model_dir, on a disk that they share.'
        )


def tell_of_onednn(
  agreement: Agreement,
  cluster: Optional[cluster_config.ClusterConfig],
  model_dir: str,
) -> None:
  """Warns on the leading task where the tasks of a cluster differ in oneDNN.

  Args:
    agreement: of the processes that train in step.
    cluster: None where there is none.
    model_dir: the run's folder, where servers say it before they serve.
  """
  if cluster is None or not cluster.others():
    return
  own = onednn.enabled()
  if agreement.count > 1:
    tasks = dict(zip(cluster.trainers, map(bool, agreement.gather(own))))
  else:
    others = watchdog.fact(model_dir, [*cluster.others()], 'onednn')
    tasks = {cluster.name: own, **others}
  difference = onednn.difference(tasks)
  if difference and cluster.leads:
    print(difference, file=sys.stderr, flush=True)
