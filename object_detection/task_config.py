"""Fields of a detection task; experiments.py gives them the values."""

import dataclasses

from official.modeling.hyperparams import base_config

from object_detection import anchors


@dataclasses.dataclass
class ModelConfig(base_config.Config):
  """The detector; see model.FasterRCNN.

  Attributes:
    depth: 14 or 26 (for small pictures), 50, 101 or 152.
    width: multiplier of all channel counts of the trunk.
    stride_placement: slim (the paper's code line), v1 or v1.5.
    num_classes: without the background; 0 takes the data's.
    batch_norm_momentum, batch_norm_epsilon: TF-slim's .997 and 1e-5.
    freeze_batch_norm: moving averages, also in training.
    sync_batch_norm: batch norm over all replicas, see blocks.BlockOptions; not
      where it is frozen.
    shared_boxes: one box for all classes.
    pixel_range: what 0 and 255 become before the first convolution; empty: as
      the checkpoint that the run starts from has recorded, else [-1, 1].
    anchor_base, anchor_scales, anchor_ratios: see model.AnchorOptions.
    num_proposals: boxes for the second stage.
    crop: side of the second stage's crops before the 2x2 max-pool, even.
  """

  depth: int = 101
  width: float = 1.0
  stride_placement: str = 'slim'
  num_classes: int = 0
  batch_norm_momentum: float = 0.997
  batch_norm_epsilon: float = 1e-5
  freeze_batch_norm: bool = True
  sync_batch_norm: bool = False
  shared_boxes: bool = False
  pixel_range: list = dataclasses.field(default_factory=list)
  anchor_base: float = 256.0
  anchor_scales: tuple[float, ...] = anchors.SCALES
  anchor_ratios: tuple[float, ...] = anchors.ASPECT_RATIOS
  num_proposals: int = 300
  crop: int = 14


@dataclasses.dataclass
class DataConfig(base_config.Config):
  """One split of a data folder and how its pictures are resized.

  Attributes:
    data_dir, split: where the records are.
    global_batch_size: images per step over all replicas.
    min_side, max_side: the shorter side becomes min_side, or less where the
      longer one would be above max_side.
    pad_multiple: sides of a batch are rounded up to a multiple of this; 0: all
      batches are max_side x max_side.
    training: endless, shuffled and flipped; else one pass in file order.
    max_boxes: object slots of an image; more objects than that are an error.
    crowds: in training, whether crowds (VOC: difficult objects) are learnt.
    shuffle_group: records shuffled together, as encoded bytes.
  """

  data_dir: str = ''
  split: str = 'train'
  training: bool = True
  global_batch_size: int = 1
  min_side: int = 600
  max_side: int = 1024
  pad_multiple: int = 32
  max_boxes: int = 100
  crowds: bool = False
  shuffle_group: int = 2048


@dataclasses.dataclass
class SamplingConfig(base_config.Config):
  """What the losses look at in one image; see model.Sampling."""

  rpn: int = 64
  rpn_positive_fraction: float = 0.5
  classifier: int = 256
  classifier_positive_fraction: float = 0.25


@dataclasses.dataclass
class TaskConfig(base_config.Config):
  """What is learnt from what.

  Attributes:
    classes: names of the classes to detect; empty: all of the data's.
    sampling: see SamplingConfig.
    metric: coco (AP of COCO) or voc (mAP of PASCAL VOC).
    weight_decay: as in TF-slim, weight_decay * sum(w^2) / 2 on kernels.
    freeze: stages up to this one stay fixed.
    init_checkpoint: of a classifier or a detector, by name.
    allow_partial_init: also the trunk may differ from the checkpoint.
  """

  model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
  train_data: DataConfig = dataclasses.field(default_factory=DataConfig)
  validation_data: DataConfig = dataclasses.field(
    default_factory=lambda: DataConfig(split='validation', training=False)
  )
  classes: list = dataclasses.field(default_factory=list)
  sampling: SamplingConfig = dataclasses.field(default_factory=SamplingConfig)
  metric: str = 'coco'
  weight_decay: float = 0.0
  freeze: str = 'none'
  init_checkpoint: str = ''
  allow_partial_init: bool = False
