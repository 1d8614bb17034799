"""Variable names of the TF Object Detection API's Faster R-CNN beside ours.

  reference                                             ours
  FirstStageFeatureExtractor/resnet_v1_50/conv1/...     conv1/...
  FirstStageFeatureExtractor/resnet_v1_50/block1/...    conv2/...
  SecondStageFeatureExtractor/resnet_v1_50/block4/...   conv5/...
  Conv/weights, biases                                  rpn/conv/kernel, bias
  FirstStageBoxPredictor/ClassPredictor/*               rpn/objectness/*
  FirstStageBoxPredictor/BoxEncodingPredictor/*         rpn/box/*
  SecondStageBoxPredictor/ClassPredictor/*              head/class/*
  SecondStageBoxPredictor/BoxEncodingPredictor/*        head/box/*

Arrays are the same in both. The reference's first stage also holds a block4
that nothing reads (the whole network is built and cut after block3); it is
left out.
"""

import re
from collections.abc import Mapping
from typing import Optional

import numpy as np

from official_repro.modeling import slim_names

# RGB, subtracted from pixels in 0..255: the reference's
# FasterRCNNResnetV1FeatureExtractor.preprocess. TF-slim's own preprocessing
# has 116.78 and 103.94.
PIXEL_MEANS = (123.68, 116.779, 103.939)
# What 0 and 255 become.
PIXEL_RANGE = (
  tuple(-mean for mean in PIXEL_MEANS),
  tuple(255 - mean for mean in PIXEL_MEANS),
)

_FIRST, _SECOND = 'FirstStageFeatureExtractor/', 'SecondStageFeatureExtractor/'
_HEADS = {
  'Conv': 'rpn/conv',
  'FirstStageBoxPredictor/ClassPredictor': 'rpn/objectness',
  'FirstStageBoxPredictor/BoxEncodingPredictor': 'rpn/box',
  'SecondStageBoxPredictor/ClassPredictor': 'head/class',
  'SecondStageBoxPredictor/BoxEncodingPredictor': 'head/box',
}
_KINDS = {'weights': 'kernel', 'biases': 'bias'}


def from_reference(name: str) -> Optional[str]:
  """Returns our name of a variable, None for anything that we do not have."""
  if name.startswith((_FIRST, _SECOND)):
    stage, _, slim = name.partition('/')
    ours = slim_names.from_slim(slim)
    # A prefix that from_slim would also pass over is not the reference's.
    if ours is None or not re.match(r'resnet_v1_\d+/', slim):
      return None
    in_second = ours.startswith('conv5/')
    return ours if in_second == (stage + '/' == _SECOND) else None
  scope, _, kind = name.rpartition('/')
  if scope in _HEADS and kind in _KINDS:
    return f'{_HEADS[scope]}/{_KINDS[kind]}'
  return None


def to_reference(name: str, depth: int) -> Optional[str]:
  """Returns the reference's name, None for a variable that it has not.

  Args:
    name: ours, without ':0'.
    depth: of the network, 50, 101 or 152.
  """
  slim = slim_names.to_slim(name, depth)
  if slim:
    return (_SECOND if name.startswith('conv5/') else _FIRST) + slim
  scope, _, kind = name.rpartition('/')
  for theirs, ours in _HEADS.items():
    if scope == ours:
      for their_kind, our_kind in _KINDS.items():
        if kind == our_kind:
          return f'{theirs}/{their_kind}'
  return None


def depths(names) -> set[int]:
  """Returns the depths of the ResNets whose first stage is among `names`."""
  found = {slim_names.depth_of(n) for n in names if n.startswith(_FIRST)}
  return found - {None}


def values_from_reference(
  tensors: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
  """Renames a reference checkpoint; other variables are left out.

  Args:
    tensors: {reference name: array}.

  Returns:
    {our name: array}.
  """
  renamed = ((from_reference(name), value) for name, value in tensors.items())
  return {name: value for name, value in renamed if name}
