"""What an evaluation gathers on the host, and the files that it leaves.

Batches come as numpy arrays; boxes are brought from pixels of the network's
input to pixels of the original picture here.
"""

import os

import numpy as np

from object_detection import coco_files, evaluate, label_space
from official_repro.data import batching

METRICS = ('coco', 'voc')
# Of the detector (see postprocess.detections) and of data.make_dataset.
FOUND = ('boxes', 'classes', 'scores', 'count')
TRUE = (
  'image_size',
  'original_size',
  'boxes',
  'classes',
  'valid',
  'is_crowd',
  'area',
  'source_id',
)


class HostEvaluation:
  """COCO's or VOC's numbers over a split, and the detections themselves.

  Args:
    labels: the detector's classes.
    metric: one of METRICS.
  """

  def __init__(self, labels: label_space.LabelSpace, metric: str = 'coco'):
    self._coco = evaluate.CocoEvaluation(labels.names, labels.category_ids)
    self._voc = None
    if metric == 'voc':
      self._voc = evaluate.VocEvaluation(labels.names)

  def add(self, batch: dict) -> None:
    """Adds one replica's share of a batch, which may be empty.

    Args:
      batch: arrays [B, ...] under the names of TRUE, and those of FOUND with
        'found_' before them.
    """
    for i in range(len(batch['source_id'])):
      self._add_image({key: values[i] for key, values in batch.items()})

  def _add_image(self, row):
    name = batching.text_of(row['source_id'])
    factor = row['original_size'] / row['image_size']
    factor = np.concatenate([factor, factor])
    valid, count = row['valid'], int(row['found_count'])
    true = (row['boxes'][valid] * factor, row['classes'][valid])
    found = (
      row['found_boxes'][:count] * factor,
      row['found_classes'][:count],
      row['found_scores'][:count],
    )
    crowd = row['is_crowd'][valid]
    self._coco.add_truth(name, *true, crowd, row['area'][valid])
    self._coco.add(name, *found)
    if self._voc:
      self._voc.add_truth(name, *true, crowd)
      self._voc.add(name, *found)

  @property
  def _evaluation(self):
    return self._voc or self._coco

  def metrics(self) -> dict:
    """Returns {name: float}, see evaluate.

    Raises:
      ValueError: no image, or none with an object.
    """
    return self._evaluation.metrics()

  def results(self) -> list:
    """Returns COCO's results; image ids are numbers where all are."""
    rows = self._coco.results()
    ids = {row['image_id']: None for row in rows}
    numbers = {text: coco_files.image_id(text) for text in ids}
    if not all(isinstance(n, int) for n in numbers.values()):
      return rows
    return [{**row, 'image_id': numbers[row['image_id']]} for row in rows]

  def save(self, folder: str, split: str) -> None:
    """Writes detections-SPLIT.json (COCO's results) and classes-SPLIT.txt.

    Files of an earlier evaluation of the split are replaced.
    """
    coco_files.save_results(
      os.path.join(folder, f'detections-{split}.json'), self.results()
    )
    table = evaluate.format_table(self._evaluation.per_class())
    path = os.path.join(folder, f'classes-{split}.txt')
    with open(path + '.tmp', 'w', encoding='utf-8') as f:
      f.write(table + '\n')
    os.replace(path + '.tmp', path)
