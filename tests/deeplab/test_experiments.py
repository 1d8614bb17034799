"""The presets are the paper's table (see their module's text for the marks)."""

import pytest

from deeplab import experiments
from official_repro.core import config as config_lib
from official_repro.core import optimizers

VOC = [n for n in experiments.EXPERIMENTS if n.startswith('voc')]


def test_names():
  expected = {f'voc2012_resnet{d}' for d in (50, 101, 152)}
  expected |= {'voc2012_resnet101_x10head', 'mini_voc'}
  assert set(experiments.EXPERIMENTS) == expected


@pytest.mark.parametrize('name', experiments.EXPERIMENTS)
def test_preset_says_what_it_is_and_resolves(name):
  preset = experiments.EXPERIMENTS[name]
  assert preset.__name__ == name
  assert preset.__doc__.splitlines()[0]
  config = preset()
  assert f'resnet{config.task.model.depth}' in name or name == 'mini_voc'
  assert optimizers.build_optimizer(config.trainer.optimizer_config)
  assert (config.task.train_data.crop_size - 1) % 8 == 0


@pytest.mark.parametrize('name', VOC)
def test_numbers_of_the_paper(name):
  config = experiments.EXPERIMENTS[name]()
  task = config.task
  assert task.train_data.global_batch_size == 6
  assert task.train_data.crop_size == task.validation_data.crop_size == 513
  assert not task.train_data.flip
  assert (task.train_data.training, task.validation_data.training) == (
    True,
    False,
  )
  assert task.validation_data.split == 'validation'
  assert tuple(task.model.rates) == (6, 12, 18, 24)
  assert (task.model.output_stride, task.model.freeze_batch_norm) == (8, True)
  assert (task.weight_decay, task.full_size_loss) == (5e-4, False)
  assert config.trainer.train_steps == 30_000
  optimizer = config.trainer.optimizer_config
  assert (optimizer.optimizer.type, optimizer.optimizer.sgd.momentum) == (
    'sgd',
    0.9,
  )
  schedule = optimizers.build_learning_rate(optimizer)
  assert float(schedule(0)) == pytest.approx(3e-4)
  # (1 - 1/3)^.9 and the end.
  assert float(schedule(10_000)) == pytest.approx(3e-4 * (2 / 3) ** 0.9)
  assert float(schedule(30_000)) == 0


def test_multipliers_are_only_in_one_preset():
  for name in VOC:
    optimizer = experiments.EXPERIMENTS[name]().trainer.optimizer_config
    rules = [(m.pattern, m.factor) for m in optimizer.gradient_multipliers]
    assert bool(rules) == (name == 'voc2012_resnet101_x10head')
  assert rules == [('^head/.*/bias', 20.0), ('^head/', 10.0)]


@pytest.mark.parametrize('rates', [[2, 4, 8, 12], [12]])
def test_other_heads_are_an_override(rates):
  text = str(rates).replace(' ', '')
  config = config_lib.resolve(
    experiments.voc2012_resnet101(),
    params_override=f'task.model.rates={text},task.full_size_loss=true',
  )
  assert list(config.task.model.rates) == rates
  assert config.task.full_size_loss
