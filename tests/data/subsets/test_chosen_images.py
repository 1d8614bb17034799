"""Which images and labels a subset has."""

import numpy as np
import pytest

from official_repro.data import manifest
from official_repro.data.subsets import choosing
from tests.data.subsets import folders


def test_the_hash_stays_what_it_is():
  # A change would choose other records than earlier versions did.
  assert choosing.hash_of('id-0') == HASH
  assert choosing.hash_of('id-0', seed=1) != HASH
  assert choosing.hash_of('bär/1') != choosing.hash_of('bar/1')


HASH = 0x1108D40806A21DC5


def test_a_fraction_takes_the_ids_with_small_hashes(full, tmp_path):
  report = folders.make(full, tmp_path / 's', fraction=0.25)
  wanted = [f'id-{i}' for i in range(folders.N)]
  wanted = {w for w in wanted if choosing.hash_of(w) < 2**62}
  assert set(folders.ids(tmp_path / 's')) == wanted
  assert report.records == {'train': (len(wanted), folders.N)}
  assert 50 < len(wanted) < 100  # 75 are expected, with deviation 7.5
  assert folders.ids(tmp_path / 's', 'validation') == folders.ids(
    full, 'validation'
  )


def test_smaller_fractions_lie_in_larger_ones(full, tmp_path):
  kept = [set(folders.ids(full))]
  for fraction in (0.5, 0.1, 0.03):
    folders.make(full, tmp_path / str(fraction), fraction=fraction)
    kept.append(set(folders.ids(tmp_path / str(fraction))))
  for larger, smaller in zip(kept, kept[1:]):
    assert smaller < larger


def test_order_and_sharding_and_other_records_do_not_matter(full, tmp_path):
  numbers = np.random.default_rng(0).permutation(folders.N)[:200]
  folders.write(tmp_path / 'other', numbers, num_shards=7)
  folders.make(full, tmp_path / 'a', fraction=0.3)
  folders.make(tmp_path / 'other', tmp_path / 'b', fraction=0.3)
  there = {f'id-{i}' for i in numbers}
  assert (
    set(folders.ids(tmp_path / 'b')) == set(folders.ids(tmp_path / 'a')) & there
  )


def test_a_number_of_images(full, tmp_path):
  for n in (40, 7):
    folders.make(full, tmp_path / str(n), num_images=n)
  kept = set(folders.ids(tmp_path / '40'))
  by_hash = sorted((choosing.hash_of(i), i) for i in folders.ids(full))
  assert kept == {i for _, i in by_hash[:40]}
  assert len(folders.ids(tmp_path / '7')) == 7
  assert set(folders.ids(tmp_path / '7')) < kept


def test_the_order_is_that_of_the_data_set(full, tmp_path):
  folders.make(full, tmp_path / 's', fraction=0.4)
  kept = set(folders.ids(tmp_path / 's'))
  assert folders.ids(tmp_path / 's') == [
    i for i in folders.ids(full) if i in kept
  ]


def test_a_seed_chooses_others(full, tmp_path):
  for seed in (0, 1):
    folders.make(full, tmp_path / str(seed), fraction=0.3, seed=seed)
  a, b = set(folders.ids(tmp_path / '0')), set(folders.ids(tmp_path / '1'))
  assert a - b
  assert b - a
  hashes = {
    manifest.Dataset.load(path).manifest_hash
    for path in (full, tmp_path / '0', tmp_path / '1')
  }
  assert len(hashes) == 3


# By vocabulary.


def test_a_vocabulary(full, tmp_path):
  report = folders.make(full, tmp_path / 's', labels=[3, 1])
  assert report.classes == (2, 4)
  assert report.records == {
    'train': (folders.N, folders.N),
    'validation': (10, 10),
  }
  dataset = manifest.Dataset.load(tmp_path / 's')
  assert dataset.hierarchy.names == ['fruit', 'stone']
  by_id = {e.source_id: e for e in folders.read(tmp_path / 's')}
  # Of apple the ancestor fruit stays; the given label itself vanishes.
  assert by_id['id-0'].label_ids == [0]
  assert by_id['id-0'].given_label_ids == []
  assert by_id['id-1'].given_label_ids == [0]
  assert by_id['id-2'].label_ids == [1]


def test_images_without_any_of_the_labels_drop_out(full, tmp_path):
  report = folders.make(full, tmp_path / 's', labels=[2], fraction=0.5)
  assert report.records['validation'] == (4, 10)  # 0, 3, 6, 9
  assert folders.ids(tmp_path / 's', 'validation') == [
    i for i in folders.ids(full, 'validation') if int(i[3:]) % 3 == 0
  ]
  kept = folders.ids(tmp_path / 's')
  assert kept
  for source_id in kept:
    assert int(source_id[3:]) % 3 == 0
    assert choosing.hash_of(source_id) < 2**63
  # The fraction is of the hashes, not of what the labels leave.
  folders.make(full, tmp_path / 'n', labels=[2], num_images=5)
  assert set(folders.ids(tmp_path / 'n')) <= set(kept)
  assert len(folders.ids(tmp_path / 'n')) == 5


def test_two_vocabularies_of_the_same_images(full, tmp_path):
  report = folders.make(
    full, tmp_path / 'few', labels=[2], num_images=20, seed=3
  )
  assert report.classes == (1, 4)
  report = folders.make(
    full, tmp_path / 'all', having=[[2]], num_images=20, seed=3
  )
  assert report.classes == (4, 4)
  # Another split is not chosen from.
  assert report.records == {'train': (20, folders.N)}
  assert folders.ids(tmp_path / 'all') == folders.ids(tmp_path / 'few')
  # An apple (2) is a fruit (1), a thing (0).
  assert all(e.label_ids == [0, 1, 2] for e in folders.read(tmp_path / 'all'))
  # A fruit, and an apple or a stone: the apples.
  report = folders.make(full, tmp_path / 'both', having=[[1], [2, 3]])
  assert all(e.label_ids == [0, 1, 2] for e in folders.read(tmp_path / 'both'))
  assert report.records == {'train': (100, folders.N)}


def test_a_vocabulary_counts_boxes_too(tmp_path):
  boxes = {'boxes': np.array([[0, 0, 1, 1]]), 'box_labels': [4]}
  folder = folders.write(tmp_path / 'full', range(6), **boxes, label_ids=[])
  folders.make(folder, tmp_path / 's', labels=[3])
  assert [e.box_labels.tolist() for e in folders.read(tmp_path / 's')] == [
    [1]
  ] * 6


def test_masks_keep_their_vocabulary(tmp_path):
  folder = folders.write(tmp_path / 'full', range(6), segmentation_png=b'png')
  with pytest.raises(ValueError, match="Record 'id-0' has a mask"):
    folders.make(folder, tmp_path / 's', labels=[0])


# What is written.
