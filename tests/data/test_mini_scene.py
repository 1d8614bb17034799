import numpy as np
import pytest

from official_repro.data.mini import (
  MiniJft,
  figure,
  geometry,
  sampler,
  shapes,
  taxonomy,
  textures,
)
from official_repro.data.mini import scene as scene_lib

LEFT, RIGHT = list(range(5, 17, 2)), list(range(6, 17, 2))


@pytest.fixture(scope='module')
def examples():
  mini = MiniJft(seed=5, size=72)
  return [mini.example(i) for i in range(150)]


def rng(seed=0):
  return np.random.default_rng(seed)


def leaf_of(kind):
  leaves = taxonomy.make_taxonomy().leaves
  return next(leaf for leaf in leaves if leaf.kind == kind)


def person_scene(style, height=120, width=100, seed=0, **placement):
  place = {'x': width / 2, 'y': height / 2, 'radius': 50.0, **placement}
  item = scene_lib.place(
    rng(seed), leaf_of(style), scene_lib.Placement(**place)
  )
  background = np.zeros((height, width, 3), np.uint8)
  return scene_lib.Scene(background, [item])


def test_box_is_the_tight_box_of_the_mask(examples):
  for example in examples:
    for drawn in example.objects:
      ys, xs = np.nonzero(drawn.mask)
      expected = [ys.min(), xs.min(), ys.max() + 1, xs.max() + 1]
      assert drawn.box.tolist() == expected
      assert drawn.mask.shape == example.image.shape[:2]
      assert drawn.mask.dtype == bool


def test_tight_box_by_hand():
  mask = np.zeros((6, 8), bool)
  assert scene_lib.tight_box(mask).tolist() == [0, 0, 0, 0]
  mask[2, 3] = mask[4, 5] = True
  assert scene_lib.tight_box(mask).tolist() == [2, 3, 5, 6]


def test_visible_masks_do_not_overlap(examples):
  for example in examples:
    total = sum(d.mask.astype(int) for d in example.objects)
    assert total.max() <= 1


def test_objects_stay_visible(examples):
  shares = []
  for example in examples:
    for drawn in example.objects:
      item = drawn.scene.items[drawn.index]
      whole = scene_lib.object_mask(item, *example.image.shape[:2])
      shares.append(drawn.mask.sum() / whole.sum())
      assert drawn.mask.sum() >= 12
  assert np.mean(shares) > 0.85
  assert np.mean(np.array(shares) < 0.3) < 0.03


def test_mask_is_where_the_object_changed_the_picture():
  item = scene_lib.place(
    rng(), leaf_of('hexagon'), scene_lib.Placement(32, 32, 20)
  )
  background = np.full((64, 64, 3), 127, np.uint8)
  scene = scene_lib.Scene(background, [item])
  changed = (scene.paint() != 127).any(-1)
  mask = scene.visible_masks[0]
  # The painted rim is one pixel wide on either side of the outline.
  assert not (mask & ~changed).any()
  assert (changed & ~mask).sum() < 4 * 2 * np.sqrt(mask.sum()) * 1.5


def test_an_object_in_front_hides_the_one_behind():
  place = scene_lib.Placement(20, 20, 10)
  disc = lambda r: scene_lib.place(
    rng(), None, place, [geometry.disc(0, 0, r)], colors={'body': (9, 9, 9)}
  )
  back, front = disc(1.0), disc(0.5)
  background = np.zeros((40, 40, 3), np.uint8)
  scene = scene_lib.Scene(background, [back, front])
  behind, before = scene.visible_masks
  assert before[20, 20] and not behind[20, 20]
  assert behind[20, 28] and not before[20, 28]
  whole = scene_lib.object_mask(back, 40, 40)
  np.testing.assert_array_equal(behind | before, whole)
  # Area of a disc with radius 10, up to the pixels on its rim.
  assert whole.sum() == pytest.approx(np.pi * 100, rel=0.15)


@pytest.mark.parametrize('kind', sorted(shapes.SHAPES))
def test_every_shape_fits_its_space(kind):
  for seed in range(3):
    parts = shapes.SHAPES[kind](rng(seed))
    points = np.concatenate([p.points for p in parts])
    assert np.isfinite(points).all()
    assert np.abs(points).max() < 1.35
    assert np.ptp(points, axis=0).max() > 1.2
    assert any(p.role == 'body' for p in parts)


@pytest.mark.parametrize('style', figure.STYLES)
@pytest.mark.parametrize('from_behind', [False, True])
def test_joints_of_the_figure(style, from_behind):
  for seed in range(20):
    parts, joints = figure.figure(rng(seed), style, from_behind)
    assert joints.shape == (17, 3)
    assert set(joints[:, 2]) <= {1.0, 2.0}
    outline = np.concatenate([p.points for p in parts])
    low, high = outline.min(0), outline.max(0)
    assert (joints[:, :2] >= low).all() and (joints[:, :2] <= high).all()
    # Seen from the front, the person's left is on the right.
    sign = -1 if from_behind else 1
    for left, right in ((5, 6), (11, 12), (1, 2), (3, 4)):
      assert sign * (joints[left, 0] - joints[right, 0]) > 0
    # From behind nose and eyes are hidden, from the front they are not.
    assert (joints[:3, 2] == (1 if from_behind else 2)).all()
    # Head above shoulders above hips above ankles (y goes down).
    assert joints[0, 1] < joints[5, 1] < joints[11, 1] < joints[15, 1]
    if style == 'cheering':
      assert joints[9, 1] < joints[5, 1] and joints[10, 1] < joints[6, 1]


def test_bones_keep_their_length():
  for style in figure.STYLES:
    _, joints = figure.figure(rng(4), style)
    bone = lambda a, b: np.hypot(*(joints[a, :2] - joints[b, :2]))  # noqa: B023
    for shoulder, elbow, wrist in ((5, 7, 9), (6, 8, 10)):
      assert bone(shoulder, elbow) == pytest.approx(0.3)
      assert bone(elbow, wrist) == pytest.approx(0.28)
    for hip, knee, ankle in ((11, 13, 15), (12, 14, 16)):
      assert bone(hip, knee) == pytest.approx(0.42)
      assert bone(knee, ankle) == pytest.approx(0.42)


def test_unknown_style_is_named():
  with pytest.raises(ValueError, match='flying'):
    figure.figure(rng(), 'flying')


def test_keypoints_are_y_x_inside_the_mask():
  scene = person_scene('standing')
  keypoints = scene.keypoints(0)
  assert keypoints.shape == (17, 3)
  seen = keypoints[keypoints[:, 2] == 2]
  assert len(seen) >= 12
  for y, x, _ in seen:
    assert scene.visible_masks[0][int(y), int(x)]
  # The nose is above the ankles: y comes first.
  assert keypoints[0, 0] < keypoints[15, 0] - 50


def test_mirrored_person_swaps_left_and_right():
  plain = person_scene('running', seed=3).keypoints(0)
  mirrored = person_scene('running', seed=3, flip=True).keypoints(0)
  assert (plain[:, 2] > 0).all()
  swapped = mirrored[list(figure.MIRRORED)]
  np.testing.assert_allclose(plain[:, 0], swapped[:, 0], atol=1e-3)
  np.testing.assert_allclose(plain[:, 1], 100 - swapped[:, 1], atol=1e-3)
  assert figure.JOINT_NAMES[5] == 'left_shoulder'
  for k, mirror in enumerate(figure.MIRRORED):
    expected = figure.JOINT_NAMES[k].replace('left', '?')
    expected = expected.replace('right', 'left').replace('?', 'right')
    assert figure.JOINT_NAMES[mirror] == expected


def test_joints_outside_of_the_picture_have_visibility_zero():
  keypoints = person_scene('standing', y=110).keypoints(0)
  # The centre is ten pixels above the lower border: the legs are below it.
  assert (keypoints[[13, 14, 15, 16]] == 0).all()
  assert (keypoints[[0, 5, 6], 2] > 0).all()


def test_joints_behind_another_object_are_hidden():
  scene = person_scene('standing')
  y, x = scene.keypoints(0)[15, :2]
  cover = scene_lib.place(
    rng(),
    None,
    scene_lib.Placement(float(x), float(y), 8),
    [geometry.disc(0, 0, 1)],
    colors={'body': (1, 2, 3)},
  )
  hidden = scene_lib.Scene(scene.background, [scene.items[0], cover])
  keypoints = hidden.keypoints(0)
  assert keypoints[15].tolist() == [y, x, 1]
  assert keypoints[0, 2] == scene.keypoints(0)[0, 2]
  assert hidden.keypoints(1) is None


def test_people_in_examples_have_joints_inside_the_picture(examples):
  people = 0
  for example in examples:
    for drawn in example.objects:
      kind = drawn.scene.items[drawn.index].leaf.kind
      if kind not in figure.STYLES:
        assert drawn.keypoints is None
        continue
      people += 1
      inside = drawn.keypoints[drawn.keypoints[:, 2] > 0]
      assert (inside[:, :2] >= 0).all() and (inside[:, :2] < 72).all()
  assert people > 5


def test_pattern_shows_on_the_body_only():
  item = scene_lib.place(rng(), leaf_of('bee'), scene_lib.Placement(40, 40, 30))
  background = np.full((80, 80, 3), 127, np.uint8)
  image = scene_lib.Scene(background, [item]).paint()
  mark = np.array(item.colors['mark']).round()
  marked = (np.abs(image.astype(float) - mark) < 1.5).all(-1)
  assert marked.sum() > 50
  assert not (marked & ~scene_lib.object_mask(item, 80, 80)).any()


def test_large_and_oblong_scenes():
  items = sampler.sample_clutter(rng(), 120, 160, 5, 4, 20)
  scene = scene_lib.Scene(
    textures.background(rng(), 120, 160),
    items,
    scene_lib.sample_light(rng()),
  )
  assert scene.paint().shape == (120, 160, 3)
  wide = scene_lib.Scene(
    textures.background(rng(), 40, 600), [], scene_lib.sample_light(rng())
  )
  assert wide.paint().shape == (40, 600, 3)


@pytest.mark.parametrize('kind', textures.BACKGROUNDS)
def test_backgrounds(kind):
  image = textures.background(rng(), 48, 64, kind)
  assert image.shape == (48, 64, 3)
  assert image.dtype == np.uint8
  assert not np.array_equal(image, textures.background(rng(1), 48, 64, kind))


def test_unknown_background_is_named():
  with pytest.raises(ValueError, match='lava'):
    textures.background(rng(), 8, 8, 'lava')


def test_covered_share_by_hand():
  # Half of the width times half of the height of a 4 x 4 box.
  assert sampler.covered_share((0, 0, 4, 4), (2, 2, 9, 9)) == 0.25
  assert sampler.covered_share((0, 0, 4, 4), (4, 0, 8, 4)) == 0.0
