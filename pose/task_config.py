"""Fields of a pose task; experiments.py gives them the values."""

import dataclasses

from official.modeling.hyperparams import base_config


@dataclasses.dataclass
class ModelConfig(base_config.Config):
  """The pose net; see model.PoseNet.

  Attributes:
    depth: 14 or 26 (for small pictures), 50, 101 or 152.
    width: multiplier of all channel counts of the trunk.
    stride_placement: slim (the paper's code line), v1 or v1.5.
    intermediate: unit with a heatmap head of its own in training; '': none.
    batch_norm_momentum, batch_norm_epsilon: TF-slim's .997 and 1e-5.
    freeze_batch_norm: moving averages, also in training.
    sync_batch_norm: batch norm over all replicas, see blocks.BlockOptions; not
      where it is frozen.
    pixel_range: what 0 and 255 become before the first convolution; empty: as
      the checkpoint that the run starts from has recorded, else [-1, 1].
  """

  depth: int = 101
  width: float = 1.0
  stride_placement: str = 'slim'
  intermediate: str = ''
  batch_norm_momentum: float = 0.997
  batch_norm_epsilon: float = 1e-5
  freeze_batch_norm: bool = True
  sync_batch_norm: bool = False
  pixel_range: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class DataConfig(base_config.Config):
  """One split of a data folder and how people are cut out of its pictures.

  Attributes:
    data_dir, split: where the records are.
    global_batch_size: people per step over all replicas.
    min_joints: labelled joints that a person needs to be learnt from.
    flip: half of the training crops are mirrored.
    training: endless and shuffled; else one pass in file order.
    shuffle_group: people shuffled together, as encoded pictures.
    boxes_file: evaluation: a COCO results file of a detector to take people's
      boxes from; '': the annotated ones.
    person_category: id of people in it.
    min_box_score: boxes below it are left out.
    max_box_overlap: IoU from which on the box with the lower score is.
  """

  data_dir: str = ''
  split: str = 'train'
  training: bool = True
  global_batch_size: int = 24
  min_joints: int = 1
  flip: bool = True
  shuffle_group: int = 2048
  boxes_file: str = ''
  person_category: int = 1
  min_box_score: float = 0.3
  max_box_overlap: float = 0.6


@dataclasses.dataclass
class CropConfig(base_config.Config):
  """The part of a picture that the network sees.

  Attributes:
    height, width: pixels; best one more than a multiple of 8.
    radius: pixels of the disks around joints.
    train_scales: the box is enlarged by a factor drawn from here.
    test_scale: factor of evaluation and prediction.
  """

  height: int = 353
  width: int = 257
  radius: float = 25.0
  train_scales: tuple[float, float] = (1.0, 1.5)
  test_scale: float = 1.25


@dataclasses.dataclass
class TaskConfig(base_config.Config):
  """What is learnt from what.

  Attributes:
    crop: its size.
    heatmap_weight, offset_weight: of the two losses in their sum.
    oks_threshold: of two poses on a picture that are more alike than this, the
      one with the lower score is left out.
    flip_test: evaluation averages over the crop and its mirror image.
    weight_decay: as in TF-slim, weight_decay * sum(w^2) / 2 on kernels.
    freeze: stages up to this one stay fixed.
    init_checkpoint: of a classifier or a pose net, by name.
    allow_partial_init: also the trunk may differ from the checkpoint.
  """

  model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
  train_data: DataConfig = dataclasses.field(default_factory=DataConfig)
  validation_data: DataConfig = dataclasses.field(
    default_factory=lambda: DataConfig(split='validation', training=False)
  )
  crop: CropConfig = dataclasses.field(default_factory=CropConfig)
  heatmap_weight: float = 4.0
  offset_weight: float = 1.0
  oks_threshold: float = 0.5
  flip_test: bool = False
  weight_decay: float = 0.0
  freeze: str = 'none'
  init_checkpoint: str = ''
  allow_partial_init: bool = False
