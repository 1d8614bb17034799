import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from official_repro.data import images

RESIZE, CROP = 48, 42


def encode(array, form='PNG', **options):
  file = io.BytesIO()
  Image.fromarray(array).save(file, form, **options)
  return file.getvalue()


def smooth(height, width, seed=0):
  """A colour picture without detail finer than its 8x8 cells."""
  cells = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
  image = Image.fromarray(cells).resize((width, height), Image.BICUBIC)
  return np.asarray(image)


def photos():
  datasets = pytest.importorskip('sklearn.datasets')
  return datasets.load_sample_images().images


def draws(seed, resize, crop):
  """Window and reflection that `seed` stands for."""
  values = images.draw(seed).numpy()
  offset = (values[:2] * np.float32(resize - crop + 1)).astype(int)
  return offset, values[2] < 0.5


def two_steps(decoded, seed, resize, crop, antialias=False):
  """The literal rule: whole picture resized, then cut and reflected."""
  image = tf.image.resize(decoded, (resize, resize), antialias=antialias)
  (y, x), flip = draws(seed, resize, crop)
  image = image.numpy()[y : y + crop, x : x + crop]
  return image[:, ::-1] if flip else image


def train(encoded, seed, resize=RESIZE, crop=CROP):
  image = images.train_image(encoded, seed=seed, resize=resize, crop=crop)
  assert image.dtype == tf.uint8 and image.shape == (crop, crop, 3)
  return image.numpy()


def evaluate(encoded, resize=RESIZE, crop=CROP):
  image = images.eval_image(encoded, resize=resize, crop=crop)
  assert image.dtype == tf.uint8 and image.shape == (crop, crop, 3)
  return image.numpy()


ODD_PICTURES = {
  'one pixel': (1, 1),
  'one row': (1, 200),
  'panorama': (30, 600),
  'tall': (600, 30),
  'just too small': (47, 90),
}


@pytest.mark.parametrize('form', ['PNG', 'JPEG'])
@pytest.mark.parametrize('size', ODD_PICTURES.values(), ids=ODD_PICTURES)
def test_small_pictures_follow_the_two_steps_exactly(size, form):
  encoded = encode(smooth(*size), form)
  decoded = tf.io.decode_image(encoded, channels=3)
  for seed in ([0, 1], [2, 3], [4, 5]):
    expected = two_steps(decoded, seed, RESIZE, CROP)
    # Half a level: rounding to bytes.
    np.testing.assert_allclose(train(encoded, seed), expected, atol=0.51)


def test_any_png_follows_the_two_steps_exactly():
  picture = smooth(100, 130)
  expected = two_steps(picture, [6, 7], RESIZE, CROP)
  actual = train(encode(picture), [6, 7])
  np.testing.assert_allclose(actual, expected, atol=0.51)


@pytest.mark.parametrize('size', [(60, 85), (48, 95), (95, 50)])
def test_the_snap_moves_nothing_by_more_than_half_an_output_pixel(size):
  height, width = size
  # The value is the place: 255 levels over the picture, so one pixel of the
  # frame is 255 / 48 = 5.3 levels, in red along x and in green along y.
  y = np.linspace(0, 255, 2 * height + 1)[1::2]
  x = np.linspace(0, 255, 2 * width + 1)[1::2]
  ramp = np.zeros((height, width, 3), np.uint8)
  ramp[..., 0], ramp[..., 1] = np.round(x)[None, :], np.round(y)[:, None]
  encoded = encode(ramp, 'JPEG', quality=100, subsampling=0)
  decoded = tf.io.decode_jpeg(encoded)
  pixel = 255 / RESIZE
  moved = []
  for n in range(60):
    seed = [n, 11]
    actual = train(encoded, seed).astype(np.float32)
    difference = actual - two_steps(decoded, seed, RESIZE, CROP)
    # At the edges too, not only on average; rounding to bytes and the noise
    # of this JPEG are a level each.
    assert np.abs(np.median(difference, 0)[:, 0]).max() < 0.5 * pixel + 2
    assert np.abs(np.median(difference, 1)[:, 1]).max() < 0.5 * pixel + 2
    moved.append(difference.mean((0, 1))[:2] / pixel)
  assert np.abs(moved).max() < 0.55
  # Nor to one side on average: a wrong pixel centre would show as 0.5 times
  # the difference of the scales, up to 0.5 * (1 - 48 / 95) = 0.25 pixels.
  assert np.abs(np.mean(moved, 0)).max() < 0.1


def test_on_photos_the_snap_is_less_than_a_shift_by_half_a_pixel():
  for picture in photos():
    encoded = encode(picture, 'JPEG', quality=90)
    decoded = tf.io.decode_jpeg(encoded, fancy_upscaling=False)
    for seed in ([1, 1], [2, 2], [3, 3]):
      reference = two_steps(decoded, seed, 340, 299)
      actual = train(encoded, seed, 340, 299)
      difference = np.abs(actual - reference)[1:-1, 1:-1].mean()
      one_pixel = np.abs(reference[1:, 1:] - reference[:-1, :-1]).mean()
      assert difference < 0.5 * one_pixel


def test_a_picture_of_the_right_size_is_cut_and_never_resampled():
  encoded = encode(smooth(340, 340), 'JPEG', quality=90)
  decoded = tf.io.decode_jpeg(encoded, fancy_upscaling=False).numpy()
  for n in range(10):
    (y, x), flip = draws([n, n], 340, 299)
    expected = decoded[y : y + 299, x : x + 299]
    expected = expected[:, ::-1] if flip else expected
    np.testing.assert_array_equal(train(encoded, [n, n], 340, 299), expected)
  np.testing.assert_array_equal(
    evaluate(encoded, 340, 299), decoded[20:319, 20:319]
  )


def test_large_jpegs_are_nearer_to_the_antialiased_picture_than_the_rule():
  for picture in photos():  # 427 x 640: more than twice 200
    encoded = encode(picture, 'JPEG', quality=90)
    decoded = tf.io.decode_jpeg(encoded)
    ideal = tf.image.resize(picture, (200, 200), antialias=True)[10:-10, 10:-10]
    literal = tf.image.resize(decoded, (200, 200))[10:-10, 10:-10]
    actual = evaluate(encoded, 200, 180)
    assert np.square(actual - ideal).mean() < np.square(literal - ideal).mean()


@pytest.mark.parametrize('times', [2, 3, 4, 8, 9])
def test_every_reduction_keeps_the_geometry(times):
  side = times * RESIZE + 5
  picture = smooth(side, side + 3)
  encoded = encode(picture, 'JPEG', quality=95, subsampling=0)
  for seed in ([1, 2], [3, 4]):
    ideal = two_steps(picture, seed, RESIZE, CROP, antialias=True)
    one_pixel = np.abs(np.diff(ideal, axis=0)).mean()
    assert np.abs(train(encoded, seed) - ideal).mean() < one_pixel


def test_repeated_chroma_costs_less_than_the_jpeg_itself():
  for picture in photos():
    encoded = encode(picture, 'JPEG', quality=90)
    resize = lambda image: tf.image.resize(image, (340, 340)).numpy()
    smooth_chroma = resize(tf.io.decode_jpeg(encoded))
    repeated = resize(tf.io.decode_jpeg(encoded, fancy_upscaling=False))
    change = np.abs(repeated - smooth_chroma).mean()
    assert change < 0.7
    assert change < np.abs(smooth_chroma - resize(picture)).mean() / 2


def test_every_window_and_both_reflections_come_up_equally_often():
  # The picture's values are its coordinates.
  coordinates = np.zeros((12, 12, 3), np.uint8)
  coordinates[..., 0] = np.arange(12)[:, None]
  coordinates[..., 1] = np.arange(12)[None, :]
  encoded = encode(coordinates)
  dataset = tf.data.Dataset.range(2000).map(
    lambda n: images.train_image(
      encoded, seed=tf.stack([n, n]), resize=12, crop=10
    )
  )
  pictures = dataset.batch(2000).get_single_element().numpy()
  corners = pictures[:, 0, [0, -1], :2].astype(int)
  flipped = corners[:, 0, 1] > corners[:, 1, 1]
  assert 900 < flipped.sum() < 1100  # 1000 +- 4.5 standard deviations
  assert (np.ptp(corners[..., 1], axis=1) == 9).all()
  for starts in (corners[:, 0, 0], corners[..., 1].min(axis=1)):
    values, counts = np.unique(starts, return_counts=True)
    assert values.tolist() == [0, 1, 2]
    assert counts.min() > 570 and counts.max() < 765  # 667 +- 4.5 s.d.


@pytest.mark.parametrize('function', ['train', 'eval'])
@pytest.mark.parametrize('form', ['PNG', 'JPEG'])
def test_a_dataset_gives_the_same_as_eager(function, form):
  encoded = encode(smooth(70, 90), form)

  def run(seed):
    if function == 'eval':
      return images.eval_image(encoded, resize=RESIZE, crop=CROP)
    return images.train_image(encoded, seed=seed, resize=RESIZE, crop=CROP)

  seeds = tf.constant([[1, 2], [3, 4], [5, 6], [7, 8]], tf.int64)
  mapped = tf.data.Dataset.from_tensor_slices(seeds).map(run)
  assert mapped.element_spec == tf.TensorSpec([CROP, CROP, 3], tf.uint8)
  for seed, image in zip(seeds, mapped):
    np.testing.assert_array_equal(image, run(seed))


def test_evaluation_is_the_central_window_of_the_resized_picture():
  picture = smooth(70, 90)
  resized = tf.image.resize(picture, (RESIZE, RESIZE)).numpy()
  np.testing.assert_allclose(
    evaluate(encode(picture)), resized[3:45, 3:45], atol=0.51
  )
  # An odd difference leaves the smaller border above and to the left.
  np.testing.assert_allclose(
    evaluate(encode(picture), RESIZE, 41), resized[3:44, 3:44], atol=0.51
  )


def grey(picture):
  return np.asarray(Image.fromarray(picture).convert('L'))


@pytest.mark.parametrize('form', ['PNG', 'JPEG'])
@pytest.mark.parametrize('size', [(70, 90), (20, 30), (48, 48)])
def test_grey_pictures_become_rgb(form, size):
  picture = grey(smooth(*size))
  encoded = encode(picture, form)
  for image in (train(encoded, [1, 1]), evaluate(encoded)):
    np.testing.assert_array_equal(image[..., 0], image[..., 1])
    np.testing.assert_array_equal(image[..., 0], image[..., 2])
    assert abs(image.mean() - picture.mean()) < 15


def other_formats():
  picture = Image.fromarray(smooth(70, 90))
  sixteen = (grey(smooth(70, 90)).astype(np.uint16) << 8) + 128

  def save(image, form):
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()

  return {
    'CMYK JPEG': save(picture.convert('CMYK'), 'JPEG'),
    'RGBA PNG': save(picture.convert('RGBA'), 'PNG'),
    'palette PNG': save(picture.convert('P'), 'PNG'),
    '16 bit PNG': save(Image.fromarray(sixteen), 'PNG'),
    'BMP': save(picture, 'BMP'),
    'GIF': save(picture, 'GIF'),
  }


@pytest.mark.parametrize('name', other_formats())
def test_other_formats(name):
  encoded = other_formats()[name]
  expected = smooth(70, 90)
  if name == '16 bit PNG':
    expected = np.repeat(grey(expected)[..., None], 3, axis=-1)
  reference = tf.image.resize(expected, (RESIZE, RESIZE))[3:45, 3:45]
  # A palette of 256 colours and a round trip through CMYK cost some levels.
  assert np.abs(evaluate(encoded) - reference).mean() < 12
  assert train(encoded, [1, 2]).std() > 10


def test_what_is_no_picture_is_an_error():
  for encoded in (b'', b'no picture', b'\xff\xd8\xff broken'):
    with pytest.raises(tf.errors.InvalidArgumentError):
      images.train_image(encoded, seed=[1, 2])
    with pytest.raises(tf.errors.InvalidArgumentError):
      images.eval_image(encoded)


@pytest.mark.parametrize('resize, crop', [(10, 11), (10, 0)])
def test_a_crop_that_does_not_fit_is_an_error(resize, crop):
  encoded = encode(smooth(20, 20))
  for function in (
    lambda **sizes: images.train_image(encoded, seed=[1, 2], **sizes),
    lambda **sizes: images.eval_image(encoded, **sizes),
  ):
    with pytest.raises(ValueError, match=f'crop={crop}, resize={resize}'):
      function(resize=resize, crop=crop)


def test_normalize_maps_bytes_to_minus_one_to_one():
  images_in = tf.constant([[[[0, 255, 51]]]], tf.uint8)
  # 51 / 127.5 - 1 = -0.6
  normalized = images.normalize(images_in)
  assert normalized.dtype == tf.float32
  np.testing.assert_allclose(normalized, [[[[-1, 1, -0.6]]]], rtol=1e-6)
