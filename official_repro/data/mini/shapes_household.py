"""Household items and signs; see shapes_animals.py for the conventions."""

import numpy as np

from official_repro.data.mini.geometry import (
  Part,
  arc,
  bar,
  box,
  disc,
  ellipse,
  poly,
  regular,
  star,
)


def _chair(rng):
  back = rng.uniform(-0.12, 0.05)
  return [
    bar(-0.4, 0.1, -0.5, 0.95, 0.1, 0.1, 'shade'),
    bar(0.3, 0.1, 0.3, 0.95, 0.1, 0.1, 'shade'),
    poly(
      'body',
      (-0.5, 0.15),
      (-0.55 + back, -0.9),
      (-0.35 + back, -0.9),
      (-0.3, 0.15),
    ),
    poly('body', (-0.5, 0.05), (0.45, 0.05), (0.6, 0.3), (-0.5, 0.3)),
    bar(-0.45, 0.3, -0.45, 1.0, 0.13),
    bar(0.52, 0.3, 0.55, 1.0, 0.13),
  ]


def _table(rng):
  splay = rng.uniform(0.0, 0.15)
  return [
    bar(-0.5, -0.1, -0.5, 0.6, 0.1, 0.1, 'shade'),
    bar(0.5, -0.1, 0.5, 0.6, 0.1, 0.1, 'shade'),
    poly('body', (-0.7, -0.45), (0.7, -0.45), (1.0, -0.1), (-1.0, -0.1)),
    bar(-1.0, -0.06, 1.0, -0.06, 0.12, 0.12, 'shade'),
    bar(-0.85, 0.0, -0.85 - splay, 0.8, 0.14),
    bar(0.85, 0.0, 0.85 + splay, 0.8, 0.14),
  ]


def _lamp(rng):
  wide = rng.uniform(0.55, 0.75)
  return [
    bar(0.0, -0.2, 0.0, 0.85, 0.1, 0.1, 'metal'),
    ellipse(0.0, 0.88, 0.42, 0.12, 'metal'),
    ellipse(0.0, -0.1, 0.16, 0.16, 'yellow'),
    poly('body', (-0.32, -0.9), (0.32, -0.9), (wide, -0.1), (-wide, -0.1)),
  ]


def _mug(rng):
  steam = rng.uniform(-0.1, 0.1)
  return [
    arc(0.5, 0.2, 0.3, 0.14, -1.5, 1.5),
    poly('body', (-0.6, -0.35), (0.5, -0.35), (0.42, 0.8), (-0.52, 0.8)),
    ellipse(-0.05, -0.35, 0.55, 0.16, 'tint'),
    ellipse(-0.05, -0.33, 0.45, 0.11, 'brown'),
    bar(-0.2, -0.5, -0.2 + steam, -0.9, 0.08, 0.05, 'white'),
    bar(0.1, -0.5, 0.1 - steam, -0.9, 0.08, 0.05, 'white'),
  ]


def _bottle(rng):
  neck = rng.uniform(-0.7, -0.5)
  return [
    box(-0.13, -0.9, 0.13, -0.2),
    poly(
      'body',
      (-0.13, neck),
      (0.13, neck),
      (0.34, -0.15),
      (0.34, 0.95),
      (-0.34, 0.95),
      (-0.34, -0.15),
    ),
    box(-0.15, -1.0, 0.15, -0.85, 'cream'),
    box(-0.34, 0.15, 0.34, 0.6, 'white'),
    bar(-0.22, -0.1, -0.22, 0.85, 0.07, 0.07, 'tint'),
  ]


def _teapot(rng):
  pour = rng.uniform(-0.15, 0.1)
  return [
    arc(-0.6, 0.1, 0.3, 0.14, 1.4, 4.9),
    poly(
      'body', (0.4, 0.3), (0.75, -0.3 + pour), (1.0, -0.4 + pour), (0.6, 0.55)
    ),
    ellipse(0.0, 0.2, 0.62, 0.52),
    ellipse(0.0, -0.3, 0.34, 0.12, 'shade'),
    disc(0.0, -0.48, 0.11, 'ink', 10),
    ellipse(-0.2, 0.05, 0.12, 0.22, 'tint', 0.4),
  ]


def _umbrella(rng):
  curl = rng.uniform(2.6, 3.2)
  angles = np.linspace(np.pi, 2 * np.pi, 13)
  dome = np.stack([0.95 * np.cos(angles), 0.9 * np.sin(angles)], -1)
  scallops = [
    (0.63, -0.12),
    (0.32, 0.02),
    (0.0, -0.12),
    (-0.32, 0.02),
    (-0.63, -0.12),
  ]
  return [
    bar(0.0, -0.95, 0.0, 0.75, 0.08, 0.08, 'ink'),
    arc(-0.16, 0.75, 0.16, 0.09, 0.0, curl, 'ink', 8),
    Part(np.concatenate([dome, scallops]), 'body'),
    poly('shade', (0.0, -0.9), (0.32, 0.0), (0.0, -0.12), (-0.32, 0.0)),
  ]


def _clock(rng):
  hour, minute = rng.uniform(0, 2 * np.pi, 2)
  return [
    disc(0.0, 0.0, 0.9, count=22),
    disc(0.0, 0.0, 0.7, 'white', 20),
    *[
      disc(0.55 * np.cos(a), 0.55 * np.sin(a), 0.06, 'black', 6)
      for a in np.arange(8) * (np.pi / 4)
    ],
    bar(0, 0, 0.36 * np.cos(hour), 0.36 * np.sin(hour), 0.12, 0.08, 'black'),
    bar(
      0, 0, 0.55 * np.cos(minute), 0.55 * np.sin(minute), 0.09, 0.05, 'black'
    ),
  ]


def _key(rng):
  teeth = rng.uniform(0.18, 0.32, 2)
  return [
    arc(-0.6, 0.0, 0.3, 0.18, 0, 2 * np.pi, count=18),
    bar(-0.3, 0.0, 1.0, 0.0, 0.16),
    bar(0.9, 0.0, 0.9, teeth[0] + 0.1, 0.14),
    bar(0.6, 0.0, 0.6, teeth[1] + 0.1, 0.14),
  ]


def _star_sign(rng):
  return [star(0.0, 0.0, 1.0, rng.uniform(0.38, 0.46), 5)]


def _heart(rng):
  t = np.linspace(0, 2 * np.pi, 28, endpoint=False)
  x = 0.95 * np.sin(t) ** 3
  y = -0.8 * np.cos(t) + 0.3 * np.cos(2 * t) + 0.12 * np.cos(3 * t) + 0.05
  return [Part(np.stack([x * rng.uniform(0.9, 1.05), y], -1), 'body')]


def _arrow(rng):
  head = rng.uniform(0.5, 0.7)
  return [
    poly(
      'body',
      (-1.0, -0.22),
      (0.2, -0.22),
      (0.2, -head),
      (1.0, 0.0),
      (0.2, head),
      (0.2, 0.22),
      (-1.0, 0.22),
    )
  ]


def _cross(rng):
  w = rng.uniform(0.24, 0.34)
  return [
    poly(
      'body',
      (-w, -0.9),
      (w, -0.9),
      (w, -w),
      (0.9, -w),
      (0.9, w),
      (w, w),
      (w, 0.9),
      (-w, 0.9),
      (-w, w),
      (-0.9, w),
      (-0.9, -w),
      (-w, -w),
    )
  ]


def _ring(rng):
  return [arc(0, 0, 0.72, rng.uniform(0.28, 0.45), 0, 2 * np.pi, count=24)]


def _moon(rng):
  bite = rng.uniform(0.3, 0.45)
  outer = np.linspace(0.7, 2 * np.pi - 0.7, 18)
  big = 0.95 * np.stack([np.cos(outer), np.sin(outer)], -1)
  inner = np.linspace(big[-1, 1], big[0, 1], 10)
  small = np.stack(
    [big[0, 0] - bite - 0.8 * (0.61 - inner**2 * 1.64), inner], -1
  )
  return [Part(np.concatenate([big, small]), 'body')]


def _triangle(rng):
  apex = rng.uniform(-0.15, 0.15)
  return [poly('body', (apex, -0.9), (0.95, 0.75), (-0.95, 0.75))]


def _hexagon(rng):
  return [regular(0.0, 0.0, rng.uniform(0.85, 0.95), 6)]


def _bolt(rng):
  s = rng.uniform(-0.06, 0.06)
  return [
    poly(
      'body',
      (0.2 + s, -1.0),
      (-0.5, 0.15),
      (-0.05, 0.15),
      (-0.25 - s, 1.0),
      (0.5, -0.25),
      (0.08, -0.25),
      (0.5 + s, -1.0),
    )
  ]


SHAPES = {
  f.__name__[1:]: f
  for f in (
    _chair,
    _table,
    _lamp,
    _mug,
    _bottle,
    _teapot,
    _umbrella,
    _clock,
    _key,
    _star_sign,
    _heart,
    _arrow,
    _cross,
    _ring,
    _moon,
    _triangle,
    _hexagon,
    _bolt,
  )
}
