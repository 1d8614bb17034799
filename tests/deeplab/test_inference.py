"""Pictures of any size, whole and by windows."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab import inference
from deeplab import model as model_lib
from tests.deeplab import folders

WINDOW = 65


@pytest.fixture(scope='module')
def net():
  tf.keras.utils.set_random_seed(2)
  model = model_lib.DeepLab(3, depth=14, width=1 / 16)
  for kernel in model.head.kernels:
    kernel.assign(tf.random.normal(kernel.shape, stddev=0.3))
  return model


@pytest.fixture(scope='module')
def run(net):
  return inference.graph_function(net)


@pytest.mark.parametrize('size', [(1, 1), (40, 65), (65, 65), (64, 3)])
def test_sliding_is_whole_where_the_picture_fits(run, size):
  image = folders.picture(*size)
  found = inference.sliding(run, image, WINDOW)
  assert found.shape == (*size, 3)
  np.testing.assert_array_equal(found, inference.whole(run, image, WINDOW))


def test_whole_is_the_model_on_the_padded_picture(net, run):
  image = folders.picture(40, 70)
  padded = np.full((1, 65, 73, 3), 128, np.uint8)
  padded[0, :40, :70] = image
  expected = net.probabilities(padded.astype(np.float32) / 127.5 - 1)
  found = inference.whole(run, image, WINDOW)
  np.testing.assert_allclose(found, expected[0, :40, :70], atol=1e-5)


@pytest.mark.parametrize(
  'size,overlap',
  [
    ((300, 20), None),
    ((300, 20), 57),
    ((66, 131), None),
    ((66, 131), 0),
    ((20, 70), 57),
    ((3000, 200), None),
  ],
)
def test_windows_cover_every_pixel(size, overlap):
  # Says of each pixel what it is, so that nothing may be moved or lost.
  def run(images):
    assert images.shape[1:3] == (WINDOW, WINDOW)
    return tf.cast(images, tf.float32)

  image = folders.picture(*size)
  found = inference.sliding(run, image, WINDOW, overlap)
  np.testing.assert_allclose(found, image, rtol=1e-5)


def test_a_network_with_small_surroundings_sees_no_windows():
  def run(images):
    x = tf.cast(images, tf.float32)
    return tf.nn.avg_pool2d(x, 3, 1, 'SAME')

  # Only at the windows' edges is the answer another one, and there it counts
  # least.
  image = folders.picture(150, 130)
  found = inference.sliding(run, image, WINDOW)
  expected = inference.whole(run, image, WINDOW)
  difference = np.abs(found - expected)
  assert np.mean(difference > 1e-3) < 0.1
  assert difference.max() < 20


def test_labels_hold_no_more_than_a_window_of_rows(run):
  image = folders.picture(200, 90)
  expected = inference.sliding(run, image, WINDOW)
  sizes = [part.shape for part in inference.bands(run, image, WINDOW)]
  assert sum(rows for rows, *_ in sizes) == 200
  assert all(rows <= WINDOW and rest == [90, 3] for rows, *rest in sizes)
  for mode, likely in (
    ('sliding', expected),
    ('whole', inference.whole(run, image, WINDOW)),
  ):
    found = inference.labels_of(run, image, mode, WINDOW)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, likely.argmax(-1))


class Height:
  """A network that says of every pixel how high the batch is."""

  def labels(self, images):
    assert images.dtype == tf.float32 and images.shape[-1] == 3
    high = tf.cast(tf.shape(images)[1], tf.uint8)
    return tf.fill(tf.shape(images)[:3], high)


def test_batch_above_the_window_is_taken_apart():
  # As the runner has it: in a graph that knows no sides.
  @tf.function(
    input_signature=[
      tf.TensorSpec([None, None, None, 3], tf.uint8),
      tf.TensorSpec([None, 2], tf.int32),
    ]
  )
  def run(images, sizes):
    return inference.labels_of_batch(Height(), images, sizes, WINDOW)

  sizes = tf.constant([[20, 30], [70, 40], [66, 65]])
  found = run(tf.zeros([3, 73, 65, 3], tf.uint8), sizes).numpy()
  assert found.shape == (3, 73, 65)
  # Padded to 65 x 65; 70 and 66 become 73.
  for labels, (height, width), seen in zip(found, sizes, (65, 73, 73)):
    assert (labels[:height, :width] == seen).all()
  # All at once, whatever the pictures' sizes are.
  found = run(tf.zeros([3, 65, 65, 3], tf.uint8), sizes - 10)
  assert found.shape == (3, 65, 65) and np.unique(found) == [65]
  # A replica's share of the last batch.
  assert run(tf.zeros([0, 0, 0, 3], tf.uint8), sizes[:0]).shape == (0, 0, 0)


def test_starts_by_hand():
  assert inference.starts(65, 65, 21) == [0]
  assert inference.starts(73, 65, 21) == [0, 8]
  # Steps of 44 rounded down to 40; the last one ends with the side.
  assert inference.starts(153, 65, 21) == [0, 40, 80, 88]


@pytest.mark.parametrize(
  'window,overlap,sentence',
  [
    (64, 8, 'window is 64 pixels; it must be one more than a multiple of 8'),
    (1, 0, 'window is 1 '),
    (65, 58, 'overlap is 58 pixels; with a window of 65 .* from 0 to 57'),
    (65, -1, 'overlap is -1'),
  ],
)
def test_wrong_windows_are_told(window, overlap, sentence):
  image = folders.picture(90, 90)
  with pytest.raises(ValueError, match=sentence):
    inference.sliding(None, image, window, overlap)


def test_what_is_no_picture_is_told():
  for image in (np.zeros((3, 3), np.uint8), np.zeros((3, 3, 3))):
    with pytest.raises(ValueError, match=r'uint8 \[H, W, 3\], got'):
      inference.whole(None, image)
  with pytest.raises(ValueError, match='no pixel'):
    inference.whole(None, np.zeros((0, 3, 3), np.uint8))
