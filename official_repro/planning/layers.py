"""FLOPs, variables and kept activations of a Classifier, by formulas.

For one image and direct convolutions, as on a GPU (a CPU takes other forms, see
modeling.convolution), with k the side of the kernel, c channels in, f filters,
s the side of the output:

  a convolution      2 k^2 c f s^2 FLOPs forward (each product is added up)
  a sub-FC layer     2 D W FLOPs forward
  backward           as many for the kernel's gradient, and as many for the
                     input's, which only what is trained before it needs

Elementwise work (batch norm, ReLU, sums, pooling) is left out: some 1% of the
FLOPs, though more of the time.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Optional

from official_repro.modeling import sharded_dense

FLOAT_BYTES = 4
_BATCH_NORM = ('gamma', 'beta', 'moving_mean', 'moving_variance')


@dataclasses.dataclass(frozen=True)
class Variable:
  """One variable of the model.

  Attributes:
    name: as in the checkpoint.
    shape: of the value, float32.
    trained: the optimizer moves it.
    averaged: a moving average that each training step moves.
  """

  name: str
  shape: tuple[int, ...]
  trained: bool
  averaged: bool = False

  @property
  def size(self) -> int:
    """Number of values."""
    return math.prod(self.shape)

  @property
  def bytes(self) -> int:
    """Of the values."""
    return self.size * FLOAT_BYTES


@dataclasses.dataclass(frozen=True)
class Convolution:
  """A convolution with its batch norm; pictures are square.

  Attributes:
    scope: before `/kernel` in the kernel's name.
    norm: before `/gamma` and so on in batch norm's names.
    size: side of the kernel.
    channels: C of the input.
    filters: C of the output.
    stride: of the convolution.
    in_side: of the input, pixels.
    trained: its stage is not frozen.
    passes_back: something before it is trained: its input needs a gradient.
  """

  scope: str
  norm: str
  size: int
  channels: int
  filters: int
  stride: int
  in_side: int
  trained: bool
  passes_back: bool

  @property
  def side(self) -> int:
    """Of the output, pixels."""
    return -(-self.in_side // self.stride)

  @property
  def flops(self) -> int:
    """Forward."""
    return 2 * self.size**2 * self.channels * self.values

  @property
  def values(self) -> int:
    """Of the output."""
    return self.side**2 * self.filters

  @property
  def padded_values(self) -> int:
    """Of the padded copy of the input, which blocks.Conv2D makes for a stride.

    0 where it makes none.
    """
    if self.stride == 1 or self.size == 1:
      return 0
    return (self.in_side + self.size - 1) ** 2 * self.channels

  def variables(self) -> Iterator[Variable]:
    """Yields the kernel and batch norm's variables as they are made."""
    kernel = (self.size, self.size, self.channels, self.filters)
    yield Variable(f'{self.scope}/kernel', kernel, self.trained)
    for name in _BATCH_NORM:
      moving = name.startswith('moving')
      yield Variable(
        f'{self.norm}/{name}',
        (self.filters,),
        trained=self.trained and not moving,
        averaged=self.trained and moving,
      )


@dataclasses.dataclass(frozen=True)
class Unit:
  """A bottleneck.

  Attributes:
    shortcut: the convolution of the shortcut, or None.
    conv1, conv2, conv3: 1x1, 3x3, 1x1.
    stride: of the unit.
  """

  shortcut: Optional[Convolution]
  conv1: Convolution
  conv2: Convolution
  conv3: Convolution
  stride: int

  @property
  def convolutions(self) -> tuple[Convolution, ...]:
    """In the order in which they are made."""
    main = (self.conv1, self.conv2, self.conv3)
    return main if self.shortcut is None else (self.shortcut, *main)

  def kept_values(self) -> int:
    """Values that wait for the backward pass.

    Of each convolution the output, which batch norm's gradient wants, and the
    padded copy of its input; the ReLUs' outputs (after conv3 the ReLU comes
    behind the sum); a shortcut that is only subsampled; and the unit's input,
    where it is not the output of a unit that has been counted.
    """
    if not self.conv1.trained:
      return 0
    kept = sum(c.values + c.padded_values for c in self.convolutions)
    kept += self.conv1.values + self.conv2.values + self.conv3.values
    if not self.conv1.passes_back:
      kept += self.conv1.in_side**2 * self.conv1.channels
    elif self.stride > 1 and self.shortcut is None:
      kept += self.conv3.values
    return kept


@dataclasses.dataclass(frozen=True)
class Network:
  """A Classifier on paper; all numbers are of one image.

  Attributes:
    root: conv1.
    pooled_side: after the max-pooling, pixels.
    units: of conv2..conv5.
    classes: C.
    shards: number of sub-FC layers.
  """

  root: Convolution
  pooled_side: int
  units: tuple[Unit, ...]
  classes: int
  shards: int

  @property
  def convolutions(self) -> tuple[Convolution, ...]:
    """In the order in which they are made."""
    return (self.root, *(c for u in self.units for c in u.convolutions))

  @property
  def features(self) -> int:
    """D of the head."""
    return self.units[-1].conv3.filters

  def trunk_variables(self) -> list[Variable]:
    """As they are made."""
    return [v for c in self.convolutions for v in c.variables()]

  def head_variables(self) -> list[Variable]:
    """As they are made: kernel and bias of each sub-FC layer."""
    made = []
    width = sharded_dense.shard_width(self.classes, self.shards)
    for index in range(self.shards):
      scope = sharded_dense.shard_scope('fc', index)
      made.append(Variable(f'{scope}/kernel', (self.features, width), True))
      made.append(Variable(f'{scope}/bias', (width,), True))
    return made

  def variables(self) -> list[Variable]:
    """All, in the order in which classifier.Classifier makes them."""
    return self.trunk_variables() + self.head_variables()

  def head_flops(self) -> int:
    """Forward; the padding of the last sub-FC layer included."""
    width = sharded_dense.shard_width(self.classes, self.shards)
    return 2 * self.features * width * self.shards

  def forward_flops(self) -> int:
    """Of trunk and head."""
    return sum(c.flops for c in self.convolutions) + self.head_flops()

  def backward_flops(self) -> int:
    """About twice the forward ones when everything is trained."""
    trunk = sum(
      c.flops * (c.trained + c.passes_back) for c in self.convolutions
    )
    trained = self.units[-1].conv3.trained
    return trunk + self.head_flops() * (1 + trained)

  def step_flops(self) -> int:
    """Forward and backward."""
    return self.forward_flops() + self.backward_flops()

  def kept_values(self) -> int:
    """Activations that wait for the backward pass: see Unit, and the root's."""
    kept = self.features + self.classes
    if self.root.trained:
      kept += self.root.padded_values + 2 * self.root.values
      kept += self.pooled_side**2 * self.root.filters
    return kept + sum(u.kept_values() for u in self.units)

  def largest_values(self) -> int:
    """Of the largest output of a convolution."""
    return max(c.values for c in self.convolutions)
