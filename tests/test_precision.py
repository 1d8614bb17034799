"""All four tasks in 16 bits and compiled: what stays in float32, resuming.

On the CPU; TensorFlow runs float16, bfloat16 and XLA there, slowly.
"""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf

from deeplab import building as deeplab_building
from deeplab import losses as deeplab_losses
from deeplab import model as deeplab_model
from object_detection import building as detection_building
from object_detection import model as detection_model
from official_repro import experiments, record_task, trained
from official_repro import task as task_lib
from official_repro.core import acceleration, averaging, checkpoints
from official_repro.core import config as config_lib
from official_repro.modeling import blocks, classifier
from pose import building as pose_building
from pose import model as pose_model
from tests import binaries, tiny
from tests.deeplab import folders as deeplab_folders
from tests.deeplab import tiny as deeplab_tiny
from tests.object_detection import tiny as detection_tiny
from tests.pose import folders as pose_folders
from tests.pose import tiny as pose_tiny

# Package, its tiny presets, and what loads a trained net.
TASKS = {
  'classification': ('official_repro', tiny, trained.load),
  'detection': (
    'object_detection',
    detection_tiny,
    detection_building.load_trained,
  ),
  'segmentation': ('deeplab', deeplab_tiny, deeplab_building.load_trained),
  'pose': ('pose', pose_tiny, pose_building.load_trained),
}
SYNC = 'task.model.freeze_batch_norm=false,task.model.sync_batch_norm=true'
AVERAGING = 'trainer.optimizer_config.averaging_decay=0.9'


@pytest.fixture(autouse=True)
def process_put_back():
  yield
  acceleration.configure(config_lib.RuntimeConfig())


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  """A folder for each task."""
  folder = tmp_path_factory.mktemp('data')
  pictures = [
    dataclasses.replace(
      deeplab_folders.example(str(i), None, i, (40, 40)), label_ids=[i % 3]
    )
    for i in range(8)
  ]
  objects = [
    detection_tiny.example(str(i), [(0.1, 0.1, 0.6, 0.7)]) for i in range(4)
  ]
  rows = {
    'classification': (deeplab_folders, pictures),
    'detection': (detection_tiny, objects),
    'segmentation': (deeplab_folders, deeplab_tiny.rows()),
    'pose': (pose_folders, pose_tiny.rows()),
  }
  return {
    name: module.write(folder / name, train=some, validation=some)
    for name, (module, some) in rows.items()
  }


def train(name, data, model_dir, precision, steps=2, **options):
  """Runs a task's binary; returns the path of its last checkpoint."""
  package, presets, _ = TASKS[name]
  words = presets.train_options(
    data[name],
    model_dir,
    steps=steps,
    mode='train',
    precision=precision,
    **options,
  )
  done = deeplab_tiny.call(f'{package}.train', **words)
  assert done.returncode == 0, done.stderr
  shown = re.findall(rf'step {steps}/{steps}.* loss (\S+)', done.stderr)
  assert shown
  assert np.isfinite(float(shown[-1]))
  assert 'dtype policy' not in done.stderr  # Keras' note of CPUs
  return str(model_dir / f'ckpt-{steps}')


def check_float32(checkpoint):
  """Weights, statistics, slots: all float32."""
  reader = tf.train.load_checkpoint(checkpoint)
  kinds = {
    kind
    for key, kind in reader.get_variable_to_dtype_map().items()
    if kind.is_floating
  }
  assert kinds == {tf.float32}


def check_loaded(name, model_dir):
  """A trained net computes in float32, whatever the process is set to."""
  assert tf.keras.mixed_precision.global_policy().name != 'float32'
  model = TASKS[name][2](str(model_dir)).model
  layers = [m for m in model.submodules if isinstance(m, tf.keras.layers.Layer)]
  assert {layer.compute_dtype for layer in (model, *layers)} == {'float32'}
  return model


@pytest.fixture
def steps_seen(monkeypatch):
  """The losses of traced steps."""
  descend, seen = record_task.descend, []

  def spy(*args):
    loss, more = descend(*args)
    seen.extend(tf.nest.flatten((loss, more)))
    return loss, more

  monkeypatch.setattr(record_task, 'descend', spy)
  return seen


def check_losses(steps_seen):
  assert steps_seen
  assert {loss.dtype for loss in steps_seen} == {tf.float32}


def loss_scale(checkpoint):
  """The scale, and the steps since it changed."""
  reader = tf.train.load_checkpoint(checkpoint)
  key = 'optimizer/loss_scale/{}/.ATTRIBUTES/VARIABLE_VALUE'
  return tuple(
    reader.get_tensor(key.format(k))
    for k in ('current_loss_scale', 'good_steps')
  )


def check_two_scaled_steps(checkpoint):
  # The scale starts at 2^15. A step whose gradients are not finite halves it
  # and leaves the weights as they are.
  expected = ((2**13, 0), (2**14, 0), (2**14, 1), (2**15, 2))
  assert loss_scale(checkpoint) in expected


# A whole run is dear; the networks of all see bfloat16 below.
@pytest.mark.parametrize(
  'name, precision',
  [
    ('detection', 'mixed_float16'),
    ('segmentation', 'mixed_bfloat16'),
    ('pose', 'mixed_float16'),
  ],
)
def test_16_bits_train(name, precision, data, tmp_path, steps_seen):
  checkpoint = train(name, data, tmp_path, precision)
  check_float32(checkpoint)
  check_losses(steps_seen)
  if precision == acceleration.SCALED:
    check_two_scaled_steps(checkpoint)
  tf.keras.mixed_precision.set_global_policy(precision)
  check_loaded(name, tmp_path)


def test_run_goes_on_in_another_precision(data, tmp_path, steps_seen):
  first = train('classification', data, tmp_path, 'mixed_bfloat16')
  check_float32(first)
  last = train('classification', data, tmp_path, 'mixed_float16', steps=4)
  check_float32(last)
  check_losses(steps_seen)
  check_two_scaled_steps(last)
  tf.keras.mixed_precision.set_global_policy('mixed_float16')
  check_loaded('classification', tmp_path)


def test_float16_goes_on_with_its_loss_scale(data, tmp_path):
  options = {'precision': 'mixed_float16', 'override': AVERAGING}
  first = train('segmentation', data, tmp_path, **options)
  assert loss_scale(first) == (2**15, 2)
  last = train('segmentation', data, tmp_path, steps=4, **options)
  assert loss_scale(last) == (2**15, 4)
  check_float32(last)
  check_averages(last)


def check_averages(checkpoint):
  """They are found by name, whatever is around the optimizer."""
  reader = tf.train.load_checkpoint(checkpoint)
  key = 'model/head/biases/0'
  average = f'{key}/.OPTIMIZER_SLOT/optimizer/{averaging.SLOT}'
  expected, weight = (
    reader.get_tensor(f'{k}/.ATTRIBUTES/VARIABLE_VALUE') for k in (average, key)
  )
  bias = tf.Variable(tf.zeros_like(weight), name='head/rate_06/bias')
  checkpoints.load_weights([bias], checkpoint, averaged=True)
  np.testing.assert_array_equal(bias, expected)
  assert np.all(expected != weight)


# --- what is computed in float32 --------------------------------------------

SMALL = {'depth': 14, 'width': 1 / 16, 'freeze_batch_norm': False}
IMAGES = tf.TensorSpec([2, 33, 33, 3], tf.float32)
SIZES = tf.TensorSpec([2, 2], tf.int32)


def small_nets():
  yield classifier.Classifier(3, **SMALL), (IMAGES,)
  yield deeplab_model.DeepLab(3, **SMALL), (IMAGES,)
  yield pose_model.PoseNet(intermediate='conv4/unit_1', **SMALL), (IMAGES,)
  detector = detection_model.FasterRCNN(3, num_proposals=4, **SMALL)
  yield detector, (IMAGES, SIZES)


def test_outputs_and_variables_of_the_nets_are_float32():
  tf.keras.mixed_precision.set_global_policy('mixed_bfloat16')
  for model, specs in small_nets():
    trace = tf.function(
      lambda *args, model=model: model(*args, training=True), autograph=False
    ).get_concrete_function(*specs)
    outputs = trace.structured_outputs
    if isinstance(outputs, dict) and 'features' in outputs and len(specs) > 1:
      # The map of conv4, not an answer: the trunk does compute in 16 bits.
      assert outputs.pop('features').dtype == tf.bfloat16
    kinds = {x.dtype for x in tf.nest.flatten(outputs)}
    assert kinds - {tf.int32} == {tf.float32}, model.name
    assert {v.dtype for v in model.variables} == {tf.float32}, model.name
    ops = {op.type for op in trace.graph.get_operations()}
    assert 'Cast' in ops, model.name


def test_loss_of_segmentation_is_float32():
  # Each of 40,000 pixels costs log 2: a sum that float16 has no number for.
  loss = deeplab_losses.segmentation_loss(
    logits=tf.zeros([1, 200, 200, 2], tf.float16),
    labels=tf.zeros([1, 200, 200], tf.uint8),
    stride=1,
  )
  assert loss.dtype == tf.float32
  assert float(loss) == pytest.approx(np.log(2), rel=1e-5)


@pytest.mark.parametrize('kind', ['float16', 'bfloat16'])
def test_batch_statistics_are_float32(kind):
  tf.keras.mixed_precision.set_global_policy(f'mixed_{kind}')
  options = blocks.BlockOptions(batch_norm_momentum=0.5)
  norm = blocks.BatchNorm(1, scope='bn', options=options)
  # Activations of 0 and 61,440 in turn, which both kinds hold exactly. Their
  # sum and their square are beyond float16, which ends at 65,504; Keras' batch
  # norm adds up in float32. (An activation of 70,000 is inf before that.)
  x = tf.cast(tf.reshape([0.0, 61440.0] * 8, [2, 2, 4, 1]), kind)
  outputs = norm(x, training=True)
  assert outputs.dtype == kind
  # (0 - 30720) / 30720 = -1.
  np.testing.assert_array_equal(
    tf.cast(outputs[0, 0, :, 0], tf.float32), [-1, 1, -1, 1]
  )
  assert norm.moving_mean.dtype == norm.moving_variance.dtype == tf.float32
  # .5 * 0 + .5 * 30720; .5 * 1 + .5 * 30720^2 * 16 / 15 (Bessel).
  np.testing.assert_allclose(norm.moving_mean, [15360])
  np.testing.assert_allclose(
    norm.moving_variance, [0.5 + 0.5 * 30720**2 * 16 / 15], rtol=1e-6
  )


def test_gradient_of_a_folded_scale_is_added_up_in_float32():
  tf.keras.mixed_precision.set_global_policy('mixed_float16')
  options = blocks.BlockOptions(batch_norm_epsilon=0.0, freeze_batch_norm=True)
  conv = blocks.Conv2D(4, 1, 1, scope='conv')
  norm = blocks.BatchNorm(1, scope='bn', options=options)
  conv.kernel.assign(tf.ones_like(conv.kernel))
  with tf.GradientTape() as tape:
    x = tf.fill([1, 1, 1, 4], tf.constant(100, tf.float16))
    y = blocks.conv_and_norm(conv, norm, x, training=True)
    loss = tf.reduce_sum(300 * tf.cast(y, tf.float32))
  assert y.dtype == tf.float16
  # Each of the four entries of the kernel has 100 * 300, a float16; their sum,
  # 120,000, is none.
  assert tape.gradient(loss, norm.gamma).numpy().tolist() == [120000]


# --- XLA --------------------------------------------------------------------


@pytest.fixture
def quick_xla(monkeypatch):
  """Half of the time to compile, if this process has not compiled before."""
  monkeypatch.setenv('XLA_FLAGS', '--xla_backend_optimization_level=0')


def two_steps(make, compile_it):
  """Losses of two steps, the weights after them, and the step."""
  acceleration.configure(config_lib.RuntimeConfig(jit_compile=compile_it))
  tf.keras.utils.set_random_seed(3)
  task = make()
  model = task.build_model()
  optimizer = tf.keras.optimizers.legacy.SGD(0.001)
  batch = next(iter(task.build_inputs(task.task_config.train_data)))

  def step():
    return task.train_step(batch, model, optimizer)['loss']

  if compile_it:  # once for both
    step = tf.function(step, autograph=False)
  losses = [float(step()) for _ in range(2)]
  return losses, {v.name: v.numpy() for v in model.variables}, step


def makers(data):
  """Functions that make the three tasks, with little to compile."""

  def make_classification():
    config = config_lib.resolve(
      experiments.mini_jft(),
      params_override=tiny.OVERRIDE,
      flag_values={
        'task.train_data.data_dir': data['classification'],
        'task.validation_data.data_dir': data['classification'],
        'task.train_data.global_batch_size': 4,
      },
    )
    config = task_lib.ClassificationTask.resolve(config)
    return task_lib.ClassificationTask(config.task)

  # The others have the same trunk; here they learn their heads.
  override = 'task.freeze=conv5'
  return {
    'classification': make_classification,
    'segmentation': lambda: deeplab_tiny.make(
      data['segmentation'], override=override
    ),
    'pose': lambda: pose_tiny.make(data['pose'], override=override),
  }


@pytest.mark.parametrize('name', ['classification', 'segmentation', 'pose'])
@pytest.mark.usefixtures('quick_xla')
def test_compiled_steps_are_the_same(name, data):
  make = makers(data)[name]
  expected, weights, _ = two_steps(make, compile_it=False)
  found, compiled, step = two_steps(make, compile_it=True)
  np.testing.assert_allclose(found, expected, rtol=1e-4)
  for key, value in weights.items():
    np.testing.assert_allclose(
      compiled[key], value, rtol=1e-3, atol=1e-4, err_msg=key
    )
  graph = step.get_concrete_function().graph.as_graph_def()
  forced = [f for f in graph.library.function if f.attr['_XlaMustCompile'].b]
  assert len(forced) >= 2  # forward and backward


def test_what_cannot_be_compiled_is_refused(data, tmp_path):
  words = {'jit_compile': True, 'mode': 'train'}
  for name, override, reason in (
    ('detection', '', 'no suppression of boxes and no crop_and_resize'),
    ('pose', SYNC, 'sync_batch_norm sends messages between replicas'),
  ):
    package, presets, _ = TASKS[name]
    done = deeplab_tiny.call(
      f'{package}.train',
      **presets.train_options(data[name], tmp_path, override=override, **words),
    )
    assert done.returncode == 1
    (line,) = binaries.messages(done)
    assert reason in line
    assert 'leave --jit_compile out' in line
