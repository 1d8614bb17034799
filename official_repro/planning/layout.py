"""Lays a Classifier out on paper: its layers and their sizes, no TensorFlow op.

The strides are those of `modeling.resnet.plan_units`; tests compare variables
and FLOPs with the built network.
"""

from official_repro.modeling import blocks, resnet, sharded_dense
from official_repro.planning.layers import Convolution, Network, Unit

_ROOT_FILTERS = 64
_OUTPUT_STRIDE = 32


def make_network(
  *,
  depth: int,
  classes: int,
  shards: int,
  side: int,
  width: float = 1.0,
  stride_placement: str = 'slim',
  freeze: str = 'none',
) -> Network:
  """Returns what classifier.Classifier would build.

  Args:
    depth, width, stride_placement, freeze: see resnet.ResNet.
    classes: C.
    shards: sub-FC layers, cut to C as in ClassificationTask.
    side: of the square input, pixels.

  Raises:
    ValueError: an argument out of its range.
  """
  _one_of('depth', depth, tuple(resnet.UNITS))
  _one_of('stride_placement', stride_placement, resnet.PLACEMENTS)
  _one_of('freeze', freeze, ('none', *resnet.STAGES))
  if side < 1:
    raise ValueError(f'The crop is {side} pixels; give at least 1.')
  shards = min(shards, classes)
  sharded_dense.shard_width(classes, shards)  # checks both
  frozen = 0 if freeze == 'none' else resnet.STAGES.index(freeze) + 1
  root = Convolution(
    'conv1/conv',
    'conv1/bn',
    size=7,
    channels=3,
    filters=_scaled(_ROOT_FILTERS, width),
    stride=2,
    in_side=side,
    trained=frozen < 1,
    passes_back=False,
  )
  pooled_side = -(-root.side // 2)
  units, channels, side = [], root.filters, pooled_side
  plans = resnet.plan_units(
    resnet.UNITS[depth], stride_placement, _OUTPUT_STRIDE
  )
  for stage, of_stage in enumerate(plans, 1):
    filters = _scaled(_ROOT_FILTERS * 2 ** (stage - 1), width)
    for number, plan in enumerate(of_stage, 1):
      unit = _unit(
        f'{resnet.STAGES[stage]}/unit_{number}',
        plan,
        channels=channels,
        filters=filters,
        in_side=side,
        project=number == 1,
        trained=frozen <= stage,
        trained_before=frozen <= stage - (number == 1),
      )
      units.append(unit)
      channels, side = unit.conv3.filters, unit.conv3.side
  return Network(root, pooled_side, tuple(units), classes, shards)


def _unit(
  scope: str,
  plan: blocks.UnitPlan,
  *,
  channels,
  filters,
  in_side,
  project,
  trained,
  trained_before,
) -> Unit:
  """See blocks.Bottleneck."""
  out = filters * blocks.EXPANSION

  def conv(key, size, channels, filters, stride, in_side, from_input):
    return Convolution(
      f'{scope}/{key}',
      f'{scope}/{key.replace("conv", "bn")}',
      size,
      channels,
      filters,
      stride,
      in_side,
      trained,
      trained and (trained_before or not from_input),
    )

  stride = plan.stride
  first, second = (stride, 1) if plan.on_first else (1, stride)
  shortcut = None
  if project:
    shortcut = conv('shortcut/conv', 1, channels, out, stride, in_side, True)
  conv1 = conv('conv1', 1, channels, filters, first, in_side, True)
  conv2 = conv('conv2', 3, filters, filters, second, conv1.side, False)
  conv3 = conv('conv3', 1, filters, out, 1, conv2.side, False)
  return Unit(shortcut, conv1, conv2, conv3, stride)


def _scaled(filters, width):
  scaled = round(filters * width)
  if scaled < 1:
    raise ValueError(
      f'width is {width}, which leaves a layer without channels; use at least '
      f'1/{_ROOT_FILTERS}.'
    )
  return scaled


def _one_of(argument, value, allowed):
  if value not in allowed:
    raise ValueError(
      f'{argument} is {value!r}; use one of {", ".join(map(str, allowed))}.'
    )
