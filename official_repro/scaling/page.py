"""What a report is made of, whether it is written as HTML or as Markdown."""

import dataclasses
import re
from collections.abc import Sequence
from typing import NamedTuple, Union

from matplotlib import figure

from official_repro.data.audit.tables import Table
from official_repro.scaling import claims


class Heading(NamedTuple):
  """A heading; `anchor` is unique in the page."""

  level: int
  text: str
  anchor: str


class Text(NamedTuple):
  """A paragraph; a faint one is a remark."""

  text: str
  faint: bool = False


class Tiles(NamedTuple):
  """[(value, what it is)], the most telling numbers."""

  numbers: Sequence


class Findings(NamedTuple):
  """Findings, those of one claim together."""

  findings: Sequence[claims.Finding]


class Tables(NamedTuple):
  """Tables, side by side where there is room."""

  tables: Sequence[Table]


class Plot(NamedTuple):
  """A figure.

  Attributes:
    name: unique in the page, [a-z0-9-]: file name and prefix of ids.
    figure: result of plots.draw.
    caption: what it shows.
  """

  name: str
  figure: figure.Figure
  caption: str


class Plots(NamedTuple):
  """Plots, side by side where there is room."""

  plots: Sequence[Plot]


class Commands(NamedTuple):
  """[(what it repeats, command line)]."""

  commands: Sequence


class Fold(NamedTuple):
  """What is shown on demand."""

  summary: str
  block: Union[Tables, Commands]


@dataclasses.dataclass(frozen=True)
class Page:
  """A report.

  Attributes:
    title: of the whole.
    blocks: in order.
    results: address of results.csv, seen from the page.
  """

  title: str
  blocks: Sequence
  results: str

  @property
  def studies(self) -> list:
    """The headings of the studies."""
    return [b for b in self.blocks if isinstance(b, Heading) and b.level == 2]


def claim_title(claim) -> str:
  """Returns who claims what."""
  who = 'This study asks' if claim.mark is None else f'The paper{claim.mark}'
  return f'{who}: {claim.text}'


def slug(*words) -> str:
  """Returns words as a part of a file name or anchor."""
  text = '-'.join(map(str, words)).lower()
  return re.sub(r'[^a-z0-9]+', '-', text).strip('-') or 'x'


class Names:
  """Gives each name once: the second one of a kind ends in -2."""

  def __init__(self):
    self._taken = set()

  def __call__(self, *words) -> str:
    """Returns a slug that was not returned before."""
    base = name = slug(*words)
    count = 1
    while name in self._taken:
      count += 1
      name = f'{base}-{count}'
    self._taken.add(name)
    return name
