"""Primitives that the drawn objects are made of: coloured polygons.

Object space: x to the right, y down, an object fills about [-1, 1] in both.
A side view looks to the right. Every primitive returns a `Part`; an object is
a list of parts, painted first to last.
"""

from typing import NamedTuple

import numpy as np

_CIRCLES = {}


class Part(NamedTuple):
  """A filled polygon.

  Attributes:
    points: float64 [N, 2], (x, y) in object space.
    role: which colour it takes, see `palette.role_colors`; only 'body' parts
      carry the object's texture.
  """

  points: np.ndarray
  role: str


def _circle(count):
  """Unit circle as float64 [count, 2], kept between calls."""
  if count not in _CIRCLES:
    angles = np.arange(count) * (2 * np.pi / count)
    _CIRCLES[count] = np.stack([np.cos(angles), np.sin(angles)], -1)
  return _CIRCLES[count]


def ellipse(x, y, rx, ry, role='body', angle=0.0, count=18):
  """Ellipse around (x, y) with half axes rx, ry, turned by angle radians."""
  points = _circle(count) * (rx, ry)
  if angle:
    points = rotate(points, angle)
  return Part(points + (x, y), role)


def disc(x, y, r, role='body', count=16):
  """Disc around (x, y)."""
  return Part(_circle(count) * r + (x, y), role)


def box(x0, y0, x1, y1, role='body'):
  """Upright rectangle."""
  return Part(np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float), role)


def poly(role, *points):
  """Polygon through the given (x, y) pairs."""
  return Part(np.array(points, float), role)


def bar(x0, y0, x1, y1, w0, w1=None, role='body'):
  """Straight bar from (x0, y0) to (x1, y1), w0 wide there, w1 wide here."""
  w1 = w0 if w1 is None else w1
  dx, dy = x1 - x0, y1 - y0
  length = max((dx * dx + dy * dy) ** 0.5, 1e-6)
  nx, ny = -dy / length / 2, dx / length / 2
  return poly(
    role,
    (x0 + nx * w0, y0 + ny * w0),
    (x1 + nx * w1, y1 + ny * w1),
    (x1 - nx * w1, y1 - ny * w1),
    (x0 - nx * w0, y0 - ny * w0),
  )


def strand(points, w0, w1, role='body'):
  """Ribbon along a path [N, 2], its width going from w0 to w1."""
  points = np.asarray(points, float)
  along = np.gradient(points, axis=0)
  along /= np.maximum(np.hypot(along[:, 0], along[:, 1])[:, None], 1e-6)
  half = np.linspace(w0, w1, len(points))[:, None] / 2
  normal = np.stack([-along[:, 1], along[:, 0]], -1) * half
  return Part(np.concatenate([points + normal, (points - normal)[::-1]]), role)


def arc(x, y, r, width, start, stop, role='body', count=14):
  """Part of a ring around (x, y), angles in radians (0 right, pi/2 down)."""
  angles = np.linspace(start, stop, count)
  unit = np.stack([np.cos(angles), np.sin(angles)], -1)
  outer, inner = unit * (r + width / 2), unit * (r - width / 2)
  return Part(np.concatenate([outer, inner[::-1]]) + (x, y), role)


def star(x, y, r, inner, count, role='body', turn=-np.pi / 2):
  """Star with `count` tips of radius r and notches of radius inner."""
  angles = turn + np.arange(2 * count) * (np.pi / count)
  radius = np.where(np.arange(2 * count) % 2, inner, r)
  points = np.stack([np.cos(angles), np.sin(angles)], -1) * radius[:, None]
  return Part(points + (x, y), role)


def regular(x, y, r, count, role='body', turn=-np.pi / 2):
  """Regular polygon."""
  return Part(rotate(_circle(count) * r, turn) + (x, y), role)


def rotate(points, angle):
  """Turns [N, 2] points about the origin (clockwise on the screen)."""
  cos, sin = np.cos(angle), np.sin(angle)
  return points @ np.array([(cos, sin), (-sin, cos)])


def wheel(x, y, r):
  """A tyre with its hub."""
  return [disc(x, y, r, 'tyre'), disc(x, y, r * 0.5, 'metal', 10)]


def eye(x, y, r=0.06):
  """A white eye with its pupil."""
  return [disc(x, y, r * 1.6, 'white', 8), disc(x, y, r, 'black', 8)]
