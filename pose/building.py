"""From a TaskConfig to the pose net, and back from a run's folder."""

import dataclasses
import json
from typing import Any

from official_repro.core import acceleration, checkpoints
from official_repro.core import config as config_lib
from pose import joints as joints_lib
from pose import model as model_lib
from pose import task_config


def build_model(
  config: task_config.TaskConfig, pixel_range, **options
) -> model_lib.PoseNet:
  """Builds the pose net of a configuration.

  Args:
    config: of the task.
    pixel_range: see model.PoseNet.
    **options: freeze and weight_decay of model.PoseNet.
  """
  net = config.model
  return model_lib.PoseNet(
    depth=net.depth,
    stride_placement=net.stride_placement,
    width=net.width,
    intermediate=net.intermediate,
    radius=config.crop.radius,
    freeze_batch_norm=net.freeze_batch_norm,
    sync_batch_norm=net.sync_batch_norm,
    batch_norm_momentum=net.batch_norm_momentum,
    batch_norm_epsilon=net.batch_norm_epsilon,
    pixel_range=pixel_range,
    **options,
  )


def model_metadata(config: task_config.TaskConfig, pixel_range) -> dict:
  """Returns what build_model(...).metadata() would, without building it."""
  values: dict[str, Any] = {
    'depth': config.model.depth,
    'width': config.model.width,
    'stride_placement': config.model.stride_placement,
    'num_joints': len(joints_lib.NAMES),
    'intermediate': config.model.intermediate,
    'radius': config.crop.radius,
    'pixel_range': list(pixel_range),
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
class TrainedPose:
  """Network with weights, and how people are cut out for it.

  Attributes:
    model: the network; with Polyak averages where its run kept them.
    crop: size and scale of a crop.
    oks_threshold: see task_config.TaskConfig.
    checkpoint: prefix that the weights came from.
  """

  model: model_lib.PoseNet
  crop: task_config.CropConfig
  oks_threshold: float
  checkpoint: str


@acceleration.in_float32()
def load_trained(model_dir: str) -> TrainedPose:
  """Builds the network of a run and loads its newest checkpoint.

  Needs params.yaml and the checkpoint of the folder, not the data.

  Args:
    model_dir: folder of a finished or running pose run.

  Raises:
    ValueError: a file is missing or does not fit the others.
  """
  config = config_lib.read_task(model_dir, task_config.TaskConfig())
  prefix = checkpoints.find(model_dir)
  found = checkpoints.read_metadata(checkpoints.open_reader(prefix))
  if 'num_joints' not in found:
    raise ValueError(
      f'Checkpoint {prefix!r} holds no pose net; train one with python -m '
      'pose.train.'
    )
  model = build_model(config, pixel_range(config, model_dir))
  # No name begins with (): none may be missing, but the head that only
  # training needs is of no use here.
  checkpoints.load_weights(
    model.variables, prefix, head_prefix=(), averaged=True
  )
  return TrainedPose(model, config.crop, config.oks_threshold, prefix)
