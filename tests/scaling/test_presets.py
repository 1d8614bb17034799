"""Holds scaling.presets against the presets; imports TensorFlow for it."""

import importlib

import pytest

from official_repro.scaling import presets


@pytest.mark.parametrize('module', presets.PRESETS)
def test_the_numbers_are_those_of_the_presets(module):
  package = module.rpartition('.')[0]
  experiments = importlib.import_module(f'{package}.experiments').EXPERIMENTS
  known = presets.PRESETS[module]
  assert set(known) == set(experiments)
  for name, make in experiments.items():
    config = make()
    rate = config.trainer.optimizer_config.learning_rate
    schedule = {k: getattr(rate.get(), k) for k in known[name].schedule}
    rising = config.trainer.optimizer_config.warmup.get()
    found = (
      config.trainer.train_steps,
      config.task.train_data.global_batch_size,
      rate.type,
      schedule,
      rising.warmup_steps if rising else 0,
    )
    expected = known[name]
    assert found == (
      expected.steps,
      expected.batch_size,
      expected.kind,
      expected.schedule,
      expected.warmup,
    ), name
    said = presets.defaults(module, name)
    labels = getattr(config.task.train_data, 'labels', None)
    assert said == {
      'depth': config.task.model.depth,
      **({'labels': labels} if labels else {}),
    }, name
