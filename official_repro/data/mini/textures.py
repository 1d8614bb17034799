"""Patterns on objects and pictures behind them."""

import cv2
import numpy as np

PATTERNS = ('striped', 'spotted', 'checked')

# Pattern tiles: 256 px are 4 object units, so [-2, 2] is covered.
_TILE = 256
PIXELS_PER_UNIT = 64
_PERIOD = {'striped': 24, 'spotted': 26, 'checked': 32}

BACKGROUNDS = ('flat', 'clouds', 'horizon', 'grass', 'tiles', 'planks')

# Backgrounds keep below this saturation (0..1), so that coloured things show.
_MAX_SATURATION = 0.38


def _tiles():
  """{pattern: uint8 [256, 256], 255 where the second colour goes}."""
  y, x = np.mgrid[:_TILE, :_TILE]
  tiles = {}
  p = _PERIOD['striped']
  tiles['striped'] = (x + 0.35 * y) % p < p * 0.45
  p = _PERIOD['spotted']
  shifted = x + (y // p % 2) * (p // 2)
  tiles['spotted'] = (shifted % p - p / 2) ** 2 + (y % p - p / 2) ** 2 < (
    p * 0.33
  ) ** 2
  p = _PERIOD['checked']
  tiles['checked'] = (x // (p // 2) + y // (p // 2)) % 2 == 0
  return {k: v.astype(np.uint8) * 255 for k, v in tiles.items()}


_TILES = _tiles()


def pattern_mask(pattern, matrix, height, width):
  """Where the second colour of a pattern lies on the picture.

  Args:
    pattern: one of `PATTERNS`.
    matrix: float [2, 3], object space (x, y) -> pixels.
    height: of the picture, pixels.
    width: of the picture, pixels.

  Returns:
    uint8 [height, width], 0..255.
  """
  # Tile pixel -> object space -> picture pixel.
  to_picture = matrix.copy()
  to_picture[:, :2] /= PIXELS_PER_UNIT
  middle = np.array([_TILE / 2, _TILE / 2])
  to_picture[:, 2] -= to_picture[:, :2] @ middle
  return cv2.warpAffine(_TILES[pattern], to_picture, (width, height))


def muted(rng, low=60, high=235):
  """A random greyish colour, float64 [3] RGB, 0..255."""
  gray = rng.uniform(low, high)
  tint = rng.uniform(-1, 1, 3)
  return np.clip(gray * (1 + _MAX_SATURATION * 0.5 * tint), 0, 255)


def _blend(weight, a, b):
  """uint8 picture going from colour a to colour b with weight [H, W] 0..255."""
  steps = np.linspace(0, 1, 256)[:, None]
  table = (a * (1 - steps) + b * steps).astype(np.uint8)
  return cv2.merge([cv2.LUT(weight, table[:, c].copy()) for c in range(3)])


def _noise(rng, height, width, cells):
  """Smooth noise uint8 [H, W]."""
  coarse = rng.integers(0, 256, (cells, cells), dtype=np.uint8)
  return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def _ramp(rng, height, width):
  """Linear ramp in a random direction, uint8 [H, W]."""
  corners = rng.integers(0, 256, (2, 2), dtype=np.uint8)
  return cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)


def background(rng, height, width, kind=None):
  """Paints a background.

  Args:
    rng: np.random.Generator.
    height: pixels.
    width: pixels.
    kind: one of `BACKGROUNDS`, None for a random one.

  Returns:
    uint8 [height, width, 3] RGB.

  Raises:
    ValueError: unknown kind.
  """
  kind = BACKGROUNDS[rng.integers(len(BACKGROUNDS))] if kind is None else kind
  if kind not in BACKGROUNDS:
    raise ValueError(
      f'background() got kind {kind!r}; use one of {BACKGROUNDS}.'
    )
  a, b = muted(rng), muted(rng)
  if kind == 'flat':
    return _blend(_ramp(rng, height, width), a, 0.5 * (a + b))
  if kind == 'clouds':
    cells = int(rng.integers(3, 9))
    return _blend(_noise(rng, height, width, cells), a, b)
  if kind == 'grass':
    weight = _noise(rng, height, width, int(rng.integers(16, 30)))
    return _blend(weight, a, 0.65 * a + 0.35 * b)
  if kind == 'horizon':
    return _horizon(rng, height, width)
  return _lined(rng, height, width, kind, a)


def _horizon(rng, height, width):
  """Sky above ground, a hill line between them."""
  sky = _blend(
    _ramp(rng, height, width), np.array([160, 190, 215.0]), muted(rng, 150)
  )
  ground = rng.uniform(0.7, 1.1) * np.array([125, 140, 100.0])
  ground = np.clip(ground + rng.uniform(-25, 25, 3), 0, 255)
  level, wave = rng.uniform(0.45, 0.8), rng.uniform(0.0, 0.08)
  x = np.linspace(0, width, 9)
  y = height * (level + wave * np.sin(x / width * rng.uniform(3, 9)))
  line = np.concatenate(
    [np.stack([x, y], -1), [(width, height + 9), (0, height + 9)]]
  )
  cv2.fillPoly(sky, [line.astype(np.int32)], tuple(map(float, ground)))
  return sky


def _lined(rng, height, width, kind, color):
  """Floor tiles or wooden planks: flat colour with darker joints."""
  image = np.empty((height, width, 3), np.uint8)
  image[:] = color.astype(np.uint8)
  darker = tuple(map(float, color * rng.uniform(0.7, 0.88)))
  side = max(height, width)
  step = int(side * rng.uniform(0.14, 0.3)) + 1
  for at in range(int(rng.integers(step)), side, step):
    cv2.line(image, (0, at), (width, at), darker, 1)
    if kind == 'tiles':
      cv2.line(image, (at, 0), (at, height), darker, 1)
  return image
