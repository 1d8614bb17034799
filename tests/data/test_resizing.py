import io
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from official_repro.data import jpeg, resizing
from official_repro.data.image_files import BadImageError, usable_image
from tests.conftest import shared_path

SIDE = 340


def photo(height, width, seed=0):
  """Noise of several scales and sharp edges, uint8 [H, W, 3]."""
  rng = np.random.default_rng(seed)
  image = np.full((height, width, 3), 128, np.float32)
  # As in photos, the fine detail is one of brightness.
  for cells, strength, channels in ((4, 50, 3), (16, 30, 1), (64, 15, 1)):
    noise = rng.standard_normal((cells, cells, channels)).astype(np.float32)
    noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    image += strength * noise.reshape(height, width, channels)
  for _ in range(20):
    y, x = rng.integers(0, [height, width])
    image[y : y + height // 5, x : x + width // 4] += rng.normal(0, 40)
  return np.clip(image, 0, 255).astype(np.uint8)


def encode(image, kind, **options):
  if isinstance(image, np.ndarray):
    image = Image.fromarray(image)
  out = io.BytesIO()
  image.save(out, kind, **options)
  return out.getvalue()


def decode(data):
  with Image.open(io.BytesIO(data)) as image:
    return np.asarray(image)


def ideal(pixels, height, width):
  """Pillow's antialiased Lanczos."""
  image = Image.fromarray(pixels)
  return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def psnr(a, b):
  error = np.mean((a.astype(float) - b.astype(float)) ** 2)
  return 10 * np.log10(255**2 / max(error, 1e-9))


def brightness(pixels):
  return np.asarray(Image.fromarray(pixels).convert('L'))


def real_photos():
  folder = shared_path('data', 'coco_keypoints')
  paths = sorted(folder.glob('*.jpg'))
  assert len(paths) == 2
  return [path.read_bytes() for path in paths]


# Each side by itself, and nothing is enlarged.
@pytest.mark.parametrize(
  ('size', 'expected'),
  [
    ((375, 500), (340, 340)),
    ((200, 1000), (200, 340)),
    ((1000, 300), (340, 300)),
    ((340, 341), (340, 340)),
    ((340, 340), (340, 340)),
    ((1, 1), (1, 1)),
  ],
)
def test_reduced_size(size, expected):
  assert resizing.reduced_size(*size, 340) == expected


def test_to_half_a_ramp_stays_a_ramp():
  # Scale 2: taps 1/4, 1/2, 1/4 leave a ramp as it is, and the sample between
  # pixels 2i and 2i + 1 of the values 4x is 4 (2i + 0.5) = 8i + 2.
  row = np.arange(40, dtype=np.uint8) * 4
  pixels = np.tile(row[:, None], (8, 1, 3)).reshape(8, 40, 3)
  small = resizing.reduce(pixels, 4, 20)
  assert small.shape == (4, 20, 3)
  inner = np.arange(2, 18) * 8 + 2
  np.testing.assert_array_equal(small[:, 2:18, 1], np.tile(inner, (4, 1)))


# The worst case for any filter: the finest stripes there are.
@pytest.mark.parametrize('side', [60, 90, 101, 120])
def test_stripes_of_one_pixel_turn_grey_rather_than_into_others(side):
  pixels = np.zeros((200, 200, 1), np.uint8)
  pixels[:, ::2] = 255
  small = resizing.reduce(pixels, side, side)
  assert small.shape == (side, side, 1)
  # What training's bilinear resize makes of them, for comparison.
  linear = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_LINEAR)
  assert abs(small.mean() - 127.5) < 3
  assert small[:, 2:-2].std() < linear[:, 2:-2].std() / 2


def test_one_colour_stays_and_a_side_may_stay():
  pixels = np.full((50, 400, 3), [10, 200, 77], np.uint8)
  for size in ((50, 340), (40, 400), (50, 399), (7, 31)):
    small = resizing.reduce(pixels, *size)
    assert small.shape == (*size, 3)
    np.testing.assert_array_equal(
      small, np.broadcast_to(pixels[0, 0], (*size, 3))
    )


def test_nothing_to_reduce_returns_the_pixels():
  pixels = photo(30, 20)
  assert resizing.reduce(pixels, 30, 20) is pixels


def test_a_worker_does_not_take_the_cores_of_others():
  assert cv2.getNumThreads() == 1


@pytest.mark.parametrize('size', [(31, 20), (30, 21), (0, 20)])
def test_enlarging_is_refused(size):
  with pytest.raises(ValueError, match='30 x 20 cannot be reduced to'):
    resizing.reduce(photo(30, 20), *size)


@pytest.mark.parametrize('scale', [1.1, 1.25, 1.47, 1.7, 1.88, 2, 2.4, 2.9, 4])
def test_as_near_to_lanczos_as_area_averages_are(scale):
  for data in real_photos():
    pixels = decode(data)
    size = [int(side / scale) for side in pixels.shape[:2]]
    area = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
    goal = ideal(pixels, *size)
    ours = psnr(resizing.reduce(pixels, *size), goal)
    assert ours >= psnr(area, goal)
    assert ours > 36


@pytest.mark.parametrize('enlarge', [1, 1.5, 2.3, 4.2])
def test_nearer_to_lanczos_than_what_training_makes_of_the_original(enlarge):
  import tensorflow as tf

  from official_repro.data import images

  for data in real_photos():
    # Larger originals, so that each scale of decoding has its turn.
    pixels = decode(data)
    height, width = (int(side * enlarge) for side in pixels.shape[:2])
    pixels = cv2.resize(
      pixels, (width, height), interpolation=cv2.INTER_LANCZOS4
    )
    data = encode(pixels, 'JPEG', quality=92)
    goal = ideal(decode(data), SIDE, SIDE)
    header = jpeg.read_header(data)
    ours = resizing.reduce(jpeg.decode(data, header, SIDE, SIDE), SIDE, SIDE)
    training = images.eval_image(tf.constant(data), resize=SIDE, crop=SIDE)
    assert psnr(ours, goal) > psnr(training.numpy(), goal)
    # What the coding then costs, of which most is in the colours.
    stored = usable_image(data, max_side=SIDE)
    stored_pixels = decode(stored.encoded)
    assert psnr(brightness(stored_pixels), brightness(ours)) > 38
    assert psnr(stored_pixels, ours) > 32
    # What is stored goes through training without another resize.
    again = images.eval_image(
      tf.constant(stored.encoded), resize=SIDE, crop=SIDE
    )
    assert psnr(again.numpy(), stored_pixels) > 35


@pytest.mark.parametrize(
  ('size', 'ratio'),
  [
    ((2720, 2720), 8),
    ((2719, 2720), 8),  # rounded up: 340
    ((2712, 2720), 4),
    ((1360, 5000), 4),
    ((680, 680), 2),
    ((678, 1000), 1),
    ((300, 3000), 1),
  ],
)
def test_decoding_scale_keeps_both_sides(size, ratio):
  data = encode(np.zeros((*size, 3), np.uint8), 'JPEG')
  header = jpeg.read_header(data)
  target = resizing.reduced_size(*size, SIDE)
  pixels = jpeg.decode(data, header, *target)
  assert pixels.shape == (-(-size[0] // ratio), -(-size[1] // ratio), 3)
  image = usable_image(data, max_side=SIDE)
  assert (image.height, image.width) == target
  assert decode(image.encoded).shape == (*target, 3)


FORMS = {
  'JPEG': ({}, 'JPEG'),
  'progressive': ({'progressive': True}, 'JPEG'),
  'PNG': ({}, 'PNG'),
  'WEBP': ({'lossless': True}, 'JPEG'),
  'BMP': ({}, 'JPEG'),
  'TIFF': ({}, 'JPEG'),
}


@pytest.mark.parametrize('name', FORMS)
@pytest.mark.parametrize('channels', [1, 3])
def test_each_form_is_reduced(name, channels):
  options, expected = FORMS[name]
  pixels = photo(300, 500)
  pixels = pixels[..., 0] if channels == 1 else pixels
  kind = 'JPEG' if name == 'progressive' else name
  data = encode(pixels, kind, **options)
  image = usable_image(data, max_side=200)
  assert image.converted
  assert (image.height, image.width) == (200, 200)
  with Image.open(io.BytesIO(image.encoded)) as found:
    assert found.format == expected
    # WebP has no grey.
    grey = channels == 1 and kind != 'WEBP'
    assert found.mode == ('L' if grey else 'RGB')
  goal = ideal(pixels, 200, 200)
  if channels == 1 and not grey:
    goal = np.repeat(goal[..., None], 3, axis=-1)
  assert psnr(decode(image.encoded), goal) > 31
  # Small enough: byte for byte where it was so before.
  assert usable_image(data, max_side=500) == usable_image(data)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_a_rotated_photo_is_reduced_and_upright(orientation):
  upright = Image.fromarray(photo(300, 500))
  tags = Image.Exif()
  tags[0x0112] = orientation
  turn = {
    1: lambda image: image,
    2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
    4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
    7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
  }[orientation]
  data = encode(turn(upright), 'JPEG', quality=95, exif=tags)
  image = usable_image(data, max_side=400)
  assert (image.height, image.width) == (300, 400)
  with Image.open(io.BytesIO(image.encoded)) as found:
    assert found.getexif().get(0x0112, 1) == 1
  goal = ideal(np.asarray(upright), 300, 400)
  assert psnr(decode(image.encoded), goal) > 31


def test_cmyk_is_converted_and_reduced():
  pixels = photo(300, 500)
  cmyk = Image.fromarray(pixels).convert('CMYK')
  image = usable_image(encode(cmyk, 'JPEG', quality=95), max_side=200)
  assert (image.height, image.width) == (200, 200)
  goal = ideal(np.asarray(cmyk.convert('RGB')), 200, 200)
  assert psnr(decode(image.encoded), goal) > 30


def test_bits_and_palette_become_averages_of_their_colours():
  bits = np.indices((300, 300)).sum(axis=0) % 2 == 0
  image = usable_image(encode(Image.fromarray(bits), 'PNG'), max_side=150)
  small = decode(image.encoded)
  assert small.shape == (150, 150)
  assert small.dtype == np.uint8
  assert np.abs(small[2:-2, 2:-2].astype(int) - 127).max() <= 3

  palette = Image.fromarray(photo(300, 500)).quantize(64)
  image = usable_image(encode(palette, 'PNG'), max_side=200)
  goal = ideal(np.asarray(palette.convert('RGB')), 200, 200)
  assert psnr(decode(image.encoded), goal) > 33


@pytest.mark.parametrize('cut', [2, 100, 3000])
@pytest.mark.parametrize('progressive', [False, True])
def test_a_truncated_jpeg_is_found_though_it_is_decoded_small(cut, progressive):
  data = encode(photo(1000, 1200), 'JPEG', progressive=progressive)
  with pytest.raises(BadImageError, match='truncated'):
    usable_image(data[:-cut], max_side=100)


def test_a_flaw_that_pillow_passes_over_does_not_stop_the_reduction():
  data = encode(photo(300, 500), 'JPEG')
  scan = data.index(b'\xff\xda')
  flawed = data[:scan] + b'\x00\x00' + data[scan:]
  goal = decode(usable_image(data, max_side=200).encoded)
  found = decode(usable_image(flawed, max_side=200).encoded)
  assert psnr(found, goal) > 35


@pytest.mark.parametrize('max_side', [0, -340])
def test_max_side_is_checked(max_side):
  with pytest.raises(ValueError, match=f'at least 1 pixel, got {max_side}'):
    usable_image(encode(photo(30, 50), 'PNG'), max_side=max_side)


def test_stored_at_training_size_photos_take_a_fraction_of_the_bytes():
  data = encode(photo(1200, 1600), 'JPEG', quality=92)
  small = usable_image(data, max_side=SIDE).encoded
  # 340 x 340 of 1200 x 1600 pixels is 6%; detail per pixel is higher.
  assert len(small) < 0.2 * len(data)


# A decoder that remembers the last picture, or a random choice, would show.
DIGEST = """
import hashlib, json, sys
from official_repro.data import image_files
digests = []
for path in sys.argv[1:]:
  data = open(path, 'rb').read()
  encoded = image_files.usable_image(data, max_side=340).encoded
  digests.append(hashlib.sha256(encoded).hexdigest())
print(json.dumps(digests))
"""


def test_each_process_makes_the_same_bytes(tmp_path):
  paths = []
  for number, size in enumerate(((375, 500), (900, 1200))):
    paths.append(tmp_path / f'{number}.jpg')
    paths[-1].write_bytes(encode(photo(*size, seed=number), 'JPEG'))
  runs = [
    json.loads(
      subprocess.run(
        [sys.executable, '-c', DIGEST, *map(str, order)],
        capture_output=True,
        check=True,
      ).stdout
    )
    for order in (paths, paths[::-1])
  ]
  assert runs[0] == runs[1][::-1]
