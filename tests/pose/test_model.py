"""What is named how, where offsets lie, what moves."""

import numpy as np
import pytest
import tensorflow as tf

from official_repro.core import checkpoints
from official_repro.modeling import classifier, resnet
from pose import building, task_config
from pose import model as model_lib
from tests.object_detection import tiny

SMALL = {'depth': 14, 'width': 1 / 16}
UNIT = 'conv4/unit_1'


def pictures(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return tf.constant(rng.uniform(-1, 1, (*shape, 3)), tf.float32)


@pytest.fixture(scope='module')
def net():
  """A net whose heads say something; weights of another scale in its middle."""
  tf.keras.utils.set_random_seed(1)
  model = model_lib.PoseNet(intermediate=UNIT, **SMALL)
  for head in (model.head, model.intermediate_head):
    for variable in head.variables:
      variable.assign(tf.random.normal(variable.shape, stddev=0.2))
  return model


def test_names_are_those_of_a_classifier_and_the_heads(net):
  names = {v.name for v in net.variables}
  trunk = classifier.Classifier(num_classes=3, num_shards=1, **SMALL)
  of_trunk = {v.name for v in trunk.variables if not v.name.startswith('fc/')}
  assert names - of_trunk == {
    f'{head}/{part}:0'
    for head in ('head', 'intermediate')
    for part in ('kernel', 'bias')
  }
  assert of_trunk <= names
  # conv5 of width 1/16 has 128 channels, conv4 64.
  assert net.head.kernel.shape == (1, 1, 128, 51)
  assert net.intermediate_head.kernel.shape == (1, 1, 64, 17)
  assert model_lib.NEW_LAYERS == ('head/', 'intermediate/')


def test_heads_begin_at_nothing_with_a_deviation_of_a_hundredth():
  tf.keras.utils.set_random_seed(0)
  layer = model_lib.Maps(500, 0.5, 'head')
  layer.build((None, None, None, 40))
  kernel = layer.kernel.numpy()
  assert kernel.std() == pytest.approx(0.01, rel=0.03)
  assert not layer.bias.numpy().any()
  # Half of Keras', on the kernel only.
  decay = 0.5 * (kernel.astype(np.float64) ** 2).sum() / 2
  assert float(tf.add_n(layer.losses)) == pytest.approx(decay, rel=1e-4)


@pytest.mark.parametrize('size', [(33, 25), (97, 73), (30, 26), (1, 1)])
def test_maps_have_the_crops_size(net, size):
  images = pictures(2, *size)
  found = net(images)
  assert set(found) == {'heatmaps', 'offsets'}
  assert found['heatmaps'].shape == (2, *size, 17)
  assert found['offsets'].shape == (2, *size, 17, 2)
  assert found['heatmaps'].dtype == found['offsets'].dtype == tf.float32
  # Any size is filled up with grey to whole cells.
  full = [8 * -(-(n - 1) // 8) + 1 for n in size]
  padded = np.full((2, *full, 3), 128 / 127.5 - 1, np.float32)
  padded[:, : size[0], : size[1]] = images
  for name, value in net(padded).items():
    np.testing.assert_allclose(
      value[:, : size[0], : size[1]], found[name], atol=1e-5
    )


def test_crop_of_the_paper_and_unknown_sizes_can_be_traced(net):
  run = tf.function(net)
  whole = run.get_concrete_function(tf.TensorSpec([4, 353, 257, 3]))
  assert whole.output_shapes['heatmaps'] == [4, 353, 257, 17]
  assert whole.output_shapes['offsets'] == [4, 353, 257, 17, 2]
  free = run.get_concrete_function(tf.TensorSpec([None, None, None, 3]))
  images = pictures(1, 20, 35)
  for name, value in free(images).items():
    np.testing.assert_allclose(value, net(images)[name], atol=1e-5)


def test_channels_of_the_head_are_heatmaps_and_pairs_of_offsets(net):
  images = pictures(1, 33, 25)
  cells = net.head(net.trunk(images, training=False)['conv5'])
  assert cells.shape == (1, 5, 4, 51)
  found = net(images)
  # Every eighth pixel is the middle of a cell.
  for k in (0, 1, 16):
    for value, channel in (
      (found['heatmaps'][..., k], k),
      (found['offsets'][..., k, 0], 17 + 2 * k),
      (found['offsets'][..., k, 1], 17 + 2 * k + 1),
    ):
      np.testing.assert_allclose(
        value[:, ::8, ::8], cells[..., channel], atol=1e-5
      )
  middle = (cells[:, :-1] + cells[:, 1:])[..., :17] / 2
  np.testing.assert_allclose(found['heatmaps'][:, 4::8, ::8], middle, atol=1e-5)


def test_head_in_the_middle_is_for_training_only(net):
  images = pictures(1, 33, 25)
  found = net(images, training=True)
  cells = net.intermediate_head(net.trunk(images, training=True)[UNIT])
  assert found['intermediate'].shape == (1, 33, 25, 17)
  np.testing.assert_allclose(
    found['intermediate'][:, ::8, ::8], cells, atol=1e-5
  )
  assert 'intermediate' not in net(images, training=False)
  plain = model_lib.PoseNet(**SMALL)
  assert 'intermediate' not in plain(images, training=True)
  assert len(plain.variables) == len(net.variables) - 2


def test_conv5_has_stride_8_and_the_rates_of_the_paper():
  plans = resnet.plan_units(resnet.UNITS[101], 'slim', model_lib.STRIDE)
  assert [{unit.rate for unit in stage} for stage in plans] == [
    {1}, {1}, {2}, {4}
  ]  # fmt: skip


@pytest.mark.parametrize('middle', ['', UNIT])
def test_metadata_is_that_of_the_configuration(middle):
  config = task_config.TaskConfig(
    model=task_config.ModelConfig(intermediate=middle, **SMALL),
    crop=task_config.CropConfig(radius=2.5),
  )
  pixels = [[-1, -2, -3], [1, 2, 3]]
  model = building.build_model(config, pixels)
  assert model.metadata() == building.model_metadata(config, pixels)
  assert model.metadata() == {
    'depth': 14,
    'width': 1 / 16,
    'stride_placement': 'slim',
    'num_joints': 17,
    'intermediate': middle,
    'radius': 2.5,
    'pixel_range': pixels,
  }
  assert model.radius == 2.5


def test_batch_norm_is_frozen_unless_told():
  images = pictures(2, 17, 17)

  def moved(**options):
    tf.keras.utils.set_random_seed(0)
    model = model_lib.PoseNet(batch_norm_momentum=0.5, **SMALL, **options)
    before = {v.name: v.numpy() for v in model.variables}
    model(images, training=True)
    return {
      v.name.split('/')[0]
      for v in model.variables
      if np.any(v.numpy() != before[v.name])
    }

  assert not moved()
  assert moved(freeze_batch_norm=False) == {f'conv{i}' for i in range(1, 6)}
  assert moved(freeze_batch_norm=False, freeze='conv4') == {'conv5'}


def test_frozen_stages_are_not_trained():
  model = model_lib.PoseNet(
    freeze='conv4', weight_decay=0.1, intermediate=UNIT, **SMALL
  )
  trained = {v.name.split('/')[0] for v in model.trainable_variables}
  assert trained == {'conv5', 'head', 'intermediate'}
  # Four convolutions of conv5, and the two heads.
  assert len(model.losses) == 6


def test_pixel_range_of_a_checkpoint_from_elsewhere():
  tf.keras.utils.set_random_seed(0)
  plain = model_lib.PoseNet(**SMALL)
  other = model_lib.PoseNet(pixel_range=((-1, -2, -3), (1, 2, 3)), **SMALL)
  for a, b in zip(plain.variables, other.variables):
    b.assign(a)
  images = pictures(1, 17, 17)
  np.testing.assert_allclose(
    other(images)['heatmaps'],
    plain(images * [1.0, 2, 3])['heatmaps'],
    rtol=1e-4,
    atol=1e-6,
  )


def test_trunk_of_a_classifier_is_loaded_and_another_depth_refused(
  net, tmp_path
):
  path = tiny.save_classifier(tmp_path)
  options = {
    'head_prefix': model_lib.NEW_LAYERS,
    'use_head': True,
    'allow_partial': False,
  }
  model = model_lib.PoseNet(intermediate=UNIT, **SMALL)
  head = model.head.kernel.numpy()
  loaded = checkpoints.initialize(model, path, **options)
  assert sorted(loaded.missing) == [
    'head/bias', 'head/kernel', 'intermediate/bias', 'intermediate/kernel'
  ]  # fmt: skip
  assert all(name.startswith('fc/') for name in loaded.unused)
  stored = checkpoints.read_weights(path)
  for variable in model.trunk.variables:
    np.testing.assert_array_equal(variable, stored[variable.name[:-2]])
  np.testing.assert_array_equal(model.head.kernel, head)
  deep = model_lib.PoseNet(depth=26, width=1 / 16)
  with pytest.raises(ValueError, match='depth 14, the model has 26; set task'):
    checkpoints.initialize(deep, path, **options)


@pytest.mark.parametrize(
  'options, sentence',
  [
    ({'radius': 0}, 'radius is 0 pixels; it must be positive'),
    ({'freeze': 'conv9'}, "freeze is 'conv9'"),
    ({'pixel_range': (1, -1)}, 'must lie above'),
    ({'intermediate': 'conv4/unit_99'}, 'conv4/unit_99'),
  ],
)
def test_wrong_arguments(options, sentence):
  with pytest.raises(ValueError, match=sentence):
    model_lib.PoseNet(**{**SMALL, **options})
