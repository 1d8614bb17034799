"""Where labelled pictures come from."""

from official_repro.data.sources.csv_file import CsvSource
from official_repro.data.sources.mini_jft import MiniJftSource
from official_repro.data.sources.source import (
  BadRecord,
  Item,
  Reader,
  Source,
)

__all__ = ['BadRecord', 'CsvSource', 'Item', 'MiniJftSource', 'Reader', 'Source']
