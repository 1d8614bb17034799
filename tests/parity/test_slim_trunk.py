"""Our `slim` trunk beside TF-slim's own resnet_v1, on the same weights.

Tolerance: the largest difference is below 1e-4 of the largest value.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import tensorflow as tf

from official_repro import import_checkpoint
from official_repro.core import checkpoints
from official_repro.modeling import classifier, resnet, slim_names
from official_repro.util import onednn
from tests.conftest import shared_path
from tests.parity import slim_reference

TOLERANCE = 1e-4
# The references compute with the setting of the tests: in training on small
# maps the kernels with oneDNN and without differ by more than the tolerance.
BUILD = (
  pathlib.Path(__file__).resolve().parents[2]
  / 'build'
  / ('parity_onednn' if onednn.enabled() else 'parity')
)
pytestmark = pytest.mark.usefixtures('no_random_kernels')


def reference(name, script, *arguments):
  """Runs a reference program once; returns its output folder."""
  output = BUILD / name
  if output.exists():
    return output
  BUILD.mkdir(parents=True, exist_ok=True)
  # Renamed when complete: another test process may want the same.
  with tempfile.TemporaryDirectory(dir=BUILD) as folder:
    made = pathlib.Path(folder) / 'made'
    arguments = [str(a).replace('OUTPUT', str(made)) for a in arguments]
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
    done = subprocess.run(
      [sys.executable, str(script), *arguments],
      cwd=folder,
      env=env,
      capture_output=True,
      text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    _publish(made, output)
  return output


def _publish(made, output):
  try:
    os.rename(made, output)
  except OSError:  # Another process was faster; its folder is as good.
    assert output.exists()


def assert_close(found, want, what):
  found, want = np.asarray(found), np.asarray(want)
  assert found.shape == want.shape, what
  error = np.abs(found - want).max() / np.abs(want).max()
  assert error < TOLERANCE, f'{what}: {error:.2g} of the largest value'


def assert_same_features(endpoints, outputs, prefix, what):
  for block in range(1, 5):
    assert_close(
      endpoints[f'conv{block + 1}'],
      outputs[f'{prefix}block{block}'],
      f'{what} block{block}',
    )


def imported(folder, depth):
  """Imports FOLDER/model.ckpt; returns the prefix of ours."""
  output = folder / 'imported'
  if not output.exists():
    with tempfile.TemporaryDirectory(dir=BUILD) as temporary:
      made = pathlib.Path(temporary) / 'made'
      import_checkpoint.import_slim(
        str(folder / 'model.ckpt'), str(made / 'ckpt'), depth, num_shards=2
      )
      _publish(made, output)
  return str(output / 'ckpt')


# All of the smallest network, one of each other depth.
CASES = {50: list(slim_reference.CASES), 101: ['os8_odd'], 152: ['os32_even']}


def with_head(depth):
  """The output folder of slim_reference.py."""
  return reference(
    f'slim_resnet_v1_{depth}',
    slim_reference.__file__,
    shared_path('tools'),
    'OUTPUT',
    depth,
    *CASES[depth],
  )


@pytest.mark.parametrize(
  'depth,case', [(depth, case) for depth in CASES for case in CASES[depth]]
)
def test_classifier(depth, case):
  folder = with_head(depth)
  outputs = np.load(folder / 'outputs.npz')
  output_stride, _, _, training = slim_reference.CASES[case]
  model = classifier.Classifier(
    5, num_shards=2, depth=depth, output_stride=output_stride
  )
  loaded = checkpoints.load_weights(model.variables, imported(folder, depth))
  assert not loaded.missing and not loaded.unused

  endpoints = model.trunk(outputs[f'{case}/images'], training=training)
  logits = model.head(tf.reduce_mean(endpoints['conv5'], [1, 2]))
  assert_same_features(endpoints, outputs, f'{case}/', case)
  assert_close(logits, outputs[f'{case}/logits'], f'{case} logits')
  if training:
    for v in model.non_trainable_variables:
      slim = slim_names.to_slim(v.name[:-2], depth)
      assert_close(v, outputs[f'{case}/updated/{slim}'], v.name)


def test_trunk_of_the_reference_tool():
  folder = reference(
    'slim_trunk_50',
    shared_path('tools', 'reference_trunk.py'),
    '--depth=50',
    '--output_stride=16',
    '--output=OUTPUT',
  )
  outputs = np.load(folder / 'outputs.npz')
  model = resnet.ResNet(50, 16)
  loaded = checkpoints.load_weights(model.variables, imported(folder, 50))
  assert not loaded.missing and not loaded.unused
  endpoints = model(outputs['images'])
  assert_same_features(endpoints, outputs, '', 'reference_trunk.py')


@pytest.mark.parametrize('depth', CASES)
def test_export_gives_back_every_tensor_bit_for_bit(depth, tmp_path):
  folder = with_head(depth)
  back = str(tmp_path / 'back')
  import_checkpoint.export_slim(imported(folder, depth), back, depth)
  want = tf.train.load_checkpoint(str(folder / 'model.ckpt'))
  found = tf.train.load_checkpoint(back)
  assert found.get_variable_to_shape_map() == want.get_variable_to_shape_map()
  for name in found.get_variable_to_shape_map():
    np.testing.assert_array_equal(found.get_tensor(name), want.get_tensor(name))
