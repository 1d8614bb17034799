import numpy as np
import pytest
import tensorflow as tf

from official_repro import import_checkpoint
from official_repro.core import checkpoints
from official_repro.modeling import classifier, resnet, slim_names


@pytest.mark.parametrize(
  'slim,ours',
  [
    ('resnet_v1_50/conv1/weights', 'conv1/conv/kernel'),
    ('resnet_v1_50/conv1/BatchNorm/beta', 'conv1/bn/beta'),
    (
      'resnet_v1_50/block3/unit_2/bottleneck_v1/conv2/weights',
      'conv4/unit_2/conv2/kernel',
    ),
    (
      'resnet_v1_50/block4/unit_3/bottleneck_v1/conv3/BatchNorm/moving_mean',
      'conv5/unit_3/bn3/moving_mean',
    ),
    (
      'resnet_v1_50/block1/unit_1/bottleneck_v1/shortcut/weights',
      'conv2/unit_1/shortcut/conv/kernel',
    ),
    (
      'resnet_v1_50/block1/unit_1/bottleneck_v1/shortcut/BatchNorm/gamma',
      'conv2/unit_1/shortcut/bn/gamma',
    ),
  ],
)
def test_names_both_ways(slim, ours):
  assert slim_names.from_slim(slim) == ours
  assert slim_names.to_slim(ours, 50) == slim
  assert slim_names.from_slim('FirstStageFeatureExtractor/' + slim) == ours


def test_other_variables_have_no_name():
  for name in (
    'global_step',
    'resnet_v1_50/conv1/weights/Momentum',
    'resnet_v1_50/conv2/weights',
    'resnet_v1_50/logits/weights',
    'resnet_v1_50/mean_rgb',
  ):
    assert slim_names.from_slim(name) is None
  for name in ('fc/sub_00/kernel', 'global_step', 'conv1/conv/kernel/momentum'):
    assert slim_names.to_slim(name, 50) is None


def test_every_variable_of_a_network_has_a_name_of_its_own():
  names = [v.name[:-2] for v in resnet.ResNet(152, width=1 / 64).variables]
  slim = [slim_names.to_slim(n, 152) for n in names]
  assert [slim_names.from_slim(s) for s in slim] == names
  assert {slim_names.depth_of(s) for s in slim} == {152}


def test_mean_subtracted_pixels_are_absorbed_inside_the_border():
  tf.keras.utils.set_random_seed(0)
  model = classifier.Classifier(3, depth=14, width=1 / 4)
  rng = np.random.default_rng(0)
  pixels = rng.uniform(0, 255, (1, 33, 33, 3)).astype(np.float32)
  before = model.trunk(pixels - np.float32(slim_names.SLIM_PIXEL_MEANS))
  values = {v.name[:-2]: v.numpy() for v in model.variables}
  for name, value in slim_names.absorb_pixel_means(values).items():
    next(v for v in model.variables if v.name[:-2] == name).assign(value)
  after = model.trunk(pixels / 127.5 - 1)
  inside = slice(2, -2)  # of conv1, at stride 2: windows without padding
  want = before['conv1'].numpy()[:, inside, inside]
  found = after['conv1'].numpy()[:, inside, inside]
  np.testing.assert_allclose(found, want, atol=1e-4 * want.max())


@pytest.fixture(scope='module')
def slim_checkpoint(tmp_path_factory):
  """A TF-slim style resnet_v1_50 with 5 logits, made from names alone."""
  rng = np.random.default_rng(0)
  tensors = {'global_step': np.int64(7)}
  for v in resnet.ResNet(50).variables:
    name = slim_names.to_slim(v.name[:-2], 50)
    tensors[name] = rng.standard_normal(v.shape, np.float32)
  tensors['resnet_v1_50/logits/weights'] = rng.normal(
    size=(1, 1, 2048, 5)
  ).astype(np.float32)
  tensors['resnet_v1_50/logits/biases'] = np.arange(5, dtype=np.float32)
  prefix = str(tmp_path_factory.mktemp('slim') / 'model.ckpt')
  save(prefix, tensors)
  return prefix, tensors


def save(prefix, tensors):
  tf.raw_ops.SaveV2(
    prefix=prefix,
    tensor_names=list(tensors),
    shape_and_slices=[''] * len(tensors),
    tensors=list(tensors.values()),
  )


def test_import_then_export_is_the_identity(slim_checkpoint, tmp_path):
  source, tensors = slim_checkpoint
  ours, back = str(tmp_path / 'ours' / 'ckpt'), str(tmp_path / 'back' / 'ckpt')
  import_checkpoint.import_slim(source, ours, 50, num_shards=2)
  import_checkpoint.export_slim(str(tmp_path / 'ours'), back, 50)
  reader = tf.train.load_checkpoint(back)
  assert set(reader.get_variable_to_shape_map()) == set(tensors) - {
    'global_step'
  }
  for name in reader.get_variable_to_shape_map():
    np.testing.assert_array_equal(reader.get_tensor(name), tensors[name])
  metadata = checkpoints.read_metadata(checkpoints.open_reader(ours))
  assert metadata['depth'] == 50 and metadata['num_classes'] == 5
  # The head too is read by name.
  reader = checkpoints.open_reader(ours)
  keys = checkpoints.weight_keys(reader)
  np.testing.assert_array_equal(
    reader.get_tensor(keys['fc/sub_01/bias']), [3, 4, 0]
  )


def test_wrong_depth_and_missing_variables(slim_checkpoint, tmp_path):
  source, tensors = slim_checkpoint
  with pytest.raises(ValueError, match=r'resnet_v1_101.*resnet_v1_50.*--depth'):
    import_checkpoint.import_slim(source, str(tmp_path / 'x'), 101)
  part = str(tmp_path / 'part')
  save(part, {k: v for k, v in tensors.items() if 'block2/unit_2' not in k})
  with pytest.raises(ValueError, match='nothing where conv3/unit_2'):
    import_checkpoint.import_slim(part, str(tmp_path / 'x'), 50)
  with pytest.raises(ValueError, match='No checkpoint at'):
    import_checkpoint.import_slim(str(tmp_path / 'absent'), 'x', 50)
  assert not list(tmp_path.glob('x*'))
