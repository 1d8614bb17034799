"""The presets against the paper's numbers (Sun et al. 2017)."""

import pytest

from official_repro import experiments
from official_repro.core import optimizers


@pytest.mark.parametrize('depth', [50, 101, 152])
def test_jft300m_is_the_papers_recipe(depth):
  config = experiments.EXPERIMENTS[f'jft300m_resnet{depth}']()
  model, data = config.task.model, config.task.train_data
  assert (model.depth, model.fc_shards) == (depth, 50)
  assert model.stride_placement == 'slim'
  assert (data.resize, data.crop, data.global_batch_size) == (340, 299, 32)
  assert data.labels == 'filled'
  assert config.task.loss == 'per_label_logistic'
  assert config.task.weight_decay == 1e-4
  assert config.task.top_k == 100
  assert config.trainer.train_steps == 36_000_000
  optimizer = config.trainer.optimizer_config.optimizer
  assert optimizer.type == 'rmsprop_tf1'
  assert optimizer.rmsprop_tf1.momentum == 0.9
  rate = optimizers.build_learning_rate(config.trainer.optimizer_config)
  assert float(rate(0)) == pytest.approx(1e-3)
  assert float(rate(2_999_000)) == pytest.approx(1e-3)
  assert float(rate(3_001_000)) == pytest.approx(0.9e-3)
  assert float(rate(35_999_000)) == pytest.approx(1e-3 * 0.9**11)


@pytest.mark.parametrize(
  'name, base, steps',
  [
    ('imagenet_resnet101', 5e-2, 5_000_000),
    ('imagenet_finetune_resnet101', 1e-2, 4_000_000),
  ],
)
def test_imagenet_drops_tenfold_every_thirty_epochs(name, base, steps):
  config = experiments.EXPERIMENTS[name]()
  rate = optimizers.build_learning_rate(config.trainer.optimizer_config)
  assert config.trainer.train_steps == steps
  assert config.task.loss == 'softmax'
  assert float(rate(0)) == pytest.approx(base)
  assert float(rate(1_199_000)) == pytest.approx(base)
  assert float(rate(1_203_000)) == pytest.approx(base * 0.1)
  assert float(rate(2_405_000)) == pytest.approx(base * 0.01)


def test_every_preset_can_be_scaled_by_the_learning_rate_flag():
  for preset in experiments.EXPERIMENTS.values():
    config = preset()
    key = config.trainer.optimizer_config.learning_rate_key()
    assert key.startswith('learning_rate.')
    assert preset.__doc__


def test_sub_fc_layers_of_the_paper():
  # 18,291 = 49 x 366 + 357: the last of 50 equal parts is padded.
  from official_repro.modeling import sharded_dense

  assert sharded_dense.shard_width(18_291, 50) == 366
  assert 49 * 366 + 357 == 18_291
