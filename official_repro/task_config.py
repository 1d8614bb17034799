"""Fields of a classification task; experiments.py gives them the values."""

import dataclasses

from official.modeling.hyperparams import base_config


@dataclasses.dataclass
class ModelConfig(base_config.Config):
  """The classifier.

  Attributes:
    depth: 14 or 26 (for small pictures), 50, 101 or 152.
    width: multiplier of all channel counts.
    stride_placement: slim (the paper's code line), v1 or v1.5.
    num_classes: labels; 0 takes the data's.
    fc_shards: equal parts of the final layer (Sun et al. 2017, sec. 3.1: 50).
    batch_norm_momentum, batch_norm_epsilon: TF-slim's .997 and 1e-5.
    sync_batch_norm: batch norm over all replicas, see blocks.BlockOptions.
  """

  depth: int = 101
  width: float = 1.0
  stride_placement: str = 'slim'
  num_classes: int = 0
  fc_shards: int = 50
  batch_norm_momentum: float = 0.997
  batch_norm_epsilon: float = 1e-5
  sync_batch_norm: bool = False


@dataclasses.dataclass
class DataConfig(base_config.Config):
  """One split of a data folder and how its pictures are cut.

  Attributes:
    data_dir, split: where the records are.
    global_batch_size: images per step over all replicas.
    resize, crop: picture and window side; training takes a random window,
      evaluation the central one (Sun et al. 2017: 340, 299).
    labels: 'filled' (with all ancestors) or 'given'.
    confidence: the targets are the labels' confidences instead of 1.
    training: endless, shuffled and augmented; else one pass in file order.
    max_labels: label slots an image; more labels than that are an error.
    shuffle_group: records shuffled together, as encoded bytes.
  """

  data_dir: str = ''
  split: str = 'train'
  training: bool = True
  global_batch_size: int = 32
  resize: int = 340
  crop: int = 299
  labels: str = 'filled'
  confidence: bool = False
  max_labels: int = 64
  shuffle_group: int = 8192


@dataclasses.dataclass
class TaskConfig(base_config.Config):
  """What is learnt from what.

  Attributes:
    loss: per_label_logistic (any number of labels) or softmax (exactly one).
    positive_weight: factor on the positive part of the logistic loss.
    weight_decay: as in TF-slim, weight_decay * sum(w^2) / 2 on kernels.
    freeze: stages up to this one stay fixed.
    init_checkpoint: weights to start from, by name.
    allow_partial_init: also the trunk may differ from the checkpoint.
    top_k: the k of mAP@k.
  """

  model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
  train_data: DataConfig = dataclasses.field(default_factory=DataConfig)
  validation_data: DataConfig = dataclasses.field(
    default_factory=lambda: DataConfig(split='validation', training=False)
  )
  loss: str = 'per_label_logistic'
  positive_weight: float = 1.0
  weight_decay: float = 1e-4
  freeze: str = 'none'
  init_checkpoint: str = ''
  allow_partial_init: bool = False
  top_k: int = 100
