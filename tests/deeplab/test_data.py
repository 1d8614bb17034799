"""Batches of pictures with masks: what is read, cut, flipped, padded."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab import data as data_lib
from deeplab import label_space
from official_repro.data import (
  batching,
  examples,
  hierarchy,
  manifest,
  subsets,
)
from tests.deeplab import folders, photo

SIDE = 24


def numbered(height, width, seed):
  """A mask of the classes 0..3 and 255."""
  rng = np.random.default_rng(100 + seed)
  return rng.choice(np.uint8([0, 1, 2, 3, 255]), (height, width))


SHAPES = {'wide': (10, 24), 'tall': (24, 7), 'large': (40, 30), 'dot': (1, 1)}
IMAGES = [
  folders.example(name, numbered(*shape, i), seed=i)
  for i, (name, shape) in enumerate(SHAPES.items())
]


def original(name):
  """Picture and mask of one of IMAGES."""
  i = list(SHAPES).index(name)
  return folders.picture(*SHAPES[name], i), numbered(*SHAPES[name], i)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return folders.write(
    tmp_path_factory.mktemp('data'), train=IMAGES, validation=IMAGES
  )


def make(folder, split='train', **options):
  dataset = manifest.Dataset.load(folder)
  options = {
    'num_classes': label_space.load(dataset).num_classes,
    'batch_size': 1,
    'training': split == 'train',
    'crop_size': SIDE,
    'shuffle_group': 64,
    **options,
  }
  return data_lib.make_dataset(dataset, split, **options)


def batches(folder, count=None, **options):
  dataset = make(folder, **options)
  dataset = dataset if count is None else dataset.take(count)
  return [{k: v.numpy() for k, v in b.items()} for b in dataset]


@pytest.fixture(scope='module')
def trained_on(folder):
  """The rows of six rounds through IMAGES, with flips."""
  return [
    {k: v[0] for k, v in batch.items()}
    for batch in batches(folder, 24, flip=True)
  ]


def test_evaluation_gives_whole_pictures_in_file_order(folder):
  rows = batches(folder, split='validation')
  names = [batching.text_of(row['source_id'][0]) for row in rows]
  assert names == list(SHAPES)
  for name, row in zip(names, rows):
    image, mask = original(name)
    height, width = mask.shape
    np.testing.assert_array_equal(row['image_size'], [[height, width]])
    np.testing.assert_array_equal(row['image'][0, :height, :width], image)
    np.testing.assert_array_equal(row['mask'][0, :height, :width], mask)
    assert (row['image'][0, height:] == 128).all()
    assert (row['image'][0, :, width:] == 128).all()
    assert (row['mask'][0, height:] == 255).all()
    assert (row['mask'][0, :, width:] == 255).all()
    # At least 24, and (side - 1) a multiple of 8: 25; 40 becomes 41, 30 33.
    expected = (41, 33) if name == 'large' else (25, 25)
    assert row['image'].shape == (1, *expected, 3)
    assert row['mask'].shape == (1, *expected)
    assert row['image'].dtype == row['mask'].dtype == np.uint8


def test_a_batch_has_the_size_of_its_largest_picture(folder):
  first, second = batches(folder, split='validation', batch_size=3)
  assert first['image'].shape == (3, 41, 33, 3)
  assert second['image'].shape == (1, 25, 25, 3)
  image, mask = original('tall')
  np.testing.assert_array_equal(first['image'][1, :24, :7], image)
  np.testing.assert_array_equal(first['mask'][1, :24, :7], mask)
  assert (first['mask'][1, 24:] == 255).all()
  assert (first['mask'][1, :, 7:] == 255).all()


@pytest.mark.parametrize(
  'side, expected', [(1, 1), (2, 9), (9, 9), (513, 513), (500, 505)]
)
def test_padded_side(side, expected):
  assert data_lib.padded_side(side) == expected


def test_a_picture_of_3000_x_200(tmp_path):
  mask = numbered(3000, 200, 0)
  folder = folders.write(
    tmp_path,
    train=[folders.example('long', mask)],
    validation=[folders.example('long', mask)],
  )
  (row,) = batches(folder, split='validation', crop_size=513)
  assert row['image'].shape == (1, 3001, 513, 3)
  np.testing.assert_array_equal(row['mask'][0, :3000, :200], mask)
  for row in batches(folder, 2, crop_size=513):
    assert row['image'].shape == (1, 513, 513, 3)
    np.testing.assert_array_equal(row['image_size'], [[513, 200]])


def test_training_batches_have_a_fixed_shape_and_no_names(folder):
  spec = make(folder, batch_size=2).element_spec
  assert set(spec) == {'image', 'mask', 'image_size'}
  assert spec['image'].shape == (2, SIDE, SIDE, 3)
  assert spec['mask'].shape == (2, SIDE, SIDE)
  assert spec['image'].dtype == spec['mask'].dtype == tf.uint8


def places(row):
  """Where the row was cut out of which picture: {(name, y, x, flipped)}."""
  found = set()
  height, width = row['image_size']
  image, mask = row['image'][:height, :width], row['mask'][:height, :width]
  for name, (full_height, full_width) in SHAPES.items():
    if (height, width) != (min(full_height, SIDE), min(full_width, SIDE)):
      continue
    for flipped in (False, True):
      whole, truth = original(name)
      if flipped:
        image_there, mask_there = image[:, ::-1], mask[:, ::-1]
      else:
        image_there, mask_there = image, mask
      for y in range(full_height - height + 1):
        for x in range(full_width - width + 1):
          window = np.s_[y : y + height, x : x + width]
          if np.array_equal(whole[window], image_there):
            # The mask is cut and turned with its picture.
            np.testing.assert_array_equal(truth[window], mask_there)
            found.add((name, y, x, flipped))
  return found


def test_training_cuts_and_flips_picture_and_mask_alike(trained_on):
  found = [places(row) for row in trained_on]
  assert all(found)
  large = {place for p in found for place in p if place[0] == 'large'}
  # 17 x 7 places and two directions: six draws are hardly ever the same.
  assert len(large) >= 5
  assert {flipped for *_, flipped in large} == {False, True}
  assert all(0 <= y <= 16 and 0 <= x <= 6 for _, y, x, _ in large)
  for row in trained_on:
    height, width = row['image_size']
    assert (row['image'][height:] == 128).all()
    assert (row['mask'][:, width:] == 255).all()


def test_without_flip_nothing_is_mirrored(folder, trained_on):
  rows = batches(folder, 8)
  for batch in rows:
    row = {k: v[0] for k, v in batch.items()}
    assert any(not flipped for *_, flipped in places(row))
  # The same cuts as with flips, and one at least was mirrored there.
  pairs = [(a['image'][0], b['image']) for a, b in zip(rows, trained_on)]
  assert any(not np.array_equal(a, b) for a, b in pairs)


def test_any_position_continues_the_same_stream(folder):
  options = {'batch_size': 2, 'flip': True}
  whole = batches(folder, 6, **options)
  rest = batches(folder, 2, start_position=8, **options)
  for a, b in zip(rest, whole[4:]):
    for key, value in a.items():
      np.testing.assert_array_equal(value, b[key])
  other = batches(folder, 6, seed=1, **options)
  assert any(np.any(a['image'] != b['image']) for a, b in zip(whole, other))


BAD = {
  'no-mask': (None, r'No mask \(image/segmentation'),
  'colour': (folders.png(folders.picture(6, 9)), 'no PNG of 8 bits in grey'),
  'palette': (folders.png(np.zeros((6, 9), np.uint8), 'P'), r'\[8 3\]'),
  'alpha': (folders.png(np.zeros((6, 9), np.uint8), 'LA'), r'\[8 4\]'),
  '16-bit': (folders.png(np.zeros((6, 9), np.uint16)), r'\[16 0\]'),
  'one-bit': (folders.png(np.zeros((6, 9), bool)), r'\[1 0\]'),
  'text': (b'no picture, but more than 26 bytes', 'no PNG file'),
  'short': (b'\x89PNG\r\n\x1a\n', 'no PNG file'),
  'turned': (folders.png(np.zeros((9, 6), np.uint8)), r'\[9 6\] \[6 9\]'),
  'four': (folders.png(np.full((6, 9), 4, np.uint8)), r'above 3 and not 255'),
  '254': (folders.png(np.full((6, 9), 254, np.uint8)), r'\[254\]'),
}


@pytest.fixture(scope='module')
def parse():
  parser = data_lib.record_parser.RecordParser(4)
  return tf.function(
    parser.parse, input_signature=[tf.TensorSpec([], tf.string)]
  )


@pytest.mark.parametrize('name', BAD)
def test_wrong_mask_is_an_error_that_names_the_record(parse, name):
  mask, message = BAD[name]
  row = folders.example(name, mask, size=(6, 9))
  record = examples.encode_example(row)
  with pytest.raises(tf.errors.InvalidArgumentError, match=message) as error:
    parse(record)
  assert f'record] [{name}]' in str(error.value).replace('"', '')


def test_wrong_mask_stops_both_kinds_of_reading(tmp_path):
  row = folders.example('the-odd-one', np.full((6, 9), 4, np.uint8))
  folder = folders.write(tmp_path, train=[row], validation=[row])
  for split in ('train', 'validation'):
    with pytest.raises(tf.errors.InvalidArgumentError, match='the-odd-one'):
      batches(folder, 1, split=split)


@pytest.mark.parametrize(
  'options, message',
  [
    ({'crop_size': 0}, 'crop_size must be at least 1, got 0'),
    ({'batch_size': 0}, 'global_batch_size must be at least 1'),
    ({'num_classes': 1}, 'num_classes must be from 2 to 255.* got 1'),
    ({'num_classes': 256}, 'got 256'),
    ({'split': 'tset'}, "no split 'tset'"),
  ],
)
def test_wrong_arguments_are_told(folder, options, message):
  with pytest.raises(ValueError, match=message):
    make(folder, **options)


def test_label_space(folder):
  labels = label_space.load(manifest.Dataset.load(folder))
  assert labels.num_classes == 4
  assert labels.names == ['background', 'cat', 'dog', 'bird']
  many = hierarchy.Hierarchy.flat([f'c{i}' for i in range(254)])
  assert label_space.of(many).num_classes == 255
  many = hierarchy.Hierarchy.flat([f'c{i}' for i in range(255)])
  with pytest.raises(ValueError, match='254 categories.* has 255'):
    label_space.of(many)


def test_subset_with_a_vocabulary_is_refused(folder, tmp_path):
  subsets.write_subset(
    folder,
    tmp_path / 'part',
    {'validation': [np.ones(len(IMAGES), bool)]},
    name='part',
    info={},
    hierarchy=hierarchy.Hierarchy.flat(['dog']),
    label_map=np.int32([-1, 0, -1]),
  )
  with pytest.raises(ValueError, match='vocabulary of its own'):
    label_space.load(manifest.Dataset.load(tmp_path / 'part'))


def test_photo_with_its_mask(tmp_path):
  folder = photo.write(tmp_path, max_side=160)
  (row,) = batches(folder, split='validation')
  assert row['image_size'].tolist() == [[106, 160]]
  mask = row['mask'][0, :106, :160]
  assert set(np.unique(mask)) == {0, 1}
  # 27,789 of the 425 x 640 pixels are the skier's, by COCO's own area.
  assert np.mean(mask) == pytest.approx(27789 / (425 * 640), abs=0.003)
