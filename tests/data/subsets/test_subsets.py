import json
import os
import shutil

import numpy as np
import pytest
from apache_beam.testing import test_pipeline, util

from official_repro.data import engine, manifest, records, subsets
from official_repro.data.hierarchy import Hierarchy
from official_repro.data.subsets import choosing
from official_repro.data.subsets.choosing import Choice
from tests import tiny

N = 300
# 0 thing > 1 fruit > 2 apple; 3 stone.
SPACE = Hierarchy(
  range(4), ['thing', 'fruit', 'apple', 'stone'], [(), (0,), (1,), ()], [1] * 4
)


def example(i, **changes):
  given = [2, 1, 3][i % 3]
  fields = {
    'encoded': bytes([i % 251]) * 2000,
    'height': 3,
    'width': 4,
    'source_id': f'id-{i}',
    'label_ids': SPACE.fill([given]),
    'given_label_ids': [given],
  }
  return records.Example(**{**fields, **changes})


def write(folder, numbers, num_shards=4, validation=10, **changes):
  shards = {}
  for split, of_split in (
    ('train', numbers),
    ('validation', range(validation)),
  ):
    with records.RecordWriter(folder, split, num_shards) as writer:
      for i in of_split:
        writer.write(example(i, **changes))
    shards[split] = writer.shards
  records.write_manifest(
    folder, name='fruit', hierarchy=SPACE, splits=shards, info={'source': 'x'}
  )
  return folder


@pytest.fixture(scope='module')
def full(tmp_path_factory):
  return write(tmp_path_factory.mktemp('data') / 'full', range(N))


@pytest.fixture
def own(tmp_path):
  """A folder that the test may damage."""
  return write(tmp_path / 'own', range(N))


def read(folder, split='train'):
  reader = records.iterate_records(folder, split)
  return [records.decode_example(r) for r in reader]


def ids(folder, split='train'):
  return [e.source_id for e in read(folder, split)]


def make(folder, output, **options):
  choice = Choice(**options)
  return choosing.make_subset(folder, output, choice, processes=1)


# Which records.


def test_the_hash_stays_what_it_is():
  # A change would choose other records than earlier versions did.
  assert choosing.hash_of('id-0') == HASH
  assert choosing.hash_of('id-0', seed=1) != HASH
  assert choosing.hash_of('bär/1') != choosing.hash_of('bar/1')


HASH = 0x1108D40806A21DC5


def test_a_fraction_takes_the_ids_with_small_hashes(full, tmp_path):
  report = make(full, tmp_path / 's', fraction=0.25)
  wanted = [f'id-{i}' for i in range(N)]
  wanted = {w for w in wanted if choosing.hash_of(w) < 2**62}
  assert set(ids(tmp_path / 's')) == wanted
  assert report.records == {'train': (len(wanted), N)}
  assert 50 < len(wanted) < 100  # 75 are expected, with deviation 7.5
  assert ids(tmp_path / 's', 'validation') == ids(full, 'validation')


def test_smaller_fractions_lie_in_larger_ones(full, tmp_path):
  kept = [set(ids(full))]
  for fraction in (0.5, 0.1, 0.03):
    make(full, tmp_path / str(fraction), fraction=fraction)
    kept.append(set(ids(tmp_path / str(fraction))))
  for larger, smaller in zip(kept, kept[1:]):
    assert smaller < larger


def test_order_and_sharding_and_other_records_do_not_matter(full, tmp_path):
  numbers = np.random.default_rng(0).permutation(N)[:200]
  write(tmp_path / 'other', numbers, num_shards=7)
  make(full, tmp_path / 'a', fraction=0.3)
  make(tmp_path / 'other', tmp_path / 'b', fraction=0.3)
  there = {f'id-{i}' for i in numbers}
  assert set(ids(tmp_path / 'b')) == set(ids(tmp_path / 'a')) & there


def test_a_number_of_images(full, tmp_path):
  for n in (40, 7):
    make(full, tmp_path / str(n), num_images=n)
  kept = set(ids(tmp_path / '40'))
  by_hash = sorted((choosing.hash_of(i), i) for i in ids(full))
  assert kept == {i for _, i in by_hash[:40]}
  assert len(ids(tmp_path / '7')) == 7
  assert set(ids(tmp_path / '7')) < kept


def test_the_order_is_that_of_the_data_set(full, tmp_path):
  make(full, tmp_path / 's', fraction=0.4)
  kept = set(ids(tmp_path / 's'))
  assert ids(tmp_path / 's') == [i for i in ids(full) if i in kept]


def test_a_seed_chooses_others(full, tmp_path):
  for seed in (0, 1):
    make(full, tmp_path / str(seed), fraction=0.3, seed=seed)
  a, b = set(ids(tmp_path / '0')), set(ids(tmp_path / '1'))
  assert a - b
  assert b - a
  hashes = {
    manifest.Dataset.load(path).manifest_hash
    for path in (full, tmp_path / '0', tmp_path / '1')
  }
  assert len(hashes) == 3


# By vocabulary.


def test_a_vocabulary(full, tmp_path):
  report = make(full, tmp_path / 's', labels=[3, 1])
  assert report.classes == (2, 4)
  assert report.records == {'train': (N, N), 'validation': (10, 10)}
  dataset = manifest.Dataset.load(tmp_path / 's')
  assert dataset.hierarchy.names == ['fruit', 'stone']
  by_id = {e.source_id: e for e in read(tmp_path / 's')}
  # Of apple the ancestor fruit stays; the given label itself vanishes.
  assert by_id['id-0'].label_ids == [0]
  assert by_id['id-0'].given_label_ids == []
  assert by_id['id-1'].given_label_ids == [0]
  assert by_id['id-2'].label_ids == [1]


def test_images_without_any_of_the_labels_drop_out(full, tmp_path):
  report = make(full, tmp_path / 's', labels=[2], fraction=0.5)
  assert report.records['validation'] == (4, 10)  # 0, 3, 6, 9
  assert ids(tmp_path / 's', 'validation') == [
    i for i in ids(full, 'validation') if int(i[3:]) % 3 == 0
  ]
  kept = ids(tmp_path / 's')
  assert kept
  for source_id in kept:
    assert int(source_id[3:]) % 3 == 0
    assert choosing.hash_of(source_id) < 2**63
  # The fraction is of the hashes, not of what the labels leave.
  make(full, tmp_path / 'n', labels=[2], num_images=5)
  assert set(ids(tmp_path / 'n')) <= set(kept)
  assert len(ids(tmp_path / 'n')) == 5


def test_two_vocabularies_of_the_same_images(full, tmp_path):
  report = make(full, tmp_path / 'few', labels=[2], num_images=20, seed=3)
  assert report.classes == (1, 4)
  report = make(full, tmp_path / 'all', having=[[2]], num_images=20, seed=3)
  assert report.classes == (4, 4)
  # Another split is not chosen from.
  assert report.records == {'train': (20, N)}
  assert ids(tmp_path / 'all') == ids(tmp_path / 'few')
  # An apple (2) is a fruit (1), a thing (0).
  assert all(e.label_ids == [0, 1, 2] for e in read(tmp_path / 'all'))
  # A fruit, and an apple or a stone: the apples.
  report = make(full, tmp_path / 'both', having=[[1], [2, 3]])
  assert all(e.label_ids == [0, 1, 2] for e in read(tmp_path / 'both'))
  assert report.records == {'train': (100, N)}


def test_a_vocabulary_counts_boxes_too(tmp_path):
  boxes = {'boxes': np.array([[0, 0, 1, 1]]), 'box_labels': [4]}
  folder = write(tmp_path / 'full', range(6), **boxes, label_ids=[])
  make(folder, tmp_path / 's', labels=[3])
  assert [e.box_labels.tolist() for e in read(tmp_path / 's')] == [[1]] * 6


def test_masks_keep_their_vocabulary(tmp_path):
  folder = write(tmp_path / 'full', range(6), segmentation_png=b'png')
  with pytest.raises(ValueError, match="Record 'id-0' has a mask"):
    make(folder, tmp_path / 's', labels=[0])


# What is written.


def test_nothing_is_copied(full, tmp_path):
  make(full, tmp_path / 's', fraction=0.1, labels=[1])
  files = sorted(p.name for p in (tmp_path / 's').iterdir())
  assert {f for f in files if not f.endswith('.selection')} == {
    'dataset.json',
    'label_map.tsv',
    'labels.tsv',
  }
  size = sum(p.stat().st_size for p in (tmp_path / 's').iterdir())
  assert size < 8000  # the records have 600,000 bytes
  content = json.loads((tmp_path / 's' / 'dataset.json').read_text())
  for shard in content['splits']['train']['shards']:
    assert not os.path.isabs(shard['file'])
    assert (tmp_path / 's' / shard['file']).samefile(
      full / os.path.basename(shard['file'])
    )
  assert content['info']['source'] == 'x'
  assert content['info']['subsets'][0]['fraction'] == 0.1
  assert content['info']['subsets'][0]['of'] == 'fruit'


def test_shards_without_selected_records_are_left_out(full, tmp_path):
  keep = [np.zeros(75, bool) for _ in range(4)]
  keep[2][[3, 70]] = True
  keep[3][:] = True
  subsets.write_subset(full, tmp_path / 's', {'train': keep}, name='s', info={})
  first, second = manifest.Dataset.load(tmp_path / 's').split('train').shards
  assert first.rows()[:, 0].tolist() == [3, 70]
  assert first.selection.name == 'train-00002-of-00004.selection'
  assert second.selection is None  # the whole shard needs no list
  # Record i lies in shard i mod 4.
  assert ids(tmp_path / 's') == ['id-14', 'id-282'] + [
    f'id-{i}' for i in range(3, N, 4)
  ]


def test_a_subset_of_a_subset_points_at_the_records(full, tmp_path):
  make(full, tmp_path / 'a', fraction=0.5, labels=[1, 2, 3])
  make(tmp_path / 'a', tmp_path / 'b' / 'c', fraction=0.2, labels=[1])
  make(full, tmp_path / 'd', fraction=0.2, labels=[2])
  assert ids(tmp_path / 'b' / 'c') == ids(tmp_path / 'd')
  assert [e.label_ids for e in read(tmp_path / 'b' / 'c')] == [
    e.label_ids for e in read(tmp_path / 'd')
  ]
  dataset = manifest.Dataset.load(tmp_path / 'b' / 'c')
  assert dataset.hierarchy.names == ['apple']
  assert dataset.label_map.tolist() == [-1, -1, 0, -1]
  shutil.rmtree(tmp_path / 'a')
  assert ids(tmp_path / 'b' / 'c') == ids(tmp_path / 'd')
  assert len(dataset.info['subsets']) == 2


def test_folders_may_move_together_but_not_apart(own, tmp_path):
  make(own, tmp_path / 's', fraction=0.3)
  expected = ids(tmp_path / 's')
  (tmp_path / 'new').mkdir()
  for name in ('own', 's'):
    shutil.move(tmp_path / name, tmp_path / 'new' / name)
  assert ids(tmp_path / 'new' / 's') == expected
  shutil.move(tmp_path / 'new' / 's', tmp_path / 's')
  with pytest.raises(FileNotFoundError, match='is a subset of the records the'):
    ids(tmp_path / 's')


def test_a_changed_shard_is_noticed(own, tmp_path):
  make(own, tmp_path / 's', fraction=0.3)
  shard = next(own.glob('train-00001*.tfrecord'))
  shard.write_bytes(shard.read_bytes() + b'x')
  with pytest.raises(ValueError, match=r'train-00001.* bytes, not the \d+ as'):
    manifest.Dataset.load(tmp_path / 's')


def test_a_damaged_selection_or_label_map_is_an_error(full, tmp_path):
  make(full, tmp_path / 's', fraction=0.3, labels=[1])
  selection = next((tmp_path / 's').glob('train*.selection'))
  selection.write_bytes(selection.read_bytes()[:-16])
  with pytest.raises(ValueError, match='make the subset again'):
    ids(tmp_path / 's')
  path = tmp_path / 's' / 'label_map.tsv'
  path.write_text(path.read_text().replace('1\t0', '1\t1'))
  with pytest.raises(ValueError, match=r'label_map\.tsv is not the file'):
    manifest.Dataset.load(tmp_path / 's')
  path.unlink()
  with pytest.raises(FileNotFoundError, match=r'label_map\.tsv is missing'):
    manifest.Dataset.load(tmp_path / 's')


def test_damaged_records_are_left_out_and_named_by_their_place(own, tmp_path):
  shard = manifest.Dataset.load(own).split('train').shards[1]
  start = shard.offsets()[5]

  def damage():
    data = bytearray(shard.path.read_bytes())
    data[start + 20] ^= 1
    shard.path.write_bytes(data)

  keep = {'train': [np.arange(75) % 5 == 0 for _ in range(4)]}
  subsets.write_subset(own, tmp_path / 'before', keep, name='s', info={})
  damage()
  reader = records.iterate_records(tmp_path / 'before', 'train')
  assert len(list(reader)) == 59
  assert reader.damaged == [(shard.file, 5)]
  report = make(own, tmp_path / 'after', labels=[0, 3])
  assert report.damaged == 1
  assert report.records['train'] == (N - 1, N)


@pytest.mark.skipif(
  not os.path.exists('/proc/self/io'), reason='needs Linux: /proc/self/io'
)
def test_few_records_are_read_without_the_whole_shard(tmp_path):
  folder = write(tmp_path / 'full', range(40), 1, encoded=bytes(100_000))
  mask = np.arange(40) % 20 == 3
  subsets.write_subset(
    folder, tmp_path / 's', {'train': [mask]}, name='s', info={}
  )

  def bytes_read():
    with open('/proc/self/io') as f:
      return int(f.readline().split()[1])

  reader = records.iterate_records(tmp_path / 's', 'train')
  before = bytes_read()
  assert len(list(reader)) == 2
  assert 200_000 < bytes_read() - before < 250_000  # the shard: 4,000,000


@pytest.mark.parametrize('place', ['write_manifest', 'sha256_of_file'])
def test_a_failure_leaves_nothing(full, tmp_path, monkeypatch, place):
  def fail(*_, **__):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(manifest, place, fail)
  with pytest.raises(OSError, match='No space left'):
    make(full, tmp_path / 's', fraction=0.3, labels=[1])
  assert list((tmp_path / 's').iterdir()) == []


def test_overwrite(full, own, tmp_path):
  choice = Choice(fraction=0.5, labels=[1])
  choosing.make_subset(full, tmp_path / 's', choice, processes=1)
  with pytest.raises(ValueError, match='holds a data set already'):
    make(full, tmp_path / 's', fraction=0.1)
  choice = Choice(num_images=1)
  choosing.make_subset(
    full, tmp_path / 's', choice, overwrite=True, processes=1
  )
  assert len(ids(tmp_path / 's')) == 1
  names = sorted(p.name for p in (tmp_path / 's').iterdir())
  assert len([n for n in names if n.endswith('.selection')]) == 1
  assert 'label_map.tsv' not in names
  for output, message in ((own, 'records of its own'), (full, 'set itself')):
    with pytest.raises(ValueError, match=message):
      choosing.make_subset(full, output, choice, overwrite=True, processes=1)
  assert len(ids(own)) == N


# Bad input.


@pytest.mark.parametrize(
  'options, message',
  [
    ({}, 'would be the whole data set'),
    ({'fraction': 0}, 'above 0 and at most 1, got 0'),
    ({'fraction': 1.5}, 'above 0 and at most 1, got 1.5'),
    ({'num_images': 0}, 'at least 1, got 0'),
    ({'num_images': 3, 'fraction': 0.5}, 'not both'),
    ({'num_images': N + 1}, '=301 is more than the 300 readable records of'),
    ({'num_images': 101, 'labels': [2]}, '100 readable records with one of'),
    (
      {'fraction': 1e-9},
      r"Nothing is left of the 300 .*'train'.*fraction=1e-0",
    ),
    ({'fraction': 0.5, 'split': 'test'}, "no split 'test'"),
    ({'num_images': 101, 'having': [[2]]}, '100 readable records with one of'),
    ({'having': [[2], [3]]}, 'having one of 1 labels and 1 labels'),
    ({'labels': [4]}, '4 is outside the range 0..3'),
  ],
)
def test_wrong_choices(full, tmp_path, options, message):
  with pytest.raises(ValueError, match=message):
    make(full, tmp_path / 's', **options)
  assert not (tmp_path / 's').exists()


def test_masks_have_to_fit(full, tmp_path):
  with pytest.raises(
    ValueError, match=r'lengths \[3\], its shards .* \[75, 75'
  ):
    subsets.write_subset(
      full, tmp_path, {'train': [np.ones(3, bool)]}, name='s', info={}
    )


# The pipeline, and the binary.


def test_the_pipeline_gives_a_value_per_shard(full, tmp_path):
  shards = manifest.Dataset.load(full).split('train').shards[:2]
  elements = [('train', i, shard) for i, shard in enumerate(shards)]

  def check(values):
    for split, index, bits, hashes, damaged in values:
      kept = np.unpackbits(choosing._decode(bits, np.uint8), count=75)
      # Shard i holds the numbers i, i + 4, ...
      expected = [choosing.hash_of(f'id-{index + 4 * k}') for k in range(75)]
      assert kept.tolist() == [int(h < 2**63) for h in expected]
      found = choosing._decode(hashes, np.uint64).tolist()
      assert found == [h for h in expected if h < 2**63]
      assert (split, damaged) == ('train', 0)
    assert sorted(v[1] for v in values) == [0, 1]

  with test_pipeline.TestPipeline(runner=engine.local_runner()) as p:
    values = choosing._construct(
      p,
      engine.Tally(tmp_path),
      shards=elements,
      split='train',
      limit=2**63,
      seed=0,
      wanted=None,
      having=(),
      with_hashes=True,
    )
    util.assert_that(values, check)


def test_the_binary(full, tmp_path):
  (tmp_path / 'l').write_text('apple\nstone\n')
  options = {'data_dir': full, 'output': tmp_path / 's', 'fraction': 0.4}
  done = tiny.call('subset', labels=tmp_path / 'l', processes=2, **options)
  assert done.returncode == 0, done.stderr
  kept = len(ids(tmp_path / 's'))
  lines = done.stdout.splitlines()
  assert lines[0] == f'train: {kept} of 300 records ({kept / 300:.2%})'
  assert lines[1] == 'validation: 7 of 10 records (70.00%)'
  assert lines[2] == 'labels: 2 of 4'
  assert f'one epoch is {-(-kept // 32)} steps at batch 32' in lines[3]
  options['output'] = tmp_path / 'h'
  done = tiny.call('subset', having=tmp_path / 'l', processes=2, **options)
  assert done.stdout.splitlines()[0] == lines[0]
  done = tiny.call('subset', **options)
  assert done.returncode == 1
  assert done.stderr.splitlines() == [
    f'Error: {tmp_path / "h"} holds a data set already: choose another '
    '--output, or replace it with --overwrite.'
  ]
