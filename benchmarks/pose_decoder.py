"""Decoding of 17 joints at 353 x 257, against numpy; one JSON line.

  python -m benchmarks.pose_decoder [--turns=5]

Data: heatmaps and offsets such as a trained network gives: about 0.9 in the
disks and 0.01 outside, so that no pixel can be left out; offsets lead to the
joint, give or take a pixel, and outside of the disks anywhere nearby.

Ours: `pose.decode.hough_vote` and `peaks` as one graph, on all cores. The peers
are numpy, on one core, both with the peak's 3 x 3 centroid too:
  - loop: plain Python over the positions, all joints of one at once;
  - add_at: all positions at once, `np.add.at` of rows, columns and joints for
    each of the four corners;
  - add_at_flat: the same with flat indices, for which numpy has a fast way.
All take turns in processes of their own, on the same maps; the loop has fewer
turns. The seconds are medians, the ratios medians of those of each turn. Joints
are compared.

goal: 20 x the loop, which is numpy as the definition is written down; the ones
that do all positions at once are there to compare with, without a goal.
"""

import argparse
import functools
import math

import numpy as np

from benchmarks import machine, turns

HEIGHT, WIDTH, JOINTS, RADIUS = 353, 257, 17, 25
TURNS, LOOP_TURNS = 5, 2
GOAL = 20
_SHAPE = (HEIGHT, WIDTH, JOINTS)
_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))


def maps():
  """Returns heatmaps float32 [H, W, K] and offsets float32 [H, W, K, 2]."""
  rng = np.random.default_rng(0)
  joints = rng.uniform(10, (HEIGHT - 11, WIDTH - 11), (JOINTS, 2))
  offsets = joints - np.stack(np.mgrid[:HEIGHT, :WIDTH], -1)[:, :, None]
  inside = (offsets**2).sum(-1) <= RADIUS**2
  logits = np.where(inside, 2.2, -4.6) + rng.normal(0, 0.5, _SHAPE)
  off = rng.normal(0, np.where(inside, 1, 10)[..., None], offsets.shape)
  offsets = np.where(inside[..., None], offsets, 0) + off
  heatmaps = 1 / (1 + np.exp(-logits))
  return heatmaps.astype(np.float32), offsets.astype(np.float32)


def loop_vote(heatmaps, offsets):
  """Position by position."""
  votes, all_joints = np.zeros(_SHAPE, np.float32), np.arange(JOINTS)
  for y in range(HEIGHT):
    for x in range(WIDTH):
      aims = (y, x) + offsets[y, x]
      pixels = np.floor(aims).astype(int)
      far_y, far_x = (aims - pixels).T
      for dy, dx in _CORNERS:
        to_y, to_x = pixels[:, 0] + dy, pixels[:, 1] + dx
        share = (far_y if dy else 1 - far_y) * (far_x if dx else 1 - far_x)
        inside = (to_y >= 0) & (to_y < HEIGHT) & (to_x >= 0) & (to_x < WIDTH)
        # No joint occurs twice here.
        where = to_y[inside], to_x[inside], all_joints[inside]
        votes[where] += (share * heatmaps[y, x])[inside]
  return votes / (math.pi * RADIUS**2)


def add_at_vote(heatmaps, offsets, flat=False):
  """All positions at once."""
  votes = np.zeros(_SHAPE, np.float32)
  all_joints = np.arange(JOINTS)
  y = np.arange(HEIGHT)[:, None, None] + offsets[..., 0]
  x = np.arange(WIDTH)[:, None] + offsets[..., 1]
  pixel_y, pixel_x = np.floor(y).astype(int), np.floor(x).astype(int)
  far_y, far_x = y - pixel_y, x - pixel_x
  for dy, dx in _CORNERS:
    to_y, to_x = pixel_y + dy, pixel_x + dx
    share = (far_y if dy else 1 - far_y) * (far_x if dx else 1 - far_x)
    inside = (to_y >= 0) & (to_y < HEIGHT) & (to_x >= 0) & (to_x < WIDTH)
    weights = (share * heatmaps).astype(np.float32)[inside]
    if flat:
      where = (to_y * WIDTH + to_x) * JOINTS + all_joints
      np.add.at(votes.reshape(-1), where[inside], weights)
    else:
      of = np.broadcast_to(all_joints, _SHAPE)
      where = to_y[inside], to_x[inside], of[inside]
      np.add.at(votes, where, weights)
  return votes / (math.pi * RADIUS**2)


def plain_peaks(votes):
  """Returns float [K, 3]: y, x and the largest vote."""
  found = []
  for k in range(JOINTS):
    y, x = np.unravel_index(votes[..., k].argmax(), (HEIGHT, WIDTH))
    low_y, low_x = max(y - 1, 0), max(x - 1, 0)
    around = votes[low_y : y + 2, low_x : x + 2, k]
    steps = np.stack(np.mgrid[: around.shape[0], : around.shape[1]])
    center = (around * steps).sum((1, 2)) / around.sum()
    found.append([low_y + center[0], low_x + center[1], votes[y, x, k]])
  return np.array(found)


def make(side):
  """Side -> {'decode': function that returns a list [K][3]}."""
  heatmaps, offsets = maps()
  if side != 'ours':
    vote = {
      'loop': loop_vote,
      'add_at': add_at_vote,
      'add_at_flat': functools.partial(add_at_vote, flat=True),
    }[side]
    return {'decode': lambda: plain_peaks(vote(heatmaps, offsets)).tolist()}
  import tensorflow as tf

  from pose import decode

  graph = tf.function(
    lambda h, o: decode.decode_probabilities(h[None], o[None], RADIUS)[0]
  )
  given = tf.constant(heatmaps), tf.constant(offsets)
  graph(*given)  # traced before the clock starts
  return {'decode': lambda: graph(*given).numpy().tolist()}


def main():
  """Prints the JSON line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--turns', type=int, default=TURNS)
  number = parser.parse_args().turns
  if number < 1:
    parser.error(f'--turns must be 1 or more, got {number}')
  machine.prepare()
  key = lambda side: (side, 'decode')
  quick = [key(side) for side in ('ours', 'add_at', 'add_at_flat')]
  with turns.players(make, ['ours', 'add_at', 'add_at_flat', 'loop']) as ask:
    some = turns.play(ask, quick, number)
    few = turns.play(ask, [key('ours'), key('loop')], LOOP_TURNS, warm=0)
  ours, add_at, flat = (some[k] for k in quick)
  loop = few[key('loop')]
  faster = turns.times_faster(few[key('ours')], loop)
  joints = np.array(ours[0].value)
  off = [np.array(a[0].value) - joints for a in (add_at, flat, loop)]
  import tensorflow as tf

  machine.print_line(
    {
      'benchmark': 'pose_decoder',
      'height': HEIGHT,
      'width': WIDTH,
      'joints': JOINTS,
      'seconds': round(turns.seconds(ours), 4),
      'cpu_seconds': round(turns.cpu_seconds(ours), 4),
      'peer': f'numpy {np.__version__}, a loop over positions',
      'peer_seconds': round(turns.seconds(loop), 3),
      'times_faster': round(faster, 1),
      'peer_add_at': f'numpy {np.__version__}, np.add.at',
      'peer_add_at_seconds': round(turns.seconds(add_at), 3),
      'times_faster_add_at': round(turns.times_faster(ours, add_at), 1),
      'peer_add_at_flat': f'numpy {np.__version__}, np.add.at, flat indices',
      'peer_add_at_flat_seconds': round(turns.seconds(flat), 3),
      'times_faster_add_at_flat': round(turns.times_faster(ours, flat), 1),
      'turns': number,
      'turns_of_loop': LOOP_TURNS,
      'largest_difference_of_joints_pixels': round(
        max(float(np.abs(d[:, :2]).max()) for d in off), 6
      ),
      'largest_difference_of_scores': round(
        max(float(np.abs(d[:, 2]).max()) for d in off), 9
      ),
      'goal': f'times_faster >= {GOAL}',
      'met': faster >= GOAL,
      'tensorflow': tf.__version__,
    }
  )


if __name__ == '__main__':
  main()
