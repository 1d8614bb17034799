import io
import json
import subprocess
import sys

import pytest

from official_repro.core import watchdog
from tests.cluster import waiting


class Clock:
  """Stands in for the module time: a test says how late it is."""

  def __init__(self):
    self.now = 1000.0

  def time(self):
    return self.now

  def pass_by(self, seconds, folder, name):
    """Lets time pass, and waits until a watchdog has looked at it."""
    path = folder / '.tasks' / f'{name}.json'
    waiting.until(path.exists, what='the first sign of life')
    self.now += seconds
    for _ in range(2):  # it writes first: the second sign follows the look
      self.now += 1e-6
      written = lambda: json.loads(path.read_text())['written'] == self.now
      waiting.until(written, what='a sign of life')


@pytest.fixture
def clock(monkeypatch):
  made = Clock()
  monkeypatch.setattr(watchdog, 'time', made)
  return made


class Stream(io.StringIO):
  """What faulthandler can write to: it wants a file descriptor."""

  def __init__(self, path):
    super().__init__()
    self.file = open(path, 'w+', encoding='utf-8')  # noqa: SIM115

  def fileno(self):
    return self.file.fileno()

  def text(self):
    self.file.seek(0)
    return self.getvalue() + self.file.read()


def sign(folder, name, now, silent=1, doing='step'):
  values = {
    'step': 3,
    'doing': doing,
    'since': now - 7,
    'written': now - silent,
  }
  (folder / f'{name}.json').write_text(json.dumps(values))


def test_each_task_has_its_line(tmp_path, clock):
  sign(tmp_path, 'worker-0', clock.now)
  sign(tmp_path, 'worker-1', clock.now, silent=30, doing='data')
  sign(tmp_path, 'worker-2', clock.now, doing='ended')
  (tmp_path / 'worker-3.json').write_text('{')
  tasks = [f'worker-{i}' for i in range(4)]
  assert watchdog.describe(str(tmp_path), tasks, 600) == [
    '  worker-0: step 3, step for 7 s',
    '  worker-1: MISSING, no sign of life for 30 s, last: step 3, data for 7 s',
    '  worker-2: ended at step 3',
    '  worker-3: MISSING, gave no sign of life yet',
  ]


@pytest.mark.parametrize('seconds, missing', [(2.4, True), (8, False)])
def test_who_is_silent_when_the_alarm_comes_is_missing(
  tmp_path, clock, seconds, missing
):
  # A sign every 2.4 / 8 = .3 s: missing after 5 of them, 1.5 s. Or every
  # second: after 5 s.
  sign(tmp_path, 'worker-0', clock.now, silent=2.4)
  (line,) = watchdog.describe(str(tmp_path), ['worker-0'], seconds)
  assert ('MISSING' in line) is missing


def test_the_first_step_may_take_three_times_as_long(tmp_path, clock):
  stream = Stream(tmp_path / 'stream')
  with watchdog.Watchdog(str(tmp_path), 'trainer', [], 0.3, stream) as dog:
    dog.beat(7, 'step')
    clock.pass_by(0.8, tmp_path, 'trainer')
    assert stream.text() == ''
    clock.pass_by(0.2, tmp_path, 'trainer')  # 1 s of 3 * .3
    assert 'at step 7 (step) of trainer' in stream.text()


def test_a_stall_is_told_once_with_stacks(tmp_path, clock):
  stream = Stream(tmp_path / 'stream')
  dog = watchdog.Watchdog(
    str(tmp_path), 'worker-0', ['worker-0', 'worker-1'], 0.2, stream
  )
  with dog:
    for step in (4, 5):
      dog.beat(step, 'step')
    for _ in range(3):
      clock.pass_by(0.3, tmp_path, 'worker-0')
    assert stream.text().count('no progress') == 1
    dog.beat(6, 'data')  # it goes on, and stalls once more
    for _ in range(3):
      clock.pass_by(0.3, tmp_path, 'worker-0')
  told = stream.text()
  assert told.count('no progress') == 2
  assert 'at step 5 (step) of worker-0' in told
  assert '  worker-1: MISSING, gave no sign of life yet' in told
  assert 'test_a_stall_is_told_once_with_stacks' in told  # a stack
  signs = json.loads((tmp_path / '.tasks' / 'worker-0.json').read_text())
  assert (signs['doing'], signs['step']) == ('ended', 6)


def test_progress_is_no_stall(tmp_path, clock):
  stream = Stream(tmp_path / 'stream')
  with watchdog.Watchdog(str(tmp_path), 'trainer', [], 0.5, stream) as dog:
    for step in range(8):
      dog.beat(step, 'step')
      clock.pass_by(0.4, tmp_path, 'trainer')
  assert stream.text() == ''


@pytest.mark.parametrize(
  'seconds, numbers, code', [(600, 10, 0), (0.1, 10**15, -14)]
)
def test_a_call_that_keeps_python_out_is_ended(seconds, numbers, code):
  # sum() neither lets other threads run nor looks for signals.
  done = subprocess.run(
    [
      sys.executable,
      '-c',
      'from official_repro.core import watchdog\n'
      f'with watchdog.time_limit({seconds}):\n'
      f'  sum(range({numbers}))\n',
    ],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == code
  assert ('line 3 in <module>' in done.stderr) == (code != 0)
