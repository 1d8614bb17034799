import csv
import functools
import io
import json

import numpy as np
import pytest
from PIL import Image

from official_repro.data import parallel, records, sources
from official_repro.data.building import build, staging
from tests.data.fakes import FakeSource, good, names, read

REPORTS = {'report.json', 'report.html'}


def test_labels_are_filled_in_and_counted(tmp_path):
  source = FakeSource(
    train=[good(2), good(3, 1), good(0)], validation=[good(3)]
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


def test_items_go_round_the_shards(tmp_path):
  source = FakeSource(train=[good(i % 4) for i in range(7)])
  build.build(source, tmp_path / 'out', num_shards=3)
  split = records.Dataset.load(tmp_path / 'out').split('train')
  assert [s.records for s in split.shards] == [3, 2, 2]
  assert [s.file for s in split.shards] == [
    f'train-0000{i}-of-00003.tfrecord' for i in range(3)
  ]
  order = [0, 3, 6, 1, 4, 2, 5]
  assert [e.source_id for e in read(tmp_path / 'out')] == [
    f'train-{i}' for i in order
  ]


def test_content_does_not_depend_on_the_runner(tmp_path):
  # Nor on the number of processes: see test_build_records.py.
  source = FakeSource(train=[good(i % 4) for i in range(40)])
  beam = ['--runner=PortableRunner', '--job_endpoint=embed']
  beam += ['--environment_type=LOOPBACK']
  hashes = set()
  for i, options in enumerate(({'processes': 1}, {'beam_args': beam})):
    build.build(source, tmp_path / str(i), **options)
    hashes.add(records.Dataset.load(tmp_path / str(i)).manifest_hash)
    assert staging.FOLDER not in names(tmp_path / str(i))
  assert len(hashes) == 1


def test_without_fill(tmp_path):
  build.build(FakeSource(train=[good(2)]), tmp_path / 'out', fill=False)
  (example,) = read(tmp_path / 'out')
  assert example.label_ids == example.given_label_ids == [2]
  info = records.Dataset.load(tmp_path / 'out').info
  options = {'kind': 'test', 'fill': False, 'resize': None}
  assert info == {'source': 'fake', 'options': options}


def test_confidence_of_an_ancestor_is_the_largest_below(tmp_path):
  source = FakeSource(train=[good(3, 2, 1, confidence=[0.25, 0.75, 0.5])])
  build.build(source, tmp_path / 'out')
  (example,) = read(tmp_path / 'out')
  # food and fruit: max(.75 of apple, .5 of fruit itself).
  assert example.label_ids == [0, 1, 2, 3]
  assert example.confidence == [0.75, 0.75, 0.75, 0.25]
  assert example.given_label_ids == [3, 2, 1]


def test_bad_images_are_listed_and_left_out(tmp_path):
  source = FakeSource(train=[good(2), 'empty file', good(2)], test=[good(2)])
  report = build.build(source, tmp_path / 'out', max_bad=0.25)
  found = [e.source_id for e in read(tmp_path / 'out')]
  assert sorted(found) == ['train-0', 'train-2']
  assert report.splits['train'].bad == 1
  assert 'bad_records.csv' in str(report)
  with open(tmp_path / 'out' / 'bad_records.csv', newline='') as f:
    assert list(csv.reader(f)) == [
      ['split', 'source_id', 'reason'],
      ['train', 'train-1', 'empty file'],
    ]
  content = json.loads((tmp_path / 'out' / 'report.json').read_text())
  assert content['splits']['train']['bad'] == 1


def test_too_many_bad_images_stop_the_build(tmp_path):
  source = FakeSource(train=['empty file', good(2), 'no such file', good(2)])
  message = '2 of 4 images are bad, more than --max_bad=0.25 allows'
  with pytest.raises(ValueError, match=message) as e:
    build.build(source, tmp_path / 'out', max_bad=0.25)
  assert "'train-2' (no such file)" in str(e.value)
  assert str(tmp_path / 'out.bad_records.csv') in str(e.value)
  listed = (tmp_path / 'out.bad_records.csv').read_text()
  assert listed.splitlines()[1:] == [
    'train,train-0,empty file',
    'train,train-2,no such file',
  ]
  # Nothing under a final name; what was made serves a more patient build.
  assert names(tmp_path / 'out') == [staging.FOLDER]
  report = build.build(source, tmp_path / 'out', max_bad=0.5)
  assert report.kept_shards > 0
  assert report.splits['train'].records == 2


def test_a_shard_full_of_bad_images_is_given_up_early(tmp_path):
  source = FakeSource(train=['gone', 'gone', ValueError('read too much')] * 2)
  with pytest.raises(ValueError, match='2 of 6 images are bad'):
    build.build(source, tmp_path / 'out', num_shards=1, max_bad=1 / 6)


def test_a_split_without_a_usable_image(tmp_path):
  source = FakeSource(train=[good(2)], validation=['empty file'])
  with pytest.raises(ValueError, match="'validation' has no usable image"):
    build.build(source, tmp_path / 'out', max_bad=1)


@pytest.mark.parametrize('exists', [False, True])
def test_a_build_that_fails_at_once_leaves_no_trace(tmp_path, exists):
  output = tmp_path / 'deep' / 'out'
  if exists:
    output.mkdir(parents=True)
    (output / 'notes.txt').write_text('mine')
  source = FakeSource(train=[ValueError('a bad day')])
  with pytest.raises(ValueError, match=r'^a bad day$'):
    build.build(source, output)
  assert output.exists() == exists
  if exists:
    assert names(output) == ['notes.txt']


def test_an_existing_data_set_is_safe(tmp_path):
  build.build(FakeSource(train=[good(2)]), tmp_path)
  before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
  with pytest.raises(ValueError, match='holds a data set already'):
    build.build(FakeSource(train=[good(1)]), tmp_path)
  failing = FakeSource(train=[OSError(28, 'No space left on device', 'x')])
  with pytest.raises(OSError, match='No space left'):
    build.build(failing, tmp_path, overwrite=True)
  assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_overwrite_replaces_all_of_it(tmp_path):
  (tmp_path / 'notes.txt').write_text('mine')
  old = FakeSource(train=[good(2)] * 4 + ['empty file'], test=[good(2)])
  build.build(old, tmp_path, num_shards=5, max_bad=1)
  assert 'bad_records.csv' in names(tmp_path)
  new = FakeSource(train=[good(1), good(3)])
  build.build(new, tmp_path, num_shards=2, overwrite=True)
  assert [e.given_label_ids for e in read(tmp_path)] == [[1], [3]]
  assert set(names(tmp_path)) - REPORTS == {
    'dataset.json',
    'labels.tsv',
    'notes.txt',
    'train-00000-of-00002.offsets',
    'train-00000-of-00002.tfrecord',
    'train-00001-of-00002.offsets',
    'train-00001-of-00002.tfrecord',
  }


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'max_bad': 2}, 'from 0 to 1, got 2'),
    ({'num_shards': 0}, 'at least 1, got 0'),
    ({'resize': 0}, 'at least 1 pixel, got 0'),
  ],
)
def test_arguments_are_checked(tmp_path, options, message):
  with pytest.raises(ValueError, match=message):
    build.build(FakeSource(train=[good(2)]), tmp_path / 'out', **options)
  assert names(tmp_path) == []


def test_boxes_forbid_resizing(tmp_path):
  source = FakeSource(train=[good(2)])
  source.has_objects = True
  with pytest.raises(ValueError, match='--resize=340 would change the shape'):
    build.build(source, tmp_path / 'out', resize=340)


@pytest.mark.parametrize(('orientation', 'bad'), [(1, 0), (3, 1)])
def test_turned_pictures_with_boxes_are_bad(tmp_path, orientation, bad):
  exif = Image.Exif()
  exif[0x0112] = orientation
  out = io.BytesIO()
  Image.new('RGB', (8, 6), 'red').save(out, 'JPEG', exif=exif)
  shared = {'height': 0, 'width': 0, 'label_ids': [1]}
  plain = records.Example(out.getvalue(), source_id='plain', **shared)
  boxed = records.Example(out.getvalue(), source_id='boxed', **shared)
  boxed.boxes = np.array([[0, 0, 0.5, 0.5]], np.float32)
  boxed.box_labels = np.array([1])
  source = FakeSource(train=[good(1), good(1)])
  source.trusted = False
  source.reader = functools.partial(_pick, [plain, boxed])
  report = build.build(source, tmp_path, max_bad=0.5, processes=1)
  assert report.splits['train'].bad == bad
  if bad:
    listed = (tmp_path / 'bad_records.csv').read_text()
    assert 'boxed,"has boxes or a mask, but EXIF data that turn' in listed


def _pick(found, item):
  return found[int(item.source_id.split('-')[1])]


def test_a_source_id_that_occurs_twice(tmp_path):
  source = FakeSource(train=[good(2)] * 3)
  source.items = lambda: iter(
    [sources.Item('train', i, good(2)) for i in ('a', 'b', 'a')]
  )
  with pytest.raises(ValueError, match=r"'a' occurs twice .*images 0 and 2"):
    build.build(source, tmp_path / 'out')
  assert names(tmp_path) == []


def test_a_source_that_changes_meanwhile(tmp_path):
  source = FakeSource(train=[good(2)])
  source.sizes = {'train': 2}
  with pytest.raises(ValueError, match='announced 2 images .* and gave 1'):
    build.build(source, tmp_path / 'out')


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


def test_manifest_is_readable_json(tmp_path):
  build.build(FakeSource(train=[good(2)]), tmp_path)
  content = json.loads((tmp_path / 'dataset.json').read_text())
  assert list(content) == ['name', 'version', 'label_space', 'splits', 'info']


def test_overwriting_a_subset_leaves_its_parent_alone(tmp_path):
  from official_repro.data import subsets

  full, part = tmp_path / 'full', tmp_path / 'part'
  build.build(FakeSource(train=[good(2), good(3)]), full, num_shards=1)
  before = {p.name: p.read_bytes() for p in full.iterdir()}
  subsets.write_subset(
    full, part, {'train': [np.array([True, False])]}, name='part', info={}
  )
  assert any(n.endswith('.selection') for n in names(part))
  build.build(FakeSource(train=[good(1)]), part, num_shards=1, overwrite=True)
  assert [e.given_label_ids for e in read(part)] == [[1]]
  assert not any(n.endswith('.selection') for n in names(part))
  assert {p.name: p.read_bytes() for p in full.iterdir()} == before
