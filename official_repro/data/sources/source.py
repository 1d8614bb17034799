"""What a source of labelled pictures is."""

import dataclasses
from collections.abc import Generator
from typing import Protocol, Union

from official_repro.data import examples
from official_repro.data import hierarchy as hierarchy_lib


@dataclasses.dataclass(frozen=True)
class BadRecord:
  """A picture that cannot be used.

  Attributes:
    source_id: as its Example would have.
    reason: a few words.
  """

  source_id: str
  reason: str


class Source(Protocol):
  """Labelled pictures by split.

  Attributes:
    name: name of the data set.
    hierarchy: the label space.
    sizes: {split name: number of items that `iterate` yields}.
    options: what the data set's content depends on, as JSON takes it.
  """

  name: str
  hierarchy: hierarchy_lib.Hierarchy
  sizes: dict
  options: dict

  def iterate(
    self, split: str, processes: int = 1
  ) -> Generator[Union[examples.Example, BadRecord], None, None]:
    """Yields the items of a split in a fixed order.

    The labels of an Example are the given ones: `label_ids` and, where there
    is one, the aligned `confidence`; `given_label_ids` stays empty.
    """
