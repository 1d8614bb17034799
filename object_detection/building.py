"""From a ModelConfig to the detector, and back from a run's folder."""

import dataclasses
import json
import os
from typing import Any

import tensorflow as tf

from object_detection import label_space, task_config
from object_detection import model as model_lib
from official_repro.core import acceleration, checkpoints
from official_repro.core import config as config_lib
from official_repro.data import hierarchy as hierarchy_lib


def _anchors(config):
  return model_lib.AnchorOptions(
    base_size=config.anchor_base,
    scales=tuple(config.anchor_scales),
    aspect_ratios=tuple(config.anchor_ratios),
  )


def build_model(
  config: task_config.ModelConfig, pixel_range, **options
) -> model_lib.FasterRCNN:
  """Builds the detector of a configuration.

  Args:
    config: with num_classes set.
    pixel_range: see model.FasterRCNN.
    **options: freeze and weight_decay of model.FasterRCNN.
  """
  return model_lib.FasterRCNN(
    config.num_classes,
    depth=config.depth,
    stride_placement=config.stride_placement,
    width=config.width,
    freeze_batch_norm=config.freeze_batch_norm,
    sync_batch_norm=config.sync_batch_norm,
    batch_norm_momentum=config.batch_norm_momentum,
    batch_norm_epsilon=config.batch_norm_epsilon,
    shared_boxes=config.shared_boxes,
    pixel_range=pixel_range,
    anchors=_anchors(config),
    num_proposals=config.num_proposals,
    crop=config.crop,
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
    'shared_boxes': config.shared_boxes,
    'crop': config.crop,
    'anchors': dataclasses.asdict(_anchors(config)),
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
class TrainedDetector:
  """Network with weights, its classes and its input.

  Attributes:
    model: the network.
    labels: LabelSpace (class_map is that of the classes themselves).
    min_side, max_side: see input_images.resized_size.
    checkpoint: prefix that the weights came from.
  """

  model: model_lib.FasterRCNN
  labels: label_space.LabelSpace
  min_side: int
  max_side: int
  checkpoint: str


@acceleration.in_float32()
def load_trained(model_dir: str) -> TrainedDetector:
  """Builds the detector of a run and loads its newest checkpoint.

  Needs params.yaml, labels.tsv and the checkpoint of the folder, not the data.

  Args:
    model_dir: folder of a finished or running detection run.

  Raises:
    ValueError: a file is missing or does not fit the others.
  """
  config = config_lib.read_task(model_dir, task_config.TaskConfig())
  prefix = checkpoints.find(model_dir)
  path = os.path.join(model_dir, 'labels.tsv')
  hierarchy = hierarchy_lib.Hierarchy.load(path)
  found = checkpoints.read_metadata(checkpoints.open_reader(prefix))
  if found.get('label_space') != hierarchy.hash() or 'anchors' not in found:
    raise ValueError(
      f'File {path} ({hierarchy.num_classes} labels) is not the label space '
      f'that {prefix!r} was trained with; put back the one that training wrote.'
    )
  model = build_model(config.model, pixel_range(config, model_dir))
  checkpoints.load_weights(model.variables, prefix, head_prefix=())
  labels = label_space.LabelSpace(
    hierarchy, found['category_ids'], tf.range(len(hierarchy.names) + 1).numpy()
  )
  data = config.validation_data
  return TrainedDetector(model, labels, data.min_side, data.max_side, prefix)
