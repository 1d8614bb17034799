import csv
import hashlib
import json

import cv2
import numpy as np
import pytest

from official_repro.data import records
from official_repro.data.mini import MiniJft, copies
from official_repro.data.sources import MiniJftSource
from tests import binaries

BUILD_RECORDS, DEDUP = 'official_repro.build_records', 'official_repro.dedup'


def build(output, **options):
  done = binaries.call(
    BUILD_RECORDS, source='mini_jft', output=output, processes=1, **options
  )
  assert done.returncode == 0, done.stderr
  return output


def read(folder, split='train'):
  found = records.iterate_records(folder, split)
  return [records.decode_example(r) for r in found]


def test_copies_are_spread_evenly_over_both_splits():
  found = list(copies.originals(40, 0.25, 6, seed=0))
  at = [i for i, of in enumerate(found) if of is not None]
  # 40 x .25 = 10, each fourth; six originals in turn, then again.
  assert set(np.diff(at)) == {4}
  assert [found[i] for i in at] == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3]
  # Fewer pictures are the first of more.
  assert found[:17] == list(copies.originals(17, 0.25, 6, seed=0))
  starts = set()
  for seed in range(20):
    of = list(copies.originals(40, 0.25, 6, seed))
    assert sum(o is not None for o in of) == 10
    starts.add(of.index(0))
  assert starts == {0, 1, 2, 3}


@pytest.mark.parametrize('share', [0, 0.013, 0.37, 0.999])
def test_the_share_is_kept(share):
  of = [o for o in copies.originals(1000, share, 400, seed=3) if o is not None]
  assert abs(len(of) - 1000 * share) < 1
  assert of == [k % 400 for k in range(len(of))]


def test_a_change_does_what_it_says():
  ramp = np.tile(np.arange(100, dtype=np.uint8)[:, None, None], (1, 80, 3))
  change = copies.Change((0.1, 0.05, 0.2, 0), 0.5, 2.0, 95)
  changed = change.of(ramp)
  # Rows 10 to 79 of 100 and 76 of 80 columns, halved.
  assert changed.shape == (35, 38, 3)
  assert changed.dtype == np.uint8
  # Two rows of the ramp make one, twice as bright: 10.5 x 2 to 78.5 x 2.
  np.testing.assert_allclose(changed[[0, -1], 5], [[21] * 3, [157] * 3], atol=3)
  bright = copies.brightened(np.full((2, 2, 3), 200, np.uint8), 1.5)
  assert bright.min() == 255
  drawn = [copies.sample_change(np.random.default_rng(i)) for i in range(300)]
  assert all(0 <= share <= 0.05 for c in drawn for share in c.crop)
  assert all(0.6 <= c.factor <= 1.5 for c in drawn)
  assert all(0.9 <= c.brightness <= 1.1 for c in drawn)
  assert {c.quality for c in drawn} == set(range(50, 96))


def test_a_near_copy_is_a_pure_function_and_looks_like_its_original():
  mini, noisy = MiniJft(size=48), MiniJft(size=48, noise=0.9)
  small = lambda image: cv2.resize(image, (16, 16)).astype(float)
  originals = [small(mini.dense_example(j).image) for j in range(8)]
  for i in (3, 5, 6):
    copy, again = mini.near_copy(40, i), MiniJft(size=48).near_copy(40, i)
    np.testing.assert_array_equal(copy.image, again.image)
    assert copy.given_labels == again.given_labels
    assert copy.true_labels == mini.dense_example(i).true_labels
    assert copy.source_id == f'mini-0-train-40-of-dense-{i}'
    # The label knobs leave the pictures alone.
    np.testing.assert_array_equal(copy.image, noisy.near_copy(40, i).image)
    apart = [np.abs(small(copy.image) - o).mean() for o in originals]
    assert np.argmin(apart) == i
    other = mini.near_copy(41, i).image
    assert other.shape != copy.image.shape or (other != copy.image).any()


def test_labels_of_copies_are_as_sparse_and_noisy_as_all_others():
  mini = MiniJft(size=24)
  drawn = [mini.near_copy(i, i % 100) for i in range(300)]
  given = [label for d in drawn for label in d.given_labels]
  # As of all training pictures: 1.26 labels, of which a fifth are wrong.
  assert abs(len(given) / len(drawn) - 1.26) < 0.06
  wrong = sum(x not in d.true_labels for d in drawn for x in d.given_labels)
  assert abs(wrong / len(given) - 0.2) < 0.05
  # Drawn anew for each copy of a picture.
  assert any(
    a.given_labels != b.given_labels for a, b in zip(drawn, drawn[100:])
  )


def test_items_of_the_source_and_its_options():
  source = MiniJftSource(8, 2, 5, copies=0.5, seed=1, size=24)
  plain = MiniJftSource(8, 2, 5, copies=0.0, seed=1, size=24)
  assert source.options == {'seed': 1, 'size': 24, 'copies': 0.5}
  assert plain.options == {'seed': 1, 'size': 24}
  ids = lambda s, split: [i.source_id for i in s.items() if i.split == split]
  found = ids(source, 'train')
  of = [i.partition('-of-')[2] for i in found]
  assert [o for o in of if o] == ['dense-0', 'dense-1', 'dense-0', 'dense-1']
  assert [i.partition('-of-')[0] for i in found] == ids(plain, 'train')
  # The same pictures in both splits, but for the labels.
  assert ids(source, 'clean') == found[:5]
  assert ids(source, 'validation') == ids(plain, 'validation')
  items = {(i.split, i.source_id): i for i in source.items()}
  for source_id in found[:5]:
    noisy = source.reader(items['train', source_id])
    clean = source.reader(items['clean', source_id])
    assert noisy.encoded == clean.encoded
    assert clean.label_ids == source.hierarchy.fill(clean.label_ids)


@pytest.mark.parametrize(
  ('share', 'eval_images', 'told'),
  [
    (1.0, 5, 'below 1, got 1.0'),
    (-0.1, 5, 'got -0.1'),
    (float('nan'), 5, 'got nan'),
    (0.1, 0, '--eval_images to at least 1, got 0'),
  ],
)
def test_bad_shares(share, eval_images, told):
  with pytest.raises(ValueError, match=f'--copies.*{told}') as error:
    MiniJftSource(10, eval_images, copies=share)
  assert '\n' not in str(error.value)


def test_without_copies_a_data_set_is_what_it_was(tmp_path):
  options = {'num_images': 12, 'eval_images': 3, 'clean_images': 2}
  options.update(num_shards=2, image_size=24, seed=4)
  folder = build(tmp_path / 'data', copies=0, **options)
  # It holds the checksums of all shards. Made before there was the option.
  content = (folder / 'dataset.json').read_bytes()
  assert (
    hashlib.sha256(content).hexdigest()
    == 'b1cc20d49625a97ff96a644190e43944e14cd26a4b7c7ae7e3bb9b4141822e42'
  )


def test_dedup_finds_them(tmp_path):
  folder = build(
    tmp_path / 'data', num_images=200, eval_images=30, copies=0.2, num_shards=1
  )
  options = json.loads((folder / 'dataset.json').read_text())['info']['options']
  assert options['copies'] == 0.2
  assert '&quot;copies&quot;: 0.2' in (folder / 'report.html').read_text()
  planted = {e.source_id for e in read(folder) if '-of-' in e.source_id}
  assert len(planted) == 40
  done = binaries.call(
    DEDUP,
    data_dir=folder,
    output=tmp_path / 'out',
    against='validation',
    min_score=0.7,
    processes=1,
  )
  assert done.returncode == 0, done.stderr
  with open(tmp_path / 'out' / 'dropped.csv', newline='') as f:
    dropped = {
      row['source_id']: row['duplicate_of'] for row in csv.DictReader(f)
    }
  assert set(dropped) <= planted
  # .925 to .935 of thousands.
  assert len(dropped) >= 0.85 * len(planted)
  for copy, original in dropped.items():
    assert copy.endswith(original.replace('mini-0-', '-of-'))
