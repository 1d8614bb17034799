import os
import pathlib
import socket
import threading
import time

import apache_beam as beam
import pytest
from apache_beam.testing import test_pipeline, util

from official_repro.data import engine
from official_repro.data.engine import local as beam_local
from official_repro.data.engine import pipeline
from tests.cluster import waiting
from tests.data import fakes


def square(i):
  return i * i


def repeat(i):
  return [i] * i


def counted(i, tally):
  tally.add()
  tally.add(i, 'sum')
  return {'i': i, 'pid': os.getpid()}


def out_of_space(i):
  if i == 3:
    raise OSError(28, 'No space left on device', '/full/disk')
  return i


def wrong(i):
  raise ValueError(f'Item {i} is wrong.')


def broken(i):
  raise KeyError('a bug')


def long(i, folder, tally):
  """Ends when the run is stopped; leaves who works, and then that it ended."""
  path = pathlib.Path(folder, str(i))
  path.with_suffix('.part').write_text(str(os.getpid()))
  path.with_suffix('.part').rename(path)
  try:
    for _ in range(40_000):  # half an hour, much longer than anyone waits
      tally.add(0)
      time.sleep(0.05)
  except engine.StoppedError:
    path.with_suffix('.stopped').touch()
    raise


def is_over(path):
  """Whether the work on an item has been given up, or its process is gone."""
  if path.with_suffix('.stopped').exists():
    return True
  try:
    os.kill(int(path.read_text()), 0)
  except ProcessLookupError:
    return True
  return False


def pipeline_of(transform, values=range(6)):
  return lambda pipeline, tally: (
    pipeline | beam.Create(values) | engine.Map(transform)
  )


def test_transforms():
  with test_pipeline.TestPipeline(runner=engine.local_runner()) as pipeline:
    squares = pipeline | beam.Create([1, 2, 3]) | 'S' >> engine.Map(square)
    many = pipeline | 'C' >> beam.Create([1, 3]) | engine.FlatMap(repeat)
    util.assert_that(squares, util.equal_to([1, 4, 9]))
    util.assert_that(many, util.equal_to([1, 3, 3, 3]), label='many')


def run_counted(processes):
  return engine.run(
    lambda pipeline, tally: (
      pipeline | beam.Create(range(6)) | engine.Map(counted, tally)
    ),
    what='test',
    total=6,
    processes=processes,
  )


@pytest.fixture(scope='module')
def of_two_processes():
  """Result of two workers, and where they were listened to: (address, port)."""
  ports = []
  listen = beam_local.grpc.server

  def server(*args, **kwargs):
    made = listen(*args, **kwargs)
    add = made.add_insecure_port

    def remember(address):
      ports.append((address, add(address)))
      return ports[-1][1]

    made.add_insecure_port = remember
    return made

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(beam_local.grpc, 'server', server)
    return run_counted(2), ports


@pytest.mark.parametrize('processes', [1, 2])
def test_values_and_counters(processes, of_two_processes):
  result = of_two_processes[0] if processes == 2 else run_counted(1)
  assert sorted(v['i'] for v in result.values) == list(range(6))
  assert result.counters == {'done': 6, 'sum': 15}
  pids = {v['pid'] for v in result.values}
  if processes == 1:
    assert pids == {os.getpid()}
  else:
    assert len(pids) == 2
    assert os.getpid() not in pids


@pytest.mark.parametrize('processes', [1, 2])
def test_errors_keep_class_and_sentence(processes, capfd, monkeypatch):
  fakes.start_one_worker(monkeypatch)
  with pytest.raises(OSError, match='No space left on device') as e:
    engine.run(pipeline_of(out_of_space), what='test', processes=processes)
  assert (e.value.errno, e.value.filename) == (28, '/full/disk')
  with pytest.raises(ValueError, match=r'^Item \d is wrong\.$'):
    engine.run(pipeline_of(wrong), what='test', processes=processes)
  assert capfd.readouterr().err == ''


def test_a_bug_is_no_bad_input():
  with pytest.raises((KeyError, RuntimeError), match='a bug'):
    engine.run(pipeline_of(broken), what='test', processes=1)


@pytest.mark.parametrize('processes', [1, 2])
def test_an_interrupt_ends_the_workers(processes, tmp_path, monkeypatch):
  # Raised in the main thread, as a signal handler does.
  def interrupt(self, timeout=None, join=threading.Thread.join):
    join(self, timeout)
    if begun() and not interrupted:
      interrupted.append(True)
      raise KeyboardInterrupt

  def begun():
    return [path for path in tmp_path.iterdir() if not path.suffix]

  interrupted = []
  monkeypatch.setattr(threading.Thread, 'join', interrupt)
  with pytest.raises(KeyboardInterrupt):
    engine.run(
      lambda pipeline, tally: (
        pipeline
        | beam.Create(range(2))
        | engine.Map(long, str(tmp_path), tally)
      ),
      what='test',
      processes=processes,
    )
  assert begun()
  for path in begun():
    waiting.until(lambda p=path: is_over(p), what=f'the end of {path.name}')


def test_unknown_flags_and_runners():
  run = lambda *args: engine.run(
    pipeline_of(square), what='test', beam_args=args, processes=1
  )
  with pytest.raises(ValueError, match='Unknown flag --rnner=3'):
    run('--runner=DirectRunner', '--rnner=3')
  with pytest.raises(ValueError, match='Unexpected pipeline runner: NoSuch'):
    run('--runner=NoSuch')
  assert sorted(run('--runner=DirectRunner').values) == [0, 1, 4, 9, 16, 25]


def test_another_runner_and_its_work_dir(tmp_path):
  result = engine.run(
    lambda pipeline, tally: (
      pipeline | beam.Create(range(6)) | engine.Map(counted, tally)
    ),
    what='test',
    beam_args=(
      '--runner=PortableRunner',
      '--job_endpoint=embed',
      '--environment_type=LOOPBACK',
    ),
    work_dir=tmp_path,
  )
  assert sorted(v['i'] for v in result.values) == list(range(6))
  assert result.counters == {'done': 6, 'sum': 15}
  assert list(tmp_path.iterdir()) == []


def test_local_workers_listen_on_this_machine_only(of_two_processes):
  _, ports = of_two_processes
  assert ports
  assert {a.rsplit(':', 1)[0] for a, _ in ports} == {'127.0.0.1'}
  with socket.socket() as s:  # and they are closed afterwards
    assert s.connect_ex(('127.0.0.1', ports[0][1])) != 0


def test_a_worker_that_still_writes_does_not_hide_the_error(monkeypatch):
  def not_empty(*arguments, **options):
    raise OSError(39, 'Directory not empty')

  with monkeypatch.context() as patch:
    patch.setattr(os, 'rmdir', not_empty)
    with pytest.raises(ValueError, match='why'):  # noqa: SIM117
      with pipeline._folder(None) as folder:
        raise ValueError('why')
  os.rmdir(folder)  # it was made empty
