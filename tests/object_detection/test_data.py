"""Batches of pictures with objects: what is read, resized, flipped, padded."""

import io
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from object_detection import data as data_lib
from object_detection import input_images, label_space
from official_repro.data import batching, manifest, records, subsets
from tests.object_detection import tiny

BOX = (0.25, 0.5, 0.75, 1.0)
# 40 x 60 pixels become 20 x 30.
SMALL = {'min_side': 20, 'max_side': 40}
IMAGES = [
  tiny.example('a', [BOX], [2], seed=1),
  tiny.example('nothing', seed=2),
  tiny.example('b', [BOX, (0, 0, 0.5, 0.5)], [1, 3], crowd=[1, 0], seed=3),
  tiny.example('tall', [(0, 0, 1, 1)], [3], height=80, width=40, seed=4),
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return tiny.write(
    tmp_path_factory.mktemp('data'), train=IMAGES, validation=IMAGES
  )


def make(folder, split='train', classes=(), **options):
  dataset = manifest.Dataset.load(folder)
  labels = label_space.load(dataset, classes)
  options = {
    'batch_size': 1,
    'training': split == 'train',
    'max_boxes': 4,
    'pad_multiple': 1,
    'shuffle_group': 64,
    **SMALL,
    **options,
  }
  return data_lib.make_dataset(
    dataset, split, class_map=labels.class_map, **options
  )


def batches(folder, count=None, **options):
  dataset = make(folder, **options)
  dataset = dataset if count is None else dataset.take(count)
  return [{k: v.numpy() for k, v in b.items()} for b in dataset]


def by_id(folder, **options):
  rows = batches(folder, split='validation', **options)
  return {
    batching.text_of(b['source_id'][0]): {k: v[0] for k, v in b.items()}
    for b in rows
  }


@pytest.fixture(scope='module')
def rows(folder):
  """The evaluation of IMAGES."""
  return by_id(folder)


@pytest.fixture(scope='module')
def trained(folder):
  """32 pictures of a training with crowds: eight epochs."""
  return batches(folder, 32, crowds=True)


@pytest.mark.parametrize(
  'size, sides, expected',
  [
    ((480, 640), (600, 1024), (600, 800)),
    ((640, 480), (600, 1024), (800, 600)),
    # 600 / 375 x 1000 = 1600 is too long: x 1.024 instead.
    ((375, 1000), (600, 1024), (384, 1024)),
    ((500, 353), (600, 1024), (850, 600)),  # 849.86
    ((100, 100), (160, 160), (160, 160)),
    ((5, 1000), (10, 100), (1, 100)),  # 0.5 is 0 to even, and then 1
  ],
)
def test_size_keeps_the_aspect(size, sides, expected):
  found = input_images.resized_size(tf.constant(size), *sides)
  assert tuple(found.numpy()) == expected


def test_pictures_and_boxes_are_resized_together(rows):
  assert set(rows) == {'a', 'nothing', 'b', 'tall'}
  a = rows['a']
  assert a['image'].shape == (20, 30, 3)
  assert a['image'].dtype == np.uint8
  np.testing.assert_array_equal(a['image_size'], [20, 30])
  np.testing.assert_array_equal(a['original_size'], [40, 60])
  np.testing.assert_allclose(a['boxes'][0], [5, 15, 15, 30])
  np.testing.assert_array_equal(a['boxes'][1:], np.zeros((3, 4)))
  np.testing.assert_array_equal(a['classes'], [2, 0, 0, 0])
  np.testing.assert_array_equal(a['valid'], [True, False, False, False])
  # No area in the record: that of the box, 20 x 30 original pixels.
  np.testing.assert_allclose(a['area'], [600, 0, 0, 0])
  assert rows['tall']['image'].shape == (40, 20, 3)


def test_picture_without_objects_is_a_row_like_others(rows):
  row = rows['nothing']
  assert not row['valid'].any()
  assert not row['classes'].any()


def test_crowds_are_kept_for_evaluation_and_left_out_of_training(
  folder, rows, trained
):
  row = rows['b']
  np.testing.assert_array_equal(row['classes'], [1, 3, 0, 0])
  np.testing.assert_array_equal(row['is_crowd'], [True, False, False, False])
  for epoch, counts, expected in (
    (batches(folder, 4), {0, 1}, [2, 3, 3]),
    (trained[:4], {0, 1, 2}, [1, 2, 3, 3]),
  ):
    assert {int(r['valid'].sum()) for r in epoch} == counts
    assert sorted(c for r in epoch for c in r['classes'][0] if c) == expected


def test_flip_mirrors_picture_and_boxes(rows, trained):
  flipped = 0
  for batch in trained:
    row = {k: v[0] for k, v in batch.items()}
    same = [
      p for p in rows.values() if np.array_equal(p['image'], row['image'])
    ]
    if same:
      np.testing.assert_array_equal(same[0]['boxes'], row['boxes'])
      continue
    mirrored = row['image'][:, ::-1]
    (origin,) = (
      p for p in rows.values() if np.array_equal(p['image'], mirrored)
    )
    flipped += 1
    width = mirrored.shape[1]
    ymin, xmin, ymax, xmax = origin['boxes'][origin['valid']].T
    expected = np.stack([ymin, width - xmax, ymax, width - xmin], 1)
    np.testing.assert_allclose(row['boxes'][row['valid']], expected, atol=1e-4)
  assert 8 <= flipped <= 24


def test_any_position_continues_the_same_stream(folder):
  whole = batches(folder, 6, batch_size=2, pad_multiple=0)
  # From the middle of the second epoch into the third.
  rest = batches(folder, 3, batch_size=2, pad_multiple=0, start_position=6)
  # Bit for bit: pictures, flips, seeds of the sampling.
  for a, b in zip(rest, whole[3:], strict=True):
    assert set(a) == set(b)
    for key, value in a.items():
      np.testing.assert_array_equal(value, b[key])
  seeds = np.concatenate([b['seed'] for b in whole])
  assert len({tuple(s) for s in seeds}) == len(seeds)
  other = batches(folder, 6, batch_size=2, pad_multiple=0, seed=1)
  assert any(np.any(a['image'] != b['image']) for a, b in zip(whole, other))


@pytest.mark.parametrize(
  'multiple, expected', [(1, (40, 30)), (16, (48, 32)), (0, (40, 40))]
)
def test_batch_is_padded_with_grey(folder, multiple, expected):
  (batch,) = batches(
    folder, split='validation', batch_size=4, pad_multiple=multiple
  )
  assert batch['image'].shape == (4, *expected, 3)
  for image, (height, width) in zip(batch['image'], batch['image_size']):
    assert (image[height:] == batching.PADDING).all()
    assert (image[:, width:] == batching.PADDING).all()
  if not multiple:
    spec = make(folder, pad_multiple=0, batch_size=2).element_spec
    assert spec['image'].shape == (2, 40, 40, 3)


def test_grey_picture_becomes_rgb(tmp_path):
  row = tiny.example('grey', [BOX], mode='L')
  folder = tiny.write(tmp_path, validation=[row])
  found = by_id(folder, min_side=40, max_side=60)['grey']['image']
  pixels = np.asarray(Image.open(io.BytesIO(row.encoded)))
  np.testing.assert_array_equal(found, np.stack([pixels] * 3, -1))


def test_box_of_zero_area_is_left_out(tmp_path):
  row = tiny.example('x', [(0.5, 0.2, 0.5, 0.9), BOX], [1, 2])
  folder = tiny.write(tmp_path, validation=[row])
  np.testing.assert_array_equal(by_id(folder)['x']['classes'], [2, 0, 0, 0])


# Of each one thing is wrong.
WRONG = {
  'outside': tiny.example('outside', [(0.2, 0.2, 0.5, 1.2)], [1]),
  'nan': tiny.example('nan', [(0.2, 0.2, np.nan, 0.9)], [1]),
  'turned': tiny.example('turned', [(0.6, 0.2, 0.5, 0.9)], [1]),
  'unknown': tiny.example('unknown', [BOX], [4]),
  'crowded': tiny.example('crowded', [BOX] * 5, [1] * 5),
}


@pytest.fixture(scope='module')
def errors(tmp_path_factory):
  """What an epoch of WRONG says, for either split."""
  wrong = list(WRONG.values())
  folder = tiny.write(
    tmp_path_factory.mktemp('wrong'), train=wrong, validation=wrong
  )
  return {s: messages(make(folder, split=s)) for s in ('train', 'validation')}


def messages(dataset):
  """An error ends its own batch only."""
  found, batches = [], iter(dataset)
  for _ in WRONG:
    with pytest.raises(tf.errors.InvalidArgumentError) as e:
      next(batches)
    found.append(str(e.value))
  return found


@pytest.mark.parametrize(
  'name, message',
  [
    ('outside', 'outside the picture'),
    ('nan', 'outside the picture'),
    ('turned', 'far edge before its near one'),
    ('unknown', r'Box label outside 1\.\.3'),
    ('crowded', r'More than max_boxes=4 objects'),
  ],
)
def test_wrong_record_is_an_error_that_names_it(errors, name, message):
  for found in errors.values():
    (own,) = (e for e in found if f'[{name}]' in e)
    assert re.search(message, own)


def test_chosen_classes_are_numbered_anew(folder):
  labels = label_space.load(manifest.Dataset.load(folder), ['bird', 'cat'])
  assert list(labels.names) == ['bird', 'cat']
  assert list(labels.category_ids) == [3, 1]
  np.testing.assert_array_equal(labels.class_map, [0, 2, 0, 1])
  rows = by_id(folder, classes=['bird', 'cat'])
  np.testing.assert_array_equal(rows['b']['classes'], [2, 1, 0, 0])
  assert not rows['a']['valid'].any()
  with pytest.raises(ValueError, match='bbird'):
    label_space.load(manifest.Dataset.load(folder), ['bbird'])


def test_category_ids_with_gaps_follow_the_classes(tmp_path):
  info = {'options': {'category_ids': [1, 18, 90]}}
  folder = tiny.write(tmp_path, info=info, validation=IMAGES)
  dataset = manifest.Dataset.load(folder)
  assert list(label_space.load(dataset).category_ids) == [1, 18, 90]
  chosen = label_space.load(dataset, ['bird', 'dog'])
  assert list(chosen.category_ids) == [90, 18]


def test_subset_with_a_vocabulary_maps_box_labels(tmp_path):
  info = {'options': {'category_ids': [1, 18, 90]}}
  whole = tiny.write(tmp_path / 'whole', info=info, validation=IMAGES)
  dataset = manifest.Dataset.load(whole)
  keep = {'validation': [np.ones(len(IMAGES), bool)]}
  subsets.write_subset(
    whole,
    tmp_path / 'part',
    keep,
    name='part',
    info={},
    hierarchy=type(dataset.hierarchy).flat(['dog', 'bird']),
    label_map=np.int32([-1, 0, 1]),
  )
  labels = label_space.load(manifest.Dataset.load(tmp_path / 'part'))
  np.testing.assert_array_equal(labels.class_map, [0, 0, 1, 2])
  assert list(labels.category_ids) == [18, 90]
  rows = by_id(str(tmp_path / 'part'))
  np.testing.assert_array_equal(rows['a']['classes'], [1, 0, 0, 0])
  np.testing.assert_array_equal(rows['b']['classes'], [2, 0, 0, 0])


@pytest.mark.parametrize(
  'options, message',
  [
    ({'max_side': 10}, 'max_side must be at least min_side, got 10 and 20'),
    ({'max_boxes': 0}, 'max_boxes must be at least 1'),
    ({'pad_multiple': -1}, 'pad_multiple must be 0 or more'),
    ({'split': 'tset'}, "no split 'tset'"),
  ],
)
def test_wrong_arguments_are_told(folder, options, message):
  with pytest.raises(ValueError, match=message):
    make(folder, **options)


def test_long_source_id_is_an_error(tmp_path):
  folder = tiny.write(tmp_path, validation=[tiny.example('x' * 300)])
  with pytest.raises(tf.errors.InvalidArgumentError, match='256 bytes'):
    batches(folder, split='validation')
  assert records.Dataset.load(folder)
