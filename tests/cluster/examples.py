"""The example specs, and what the tests ask of a task."""

import dataclasses
import pathlib
from typing import Any, Optional

import yaml

from cluster import spec

FOLDER = pathlib.Path(spec.__file__).parent / 'examples'
PATHS = sorted(FOLDER.glob('*.yaml'))
NAMES = [path.stem for path in PATHS]


@dataclasses.dataclass
class Task:
  """A task as the cluster would start it."""

  kind: str
  index: int
  words: list
  tf_config: Optional[str]
  container: Any = None


def content(name):
  return yaml.safe_load((FOLDER / f'{name}.yaml').read_text('utf-8'))


def load(name):
  return spec.load(str(FOLDER / f'{name}.yaml'))
