"""oneDNN in the process of a peer that runs as it is installed.

It has what TensorFlow itself chooses, not what machine.prepare does:
TF_ENABLE_ONEDNN_OPTS is left to it only where it was set by the user. `off`
makes a CPU with AVX-512 do what TensorFlow does on one with AVX2.
"""

import argparse
import os

from benchmarks import versus


def add_flag(parser: argparse.ArgumentParser) -> None:
  """Adds --peer_onednn."""
  parser.add_argument(
    '--peer_onednn',
    choices=['default', 'on', 'off'],
    default='default',
    help="Of the peer; default: what the environment says, else TensorFlow's.",
  )


def from_flags(options: argparse.Namespace) -> str:
  """Returns default, environment, on or off; call it before machine.prepare.

  environment: --peer_onednn is default and the user has set the variable.
  """
  wanted = options.peer_onednn
  given = os.environ.get(versus.VARIABLE, '').strip()
  return 'environment' if wanted == 'default' and given else wanted


def enter(setting: str) -> None:
  """Makes this process the peer's; to be called before TensorFlow is imported.

  Args:
    setting: of from_flags, called in the process that started this one.
  """
  if setting != 'environment':
    versus.set_onednn(setting)
