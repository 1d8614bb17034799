"""Fields of a segmentation task; experiments.py gives them the values."""

import dataclasses

from official.modeling.hyperparams import base_config

from deeplab import model as model_lib


@dataclasses.dataclass
class ModelConfig(base_config.Config):
  """The segmentation net; see model.DeepLab.

  Attributes:
    depth: 14 or 26 (for small pictures), 50, 101 or 152.
    width: multiplier of all channel counts of the trunk.
    stride_placement: slim (the paper's code line), v1 or v1.5.
    num_classes: with the background; 0 takes the data's.
    output_stride: pixels from one cell of the logits to the next.
    rates: of the atrous branches: ASPP-L; ASPP-S is [2, 4, 8, 12], LargeFOV
      [12].
    batch_norm_momentum, batch_norm_epsilon: TF-slim's .997 and 1e-5.
    freeze_batch_norm: moving averages, also in training; see guard.
    sync_batch_norm: batch norm over all replicas, see blocks.BlockOptions; not
      where it is frozen.
    pixel_range: what 0 and 255 become before the first convolution; empty: as
      the checkpoint that the run starts from has recorded, else [-1, 1].
  """

  depth: int = 101
  width: float = 1.0
  stride_placement: str = 'slim'
  num_classes: int = 0
  output_stride: int = 8
  rates: tuple[int, ...] = model_lib.RATES
  batch_norm_momentum: float = 0.997
  batch_norm_epsilon: float = 1e-5
  freeze_batch_norm: bool = True
  sync_batch_norm: bool = False
  pixel_range: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class DataConfig(base_config.Config):
  """One split of a data folder and how its pictures are cut.

  Attributes:
    data_dir, split: where the records are.
    global_batch_size: images per step over all replicas.
    crop_size: side of a training picture, padded or cut; least side in an
      evaluation, which cuts nothing. One more than a multiple of the output
      stride.
    flip: half of the training pictures are mirrored.
    training: endless and shuffled; else one pass in file order.
    shuffle_group: records shuffled together, as encoded bytes.
  """

  data_dir: str = ''
  split: str = 'train'
  training: bool = True
  global_batch_size: int = 6
  crop_size: int = 513
  flip: bool = False
  shuffle_group: int = 2048


@dataclasses.dataclass
class TaskConfig(base_config.Config):
  """What is learnt from what.

  Attributes:
    full_size_loss: the loss is at the picture's size, on upsampled logits;
      else at the logits' size, on the masks' pixels at the cells' centres.
    weight_decay: as in TF-slim, weight_decay * sum(w^2) / 2 on kernels.
    freeze: stages up to this one stay fixed.
    init_checkpoint: of a classifier or a segmentation net, by name.
    allow_partial_init: also the trunk may differ from the checkpoint.
  """

  model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
  train_data: DataConfig = dataclasses.field(default_factory=DataConfig)
  validation_data: DataConfig = dataclasses.field(
    default_factory=lambda: DataConfig(split='validation', training=False)
  )
  full_size_loss: bool = False
  weight_decay: float = 0.0
  freeze: str = 'none'
  init_checkpoint: str = ''
  allow_partial_init: bool = False
