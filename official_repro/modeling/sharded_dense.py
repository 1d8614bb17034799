"""The paper's sub-FC layers: one fully connected layer in equal vertical parts.

Sun et al. 2017, sec. 3.1: the layer 2048 -> 18,291 does not fit well into one
variable of a parameter server, so it is split by output into 50 layers of 366
(18,291 = 49 x 366 + 357, hence the last is padded). Each part has variables of
its own, which a parameter server strategy deals out in turn.

Shapes: N rows, D features in, U units, S shards, W = ceil(U / S).
"""

from collections.abc import Mapping
from typing import Optional

import numpy as np
import tensorflow as tf

from official_repro.modeling import blocks


class ShardedDense(tf.keras.layers.Layer):
  """A fully connected layer of `num_shards` equal parts.

  Same values and gradients as one dense layer on the joined weights. Variables
  are SCOPE/sub_00/kernel [D, W], SCOPE/sub_00/bias [W] and so on. The columns
  beyond U are cut off: they get no gradient from the outputs.

  Each part has a product of its own and the outputs are joined; joining the
  kernels for one product copies 150 MB a step and was slower (2 cores, N = 32,
  D = 2048, U = 18,291: forward 37 ms against 21 ms; one dense layer 22 ms).

  It computes in float32 in mixed precision, too: among thousands of logits of
  16 bits many are equal, and their order decides a metric.

  Args:
    units: U.
    num_shards: S, from 1 to U.
    in_features: D; where given, the variables are made at once.
    weight_decay: L2 as in TF-slim on the kernels, see blocks.HalfL2.
    bias_initial: [U] or scalar, value of the biases at the start.
    scope: prefix of the variables' names, and the layer's name.

  Raises:
    ValueError: units or num_shards out of range, or bias_initial of a wrong
      length.
  """

  def __init__(
    self,
    units: int,
    num_shards: int,
    in_features: Optional[int] = None,
    *,
    weight_decay: float = 0.0,
    bias_initial=0.0,
    scope: str = 'fc',
  ):
    super().__init__(name=scope, dtype='float32')
    shard_width(units, num_shards)
    self.units, self.num_shards = units, num_shards
    self._weight_decay, self._scope = weight_decay, scope
    if np.shape(bias_initial) not in ((), (units,)):
      raise ValueError(
        f'bias_initial has shape {np.shape(bias_initial)}; give a number or '
        f'one for each of the {units} units.'
      )
    self._bias_initial = bias_initial
    self.parts = []
    if in_features is not None:
      self.build((None, in_features))

  def build(self, input_shape):
    """Makes the variables; input_shape is (N, D)."""
    width = shard_width(self.units, self.num_shards)
    biases = np.zeros(width * self.num_shards, np.float32)
    biases[: self.units] = self._bias_initial
    for index, part in enumerate(biases.reshape(self.num_shards, width)):
      self.parts.append(
        _Part(
          input_shape[-1],
          part,
          self._weight_decay,
          shard_scope(self._scope, index),
        )
      )
    self.built = True

  def call(self, inputs):
    """[N, D] -> float32 [N, U]."""
    outputs = [part(inputs) for part in self.parts]
    if len(outputs) == 1:
      return outputs[0]
    return tf.concat(outputs, axis=-1)[:, : self.units]


class _Part(tf.keras.layers.Layer):
  """One sub-FC layer; `biases` [W] are its first values."""

  def __init__(self, features, biases, weight_decay, scope):
    super().__init__(name=scope.split('/')[-1], dtype='float32')
    with tf.name_scope(scope + '/'):
      self.kernel = self.add_weight(
        'kernel',
        (features, biases.size),
        initializer=blocks.slim_initializer(features),
        regularizer=blocks.half_l2(weight_decay),
      )
      self.bias = self.add_weight(
        'bias', biases.shape, initializer=tf.constant_initializer(biases)
      )

  def call(self, inputs):
    """[N, D] -> [N, W]."""
    return tf.nn.bias_add(tf.matmul(inputs, self.kernel), self.bias)


def shard_width(units: int, num_shards: int) -> int:
  """Returns W.

  Raises:
    ValueError: units below 1, or num_shards not from 1 to units.
  """
  if units < 1:
    raise ValueError(f'units is {units}; a layer needs at least one.')
  if not 1 <= num_shards <= units:
    raise ValueError(
      f'num_shards is {num_shards}; use 1 to {units}, the number of units.'
    )
  return -(-units // num_shards)


def shard_scope(scope: str, index: int) -> str:
  """Returns e.g. 'fc/sub_07': counted from 0, at least two digits."""
  return f'{scope}/sub_{index:02d}'


def dense_to_shards(
  kernel: np.ndarray, bias: np.ndarray, num_shards: int, scope: str = 'fc'
) -> dict[str, np.ndarray]:
  """Splits one dense layer, padding the last part with zeros.

  Args:
    kernel: [D, U].
    bias: [U].
    num_shards: S.
    scope: prefix of the names.

  Returns:
    {'fc/sub_00/kernel': [D, W], 'fc/sub_00/bias': [W], ...}.

  Raises:
    ValueError: the shapes do not fit each other, or num_shards them.
  """
  kernel, bias = np.asarray(kernel), np.asarray(bias)
  if kernel.ndim != 2 or bias.shape != kernel.shape[1:]:
    raise ValueError(
      f'kernel of shape {kernel.shape} and bias of shape {bias.shape} are not '
      'one dense layer; expected [D, U] and [U].'
    )
  units = bias.size
  width = shard_width(units, num_shards)
  extra = width * num_shards - units
  kernel = np.pad(kernel, [(0, 0), (0, extra)])
  bias = np.pad(bias, (0, extra))
  values = {}
  for index in range(num_shards):
    part = slice(index * width, (index + 1) * width)
    name = shard_scope(scope, index)
    values[f'{name}/kernel'] = np.ascontiguousarray(kernel[:, part])
    values[f'{name}/bias'] = bias[part].copy()
  return values


def shards_to_dense(
  values: Mapping[str, np.ndarray], units: int, scope: str = 'fc'
) -> tuple[np.ndarray, np.ndarray]:
  """Joins the parts of a layer; the inverse of dense_to_shards.

  Args:
    values: {variable name: array}; names outside `scope` are passed over.
    units: U, at which the padding is cut off.
    scope: prefix of the names.

  Returns:
    kernel [D, U] and bias [U].

  Raises:
    ValueError: there are no parts, or they hold fewer than U units.
  """
  count = 0
  while f'{shard_scope(scope, count)}/kernel' in values:
    count += 1
  names = [shard_scope(scope, index) for index in range(count)]
  found = sum(values[f'{name}/bias'].size for name in names)
  if found < units:
    raise ValueError(
      f'{count} parts below {scope!r} hold {found} units, expected {units}; '
      'is this the checkpoint of another label space?'
    )
  kernel = np.concatenate([values[f'{n}/kernel'] for n in names], axis=1)
  bias = np.concatenate([values[f'{n}/bias'] for n in names])
  return kernel[:, :units], bias[:units]


def reshard(
  values: Mapping[str, np.ndarray],
  units: int,
  num_shards: int,
  scope: str = 'fc',
) -> dict[str, np.ndarray]:
  """Returns the same layer in another number of parts.

  Args:
    values: as for shards_to_dense.
    units: U.
    num_shards: S of the result.
    scope: prefix of the names.
  """
  kernel, bias = shards_to_dense(values, units, scope)
  return dense_to_shards(kernel, bias, num_shards, scope)
