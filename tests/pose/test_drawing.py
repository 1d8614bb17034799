"""Skeletons, heatmaps and sheets, looked at by their pixels."""

import itertools

import numpy as np
import pytest

from official_repro.core import drawing as core_drawing
from pose import drawing
from pose import joints as joints_lib

LEFT, MIDDLE, RIGHT = (
  drawing.SIDE_COLORS[s] for s in ('left', 'middle', 'right')
)
K = len(joints_lib.NAMES)
GREY = np.full((500, 600, 3), 128, np.uint8)


def person(**places):
  """Joints [1, 17, 3] with score 1 where they are given, as name=(y, x)."""
  joints = np.zeros((1, K, 3))
  for name, place in places.items():
    joints[0, joints_lib.NAMES.index(name)] = (*place, 1)
  return joints


def has(picture, color):
  return (picture == color).all(-1)


def test_bones_and_joints_have_the_colours_of_their_sides():
  joints = person(
    left_shoulder=(100, 300),
    right_shoulder=(100, 200),
    left_hip=(300, 300),
    right_hip=(300, 200),
  )
  drawn = drawing.draw_people(GREY, joints, 0.5)
  assert drawn.shape == GREY.shape
  for y, x, color in (
    (200, 300, LEFT),
    (200, 200, RIGHT),
    (100, 250, MIDDLE),
    (300, 250, MIDDLE),
    (100, 300, LEFT),
    (300, 200, RIGHT),
  ):
    assert tuple(drawn[y, x]) == color
  changed = (drawn != GREY).any(-1)
  # Nothing else: 8 pixels around the four bones.
  assert not changed[:92].any() and not changed[309:].any()
  assert not changed[:, :192].any() and not changed[:, 309:].any()
  assert not changed[109:292, 209:292].any()


def test_bone_needs_both_of_its_joints():
  joints = person(left_shoulder=(100, 300), left_hip=(300, 300))
  joints[0, joints_lib.NAMES.index('left_hip'), 2] = 0.4
  assert not has(drawing.draw_people(GREY, joints, 0.5), LEFT)[200].any()
  assert has(drawing.draw_people(GREY, joints, 0.4), LEFT)[200, 300]
  # The same, told joint by joint.
  shown = joints[..., 2] > 0.5
  np.testing.assert_array_equal(
    drawing.draw_people(GREY, joints, shown),
    drawing.draw_people(GREY, joints, 0.5),
  )


def test_small_picture_is_enlarged_with_its_joints():
  image = np.full((40, 60, 3), 128, np.uint8)
  drawn = drawing.draw_people(image, person(nose=(9, 19)), 0.5)
  # Factor 480 / 60 = 8: the centre 9 comes to 9.5 * 8 - .5 = 75.5, 19 to 155.5.
  assert drawn.shape == (320, 480, 3)
  ys, xs = np.nonzero(has(drawn, MIDDLE))
  assert ys.mean() == pytest.approx(75.5, abs=0.6)
  assert xs.mean() == pytest.approx(155.5, abs=0.6)


def test_first_person_is_on_top():
  first, second = person(left_eye=(200, 200)), person(right_eye=(200, 200))
  drawn = drawing.draw_people(GREY, np.concatenate([first, second]), 0.5)
  assert tuple(drawn[200, 200]) == LEFT


def test_boxes_with_scores():
  joints = person(nose=(200, 200))
  plain = drawing.draw_people(GREY, joints, 0.5)
  boxed = drawing.draw_people(GREY, joints, 0.5, [[100, 150, 300, 250]])
  scored = drawing.draw_people(GREY, joints, 0.5, [[100, 150, 300, 250]], [0.5])
  changed = (boxed != plain).any(-1)
  assert changed[100, 150:250].all() and changed[299, 150:250].all()
  assert not changed[:100].any() and not changed[105:295, 155:245].any()
  ys, xs = np.nonzero((scored != boxed).any(-1))
  assert ys.max() <= 100 and ys.min() > 70 and xs.min() >= 150


def test_nobody_and_nothing_shown():
  nobody = drawing.draw_people(GREY, np.zeros((0, 0, 3)))
  np.testing.assert_array_equal(nobody, GREY)
  unseen = drawing.draw_people(GREY, np.full((2, K, 3), np.nan), 0.5)
  np.testing.assert_array_equal(unseen, GREY)


@pytest.mark.parametrize(
  'arguments, message',
  [
    ((np.zeros((2, 5, 3)), 0), r'got shape \(2, 5, 3\)'),
    ((np.zeros((2, K, 3)), np.ones((1, K))), r'got 2 people, but \[1\]'),
    ((np.zeros((1, K, 3)), 0, [[0, 0, 1, 1]] * 2), r'1 people, but \[1, 2\]'),
    ((np.full((1, K, 3), np.nan), np.ones((1, K))), 'not finite'),
  ],
)
def test_bad_people(arguments, message):
  with pytest.raises(ValueError, match=message):
    drawing.draw_people(GREY, *arguments)


def test_sides_of_joints_agree_with_the_mirror_and_the_bones():
  opposite = {'left': 'right', 'right': 'left', 'middle': 'middle'}
  mirrored = [drawing.SIDES[i] for i in joints_lib.MIRRORED]
  assert [opposite[s] for s in drawing.SIDES] == mirrored
  assert drawing.SIDES[0] == 'middle' and drawing.SIDES[5] == 'left'
  for a, b, side in joints_lib.SKELETON:
    of_joints = {drawing.SIDES[a], drawing.SIDES[b]} - {'middle'}
    assert of_joints == ({'left', 'right'} if side == 'middle' else {side})


# How people without one kind of cones see linear RGB (Machado et al. 2009).
VISION = {
  'all': np.eye(3),
  'no red': [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  'no green': [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
  ],
  'no blue': [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.303900],
  ],
}
XYZ = np.array(
  [
    [0.4124, 0.3576, 0.1805],
    [0.2126, 0.7152, 0.0722],
    [0.0193, 0.1192, 0.9505],
  ]
)


def lab(color, vision):
  """CIE L*a*b* of an sRGB colour as someone sees it."""
  share = np.array(color) / 255
  curved = ((share + 0.055) / 1.055) ** 2.4
  linear = np.where(share > 0.04045, curved, share / 12.92)
  xyz = XYZ @ np.clip(np.array(VISION[vision]) @ linear, 0, 1)
  f = np.cbrt(np.maximum(xyz / XYZ.sum(1), 0.01))
  return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize('vision', VISION)
def test_colours_can_be_told_apart_with_any_colour_vision(vision):
  for a, b in itertools.combinations(drawing.SIDE_COLORS.values(), 2):
    # About 2.3 is just noticeable.
    assert np.linalg.norm(lab(a, vision) - lab(b, vision)) > 25


def test_heatmaps_are_laid_over_a_grey_crop():
  crop = np.zeros((1, 4, 3), np.uint8)
  crop[:] = (30, 60, 90)  # grey 60
  heat = np.zeros((1, 4, K))
  heat[0, 1, joints_lib.NAMES.index('left_knee')] = 1
  heat[0, 1, joints_lib.NAMES.index('left_hip')] = 0.5  # the largest counts
  heat[0, 2, joints_lib.NAMES.index('right_hip')] = 0.5
  heat[0, 3, joints_lib.NAMES.index('left_eye')] = 1
  heat[0, 3, joints_lib.NAMES.index('right_eye')] = 1
  found = drawing.heatmap_overlay(crop, heat)[0].tolist()
  mixed = (np.array(LEFT) + RIGHT) / 2
  expected = [
    (60, 60, 60),
    np.rint(60 * 0.15 + 0.85 * np.array(LEFT)),
    np.rint(60 * 0.575 + 0.425 * np.array(RIGHT)),
    np.rint(60 * 0.15 + 0.85 * mixed),
  ]
  np.testing.assert_allclose(found, expected, atol=1)
  with pytest.raises(ValueError, match=r'heatmaps of shape \(1, 4, 3\)'):
    drawing.heatmap_overlay(crop, np.zeros((1, 4, 3)))


def test_crop_sheet_holds_a_line_for_each_crop():
  crop = np.full((30, 20, 3), 90, np.uint8)
  joints = person(left_knee=(15, 10))[0]
  heat = np.zeros((30, 20, K))
  heat[..., 0] = 1
  row = drawing.crop_row(crop, joints, 0.5, heat)
  assert [p.shape for p in row] == [(300, 200, 3)] * 3
  assert (row[0] == 90).all()
  assert has(row[1], LEFT).any() and not has(row[0], LEFT).any()
  assert tuple(row[2][150, 100]) == tuple(
    np.rint(90 * 0.15 + 0.85 * np.array(MIDDLE)).astype(int)
  )
  page = drawing.crop_sheet([row, row])
  legend = core_drawing.legend(drawing._LEGEND, page.shape[1])
  # Two lines of three cells, 300 pixels, gap 8, title 20; the legend below.
  assert page.shape == (2 * 328 + 8 + len(legend), 3 * 308 + 8, 3)
  assert (page[28:328, 58:258] == 90).all()
  assert has(page[len(page) - len(legend) :], RIGHT).any()
  # 12 crops: two in a line, as round(sqrt(12 / 3)) = 2.
  assert drawing.crop_sheet([row] * 12).shape[1] == 6 * 308 + 8
  for wrong in ([], [row[:2]], [row, row[:2]]):
    with pytest.raises(ValueError, match='lines of 3 pictures'):
      drawing.crop_sheet(wrong)


def test_pair_sheet_has_the_pairs_and_the_legend():
  picture = np.full((50, 80, 3), (40, 90, 10), np.uint8)
  pairs = [(picture, picture)] * 2
  page = drawing.pair_sheet(pairs, cell=100)
  assert has(page, (40, 90, 10)).sum() == 4 * 50 * 80
  for color in (LEFT, MIDDLE, RIGHT):
    assert has(page, color).any()
  with pytest.raises(ValueError, match='no picture'):
    drawing.pair_sheet([])
