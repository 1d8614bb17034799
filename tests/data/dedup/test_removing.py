import csv
import dataclasses
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from benchmarks import dedup_recall
from official_repro.data import hierarchy, manifest, records
from official_repro.data.dedup import pipeline, removing, writing
from tests.data import fakes
from tests.data.dedup.test_confirm import textured
from tests.data.dedup.test_hashes import encode

LABELS = hierarchy.Hierarchy([0], ['picture'], [()], [1.0])
OPTIONS = pipeline.Options()


def write_folder(folder, splits, num_shards=2, name='some'):
  """Writes {split: {source id: uint8 [H, W, 3] or bytes}} as a data folder."""
  shards = {}
  for split, pictures in splits.items():
    with records.RecordWriter(folder, split, num_shards) as writer:
      for source_id, picture in pictures.items():
        if isinstance(picture, bytes):
          encoded, size = picture, (9, 9)
        else:
          encoded, size = encode(picture), picture.shape[:2]
        writer.write(records.Example(encoded, *size, source_id, [0], [0]))
    shards[split] = writer.shards
  manifest.write_manifest(folder, name=name, hierarchy=LABELS, splits=shards)
  return folder


def ids_in(folder, split='train'):
  return [
    records.decode_example(r).source_id
    for r in records.iterate_records(folder, split)
  ]


def dropped_in(folder):
  with open(folder / writing.DROPPED, newline='') as f:
    return {row['source_id']: row for row in csv.DictReader(f)}


def leaky(copies=('half', 'mirror', 'crop5')):
  """Training and evaluation pictures, with copies of the latter."""
  evaluation = {f'eval{i}': textured(i) for i in range(4)}
  train = {f'own{i}': textured(100 + i) for i in range(6)}
  for i, kind in enumerate(copies):
    train[f'leak-{kind}'] = dedup_recall.KINDS[kind][0](evaluation[f'eval{i}'])
  return {'train': train, 'validation': evaluation}


@dataclasses.dataclass
class Leaked:
  """A leaky folder, what was made of it, and the pairs that were drawn."""

  data: pathlib.Path
  out: pathlib.Path
  report: removing.Report
  shown: list


@pytest.fixture(scope='module')
def leaked(tmp_path_factory):
  folder, shown = tmp_path_factory.mktemp('leaked'), []
  draw = writing.sheet.pair_sheet
  data = write_folder(folder / 'data', leaky())
  with pytest.MonkeyPatch.context() as patch:
    spy = lambda pairs: shown.extend(pairs) or draw(pairs)
    patch.setattr(writing.sheet, 'pair_sheet', spy)
    report = removing.remove(
      data, folder / 'out', OPTIONS, against=['validation']
    )
  return Leaked(data, folder / 'out', report, shown)


def test_what_leaked_goes_and_nothing_else(leaked):
  data, out, report = leaked.data, leaked.out, leaked.report
  own = {f'own{i}' for i in range(6)}
  assert set(ids_in(out)) == own
  assert ids_in(out, 'validation') == ids_in(data, 'validation')
  assert set((out / 'kept.txt').read_text().split()) == own
  dropped = dropped_in(out)
  facts = {
    k: (v['duplicate_of'], v['in'], v['kept_instead'], v['transform'])
    for k, v in dropped.items()
  }
  assert facts == {
    'leak-half': ('eval0', 'validation', 'eval0', 'same'),
    'leak-mirror': ('eval1', 'validation', 'eval1', 'mirrored'),
    'leak-crop5': ('eval2', 'validation', 'eval2', 'cropped'),
  }
  for row in dropped.values():
    assert 0.84 <= float(row['score']) <= 1
    assert 0 <= int(row['hash_distance']) <= 4
  numbers = json.loads((out / 'dedup.json').read_text())
  assert numbers == report.numbers
  assert (numbers['records'], numbers['kept'], numbers['dropped']) == (9, 6, 3)
  assert numbers['against'] == [
    {'name': 'validation', 'records': 4, 'damaged': 0}
  ]
  assert numbers['by_transform'] == {'cropped': 1, 'mirrored': 1, 'same': 1}
  assert numbers['options']['found_for_sure'] == 5
  with Image.open(out / 'pairs.jpg') as sheet:
    # Three pairs in a row: 2 x 150 and 4 between, margins of 12.
    assert sheet.width == 3 * 328
  assert not list(out.glob('.*'))  # the working folder is gone


def test_a_crop_in_evaluation_of_a_training_picture(tmp_path):
  data = leaky(copies=())
  for name, kind in (('a', 'crop10'), ('b', 'mirror_crop5')):
    data['train'][name] = textured(ord(name))
    data['validation'][name] = dedup_recall.KINDS[kind][0](data['train'][name])
  folder = write_folder(tmp_path / 'data', data)
  out = tmp_path / 'out'
  removing.remove(folder, out, OPTIONS, against=['validation'])
  assert {k: v['transform'] for k, v in dropped_in(out).items()} == {
    'a': 'cropped',
    'b': 'mirrored and cropped',
  }
  removing.remove(
    folder,
    out,
    pipeline.Options(crops=False),
    against=['validation'],
    overwrite=True,
  )
  assert dropped_in(out) == {}
  assert not (out / 'pairs.jpg').exists()  # not that of the run before
  assert len(ids_in(out)) == 8


def test_another_folder_to_compare_with(tmp_path):
  data = leaky()
  evaluation = {'eval': data.pop('validation')}
  other = write_folder(tmp_path / 'other', evaluation, name='other')
  folder, out = write_folder(tmp_path / 'data', data), tmp_path / 'out'
  removing.remove(
    folder, out, OPTIONS, against=['eval'], against_dir=str(other)
  )
  dropped = dropped_in(out)
  assert len(dropped) == 3
  assert dropped['leak-half']['in'] == f'{other}:eval'


def within_one_set():
  """Three copies of one picture, two of another, and some alone."""
  a, b = textured(1), textured(2)
  return {
    'a-small': dedup_recall.resized(a, 0.5),
    'own0': textured(10),
    'a-large': dedup_recall.resized(a, 1.5),
    'b': b,
    'own1': textured(11),
    'a': a,
    'b-mirror': dedup_recall.mirrored(b),
    'own2': textured(12),
  }


@pytest.fixture(scope='module')
def within(tmp_path_factory):
  """What is made of them."""
  folder = tmp_path_factory.mktemp('within')
  data = write_folder(folder / 'data', {'train': within_one_set()})
  removing.remove(data, folder / 'out', OPTIONS)
  return folder / 'out'


def test_within_a_split_the_largest_stays(within):
  out = within
  kept = set(ids_in(out))
  assert {'own0', 'own1', 'own2', 'a-large'} < kept
  assert len(kept & {'b', 'b-mirror'}) == 1
  dropped = dropped_in(out)
  assert set(dropped) == set(within_one_set()) - kept
  assert dropped['a-small']['kept_instead'] == 'a-large'


@pytest.mark.parametrize('num_shards', [1, 3])
def test_neither_order_nor_sharding_matters(tmp_path, within, num_shards):
  pictures = within_one_set()
  names = list(pictures)
  np.random.default_rng(num_shards).shuffle(names)
  data = write_folder(
    tmp_path / 'data', {'train': {n: pictures[n] for n in names}}, num_shards
  )
  out = tmp_path / 'out'
  removing.remove(data, out, OPTIONS)
  assert set(ids_in(out)) == set(ids_in(within))
  assert dropped_in(out) == dropped_in(within)


def test_workers_and_subsets_of_subsets(tmp_path, monkeypatch):
  fakes.start_one_worker(monkeypatch)  # for each of the four steps
  data = write_folder(tmp_path / 'data', leaky(('half', 'mirror')))
  out, again = tmp_path / 'out', tmp_path / 'again'
  removing.remove(data, out, OPTIONS, against=['validation'], processes=2)
  assert set(ids_in(out)) == {f'own{i}' for i in range(6)}
  # The result holds no copies any more, and may be looked through itself.
  removing.remove(out, again, OPTIONS, against=['validation'])
  assert ids_in(again) == ids_in(out)
  assert dropped_in(again) == {}


def test_blank_pictures_stay_once_per_colour(tmp_path):
  flat = lambda value: np.full((80, 80, 3), value, np.uint8)
  pictures = {f'white{i}': flat(255) for i in range(5)}
  pictures.update({f'grey{i}': flat(128) for i in range(3)})
  pictures['red'] = np.dstack([flat(200)[..., :1], flat(0)[..., :2]])
  data = write_folder(tmp_path / 'data', {'train': pictures})
  removing.remove(data, tmp_path / 'out', OPTIONS)
  kept = sorted(name.rstrip('01234') for name in ids_in(tmp_path / 'out'))
  assert kept == ['grey', 'red', 'white']


def test_damaged_records_are_left_out(tmp_path):
  pictures = {**within_one_set(), 'bad': b'\xff\xd8 no picture'}
  data = write_folder(tmp_path / 'data', {'train': pictures}, num_shards=1)
  shard = manifest.Dataset.load(data).split('train').shards[0]
  with open(shard.path, 'r+b') as f:
    f.seek(int(shard.offsets()[1]) + 100)
    f.write(b'damage')
  report = removing.remove(data, tmp_path / 'out', OPTIONS)
  assert report.numbers['damaged'] == 2
  assert '2 damaged records are left out' in str(report)
  assert not {'bad', 'own0'} & set(ids_in(tmp_path / 'out'))
  assert 'own1' in ids_in(tmp_path / 'out')


def test_nothing_left(tmp_path):
  pictures = {f'eval{i}': textured(i) for i in range(3)}
  data = write_folder(
    tmp_path / 'data', {'train': pictures, 'validation': pictures}
  )
  out = tmp_path / 'out'
  with pytest.raises(ValueError, match=r"Nothing is left of split 'train'"):
    removing.remove(data, out, OPTIONS, against=['validation'])
  assert not out.exists()


def test_the_least_sure_pair_comes_first(leaked):
  shown, rows = leaked.shown, dropped_in(leaked.out)
  expected = sorted(rows, key=lambda name: float(rows[name]['score']))
  assert [texts[1] for _, _, texts in shown] == [
    f'dropped: {name}' for name in expected
  ]
  _, right, texts = shown[0]
  row = rows[expected[0]]
  assert texts[2] == f'like: {row["duplicate_of"]} (validation)'
  assert f'{float(row["score"]):.3f}' in texts[0]
  by_id = {
    e.source_id: e.encoded
    for e in map(
      records.decode_example, records.iterate_records(leaked.data, 'validation')
    )
  }
  assert right == by_id[row['duplicate_of']]


@pytest.mark.parametrize(
  ('options', 'arguments', 'sentence'),
  [
    ({}, {'against': ['dev']}, "has no split 'dev'"),
    ({}, {'against': ['validation', 'train']}, "names 'train' itself"),
    ({}, {'against': ['validation'] * 2}, 'names a split twice'),
    ({}, {'against_dir': 'x'}, '--against_dir=x needs --against'),
    ({'radius': 40}, {}, 'from 0 to 20, got 40'),
    ({'min_score': 1.5}, {}, 'at most 1, got 1.5'),
    ({'min_score': 0.0}, {}, 'above 0 and at most 1, got 0'),
  ],
)
def test_wrong_use(leaked, tmp_path, options, arguments, sentence):
  with pytest.raises(ValueError, match=sentence):
    removing.remove(
      leaked.data, tmp_path / 'out', pipeline.Options(**options), **arguments
    )
  assert not (tmp_path / 'out').exists()
