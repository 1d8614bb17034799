"""What a user sees of bad data: one sentence and exit code 1."""

import json
import pathlib
import shutil

import pytest

from official_repro.data import records
from tests import tiny


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  return tiny.build(tmp_path_factory.mktemp('data') / 'mini', images=24)


@pytest.fixture
def copy(data, tmp_path):
  return pathlib.Path(shutil.copytree(data, tmp_path / 'data'))


def _fails(data, model_dir, *words, run=tiny.call, **options):
  done = run('train', **tiny.train_options(data, model_dir, **options))
  assert done.returncode == 1, done.stderr
  errors = [x for x in done.stderr.splitlines() if x.startswith('Error: ')]
  assert len(errors) == 1
  assert done.stderr.strip().endswith(errors[0])
  assert 'Traceback' not in done.stderr
  for word in words:
    assert word in errors[0]


def _edit_manifest(folder, edit):
  path = folder / 'dataset.json'
  manifest = json.loads(path.read_text())
  edit(manifest)
  path.write_text(json.dumps(manifest))


def test_empty_split(copy, tmp_path):
  def empty(manifest):
    manifest['splits']['train'] = {'records': 0, 'shards': []}

  _edit_manifest(copy, empty)
  _fails(copy, tmp_path / 'run', "'train'", 'no records')


def test_missing_shard(copy, tmp_path):
  next(copy.glob('train-00002*.tfrecord')).unlink()
  _fails(copy, tmp_path / 'run', 'train-00002')


def test_label_id_out_of_range_names_the_record(copy, tmp_path):
  with records.RecordWriter(copy, 'odd', num_shards=1) as writer:
    for record in records.iterate_records(copy, 'validation'):
      example = records.decode_example(record)
      example.label_ids = [9999]
      example.given_label_ids = [9999]
      example.source_id = 'the-odd-one'
      writer.write(example)
      break

  def add(manifest):
    (shard,) = writer.shards
    manifest['splits']['odd'] = {
      'records': 1,
      'shards': [
        {
          'file': shard.file,
          'records': 1,
          'sha256': shard.sha256,
          'bytes': shard.bytes,
        }
      ],
    }

  _edit_manifest(copy, add)
  _fails(
    copy,
    tmp_path / 'run',
    'the-odd-one',
    '9999',
    run=tiny.process,
    override='task.train_data.split=odd',
  )


def test_init_checkpoint_that_is_absent(data, tmp_path):
  _fails(
    data,
    tmp_path / 'run',
    'no-such-1.index',
    init_checkpoint=tmp_path / 'no-such-1',
  )


def test_folder_that_cannot_be_written(data, tmp_path):
  # A read-only folder does not stop root, a file in the way does.
  file = tmp_path / 'file'
  file.write_text('x')
  _fails(data, file / 'run', '--model_dir', 'cannot be written')
