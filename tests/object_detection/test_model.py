"""The detector as a whole, on a small trunk; parity is in tests/parity."""

import numpy as np
import pytest
import tensorflow as tf

from object_detection import loading
from object_detection import model as model_lib
from official_repro.core import checkpoints
from official_repro.modeling import classifier

SMALL = {'depth': 14, 'width': 1 / 16}
ANCHORS = model_lib.AnchorOptions(base_size=32.0)
SIZES = np.int32([[64, 80], [64, 80]])
BOXES = np.float32(
  [[[1, 1, 33, 33], [30, 30, 60, 70]], [[16, 16, 48, 48], [0, 0, 0, 0]]]
)
CLASSES = np.int32([[1, 3], [2, 0]])
VALID = np.array([[True, True], [True, False]])


def detector(seed=0, **options):
  tf.keras.utils.set_random_seed(seed)
  options = {**SMALL, 'anchors': ANCHORS, 'num_proposals': 120, **options}
  return model_lib.FasterRCNN(3, **options)


def pictures(seed=0):
  rng = np.random.default_rng(seed)
  return tf.constant(rng.uniform(-1, 1, (2, 64, 80, 3)), tf.float32)


def losses(model, seed=(0, 0), valid=VALID, **options):
  return model.losses_for(
    pictures(), SIZES, BOXES, CLASSES, valid, seed=seed, **options
  )


def values(variables):
  return {v.name[:-2]: v.numpy() for v in variables}


def train_once(model):
  """One step of gradient descent; returns the names that changed."""
  before = values(model.variables)
  with tf.GradientTape() as tape:
    loss = tf.add_n(list(losses(model).values()))
  variables = model.trainable_variables
  gradients = tape.gradient(loss, variables)
  for variable, gradient in zip(variables, gradients):
    assert gradient is not None, variable.name
    variable.assign_sub(0.1 * gradient)
  after = values(model.variables)
  return {n for n in before if np.any(before[n] != after[n])}


def part(name):
  return name.split('/')[0]


def test_outputs_of_both_stages():
  model = detector()
  run = tf.function(lambda x: model(x, SIZES))
  # 64 x 80 pixels are 4 x 5 cells of 12 anchors.
  shapes = {
    'features': (2, 4, 5, 64),
    'anchors': (240, 4),
    'rpn_logits': (2, 240, 2),
    'rpn_codes': (2, 240, 4),
    'proposals': (2, 120, 4),
    'proposal_scores': (2, 120),
    'num_proposals': (2,),
    'class_logits': (2, 120, 4),
    'box_codes': (2, 120, 3, 4),
  }
  graph = run.get_concrete_function(tf.TensorSpec([2, 64, 80, 3]))
  static = {k: tuple(v.shape) for k, v in graph.structured_outputs.items()}
  assert static == shapes
  found = run(pictures())
  assert {k: v.shape for k, v in found.items()} == shapes
  assert np.all(found['proposals'] >= 0)
  assert np.all(found['proposals'][..., 2] <= 64)
  assert np.all(found['proposals'][..., 3] <= 80)


def test_sizes_known_only_at_run_time_give_the_same():
  model = detector()
  run = tf.function(
    lambda x, sizes: model.detect(x, sizes),
    input_signature=[
      tf.TensorSpec([None, None, None, 3]),
      tf.TensorSpec([None, 2], tf.int32),
    ],
  )
  want, found = model.detect(pictures(), SIZES), run(pictures(), SIZES)
  assert found['boxes'].shape == (2, 300, 4)
  for key, value in want.items():
    np.testing.assert_allclose(found[key], value, rtol=1e-4, atol=1e-4)
  # 33 x 47 pixels are 3 x 3 cells.
  odd = tf.zeros([1, 33, 47, 3])
  assert model(odd, np.int32([[33, 47]]))['anchors'].shape == (108, 4)


def test_detections_are_classes_from_1_inside_the_true_image():
  model = detector()
  small = np.int32([[40, 50], [64, 80]])
  found = model.detect(pictures(), small, total=20)
  assert found['boxes'].shape == (2, 20, 4)
  for image, (height, width) in enumerate(small):
    count = int(found['count'][image])
    assert count > 0
    boxes = found['boxes'][image, :count].numpy()
    assert boxes.min() >= 0
    assert boxes[:, 2].max() <= height and boxes[:, 3].max() <= width
    assert set(found['classes'][image, :count].numpy()) <= {1, 2, 3}


def test_new_layers_start_as_in_the_reference():
  model = detector(width=1.0)
  for layer in (model.rpn.conv, model.rpn.objectness, model.rpn.box):
    # N(0, .01) cut at two deviations has a deviation of .0088.
    assert np.std(layer.kernel) == pytest.approx(0.0088, rel=0.05)
    assert np.abs(layer.kernel).max() <= 0.02
  # Uniform in +-sqrt(6 / (2048 + 4)) = .0541.
  assert np.abs(model.head.classes.kernel).max() == pytest.approx(
    0.0541, rel=0.01
  )
  for layer in (model.rpn.conv, model.rpn.box, model.head.box):
    assert not np.any(layer.bias)


def test_no_gradient_through_the_proposals():
  model = detector()
  with tf.GradientTape(persistent=True) as tape:
    found = losses(model)
    second = found['class_loss'] + found['box_loss']
    first = found['rpn_objectness_loss'] + found['rpn_box_loss']
  rpn = model.rpn.trainable_variables
  # The second loss depends on the RPN through its boxes alone.
  assert tape.gradient(second, rpn) == [None] * 6
  assert all(g is not None for g in tape.gradient(first, rpn))
  shared = tape.gradient(second, model.trunk.conv1.conv.kernel)
  assert np.abs(shared).max() > 0
  stage = tape.gradient(second, model.conv5.trainable_variables)
  assert all(np.abs(g).max() > 0 for g in stage)


def test_everything_but_the_statistics_is_trained():
  model = detector()
  changed = train_once(model)
  names = set(values(model.variables))
  still = names - changed
  assert {n for n in still if '/moving_' not in n} == set()
  assert {n for n in names if '/moving_' in n} <= still


def test_frozen_trunk_changes_nothing_below_conv5():
  changed = train_once(detector(freeze='conv4'))
  assert {part(n) for n in changed} == {'conv5', 'rpn', 'head'}
  assert not any('/moving_' in n for n in changed)


def test_a_frozen_second_stage():
  changed = train_once(detector(freeze='conv5'))
  assert {part(n) for n in changed} == {'rpn', 'head'}
  changed = train_once(detector(freeze='conv2'))
  assert {'conv1', 'conv2'}.isdisjoint({part(n) for n in changed})
  assert {'conv3', 'conv4', 'conv5'} <= {part(n) for n in changed}


def test_batch_norm_moves_only_where_asked():
  model = detector(freeze_batch_norm=False)
  before = values(model.non_trainable_variables)
  losses(model)
  after = values(model.non_trainable_variables)
  moved = {part(n) for n in before if np.any(before[n] != after[n])}
  assert moved == {'conv1', 'conv2', 'conv3', 'conv4', 'conv5'}
  model = detector()
  before = values(model.non_trainable_variables)
  losses(model)
  after = values(model.non_trainable_variables)
  for name, value in before.items():
    np.testing.assert_array_equal(after[name], value)


def test_the_samples_are_a_function_of_the_seed():
  model = detector()
  few = model_lib.Sampling(rpn=8, classifier=8)
  first = losses(model, (1, 2), options=few)
  again = losses(model, (1, 2), options=few)
  other = losses(model, (1, 3), options=few)
  for key, value in first.items():
    assert float(value) == float(again[key])
  assert float(first['class_loss']) != float(other['class_loss'])
  assert float(first['rpn_objectness_loss']) != float(
    other['rpn_objectness_loss']
  )


def test_images_without_objects():
  found = losses(detector(), valid=np.zeros([2, 2], bool))
  assert float(found['rpn_box_loss']) == float(found['box_loss']) == 0
  assert 0 < float(found['rpn_objectness_loss']) < np.inf
  assert 0 < float(found['class_loss']) < np.inf


def test_recorded_pixel_range_is_applied():
  """0..255 less a mean, given as [-1, 1], against the plain network."""
  means = np.float32([120, 110, 100])
  plain = detector()
  other = detector(pixel_range=(tuple(-means), tuple(255 - means)))
  pixels = np.random.default_rng(0).uniform(0, 255, (1, 64, 80, 3))
  pixels = pixels.astype(np.float32)
  want = plain.first_stage(tf.constant(pixels - means))['features']
  found = other.first_stage(tf.constant(pixels / 127.5 - 1))['features']
  error = np.abs(found - want).max() / np.abs(want).max()
  assert error < 1e-5
  assert plain.metadata()['pixel_range'] == [-1, 1]


def test_one_box_for_all_classes():
  model = detector(shared_boxes=True)
  assert model(pictures(), SIZES)['box_codes'].shape == (2, 120, 1, 4)
  assert np.isfinite(float(losses(model)['box_loss']))
  assert model.detect(pictures(), SIZES)['boxes'].shape == (2, 300, 4)


def save(folder, model, metadata):
  prefix = str(folder / 'ckpt-1')
  return tf.train.Checkpoint(
    model=model, metadata=checkpoints.Metadata(metadata)
  ).write(prefix)


def classification(folder, **options):
  """A classifier's checkpoint as the trainer writes it."""
  tf.keras.utils.set_random_seed(5)
  options = {**SMALL, 'stride_placement': 'slim', **options}
  model = classifier.Classifier(5, num_shards=2, **options)
  metadata = {**options, 'num_classes': 5, 'pixel_range': [-1, 1]}
  return save(folder, model, metadata), values(model.variables)


def test_one_classification_checkpoint_starts_both_stages(tmp_path):
  path, want = classification(tmp_path)
  model = detector()
  before = values(model.variables)
  report = loading.initialize(model, path)
  found = values(model.variables)
  for name, value in found.items():
    if part(name) in ('rpn', 'head'):
      np.testing.assert_array_equal(value, before[name])
    else:
      np.testing.assert_array_equal(value, want[name])
  assert {part(n) for n in report.missing} == {'rpn', 'head'}
  assert {part(n) for n in report.unused} == {'fc'}
  assert {part(n) for n in report.loaded} == {
    'conv1', 'conv2', 'conv3', 'conv4', 'conv5'
  }  # fmt: skip


@pytest.mark.parametrize(
  'options,sentence',
  [
    ({'depth': 26}, r'trained with depth 26, the model has 14'),
    ({'stride_placement': 'v1.5'}, "stride_placement 'v1.5'.*'slim'"),
    ({'width': 1 / 8}, 'trained with width 0.125'),
  ],
)
def test_checkpoint_of_another_network(tmp_path, options, sentence):
  path, _ = classification(tmp_path, **options)
  model = detector()
  before = values(model.variables)
  with pytest.raises(ValueError, match=sentence):
    loading.initialize(model, path)
  for name, value in values(model.variables).items():
    np.testing.assert_array_equal(value, before[name])


def test_checkpoint_for_other_pixels(tmp_path):
  other = detector(pixel_range=((-1, -2, -3), (1, 2, 3)))
  path = save(tmp_path, other, other.metadata())
  with pytest.raises(ValueError, match=r'pixel_range \[\[-1, -2, -3\]'):
    loading.initialize(detector(), path)
  report = loading.initialize(
    detector(pixel_range=((-1, -2, -3), (1, 2, 3))), path
  )
  assert not report.missing and not report.unused


def test_a_saved_detector_comes_back_whole(tmp_path):
  model = detector(seed=3, pixel_range=((-9, -8, -7), (9, 8, 7)))
  path = save(tmp_path, model, model.metadata())
  again = loading.from_checkpoint(path, num_proposals=120, freeze='conv4')
  assert again.metadata() == model.metadata()
  assert again.anchor_options == ANCHORS
  want, found = model(pictures(), SIZES), again(pictures(), SIZES)
  np.testing.assert_array_equal(found['class_logits'], want['class_logits'])
  assert {part(v.name) for v in again.trainable_variables} == {
    'conv5', 'rpn', 'head'
  }  # fmt: skip
  path, _ = classification(tmp_path)
  with pytest.raises(ValueError, match='holds no detector'):
    loading.from_checkpoint(path)


def test_a_detector_with_other_classes_keeps_its_proposals(tmp_path):
  source = detector(seed=3)
  path = save(tmp_path, source, source.metadata())
  tf.keras.utils.set_random_seed(0)
  model = model_lib.FasterRCNN(6, **SMALL, anchors=ANCHORS)
  report = loading.initialize(model, path)
  assert {n for n, _, _ in report.mismatched} == {
    f'head/{x}/{y}' for x in ('class', 'box') for y in ('kernel', 'bias')
  }
  np.testing.assert_array_equal(model.rpn.box.kernel, source.rpn.box.kernel)


@pytest.mark.parametrize(
  'options,sentence',
  [
    ({'freeze': 'conv6'}, "freeze is 'conv6'"),
    ({'depth': 34}, 'depth is 34'),
    ({'pixel_range': ((1, 1), 0)}, 'pixel_range is .* one number or three'),
    ({'pixel_range': (1, -1)}, 'pixel_range is .* must lie above'),
  ],
)
def test_wrong_arguments(options, sentence):
  with pytest.raises(ValueError, match=sentence):
    detector(**options)


def test_a_detector_needs_a_class():
  with pytest.raises(ValueError, match='num_classes is 0'):
    model_lib.FasterRCNN(0, **SMALL)
