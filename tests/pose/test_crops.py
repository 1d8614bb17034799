"""Where crops lie, there and back, and what their pixels show."""

import numpy as np
import pytest
import tensorflow as tf

from pose import crops, joints

GREY = 128


def make_crop(origin, step, mirrored=False):
  return crops.Crop(tf.constant(origin, tf.float32), float(step), mirrored)


def random_boxes(rng, number, size=4000):
  """Some partly outside of a picture of that size."""
  centres = rng.uniform(0, size, (number, 2))
  sides = rng.uniform(20, 1500, (number, 2))
  return np.concatenate([centres - sides / 2, centres + sides / 2], 1)


def ramp(height, width):
  """A picture whose channels are 2 y, 3 x and y + x + 50."""
  y, x = np.mgrid[:height, :width]
  return np.stack([2 * y, 3 * x, y + x + 50], -1).astype(np.uint8)


def test_around_by_hand():
  # A crop of 5 x 3 pixels has 4 x 2 steps. The box of 8 x 2 is high: step 8 / 4
  # = 2, region 8 x 4 about (14, 21). The box of 4 x 6 is wide: step 6 / 2 = 3,
  # region 12 x 6 about (2, 3).
  boxes = [[10, 20, 18, 22], [0, 0, 4, 6]]
  found = crops.around(boxes, 5, 3, scale=1)
  assert found.step.numpy().tolist() == [2, 3]
  assert found.origin.numpy().tolist() == [[10, 19], [-4, 0]]
  assert found.mirrored.numpy().tolist() == [False, False]
  # Half as large again, about the same centres.
  found = crops.around(boxes, 5, 3, scale=[1.5, 1], mirrored=[False, True])
  assert found.step.numpy().tolist() == [3, 3]
  assert found.origin.numpy().tolist() == [[8, 18], [-4, 0]]
  assert found.mirrored.numpy().tolist() == [False, True]


def test_first_and_last_pixels_lie_on_the_edges_of_the_region():
  # 704 x 100 -> 704 x 512 (two steps of 352 x 256), times 1.25: 880 x 640 about
  # (452, 250).
  found = crops.around([100, 200, 804, 300], 353, 257)
  assert float(found.step) == 2.5
  corners = crops.to_picture(found, [[0, 0], [352, 256]], 257)
  assert corners.numpy().tolist() == [[12, -70], [892, 570]]


def test_boxes_without_size_stay_finite():
  found = crops.around([[3, 4, 3, 4], [9, 9, 5, 5]], 353, 257)
  np.testing.assert_allclose(found.step, 1.25 / 256, rtol=1e-6)
  image = np.full((8, 8, 3), 7, np.uint8)
  assert (crops.cut(image, found, 353, 257)[0].numpy() == 7).all()


def test_check_boxes():
  boxes = np.array([[0, 0, 5, 5], [2, 3, 2.5, 9]])
  found = crops.check_boxes(boxes)
  assert found.dtype == np.float32 and found.tolist() == boxes.tolist()


@pytest.mark.parametrize(
  'boxes, message',
  [
    ([[0, 0, 5, 5], [3, 4, 3, 9]], r'people.json: number 1 is \[3.0, 4.0, 3.0'),
    ([[0, 0, 5, np.nan]], 'number 0 .* finite and above 0. Leave it out'),
    ([[0, 5, 9, 2]], 'number 0'),
    ([0, 0, 5, 5], r'\[N, 4\], ymin.* got shape \(4,\)'),
  ],
)
def test_bad_boxes(boxes, message):
  with pytest.raises(ValueError, match=message):
    crops.check_boxes(boxes, 'people.json')


@pytest.mark.parametrize('height, width', [(353, 257), (97, 65)])
def test_there_and_back(height, width):
  rng = np.random.default_rng(0)
  found = crops.around(
    random_boxes(rng, 200),
    height,
    width,
    rng.uniform(1, 1.5, 200),
    rng.random(200) < 0.5,
  )
  points = rng.uniform(0, 4000, (200, 17, 2)).astype(np.float32)
  there = crops.to_crop(found, points, width)
  back = crops.to_picture(found, there, width)
  np.testing.assert_allclose(back, points, rtol=0, atol=1e-3)
  inside = rng.uniform(0, [height, width], (200, 17, 2)).astype(np.float32)
  there = crops.to_picture(found, inside, width)
  back = crops.to_crop(found, there, width)
  # In pixels of the picture: a float32 has no finer ones at 4000.
  error = (back - inside) * found.step[:, None, None]
  np.testing.assert_allclose(error, np.zeros(error.shape), rtol=0, atol=1e-3)


def test_points_by_hand():
  found = make_crop([[10, 20], [10, 20]], 2, [False, True])
  found = found._replace(step=tf.constant([2.0, 2.0]))
  # (1, 2) is at (10 + 2, 20 + 4); mirrored in 5 columns 2 stays 2, 0 becomes 4.
  points = [[[1, 2], [0, 0]], [[1, 2], [0, 0]]]
  there = crops.to_picture(found, points, 5)
  assert there.numpy().tolist() == [
    [[12, 24], [10, 20]],
    [[12, 24], [10, 28]],
  ]
  assert crops.to_crop(found, there, 5).numpy().tolist() == points
  # One point a crop.
  alone = crops.to_picture(found, [[0, 0], [0, 0]], 5)
  assert alone.numpy().tolist() == [[10, 20], [10, 28]]


def test_joints_swap_sides_when_mirrored_and_keep_their_visibility():
  k = len(joints.NAMES)
  left, right = (joints.NAMES.index(f'{s}_wrist') for s in ('left', 'right'))
  people = np.zeros((2, k, 3))
  people[:, left] = 14, 22, 2
  people[:, right] = 14, 400, 1
  found = crops.around([[10, 20, 18, 24]] * 2, 5, 3, 1, [False, True])
  assert found.origin.numpy().tolist() == [[10, 20]] * 2  # step 2
  plain, mirrored = crops.joints_to_crop(found, people, 3).numpy()
  # The right wrist is far outside of the crop, and still labelled.
  assert plain[left].tolist() == [2, 1, 2]
  assert plain[right].tolist() == [2, 190, 1]
  assert mirrored[right].tolist() == [2, 1, 2]
  assert mirrored[left].tolist() == [2, 2 - 190, 1]
  for one in (plain, mirrored):
    assert np.flatnonzero(one[:, 2]).tolist() == [left, right]
  # The others of a picture, all in the one crop.
  one = crops.Crop(*(x[1] for x in found))
  several = crops.joints_to_crop(one, people, 3)
  np.testing.assert_array_equal(several, [mirrored, mirrored])


def test_cut_by_hand():
  image = np.zeros((2, 3, 3), np.uint8)
  image[..., 0] = [[10, 20, 40], [50, 61, 80]]
  # Half steps from (0, 0); 40.5 (10 20 50 61 by 4 = 35.25) is rounded.
  found = crops.cut(image, make_crop([0, 0], 0.5), 3, 5)
  assert found.dtype == tf.uint8
  assert found[..., 0].numpy().tolist() == [
    [10, 15, 20, 30, 40],
    [30, 35, 40, 50, 60],
    [50, 56, 61, 70, 80],
  ]
  turned = crops.cut(image, make_crop([0, 0], 0.5, True), 3, 5)
  np.testing.assert_array_equal(turned, found[:, ::-1])


def test_outside_of_the_picture_is_grey():
  image = np.full((4, 6, 3), 200, np.uint8)
  found = crops.cut(image, make_crop([-2, -1], 1), 5, 9).numpy()
  inside = np.zeros((5, 9), bool)
  inside[2:, 1:7] = True
  assert (found[inside] == 200).all() and (found[~inside] == GREY).all()
  far = crops.cut(image, make_crop([50, -90], 1), 5, 9)
  assert (far.numpy() == GREY).all()


@pytest.mark.parametrize('mirrored', [False, True])
@pytest.mark.parametrize('step', [0.3, 1.0, 1.7, 2.0, 2.6, 3.4, 5.0])
def test_a_ramp_keeps_its_values(step, mirrored):
  height, width = 10, 8
  found = make_crop([5.2, 4.6], step, mirrored)
  y, x = np.mgrid[:height, :width]
  points = crops.to_picture(found, np.stack([y, x], -1), width).numpy()
  assert points.max() < 60  # inside of the picture
  py, px = points[..., 0], points[..., 1]
  expected = np.stack([2 * py, 3 * px, py + px + 50], -1)
  cut = crops.cut(ramp(64, 64), found, height, width).numpy()
  np.testing.assert_allclose(cut, expected, rtol=0, atol=0.51)


@pytest.mark.parametrize('mirrored', [False, True])
@pytest.mark.parametrize('side', [9, 40, 150])
def test_a_joint_is_where_its_pixels_are(side, mirrored):
  # A bright square about it, of two to three pixels of the crop; the square's
  # centre of mass in the crop is where to_crop says.
  height, width = 33, 25
  rng = np.random.default_rng(side)
  for _ in range(3):
    joint = rng.integers(200, 300, 2)
    corner = joint - rng.uniform(0.3, 0.7, 2) * side
    box = [*corner, *(corner + side)]
    found = crops.around(box, height, width, 1.25, mirrored)
    half = int(np.ceil(float(found.step)))
    (top, left), (bottom, right) = joint - half, joint + half + 1
    image = np.zeros((500, 500, 3), np.uint8)
    image[top:bottom, left:right] = 255
    cut = crops.cut(image, found, height, width).numpy()[..., 0]
    at = np.argwhere(cut)
    centre = np.average(at, axis=0, weights=cut[tuple(at.T)])
    expected = crops.to_crop(found, joint, width)
    np.testing.assert_allclose(centre, expected, rtol=0, atol=0.5)


@pytest.mark.parametrize('step', [4.0, 5.0, 7.3])
def test_shrinking_passes_over_no_pixel(step):
  y, x = np.mgrid[:400, :400]
  board = np.where((y + x) % 2, 255, 0)
  image = np.repeat(board[..., None], 3, -1).astype(np.uint8)
  cut = crops.cut(image, make_crop([10, 10], step), 33, 25).numpy()
  # An odd square has one pixel of a colour more: 1 in 25, so 127.5 +- 5.1.
  assert np.abs(cut - 127.5).max() < 6
  assert cut.mean() == pytest.approx(127.5, abs=1)


def test_shrinking_at_an_edge_of_the_picture_mixes_with_grey():
  # Rows 0 .. 3 are averaged to 200, at 1.5; above is grey, at -2.5. The crop's
  # first row, -1.5, is a quarter of the way: 128 + (200 - 128) / 4 = 146.
  image = np.full((40, 40, 3), 200, np.uint8)
  cut = crops.cut(image, make_crop([-1.5, 5.5], 4), 5, 4).numpy()
  assert (cut[0] == 146).all() and (cut[1:] == 200).all()
  # Of 38 rows, 33 .. 36 have 200, at 34.5, and row 37 with three of grey 146,
  # at 38.5. Row 37.5 is (200 + 3 x 146) / 4 = 159.5, row 41.5 (146 + 3 x 128) /
  # 4 = 132.5.
  cut = crops.cut(image[:38], make_crop([33.5, 5.5], 4), 3, 4).numpy()
  assert cut[:, 0, 0].tolist() == [200, 160, 132]


def test_many_crops_and_a_dataset_give_the_same():
  rng = np.random.default_rng(3)
  image = rng.integers(0, 256, (60, 80, 3), np.uint8)
  boxes = random_boxes(rng, 5, 80).astype(np.float32)
  boxes[0] = 10, 12, 30, 20
  turned = rng.random(5) < 0.5
  found = crops.around(boxes, 33, 25, mirrored=turned)
  each = [
    crops.cut(image, crops.Crop(*(x[i] for x in found)), 33, 25).numpy()
    for i in range(5)
  ]
  assert len({c.tobytes() for c in each}) == 5
  np.testing.assert_array_equal(crops.cut(image, found, 33, 25), each)
  nobody = crops.Crop(*(x[:0] for x in found))
  assert crops.cut(image, nobody, 33, 25).shape == (0, 33, 25, 3)

  def example(box, mirrored):
    crop = crops.around(box, 33, 25, mirrored=mirrored)
    points = crops.to_crop(crop, crops.to_picture(crop, [[3, 4]], 25), 25)
    return crops.cut(image, crop, 33, 25), points

  dataset = tf.data.Dataset.from_tensor_slices((boxes, turned)).map(example)
  assert dataset.element_spec[0].shape == (33, 25, 3)
  cut, points = zip(*dataset.as_numpy_iterator())
  np.testing.assert_array_equal(cut, each)
  np.testing.assert_allclose(np.concatenate(points), [[3, 4]] * 5, atol=1e-3)


def test_bad_crops():
  with pytest.raises(ValueError, match='2 x 2 pixels, got 353 x 1'):
    crops.around([0, 0, 1, 1], 353, 1)
  found = crops.around(np.ones((2, 3, 4)), 5, 5)
  with pytest.raises(ValueError, match=r'\[\] or \[P\], got \(2, 3\)'):
    crops.cut(np.zeros((5, 5, 3), np.uint8), found, 5, 5)
