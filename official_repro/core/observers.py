"""What watches a run: progress line, metrics.jsonl, loss guard, signals."""

import contextlib
import json
import math
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

import numpy as np

from official_repro.core import flags as core_flags

_LOG_SECONDS = 10.0  # between lines of progress in a log


def duration(seconds: float) -> str:
  """Seconds as 0:07, 12:30 or 3:05:00."""
  if not math.isfinite(seconds):
    return '?'
  minutes, second = divmod(int(seconds + 0.5), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f'{hours}:{minutes:02d}:{second:02d}'
  return f'{minutes}:{second:02d}'


class Progress:
  """One line on stderr: step, loss, learning rate, images/s, data wait, ETA.

  On a terminal the line is rewritten every second; in a log a new one comes
  every ten.
  """

  def __init__(self, trainer, train_steps: int, stream=None):
    self._trainer = trainer
    self._steps = train_steps
    self._stream = stream or sys.stderr
    self._tty = self._stream.isatty()
    self._every = 1.0 if self._tty else _LOG_SECONDS
    self._open = False
    self._compiled = False
    self.restart()

  def restart(self) -> None:
    """Forgets the past, so that a pause (an evaluation) costs no speed."""
    self._time = time.perf_counter()
    self._step = int(self._trainer.global_step.numpy())
    self._wait = self._trainer.data_wait

  def __call__(self) -> None:
    """Shows a new line when it is time."""
    if not self._compiled:  # the first step's time says nothing of the next
      self._compiled = True
      self.restart()
    if time.perf_counter() - self._time >= self._every:
      self.show()

  def show(self, loss: Optional[float] = None) -> None:
    """Shows a line now.

    Args:
      loss: mean since the last point of the curve; by default the trainer's.
    """
    trainer = self._trainer
    step = int(trainer.global_step.numpy())
    elapsed = time.perf_counter() - self._time
    done = step - self._step
    if not done:
      return
    rate = done / max(elapsed, 1e-9)
    wait = trainer.data_wait - self._wait
    if loss is None:
      loss = float(trainer.train_loss.result())
    text = (
      f'step {step}/{self._steps}'
      f'  loss {loss:.4g}'
      f'  lr {learning_rate(trainer):.3g}'
      f'  {rate * trainer.batch_size:.0f} images/s'
      f'  data wait {100 * min(1, wait / elapsed):.0f}%'
      f'  ETA {duration((self._steps - step) / rate)}'
    )
    print(
      f'\r{text:<78}' if self._tty else text,
      end='' if self._tty else '\n',
      file=self._stream,
      flush=True,
    )
    self._open = self._tty
    self.restart()

  def end_line(self) -> None:
    """Ends a rewritten line, so that other text starts on a new one."""
    if self._open:
      print(file=self._stream)
      self._open = False


class EvaluationProgress:
  """A line on stderr every ten seconds: batches done, of how many, ETA."""

  def __init__(self, batches: int, stream=None):
    self._batches = batches
    self._stream = stream or sys.stderr
    self._done = 0
    self._start = self._shown = time.perf_counter()

  def __call__(self) -> None:
    """Counts a batch; shows a line when it is time."""
    self._done += 1
    now = time.perf_counter()
    if now - self._shown < _LOG_SECONDS:
      return
    self._shown = now
    left = (now - self._start) / self._done * (self._batches - self._done)
    print(
      f'evaluating: batch {self._done}/{self._batches}  ETA {duration(left)}',
      file=self._stream,
      flush=True,
    )


def learning_rate(trainer) -> float:
  """Returns the learning rate of the present step."""
  rate = trainer.optimizer.learning_rate
  return float(rate(trainer.global_step) if callable(rate) else rate)


def append_metrics(
  model_dir: str,
  *,
  step: int,
  examples_seen: int,
  split: str,
  metrics: Mapping[str, Any],
) -> None:
  """Appends one line to model_dir/metrics.jsonl (contract: architecture).

  Args:
    model_dir: the run's folder.
    step: optimizer steps so far.
    examples_seen: training examples consumed so far.
    split: name of the split that was evaluated.
    metrics: {name: number}; NaN is written as null, as JSON has none.
  """
  values = {k: float(v) for k, v in metrics.items()}
  line = {
    'step': int(step),
    'examples_seen': int(examples_seen),
    'split': split,
    'metrics': {
      k: v if math.isfinite(v) else None for k, v in sorted(values.items())
    },
  }
  with open(
    os.path.join(model_dir, 'metrics.jsonl'), 'a', encoding='utf-8'
  ) as f:
    f.write(json.dumps(line) + '\n')


def check_loss(
  trainer,
  model_dir: str,
  record_ids: Optional[Callable[[int], Sequence[str]]],
) -> None:
  """Stops the run when a loss was not finite.

  Args:
    trainer: Trainer.
    model_dir: gets nonfinite-STEP.json with the ids of the step's records.
    record_ids: takes the position of a batch, returns its record ids; None:
      another process writes them.

  Raises:
    ValueError: some step's loss was NaN or infinite.
  """
  step = trainer.bad_step()
  if step is None:
    return
  path = os.path.join(model_dir, f'nonfinite-{step}.json')
  if record_ids:
    _write_records(trainer, step, path, record_ids)
  raise ValueError(
    f'The loss of step {step} is not finite; nothing was saved after the last '
    f'checkpoint. The records of its batch are in {path}; look at them, or '
    'lower --learning_rate.'
  )


def _write_records(trainer, step, path, record_ids):
  since = int(trainer.global_step.numpy()) - step + 1
  position = int(trainer.position.numpy()) - since * trainer.batch_size
  with open(path, 'w', encoding='utf-8') as f:
    json.dump(
      {
        'step': step,
        'position': position,
        'learning_rate': learning_rate(trainer),
        'records': list(record_ids(position)),
      },
      f,
      indent=1,
    )


class SignalFlag:
  """Remembers SIGTERM, so that the loop can save before it ends."""

  def __init__(self):
    self.received: Optional[int] = None

  @contextlib.contextmanager
  def listening(self):
    """Within it, SIGTERM is remembered instead of ending the process."""
    before = signal.signal(signal.SIGTERM, self._remember)
    try:
      yield self
    finally:
      signal.signal(signal.SIGTERM, before)

  def _remember(self, number, frame):
    del frame
    self.received = number

  def __call__(self) -> bool:
    """Whether the signal has come."""
    return self.received is not None


def stop(step: int, checkpoint: str) -> None:
  """Ends a run whose state is saved.

  Raises:
    flags.StoppedError: always; the binary exits with 143.
  """
  raise core_flags.StoppedError(
    f'Stopped by SIGTERM at step {step}; saved {checkpoint}. The same command '
    'goes on from there.'
  )


def to_floats(logs: Mapping[str, Any], prefix: str = '') -> dict:
  """Flattens an evaluation's nested outputs to {name: float}."""
  out = {}
  for name, value in logs.items():
    if isinstance(value, Mapping):
      out.update(to_floats(value, f'{prefix}{name}/'))
    else:
      value = value.numpy() if hasattr(value, 'numpy') else value
      if np.ndim(value) == 0:
        out[f'{prefix}{name}'] = float(value)
  return out
