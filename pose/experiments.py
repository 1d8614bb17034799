"""The paper's pose experiments, G-RMI's own schedule, a twin for a laptop.

Numbers are of Sun et al. 2017 (arXiv 1707.02968), the section on human pose,
and of the framework that it trains, G-RMI (Papandreou et al. 2017, arXiv
1701.01779). Marks: none = confirmed by a public text; † = recalled, with
arithmetic that agrees; ‡ = recalled with less confidence.
"""

from official_repro.core import config as config_lib
from official_repro.core import optimizers
from official_repro.data.mini import taxonomy
from pose import task_config

DEPTHS = (50, 101, 152)
# The unit that holds "layer 50" ‡ of the network, for the head in the middle:
# conv4's unit n ends with layer 22 + 3 n (ResNet-101) or 34 + 3 n (152). Of a
# ResNet-50 it is the last layer, so that there is nothing in the middle.
_LAYER_50 = {50: '', 101: 'conv4/unit_10', 152: 'conv4/unit_6'}


def _experiment(
  *,
  model,
  data,
  crop,
  steps,
  optimizer,
  learning_rate,
  averaging_decay=0.0,
  trainer=None,
  **task,
):
  """Puts the parts of one table row together.

  Args:
    model: fields of ModelConfig.
    data: fields of DataConfig for both splits; `train` and `validation` hold
      what differs.
    crop: fields of CropConfig.
    steps: optimizer steps in all.
    optimizer: {type: fields}.
    learning_rate: {type: fields}.
    averaging_decay: of Polyak averaging, 0 for none.
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
      crop=task_config.CropConfig(**crop),
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
          'averaging_decay': averaging_decay,
        }
      ),
      train_steps=steps,
      **(trainer or {}),
    ),
  )


def _grmi(depth, **schedule):
  """What the paper's runs and G-RMI's own have in common."""
  return _experiment(
    model={
      'depth': depth,
      'stride_placement': 'slim',
      'intermediate': _LAYER_50[depth],
      # Neither text says. 24 crops of 353x257 are 8 a device at most.
      'freeze_batch_norm': True,
    },
    data={'global_batch_size': 24},
    crop={
      'height': 353,
      'width': 257,
      'radius': 25.0,
      'train_scales': (1.0, 1.5),
      'test_scale': 1.25,
    },
    heatmap_weight=4.0,
    offset_weight=1.0,
    oks_threshold=0.5,  # ‡
    weight_decay=1e-4,  # not said; that of the pre-training †
    trainer={
      'steps_per_loop': 10,
      'checkpoint_interval': 5000,
      'validation_interval': 50_000,
    },
    **schedule,
  )


def _coco(depth):
  """Sun et al. 2017: SGD with momentum, one drop of the learning rate."""
  return _grmi(
    depth,
    optimizer={'sgd': {'momentum': 0.9}},
    learning_rate={
      'stepwise': {
        # The base rate was not recovered; this is G-RMI's.
        'boundaries': [250_000],  # ‡
        'values': [5e-3, 5e-4],
      }
    },
    steps=450_000,  # ‡
  )


def coco_resnet101():
  """ResNet-101 on COCO's people with keypoints: the paper's run.

  Paper, test-dev AP: G-RMI 64.9 (62.4 ‡ as quoted there), 300M 64.8 ‡,
  ImageNet+300M 64.4 ‡. Here: not run. The base learning rate is not in the
  text.
  Command:
    python -m pose.train --experiment=coco_resnet101 --data_dir=DATA \
        --model_dir=RUN --init_checkpoint=CLASSIFIER
  """
  return _coco(101)


def grmi_resnet101():
  """G-RMI's own schedule: constant rate, Polyak averaging of the weights.

  Papandreou et al. 2017: batch 24, learning rate 0.005, 800K steps †. Whether
  with momentum and with which decay the weights were averaged is not said;
  here .9 and .9999. Here: not run.
  """
  return _grmi(
    101,
    optimizer={'sgd': {'momentum': 0.9}},
    learning_rate={'constant': {'learning_rate': 5e-3}},
    averaging_decay=0.9999,
    steps=800_000,  # †
  )


def _of_depth(depth):
  """The main preset with another trunk, under its own name."""

  def other():
    return _coco(depth)

  other.__name__ = f'coco_resnet{depth}'
  other.__doc__ = f"ResNet-{depth} on COCO's people with keypoints."
  return other


# --- for a laptop: the same code on small pictures ----------------------------


def mini_person():
  """ResNet-14 on the generated mini_person, from a mini_jft checkpoint.

  Command:
    python -m pose.train --experiment=mini_person --data_dir=DATA \
        --model_dir=RUN --init_checkpoint=MINI_JFT_RUN
  """
  steps = 400
  height = 97
  return _experiment(
    model={
      # The network of mini_jft.
      'depth': 14,
      'width': 0.5,
      'batch_norm_momentum': 0.9,
      'freeze_batch_norm': False,
    },
    data={
      'global_batch_size': 16,
      'shuffle_group': 1024,
      'person_category': taxonomy.SEGMENT_CLASSES.index('person') + 1,
    },
    crop={
      # 96 x 72, and one pixel more for whole cells, as 353 x 257 is.
      'height': height,
      'width': 73,
      'radius': 25.0 * height / 353,
    },
    # In so few steps momentum does not come far.
    optimizer={'adam': {'global_clipnorm': 10.0}},
    learning_rate={
      'cosine': {'initial_learning_rate': 3e-3, 'decay_steps': steps}
    },
    steps=steps,
    trainer={
      'steps_per_loop': 10,
      'checkpoint_interval': 200,
      'validation_interval': steps,
    },
  )


EXPERIMENTS = {
  f.__name__: f
  for f in (
    *(coco_resnet101 if d == 101 else _of_depth(d) for d in DEPTHS),
    grmi_resnet101,
    mini_person,
  )
}
