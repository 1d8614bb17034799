import cv2
import numpy as np
import pytest

from benchmarks import dedup_recall
from official_repro.data.dedup import confirm, hashes
from tests.data.dedup.test_hashes import encode, smooth

MIN_SCORE = 0.84


def textured(seed=0, side=160):
  """A picture with edges, in whose every part there is something to see."""
  rng = np.random.default_rng(seed)
  picture = smooth(seed, side, side).copy()
  for _ in range(60):
    y, x = rng.integers(0, side - 20, 2)
    size = rng.integers(8, 24, 2)
    color = tuple(int(c) for c in rng.integers(0, 256, 3))
    end = (int(x + size[0]), int(y + size[1]))
    cv2.rectangle(picture, (int(x), int(y)), end, color, -1)
  return picture


def score(first, second, view=0):
  thumbs = [confirm.thumbnail(encode(p)) for p in (first, second)]
  return confirm.pixel_score(*thumbs, view)


def test_similarity_by_hand():
  # a: half 100, half 200, so variance 2500 about 150; b: all of it 10 more.
  a = np.full((2, 2, 3), 100, np.uint8)
  a[0] = 200
  b = a + np.uint8(10)
  assert confirm.similarity(a, a) == 1
  # 1 - 100 / (2500 + 2500 + 16)
  assert confirm.similarity(a, b) == pytest.approx(1 - 100 / 5016)
  # Upside down: 1 - 10000 / 5016
  assert confirm.similarity(a, a[::-1]) == pytest.approx(1 - 10000 / 5016)


def test_flat_pictures_are_told_by_their_colour():
  flat = lambda *rgb: np.full((64, 64, 3), rgb, np.uint8)
  white = flat(255, 255, 255)
  assert confirm.pixel_score(white, white, 0) == 1
  # Two rounding errors of JPEG: twice (few details) 1/16 of the noise.
  assert confirm.pixel_score(white, flat(254, 254, 254), 0) == 0.875
  assert confirm.pixel_score(white, flat(255, 255, 254), 0) > MIN_SCORE
  assert confirm.pixel_score(white, flat(250, 250, 250), 0) < 0
  # Grey values of both are 76.
  assert confirm.pixel_score(flat(76, 76, 76), flat(254, 0, 0), 0) < 0


def test_colour_counts_where_grey_is_equal():
  picture = textured(1)
  grey = hashes.to_grey(picture)
  same_grey = np.repeat(grey[..., None], 3, axis=2)
  assert score(picture, picture) > 0.99
  assert score(picture, same_grey) < MIN_SCORE
  swapped = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)
  swapped[..., 1:] = 255 - swapped[..., 1:]
  swapped = cv2.cvtColor(swapped, cv2.COLOR_YCrCb2RGB)
  assert score(picture, swapped) < MIN_SCORE


@pytest.mark.parametrize('kind', dedup_recall.KINDS)
def test_copies_score_high_at_their_view_only(kind):
  change, quality = dedup_recall.KINDS[kind]
  view = {
    'crop5': 1,
    'crop10': 2,
    'crop5_corner': 6,
    'crop10_bottom': 3,
    'crop5_half_reencode': 1,
    'mirror_crop5': 1 + hashes.MIRROR,
  }.get(kind, hashes.MIRROR if 'mirror' in kind else 0)
  for seed in range(5):
    picture = textured(seed)
    copy = dedup_recall.encode(change(picture), quality).tobytes()
    thumbs = [confirm.thumbnail(e) for e in (encode(picture), copy)]
    other = confirm.thumbnail(encode(textured(seed + 10)))
    assert confirm.pixel_score(*thumbs, view) > MIN_SCORE
    assert confirm.pixel_score(thumbs[0], other, view) < 0.5
    if view >= hashes.MIRROR:
      assert confirm.pixel_score(*thumbs, view - hashes.MIRROR) < 0.5


def test_a_crop_is_found_where_it_is():
  picture = textured(3)
  # Between the views: 3% at the top, 9% on the left, 6% below, 1% on the right.
  crop = dedup_recall.cropped(picture, 0.03, 0.09, 0.06, 0.01)
  assert score(picture, crop, 1) > MIN_SCORE
  assert score(picture, crop, 0) < MIN_SCORE


def test_few_strokes_are_no_crop_and_must_agree_better():
  drawing = np.full((105, 105, 3), 255, np.uint8)
  cv2.line(drawing, (20, 20), (80, 60), (0, 0, 0), 2)
  cv2.line(drawing, (80, 60), (30, 90), (0, 0, 0), 2)
  thumb = confirm.thumbnail(encode(drawing))
  assert confirm.details(thumb) < 18
  crop = dedup_recall.cropped(drawing, 0.05, 0.05, 0.05, 0.05)
  assert score(drawing, crop, 1) == confirm.NOTHING
  assert score(drawing, drawing) > 0.99
  # A line moved a little: what differs counts double.
  moved = np.roll(drawing, 1, axis=1)
  plain = confirm.similarity(thumb, confirm.thumbnail(encode(moved)))
  assert plain < 0.95
  assert score(drawing, moved) == pytest.approx(1 - 2 * (1 - plain), abs=1e-4)


def test_details_counts_cells():
  thumb = np.full((64, 64, 3), 100, np.uint8)
  assert confirm.details(thumb) == 0
  thumb[0:4, 0:8] = 200  # half of one cell
  thumb[60:64, 8:24] = 0  # half of two others
  assert confirm.details(thumb) == 3


def test_no_shear_no_turn_no_outside():
  transform = lambda *rows: np.array(rows, np.float32)
  assert confirm._is_crop(transform([0.9, 0, 3], [0, 0.9, 3]), 64)
  assert not confirm._is_crop(transform([0.9, 0.02, 3], [0.02, 0.9, 3]), 64)
  assert not confirm._is_crop(transform([0.9, 0, 20], [0, 0.9, 3]), 64)
  assert not confirm._is_crop(transform([0.9, 0, -5], [0, 0.9, 3]), 64)
  assert not confirm._is_crop(transform([0.5, 0, 16], [0, 0.5, 16]), 64)


def test_maps_for_pictures_of_another_size():
  # x -> .9 x + 3 of pixels 0..63, whose centres are at x + .5, takes the edge
  # at 0 to .9 * -.5 + 3 + .5 = 3.05, and at half the size to 1.525 =
  # .9 * -.5 + s + .5, so s = 1.475.
  full = np.array([[0.9, 0, 3], [0, 0.8, 5]], np.float32)
  half = confirm._scaled(full, 0.5)
  np.testing.assert_allclose(half[0], [0.9, 0, 1.475], atol=1e-6)
  np.testing.assert_allclose(
    half[1, 2], (0.8 * -0.5 + 5.5) / 2 - 0.1, atol=1e-6
  )
  np.testing.assert_allclose(confirm._scaled(half, 2), full, atol=1e-6)


def test_cosine():
  a, b = np.array([3.0, 4.0]), np.array([4.0, 3.0])
  assert confirm.cosine(a, b) == pytest.approx(24 / 25)
  assert confirm.cosine(a, 2 * a) == pytest.approx(1)
  assert confirm.cosine(a, 0 * a) == 0
