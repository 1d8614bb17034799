import numpy as np
import pytest
import tensorflow as tf

from official_repro.modeling import blocks, convolution
from official_repro.util import onednn

KERNELS = ('Conv2D', 'SpaceToBatchND')
ON_CPU = not tf.config.list_physical_devices('GPU')


@pytest.fixture(params=[True, False], ids=['onednn on', 'onednn off'])
def setting(request, monkeypatch):
  """What is chosen; the kernels are those of the process."""
  monkeypatch.setattr(onednn, 'enabled', lambda: request.param)
  return request.param


def reference(inputs, kernel, stride, rate):
  """In float64; padding and dilation put in zeros, the stride comes last."""
  size, _, channels, filters = kernel.shape
  spread = tf.reshape(kernel, [size, 1, size, 1, channels, filters])
  zeros = [[0, 0], [0, rate - 1], [0, 0], [0, rate - 1], [0, 0], [0, 0]]
  kernel = tf.reshape(
    tf.pad(spread, zeros), [size * rate, size * rate, channels, filters]
  )[: (size - 1) * rate + 1, : (size - 1) * rate + 1]
  around = (size - 1) * rate // 2
  pad = [[0, 0], [around, around], [around, around], [0, 0]]
  dense = tf.nn.conv2d(tf.pad(inputs, pad), kernel, 1, 'VALID')
  return dense[:, ::stride, ::stride]


def values_and_gradients(function, *tensors):
  with tf.GradientTape() as tape:
    tape.watch(tensors)
    outputs = function(*tensors)
    # Not a mean: every output has a gradient of its own.
    total = tf.reduce_sum(tf.sin(outputs * 3))
  return [outputs, *tape.gradient(total, tensors)]


@pytest.mark.parametrize(
  'size, batch, height, width, channels, filters, stride, rate',
  [
    (1, 16, 2, 2, 64, 96, 1, 1),
    (1, 2, 8, 7, 16, 24, 1, 1),
    (1, 3, 7, 5, 8, 16, 2, 1),
    (1, 1, 33, 9, 8, 8, 1, 1),
    (3, 32, 2, 2, 128, 128, 1, 1),
    (3, 8, 7, 7, 128, 130, 1, 1),
    (3, 2, 13, 14, 128, 128, 1, 4),
    (3, 2, 14, 9, 128, 128, 1, 2),
    (3, 3, 8, 7, 8, 8, 2, 1),
    (7, 2, 17, 16, 3, 8, 2, 1),
  ],
)
def test_all_forms_are_the_convolution(
  setting, size, batch, height, width, channels, filters, stride, rate
):
  rng = np.random.default_rng(size * 100 + height)
  inputs = tf.constant(rng.normal(size=(batch, height, width, channels)))
  kernel = rng.normal(size=(size, size, channels, filters))
  kernel = tf.constant(kernel / (size * channels**0.5))
  exact = values_and_gradients(
    lambda *x: reference(*x, stride, rate), inputs, kernel
  )
  found = values_and_gradients(
    lambda *x: convolution.conv2d(*x, stride, rate),
    tf.cast(inputs, tf.float32),
    tf.cast(kernel, tf.float32),
  )
  for wanted, got in zip(exact, found):
    assert got.dtype == tf.float32
    error = np.abs(got - wanted.numpy()).max() / np.abs(wanted).max()
    assert error < 2e-5


def form(shape, size=3, channels=128, dtype=tf.float32, **options):
  """Which form is taken: direct, product or winograd."""
  kernel = tf.zeros([size, size, channels, channels], dtype)

  @tf.function(input_signature=[tf.TensorSpec([*shape, channels], dtype)])
  def graph(inputs):
    return convolution.conv2d(inputs, kernel, **options)

  operations = graph.get_concrete_function().graph.get_operations()
  kinds = {op.type for op in operations}
  if 'Conv2D' in kinds:
    return 'direct'
  return 'winograd' if 'BatchMatMulV2' in kinds else 'product'


@pytest.mark.skipif(not ON_CPU, reason='a GPU chooses by itself')
def test_who_takes_products(setting):
  assert form([None, 8, 8], 1) == 'product'
  assert form([None, 9, 8], 1) == ('direct' if setting else 'product')
  assert form([None, 65, 65], 1) == 'direct'
  assert form([None, 16, 16], 1, stride=2) == 'direct'
  assert form([4, None, None], 1) == 'direct'
  assert form([4, 8, 8], 1, dtype=tf.bfloat16) == 'direct'


@pytest.mark.skipif(not ON_CPU, reason='a GPU chooses by itself')
def test_who_takes_winograd(setting):
  few = 'winograd' if setting else 'direct'
  assert form([8, 7, 7]) == few  # 32 tiles of 4 x 4
  assert form([7, 7, 7]) == 'direct'
  assert form([16, 7, 7]) == 'winograd'
  assert form([64, 2, 2]) == 'winograd'  # of 2 x 2
  assert form([2, 13, 13], rate=4) == few  # 16 maps of 4 x 4 each
  assert form([1, 24, 22]) == few
  assert form([1, 20, 22]) == 'direct'
  assert form([8, 7, 7], channels=127) == 'direct'
  assert form([8, 14, 14], stride=2) == 'direct'
  assert form([8, 7, 7], dtype=tf.bfloat16) == 'direct'
  # Of unknown number: few, unless they are crops.
  assert form([None, 7, 7]) == 'direct'
  assert form([None, 7, 7], crops=True) == 'winograd'
  assert form([None, 32, 32]) == 'winograd'
  # The way into the domain grows with the side, and counts less with channels.
  assert form([1, 96, 96]) == 'direct'
  assert form([1, 48, 48], channels=256) == 'winograd'
  # Tiles that hang over the border are lost.
  assert form([64, 6, 6]) == 'winograd'
  assert form([64, 5, 5]) == 'direct'
  assert form([8, 17, 17], rate=4) == 'direct'


@pytest.mark.skipif(not ON_CPU, reason='a GPU chooses by itself')
@pytest.mark.parametrize('height, width', [(5, 6), (30, 21)])
def test_pictures_of_any_size(setting, height, width):
  """The graph has both forms; the size that comes decides."""
  kernel = tf.random.normal([3, 3, 128, 128], stddev=0.03)
  shape = [1, None, None, 128]

  @tf.function(input_signature=[tf.TensorSpec(shape)])
  def graph(inputs):
    with tf.GradientTape() as tape:
      tape.watch(inputs)
      outputs = convolution.conv2d(inputs, kernel)
      total = tf.reduce_sum(tf.sin(outputs))
    return outputs, tape.gradient(total, inputs)

  assert graph.get_concrete_function().outputs[0].shape.as_list() == shape
  inputs = tf.random.normal([1, height, width, 128])
  expected = values_and_gradients(
    lambda x: tf.nn.conv2d(x, kernel, 1, 'SAME') / 3, inputs
  )
  found = graph(inputs)
  np.testing.assert_allclose(found[0], expected[0] * 3, atol=1e-3)
  np.testing.assert_allclose(found[1], expected[1], atol=1e-3)


def test_layers_take_what_is_chosen():
  layer = blocks.Conv2D(128, 128, 3, scope='s', crops=True)
  graph = tf.function(layer).get_concrete_function(
    tf.TensorSpec([None, 7, 7, 128])
  )
  kinds = {op.type for op in graph.graph.get_operations()}
  assert ('Conv2D' in kinds) != ON_CPU


@pytest.mark.parametrize('size', [1, 3])
def test_no_images(setting, size):
  inputs = tf.zeros([0, 7, 7, 128])
  kernel = tf.zeros([size, size, 128, 128])
  found = convolution.conv2d(inputs, kernel, crops=True)
  assert found.shape == (0, 7, 7, 128)


@pytest.mark.parametrize('shape', [(64, 2, 2), (16, 7, 7), (4, 13, 13)])
@pytest.mark.parametrize('size', [1, 3])
def test_the_same_again_bit_for_bit(shape, size):
  """A resumed run must give what a straight one does."""
  inputs = tf.random.normal([*shape, 128])
  kernel = tf.random.normal([size, size, 128, 128])
  graph = tf.function(
    lambda *x: values_and_gradients(convolution.conv2d, *x)
  ).get_concrete_function(inputs, kernel)
  first, second = graph(inputs, kernel), graph(inputs, kernel)
  for a, b in zip(first, second):
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('size, stride', [(1, 1), (1, 2), (3, 1), (3, 2)])
def test_what_is_not_finite_stays_so(value, size, stride):
  inputs = np.ones([16, 8, 8, 128], np.float32)
  inputs[3, 2, 4, 5] = value
  kernel = tf.ones([size, size, 128, 128])
  found = convolution.conv2d(tf.constant(inputs), kernel, stride)
  assert not np.isfinite(found[3, 2 // stride, 4 // stride]).any()
