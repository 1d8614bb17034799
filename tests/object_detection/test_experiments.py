"""The presets are the paper's table (see their module's text for the marks)."""

import pytest

from object_detection import experiments
from official_repro.core import optimizers


def test_names():
  rows = ('coco_resnet{}', 'coco_resnet{}_frozen', 'voc0712_resnet{}')
  expected = {r.format(d) for r in rows for d in (50, 101, 152)}
  expected |= {'coco_person_resnet101', 'mini_coco'}
  assert set(experiments.EXPERIMENTS) == expected


@pytest.mark.parametrize('name', experiments.EXPERIMENTS)
def test_preset_says_what_it_is_and_resolves(name):
  preset = experiments.EXPERIMENTS[name]
  assert preset.__name__ == name
  first = preset.__doc__.splitlines()[0]
  assert first
  config = preset()
  depth = config.task.model.depth
  assert f'resnet{depth}' in name or name == 'mini_coco'
  if 'ResNet-' in first:
    assert f'ResNet-{depth}' in first
  optimizer = config.trainer.optimizer_config.optimizer
  if name != 'mini_coco':
    assert optimizer.type == 'sgd'
    assert (optimizer.sgd.momentum, optimizer.sgd.clipnorm) == (0.9, 10)
  assert optimizers.build_optimizer(config.trainer.optimizer_config)


@pytest.mark.parametrize(
  'name, rate, drop, steps, freeze, metric',
  [
    ('coco_resnet101', 4e-4, 2_500_000, 3_000_000, 'none', 'coco'),
    ('coco_resnet101_frozen', 4e-4, 900_000, 1_500_000, 'conv4', 'coco'),
    ('coco_resnet152_frozen', 4e-4, 900_000, 1_500_000, 'conv4', 'coco'),
    ('voc0712_resnet50', 3e-4, 500_000, 700_000, 'none', 'voc'),
    ('coco_person_resnet101', 4e-4, 2_500_000, 3_000_000, 'none', 'coco'),
  ],
)
def test_schedule(name, rate, drop, steps, freeze, metric):
  config = experiments.EXPERIMENTS[name]()
  schedule = optimizers.build_learning_rate(config.trainer.optimizer_config)
  assert float(schedule(drop - 1)) == pytest.approx(rate)
  assert float(schedule(drop + 1)) == pytest.approx(rate / 10)
  assert config.trainer.train_steps == steps
  assert (config.task.freeze, config.task.metric) == (freeze, metric)


def test_input_sampling_and_anchors_of_the_paper():
  task = experiments.coco_resnet101().task
  for data in (task.train_data, task.validation_data):
    assert (data.min_side, data.max_side) == (600, 1024)
    assert data.global_batch_size == 1
  assert (task.train_data.training, task.validation_data.training) == (
    True,
    False,
  )
  assert task.validation_data.split == 'minival'
  sampling = task.sampling
  assert (sampling.rpn, sampling.classifier) == (64, 256)
  assert sampling.rpn_positive_fraction == 0.5
  assert sampling.classifier_positive_fraction == 0.25
  model = task.model
  assert model.anchor_base == 256
  assert tuple(model.anchor_scales) == (0.25, 0.5, 1, 2)
  assert tuple(model.anchor_ratios) == (0.5, 1, 2)
  assert (model.num_proposals, model.crop) == (300, 14)
  assert model.freeze_batch_norm
  assert not task.train_data.crowds


def test_voc_learns_difficult_objects_and_person_preset_only_persons():
  voc = experiments.voc0712_resnet101().task
  assert voc.train_data.crowds
  assert voc.validation_data.split == 'test'
  assert experiments.coco_person_resnet101().task.classes == ['person']
