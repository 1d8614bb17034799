"""From a ModelConfig to the segmentation net, and back from a run's folder."""

import dataclasses
import json
import os
from typing import Any

from deeplab import label_space, loading, task_config
from deeplab import model as model_lib
from official_repro.core import acceleration, checkpoints
from official_repro.core import config as config_lib
from official_repro.data import hierarchy as hierarchy_lib


def build_model(
  config: task_config.ModelConfig, pixel_range, **options
) -> model_lib.DeepLab:
  """Builds the segmentation net of a configuration.

  Args:
    config: with num_classes set.
    pixel_range: see model.DeepLab.
    **options: freeze and weight_decay of model.DeepLab.
  """
  return model_lib.DeepLab(
    config.num_classes,
    depth=config.depth,
    stride_placement=config.stride_placement,
    width=config.width,
    output_stride=config.output_stride,
    rates=config.rates,
    freeze_batch_norm=config.freeze_batch_norm,
    sync_batch_norm=config.sync_batch_norm,
    batch_norm_momentum=config.batch_norm_momentum,
    batch_norm_epsilon=config.batch_norm_epsilon,
    pixel_range=pixel_range,
    **options,
  )


def model_metadata(
  config: task_config.ModelConfig, pixel_range
) -> dict[str, Any]:
  """Returns what build_model(...).metadata() would, without building it."""
  values = {
    'depth': config.depth,
    'width': config.width,
    'stride_placement': config.stride_placement,
    'num_classes': config.num_classes,
    'pixel_range': list(pixel_range),
    'output_stride': config.output_stride,
    'rates': list(config.rates),
  }
  return json.loads(json.dumps(values))


def pixel_range(config: task_config.TaskConfig, model_dir=None) -> list:
  """See checkpoints.pixel_range.

  Args:
    config: of the task.
    model_dir: folder of the run.
  """
  return checkpoints.pixel_range(
    config.model.pixel_range, model_dir, config.init_checkpoint
  )


@dataclasses.dataclass(frozen=True)
class TrainedSegmenter:
  """Network with weights, its classes and its input.

  Attributes:
    model: the network.
    labels: LabelSpace.
    window: pixels, the side that a picture is padded to at least.
    checkpoint: prefix that the weights came from.
  """

  model: model_lib.DeepLab
  labels: label_space.LabelSpace
  window: int
  checkpoint: str


@acceleration.in_float32()
def load_trained(model_dir: str) -> TrainedSegmenter:
  """Builds the network of a run and loads its newest checkpoint.

  Needs params.yaml, labels.tsv and the checkpoint of the folder, not the data.

  Args:
    model_dir: folder of a finished or running segmentation run.

  Raises:
    ValueError: a file is missing or does not fit the others.
  """
  config = config_lib.read_task(model_dir, task_config.TaskConfig())
  prefix = checkpoints.find(model_dir)
  path = os.path.join(model_dir, 'labels.tsv')
  hierarchy = hierarchy_lib.Hierarchy.load(path)
  found = checkpoints.read_metadata(checkpoints.open_reader(prefix))
  if found.get('label_space') != hierarchy.hash() or 'rates' not in found:
    raise ValueError(
      f'File {path} ({hierarchy.num_classes} labels) is not the label space '
      f'that {prefix!r} was trained with; put back the one that training wrote.'
    )
  model = build_model(config.model, pixel_range(config, model_dir))
  loading.load_all(model, prefix)
  return TrainedSegmenter(
    model,
    label_space.of(hierarchy),
    config.validation_data.crop_size,
    prefix,
  )
