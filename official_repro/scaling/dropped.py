"""How many near-duplicates a study has taken out of its pre-training data."""

import json
import os
import pathlib
from typing import NamedTuple

_REPORT = 'dedup.json'  # of official_repro.dedup
UNKNOWN = (
  'How many records were dropped is not known here: the study has no data '
  f'folder with a {_REPORT}.'
)
NOTHING = (
  'So both ways of pre-training have the same pictures, and what differs '
  'between them is no effect of near-duplicates.'
)


class Dropped(NamedTuple):
  """What one run of official_repro.dedup took out.

  Attributes:
    data: name of the data folder that it made.
    split: that lost records.
    dropped: records.
    records: of the split before.
    against: splits that they are copies of; empty: of each other.
  """

  data: str
  split: str
  dropped: int
  records: int
  against: tuple

  @property
  def sentence(self) -> str:
    """The numbers in words."""
    of = f' of {" and ".join(self.against)}' if self.against else ''
    return (
      f'{self.data}: {self.dropped:,} of {self.records:,} records of '
      f'{self.split} were dropped as near-duplicates{of}.'
    )


def read(folder: os.PathLike) -> list[Dropped]:
  """Reads what the data folders of a study say.

  Args:
    folder: the study's.

  Returns:
    One for each removal, by the folder's name; damaged files are passed over.
  """
  found = []
  for path in sorted(pathlib.Path(folder, 'data').glob(f'*/{_REPORT}')):
    try:
      numbers = json.loads(path.read_text(encoding='utf-8'))
      against = tuple(a['name'] for a in numbers['against'])
      values = (int(numbers[key]) for key in ('dropped', 'records'))
      found.append(
        Dropped(path.parent.name, numbers['split'], *values, against)
      )
    except (KeyError, OSError, TypeError, ValueError):
      continue
  return found
