"""Plants, food, tools, household items and signs.

See shapes_animals.py for the conventions.
"""

import numpy as np

from official_repro.data.mini.geometry import (
  Part,
  arc,
  bar,
  box,
  disc,
  ellipse,
  poly,
  strand,
)


def _oak(rng):
  puffs = rng.uniform(-0.08, 0.08, (5, 2))
  centres = np.array([(-0.45, -0.2), (0.45, -0.2), (-0.25, -0.6), (0.3, -0.6)])
  return [
    bar(0.0, 0.0, 0.0, 1.0, 0.22, 0.34, 'wood'),
    disc(0.0, -0.25, 0.5),
    *[disc(x, y, 0.38, 'body') for x, y in centres + puffs[:4]],
    disc(-0.15 + puffs[4, 0], -0.4, 0.2, 'tint', 10),
  ]


def _pine(rng):
  width = rng.uniform(0.5, 0.7)
  return [
    bar(0.0, 0.6, 0.0, 1.0, 0.2, 0.2, 'wood'),
    poly('body', (0.0, -0.3), (width, 0.75), (-width, 0.75)),
    poly('shade', (0.0, -0.65), (width * 0.8, 0.25), (-width * 0.8, 0.25)),
    poly('body', (0.0, -1.0), (width * 0.6, -0.25), (-width * 0.6, -0.25)),
  ]


def _palm(rng):
  lean = rng.uniform(-0.25, 0.25)
  top = np.array([lean, -0.4])
  parts = [
    strand([(0.0, 1.0), (lean * 0.3, 0.3), (lean, -0.4)], 0.24, 0.14, 'wood')
  ]
  for x, y in (
    (-0.8, 0.35),
    (0.8, 0.35),
    (-0.75, -0.25),
    (0.75, -0.25),
    (0, -0.6),
  ):
    tip = top + (x, y)
    bend = top + (x * 0.6, y * 0.4 - 0.22)
    parts.append(strand([top, bend, tip], 0.2, 0.05))
  return parts + [disc(lean, -0.32, 0.1, 'brown', 8)]


def _daisy(rng):
  turn = rng.uniform(0, 0.7)
  petals = []
  for a in turn + np.arange(8) * (np.pi / 4):
    x, y = 0.38 * np.cos(a), -0.4 + 0.38 * np.sin(a)
    petals.append(ellipse(x, y, 0.24, 0.13, 'body', a, 10))
  return [
    bar(0.0, -0.2, 0.05, 1.0, 0.1, 0.1, 'green'),
    ellipse(0.28, 0.55, 0.28, 0.1, 'green', -0.5),
    *petals,
    disc(0.0, -0.4, 0.2, 'yellow', 12),
  ]


def _tulip(rng):
  bend = rng.uniform(-0.1, 0.1)
  return [
    bar(bend, -0.1, 0.0, 1.0, 0.1, 0.12, 'green'),
    ellipse(-0.3, 0.55, 0.12, 0.5, 'green', -0.45),
    ellipse(0.3, 0.6, 0.12, 0.45, 'green', 0.45),
    poly(
      'body',
      (bend - 0.42, -0.95),
      (bend - 0.2, -0.6),
      (bend, -1.0),
      (bend + 0.2, -0.6),
      (bend + 0.42, -0.95),
      (bend + 0.42, -0.3),
      (bend + 0.2, 0.0),
      (bend - 0.2, 0.0),
      (bend - 0.42, -0.3),
    ),
    ellipse(bend, -0.35, 0.18, 0.35, 'shade'),
  ]


def _cactus(rng):
  left, right = rng.uniform(-0.15, 0.15, 2)
  return [
    ellipse(0.0, -0.05, 0.25, 0.9),
    strand([(-0.1, 0.3), (-0.6, 0.25), (-0.62, -0.2 + left)], 0.26, 0.24),
    disc(-0.62, -0.22 + left, 0.13, count=10),
    strand([(0.1, 0.05), (0.58, 0.0), (0.6, -0.45 + right)], 0.26, 0.22),
    disc(0.6, -0.45 + right, 0.12, count=10),
    *[bar(x, -0.65, x, 0.6, 0.04, 0.04, 'ink') for x in (-0.09, 0.09)],
    poly('brick', (-0.42, 0.6), (0.42, 0.6), (0.32, 1.0), (-0.32, 1.0)),
  ]


def _apple(rng):
  tilt = rng.uniform(-0.2, 0.2)
  return [
    ellipse(-0.28, 0.12, 0.45, 0.62),
    ellipse(0.28, 0.12, 0.45, 0.62),
    bar(0.0, -0.4, tilt, -0.9, 0.1, 0.1, 'wood'),
    ellipse(0.3 + tilt, -0.72, 0.28, 0.12, 'green', -0.4),
    ellipse(-0.4, -0.1, 0.1, 0.2, 'tint', 0.3),
  ]


def _banana(rng):
  bend = rng.uniform(0.65, 0.85)
  angles = np.linspace(0.35, np.pi - 0.35, 9)
  path = np.stack(
    [0.95 * np.cos(angles), bend * np.sin(angles) * 1.3 - 0.75], -1
  )
  widths = 0.16 + 0.3 * np.sin(np.linspace(0, np.pi, 9))
  left = path + (0, -0.5) * widths[:, None]
  right = path + (0, 0.5) * widths[:, None]
  tip = path[0]
  return [
    Part(np.concatenate([left, right[::-1]]), 'body'),
    bar(tip[0], tip[1], tip[0] + 0.08, tip[1] - 0.25, 0.14, 0.1, 'ink'),
    disc(path[-1][0], path[-1][1], 0.08, 'ink', 8),
  ]


def _cherry(rng):
  split = rng.uniform(0.35, 0.48)
  return [
    strand(
      [(0.1, -0.9), (-split * 0.6, -0.3), (-split, 0.2)], 0.08, 0.08, 'green'
    ),
    strand(
      [(0.1, -0.9), (split * 0.8, -0.3), (split, 0.3)], 0.08, 0.08, 'green'
    ),
    ellipse(0.35, -0.8, 0.32, 0.15, 'green', 0.2),
    disc(-split, 0.45, 0.38),
    disc(split, 0.55, 0.38),
    disc(-split - 0.12, 0.32, 0.09, 'tint', 8),
    disc(split - 0.12, 0.42, 0.09, 'tint', 8),
  ]


def _grapes(rng):
  shift = rng.uniform(-0.04, 0.04, 10)
  rows = [(-0.45, -0.3), (-0.15, -0.3), (0.15, -0.3), (0.45, -0.3)]
  rows += [
    (-0.3, 0.0),
    (0.0, 0.0),
    (0.3, 0.0),
    (-0.15, 0.3),
    (0.15, 0.3),
    (0, 0.6),
  ]
  return [
    bar(0.0, -0.4, 0.08, -0.95, 0.1, 0.1, 'wood'),
    ellipse(0.35, -0.7, 0.35, 0.2, 'green', -0.3),
    *[
      disc(x + s, y + 0.05, 0.22, 'shade' if k % 2 else 'body', 10)
      for k, ((x, y), s) in enumerate(zip(rows, shift))
    ],
  ]


def _carrot(rng):
  spread = rng.uniform(0.2, 0.4)
  return [
    bar(0.0, -0.3, -spread, -0.95, 0.12, 0.16, 'green'),
    bar(0.0, -0.3, 0.0, -1.0, 0.12, 0.16, 'green'),
    bar(0.0, -0.3, spread, -0.95, 0.12, 0.16, 'green'),
    poly(
      'body', (-0.34, -0.3), (0.0, -0.42), (0.34, -0.3), (0.05, 1.0), (-0.05, 1)
    ),
    bar(-0.28, -0.05, 0.0, -0.05, 0.06, role='shade'),
    bar(0.02, 0.25, 0.2, 0.25, 0.06, role='shade'),
  ]


def _mushroom(rng):
  cap = rng.uniform(0.55, 0.7)
  angles = np.linspace(np.pi, 2 * np.pi, 12)
  dome = np.stack([0.85 * np.cos(angles), cap * 1.3 * np.sin(angles)], -1)
  return [
    poly('cream', (-0.22, 0.0), (0.22, 0.0), (0.32, 0.85), (-0.32, 0.85)),
    poly('body', *[tuple(p) for p in dome + (0, 0.1)]),
    bar(-0.85, 0.1, 0.85, 0.1, 0.1, 0.1, 'shade'),
  ]


def _pumpkin(rng):
  wide = rng.uniform(0.85, 1.0)
  return [
    bar(0.0, -0.4, 0.12, -0.85, 0.16, 0.14, 'green'),
    ellipse(-0.5 * wide, 0.15, 0.42, 0.58, 'shade'),
    ellipse(0.5 * wide, 0.15, 0.42, 0.58, 'shade'),
    ellipse(-0.26 * wide, 0.15, 0.38, 0.62),
    ellipse(0.26 * wide, 0.15, 0.38, 0.62),
    ellipse(0.0, 0.15, 0.26, 0.64, 'tint'),
  ]


def _icecream(rng):
  lean = rng.uniform(-0.12, 0.12)
  return [
    poly('waffle', (-0.38, 0.0), (0.38, 0.0), (0.0, 1.0)),
    disc(-0.2, -0.15, 0.34),
    disc(0.2, -0.15, 0.34),
    disc(lean, -0.52, 0.36),
    disc(lean + 0.05, -0.9, 0.11, 'red', 10),
  ]


def _cake(rng):
  high = rng.uniform(-0.15, 0.05)
  return [
    box(-0.75, high, 0.75, 0.75),
    box(-0.75, 0.32, 0.75, 0.44, 'white'),
    *[
      disc(x, high + 0.02, 0.16, 'white', 10) for x in (-0.6, -0.3, 0, 0.3, 0.6)
    ],
    *[
      bar(x, high - 0.1, x, high - 0.5, 0.08, role='sky')
      for x in (-0.4, 0, 0.4)
    ],
    *[disc(x, high - 0.58, 0.08, 'yellow', 8) for x in (-0.4, 0, 0.4)],
    bar(-0.95, 0.8, 0.95, 0.8, 0.12, 0.12, 'metal'),
  ]


def _hammer(rng):
  grip = rng.uniform(0.85, 1.0)
  return [
    bar(0.0, -0.5, 0.0, grip, 0.16, 0.2),
    poly(
      'metal',
      (-0.55, -0.8),
      (0.5, -0.8),
      (0.5, -0.38),
      (-0.1, -0.4),
      (-0.7, -0.35),
    ),
  ]


def _wrench(rng):
  angle = rng.uniform(-0.4, 0.0)
  return [
    bar(0.0, -0.4, 0.0, 0.7, 0.24),
    arc(0.0, -0.62, 0.28, 0.24, angle - 0.9, angle + 3.7),
    disc(0.0, 0.7, 0.26),
    disc(0.0, 0.7, 0.11, 'black', 10),
  ]


def _axe(rng):
  edge = rng.uniform(0.7, 0.9)
  return [
    bar(0.0, -0.9, 0.0, 1.0, 0.14, 0.18, 'wood'),
    poly(
      'body',
      (-0.15, -0.75),
      (0.1, -0.75),
      (edge, -0.95),
      (edge, -0.05),
      (0.1, -0.35),
      (-0.15, -0.35),
    ),
    bar(edge, -0.95, edge, -0.05, 0.1, 0.1, 'white'),
  ]


def _saw(rng):
  tip = rng.uniform(-0.15, 0.05)
  teeth = [
    (x, 0.3 + 0.14 * (k % 2)) for k, x in enumerate(np.linspace(-0.2, 1, 14))
  ]
  return [
    poly(
      'metal', (-0.3, -0.25), (1.0, tip), (1.0, 0.25), *teeth[::-1], (-0.3, 0.3)
    ),
    arc(-0.6, 0.05, 0.28, 0.2, 0.0, 2 * np.pi, count=16),
  ]


def _scissors(rng):
  spread = rng.uniform(0.18, 0.42)
  return [
    bar(0.0, 0.1, spread, -1.0, 0.2, 0.04, 'metal'),
    bar(0.0, 0.1, -spread, -1.0, 0.2, 0.04, 'metal'),
    bar(0.0, 0.0, spread + 0.05, 0.5, 0.12),
    bar(0.0, 0.0, -spread - 0.05, 0.5, 0.12),
    arc(spread + 0.12, 0.68, 0.22, 0.14, 0, 2 * np.pi, count=16),
    arc(-spread - 0.12, 0.68, 0.22, 0.14, 0, 2 * np.pi, count=16),
    disc(0.0, 0.02, 0.07, 'black', 8),
  ]


SHAPES = {
  f.__name__[1:]: f
  for f in (
    _oak,
    _pine,
    _palm,
    _daisy,
    _tulip,
    _cactus,
    _apple,
    _banana,
    _cherry,
    _grapes,
    _carrot,
    _mushroom,
    _pumpkin,
    _icecream,
    _cake,
    _hammer,
    _wrench,
    _axe,
    _saw,
    _scissors,
  )
}
