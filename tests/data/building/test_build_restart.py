"""Builds that are stopped, killed, cut off or run out of disk."""

import errno
import hashlib
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess

import pytest

from official_repro.data import records
from official_repro.data.building import build, shards, staging
from tests import binaries
from tests.cluster import waiting
from tests.data.fakes import FakeSource, good, names, read

BUILD_RECORDS = 'official_repro.build_records'
MINI = ['--source=mini_jft', '--num_images=1000', '--eval_images=0']
MINI += ['--image_size=32', '--num_shards=24']


def finished(folder):
  """{name: inode} of the shards that are finished in a staging folder."""
  return {
    path.stem: path.with_suffix('.tfrecord').stat().st_ino
    for path in (folder / staging.FOLDER).glob('train-*.json')
  }


def start_and_send(output, number, signal_number):
  """Starts a build and signals it once `number` shards are finished.

  Returns when its workers have ended, too: they share its stderr.
  """
  arguments = [*MINI, f'--output={output}']
  process = subprocess.Popen(
    binaries.command(BUILD_RECORDS, *arguments, '--processes=2'),
    stderr=subprocess.PIPE,
    text=True,
  )
  waiting.until(
    lambda: process.poll() is not None or len(finished(output)) >= number,
    what=f'shard {number}',
  )
  process.send_signal(signal_number)
  _, error = process.communicate(timeout=waiting.SECONDS)
  return process.returncode, error, arguments


@pytest.fixture(scope='module')
def straight(tmp_path_factory):
  output = tmp_path_factory.mktemp('straight') / 'out'
  words = *MINI, f'--output={output}', '--processes=1'
  done = binaries.call(BUILD_RECORDS, *words)
  assert done.returncode == 0, done.stderr
  return records.Dataset.load(output).manifest_hash


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_build_goes_on(tmp_path, number, straight):
  output = tmp_path / 'out'
  code, error, arguments = start_and_send(output, 3, number)
  assert code == (143 if number == signal.SIGTERM else -number), error
  if number == signal.SIGTERM:
    assert error.splitlines()[-1].startswith('Stopped; the same command goes')
  assert names(output) == [staging.FOLDER]
  before = finished(output)
  assert 3 <= len(before) < 24
  for stem in before:
    path = output / staging.FOLDER / stem
    content = json.loads(path.with_suffix('.json').read_text())
    data = path.with_suffix('.tfrecord').read_bytes()
    assert hashlib.sha256(data).hexdigest() == content['sha256']
  done = binaries.call(BUILD_RECORDS, *arguments, '--processes=1')
  assert done.returncode == 0, done.stderr
  assert f'{len(before)} shard(s) were finished before' in done.stdout
  for stem, inode in before.items():
    path = output / f'{stem}-of-00024.tfrecord'
    assert path.stat().st_ino == inode  # moved, not made again
  assert staging.FOLDER not in names(output)
  assert records.Dataset.load(output).manifest_hash == straight


def test_an_unfinished_build_belongs_to_its_source(tmp_path):
  failing = FakeSource(train=[good(2), ValueError('a bad day')])
  with pytest.raises(ValueError, match='a bad day'):
    build.build(failing, tmp_path, processes=1, num_shards=2)
  assert names(tmp_path) == [staging.FOLDER]
  other = FakeSource(train=[good(2), good(3)])
  with pytest.raises(ValueError, match='unfinished build with another source'):
    build.build(other, tmp_path, num_shards=2)
  build.build(other, tmp_path, num_shards=2, overwrite=True)
  assert [e.given_label_ids for e in read(tmp_path)] == [[2], [3]]


def test_two_builds_at_once(tmp_path):
  with staging.opened(tmp_path, False):
    with pytest.raises(ValueError, match='is in use: another build writes'):
      build.build(FakeSource(train=[good(2)]), tmp_path)
    assert staging.FOLDER in names(tmp_path)


@pytest.fixture(scope='module')
def old(tmp_path_factory):
  """A data folder whose first shard has the name of the new one's."""
  folder = tmp_path_factory.mktemp('old')
  build.build(FakeSource(train=[good(3)]), folder, num_shards=1)
  return folder


@pytest.mark.parametrize(
  ('cut', 'overwrite'),
  [(0, False), (5, False), (0, True), (1, True), (4, True), (5, True)],
)
def test_a_move_that_was_cut_off_is_completed(
  tmp_path, monkeypatch, old, cut, overwrite
):
  if overwrite:
    shutil.copytree(old, tmp_path, dirs_exist_ok=True)
  source = FakeSource(train=[good(2), good(1)], test=[good(0)])
  options = {'num_shards': 1, 'overwrite': overwrite, 'processes': 1}
  moves, replace = [], os.replace

  def cut_off(here, there):
    if pathlib.Path(there).parent == tmp_path:
      if len(moves) == cut:
        raise KeyboardInterrupt
      moves.append(there)
    replace(here, there)

  monkeypatch.setattr(os, 'replace', cut_off)
  with pytest.raises(KeyboardInterrupt):
    build.build(source, tmp_path, **options)
  monkeypatch.undo()
  # Half-moved is no data set.
  with pytest.raises(FileNotFoundError, match='its build did not finish'):
    records.Dataset.load(tmp_path)
  report = build.build(source, tmp_path, **options)
  assert 'an earlier run had made all of it' in str(report)
  assert [e.given_label_ids for e in read(tmp_path)] == [[2], [1]]
  assert [e.given_label_ids for e in read(tmp_path, 'test')] == [[0]]
  assert {'report.json', 'report.html'} < set(names(tmp_path))
  assert staging.FOLDER not in names(tmp_path)


def test_disk_full(tmp_path, monkeypatch):
  write = records.ShardWriter.write

  def full(self, data):
    if 'train-00001' in str(self._path):
      raise OSError(errno.ENOSPC, 'No space left on device', str(self._path))
    return write(self, data)

  source = FakeSource(train=[good(2)] * 8)
  monkeypatch.setattr(records.ShardWriter, 'write', full)
  with pytest.raises(OSError, match='No space left on device.*train-00001'):
    build.build(source, tmp_path, num_shards=2, processes=1)
  assert names(tmp_path) == [staging.FOLDER]
  left = names(tmp_path / staging.FOLDER)
  assert [n for n in left if 'train' in n] == [
    'train-00000.json',
    'train-00000.offsets',
    'train-00000.tfrecord',
  ]
  monkeypatch.undo()
  report = build.build(source, tmp_path, num_shards=2)
  assert report.kept_shards == 1
  assert report.splits['train'].records == 8


def test_a_file_that_cannot_grow_through_the_binary(tmp_path):
  output = tmp_path / 'out'
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  for processes in (1, 2):
    # Workers inherit the limit of this process.
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
      done = binaries.call(
        BUILD_RECORDS,
        '--source=mini_jft',
        f'--output={output}',
        '--num_images=200',
        '--eval_images=0',
        '--num_shards=2',
        f'--processes={processes}',
      )
    finally:
      resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert done.returncode == 1
    (line,) = binaries.messages(done)
    assert 'File too large' in line
    assert not list(tmp_path.rglob('*.tfrecord'))


def test_a_shard_gives_its_numbers(tmp_path):
  source = FakeSource(train=[good(2), 'empty file', good(3, 0)])
  numbers = []
  job = shards.ShardJob(
    folder=str(tmp_path),
    plan_dir=str(tmp_path),
    reader=source.reader,
    hierarchy=source.hierarchy,
    trusted=True,
    max_bad=1,
  )
  from official_repro.data.building import plan

  plan.make_plan(source, tmp_path, 1)
  add = lambda n, name='done': numbers.append((name, n))
  assert shards.make_shard(('train', 0), job, add) == 'made'
  # Two pictures of 5 bytes; apple brings food and fruit with it.
  assert numbers == [
    ('done', 3),
    ('records', 2),
    ('bad', 1),
    ('bytes_before', 10),
    ('bytes_after', 10),
    ('labels_added', 2),
  ]
  numbers.clear()
  assert shards.make_shard(('train', 0), job, add) == 'kept'
  assert numbers == [('done', 3)]
