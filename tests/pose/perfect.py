"""A network that answers perfectly, because its pictures tell where it looks.

The red of a pixel is its row and the green its column, the blue is the number
of the picture. So what a crop shows can be read off it, however it was made,
and the answer needs no geometry of the project's.
"""

import numpy as np
import tensorflow as tf

from pose import joints as joints_lib
from pose import targets
from tests.pose import folders

# Of logits that are as good as sure.
SURE = 20.0


def blue(number):
  """Blue of a picture, never that of grey padding."""
  return 20 * number + 10


def picture(height, width, number):
  """Uint8 [H, W, 3], sides up to 256."""
  rows, columns = np.indices((height, width))
  image = [rows, columns, np.full_like(rows, blue(number))]
  return np.stack(image, -1).astype(np.uint8)


def example(number, people, size):
  """A record of such a picture; its number is its name."""
  return folders.example(str(number), people, image=picture(*size, number))


class PerfectNet:
  """Answers with the targets of the person in the middle of each crop.

  Args:
    people: {number of the picture: of folders.Person}.
    radius: of the disks.
    wrong: what it does wrong: '', 'order' (dx, dy), 'sign' of dx, 'sides' (it
      calls left right).
  """

  def __init__(self, people, radius, wrong=''):
    self._people, self.radius, self._wrong = people, radius, wrong

  def __call__(self, images, training=None):
    """As model.PoseNet."""
    del training
    pixels = np.round((images.numpy() + 1) * 127.5)
    joints = np.stack([self._joints(p) for p in pixels])
    found = targets.make_targets(joints, *pixels.shape[1:3], self.radius)
    offsets = found.offsets
    if self._wrong == 'order':
      offsets = offsets[..., ::-1]
    if self._wrong == 'sign':
      offsets = offsets * [1.0, -1.0]
    return {'heatmaps': SURE * (2 * found.heatmaps - 1), 'offsets': offsets}

  def _joints(self, pixels):
    """Joints of who is in the middle of a crop [h, w, 3]."""
    values, counts = np.unique(pixels[..., 2], return_counts=True)
    by_count = values[np.argsort(-counts)]
    numbers = [n for b in by_count for n in self._people if blue(n) == b]
    seen = pixels[..., 2] == blue(numbers[0])
    sides = np.argwhere(seen)
    # Row and column of the picture are linear in those of the crop.
    lines = [
      np.polyfit(sides[:, axis], pixels[seen][:, axis], 1) for axis in (0, 1)
    ]
    last = np.array(pixels.shape[:2]) - 1
    middle = [np.polyval(line, n / 2) for line, n in zip(lines, last)]
    person = min(
      self._people[numbers[0]],
      key=lambda p: np.abs(np.add(p.box[:2], p.box[2:]) / 2 - middle).sum(),
    )
    joints = person.joints.copy()
    for axis, (slope, start) in enumerate(lines):
      joints[:, axis] = (joints[:, axis] - start) / slope
    mirrored = lines[1][0] < 0
    if mirrored != (self._wrong == 'sides'):
      joints = joints[list(joints_lib.MIRRORED)]
    return tf.constant(joints, tf.float32)
