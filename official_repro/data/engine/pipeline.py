"""Runs Apache Beam pipelines: on this machine, or where Beam's flags say.

`run` shows progress, collects small results and counters, and turns what goes
wrong in a worker into the one sentence that the worker's function raised.
"""

import contextlib
import contextvars
import dataclasses
import io
import json
import os
import pathlib
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Callable, Optional

from official_repro.data import parallel
from official_repro.data.engine import local as beam_local

# Importing Beam tells what it would need for clouds that nobody asked for.
with beam_local.quiet():
  import apache_beam as beam
  from apache_beam.metrics import Metrics
  from apache_beam.options import pipeline_options

NAMESPACE = 'official_repro'
_LOCAL_RUNNERS = ('DirectRunner', 'FnApiRunner', 'local')
_WRITE_SECONDS = 0.5
_POLL_SECONDS = 0.1
_STOP_TIMEOUT_SECONDS = 30
# The Tally of the pipeline that is being constructed.
_tally = contextvars.ContextVar('tally', default=None)


class StoppedError(RuntimeError):
  """Raised inside a worker once the run is over; nobody reports it."""


@dataclasses.dataclass(frozen=True)
class Result:
  """What a run gave.

  Attributes:
    values: the values of the PCollection that `construct` returned, in no
      particular order.
    counters: {name: int}.
  """

  values: list
  counters: dict


class Tally:
  """Counts work in the workers; picklable.

  A Beam counter is exact but is known only at the end, so each process also
  keeps its own count in a file, from which the progress line is made.
  """

  # {(folder, counter): [count, time of last write, file]} of this process.
  _of_process: dict = {}  # noqa: RUF012
  _lock = threading.Lock()

  def __init__(self, folder):
    self._folder = str(folder)

  def add(self, n: int = 1, counter: str = 'done') -> None:
    """Counts n; only the counter `done` drives the progress line.

    Raises:
      StoppedError: the run is over; its other workers failed or were stopped.
    """
    if n:
      Metrics.counter(NAMESPACE, counter).inc(n)
    if counter != 'done':
      return
    with self._lock:
      state = self._of_process.setdefault(self._folder, [0, 0.0, None])
      state[0] += n
      now = time.monotonic()
      if now - state[1] < _WRITE_SECONDS:
        return
      state[1] = now
      state[2] = state[2] or f'{self._folder}/done-{uuid.uuid4().hex}'
      with contextlib.suppress(OSError), open(state[2], 'w') as f:
        f.write(str(state[0]))
    if os.path.exists(stop_file(self._folder)):
      raise StoppedError('The run was stopped.')

  def fail(self, error: Exception) -> None:
    """Leaves an error for `run` to raise."""
    os_fields = [error.errno, error.strerror] if _has_errno(error) else []
    content = {
      'os': isinstance(error, OSError),
      'arguments': [*os_fields, error.filename] if os_fields else [str(error)],
    }
    path = f'{self._folder}/error-{uuid.uuid4().hex}'
    # On a full disk the message cannot be left behind; Beam's own error,
    # which has the text too, is then used.
    with contextlib.suppress(OSError):
      with open(f'{path}.tmp', 'w') as f:
        json.dump(content, f, default=str)
      os.replace(f'{path}.tmp', path)

  def done(self) -> int:
    """Returns the sum over all processes."""
    total = 0
    for path in pathlib.Path(self._folder).glob('done-*'):
      with contextlib.suppress(OSError, ValueError):
        total += int(path.read_text() or 0)
    return total

  def error(self) -> Optional[Exception]:
    """Returns the first error that a worker left, if any."""
    paths = pathlib.Path(self._folder).glob('error-*')
    paths = [p for p in paths if p.suffix != '.tmp']
    if not paths:
      return None
    content = json.loads(min(paths, key=os.path.getmtime).read_text())
    kind = OSError if content['os'] else ValueError
    return kind(*content['arguments'])


def stop_file(folder) -> str:
  """Returns the path whose existence tells workers to stop."""
  return os.path.join(str(folder), 'stop')


class _Guarded(beam.DoFn):
  """A function whose bad-input errors are left for the caller of `run`."""

  def __init__(self, function, arguments, flat):
    self._function, self._arguments = function, arguments
    self._tally, self._flat = _tally.get(), flat

  def default_label(self):
    """Returns the function's name."""
    return getattr(self._function, '__name__', 'Map')

  def process(self, element):
    try:
      result = self._function(element, *self._arguments)
      if self._flat:
        yield from result
      else:
        yield result
    except (ValueError, OSError) as e:
      if self._tally is not None:
        self._tally.fail(e)
      raise


def Map(function: Callable, *arguments) -> beam.ParDo:  # noqa: N802
  """beam.Map of function(element, *arguments); see `run` for its errors."""
  return beam.ParDo(_Guarded(function, arguments, flat=False))


def FlatMap(function: Callable, *arguments) -> beam.ParDo:  # noqa: N802
  """beam.FlatMap of function(element, *arguments); errors as `Map`."""
  return beam.ParDo(_Guarded(function, arguments, flat=True))


def local_runner(processes: int = 1, folder=None):
  """Returns Beam's runner for this machine."""
  return beam_local.runner(processes, folder and stop_file(folder))


def run(
  construct: Callable[[beam.Pipeline, Tally], Optional[beam.PCollection]],
  *,
  what: str,
  total: int = 0,
  processes: Optional[int] = None,
  beam_args: Sequence[str] = (),
  work_dir=None,
) -> Result:
  """Runs one pipeline to its end.

  Args:
    construct: adds the transforms to the pipeline; may return a PCollection of
      values that JSON takes. Functions in `Map` and `FlatMap` report their
      errors, and `tally.add` makes progress visible.
    what: name of the work in the progress line.
    total: what the counter `done` should reach; 0: no progress line.
    processes: of the local runner; None: one per core.
    beam_args: Beam's flags, such as --runner=FlinkRunner; empty: local.
    work_dir: folder for progress and results, which all workers must reach;
      None: a temporary one, for the local runner. Made and removed.

  Returns:
    Result.

  Raises:
    ValueError, OSError: as a function in `Map` or `FlatMap` raised it.
    OSError: the runner that `beam_args` name cannot be used.
    Exception: as Beam gives it: anything else that went wrong in a worker, a
      bug.
  """
  with _folder(work_dir) as folder:
    tally = Tally(folder)
    processes = processes or parallel.default_processes()
    options, local = _options(beam_args, processes)
    runner = local_runner(processes, folder) if local else None
    pipeline = beam.Pipeline(runner=runner, options=options)
    token = _tally.set(tally)
    values = construct(pipeline, tally)
    _tally.reset(token)
    if values is not None:
      _ = (
        values
        | 'ToJson' >> beam.Map(json.dumps)
        | 'WriteResults' >> beam.io.WriteToText(os.path.join(folder, 'result'))
      )
    try:
      metrics = _run_watched(pipeline, tally, folder, what, total)
    except RuntimeError as e:
      if local:
        raise
      raise OSError(f'Beam, with {" ".join(beam_args)}: {e}') from e
    counters = {
      c.key.metric.name: c.committed
      for c in metrics.query()['counters']
      if c.key.metric.namespace == NAMESPACE
    }
    return Result(list(_read_values(folder)), counters)


def _options(beam_args, processes):
  """Returns (PipelineOptions, whether the runner is the local one)."""
  options = pipeline_options.PipelineOptions(list(beam_args))
  runner = options.view_as(pipeline_options.StandardOptions).runner
  if runner in (None, *_LOCAL_RUNNERS):
    unknown = [a for a in beam_args if not a.startswith('--runner')]
    if unknown:
      raise ValueError(
        f'Unknown flag {unknown[0]}; the runner on this machine knows only '
        '--processes.'
      )
    # 'in_memory' keeps the runner's own environment, that is `beam_worker`.
    local = [f'--direct_num_workers={processes}']
    local += ['--direct_running_mode=in_memory']
    return pipeline_options.PipelineOptions(local), True
  return options, False


@contextlib.contextmanager
def _folder(work_dir) -> Iterator[str]:
  if work_dir is None:
    folder = tempfile.mkdtemp(prefix='engine-')
  else:
    folder = pathlib.Path(work_dir) / f'run-{uuid.uuid4().hex[:8]}'
    folder.mkdir(parents=True)
  try:
    yield str(folder)
  finally:
    # A worker that is being stopped may still write; that must not hide why.
    shutil.rmtree(folder, ignore_errors=True)


def _run_watched(pipeline, tally, folder, what, total):
  """Runs the pipeline in a thread; this one shows progress and can stop it."""
  outcome: dict[str, Any] = {}
  thread = threading.Thread(
    target=_run_pipeline, args=(pipeline, outcome), daemon=True
  )
  progress = parallel.Progress(what, total) if total else None
  with beam_local.quiet(), contextlib.redirect_stderr(io.StringIO()):
    thread.start()
    try:
      while thread.is_alive():
        thread.join(_POLL_SECONDS)
        if progress:
          progress.update(tally.done())
        error = tally.error()
        if error:
          _stop(folder, thread)
          raise error
    except BaseException:
      _stop(folder, thread)
      raise
  error = tally.error() or outcome.get('error')
  if error:
    raise _known(error)
  return outcome['metrics']


def _run_pipeline(pipeline, outcome):
  try:
    result = pipeline.run()
    result.wait_until_finish()
    outcome['metrics'] = result.metrics()
  except BaseException as e:
    outcome['error'] = e


def _stop(folder, thread):
  with contextlib.suppress(OSError):
    pathlib.Path(stop_file(folder)).touch()
  thread.join(_STOP_TIMEOUT_SECONDS)


def _known(error):
  """Returns the ValueError or OSError inside of a Beam error, else itself."""
  cause = error
  while cause is not None:
    if isinstance(cause, (ValueError, OSError)) and not isinstance(
      cause, json.JSONDecodeError
    ):
      return cause
    cause = cause.__cause__
  return error


def _read_values(folder):
  for path in sorted(pathlib.Path(folder).glob('result-*-of-*')):
    with open(path, encoding='utf-8') as f:
      for line in f:
        yield json.loads(line)


def _has_errno(error):
  return isinstance(error, OSError) and error.errno is not None
