"""What the replicas of a synchronous step tell each other beside gradients.

`record_task.descend` adds up the gradients of each replica's loss by the number
of replicas: the step is on the mean of the replicas' losses. That is the loss
of the whole batch only if all replicas divide by the same number. A number that
depends on the data (labelled pixels, labelled pictures) differs from share to
share, so it goes through `mean_count`; numbers of a picture of its own, and the
number of pictures, which is the same on all replicas, need not.
"""

import tensorflow as tf


def mean_count(count) -> tf.Tensor:
  """Returns the mean over the replicas of what each has counted.

  With c_r counted on replica r of R, and sums s_r, the mean of the losses
  s_r / mean(c) is sum(s) / sum(c), as on one replica with the whole batch.

  To be called by all replicas or none, not inside of tf.cond or tf.while_loop.

  Args:
    count: float scalar of this replica.

  Returns:
    The mean, without gradient; `count` itself on one replica, outside of a
    step, and on each worker of a parameter server cluster.
  """
  context = tf.distribute.get_replica_context()
  if context is None or context.num_replicas_in_sync == 1:
    return count
  mean = context.all_reduce(
    tf.distribute.ReduceOp.MEAN, tf.stop_gradient(count)
  )
  return tf.stop_gradient(mean)
