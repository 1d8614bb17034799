import io

import imagehash
import numpy as np
import pytest
from PIL import Image

from benchmarks import dedup_recall
from official_repro.data import image_files
from official_repro.data.dedup import hashes


def smooth(seed=0, height=64, width=64):
  """A picture of soft blobs, uint8 [H, W, 3]."""
  rng = np.random.default_rng(seed)
  cells = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
  return np.asarray(cells.resize((width, height), Image.Resampling.BICUBIC))


def encode(pixels):
  return dedup_recall.encode(pixels, 95).tobytes()


def bits_of(value):
  return [int(b) for b in f'{int(value):064b}']


def library_bits(grey):
  return imagehash.phash(Image.fromarray(grey)).hash.reshape(-1).astype(int)


@pytest.mark.parametrize('seed', range(20))
def test_the_hashes_of_all_views_are_the_librarys(seed):
  grey = hashes.to_grey(smooth(seed))
  found = hashes.view_hashes(grey)
  assert found.dtype == np.uint64
  assert found.shape == (14,)
  for view, box in enumerate(hashes.BOXES):
    small = hashes._view(grey, box)
    assert bits_of(found[view]) == library_bits(small).tolist()
    turned = np.ascontiguousarray(small[:, ::-1])
    assert bits_of(found[view + hashes.MIRROR]) == (
      library_bits(turned).tolist()
    )


def test_a_view_shows_its_box():
  # Where a picture is a ramp of 4 x, its crop from .1 to .9 is a ramp too: of
  # 4 * 64 * .8 / 32 = 6.4 a pixel, from 4 * (6.4 + .8 - .5) = 26.8 on.
  ramp = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
  view = hashes._view(ramp, (0.1, 0.1, 0.9, 0.9)).astype(float)
  np.testing.assert_allclose(view[5], 26.8 + 6.4 * np.arange(32), atol=1)


def test_a_flat_picture_has_one_bit_at_most():
  for level in (0, 7, 255):
    found = hashes.view_hashes(np.full((64, 64), level, np.uint8))
    expected = 1 << 63 if level else 0  # the mean alone
    assert [int(h) for h in found] == [expected] * 14


def test_copies_are_near_and_others_far():
  hash_of = lambda pixels: hashes.view_hashes(
    hashes.to_grey(hashes.square(hashes.read_pixels(encode(pixels), 40)))
  )
  picture = smooth(1, 120, 150)
  views = hash_of(picture)
  for change, view in (
    (lambda p: dedup_recall.resized(p, 0.5), 0),
    (lambda p: dedup_recall.cropped(p, 0.05, 0.05, 0.05, 0.05), 1),
    (lambda p: dedup_recall.cropped(p, 0.1, 0.1, 0.1, 0.1), 2),
    (lambda p: dedup_recall.cropped(p, 0, 0, 0.1, 0.1), 3),
    (lambda p: dedup_recall.cropped(p, 0, 0.1, 0.1, 0), 4),
    (lambda p: dedup_recall.cropped(p, 0.1, 0, 0, 0.1), 5),
    (lambda p: dedup_recall.cropped(p, 0.1, 0.1, 0, 0), 6),
    (dedup_recall.mirrored, hashes.MIRROR),
  ):
    copy = hash_of(change(picture))[hashes.WHOLE]

    near = hashes.distance(copy, views[view])
    assert near <= 4
    assert view == 0 or near < hashes.distance(copy, views[0])
  others = [hash_of(smooth(seed))[0] for seed in range(2, 12)]
  assert min(hashes.distance(views[0], h) for h in others) > 12


def test_distance_counts_bits():
  a = np.array([0, 2**64 - 1, 0b1011, 1 << 63], np.uint64)
  b = np.array([0, 0, 0b0001, 1], np.uint64)
  assert hashes.distance(a, b).tolist() == [0, 64, 2, 2]
  rng = np.random.default_rng(0)
  a, b = rng.integers(0, 2**64, (2, 500), np.uint64)
  expected = [bin(int(x) ^ int(y)).count('1') for x, y in zip(a, b)]
  assert hashes.distance(a, b).tolist() == expected


def test_pictures_are_read_at_a_scale_and_in_any_form():
  picture = smooth(3, 320, 400)
  assert hashes.read_pixels(encode(picture), 40).shape == (40, 50, 3)
  assert hashes.read_pixels(encode(picture), 41).shape == (80, 100, 3)
  assert hashes.read_pixels(encode(smooth(3, 30, 25)), 40).shape == (30, 25, 3)
  grey = Image.fromarray(hashes.to_grey(picture))
  for kind in ('png', 'jpeg'):
    data = as_file(grey, kind)
    pixels = hashes.read_pixels(data, 320)
    assert pixels.shape == (320, 400, 3)
    assert (pixels[..., 0] == pixels[..., 2]).all()
  with pytest.raises(image_files.BadImageError, match='cannot be decoded'):
    hashes.read_pixels(b'no picture', 40)


def as_file(image, kind):

  out = io.BytesIO()
  image.save(out, kind)
  return out.getvalue()


def test_names_of_what_was_done():
  names = [hashes.transform_name(v) for v in (0, 1, 6, 7, 8, 13)]
  assert names == [
    'same',
    'cropped',
    'cropped',
    'mirrored',
    'mirrored and cropped',
    'mirrored and cropped',
  ]
