"""Sides of a benchmark that are this checkout or another one, see turns.

ours   this checkout, oneDNN as --onednn=auto chooses.
off    this checkout without oneDNN.
base   another checkout (--base=FOLDER), with --base_onednn=default what
       TensorFlow chooses, on or off. `off` makes a CPU with AVX-512 do what
       TensorFlow does on one with AVX2.
"""

import argparse
import os
import sys
from typing import NamedTuple, Optional

# TensorFlow's own.
VARIABLE = 'TF_ENABLE_ONEDNN_OPTS'
_OURS = ('official_repro', 'object_detection', 'deeplab', 'pose')


class Sides(NamedTuple):
  """Where the sides come from; picklable.

  Attributes:
    base: folder of the other checkout, None: there is none.
    base_onednn: default, on or off.
  """

  base: Optional[str]
  base_onednn: str

  @property
  def names(self) -> list[str]:
    """The sides, in the order of a turn."""
    return ['ours', 'off', *(['base'] if self.base else [])]

  def enter(self, side: str) -> None:
    """Makes this process one of the side; to be called before its imports."""
    os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
    if side == 'base':
      for name in [n for n in sys.modules if n.split('.')[0] in _OURS]:
        del sys.modules[name]
      sys.path.insert(0, self.base)
    if side in ('base', 'peer'):
      set_onednn(self.base_onednn)
      return
    if side == 'off':
      set_onednn('off')


def set_onednn(wanted: str) -> None:
  """Before TensorFlow is imported: default (what it chooses), on or off."""
  os.environ.pop(VARIABLE, None)
  if wanted != 'default':
    os.environ[VARIABLE] = '1' if wanted == 'on' else '0'


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds --base and --base_onednn."""
  parser.add_argument('--base', help='Folder of another checkout.')
  parser.add_argument(
    '--base_onednn', choices=['default', 'on', 'off'], default='default'
  )


def from_flags(options: argparse.Namespace) -> Sides:
  """Returns the Sides of parsed flags.

  Raises:
    ValueError: --base is no checkout.
  """
  base = options.base and os.path.abspath(options.base)
  if base and not os.path.isdir(os.path.join(base, 'official_repro')):
    raise ValueError(f'--base={options.base} has no official_repro/.')
  return Sides(base, options.base_onednn)
