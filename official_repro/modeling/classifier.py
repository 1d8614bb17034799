"""The pre-training network: trunk, spatial mean, sub-FC head.

Sun et al. 2017, sec. 3.1. Shapes: B images, H rows, W columns, C labels.
"""

import numpy as np
import tensorflow as tf

from official_repro.modeling import resnet, sharded_dense


class Classifier(tf.keras.Model):
  """ResNet with one logit per label.

  Variables: those of resnet.ResNet and fc/sub_00/{kernel,bias} upwards.

  Args:
    num_classes: C.
    num_shards: equal parts of the head.
    prior: [C] or scalar, how probable a label is before anything is seen: the
      biases start at its log-odds. None starts them at zero, as the paper
      does; with thousands of rare labels the first steps then go into pushing
      all logits down.
    depth, width, output_stride, stride_placement, weight_decay, freeze,
      freeze_batch_norm, sync_batch_norm, batch_norm_momentum,
      batch_norm_epsilon: see resnet.ResNet; the weight decay is also the
      head's.
    name: of the model.

  Attributes:
    trunk: resnet.ResNet.
    head: sharded_dense.ShardedDense.

  Raises:
    ValueError: an argument out of its range.
  """

  def __init__(
    self,
    num_classes: int,
    num_shards: int = 1,
    prior=None,
    depth: int = 101,
    width: float = 1.0,
    output_stride: int = 32,
    stride_placement: str = 'slim',
    weight_decay: float = 0.0,
    freeze: str = 'none',
    freeze_batch_norm: bool = False,
    sync_batch_norm: bool = False,
    batch_norm_momentum: float = 0.997,
    batch_norm_epsilon: float = 1e-5,
    name: str = 'classifier',
  ):
    super().__init__(name=name)
    self.built = True  # The parts make their variables here.
    self.trunk = resnet.ResNet(
      depth=depth,
      output_stride=output_stride,
      stride_placement=stride_placement,
      width=width,
      batch_norm_momentum=batch_norm_momentum,
      batch_norm_epsilon=batch_norm_epsilon,
      weight_decay=weight_decay,
      freeze=freeze,
      freeze_batch_norm=freeze_batch_norm,
      sync_batch_norm=sync_batch_norm,
    )
    self.head = sharded_dense.ShardedDense(
      num_classes,
      num_shards,
      self.trunk.channels['conv5'],
      weight_decay=weight_decay,
      bias_initial=0.0 if prior is None else _log_odds(prior),
    )

  def call(self, images, training=None):
    """Runs the network.

    Args:
      images: [B, H, W, 3] float in [-1, 1].
      training: see resnet.ResNet.

    Returns:
      {'logits': [B, C], 'features': [B, 2048 * width]}, float32.
    """
    maps = self.trunk(images, training=training)['conv5']
    features = tf.reduce_mean(tf.cast(maps, tf.float32), axis=[1, 2])
    return {'logits': self.head(features), 'features': features}


def _log_odds(prior):
  prior = np.asarray(prior, np.float64)
  if not np.all((prior > 0) & (prior < 1)):
    raise ValueError(
      f'prior must lie strictly between 0 and 1, got {prior.min()} to '
      f'{prior.max()}.'
    )
  return np.log(prior) - np.log1p(-prior)
