"""Colours: the named body colours and the fixed colours of parts."""

import numpy as np

# Centre of each named colour, RGB. They are at least ~60 apart, so that the
# jitter and the light below leave them apart.
BODY_COLORS = {
  'red': (205, 35, 40),
  'orange': (240, 135, 30),
  'yellow': (240, 215, 50),
  'green': (55, 150, 60),
  'blue': (40, 90, 205),
  'purple': (130, 60, 165),
  'pink': (240, 140, 180),
  'brown': (125, 80, 45),
  'white': (240, 240, 238),
  'gray': (140, 142, 148),
  'black': (38, 38, 44),
}

# Parts that look the same on every object of a kind.
FIXED_COLORS = {
  'black': (25, 25, 28),
  'white': (245, 245, 245),
  'pink': (245, 160, 175),
  'orange': (245, 150, 30),
  'yellow': (250, 220, 60),
  'red': (210, 40, 40),
  'green': (60, 140, 50),
  'lime': (130, 175, 80),
  'sky': (175, 215, 245),
  'glass': (160, 205, 230),
  'window': (250, 235, 150),
  'beam': (250, 240, 170),
  'metal': (165, 170, 178),
  'tyre': (45, 45, 50),
  'wood': (135, 90, 50),
  'brown': (95, 60, 35),
  'brick': (175, 90, 65),
  'roof': (120, 55, 45),
  'cream': (245, 230, 200),
  'waffle': (215, 165, 95),
  'shoe': (50, 40, 40),
}

_SKIN = ((245, 205, 170), (225, 175, 135), (175, 120, 80), (110, 72, 48))
_HAIR = ((40, 30, 25), (95, 60, 35), (200, 160, 80), (150, 150, 150))
_PANTS = ((45, 55, 90), (60, 60, 65), (110, 95, 75), (75, 50, 45))

# Standard deviation of a body colour's jitter per channel, of 255.
_JITTER = 7.0


def jittered(rng, name):
  """One sample of a named body colour, float64 [3] RGB, 0..255."""
  center = np.array(BODY_COLORS[name], float)
  return np.clip(center + rng.normal(0.0, _JITTER, 3), 0, 255)


def role_colors(rng, color):
  """Colours of all roles of one object.

  Args:
    rng: np.random.Generator.
    color: name of the body colour, a key of `BODY_COLORS`.

  Returns:
    {role: (r, g, b) floats 0..255}; 'mark' is the colour of stripes, spots
    and checks, dark on a light body and light on a dark one.
  """
  body = jittered(rng, color)
  dark = body.mean() < 75
  colors = dict(FIXED_COLORS)
  colors['body'] = body
  colors['shade'] = body * 0.55 + 50 if dark else body * 0.68
  colors['tint'] = body * 0.6 + 100
  colors['ink'] = body * 0.4 + 110 if dark else body * 0.3
  colors['mark'] = body * 0.3 + 175 if dark else body * 0.25
  skin, hair, pants = rng.integers(0, 4, 3)
  colors['skin'], colors['hair'] = _SKIN[skin], _HAIR[hair]
  colors['pants'] = _PANTS[pants]
  return {role: tuple(map(float, rgb)) for role, rgb in colors.items()}
