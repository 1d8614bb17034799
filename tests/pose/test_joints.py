import numpy as np
from pycocotools import cocoeval

from official_repro.data.mini import figure
from pose import joints


def test_sigmas_are_those_of_pycocotools():
  expected = cocoeval.Params('keypoints').kpt_oks_sigmas
  np.testing.assert_allclose(joints.SIGMAS, expected, rtol=1e-12)


def test_names_and_mirror_images_are_those_of_the_generator():
  assert joints.NAMES == figure.JOINT_NAMES
  assert joints.MIRRORED == figure.MIRRORED


def test_mirror_images_have_the_name_of_the_other_side():
  other = {'left': 'right', 'right': 'left'}
  for k, name in enumerate(joints.NAMES):
    side, _, part = name.partition('_')
    expected = f'{other[side]}_{part}' if part else name
    assert joints.NAMES[joints.MIRRORED[k]] == expected
    assert joints.MIRRORED[joints.MIRRORED[k]] == k


def test_skeleton_is_symmetric_and_connected():
  bones = {(frozenset((a, b)), side) for a, b, side in joints.SKELETON}
  assert len(bones) == len(joints.SKELETON) == 19
  other = {'left': 'right', 'right': 'left', 'middle': 'middle'}
  mirrored = {
    (frozenset(joints.MIRRORED[j] for j in bone), other[side])
    for bone, side in bones
  }
  assert mirrored == bones
  for a, b, side in joints.SKELETON:
    sides = {joints.NAMES[j].partition('_')[0] for j in (a, b)} - {'nose'}
    assert sides == ({side} if side != 'middle' else {'left', 'right'})
  reached = {0}
  for _ in joints.NAMES:
    for a, b, _ in joints.SKELETON:
      reached |= {a, b} if {a, b} & reached else set()
  assert reached == set(range(17))


def test_exchange_of_x_and_y():
  pose = np.float32([[1, 2, 0.5], [3, 4, 2]])
  swapped = joints.exchange_xy(pose)
  assert swapped.tolist() == [[2, 1, 0.5], [4, 3, 2]]
  assert swapped.dtype == np.float32
  np.testing.assert_array_equal(joints.exchange_xy(swapped), pose)
