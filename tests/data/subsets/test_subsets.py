"""How a subset lies on disk, and what goes wrong with it."""

import json
import os
import shutil

import numpy as np
import pytest
from apache_beam.testing import test_pipeline, util

from official_repro.data import engine, manifest, records, subsets
from official_repro.data.subsets import choosing
from official_repro.data.subsets.choosing import Choice
from tests import binaries, tiny
from tests.data.subsets import folders


def test_nothing_is_copied(full, tmp_path):
  folders.make(full, tmp_path / 's', fraction=0.1, labels=[1])
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
  assert folders.ids(tmp_path / 's') == ['id-14', 'id-282'] + [
    f'id-{i}' for i in range(3, folders.N, 4)
  ]


def test_a_subset_of_a_subset_points_at_the_records(full, tmp_path):
  folders.make(full, tmp_path / 'a', fraction=0.5, labels=[1, 2, 3])
  folders.make(tmp_path / 'a', tmp_path / 'b' / 'c', fraction=0.2, labels=[1])
  folders.make(full, tmp_path / 'd', fraction=0.2, labels=[2])
  assert folders.ids(tmp_path / 'b' / 'c') == folders.ids(tmp_path / 'd')
  assert [e.label_ids for e in folders.read(tmp_path / 'b' / 'c')] == [
    e.label_ids for e in folders.read(tmp_path / 'd')
  ]
  dataset = manifest.Dataset.load(tmp_path / 'b' / 'c')
  assert dataset.hierarchy.names == ['apple']
  assert dataset.label_map.tolist() == [-1, -1, 0, -1]
  shutil.rmtree(tmp_path / 'a')
  assert folders.ids(tmp_path / 'b' / 'c') == folders.ids(tmp_path / 'd')
  assert len(dataset.info['subsets']) == 2


def test_folders_may_move_together_but_not_apart(own, tmp_path):
  folders.make(own, tmp_path / 's', fraction=0.3)
  expected = folders.ids(tmp_path / 's')
  (tmp_path / 'new').mkdir()
  for name in ('own', 's'):
    shutil.move(tmp_path / name, tmp_path / 'new' / name)
  assert folders.ids(tmp_path / 'new' / 's') == expected
  shutil.move(tmp_path / 'new' / 's', tmp_path / 's')
  with pytest.raises(FileNotFoundError, match='is a subset of the records the'):
    folders.ids(tmp_path / 's')


def test_a_changed_shard_is_noticed(own, tmp_path):
  folders.make(own, tmp_path / 's', fraction=0.3)
  shard = next(own.glob('train-00001*.tfrecord'))
  shard.write_bytes(shard.read_bytes() + b'x')
  with pytest.raises(ValueError, match=r'train-00001.* bytes, not the \d+ as'):
    manifest.Dataset.load(tmp_path / 's')


def test_a_damaged_selection_or_label_map_is_an_error(full, tmp_path):
  folders.make(full, tmp_path / 's', fraction=0.3, labels=[1])
  selection = next((tmp_path / 's').glob('train*.selection'))
  selection.write_bytes(selection.read_bytes()[:-16])
  with pytest.raises(ValueError, match='make the subset again'):
    folders.ids(tmp_path / 's')
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
  report = folders.make(own, tmp_path / 'after', labels=[0, 3])
  assert report.damaged == 1
  assert report.records['train'] == (folders.N - 1, folders.N)


@pytest.mark.skipif(
  not os.path.exists('/proc/self/io'), reason='needs Linux: /proc/self/io'
)
def test_few_records_are_read_without_the_whole_shard(tmp_path):
  folder = folders.write(
    tmp_path / 'full', range(40), 1, encoded=bytes(100_000)
  )
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
    folders.make(full, tmp_path / 's', fraction=0.3, labels=[1])
  assert list((tmp_path / 's').iterdir()) == []


def test_overwrite(full, own, tmp_path):
  choice = Choice(fraction=0.5, labels=[1])
  choosing.make_subset(full, tmp_path / 's', choice, processes=1)
  with pytest.raises(ValueError, match='holds a data set already'):
    folders.make(full, tmp_path / 's', fraction=0.1)
  choice = Choice(num_images=1)
  choosing.make_subset(
    full, tmp_path / 's', choice, overwrite=True, processes=1
  )
  assert len(folders.ids(tmp_path / 's')) == 1
  names = sorted(p.name for p in (tmp_path / 's').iterdir())
  assert len([n for n in names if n.endswith('.selection')]) == 1
  assert 'label_map.tsv' not in names
  for output, message in ((own, 'records of its own'), (full, 'set itself')):
    with pytest.raises(ValueError, match=message):
      choosing.make_subset(full, output, choice, overwrite=True, processes=1)
  assert len(folders.ids(own)) == folders.N


# Bad input.


@pytest.mark.parametrize(
  'options, message',
  [
    ({}, 'would be the whole data set'),
    ({'fraction': 0}, 'above 0 and at most 1, got 0'),
    ({'fraction': 1.5}, 'above 0 and at most 1, got 1.5'),
    ({'num_images': 0}, 'at least 1, got 0'),
    ({'num_images': 3, 'fraction': 0.5}, 'not both'),
    (
      {'num_images': folders.N + 1},
      '=301 is more than the 300 readable records of',
    ),
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
    folders.make(full, tmp_path / 's', **options)
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
  kept = len(folders.ids(tmp_path / 's'))
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
  assert binaries.messages(done) == [
    f'Error: {tmp_path / "h"} holds a data set already: choose another '
    '--output, or replace it with --overwrite.'
  ]
