"""A scene: objects at places, painted back to front.

Geometry first (`place` puts an object into picture coordinates), pixels only
when asked: `Scene.paint` for the picture, `Scene.visible_masks` for the masks.
Pixel coordinates are (x, y) inside polygons and (y, x) in what is handed out.
"""

import dataclasses
import functools
from typing import NamedTuple, Optional

import cv2
import numpy as np

from official_repro.data.mini import figure, palette, shapes, textures
from official_repro.data.mini.taxonomy import Leaf

# Polygons go to OpenCV as fixed-point numbers with this many binary places.
_SHIFT = 4
_PERSON = frozenset(figure.STYLES)


class Placement(NamedTuple):
  """Where an object goes.

  Attributes:
    x: centre in pixels.
    y: centre in pixels.
    radius: pixels of one object unit (about half the object's extent).
    angle: radians, clockwise.
    flip: mirrored left to right, before it is turned.
    stretch: height over width, 1 for as drawn.
  """

  x: float
  y: float
  radius: float
  angle: float = 0.0
  flip: bool = False
  stretch: float = 1.0

  def matrix(self) -> np.ndarray:
    """Object space (x, y) -> pixels, float64 [2, 3]."""
    cos, sin = np.cos(self.angle), np.sin(self.angle)
    sx = -self.radius if self.flip else self.radius
    sy = self.radius * self.stretch
    return np.array(
      [[cos * sx, -sin * sy, self.x], [sin * sx, cos * sy, self.y]]
    )


@dataclasses.dataclass(frozen=True)
class SceneObject:
  """One object in picture coordinates.

  Attributes:
    leaf: what it is; None for clutter, which nobody labels.
    polygons: int32 [N, 1, 2] arrays (x, y), fixed point; back to front.
    roles: colour role of each polygon.
    colors: {role: (r, g, b)}.
    matrix: float64 [2, 3], object space -> pixels.
    joints: float64 [17, 3] (x, y, visibility 1 or 2) for people, else None.
    extent: (xmin, ymin, xmax, ymax), pixels, of the whole outline, which may
      reach beyond the picture.
  """

  leaf: Optional[Leaf]
  polygons: list[np.ndarray]
  roles: list[str]
  colors: dict[str, tuple[float, float, float]]
  matrix: np.ndarray
  joints: Optional[np.ndarray]
  extent: tuple[float, float, float, float]

  @property
  def pattern(self) -> str:
    """'plain' or one of `textures.PATTERNS`."""
    return 'plain' if self.leaf is None else self.leaf.pattern


def draw_parts(rng, leaf: Leaf):
  """Parts, joints (or None) of one object of a leaf, in object space."""
  if leaf.kind in _PERSON:
    return figure.figure(rng, leaf.kind)
  return shapes.SHAPES[leaf.kind](rng), None


def place(rng, leaf, placement, parts=None, joints=None, colors=None):
  """Puts an object into the picture.

  Args:
    rng: np.random.Generator, for its pose and shade.
    leaf: Leaf to draw, or None for clutter made of the given parts.
    placement: Placement.
    parts: list of Part; None: drawn from the leaf.
    joints: float [17, 3] (x, y, visibility) in object space, with parts.
    colors: {role: rgb}; None: from the leaf's colour.

  Returns:
    SceneObject.
  """
  if parts is None:
    parts, joints = draw_parts(rng, leaf)
  if colors is None:
    colors = palette.role_colors(rng, leaf.color)
  matrix = placement.matrix()
  points = np.concatenate([p.points for p in parts])
  points = points @ matrix[:, :2].T + matrix[:, 2]
  low, high = points.min(0), points.max(0)
  fixed = np.rint(points * (1 << _SHIFT)).astype(np.int32)[:, None]
  polygons, start = [], 0
  for part in parts:
    polygons.append(fixed[start : start + len(part.points)])
    start += len(part.points)
  if joints is not None:
    joints = _moved_joints(joints, matrix, placement.flip)
  return SceneObject(
    leaf,
    polygons,
    [p.role for p in parts],
    colors,
    matrix,
    joints,
    (float(low[0]), float(low[1]), float(high[0]), float(high[1])),
  )


def _moved_joints(joints, matrix, flip):
  moved = joints.copy()
  moved[:, :2] = joints[:, :2] @ matrix[:, :2].T + matrix[:, 2]
  # In a mirror the left hand becomes a right hand.
  return moved[list(figure.MIRRORED)] if flip else moved


def paint_object(image, item: SceneObject):
  """Paints one object into a uint8 [H, W, 3] picture, in place."""
  rim = item.colors['body']
  rim = tuple(0.35 * c for c in rim)
  cv2.polylines(image, item.polygons, True, rim, 2, cv2.LINE_AA, _SHIFT)
  for polygon, role in zip(item.polygons, item.roles):
    cv2.fillPoly(image, [polygon], item.colors[role], cv2.LINE_AA, _SHIFT)
  if item.pattern != 'plain':
    _paint_pattern(image, item)


def _paint_pattern(image, item):
  """Puts the second colour on the parts that show the body's colour."""
  height, width = image.shape[:2]
  mask = np.zeros((height, width), np.uint8)
  for polygon, role in zip(item.polygons, item.roles):
    value = 255 if role in ('body', 'shade', 'tint') else 0
    cv2.fillPoly(mask, [polygon], value, cv2.LINE_8, _SHIFT)
  mask &= textures.pattern_mask(item.pattern, item.matrix, height, width)
  image[mask > 127] = item.colors['mark']


def object_mask(item: SceneObject, height, width) -> np.ndarray:
  """Bool [height, width]: the whole object, whatever stands before it."""
  mask = np.zeros((height, width), np.uint8)
  for polygon in item.polygons:
    cv2.fillPoly(mask, [polygon], 1, cv2.LINE_8, _SHIFT)
  return mask.astype(bool)


def tight_box(mask) -> np.ndarray:
  """Box of a mask, float32 [4] (ymin, xmin, ymax, xmax) in pixels.

  The far edges are exclusive (one pixel at 0, 0 gives 0, 0, 1, 1); an empty
  mask gives zeros.
  """
  rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
  if not len(rows):
    return np.zeros(4, np.float32)
  return np.array([rows[0], cols[0], rows[-1] + 1, cols[-1] + 1], np.float32)


class Light(NamedTuple):
  """What the camera does to the painted scene.

  Attributes:
    gain: (r, g, b) factors.
    corners: uint8 [2, 2], brightness at the picture's corners, 255 is full.
    noise: standard deviation of the sensor noise, of 255.
    blur: standard deviation of the blur in pixels; 0 for none.
    seed: of the noise's offset in its tile.
  """

  gain: tuple[float, float, float]
  corners: np.ndarray
  noise: float
  blur: float
  seed: int


def sample_light(rng) -> Light:
  """A random light: dim or bright, slightly tinted, one side darker."""
  gain = rng.uniform(0.82, 1.15) * (1 + rng.uniform(-0.04, 0.04, 3))
  corners = rng.integers(185, 256, (2, 2)).astype(np.uint8)
  blurred, sigma, noise = rng.uniform(0, 1, 3)
  return Light(
    tuple(gain),
    corners,
    2.0 + 7.0 * noise,
    0.4 + 0.5 * sigma if blurred < 0.25 else 0.0,
    int(rng.integers(1 << 30)),
  )


@functools.lru_cache(maxsize=1)
def _noise_tile():
  """Unit normal noise times 32, int8-sized in int16 [512, 512, 3]."""
  rng = np.random.Generator(np.random.PCG64(17))
  return rng.normal(0, 32, (512, 512, 3)).clip(-127, 127).astype(np.int16)


def apply_light(image, light: Light) -> np.ndarray:
  """Returns the uint8 [H, W, 3] picture as the camera sees it."""
  height, width = image.shape[:2]
  if light.blur:
    image = cv2.GaussianBlur(image, (0, 0), light.blur)
  shade = cv2.resize(light.corners, (width, height))
  shade = cv2.merge([shade, shade, shade])
  image = cv2.multiply(image, shade, scale=1 / 255)
  image = cv2.multiply(image, (*light.gain, 1.0))
  tile = _noise_tile()
  y = light.seed % (512 - min(height, 511))
  x = light.seed // 512 % (512 - min(width, 511))
  noise = tile[y : y + height, x : x + width]
  if noise.shape[:2] != (height, width):
    noise = cv2.resize(tile, (width, height))
  return (
    cv2.addWeighted(image.astype(np.int16), 1.0, noise, light.noise / 32, 0)
    .clip(0, 255)
    .astype(np.uint8)
  )


@dataclasses.dataclass
class Scene:
  """Everything needed to paint a picture.

  Attributes:
    background: uint8 [H, W, 3].
    items: SceneObjects back to front, clutter included.
    light: Light, None for none.
  """

  background: np.ndarray
  items: list[SceneObject]
  light: Optional[Light] = None

  def paint(self) -> np.ndarray:
    """The picture, uint8 [H, W, 3] RGB."""
    image = self.background.copy()
    for item in self.items:
      paint_object(image, item)
    return image if self.light is None else apply_light(image, self.light)

  @functools.cached_property
  def visible_masks(self) -> list[np.ndarray]:
    """Bool [H, W] per item: its pixels that no later item covers."""
    height, width = self.background.shape[:2]
    covered = np.zeros((height, width), bool)
    masks = []
    for item in reversed(self.items):
      mask = object_mask(item, height, width)
      masks.append(mask & ~covered)
      covered |= mask
    return masks[::-1]

  def keypoints(self, index) -> Optional[np.ndarray]:
    """Joints of item `index`, float32 [17, 3] (y, x, visibility), or None.

    Visibility as in COCO: 2 seen, 1 hidden (by another object or the own
    body), 0 outside of the picture, with y = x = 0.
    """
    joints = self.items[index].joints
    if joints is None:
      return None
    height, width = self.background.shape[:2]
    out = np.zeros((len(joints), 3), np.float32)
    mask = self.visible_masks[index]
    for k, (x, y, visibility) in enumerate(joints):
      if not (0 <= x < width and 0 <= y < height):
        continue
      seen = visibility if mask[int(y), int(x)] else 1
      out[k] = (y, x, seen)
    return out
