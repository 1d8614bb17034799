"""Generated pictures that stand in for JFT-300M, on any laptop."""

from official_repro.data.mini.encode import encode_jpeg, encode_png
from official_repro.data.mini.jft import Drawn, MiniExample, MiniJft
from official_repro.data.mini.sheet import contact_sheet

__all__ = [
  'Drawn',
  'MiniExample',
  'MiniJft',
  'contact_sheet',
  'encode_jpeg',
  'encode_png',
]
