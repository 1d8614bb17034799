"""The vehicles and buildings; see shapes_animals.py for the conventions."""

import numpy as np

from official_repro.data.mini.geometry import (
  bar,
  box,
  disc,
  ellipse,
  poly,
  strand,
  wheel,
)


def _car(rng):
  roof = rng.uniform(-0.08, 0.08)
  return [
    poly('body', (-0.6, -0.1), (-0.4, -0.5 + roof), (0.3, -0.5), (0.6, -0.1)),
    poly('glass', (-0.48, -0.1), (-0.34, -0.4), (-0.08, -0.4), (-0.08, -0.1)),
    poly('glass', (0.02, -0.1), (0.02, -0.4), (0.25, -0.4), (0.48, -0.1)),
    poly('body', (-1, 0.4), (-0.95, -0.1), (0.7, -0.1), (1, 0.05), (1, 0.4)),
    box(0.88, 0.08, 1.0, 0.2, 'yellow'),
    *wheel(-0.55, 0.42, 0.24),
    *wheel(0.55, 0.42, 0.24),
  ]


def _truck(rng):
  load = rng.uniform(-0.8, -0.6)
  return [
    box(-1.0, load, 0.28, 0.42),
    bar(-1.0, 0.45, 1.0, 0.45, 0.12, 0.12, 'black'),
    poly(
      'shade', (0.36, -0.35), (0.75, -0.35), (1, 0.05), (1, 0.42), (0.36, 0.42)
    ),
    poly('glass', (0.5, -0.25), (0.72, -0.25), (0.9, 0.05), (0.5, 0.05)),
    *wheel(-0.68, 0.52, 0.22),
    *wheel(-0.2, 0.52, 0.22),
    *wheel(0.68, 0.52, 0.22),
  ]


def _bus(rng):
  top = rng.uniform(-0.65, -0.5)
  return [
    poly(
      'body', (-1, 0.45), (-1, top), (0.92, top), (1, top + 0.15), (1, 0.45)
    ),
    *[
      box(x, top + 0.15, x + 0.26, top + 0.48, 'glass')
      for x in (-0.9, -0.56, -0.22, 0.12)
    ],
    box(0.5, top + 0.15, 0.72, 0.4, 'white'),
    box(0.8, top + 0.15, 0.97, top + 0.5, 'glass'),
    bar(-1.0, 0.18, 0.45, 0.18, 0.08, 0.08, 'shade'),
    *wheel(-0.6, 0.46, 0.2),
    *wheel(0.62, 0.46, 0.2),
  ]


def _bicycle(rng):
  turn = rng.uniform(-0.08, 0.08)
  parts = []
  for x in (-0.58, 0.58):
    parts += [
      bar(
        x + 0.4 * np.cos(a),
        0.35 + 0.4 * np.sin(a),
        x + 0.4 * np.cos(a + 0.7),
        0.35 + 0.4 * np.sin(a + 0.7),
        0.1,
        role='tyre',
      )
      for a in np.arange(9) * (2 * np.pi / 9)
    ]
  frame = [(-0.58, 0.35), (-0.2, -0.25), (0.4, -0.25), (-0.05, 0.35)]
  for a, b in zip(frame, frame[1:] + frame[:1]):
    parts.append(bar(*a, *b, 0.11))
  return parts + [
    bar(-0.05, 0.35, -0.28, -0.45, 0.1),
    bar(-0.45, -0.48, -0.1, -0.48, 0.13, 0.1, 'black'),
    bar(0.58, 0.35, 0.36, -0.5, 0.11),
    bar(0.2, -0.55 + turn, 0.52, -0.55, 0.11, 0.09, 'black'),
    disc(-0.05, 0.35, 0.1, 'metal', 8),
  ]


def _locomotive(rng):
  puff = rng.uniform(0.1, 0.18, 2)
  return [
    disc(0.4 - puff[0], -0.85, puff[0] + 0.04, 'white', 10),
    disc(0.65, -0.78, puff[1], 'white', 10),
    poly('black', (0.52, -0.2), (0.45, -0.62), (0.8, -0.62), (0.72, -0.2)),
    box(-0.5, -0.25, 0.85, 0.3),
    box(-0.95, -0.65, -0.35, 0.35),
    box(-0.8, -0.5, -0.5, -0.15, 'glass'),
    bar(-1.05, -0.68, -0.25, -0.68, 0.12, 0.12, 'shade'),
    poly('metal', (0.85, 0.25), (1.08, 0.65), (0.75, 0.65)),
    bar(-0.95, 0.35, 0.85, 0.35, 0.14, 0.14, 'black'),
    *wheel(-0.65, 0.45, 0.28),
    *wheel(0.0, 0.52, 0.2),
    *wheel(0.5, 0.52, 0.2),
  ]


def _airplane(rng):
  bank = rng.uniform(-0.12, 0.12)
  return [
    poly('shade', (0.1, -0.05), (-0.3, -0.6), (-0.08, -0.6), (0.4, -0.05)),
    poly('body', (-0.95, -0.1), (-1.05, -0.6), (-0.8, -0.6), (-0.5, -0.1)),
    ellipse(0.0, 0.0, 1.0, 0.2),
    *[disc(x, -0.05, 0.05, 'ink', 6) for x in (-0.4, -0.2, 0.0, 0.2, 0.4)],
    poly('glass', (0.66, -0.13), (0.9, -0.06), (0.66, -0.02)),
    poly(
      'body', (0.25, 0.08), (-0.5, 0.7 + bank), (-0.2, 0.7 + bank), (0.45, 0.08)
    ),
    poly('shade', (-0.7, 0.0), (-1.0, 0.25), (-0.82, 0.25), (-0.5, 0.03)),
  ]


def _helicopter(rng):
  sweep = rng.uniform(0.6, 1.0)
  return [
    bar(-0.2, 0.0, -1.0, -0.15, 0.24, 0.1),
    bar(-0.95, -0.5, -0.95, 0.2, 0.1, 0.1, 'shade'),
    bar(0.2, -0.3, 0.2, -0.65, 0.1, 0.1, 'black'),
    bar(0.2 - sweep, -0.66, 0.2 + sweep, -0.66, 0.09, 0.09, 'black'),
    ellipse(0.22, 0.05, 0.58, 0.42),
    poly('glass', (0.35, -0.25), (0.6, -0.2), (0.76, 0.08), (0.35, 0.08)),
    bar(0.0, 0.4, -0.05, 0.7, 0.07, 0.07, 'black'),
    bar(0.45, 0.4, 0.5, 0.7, 0.07, 0.07, 'black'),
    bar(-0.35, 0.7, 0.85, 0.7, 0.09, 0.09, 'black'),
  ]


def _balloon(rng):
  sway = rng.uniform(-0.1, 0.1)
  return [
    bar(-0.35, 0.2, -0.15 + sway, 0.72, 0.05, role='ink'),
    bar(0.35, 0.2, 0.15 + sway, 0.72, 0.05, role='ink'),
    poly('body', (-0.62, -0.05), (0.62, -0.05), (0.22, 0.5), (-0.22, 0.5)),
    disc(0.0, -0.3, 0.68, count=20),
    ellipse(0.0, -0.3, 0.26, 0.68, 'tint'),
    poly('tint', (-0.24, -0.05), (0.24, -0.05), (0.1, 0.5), (-0.1, 0.5)),
    box(sway - 0.2, 0.7, sway + 0.2, 1.0, 'wood'),
  ]


def _rocket(rng):
  flame = rng.uniform(0.75, 1.05)
  return [
    poly(
      'orange', (-0.2, 0.5), (0.2, 0.5), (0.08, 0.8), (0.0, flame), (-0.1, 0.8)
    ),
    poly('shade', (-0.25, 0.05), (-0.6, 0.65), (-0.2, 0.55)),
    poly('shade', (0.25, 0.05), (0.6, 0.65), (0.2, 0.55)),
    poly(
      'body',
      (0.0, -1.0),
      (0.25, -0.6),
      (0.3, 0.0),
      (0.22, 0.55),
      (-0.22, 0.55),
      (-0.3, 0.0),
      (-0.25, -0.6),
    ),
    poly('shade', (0.0, -1.0), (0.22, -0.62), (-0.22, -0.62)),
    disc(0.0, -0.25, 0.17, 'white', 12),
    disc(0.0, -0.25, 0.12, 'glass', 12),
  ]


def _sailboat(rng):
  wind = rng.uniform(-0.15, 0.15)
  return [
    bar(0.0, -1.0, 0.0, 0.5, 0.08, 0.08, 'wood'),
    poly('body', (0.08, -0.95), (0.75 + wind, 0.35), (0.08, 0.35)),
    poly('tint', (-0.08, -0.8), (-0.6 + wind, 0.35), (-0.08, 0.35)),
    poly('wood', (-0.9, 0.48), (0.9, 0.48), (0.6, 0.9), (-0.6, 0.9)),
  ]


def _ship(rng):
  tall = rng.uniform(-0.85, -0.65)
  return [
    *[bar(x, 0.0, x, tall, 0.2, 0.2, 'red') for x in (-0.35, 0.05)],
    *[bar(x, tall + 0.12, x, tall, 0.2, 0.2, 'black') for x in (-0.35, 0.05)],
    box(-0.65, -0.3, 0.45, 0.15, 'white'),
    *[box(x, -0.18, x + 0.14, 0.0, 'glass') for x in (-0.5, -0.2, 0.1)],
    poly('body', (-1.0, 0.1), (1.05, 0.05), (0.75, 0.7), (-0.8, 0.7)),
    poly('shade', (-0.87, 0.48), (0.87, 0.48), (0.75, 0.7), (-0.8, 0.7)),
  ]


def _cottage(rng):
  eaves = rng.uniform(-0.2, -0.05)
  return [
    box(0.35, -0.85, 0.58, -0.3, 'brick'),
    box(-0.7, eaves, 0.7, 0.9),
    poly('roof', (-0.95, eaves), (0.0, -0.9), (0.95, eaves)),
    box(-0.15, 0.3, 0.2, 0.9, 'wood'),
    box(-0.58, 0.1, -0.28, 0.45, 'glass'),
    box(0.32, 0.1, 0.6, 0.45, 'glass'),
  ]


def _tent(rng):
  open_ = rng.uniform(0.12, 0.3)
  return [
    poly('shade', (0.1, -0.75), (1.0, 0.7), (0.4, 0.8)),
    poly('body', (-0.1, -0.8), (-0.95, 0.8), (0.6, 0.8)),
    poly('black', (-0.1, -0.4), (-0.15 - open_, 0.8), (open_, 0.8)),
    bar(-0.1, -0.75, -0.15, -0.95, 0.06, 0.06, 'wood'),
  ]


def _skyscraper(rng):
  top = rng.uniform(-0.95, -0.8)
  step = 0.31
  return [
    bar(0.0, top, 0.0, top - 0.2, 0.06, 0.04, 'metal'),
    box(-0.4, top, 0.4, 1.0),
    *[
      box(x, y, x + 0.18, y + 0.17, 'window')
      for y in np.arange(top + 0.12, 0.8, step)
      for x in (-0.34, -0.09, 0.16)
    ],
  ]


def _lighthouse(rng):
  beam = rng.uniform(0.12, 0.25)
  return [
    poly('beam', (0.1, -0.7), (1.0, -0.7 - beam), (1.0, -0.7 + beam)),
    poly('body', (-0.22, -0.5), (0.22, -0.5), (0.38, 0.9), (-0.38, 0.9)),
    poly('white', (-0.265, -0.15), (0.265, -0.15), (0.3, 0.2), (-0.3, 0.2)),
    poly('white', (-0.34, 0.55), (0.34, 0.55), (0.38, 0.9), (-0.38, 0.9)),
    box(-0.16, -0.82, 0.16, -0.55, 'yellow'),
    bar(-0.32, -0.52, 0.32, -0.52, 0.1, 0.1, 'black'),
    poly('shade', (-0.26, -0.8), (0.0, -1.05), (0.26, -0.8)),
  ]


def _castle(rng):
  flag = rng.uniform(0.15, 0.3)
  merlons = [box(x, -0.3, x + 0.14, -0.1) for x in (-0.42, -0.16, 0.1, 0.34)]
  towers = []
  for x in (-0.95, 0.55):
    towers.append(box(x, -0.6, x + 0.4, 0.9))
    towers += [
      box(x + d, -0.78, x + d + 0.11, -0.58) for d in (-0.03, 0.145, 0.32)
    ]
    towers.append(box(x + 0.14, -0.35, x + 0.26, -0.05, 'black'))
  return [
    box(-0.6, -0.12, 0.6, 0.9, 'shade'),
    *merlons,
    *towers,
    bar(0.75, -0.75, 0.75, -1.1, 0.05, role='ink'),
    poly('red', (0.75, -1.1), (0.75 + flag, -1.02), (0.75, -0.92)),
    ellipse(0.0, 0.5, 0.24, 0.32, 'black'),
    box(-0.24, 0.5, 0.24, 0.9, 'black'),
  ]


def _windmill(rng):
  turn = rng.uniform(0.0, np.pi / 2)
  parts = [
    poly('body', (-0.25, -0.4), (0.25, -0.4), (0.45, 1.0), (-0.45, 1.0)),
    poly('roof', (-0.32, -0.38), (0.0, -0.75), (0.32, -0.38)),
    box(-0.13, 0.6, 0.13, 1.0, 'wood'),
  ]
  for a in turn + np.arange(4) * (np.pi / 2):
    x, y = 0.85 * np.cos(a), -0.3 + 0.75 * np.sin(a)
    parts.append(bar(0.0, -0.3, x, y, 0.06, 0.32, 'white'))
    parts.append(bar(0.0, -0.3, x, y, 0.06, 0.06, 'wood'))
  return parts + [disc(0.0, -0.3, 0.09, 'black', 8)]


def _bridge(rng):
  rise = rng.uniform(-0.2, 0.0)
  hole = []
  for x in (-0.5, 0.5):
    hole += [strand([(x - 0.5, -0.4), (x, rise), (x + 0.5, -0.4)], 0.08, 0.08)]
  return [
    *hole,
    *[bar(x, -0.75, x, 0.7, 0.16) for x in (-0.98, 0.0, 0.98)],
    *[bar(x, -0.3, x, 0.1, 0.05) for x in (-0.7, -0.3, 0.3, 0.7)],
    bar(-1.1, 0.15, 1.1, 0.15, 0.2, 0.2, 'shade'),
  ]


SHAPES = {
  f.__name__[1:]: f
  for f in (
    _car,
    _truck,
    _bus,
    _bicycle,
    _locomotive,
    _airplane,
    _helicopter,
    _balloon,
    _rocket,
    _sailboat,
    _ship,
    _cottage,
    _tent,
    _skyscraper,
    _lighthouse,
    _castle,
    _windmill,
    _bridge,
  )
}
