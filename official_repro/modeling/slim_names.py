"""Variable names and layouts of TF-slim's resnet_v1 beside ours.

  TF-slim, below resnet_v1_50/                  ours
  conv1/weights                                 conv1/conv/kernel
  conv1/BatchNorm/gamma                         conv1/bn/gamma
  block3/unit_2/bottleneck_v1/conv2/weights     conv4/unit_2/conv2/kernel
  block3/unit_2/bottleneck_v1/conv2/BatchNorm/* conv4/unit_2/bn2/*
  block1/unit_1/bottleneck_v1/shortcut/weights  conv2/unit_1/shortcut/...
  logits/weights [1, 1, D, C], logits/biases    fc/sub_00/kernel, ...

Arrays of the trunk are the same in both.
"""

import re
from collections.abc import Mapping
from typing import Optional

import numpy as np

from official_repro.modeling import sharded_dense

_STATISTICS = 'gamma|beta|moving_mean|moving_variance'
# Anything may stand before resnet_v1_N: detectors have two feature extractors.
_SLIM = re.compile(
  r'(?:.+/)?resnet_v1_(?P<depth>\d+)/'
  r'(?:block(?P<block>\d)/(?P<unit>unit_\d+)/bottleneck_v1/)?'
  r'(?P<layer>conv\d|shortcut)/'
  rf'(?:weights|BatchNorm/(?P<statistic>{_STATISTICS}))'
)
_OURS = re.compile(
  r'conv(?P<stage>\d)/(?:(?P<unit>unit_\d+)/)?'
  r'(?P<shortcut>shortcut/)?(?:conv|bn)(?P<index>\d?)/'
  rf'(?:kernel|(?P<statistic>{_STATISTICS}))'
)
_LOGITS = re.compile(r'resnet_v1_\d+/logits/(weights|biases)')
# RGB means that TF-slim's public checkpoints expect to be subtracted from
# pixels in 0..255 (its preprocessing/vgg_preprocessing.py).
SLIM_PIXEL_MEANS = (123.68, 116.78, 103.94)
_HALF_RANGE = 127.5


def from_slim(name: str) -> Optional[str]:
  """Returns our name of a TF-slim trunk variable, None for anything else."""
  match = _SLIM.fullmatch(name)
  if not match:
    return None
  block, layer = match['block'], match['layer']
  if block is None:
    prefix, index = layer, ''
    if layer != 'conv1':
      return None
  else:
    prefix = f'conv{int(block) + 1}/{match["unit"]}'
    index = layer[4:]
    if layer == 'shortcut':
      prefix, index = f'{prefix}/shortcut', ''
  if match['statistic']:
    return f'{prefix}/bn{index}/{match["statistic"]}'
  return f'{prefix}/conv{index}/kernel'


def to_slim(name: str, depth: int) -> Optional[str]:
  """Returns the TF-slim name of a trunk variable, None for anything else.

  Args:
    name: ours, without ':0'.
    depth: as in resnet_v1_DEPTH.
  """
  match = _OURS.fullmatch(name)
  if not match:
    return None
  layer = 'conv1'
  if match['unit']:
    layer = f'conv{match["index"]}' if match['index'] else 'shortcut'
    block = int(match['stage']) - 1
    layer = f'block{block}/{match["unit"]}/bottleneck_v1/{layer}'
  statistic = match['statistic']
  kind = f'BatchNorm/{statistic}' if statistic else 'weights'
  return f'resnet_v1_{depth}/{layer}/{kind}'


def depth_of(name: str) -> Optional[int]:
  """Returns the depth that a TF-slim trunk variable's name has, or None."""
  match = _SLIM.fullmatch(name)
  return int(match['depth']) if match else None


def values_from_slim(
  tensors: Mapping[str, np.ndarray], num_shards: int = 1
) -> dict[str, np.ndarray]:
  """Renames a TF-slim checkpoint; other variables are left out.

  Args:
    tensors: {TF-slim name: array}.
    num_shards: parts of the head, where the checkpoint has logits.

  Returns:
    {our name: array}.
  """
  values = {}
  for name, value in tensors.items():
    ours = from_slim(name)
    if ours:
      values[ours] = value
  logits = {m[1]: tensors[n] for n in tensors if (m := _LOGITS.fullmatch(n))}
  if logits:
    values |= sharded_dense.dense_to_shards(
      logits['weights'][0, 0], logits['biases'], num_shards
    )
  return values


def values_to_slim(
  values: Mapping[str, np.ndarray], depth: int, num_classes: int = 0
) -> dict[str, np.ndarray]:
  """The inverse of values_from_slim.

  Args:
    values: {our name: array}; names that are neither trunk nor head are left
      out.
    depth: as in resnet_v1_DEPTH.
    num_classes: C, at which the head's padding is cut; 0 leaves the head out.

  Returns:
    {TF-slim name: array}.
  """
  tensors = {}
  for name, value in values.items():
    slim = to_slim(name, depth)
    if slim:
      tensors[slim] = value
  if num_classes:
    kernel, bias = sharded_dense.shards_to_dense(values, num_classes)
    tensors[f'resnet_v1_{depth}/logits/weights'] = kernel[None, None]
    tensors[f'resnet_v1_{depth}/logits/biases'] = bias
  return tensors


def absorb_pixel_means(
  values: Mapping[str, np.ndarray],
  means: tuple[float, float, float] = SLIM_PIXEL_MEANS,
) -> dict[str, np.ndarray]:
  """Makes a network for mean-subtracted pixels one for pixels in [-1, 1].

  With p = 127.5 (x + 1) - mean the first convolution becomes 127.5 K * x plus
  a constant, which goes into its batch norm's moving mean. Exact where the
  7x7 window lies inside the picture; outside, the padding is now mid-grey
  instead of the mean colour.

  Args:
    values: {our name: array}.
    means: of red, green and blue in 0..255.

  Returns:
    The same with another conv1.
  """
  kernel = values['conv1/conv/kernel']
  offset = (_HALF_RANGE - np.asarray(means, np.float64))[:, None]
  constant = np.sum(kernel.astype(np.float64) * offset, axis=(0, 1, 2))
  mean = values['conv1/bn/moving_mean'] - constant
  return {
    **values,
    'conv1/conv/kernel': kernel * np.float32(_HALF_RANGE),
    'conv1/bn/moving_mean': mean.astype(np.float32),
  }
