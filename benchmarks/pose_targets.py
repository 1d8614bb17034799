"""Targets of the pose net: disks, offsets, weights; ours beside numpy.

  python -m benchmarks.pose_targets [--turns=5] [--batch=24]

A training batch of G-RMI: crops of 353 x 257, 17 joints, radius 25, two other
people whose disks are left out; three joints in four are labelled. The sides
take turns, see benchmarks.turns.

  ours         pose.targets.make_targets in a tf.function, on the CPU.
  vectorised   numpy broadcasting over all pixels and joints of a crop, one crop
               after the other.
  loop         numpy arrays filled for joint, for row, for column, as the
               definition is written; the first crop only.

Times are per crop. The three must give the same bits (joints lie at quarters of
pixels). goal: 10 x the loop, which is the definition written down; vectorised
numpy is there to compare with, without a goal.
"""

import argparse
import functools
import hashlib

import numpy as np

from benchmarks import machine, turns

HEIGHT, WIDTH, JOINTS, RADIUS, OTHERS = 353, 257, 17, 25, 2
SIDES = ('ours', 'vectorised', 'loop')
GOAL = 10


def make_inputs(batch):
  """Returns joints [B, K, 3] and others [B, OTHERS, K, 3], float32."""
  rng = np.random.default_rng(0)
  shape = (batch, 1 + OTHERS, JOINTS)
  points = rng.integers(0, [4 * HEIGHT, 4 * WIDTH], (*shape, 2)) / 4
  visibility = rng.integers(0, 4, (*shape, 1)).clip(0, 2)
  people = np.concatenate([points, visibility], -1).astype(np.float32)
  return people[:, 0], people[:, 1:]


def empty(batch):
  """Returns arrays for heatmaps, offsets and weights."""
  shape = (batch, HEIGHT, WIDTH, JOINTS)
  return tuple(np.zeros(s, np.float32) for s in (shape, (*shape, 2), shape))


def vectorised(keypoints, others):
  """All pixels and joints of a crop at once."""
  rows = np.arange(HEIGHT, dtype=np.float32)[:, None, None]
  columns = np.arange(WIDTH, dtype=np.float32)[:, None]
  heatmaps, offsets, weights = empty(len(keypoints))
  for i, own in enumerate(keypoints):
    foreign = False
    for y, x, visibility in np.moveaxis(others[i], -1, 1):
      near = (y - rows) ** 2 + (x - columns) ** 2 <= RADIUS**2
      foreign |= near & (visibility > 0)
    y, x, visibility = own.T
    dy, dx = y - rows, x - columns
    inside = (dy**2 + dx**2 <= RADIUS**2) & (visibility > 0)
    heatmaps[i] = inside
    np.multiply(dy, inside, out=offsets[i, ..., 0])
    np.multiply(dx, inside, out=offsets[i, ..., 1])
    weights[i] = (inside | ~foreign) & (visibility > 0)
  return heatmaps, offsets, weights


def loop(keypoints, others):
  """Pixel by pixel."""
  heatmaps, offsets, weights = empty(len(keypoints))
  for i, crop in enumerate(keypoints.tolist()):
    for k, (y, x, visibility) in enumerate(crop):
      if visibility == 0:
        continue
      foreign = [o for o in others[i, :, k].tolist() if o[2] > 0]
      for row in range(HEIGHT):
        for column in range(WIDTH):
          dy, dx = y - row, x - column
          if dy * dy + dx * dx <= RADIUS * RADIUS:
            heatmaps[i, row, column, k] = 1
            offsets[i, row, column, k] = dy, dx
            weights[i, row, column, k] = 1
          elif not any(
            (oy - row) ** 2 + (ox - column) ** 2 <= RADIUS * RADIUS
            for oy, ox, _ in foreign
          ):
            weights[i, row, column, k] = 1
  return heatmaps, offsets, weights


def _digest(found):
  """Of the first crop; + 0 because there is a -0."""
  parts = [np.ascontiguousarray(x[0]) + np.float32(0) for x in found]
  return hashlib.sha256(b''.join(p.tobytes() for p in parts)).hexdigest()


def ours(keypoints, others):
  """Returns a function that makes the targets of the batch."""
  import tensorflow as tf

  from pose import targets

  inputs = tf.constant(keypoints), tf.constant(others)

  @tf.function
  def make(joints, foreign):
    return targets.make_targets(joints, HEIGHT, WIDTH, RADIUS, foreign)

  # .numpy() waits, and copies nothing on the CPU.
  return lambda: [x.numpy() for x in make(*inputs)]


def make_side(side, batch):
  """Returns the questions that a side answers, see turns.players."""
  inputs = make_inputs(batch)
  if side == 'loop':
    inputs = tuple(x[:1] for x in inputs)
  if side == 'ours':
    make = ours(*inputs)
  else:
    function = {'vectorised': vectorised, 'loop': loop}[side]
    make = lambda: function(*inputs)

  def timed():
    make()

  return {
    'make': timed,
    'facts': lambda: {
      'digest': _digest(make()),
      'peak_mb': round(turns.peak_mb()),
    },
  }


def per_crop(answer, crops):
  """Returns an Answer for one of the crops."""
  return answer._replace(
    seconds=answer.seconds / crops, cpu_seconds=answer.cpu_seconds / crops
  )


def summary(found, facts):
  """Medians and ratios, ready for JSON."""
  out = {}
  for side in SIDES:
    theirs = found[side, 'make']
    out[side] = {
      'seconds_per_crop': round(turns.seconds(theirs), 5),
      'cpu_seconds_per_crop': round(turns.cpu_seconds(theirs), 5),
      'peak_mb': facts[side]['peak_mb'],
    }
    if side != 'ours':
      faster = turns.times_faster(found['ours', 'make'], theirs)
      out[side]['ours_times_faster'] = round(faster, 1)
  return out


def main():
  """Prints the JSON line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--turns', type=int, default=5, help='Turns measured.')
  parser.add_argument('--batch', type=int, default=24, help='Crops a step.')
  options = parser.parse_args()
  for name in ('turns', 'batch'):
    if getattr(options, name) < 1:
      value = getattr(options, name)
      parser.error(f'--{name} must be at least 1, got {value}')
  machine.prepare()
  make = functools.partial(make_side, batch=options.batch)
  with turns.players(make, SIDES) as ask:
    found = turns.play(ask, [(side, 'make') for side in SIDES], options.turns)
    facts = {side: ask(side, 'facts').value for side in SIDES}
  for side in SIDES:
    crops = 1 if side == 'loop' else options.batch
    found[side, 'make'] = [per_crop(a, crops) for a in found[side, 'make']]
  out = summary(found, facts)
  machine.print_line(
    {
      'benchmark': 'pose_targets',
      'crop': [HEIGHT, WIDTH, JOINTS],
      'others': OTHERS,
      'batch': options.batch,
      'turns': options.turns,
      **out,
      'all_equal': len({f['digest'] for f in facts.values()}) == 1,
      'goal': f'loop.ours_times_faster >= {GOAL}',
      'met': out['loop']['ours_times_faster'] >= GOAL,
      'numpy': np.__version__,
    }
  )


if __name__ == '__main__':
  main()
