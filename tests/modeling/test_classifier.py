import numpy as np
import pytest
import tensorflow as tf

from official_repro.core import checkpoints
from official_repro.modeling import classifier

TINY = {'depth': 14, 'width': 1 / 16, 'num_classes': 7, 'num_shards': 2}


def images(seed=0):
  rng = np.random.default_rng(seed)
  return tf.constant(rng.uniform(-1, 1, (2, 64, 48, 3)), tf.float32)


def test_outputs():
  model = classifier.Classifier(**TINY)
  out = model(images())
  assert out['logits'].shape == (2, 7)
  assert out['features'].shape == (2, 128)
  conv5 = model.trunk(images())['conv5'].numpy()
  np.testing.assert_allclose(out['features'], conv5.mean((1, 2)), rtol=1e-5)
  np.testing.assert_allclose(out['logits'], model.head(out['features']))


def test_prior_sets_the_first_probabilities():
  prior = np.array([0.5, 0.1, 0.01, 1e-4, 0.2, 0.3, 0.9])
  model = classifier.Classifier(prior=prior, **TINY)
  np.testing.assert_allclose(
    tf.sigmoid(model.head(tf.zeros([1, 128])))[0], prior, rtol=1e-4
  )
  zero = classifier.Classifier(**TINY)
  np.testing.assert_array_equal(zero.head(tf.zeros([1, 128])), np.zeros((1, 7)))
  with pytest.raises(ValueError, match='between 0 and 1, got 0.0 to 0.5'):
    classifier.Classifier(prior=[0.5] * 6 + [0.0], **TINY)


def test_a_step_lowers_the_loss_and_the_frozen_part_stays():
  tf.keras.utils.set_random_seed(0)
  model = classifier.Classifier(freeze='conv3', weight_decay=1e-4, **TINY)
  optimizer = tf.keras.optimizers.legacy.SGD(0.1)
  x, target = images(), tf.one_hot([1, 4], 7)

  @tf.function(autograph=False)
  def step():
    with tf.GradientTape() as tape:
      logits = model(x, training=True)['logits']
      loss = tf.reduce_sum(
        tf.nn.sigmoid_cross_entropy_with_logits(target, logits)
      )
      total = loss + tf.add_n(model.losses)
    variables = model.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(total, variables), variables))
    return loss

  before = {v.name: v.numpy() for v in model.variables}
  losses = [float(step()) for _ in range(4)]
  assert losses[-1] < losses[0]
  for v in model.variables:
    fixed = v.name[:5] in ('conv1', 'conv2', 'conv3')
    assert np.array_equal(v, before[v.name]) == fixed, v.name


def test_weight_decay_covers_the_head():
  model = classifier.Classifier(weight_decay=1.0, **TINY)
  assert len(model.losses) == sum('kernel' in v.name for v in model.variables)


def test_checkpoint_loads_by_name_into_another_head(tmp_path):
  model = classifier.Classifier(**TINY)
  path = tf.train.Checkpoint(model=model).write(str(tmp_path / 'ckpt'))
  other = classifier.Classifier(**{**TINY, 'num_classes': 3, 'num_shards': 1})
  loaded = checkpoints.load_weights(other.variables, path)
  assert not [n for n in loaded.missing if not n.startswith('fc/')]
  np.testing.assert_array_equal(
    model(images())['features'], other(images())['features']
  )


def test_mixed_precision_keeps_float32_variables():
  policy = tf.keras.mixed_precision.global_policy()
  tf.keras.mixed_precision.set_global_policy('mixed_bfloat16')
  try:
    model = classifier.Classifier(weight_decay=1e-4, **TINY)
    out = model(images(), training=True)
  finally:
    tf.keras.mixed_precision.set_global_policy(policy)
  assert {x.dtype for x in out.values()} == {tf.float32}
  assert {v.dtype for v in model.variables} == {tf.float32}
  assert {loss.dtype for loss in model.losses} == {tf.float32}


def test_saved_model(tmp_path):
  model = classifier.Classifier(**TINY)
  module = tf.Module()
  module.model = model
  module.serve = tf.function(
    lambda x: model(x, training=False)['logits'],
    input_signature=[tf.TensorSpec([None, None, None, 3])],
    autograph=False,
  )
  tf.saved_model.save(module, str(tmp_path))
  loaded = tf.saved_model.load(str(tmp_path))
  np.testing.assert_allclose(
    loaded.serve(images()), model(images())['logits'], rtol=1e-5
  )
