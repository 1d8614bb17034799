"""OKS-NMS of 1,000 poses, against one OKS a pair; one JSON line.

  python -m benchmarks.oks_nms [--poses=1000]

Data: poses of 17 joints in one picture, four about each person, of which the
worse ones differ more; float32, as a decoder gives them.

Ours: `pose.oks.oks_nms`. The peer is the formulation that mmpose has, written
anew: of the poses that are left the best one is kept, its OKS with each of the
others is computed in a loop over them, with numpy over the joints, and those
above the threshold go. Both take turns in processes of their own, with new
poses in each turn; the seconds are medians, and the kept poses are compared.
"""

import argparse

import numpy as np

from benchmarks import machine, turns
from pose import joints, oks

POSES, PER_PERSON = 1000, 4
THRESHOLD = 0.5
TURNS = 5
_SIDE = 4000  # pixels of the picture


def poses(seed, count):
  """Returns keypoints float32 [D, 17, 3], scores [D], areas [D]."""
  rng = np.random.default_rng((0, seed))
  people = -(-count // PER_PERSON)
  height = rng.uniform(60, 300, (people, 1, 1, 1))
  shape = rng.uniform(-0.5, 0.5, (people, 1, 17, 2)) * (1, 0.4)
  truth = rng.uniform(0, _SIDE, (people, 1, 1, 2)) + height * shape
  blur = height * rng.uniform(0.0, 0.1, (people, PER_PERSON, 1, 1))
  found = truth + blur * rng.standard_normal((people, PER_PERSON, 17, 2))
  scores = (
    rng.random((people, PER_PERSON)) * np.exp(-10 * (blur / height))[..., 0, 0]
  )
  areas = 0.3 * height[..., 0, 0] ** 2 * rng.uniform(0.8, 1.2, scores.shape)
  found = found.reshape(-1, 17, 2)
  confidence = rng.random((len(found), 17, 1))
  order = rng.permutation(len(found))[:count]
  return (
    np.concatenate([found, confidence], -1)[order].astype(np.float32),
    scores.ravel()[order].astype(np.float32),
    areas.ravel()[order].astype(np.float32),
  )


def _plain_oks(a, b, area_a, area_b):
  spread = (2 * np.array(joints.SIGMAS)) ** 2
  dx, dy = b[:, 0] - a[:, 0], b[:, 1] - a[:, 1]
  area = (area_a + area_b) / 2 + np.spacing(1)
  return np.sum(np.exp(-(dx**2 + dy**2) / spread / area / 2)) / len(dx)


def plain_nms(keypoints, scores, areas, threshold):
  """Pair by pair."""
  order = scores.argsort()[::-1]
  kept = []
  while len(order):
    best, order = order[0], order[1:]
    kept.append(best)
    overlaps = np.zeros(len(order))
    for n, other in enumerate(order):
      overlaps[n] = _plain_oks(
        keypoints[best], keypoints[other], areas[best], areas[other]
      )
    order = order[overlaps <= threshold]
  return np.array(kept)


def make(side):
  """Side 'ours 1000' or 'plain 1000' -> a question for each turn."""
  name, count = side.split()
  suppress = {'ours': oks.oks_nms, 'plain': plain_nms}[name]
  given = [poses(turn, int(count)) for turn in range(TURNS + 1)]
  return {
    str(turn): lambda turn=turn: suppress(*given[turn], THRESHOLD).tolist()
    for turn in range(TURNS + 1)
  }


def main():
  """Prints the JSON line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--poses', type=int, default=POSES)
  count = parser.parse_args().poses
  if count < 1:
    parser.error(f'--poses must be 1 or more, got {count}')
  machine.prepare()
  sides = [f'ours {count}', f'plain {count}']
  found = {side: [] for side in sides}
  with turns.players(make, sides) as ask:
    for turn in range(TURNS + 1):
      for side in sides:
        found[side].append(ask(side, str(turn)))
  # The first turn warms up.
  ours, plain = (found[side][1:] for side in sides)
  machine.print_line(
    {
      'benchmark': 'oks_nms',
      'poses': count,
      'kept': len(ours[0].value),
      'threshold': THRESHOLD,
      'seconds': round(turns.seconds(ours), 4),
      'peer': "one OKS a pair, mmpose's formulation",
      'peer_seconds': round(turns.seconds(plain), 4),
      'turns': TURNS,
      'times_faster': round(turns.times_faster(ours, plain), 1),
      'kept_poses_equal': all(a.value == b.value for a, b in zip(ours, plain)),
      'numpy': np.__version__,
    }
  )


if __name__ == '__main__':
  main()
