"""What every benchmark does first and last: settings, and its JSON line.

`prepare` comes before TensorFlow is imported; the processes that a benchmark
starts inherit what it sets.
"""

import json
import os
import platform
from collections.abc import Mapping
from typing import Any

from official_repro.util import onednn


def prepare() -> None:
  """Quiets TensorFlow and chooses oneDNN as the binaries do (--onednn=auto)."""
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  onednn.apply('auto')


def facts() -> dict:
  """Returns what a time depends on: the machine, oneDNN and Python."""
  cpu = onednn.read_cpu()
  return {
    'cpu': cpu.name,
    'cpu_extensions': list(cpu.extensions),
    'cpus': os.cpu_count(),
    'onednn': onednn.enabled(),
    'python': platform.python_version(),
  }


def print_line(found: Mapping[str, Any]) -> None:
  """Prints what was found as one line of JSON, with the facts."""
  print(json.dumps({**found, **facts()}), flush=True)
