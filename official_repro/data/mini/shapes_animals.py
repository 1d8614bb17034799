"""The animals: each function takes a Generator and returns its parts.

Every function draws from the generator only for pose (legs, tails, wings), so
that two pictures of one category differ in more than place and size.
"""

import numpy as np

from official_repro.data.mini.geometry import (
  arc,
  bar,
  disc,
  ellipse,
  eye,
  poly,
  strand,
)


def _legs(rng, xs, top, bottom, width, role='body'):
  """Four legs in a walking pose; the far pair is darker."""
  steps = rng.uniform(-0.14, 0.14, len(xs))
  parts = []
  for i, (x, step) in enumerate(zip(xs, steps)):
    side = 'shade' if i % 2 else role
    parts.append(bar(x, top, x + step, bottom, width, width * 0.7, side))
  return parts[1::2] + parts[::2]


def _dog(rng):
  wag = rng.uniform(-0.7, -0.2)
  return [
    *_legs(rng, (-0.5, -0.38, 0.3, 0.42), 0.2, 0.9, 0.2),
    strand([(-0.6, 0.0), (-0.8, -0.2), (-0.9, wag)], 0.14, 0.06),
    ellipse(-0.08, 0.12, 0.66, 0.3),
    poly('body', (0.2, -0.05), (0.4, -0.55), (0.75, -0.4), (0.55, 0.25)),
    ellipse(0.58, -0.45, 0.3, 0.26),
    ellipse(0.86, -0.36, 0.2, 0.13),
    disc(1.02, -0.4, 0.07, 'black', 8),
    ellipse(0.42, -0.36, 0.12, 0.3, 'shade', 0.15),
    *eye(0.68, -0.54),
  ]


def _cat(rng):
  curl = rng.uniform(-0.2, 0.2)
  tail = [(-0.45, 0.8), (-0.9, 0.6), (-0.85, 0.1), (-0.6 + curl, -0.1)]
  return [
    strand(tail, 0.16, 0.1),
    ellipse(-0.1, 0.45, 0.46, 0.52),
    bar(0.02, 0.2, 0.08, 0.95, 0.2, 0.18),
    bar(0.22, 0.2, 0.3, 0.95, 0.2, 0.18, 'shade'),
    poly('body', (-0.2, -0.3), (-0.28, -0.95), (0.1, -0.65)),
    poly('body', (0.5, -0.3), (0.58, -0.95), (0.2, -0.65)),
    ellipse(0.15, -0.35, 0.45, 0.38),
    *eye(-0.02, -0.42, 0.07),
    *eye(0.32, -0.42, 0.07),
    poly('pink', (0.08, -0.25), (0.22, -0.25), (0.15, -0.15)),
  ]


def _rabbit(rng):
  tilt = rng.uniform(-0.15, 0.25)
  return [
    disc(-0.62, 0.45, 0.18, 'white', 10),
    ellipse(-0.1, 0.45, 0.55, 0.44),
    ellipse(0.3, -0.62, 0.11, 0.42, 'shade', tilt - 0.35),
    ellipse(0.48, -0.62, 0.12, 0.42, 'body', tilt),
    ellipse(0.48, -0.6, 0.05, 0.3, 'pink', tilt),
    ellipse(0.45, -0.08, 0.32, 0.28),
    ellipse(-0.25, 0.85, 0.3, 0.11),
    ellipse(0.3, 0.85, 0.2, 0.1),
    *eye(0.55, -0.14),
  ]


def _horse(rng):
  nod = rng.uniform(-0.1, 0.12)
  tail = [(-0.62, -0.1), (-0.85, 0.1), (-0.88, 0.5)]
  return [
    strand(tail, 0.1, 0.2, 'ink'),
    *_legs(rng, (-0.5, -0.38, 0.25, 0.37), 0.1, 0.98, 0.15),
    ellipse(-0.08, 0.05, 0.62, 0.26),
    poly('body', (0.15, 0.0), (0.45, -0.8), (0.7, -0.7), (0.52, 0.15)),
    poly(
      'body',
      (0.42, -0.85),
      (0.62, -0.88),
      (0.98, -0.48 + nod),
      (0.85, -0.36 + nod),
      (0.55, -0.58),
    ),
    poly('ink', (0.08, -0.1), (0.4, -0.9), (0.5, -0.85), (0.25, -0.1)),
    poly('body', (0.48, -0.8), (0.52, -1.0), (0.6, -0.82)),
    disc(0.65, -0.68, 0.05, 'black', 8),
  ]


def _cow(rng):
  return [
    *_legs(rng, (-0.62, -0.48, 0.2, 0.34), 0.2, 0.85, 0.17),
    strand([(-0.78, -0.2), (-0.92, 0.1), (-0.88, 0.45)], 0.06, 0.1, 'shade'),
    ellipse(-0.3, 0.42, 0.16, 0.14, 'pink'),
    poly('body', (-0.8, -0.3), (0.5, -0.35), (0.5, 0.35), (-0.78, 0.4)),
    strand([(0.5, -0.5), (0.42, -0.75), (0.55, -0.88)], 0.1, 0.03, 'white'),
    strand([(0.82, -0.5), (0.92, -0.75), (0.8, -0.88)], 0.1, 0.03, 'white'),
    ellipse(0.36, -0.42, 0.14, 0.08, 'shade', 0.3),
    poly('body', (0.42, -0.58), (0.88, -0.58), (0.82, 0.0), (0.5, 0.0)),
    ellipse(0.66, 0.02, 0.2, 0.13, 'pink'),
    *eye(0.55, -0.35, 0.05),
    *eye(0.76, -0.35, 0.05),
  ]


def _giraffe(rng):
  lean = rng.uniform(-0.08, 0.12)
  head = 0.5 + lean
  return [
    *_legs(rng, (-0.5, -0.4, 0.08, 0.18), 0.3, 1.0, 0.12),
    ellipse(-0.15, 0.3, 0.48, 0.22),
    poly(
      'body', (-0.05, 0.2), (head - 0.1, -0.85), (head + 0.1, -0.8), (0.3, 0.4)
    ),
    bar(head, -0.85, head - 0.03, -1.05, 0.05, 0.07, 'ink'),
    poly(
      'body',
      (head - 0.14, -0.92),
      (head + 0.1, -0.95),
      (head + 0.42, -0.72),
      (head + 0.34, -0.62),
      (head, -0.68),
    ),
    disc(head + 0.08, -0.83, 0.045, 'black', 8),
  ]


def _elephant(rng):
  lift = rng.uniform(0.0, 0.5)
  trunk = [(0.7, -0.2), (0.98, 0.1), (0.92, 0.5), (1.05, 0.75 - lift)]
  return [
    *_legs(rng, (-0.55, -0.4, 0.15, 0.32), 0.2, 0.85, 0.28),
    strand([(-0.78, 0.0), (-0.9, 0.35)], 0.08, 0.04),
    ellipse(-0.15, 0.0, 0.68, 0.52),
    strand(trunk, 0.3, 0.12),
    disc(0.58, -0.22, 0.4),
    ellipse(0.36, -0.18, 0.26, 0.4, 'shade', 0.1),
    strand([(0.75, 0.15), (0.88, 0.3), (1.02, 0.25)], 0.09, 0.03, 'white'),
    *eye(0.72, -0.32, 0.05),
  ]


def _finch(rng):
  flap = rng.uniform(-0.3, 0.25)
  return [
    poly('shade', (-0.4, 0.05), (-1.0, 0.35), (-0.92, 0.55), (-0.3, 0.35)),
    bar(0.0, 0.4, 0.05, 0.9, 0.07, 0.05, 'orange'),
    bar(0.2, 0.4, 0.25, 0.9, 0.07, 0.05, 'orange'),
    ellipse(0.0, 0.1, 0.55, 0.42, 'body', -0.25),
    disc(0.45, -0.35, 0.32),
    poly('orange', (0.7, -0.45), (1.05, -0.3), (0.7, -0.2)),
    ellipse(-0.12, 0.08, 0.4, 0.2, 'shade', 0.3 + flap),
    *eye(0.54, -0.42),
  ]


def _duck(rng):
  dip = rng.uniform(-0.1, 0.1)
  return [
    poly('body', (-0.95, -0.05), (-0.3, 0.0), (-0.4, 0.5)),
    ellipse(-0.1, 0.35, 0.72, 0.4),
    bar(0.4, 0.3, 0.5, -0.4 + dip, 0.28, 0.24),
    disc(0.52, -0.48 + dip, 0.28),
    ellipse(0.88, -0.4 + dip, 0.24, 0.09, 'orange'),
    ellipse(-0.15, 0.28, 0.42, 0.2, 'shade', 0.2),
    *eye(0.6, -0.56 + dip),
  ]


def _penguin(rng):
  flap = rng.uniform(0.0, 0.6)
  return [
    ellipse(-0.25, 0.92, 0.22, 0.1, 'orange'),
    ellipse(0.25, 0.92, 0.22, 0.1, 'orange'),
    bar(-0.4, -0.2, -0.5 - flap * 0.5, 0.45, 0.24, 0.08),
    bar(0.4, -0.2, 0.5 + flap * 0.5, 0.45, 0.24, 0.08),
    ellipse(0.0, 0.2, 0.5, 0.72),
    ellipse(0.0, 0.32, 0.34, 0.56, 'white'),
    disc(0.0, -0.62, 0.34),
    *eye(-0.13, -0.68, 0.055),
    *eye(0.13, -0.68, 0.055),
    poly('orange', (-0.12, -0.56), (0.12, -0.56), (0.0, -0.36)),
  ]


def _owl(rng):
  ear = rng.uniform(0.9, 1.1)
  return [
    poly('body', (-0.5, -0.5), (-0.5, -ear), (-0.1, -0.72)),
    poly('body', (0.5, -0.5), (0.5, -ear), (0.1, -0.72)),
    ellipse(0.0, 0.1, 0.58, 0.82),
    ellipse(-0.5, 0.25, 0.18, 0.55, 'shade', 0.15),
    ellipse(0.5, 0.25, 0.18, 0.55, 'shade', -0.15),
    disc(-0.24, -0.38, 0.25, 'white'),
    disc(0.24, -0.38, 0.25, 'white'),
    disc(-0.22, -0.38, 0.13, 'black', 10),
    disc(0.22, -0.38, 0.13, 'black', 10),
    poly('orange', (-0.1, -0.28), (0.1, -0.28), (0.0, -0.02)),
    bar(-0.2, 0.85, -0.2, 1.0, 0.16, 0.2, 'orange'),
    bar(0.2, 0.85, 0.2, 1.0, 0.16, 0.2, 'orange'),
  ]


def _fish(rng):
  tail = rng.uniform(0.3, 0.5)
  return [
    poly('shade', (-0.45, 0.0), (-1.0, -tail), (-0.85, 0.0), (-1.0, tail)),
    poly('shade', (-0.2, -0.3), (0.1, -0.72), (0.3, -0.3)),
    ellipse(0.15, 0.0, 0.72, 0.42),
    poly('shade', (0.0, 0.1), (-0.3, 0.4), (0.15, 0.3)),
    *eye(0.58, -0.1, 0.08),
    arc(0.85, 0.1, 0.14, 0.05, 2.2, 3.6, 'ink', 6),
  ]


def _whale(rng):
  spout = rng.uniform(0.1, 0.3)
  return [
    strand([(0.3, -0.3), (0.3, -0.7), (0.3 - spout, -0.95)], 0.1, 0.06, 'sky'),
    strand([(0.3, -0.3), (0.3, -0.7), (0.3 + spout, -0.95)], 0.1, 0.06, 'sky'),
    strand([(-0.3, 0.2), (-0.75, 0.05), (-0.85, -0.35)], 0.5, 0.12),
    poly('body', (-0.85, -0.2), (-1.05, -0.6), (-0.8, -0.5), (-0.6, -0.65)),
    ellipse(0.2, 0.2, 0.75, 0.5),
    ellipse(0.35, 0.48, 0.55, 0.2, 'white'),
    poly('shade', (0.1, 0.4), (-0.15, 0.85), (0.35, 0.5)),
    disc(0.62, 0.08, 0.06, 'black', 8),
  ]


def _crab(rng):
  lift = rng.uniform(-0.15, 0.2)
  parts = []
  for side in (-1, 1):
    for k, y in enumerate((0.15, 0.35, 0.5)):
      foot = (side * (0.95 - 0.1 * k), 0.55 + 0.17 * k)
      knee = (side * 0.75, y - 0.02)
      path = [(side * 0.4, y), knee, foot]
      parts.append(strand(path, 0.1, 0.06, 'shade'))
    claw_y = -0.45 - side * lift
    parts.append(bar(side * 0.5, 0.1, side * 0.75, claw_y, 0.14))
    parts.append(arc(side * 0.7, claw_y - 0.15, 0.2, 0.2, 0.0, 4.9))
    parts.append(bar(side * 0.18, 0.0, side * 0.2, -0.35, 0.06))
  parts.append(ellipse(0.0, 0.25, 0.62, 0.38))
  return parts + eye(-0.2, -0.38) + eye(0.2, -0.38)


def _octopus(rng):
  sway = rng.uniform(-0.2, 0.2, 5)
  parts = []
  for k, x in enumerate((-0.4, 0.4, -0.2, 0.2, 0.0)):
    path = [(x, 0.0), (x * 1.9, 0.5), (x * 1.8 + sway[k], 0.95)]
    parts.append(strand(path, 0.26, 0.1, 'body' if k > 1 else 'shade'))
  parts.append(ellipse(0.0, -0.35, 0.5, 0.6))
  return parts + eye(-0.2, -0.2, 0.08) + eye(0.2, -0.2, 0.08)


def _butterfly(rng):
  fold = rng.uniform(0.65, 1.0)
  parts = []
  for side in (-fold, fold):
    parts.append(ellipse(side * 0.5, -0.35, 0.48 * fold, 0.4))
    parts.append(ellipse(side * 0.42, 0.4, 0.36 * fold, 0.38, 'shade'))
    parts.append(disc(side * 0.55, -0.35, 0.15, 'white', 10))
    parts.append(bar(0.0, -0.5, side * 0.25, -0.95, 0.05, role='ink'))
  return parts + [ellipse(0.0, 0.0, 0.09, 0.6, 'black')]


def _bee(rng):
  flap = rng.uniform(-0.25, 0.25)
  return [
    ellipse(-0.2, -0.5, 0.22, 0.42, 'sky', -0.4 + flap),
    ellipse(0.2, -0.5, 0.22, 0.42, 'sky', 0.3 + flap),
    poly('black', (-0.7, 0.05), (-1.0, 0.2), (-0.7, 0.3)),
    ellipse(-0.1, 0.18, 0.7, 0.4),
    disc(0.62, 0.1, 0.3, 'black'),
    strand([(0.7, -0.1), (0.8, -0.4), (0.95, -0.5)], 0.05, 0.05, 'black'),
    *eye(0.72, 0.05),
  ]


def _beetle(rng):
  steps = rng.uniform(-0.12, 0.12, 6)
  parts = []
  for k in range(6):
    side, y = (-1, 1)[k % 2], (-0.25, 0.15, 0.5)[k // 2]
    foot = (side * 0.9, y + (k // 2 - 0.8) * 0.25 + steps[k])
    parts.append(bar(side * 0.3, y, *foot, 0.09, 0.05, 'black'))
  return parts + [
    disc(0.0, -0.62, 0.28, 'black'),
    ellipse(0.0, 0.15, 0.58, 0.7),
    bar(0.0, -0.5, 0.0, 0.85, 0.06, 0.06, 'black'),
    disc(-0.12, -0.76, 0.07, 'white', 8),
    disc(0.12, -0.76, 0.07, 'white', 8),
  ]


def _spider(rng):
  steps = rng.uniform(-0.1, 0.1, 8)
  parts = []
  for k in range(8):
    side, row = (-1, 1)[k % 2], k // 2
    knee = (side * 0.6, -0.6 + 0.25 * row)
    foot = (side * (0.95 - 0.07 * row), -0.35 + 0.4 * row + steps[k])
    parts.append(strand([(0.0, 0.0), knee, foot], 0.09, 0.05))
  return parts + [
    disc(0.0, 0.28, 0.36),
    disc(0.0, -0.2, 0.22, 'shade'),
    *eye(-0.09, -0.28, 0.04),
    *eye(0.09, -0.28, 0.04),
  ]


def _snake(rng):
  phase = rng.uniform(0, 0.8)
  x = np.linspace(-0.95, 0.65, 14)
  y = 0.3 * np.sin(5.5 * x + phase) + 0.2
  head = (float(x[-1]) + 0.1, float(y[-1]) - 0.02)
  tongue = bar(
    head[0] + 0.1, head[1], head[0] + 0.38, head[1], 0.04, role='red'
  )
  return [
    strand(np.stack([x, y], -1), 0.08, 0.26),
    tongue,
    ellipse(head[0], head[1], 0.22, 0.17),
    *eye(head[0] + 0.04, head[1] - 0.07, 0.045),
  ]


def _turtle(rng):
  stretch = rng.uniform(0.0, 0.12)
  return [
    ellipse(0.75 + stretch, 0.15, 0.22, 0.17, 'lime'),
    bar(0.4, 0.3, 0.75 + stretch, 0.18, 0.16, 0.16, 'lime'),
    ellipse(-0.45, 0.55, 0.18, 0.22, 'lime'),
    ellipse(0.35, 0.55, 0.18, 0.22, 'lime'),
    poly('lime', (-0.6, 0.3), (-0.95, 0.5), (-0.55, 0.5)),
    poly(
      'body',
      (-0.75, 0.42),
      (-0.65, 0.0),
      (-0.35, -0.32),
      (0.0, -0.4),
      (0.3, -0.28),
      (0.55, 0.05),
      (0.62, 0.42),
    ),
    bar(-0.78, 0.42, 0.65, 0.42, 0.1, 0.1, 'shade'),
    disc(0.82 + stretch, 0.1, 0.045, 'black', 8),
  ]


SHAPES = {
  f.__name__[1:]: f
  for f in (
    _dog,
    _cat,
    _rabbit,
    _horse,
    _cow,
    _giraffe,
    _elephant,
    _finch,
    _duck,
    _penguin,
    _owl,
    _fish,
    _whale,
    _crab,
    _octopus,
    _butterfly,
    _bee,
    _beetle,
    _spider,
    _snake,
    _turtle,
  )
}
