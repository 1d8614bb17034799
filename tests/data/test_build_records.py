import csv
import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from official_repro.data import build, examples, parallel, records, sources
from official_repro.data.hierarchy import Hierarchy
from tests.conftest import shared_path

FRUIT = Hierarchy(
  range(4),
  ['food', 'fruit', 'apple', 'rock'],
  [(), (0,), (1,), ()],
  [1.0] * 4,
)


class FakeSource:
  """Examples and BadRecords from lists."""

  name = 'fake'
  hierarchy = FRUIT
  options = {'kind': 'test'}  # noqa: RUF012

  def __init__(self, **splits):
    self._splits = splits
    self.sizes = {name: len(items) for name, items in splits.items()}

  def iterate(self, split, processes=1):
    for item in self._splits[split]:
      if isinstance(item, BaseException):
        raise item
      yield item


def make(i, label_ids=(2,), confidence=None):
  return examples.Example(
    b'image', 2, 3, f'id-{i}', list(label_ids), confidence=confidence
  )


def bad(i):
  return sources.BadRecord(f'bad-{i}', 'empty file')


def read(data_dir, split='train'):
  return [
    records.decode_example(r) for r in records.iterate_records(data_dir, split)
  ]


def names(folder):
  return sorted(p.name for p in folder.iterdir())


def run(*arguments, **kwargs):
  return subprocess.run(
    [sys.executable, '-m', 'official_repro.build_records', *arguments],
    capture_output=True,
    text=True,
    check=False,
    **kwargs,
  )


def test_labels_are_filled_in_and_counted(tmp_path):
  source = FakeSource(
    train=[make(0, [2]), make(1, [3, 1]), make(2, [0])],
    validation=[make(0, [3])],
  )
  report = build.build(source, tmp_path / 'out', num_shards=1)
  read_back = read(tmp_path / 'out')
  assert [e.label_ids for e in read_back] == [[0, 1, 2], [0, 1, 3], [0]]
  assert [e.given_label_ids for e in read_back] == [[2], [3, 1], [0]]
  train = report.splits['train']
  assert (train.records, train.shards, train.bad) == (3, 1, 0)
  assert (train.given_labels, train.filled_labels) == (4, 7)
  shard = records.Dataset.load(tmp_path / 'out').split('train').shards[0]
  assert train.bytes == shard.path.stat().st_size
  # 4 / 3 = 1.33 and 7 / 3 = 2.33 labels per image.
  assert 'train: 3 records in 1 shard(s)' in str(report)
  assert '1.33 given, 2.33 filled in; 0 bad' in str(report)
  assert '4 records in' in str(report)


def test_without_fill(tmp_path):
  build.build(FakeSource(train=[make(0)]), tmp_path / 'out', fill=False)
  (example,) = read(tmp_path / 'out')
  assert example.label_ids == example.given_label_ids == [2]
  info = records.Dataset.load(tmp_path / 'out').info
  assert info == {'source': 'fake', 'options': {'kind': 'test', 'fill': False}}


def test_confidence_of_an_ancestor_is_the_largest_below(tmp_path):
  source = FakeSource(train=[make(0, [3, 2, 1], [0.25, 0.75, 0.5])])
  build.build(source, tmp_path / 'out')
  (example,) = read(tmp_path / 'out')
  # food and fruit: max(.75 of apple, .5 of fruit itself).
  assert example.label_ids == [0, 1, 2, 3]
  assert example.confidence == [0.75, 0.75, 0.75, 0.25]
  assert example.given_label_ids == [3, 2, 1]


def test_bad_images_are_listed_and_left_out(tmp_path):
  source = FakeSource(train=[make(0), bad(1), make(2)], test=[make(0)])
  report = build.build(source, tmp_path / 'out', max_bad=0.25)
  assert [e.source_id for e in read(tmp_path / 'out')] == ['id-0', 'id-2']
  assert report.splits['train'].bad == 1
  assert 'bad_records.csv' in str(report)
  with open(tmp_path / 'out' / 'bad_records.csv', newline='') as f:
    assert list(csv.reader(f)) == [
      ['split', 'source_id', 'reason'],
      ['train', 'bad-1', 'empty file'],
    ]


def test_too_many_bad_images_stop_the_build(tmp_path):
  # The third of four would do, at a quarter allowed it is the second.
  source = FakeSource(train=[bad(0), make(1), bad(2), RuntimeError()])
  with pytest.raises(ValueError, match='2 of 4 images .* --max_bad=0.25') as e:
    build.build(source, tmp_path / 'out', max_bad=0.25)
  assert "'bad-2' (empty file)" in str(e.value)
  assert names(tmp_path) == ['out.bad_records.csv']
  assert str(tmp_path / 'out.bad_records.csv') in str(e.value)


def test_a_split_without_a_usable_image(tmp_path):
  source = FakeSource(train=[make(0)], validation=[bad(0)])
  with pytest.raises(ValueError, match="'validation' has no usable image"):
    build.build(source, tmp_path / 'out', max_bad=1)
  assert names(tmp_path) == ['out.bad_records.csv']


@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize('exists', [False, True])
def test_a_failed_build_leaves_no_trace(tmp_path, error, exists):
  output = tmp_path / 'deep' / 'out'
  if exists:
    output.mkdir(parents=True)
    (output / 'notes.txt').write_text('mine')
  source = FakeSource(train=[make(0)], validation=[make(0), error()])
  with pytest.raises(error):
    build.build(source, output)
  assert output.exists() == exists
  if exists:
    assert names(output) == ['notes.txt']


def test_an_existing_data_set_is_safe(tmp_path):
  build.build(FakeSource(train=[make(0)]), tmp_path)
  before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
  with pytest.raises(ValueError, match='holds a data set already'):
    build.build(FakeSource(train=[make(1)]), tmp_path)
  with pytest.raises(RuntimeError):
    build.build(
      FakeSource(train=[make(1), RuntimeError()]), tmp_path, overwrite=True
    )
  assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_overwrite_replaces_all_of_it(tmp_path):
  (tmp_path / 'notes.txt').write_text('mine')
  old = FakeSource(train=[*map(make, range(4)), bad(0)], test=[make(0)])
  build.build(old, tmp_path, num_shards=4, max_bad=1)
  new = FakeSource(train=[make(7), make(8)])
  build.build(new, tmp_path, num_shards=2, overwrite=True)
  assert [e.source_id for e in read(tmp_path)] == ['id-7', 'id-8']
  assert names(tmp_path) == [
    'dataset.json',
    'labels.tsv',
    'notes.txt',
    'train-00000-of-00002.offsets',
    'train-00000-of-00002.tfrecord',
    'train-00001-of-00002.offsets',
    'train-00001-of-00002.tfrecord',
  ]


def test_a_build_under_way_or_killed_is_noticed(tmp_path):
  (tmp_path / '.building').mkdir()
  source = FakeSource(train=[make(0)])
  with pytest.raises(ValueError, match='another build is under way'):
    build.build(source, tmp_path)
  build.build(source, tmp_path, overwrite=True)
  assert '.building' not in names(tmp_path)
  assert len(read(tmp_path)) == 1


def test_max_bad_is_a_share(tmp_path):
  with pytest.raises(ValueError, match='from 0 to 1, got 2'):
    build.build(FakeSource(train=[make(0)]), tmp_path / 'out', max_bad=2)


def test_progress_line(capsys):
  now = [0.0]
  progress = parallel.Progress('train', 7200, clock=lambda: now[0])
  for seconds, done in ((9, 90), (12, 120), (20, 200), (24, 240)):
    now[0] = seconds
    progress.update(done)
  # At 10/s, 7,080 records take 708 s and 6,960 take 696 s.
  assert capsys.readouterr().err.splitlines() == [
    'train: 120 of 7,200 records, 10/s, 0:11:48 left',
    'train: 240 of 7,200 records, 10/s, 0:11:36 left',
  ]


def _square(i):
  return i * i


def _die(i):
  os._exit(1)


def test_ordered_map():
  items = range(5 * parallel.CHUNK + 1)
  expected = [i * i for i in items]
  assert list(parallel.ordered_map(_square, items, 1)) == expected
  assert list(parallel.ordered_map(_square, items, 2)) == expected
  assert list(parallel.ordered_map(_square, [], 2)) == []
  with pytest.raises(OSError, match='worker process was killed'):
    list(parallel.ordered_map(_die, items, 2))


def test_omniglot_through_the_binary(tmp_path):
  archive = shared_path('data', 'omniglot', 'images_background_small1.zip')
  alphabets = ('Latin', 'Greek')
  with zipfile.ZipFile(archive) as z:
    files = [
      n
      for n in z.namelist()
      if n.endswith(('_01.png', '_02.png')) and n.split('/')[1] in alphabets
    ]
    z.extractall(tmp_path, files)
  characters = sorted({'/'.join(n.split('/')[1:3]) for n in files})
  assert len(characters) == 26 + 24
  # The alphabets are the parents of their characters.
  Hierarchy(
    range(52),
    [*alphabets, *characters],
    [(), (), *((alphabets.index(c.split('/')[0]),) for c in characters)],
    [1.0] * 52,
  ).save(tmp_path / 'labels.tsv')
  with open(tmp_path / 'table.csv', 'w', newline='') as f:
    rows = csv.writer(f)
    rows.writerow(['image', 'labels', 'split'])
    for name in files:
      split = 'train' if name.endswith('_01.png') else 'validation'
      rows.writerow([name, '/'.join(name.split('/')[1:3]), split])
  output = tmp_path / 'out'
  done = run(
    '--source=csv',
    f'--csv={tmp_path / "table.csv"}',
    f'--labels={tmp_path / "labels.tsv"}',
    f'--output={output}',
    '--num_shards=3',
  )
  assert done.returncode == 0, done.stderr
  assert 'labels per image 1.00 given, 2.00 filled in; 0 bad' in done.stdout
  for split in ('train', 'validation'):
    found = read(output, split)
    assert len(found) == 50
    for example in found:
      alphabet, character = example.label_ids
      assert example.given_label_ids == [character]
      folder = example.source_id.split('/')
      assert alphabets[alphabet] == folder[1]
      assert [*alphabets, *characters][character] == '/'.join(folder[1:3])
      assert (example.height, example.width) == (105, 105)
      # 1-bit drawings come out as 8-bit PNG, which any reader takes.
      assert example.encoded[:4] == b'\x89PNG'
      assert example.encoded[24] == 8


def test_mini_jft_through_the_binary_does_not_depend_on_processes(tmp_path):
  options = ['--source=mini_jft', '--num_images=70', '--eval_images=5']
  options += ['--image_size=24', '--num_shards=3', '--seed=4']
  hashes = []
  for processes in (1, 2):
    output = tmp_path / str(processes)
    done = run(*options, f'--output={output}', f'--processes={processes}')
    assert done.returncode == 0, done.stderr
    assert 'train: 70 records in 3 shard(s)' in done.stdout
    dataset = records.Dataset.load(output)
    assert dataset.split('validation').records == 5
    assert dataset.info['options']['seed'] == 4
    hashes.append(dataset.manifest_hash)
  assert hashes[0] == hashes[1]
  for example in read(output):
    assert example.label_ids == dataset.hierarchy.fill(example.given_label_ids)


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['--output=o'], 'Flag --source is missing'),
    (['--source=csv'], 'Flag --output is missing'),
    (['--source=csv', '--output=o'], 'Flag --csv is missing'),
    (['--source=csv', '--output=o', '--csv=none.csv'], 'none.csv'),
    (['--source=csv', '--output=o', '--noise=1'], '--noise belongs to'),
    (['--source=mini_jft', '--output=o', '--image_size=4'], 'got 4'),
    (['--sorce=csv'], 'did you mean --source?'),
    (['--source=tsv'], 'tsv'),
    (['--source=mini_jft', '--output=o', '--max_bad=3'], 'max_bad'),
  ],
)
def test_wrong_use_is_one_line_and_exit_code_1(tmp_path, arguments, message):
  environment = {**os.environ, 'PYTHONPATH': os.getcwd()}
  done = run(*arguments, cwd=tmp_path, env=environment)
  assert done.returncode == 1
  assert message in done.stderr
  assert len(done.stderr.strip().splitlines()) == 1
  assert done.stdout == ''
  assert names(tmp_path) == []


def test_too_many_bad_files_through_the_binary(tmp_path):
  image = Image.fromarray(np.zeros((4, 4, 3), np.uint8))
  image.save(tmp_path / 'a.png')
  (tmp_path / 't.csv').write_text('image,labels\na.png,x\nb.png,x\n')
  options = ['--source=csv', f'--csv={tmp_path / "t.csv"}', '--eval_fraction=0']
  options.append(f'--output={tmp_path / "out"}')
  done = run(*options)
  assert done.returncode == 1
  assert 'Error: 1 of 2 images are bad' in done.stderr
  assert not (tmp_path / 'out').exists()
  assert (tmp_path / 'out.bad_records.csv').exists()
  done = run(*options, '--max_bad=0.5')
  assert done.returncode == 0, done.stderr
  listed = (tmp_path / 'out' / 'bad_records.csv').read_text()
  assert 'b.png,no such file or directory' in listed


def test_a_stopped_build_cleans_up(tmp_path):
  output = tmp_path / 'out'
  command = ['--source=mini_jft', f'--output={output}', '--num_images=1000000']
  process = subprocess.Popen(
    [sys.executable, '-m', 'official_repro.build_records', *command]
  )
  deadline = time.monotonic() + 60
  while not (output / '.building').exists() and time.monotonic() < deadline:
    time.sleep(0.05)
  time.sleep(1)
  process.send_signal(signal.SIGTERM)
  assert process.wait(timeout=60) == 143
  assert names(tmp_path) == []


def test_manifest_is_readable_json(tmp_path):
  build.build(FakeSource(train=[make(0)]), tmp_path)
  content = json.loads((tmp_path / 'dataset.json').read_text())
  assert list(content) == ['name', 'version', 'label_space', 'splits', 'info']
