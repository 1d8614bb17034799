"""Scenes for classification: where objects, clutter and light go."""

import numpy as np

from official_repro.data.mini import geometry, textures
from official_repro.data.mini import scene as scene_lib

# Half extents of objects as shares of the picture's side, by object count.
_RADIUS = {1: (0.27, 0.46), 2: (0.20, 0.31), 3: (0.17, 0.25)}
_MAX_TURN = 0.3
_TRIES = 12

# No object may lose more of its outline's box to a nearer one.
_MAX_COVER = 0.3


def covered_share(box, by) -> float:
  """Share of a box (xmin, ymin, xmax, ymax) that lies under another one."""
  width = min(box[2], by[2]) - max(box[0], by[0])
  height = min(box[3], by[3]) - max(box[1], by[1])
  if width <= 0 or height <= 0:
    return 0.0
  return width * height / ((box[2] - box[0]) * (box[3] - box[1]))


def random_placement(rng, height, width, low, high, margin=0.8):
  """A random Placement with a radius in [low, high] pixels.

  Args:
    rng: np.random.Generator.
    height: of the picture.
    width: of the picture.
    low: smallest radius.
    high: largest radius.
    margin: the centre keeps this many radii from the border (at most half of
      the picture), so that below 1 objects may be cut.

  Returns:
    scene.Placement.
  """
  u = rng.random(6)
  radius = low + (high - low) * u[0]
  dx, dy = min(margin * radius, width / 2), min(margin * radius, height / 2)
  return scene_lib.Placement(
    x=dx + u[1] * (width - 2 * dx),
    y=dy + u[2] * (height - 2 * dy),
    radius=radius,
    angle=(2 * u[3] - 1) * _MAX_TURN,
    flip=bool(u[4] < 0.5),
    stretch=0.85 + 0.3 * u[5],
  )


def _clutter_object(rng, placement):
  """An unlabelled blob, bar or chip in a muted colour."""
  kind = rng.integers(3)
  if kind == 0:
    part = geometry.bar(-1, 0, 1, 0, rng.uniform(0.15, 0.5))
  elif kind == 1:
    part = geometry.ellipse(0, 0, 1, rng.uniform(0.4, 1), count=10)
  else:
    corners = np.sort(rng.uniform(0, 2 * np.pi, 5))
    part = geometry.poly(
      'body', *np.stack([np.cos(corners), np.sin(corners)], 1)
    )
  color = tuple(map(float, textures.muted(rng)))
  return scene_lib.place(
    rng, None, placement, parts=[part], colors={'body': color}
  )


def sample_clutter(rng, height, width, count, low, high):
  """`count` unlabelled objects with radii in [low, high] pixels."""
  return [
    _clutter_object(rng, random_placement(rng, height, width, low, high, 0.0))
    for _ in range(count)
  ]


def sample_scene(rng, leaves, size, clutter=0.5):
  """A square scene for classification.

  Args:
    rng: np.random.Generator.
    leaves: Leaf of each object, the main one first (one to three).
    size: side in pixels.
    clutter: 0..1, how much unlabelled stuff lies around.

  Returns:
    (Scene, positions): positions[k] is where leaves[k] is in `scene.items`.
    Objects keep apart: none has over 30% of its box under another's.
  """
  low, high = (r * size for r in _RADIUS[len(leaves)])
  objects = []
  for leaf in leaves:
    objects.append(_place_apart(rng, leaf, size, low, high, objects))
  behind = int(rng.binomial(6, 0.6 * clutter))
  before = int(rng.binomial(2, 0.5 * clutter))
  items = sample_clutter(rng, size, size, behind, 0.04 * size, 0.2 * size)
  positions = [len(items) + k for k in range(len(objects))]
  items += objects
  # Small things in front hide a part of an object now and then.
  items += sample_clutter(rng, size, size, before, 0.03 * size, 0.09 * size)
  scene = scene_lib.Scene(
    textures.background(rng, size, size), items, scene_lib.sample_light(rng)
  )
  return scene, positions


def _place_apart(rng, leaf, size, low, high, others):
  """Places a leaf where it covers no earlier object by too much.

  After some tries it takes the best place found, drawn smaller.
  """
  best, best_cover = None, 2.0
  for _ in range(_TRIES if others else 1):
    placement = random_placement(rng, size, size, low, high)
    r = placement.radius
    box = (placement.x - r, placement.y - r, placement.x + r, placement.y + r)
    cover = max((covered_share(o.extent, box) for o in others), default=0.0)
    if cover < best_cover:
      best, best_cover = placement, cover
    if cover <= _MAX_COVER:
      break
  return scene_lib.place(rng, leaf, best)
