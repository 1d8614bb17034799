"""How long to train, in passes over the training split."""

import json

import pytest
import yaml

from official_repro.core import runner
from official_repro.data import manifest
from tests import tiny


@pytest.mark.parametrize(
  'epochs, records, batch_size, steps',
  [
    (1.0, 64, 8, 8),
    (1.3, 1000, 10, 130),  # 130.00000000000003 in floating point
    (2.6, 300, 32, 25),  # 24.375
    (0.001, 64, 8, 1),
    (4.0, 300_000_000, 32, 37_500_000),
  ],
)
def test_steps(epochs, records, batch_size, steps):
  assert runner.steps_of_epochs(epochs, records, batch_size) == steps


def _run(data, model_dir, **options):
  options = {**tiny.train_options(data, model_dir), 'mode': 'train', **options}
  options.pop('train_steps')
  return tiny.call('train', **options)


def test_a_subset_is_trained_for_a_number_of_epochs(tmp_path):
  tiny.build(tmp_path / 'data', images=64)
  done = tiny.call(
    'subset', data_dir=tmp_path / 'data', output=tmp_path / 's', num_images=20
  )
  assert done.returncode == 0, done.stderr
  done = _run(tmp_path / 's', tmp_path / 'run', epochs=1.3)
  assert done.returncode == 0, done.stderr
  # 1.3 * 20 / 8 = 3.25
  assert (tmp_path / 'run' / 'ckpt-4.index').exists()
  params = yaml.safe_load((tmp_path / 'run' / 'params.yaml').read_text())
  assert params['trainer']['train_steps'] == 4
  run = json.loads((tmp_path / 'run' / 'run.json').read_text())
  dataset = manifest.Dataset.load(tmp_path / 's')
  assert run['data_manifest'] == dataset.manifest_hash


@pytest.mark.parametrize(
  'options, words',
  [
    ({'epochs': 2, 'train_steps': 8}, ['--epochs', '--train_steps', 'one']),
    ({'epochs': 0}, ['--epochs', 'above 0', 'got 0']),
    ({'epochs': 'nan'}, ['--epochs', 'above 0', 'nan']),
  ],
)
def test_wrong_epochs(tmp_path, options, words):
  done = tiny.call(
    'train', experiment='mini_jft', model_dir=tmp_path / 'm', **options
  )
  assert done.returncode == 1
  (line,) = done.stderr.strip().splitlines()
  for word in words:
    assert word in line
