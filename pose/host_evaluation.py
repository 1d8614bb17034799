"""What an evaluation gathers on the host, and the files that it leaves."""

import collections
import os

import numpy as np

from official_repro.data import batching
from official_repro.data.coco_results import image_id
from pose import evaluate, inference, tables
from pose import people as people_lib

# Of data.evaluation_dataset, and of the network: joints in the picture.
TRUE = ('source_id', 'box')
FOUND = ('joints',)


class HostEvaluation:
  """COCO's keypoint numbers over a split, and the poses themselves.

  Args:
    people: of the split, what is true.
    boxes: where the crops came from, see evaluate.KeypointEvaluation.
    oks_threshold: of poses on a picture that are more alike than this, the one
      with the lower score is left out.
  """

  def __init__(
    self, people: people_lib.People, boxes: str, oks_threshold: float
  ):
    self._people, self._boxes = people, boxes
    self._threshold = oks_threshold
    self._found = collections.defaultdict(list)

  def add(self, batch: dict) -> None:
    """Adds one replica's share of a batch, which may be empty.

    Args:
      batch: arrays under the names of TRUE and, with 'found_' before them, of
        FOUND: source_id uint8 [B, 256], box [B, 4] and found_joints
        [B, K, 3], y, x and score in pixels of the picture.
    """
    for name, box, joints in zip(
      batch['source_id'], batch['box'], batch['found_joints']
    ):
      self._found[batching.text_of(name)].append((joints, box))

  def evaluation(self) -> evaluate.KeypointEvaluation:
    """Returns what was found beside what is true, without doubles."""
    done = evaluate.KeypointEvaluation(self._boxes)
    names = self._people.source_ids.tolist()
    ids = [image_id(name) for name in names]
    if not all(isinstance(i, int) for i in ids):
      ids = names
    for p, (name, identity) in enumerate(zip(names, ids)):
      own = self._people.of_picture(p)
      done.add_truth(
        identity,
        self._people.joints[own],
        self._people.boxes[own],
        self._people.area[own],
        self._people.is_crowd[own],
      )
      if name in self._found:
        joints, boxes = map(np.stack, zip(*self._found[name]))
        kept = inference.distinct(joints, boxes, self._threshold)
        joints = joints[kept]
        done.add(identity, joints, inference.pose_scores(joints))
    return done


def save(
  evaluation: evaluate.KeypointEvaluation, folder: str, split: str
) -> None:
  """Writes poses-SPLIT.json (COCO's results) and joints-SPLIT.txt.

  Files of an earlier evaluation of the split are replaced.

  Args:
    evaluation: of HostEvaluation.
    folder: where to.
    split: for the names of the files.
  """
  evaluation.save_results(os.path.join(folder, f'poses-{split}.json'))
  table = tables.format_table(evaluation.metrics(), evaluation.per_joint())
  path = os.path.join(folder, f'joints-{split}.txt')
  with open(path + '.tmp', 'w', encoding='utf-8') as f:
    f.write(table + '\n')
  os.replace(path + '.tmp', path)
