"""Which classes a segmentation net has, and what their mask values are.

Category i of the data is mask value i + 1, as in PASCAL VOC; 0 is the
background, which no labels.tsv names, and 255 what is neither learnt nor
counted.
"""

import dataclasses
from collections.abc import Sequence

from official_repro.data import hierarchy as hierarchy_lib
from official_repro.data import manifest

BACKGROUND = 'background'
IGNORE = 255


@dataclasses.dataclass(frozen=True)
class LabelSpace:
  """The classes of a segmentation net.

  Attributes:
    hierarchy: its C categories; label i is class i + 1.
  """

  hierarchy: hierarchy_lib.Hierarchy

  @property
  def num_classes(self) -> int:
    """C + 1: the categories and the background."""
    return self.hierarchy.num_classes + 1

  @property
  def names(self) -> Sequence[str]:
    """[C + 1] names by mask value, the background first."""
    return [BACKGROUND, *self.hierarchy.names]


def load(dataset: manifest.Dataset) -> LabelSpace:
  """Returns the label space of a data folder.

  Raises:
    ValueError: more categories than a mask has values, or a subset with a
      vocabulary of its own, as masks cannot be given other numbers.
  """
  if dataset.label_map is not None:
    raise ValueError(
      f'Data folder {str(dataset.data_dir)!r} is a subset with a vocabulary of '
      'its own, but the masks in its records have the numbers of the whole '
      'label space; make the subset without --labels.'
    )
  return of(dataset.hierarchy)


def of(hierarchy: hierarchy_lib.Hierarchy) -> LabelSpace:
  """Returns the label space of a labels.tsv.

  Raises:
    ValueError: more categories than a mask has values.
  """
  if hierarchy.num_classes >= IGNORE:
    raise ValueError(
      f'A mask of 8 bits has room for {IGNORE - 1} categories, but labels.tsv '
      f'has {hierarchy.num_classes}.'
    )
  return LabelSpace(hierarchy)
