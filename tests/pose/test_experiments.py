"""The presets are the papers' tables; for the marks see their module."""

import pytest

from official_repro.core import config as config_lib
from official_repro.core import optimizers
from official_repro.modeling import resnet
from pose import experiments

PAPER = [n for n in experiments.EXPERIMENTS if n != 'mini_person']
COCO = [n for n in PAPER if n.startswith('coco')]


def test_names():
  expected = {f'coco_resnet{d}' for d in (50, 101, 152)}
  expected |= {'grmi_resnet101', 'mini_person'}
  assert set(experiments.EXPERIMENTS) == expected


@pytest.mark.parametrize('name', experiments.EXPERIMENTS)
def test_preset_says_what_it_is_and_resolves(name):
  preset = experiments.EXPERIMENTS[name]
  assert preset.__name__ == name
  assert preset.__doc__.splitlines()[0]
  config = preset()
  assert f'resnet{config.task.model.depth}' in name or name == 'mini_person'
  optimizer = config.trainer.optimizer_config
  assert optimizers.build_optimizer(optimizer)
  crop = config.task.crop
  assert (crop.height - 1) % 8 == (crop.width - 1) % 8 == 0
  assert not config.task.validation_data.training
  assert config.task.validation_data.split == 'validation'
  # As text and back, as params.yaml is.
  again = config_lib.ExperimentConfig(config.as_dict())
  assert again.as_dict()['task']['crop'] == config.as_dict()['task']['crop']


@pytest.mark.parametrize('name', PAPER)
def test_numbers_of_the_papers(name):
  config = experiments.EXPERIMENTS[name]()
  task = config.task
  assert (task.crop.height, task.crop.width, task.crop.radius) == (353, 257, 25)
  assert tuple(task.crop.train_scales) == (1.0, 1.5)
  assert task.crop.test_scale == 1.25
  assert (task.heatmap_weight, task.offset_weight) == (4, 1)
  assert task.train_data.global_batch_size == 24
  assert task.validation_data.min_box_score == 0.3
  assert task.validation_data.max_box_overlap == 0.6
  assert task.validation_data.person_category == 1
  assert (task.model.stride_placement, task.freeze) == ('slim', 'none')
  assert task.model.freeze_batch_norm
  assert (task.oks_threshold, task.weight_decay) == (0.5, 1e-4)


@pytest.mark.parametrize('name', COCO)
def test_schedule_of_the_paper(name):
  config = experiments.EXPERIMENTS[name]()
  assert config.trainer.train_steps == 450_000
  optimizer = config.trainer.optimizer_config
  assert optimizer.optimizer.type == 'sgd'
  assert optimizer.optimizer.sgd.momentum == 0.9
  assert optimizer.averaging_decay == 0
  rate = optimizers.build_learning_rate(optimizer)
  assert float(rate(0)) == pytest.approx(5e-3)
  assert float(rate(250_000)) == pytest.approx(5e-3)
  assert float(rate(250_001)) == pytest.approx(5e-4)


def test_schedule_of_grmi():
  config = experiments.grmi_resnet101()
  assert config.trainer.train_steps == 800_000
  optimizer = config.trainer.optimizer_config
  assert optimizer.optimizer.type == 'sgd'
  assert optimizer.optimizer.sgd.momentum == 0.9
  assert optimizer.averaging_decay == 0.9999
  assert optimizers.build_learning_rate(optimizer) == 5e-3


@pytest.mark.parametrize('depth, unit', [(101, 10), (152, 6)])
def test_head_in_the_middle_is_at_layer_50(depth, unit):
  """A unit has three layers: conv1, those before, and its own."""
  config = experiments.EXPERIMENTS[f'coco_resnet{depth}']()
  assert config.task.model.intermediate == f'conv4/unit_{unit}'
  conv2, conv3 = resnet.UNITS[depth][:2]
  before = 1 + 3 * (conv2 + conv3)
  # The unit that layer 50 is in.
  assert before + 3 * (unit - 1) < 50 <= before + 3 * unit
  assert not experiments.EXPERIMENTS['coco_resnet50']().task.model.intermediate


def test_radius_of_the_small_preset_is_the_papers_share_of_the_crop():
  task = experiments.mini_person().task
  crop = task.crop
  assert (crop.height, crop.width, task.model.intermediate) == (97, 73, '')
  assert crop.radius / crop.height == pytest.approx(25 / 353)
