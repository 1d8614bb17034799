"""Reading the reference's checkpoints; the numbers are in tests/parity."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from object_detection import import_checkpoint, loading, tf_names
from object_detection import model as model_lib
from official_repro.core import checkpoints

BLOCK = 'resnet_v1_101/block{}/unit_2/bottleneck_v1/conv2/weights'


@pytest.mark.parametrize(
  'reference,ours',
  [
    (
      'FirstStageFeatureExtractor/resnet_v1_101/conv1/weights',
      'conv1/conv/kernel',
    ),
    (
      'FirstStageFeatureExtractor/' + BLOCK.format(3),
      'conv4/unit_2/conv2/kernel',
    ),
    (
      'SecondStageFeatureExtractor/' + BLOCK.format(4),
      'conv5/unit_2/conv2/kernel',
    ),
    ('Conv/weights', 'rpn/conv/kernel'),
    ('FirstStageBoxPredictor/ClassPredictor/biases', 'rpn/objectness/bias'),
    ('FirstStageBoxPredictor/BoxEncodingPredictor/weights', 'rpn/box/kernel'),
    ('SecondStageBoxPredictor/ClassPredictor/weights', 'head/class/kernel'),
    ('SecondStageBoxPredictor/BoxEncodingPredictor/biases', 'head/box/bias'),
  ],
)
def test_names_both_ways(reference, ours):
  assert tf_names.from_reference(reference) == ours
  assert tf_names.to_reference(ours, 101) == reference


@pytest.mark.parametrize(
  'name',
  [
    # The first stage's own block4, which the reference never reads.
    'FirstStageFeatureExtractor/' + BLOCK.format(4),
    'SecondStageFeatureExtractor/' + BLOCK.format(3),
    BLOCK.format(3),
    'Other/' + BLOCK.format(3),
    'Conv/weights/Momentum',
    'global_step',
  ],
)
def test_what_we_do_not_have(name):
  assert tf_names.from_reference(name) is None


def test_every_variable_has_a_name_of_its_own():
  names = [
    v.name[:-2]
    for v in model_lib.FasterRCNN(2, depth=152, width=1 / 64).variables
  ]
  theirs = [tf_names.to_reference(n, 152) for n in names]
  assert [tf_names.from_reference(n) for n in theirs] == names
  assert tf_names.depths(theirs) == {152}


def save(prefix, tensors):
  tf.raw_ops.SaveV2(
    prefix=prefix,
    tensor_names=list(tensors),
    shape_and_slices=[''] * len(tensors),
    tensors=list(tensors.values()),
  )
  return prefix


def reference_tensors(num_classes, shared_boxes=False):
  """What the reference would save, and more: its block4 and a slot."""
  model = model_lib.FasterRCNN(num_classes, depth=50, shared_boxes=shared_boxes)
  rng = np.random.default_rng(0)
  tensors = {
    tf_names.to_reference(v.name[:-2], 50): rng.random(
      v.shape, dtype=np.float32
    )
    for v in model.variables
  }
  for name in list(tensors):
    if name.startswith('Second') and 'block4' in name:
      unread = name.replace('Second', 'First', 1)
      tensors[unread] = np.full_like(tensors[name], 9.0)
  tensors['Conv/weights/Momentum'] = np.zeros(3, np.float32)
  tensors['global_step'] = np.int64(7)
  return tensors


@pytest.fixture(scope='module')
def tensors():
  return reference_tensors(4)


@pytest.fixture(scope='module')
def source(tensors, tmp_path_factory):
  folder = tmp_path_factory.mktemp('reference')
  return save(str(folder / 'model.ckpt'), tensors)


def test_every_tensor_arrives(source, tensors, tmp_path):
  output = str(tmp_path / 'ours' / 'ckpt')
  assert import_checkpoint.import_reference(source, output, 50) == 4
  metadata = checkpoints.read_metadata(checkpoints.open_reader(output))
  assert metadata['depth'] == 50 and metadata['num_classes'] == 4
  assert metadata['stride_placement'] == 'slim'
  assert metadata['pixel_range'] == [
    [-123.68, -116.779, -103.939],
    [255 - 123.68, 255 - 116.779, 255 - 103.939],
  ]
  # The folder's name is enough.
  model = loading.from_checkpoint(str(tmp_path / 'ours'))
  for variable in model.variables:
    want = tensors[tf_names.to_reference(variable.name[:-2], 50)]
    np.testing.assert_array_equal(variable, want, variable.name)


def test_one_box_for_all_classes(tmp_path):
  source = save(str(tmp_path / 'in'), reference_tensors(4, shared_boxes=True))
  output = str(tmp_path / 'out')
  import_checkpoint.import_reference(source, output, 50)
  assert loading.from_checkpoint(output).num_boxes == 1


def without(tensors, part):
  return {k: v for k, v in tensors.items() if part not in k}


def test_wrong_depth_and_missing_variables(source, tensors, tmp_path):
  def run(prefix, depth=50):
    import_checkpoint.import_reference(prefix, str(tmp_path / 'x'), depth)

  with pytest.raises(ValueError, match=r'resnet_v1_101; it has resnet_v1_50'):
    run(source, 101)
  with pytest.raises(ValueError, match='No checkpoint at'):
    run(str(tmp_path / 'absent'))
  part = save(str(tmp_path / 'unit'), without(tensors, 'block2/unit_2'))
  with pytest.raises(
    ValueError, match=r'lacks FirstStageFeatureExtractor/.*block2/unit_2'
  ):
    run(part)
  part = save(str(tmp_path / 'head'), without(tensors, 'SecondStageBox'))
  with pytest.raises(ValueError, match='lacks SecondStageBoxPredictor/Class'):
    run(part)
  trunk = {
    k.partition('/')[2]: v for k, v in tensors.items() if 'First' in k[:5]
  }
  part = save(str(tmp_path / 'slim'), trunk)
  with pytest.raises(ValueError, match='official_repro.import_checkpoint'):
    run(part)
  other = {**tensors, 'SecondStageBoxPredictor/BoxEncodingPredictor/biases':
           np.zeros(12, np.float32)}  # fmt: skip
  part = save(str(tmp_path / 'boxes'), other)
  with pytest.raises(ValueError, match='boxes for 3 classes beside .* 4'):
    run(part)
  name = 'FirstStageBoxPredictor/ClassPredictor/biases'
  part = save(
    str(tmp_path / 'anchors'), {**tensors, name: np.zeros(18, np.float32)}
  )
  with pytest.raises(ValueError, match=r'of shape \(18,\), expected \(24,\)'):
    run(part)
  assert not list(tmp_path.glob('x*'))


def test_the_binary_tells_in_one_line(source, tmp_path):
  done = subprocess.run(
    [
      sys.executable,
      '-m',
      'object_detection.import_checkpoint',
      '--format=tf_object_detection',
      f'--input={source}',
      f'--output={tmp_path}/out',
      '--depth=152',
    ],
    capture_output=True,
    text=True,
    env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'},
  )
  assert done.returncode == 1
  lines = [n for n in done.stderr.splitlines() if n.startswith('Error: ')]
  assert len(lines) == 1 and 'Set --depth to match' in lines[0]
  assert 'Traceback' not in done.stderr
  assert not list(tmp_path.iterdir())
