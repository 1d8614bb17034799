"""The miniature person keypoints: rendered scenes about people.

Stands in for COCO's keypoint pictures (paper section 4: G-RMI) at a small
scale: one to four articulated figures in a picture, large and small, some cut
by the border, some behind each other or behind the things and the clutter
among them. Boxes, labels and masks are those of mini_coco, so that a detector
of mini_coco finds the people of these pictures.
"""

import functools

import numpy as np

from official_repro.data.mini import coco, palette, sampler
from official_repro.data.mini import scene as scene_lib

SPLITS = coco.SPLITS
MAX_PEOPLE, MAX_THINGS = 4, 2
# Each picture has a person with at least so many joints that can be seen.
MIN_JOINTS = 5

# MiniJft draws with 0 and 1 in this place, MiniCoco with 2.
_PURPOSE = 3

_PEOPLE_SHARES = (0.3, 0.32, 0.22, 0.16)
_THING_SHARES = (0.35, 0.4, 0.25)

# Half extent as a share of the shorter side: the smallest of a person, and
# the largest where there are so many people; the largest of a thing.
_SMALLEST = 0.18
_LARGEST = (0.48, 0.46, 0.42, 0.38)
_LARGEST_THING = 0.22
# People may be cut by the border at this many half extents from the centre.
_MARGIN = 0.5
# People lean to either side by up to 25 degrees.
_MAX_TURN = np.deg2rad(25)
_TRIES = 10
# No person's box may lie under another's, or an object's, by more.
_MAX_COVER = 0.5


class MiniPerson(coco.MiniCoco):
  """The generator; image i of a seed is a pure function of (seed, split, i).

  Its examples are MiniCocoExamples; `keypoints` are zeros for all that are
  not people and for crowds.

  Args:
    seed: non-negative int.
    size: largest longer side of a picture in pixels, 64 to 1024.
    clutter: how much unlabelled stuff lies around, 0 (none) to 1.
    crowds: share of pictures with a crowd beside the objects, 0 to 1.

  Attributes:
    hierarchy: flat label space, MiniCoco's; the label of people is
      `coco.PERSON`.

  Raises:
    ValueError: an argument is out of range.
  """

  _purpose = _PURPOSE
  _prefix = 'mini-person'

  def __init__(
    self,
    seed: int = 0,
    size: int = 192,
    clutter: float = 0.5,
    crowds: float = 0.08,
  ):
    super().__init__(seed, size, clutter, crowds)

  def _composed(self, rng):
    """Draws scenes until one has a person whose joints can be seen."""
    while True:
      scene, placed = super()._composed(rng)
      if any(_is_posed(group, at, scene) for group, at in placed):
        return scene, placed

  def _groups(self, rng, height, width):
    """The people and things, and perhaps a crowd; far to near."""
    people = 1 + int(rng.choice(MAX_PEOPLE, p=_PEOPLE_SHARES))
    things = int(rng.choice(MAX_THINGS + 1, p=_THING_SHARES))
    groups = self._crowds(rng, height, width)
    place = functools.partial(
      _place_person, rng, height, width, _LARGEST[people - 1]
    )
    for _ in range(people):
      coco.add_object(groups, rng, coco.PERSON, place)
    place = functools.partial(
      coco.place_apart, rng, height, width, _LARGEST_THING
    )
    for _ in range(things):
      coco.add_object(groups, rng, coco.draw_thing_label(rng), place)
    return coco.far_to_near(groups)


def _is_posed(group, at, scene):
  """Whether a group is a person with enough joints that can be seen."""
  if group.label != coco.PERSON or group.is_crowd:
    return False
  return np.sum(scene.keypoints(at.start)[:, 2] == 2) >= MIN_JOINTS


def _place_person(rng, height, width, largest, leaf, others):
  """Places a figure where it hides, or is hidden, by not too much.

  Unlike `coco.place_apart` it compares the outlines' boxes: people are narrow
  and may stand close to each other. After some tries it takes the best place
  found.
  """
  parts, joints = scene_lib.draw_parts(rng, leaf)
  colors = palette.role_colors(rng, leaf.color)
  side = min(height, width)
  best, best_cover = None, 2.0
  for _ in range(_TRIES if others else 1):
    placement = _placement(rng, height, width, _SMALLEST * side, largest * side)
    item = scene_lib.place(rng, leaf, placement, parts, joints, colors)
    cover = max((_cover(o.extent, item.extent) for o in others), default=0.0)
    if cover < best_cover:
      best, best_cover = item, cover
    if cover <= _MAX_COVER:
      break
  return best


def _placement(rng, height, width, low, high):
  # Even in the logarithm: there are more small people than large ones.
  radius = float(np.exp(rng.uniform(np.log(low), np.log(high))))
  placement = sampler.random_placement(
    rng, height, width, radius, radius, _MARGIN
  )
  return placement._replace(angle=float(rng.uniform(-_MAX_TURN, _MAX_TURN)))


def _cover(a, b):
  return max(sampler.covered_share(a, b), sampler.covered_share(b, a))
