import io
import json
import time

from official_repro.core import watchdog


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


def sign(folder, name, **content):
  now = time.time()
  values = {
    'step': 3,
    'doing': 'step',
    'since': now - 7,
    'written': now - 1,
    **content,
  }
  (folder / f'{name}.json').write_text(json.dumps(values))


def test_each_task_has_its_line(tmp_path):
  sign(tmp_path, 'worker-0')
  sign(tmp_path, 'worker-1', written=time.time() - 30, doing='data')
  sign(tmp_path, 'worker-2', doing='ended')
  (tmp_path / 'worker-3.json').write_text('{')
  tasks = [f'worker-{i}' for i in range(4)]
  assert watchdog.describe(str(tmp_path), tasks) == [
    '  worker-0: step 3, step for 7 s',
    '  worker-1: MISSING, no sign of life for 30 s, last: step 3, data for 7 s',
    '  worker-2: ended at step 3',
    '  worker-3: MISSING, gave no sign of life yet',
  ]


def test_a_stall_is_told_once_with_stacks(tmp_path):
  stream = Stream(tmp_path / 'stream')
  dog = watchdog.Watchdog(
    str(tmp_path), 'worker-0', ['worker-0', 'worker-1'], 0.2, stream
  )
  with dog:
    dog.beat(5, 'step')
    time.sleep(0.6)
    assert stream.text().count('no progress') == 1
    dog.beat(6, 'data')  # it goes on, and stalls once more
    time.sleep(0.6)
  told = stream.text()
  assert told.count('no progress') == 2
  assert 'at step 5 (step) of worker-0' in told
  assert '  worker-1: MISSING, gave no sign of life yet' in told
  assert 'test_a_stall_is_told_once_with_stacks' in told  # a stack
  signs = json.loads((tmp_path / '.tasks' / 'worker-0.json').read_text())
  assert (signs['doing'], signs['step']) == ('ended', 6)


def test_progress_is_no_stall(tmp_path):
  stream = Stream(tmp_path / 'stream')
  with watchdog.Watchdog(str(tmp_path), 'trainer', [], 0.5, stream) as dog:
    for step in range(8):
      dog.beat(step, 'step')
      time.sleep(0.1)
  assert stream.text() == ''
