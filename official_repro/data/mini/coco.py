"""The miniature COCO: rendered scenes with a box around every object.

Stands in for COCO (Lin et al. 2014) at a small scale: one to six objects of
twenty classes in a picture of varying shape, large and small, some cut by the
border, some behind others, things that nobody labels among them, and now and
then a crowd that has one box for all. Glossary: N annotated objects.
"""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np

from official_repro.data.hierarchy import Hierarchy
from official_repro.data.mini import figure, sampler, taxonomy, textures
from official_repro.data.mini import scene as scene_lib

SPLITS = ('train', 'validation')
MAX_OBJECTS = 6
NUM_JOINTS = len(figure.JOINT_NAMES)
PERSON = taxonomy.SEGMENT_CLASSES.index('person') + 1

# MiniJft draws its labels and pictures with 0 and 1 in this place, MiniPerson
# its pictures with 3, MiniVoc with 4.
_PURPOSE = 2

# People are the commonest class, as in COCO; the others are equally common.
_PERSON_SHARE = 0.15
_COUNT_SHARES = (0.22, 0.24, 0.2, 0.15, 0.11, 0.08)

# Height over width, about as in COCO: mostly 3:4 and 4:3.
_ASPECTS = (9 / 16, 2 / 3, 3 / 4, 3 / 4, 3 / 4, 1.0, 4 / 3, 4 / 3, 3 / 2)
_LONGER_SIDE = (0.8, 1.0)

# Half extent of an object as a share of the shorter side: the smallest, and
# the largest where there are so many objects.
_SMALLEST = 0.12
_LARGEST = (0.45, 0.38, 0.33, 0.3, 0.27, 0.25)
# Objects may be cut by the border at this many half extents from the centre.
_MARGIN = 0.65
_TRIES = 10
# No object may lie under an earlier or later one by more of its outline's box.
_MAX_COVER = 0.5
# What shows less than this, of its outline or in pixels, is taken away.
_MIN_VISIBLE_SHARE = 0.3
_MIN_VISIBLE_PIXELS = 24
_CLUTTER_BEHIND, _CLUTTER_BEFORE = 6, 3

# A crowd: so many of one class, side by side.
_CROWD_SIZE = (7, 12)
_CROWD_CLASSES = ('person', 'person', 'bird', 'sea animal', 'fruit')


@dataclasses.dataclass(frozen=True)
class MiniCocoExample:
  """One picture with its objects, crowds included.

  Attributes:
    image: uint8 [H, W, 3] RGB.
    boxes: float32 [N, 4] ymin, xmin, ymax, xmax in pixels, the far edges
      exclusive: the extent of what is VISIBLE of the object, as in COCO.
    labels: int64 [N], from 1: index in `taxonomy.SEGMENT_CLASSES` plus 1.
    is_crowd: bool [N]: one box around a group whose members have none.
    area: float32 [N], visible pixels.
    keypoints: float32 [N, 17, 3] (y, x, visibility) in pixels, COCO's joints
      and rules; zeros for all but people outside of crowds.
    masks: bool [N, H, W], the visible pixels; masks never overlap.
    source_id: unique in its split.
  """

  image: np.ndarray = dataclasses.field(repr=False)
  boxes: np.ndarray
  labels: np.ndarray
  is_crowd: np.ndarray
  area: np.ndarray
  keypoints: np.ndarray = dataclasses.field(repr=False)
  masks: np.ndarray = dataclasses.field(repr=False)
  source_id: str


class _Group(NamedTuple):
  """What gets one annotation: an object, or all of a crowd."""

  label: int
  members: tuple[scene_lib.SceneObject, ...]
  is_crowd: bool = False

  @property
  def bottom(self):
    return max(m.extent[3] for m in self.members)


class MiniCoco:
  """The generator; image i of a seed is a pure function of (seed, split, i).

  Args:
    seed: non-negative int.
    size: largest longer side of a picture in pixels, 64 to 1024.
    clutter: how much unlabelled stuff lies around, 0 (none) to 1.
    crowds: share of pictures with a crowd beside the objects, 0 to 1.

  Attributes:
    hierarchy: flat label space; category k - 1 is the one with box label k.

  Raises:
    ValueError: an argument is out of range.
  """

  # What a subclass that draws other scenes has of its own, with `_groups`.
  _purpose = _PURPOSE
  _prefix = 'mini-coco'

  def __init__(
    self,
    seed: int = 0,
    size: int = 160,
    clutter: float = 0.5,
    crowds: float = 0.08,
  ):
    who = type(self).__name__
    if not isinstance(seed, (int, np.integer)) or seed < 0:
      raise ValueError(f'{who} needs a seed of 0 or more, got {seed!r}.')
    if not isinstance(size, (int, np.integer)) or not 64 <= size <= 1024:
      raise ValueError(
        f'{who} needs a longer side of 64 to 1024 pixels, got size={size!r}.'
      )
    for name, value in (('clutter', clutter), ('crowds', crowds)):
      if not 0.0 <= value <= 1.0:
        raise ValueError(f'{who} needs {name} from 0 to 1, got {value!r}.')
    self.seed, self.size = int(seed), int(size)
    self.clutter, self.crowds = float(clutter), float(crowds)
    self.hierarchy = Hierarchy.flat(taxonomy.SEGMENT_CLASSES)

  def example(self, i: int, split: str = 'train') -> MiniCocoExample:
    """Image i of a split.

    Raises:
      ValueError: negative index or unknown split.
    """
    if split not in SPLITS:
      raise ValueError(
        f'{type(self).__name__} has the splits {", ".join(SPLITS)}, got '
        f'{split!r}.'
      )
    if i < 0:
      raise ValueError(
        f'{type(self).__name__} has images from 0 on, got index {i}.'
      )
    entropy = (self.seed, SPLITS.index(split), int(i), self._purpose)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
    scene, placed = self._composed(rng)
    return _annotated(scene, placed, f'{self._prefix}-{self.seed}-{split}-{i}')

  def _composed(self, rng):
    """A Scene and [(group, slice of its members in the scene)]."""
    height, width = _picture_size(rng, self.size)
    groups = self._groups(rng, height, width)
    return self._scene(rng, height, width, groups)

  def _groups(self, rng, height, width):
    """The objects of a scene, and perhaps a crowd; far to near."""
    count = 1 + int(rng.choice(MAX_OBJECTS, p=_COUNT_SHARES))
    groups = self._crowds(rng, height, width)
    place = functools.partial(
      place_apart, rng, height, width, _LARGEST[count - 1]
    )
    for _ in range(count):
      add_object(groups, rng, draw_label(rng), place)
    return far_to_near(groups)

  def _crowds(self, rng, height, width):
    """The groups that a scene begins with: a crowd, or none."""
    if rng.random() < self.crowds:
      return [_crowd(rng, height, width)]
    return []

  def _scene(self, rng, height, width, groups):
    """Adds clutter; leaves out the objects of which too little shows."""
    side = min(height, width)
    clutter = functools.partial(sampler.sample_clutter, rng, height, width)
    behind = clutter(
      int(rng.binomial(_CLUTTER_BEHIND, 0.6 * self.clutter)),
      0.04 * side,
      0.2 * side,
    )
    # Small things in front hide a part of an object now and then.
    before = clutter(
      int(rng.binomial(_CLUTTER_BEFORE, 0.5 * self.clutter)),
      0.03 * side,
      0.09 * side,
    )
    background = textures.background(rng, height, width)
    light = scene_lib.sample_light(rng)

    def compose(groups, before):
      members = [m for g in groups for m in g.members]
      return scene_lib.Scene(background, [*behind, *members, *before], light)

    def shown(before):
      scene, start = compose(groups, before), len(behind)
      return [g for g, at in _places(groups, start) if _shows(g, at, scene)]

    kept = shown(before)
    if not kept:  # the nearest object is hidden by clutter alone
      before = []
      kept = shown(before)
    # Without a hidden object the others show as much as before, or more.
    return compose(kept, before), list(_places(kept, len(behind)))


@functools.cache
def _leaves_of():
  """{label: (leaves, their shares summed up)} of the twenty classes."""
  whole = taxonomy.make_taxonomy()
  leaves = {k + 1: [] for k in range(len(taxonomy.SEGMENT_CLASSES))}
  for leaf, prob in zip(whole.leaves, whole.leaf_probs):
    label = taxonomy.segment_class(whole.hierarchy, leaf.id)
    leaves[label].append((leaf, prob))
  found = {}
  for label, pairs in leaves.items():
    shares = np.cumsum([prob for _, prob in pairs])
    found[label] = [leaf for leaf, _ in pairs], shares / shares[-1]
  return found


def draw_label(rng) -> int:
  """A label: a person's now and then, else one of the others'."""
  return PERSON if rng.random() < _PERSON_SHARE else draw_thing_label(rng)


def draw_thing_label(rng) -> int:
  """A label other than a person's, all equally common."""
  label = int(rng.integers(1, len(taxonomy.SEGMENT_CLASSES)))
  return label + (label >= PERSON)


def _draw_leaf(rng, label):
  leaves, shares = _leaves_of()[label]
  at = np.searchsorted(shares, rng.random(), side='right')
  return leaves[min(at, len(leaves) - 1)]


def _picture_size(rng, size):
  """Height and width in pixels."""
  longer = size * rng.uniform(*_LONGER_SIDE)
  aspect = _ASPECTS[rng.integers(len(_ASPECTS))]
  height = longer * min(1.0, aspect)
  width = longer * min(1.0, 1 / aspect)
  return round(height), round(width)


def add_object(groups, rng, label, place) -> None:
  """Adds an object that has its own annotation to the groups of a scene.

  Args:
    groups: list of groups, far to near or not, in place.
    rng: np.random.Generator.
    label: its class, from 1.
    place: function (leaf, SceneObjects there already) -> SceneObject.
  """
  others = [m for g in groups for m in g.members]
  groups.append(_Group(label, (place(_draw_leaf(rng, label), others),)))


def far_to_near(groups):
  """Sorts groups: what stands lower in the picture is nearer."""
  return sorted(groups, key=lambda g: g.bottom)


def place_apart(rng, height, width, largest, leaf, others, smallest=_SMALLEST):
  """Places a leaf where it hides, or is hidden, by not too much.

  After some tries it takes the best place found.

  Args:
    rng: np.random.Generator.
    height: of the picture.
    width: of the picture.
    largest: half extent, share of the shorter side.
    leaf: Leaf to draw.
    others: SceneObjects there already.

  Returns:
    SceneObject.
  """
  side = min(height, width)
  low, high = np.log(smallest * side), np.log(largest * side)
  best, best_cover = None, 2.0
  for _ in range(_TRIES if others else 1):
    # Even in the logarithm: there are more small things than large ones.
    radius = float(np.exp(rng.uniform(low, high)))
    placement = sampler.random_placement(
      rng, height, width, radius, radius, _MARGIN
    )
    box = (
      placement.x - radius,
      placement.y - radius,
      placement.x + radius,
      placement.y + radius,
    )
    cover = max((_cover(o.extent, box) for o in others), default=0.0)
    if cover < best_cover:
      best, best_cover = placement, cover
    if cover <= _MAX_COVER:
      break
  return scene_lib.place(rng, leaf, best)


def _cover(a, b):
  return max(sampler.covered_share(a, b), sampler.covered_share(b, a))


def _crowd(rng, height, width):
  """Many of one class in two loose rows, the nearer one below."""
  name = _CROWD_CLASSES[rng.integers(len(_CROWD_CLASSES))]
  label = taxonomy.SEGMENT_CLASSES.index(name) + 1
  count = int(rng.integers(_CROWD_SIZE[0], _CROWD_SIZE[1] + 1))
  radius = rng.uniform(0.09, 0.13) * min(height, width)
  step = 1.15 * radius
  columns = -(-count // 2)
  left = rng.uniform(radius, max(width - radius - columns * step, 2 * radius))
  top = rng.uniform(radius, max(height - 3 * radius, 1.5 * radius))
  members = []
  for k in range(count):
    row, column = divmod(k, columns)
    dx, dy, scale = rng.uniform(-0.25, 0.25, 3)
    placement = scene_lib.Placement(
      x=left + (column + 0.5 * row + dx) * step,
      y=top + (row + dy) * radius,
      radius=radius * (1 + 0.5 * scale),
      flip=bool(rng.random() < 0.5),
    )
    members.append(scene_lib.place(rng, _draw_leaf(rng, label), placement))
  return _Group(label, tuple(members), is_crowd=True)


def _places(groups, start):
  """Yields (group, slice of its members in the scene)."""
  for group in groups:
    yield group, slice(start, start + len(group.members))
    start += len(group.members)


def _visible(at, scene):
  """Bool [H, W]: the visible pixels of a slice of the scene's items."""
  return np.any(scene.visible_masks[at], axis=0)


def _shows(group, at, scene):
  """Whether enough of a group is visible to draw a box around it."""
  seen = int(_visible(at, scene).sum())
  shape = scene.background.shape[:2]
  whole = np.any(
    [scene_lib.object_mask(m, *shape) for m in group.members], axis=0
  )
  return seen >= max(_MIN_VISIBLE_PIXELS, _MIN_VISIBLE_SHARE * whole.sum())


def _annotated(scene, placed, source_id):
  """The MiniCocoExample of a scene and its [(group, slice)]."""
  masks = np.stack([_visible(at, scene) for _, at in placed])
  keypoints = np.zeros((len(placed), NUM_JOINTS, 3), np.float32)
  for k, (group, at) in enumerate(placed):
    joints = None if group.is_crowd else scene.keypoints(at.start)
    if joints is not None:
      keypoints[k] = joints
  return MiniCocoExample(
    image=scene.paint(),
    boxes=np.stack([scene_lib.tight_box(mask) for mask in masks]),
    labels=np.array([g.label for g, _ in placed], np.int64),
    is_crowd=np.array([g.is_crowd for g, _ in placed], bool),
    area=masks.sum((1, 2)).astype(np.float32),
    keypoints=keypoints,
    masks=masks,
    source_id=source_id,
  )
