"""The paper's segmentation experiments, and a small twin for a laptop.

Numbers are of Sun et al. 2017 (arXiv 1707.02968), the section on semantic
segmentation. Marks: none = confirmed by a public text; † = recalled, with
arithmetic that agrees. What the paper does not say is as in DeepLab v2 (Chen et
al. 2016, arXiv 1606.00915), the net that it trains.

The head is ASPP-L. Its relatives of DeepLab v2 are flags of every preset:
  ASPP-S    --params_override='task.model.rates=[2,4,8,12]'
  LargeFOV  --params_override='task.model.rates=[12]'
So is a loss at the picture's size: --params_override=task.full_size_loss=true.
"""

from deeplab import task_config
from official_repro.core import config as config_lib
from official_repro.core import optimizers

DEPTHS = (50, 101, 152)


def _experiment(
  *,
  model,
  data,
  steps,
  optimizer,
  learning_rate,
  multipliers=(),
  trainer=None,
  **task,
):
  """Puts the parts of one table row together.

  Args:
    model: fields of ModelConfig.
    data: fields of DataConfig for both splits; `train` and `validation` hold
      what differs.
    steps: optimizer steps in all.
    optimizer: {type: fields}.
    learning_rate: {type: fields}.
    multipliers: {'pattern', 'factor'} of the learning rate, first fit counts.
    trainer: further fields of TrainerConfig.
    **task: further fields of TaskConfig.

  Returns:
    ExperimentConfig.
  """
  data = dict(data)
  train = data.pop('train', {})
  validation = data.pop('validation', {})
  (optimizer_type,), (rate_type,) = optimizer, learning_rate
  return config_lib.ExperimentConfig(
    task=task_config.TaskConfig(
      model=task_config.ModelConfig(**model),
      train_data=task_config.DataConfig(**{**data, **train}),
      validation_data=task_config.DataConfig(
        **{**data, 'split': 'validation', 'training': False, **validation}
      ),
      **task,
    ),
    trainer=config_lib.TrainerConfig(
      optimizer_config=optimizers.OptimizationConfig(
        {
          'optimizer': {'type': optimizer_type, **optimizer},
          'learning_rate': {'type': rate_type, **learning_rate},
          'gradient_multipliers': [dict(m) for m in multipliers],
        }
      ),
      train_steps=steps,
      **(trainer or {}),
    ),
  )


# The rates of DeepLab v2's training file: weights of the new layers lr_mult 10
# and decay_mult 1, biases lr_mult 20 and decay_mult 0, all else 1. As there,
# the weights' decay, a part of the gradient, is multiplied too; biases have
# none.
_X10_HEAD = (
  {'pattern': '^head/.*/bias', 'factor': 20.0},
  {'pattern': '^head/', 'factor': 10.0},
)


def _voc2012(depth, multipliers=()):
  steps = 30_000
  return _experiment(
    model={
      'depth': depth,
      'stride_placement': 'slim',
      # The paper does not say. DeepLab v2 kept the statistics of the
      # checkpoint; six images are too few for others.
      'freeze_batch_norm': True,
    },
    data={'global_batch_size': 6, 'crop_size': 513},  # no augmentation
    optimizer={'sgd': {'momentum': 0.9}},
    learning_rate={
      'polynomial': {
        'initial_learning_rate': 3e-4,  # †
        'decay_steps': steps,
        'end_learning_rate': 0.0,
        'power': 0.9,
      }
    },
    multipliers=multipliers,
    weight_decay=5e-4,  # †
    steps=steps,
    trainer={
      'steps_per_loop': 10,
      'checkpoint_interval': 1000,
      'validation_interval': 10_000,
    },
  )


def voc2012_resnet101():
  """ResNet-101 on VOC 2012 trainaug, evaluated on val: the main run.

  Paper, val mIoU: ImageNet 73.6, 300M 75.3, both 76.5 †. Here: not run at full
  length. The data folder's splits are train (trainaug) and validation (val).
  Command:
    python -m deeplab.train --experiment=voc2012_resnet101 --data_dir=DATA \
        --model_dir=RUN --init_checkpoint=CLASSIFIER
  """
  return _voc2012(101)


def voc2012_resnet101_x10head():
  """As voc2012_resnet101, the head's learning rate x10, of its biases x20.

  DeepLab v2's habit; paper: as voc2012_resnet101, whether it had it is not
  said. Here: not run.
  """
  return _voc2012(101, _X10_HEAD)


def _of_depth(depth):
  """The main preset with another trunk, under its own name."""

  def other():
    return _voc2012(depth)

  other.__name__ = f'voc2012_resnet{depth}'
  other.__doc__ = f'ResNet-{depth} on VOC 2012 trainaug, evaluated on val.'
  return other


# --- for a laptop: the same code on small pictures ----------------------------


def mini_voc():
  """ResNet-14 on the generated mini_voc, from a mini_jft checkpoint.

  Command:
    python -m deeplab.train --experiment=mini_voc --data_dir=DATA \
        --model_dir=RUN --init_checkpoint=MINI_JFT_RUN
  """
  steps = 900
  return _experiment(
    model={
      # The network of mini_jft.
      'depth': 14,
      'width': 0.5,
      'batch_norm_momentum': 0.9,
      'freeze_batch_norm': False,
      # To the 17 cells of a whole picture what 6, 12, 18, 24 are to 65.
      'rates': (2, 4, 6, 8),
    },
    data={
      'global_batch_size': 16,
      'crop_size': 129,  # mini_voc's pictures have up to 128 pixels
      'shuffle_group': 1024,
      # Smaller crops: in the same time more of them, and less padding.
      'train': {'flip': True, 'crop_size': 97},
    },
    # In so few steps momentum does not come far.
    optimizer={'adam': {'global_clipnorm': 10.0}},
    learning_rate={
      'cosine': {'initial_learning_rate': 2e-3, 'decay_steps': steps}
    },
    steps=steps,
    trainer={
      'steps_per_loop': 10,
      'checkpoint_interval': 500,
      'validation_interval': steps,
    },
  )


EXPERIMENTS = {
  f.__name__: f
  for f in (
    *(voc2012_resnet101 if d == 101 else _of_depth(d) for d in DEPTHS),
    voc2012_resnet101_x10head,
    mini_voc,
  )
}
