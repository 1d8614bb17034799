"""Apache Beam: on this machine, or where Beam's flags say."""

from official_repro.data.engine.pipeline import (
  FlatMap,
  Map,
  Result,
  StoppedError,
  Tally,
  beam,
  local_runner,
  run,
  stop_file,
)

__all__ = [
  'FlatMap',
  'Map',
  'Result',
  'StoppedError',
  'Tally',
  'beam',
  'local_runner',
  'run',
  'stop_file',
]
