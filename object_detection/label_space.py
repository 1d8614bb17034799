"""Which classes a detector has, and what they are called in files.

A box label in the records is a number from 1; the detector's classes are
1..K. They differ where the data set is a subset with a vocabulary of its own,
or where only some classes are wanted.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from official_repro.data import hierarchy as hierarchy_lib
from official_repro.data import manifest


@dataclasses.dataclass(frozen=True)
class LabelSpace:
  """The classes of a detector.

  Attributes:
    hierarchy: label k - 1 is class k.
    category_ids: [K] ids in COCO's files; 1..K for other data sets.
    class_map: int32 [stored labels + 1], from the box labels of the records to
      the classes, 0 for what is left out.
  """

  hierarchy: hierarchy_lib.Hierarchy
  category_ids: Sequence[int]
  class_map: np.ndarray = dataclasses.field(repr=False)

  @property
  def names(self) -> Sequence[str]:
    """[K] names of the classes 1..K."""
    return self.hierarchy.names


def load(dataset: manifest.Dataset, classes: Sequence[str] = ()) -> LabelSpace:
  """Returns the label space of a data folder.

  Args:
    dataset: the folder.
    classes: names of those wanted, in this order; empty: all.

  Raises:
    ValueError: a name is unknown or there twice.
  """
  hierarchy = dataset.hierarchy
  stored = dataset.label_map
  if stored is None:
    stored = np.arange(hierarchy.num_classes)
  class_map = np.concatenate([[0], stored + 1]).astype(np.int32)
  ids = _category_ids(dataset, class_map)
  if not classes:
    return LabelSpace(hierarchy, ids, class_map)
  if len(set(classes)) < len(classes):
    raise ValueError(f'task.classes has a name twice: {", ".join(classes)}.')
  chosen = [hierarchy.index(name) for name in classes]
  new = np.zeros(hierarchy.num_classes + 1, np.int32)
  new[np.array(chosen) + 1] = np.arange(1, len(chosen) + 1)
  return LabelSpace(
    hierarchy_lib.Hierarchy.flat(list(classes)),
    [ids[i] for i in chosen],
    new[class_map],
  )


def _category_ids(dataset, class_map):
  """COCO's ids of the classes, where the data set was built with some."""
  classes = range(1, dataset.hierarchy.num_classes + 1)
  stored = dataset.info.get('options', {}).get('category_ids')
  if stored is None or len(stored) != len(class_map) - 1:
    return list(classes)
  ids = {int(k): int(i) for k, i in zip(class_map[1:], stored) if k}
  return [ids[k] for k in classes]
