import pickle

import cv2
import numpy as np
import pytest

from official_repro.data import examples
from official_repro.data.checks import records as record_checks
from official_repro.data.mini import taxonomy, voc
from official_repro.data.sources.mini_voc import MiniVocSource

COUNT = 40


@pytest.fixture(scope='module')
def mini():
  return voc.MiniVoc(seed=3)


@pytest.fixture(scope='module')
def drawn(mini):
  return [mini.example(i) for i in range(COUNT)]


def test_image_is_a_pure_function_of_seed_split_and_index(mini, drawn):
  again = voc.MiniVoc(seed=3)
  for i in (5, 0):
    example = again.example(i)
    np.testing.assert_array_equal(example.image, drawn[i].image)
    np.testing.assert_array_equal(example.mask, drawn[i].mask)
  assert drawn[5].source_id == 'mini-voc-3-train-5'
  other = mini.example(0, 'validation')
  assert other.source_id == 'mini-voc-3-validation-0'
  assert not np.array_equal(other.mask, drawn[0].mask)
  assert len({e.image.tobytes() for e in drawn}) == COUNT


def test_mask_has_the_visible_classes_of_the_scene(mini, drawn):
  for i in range(10):
    scene, example = mini.scenes.example(i), drawn[i]
    assert not scene.is_crowd.any()
    np.testing.assert_array_equal(scene.image, example.image)
    assert example.mask.shape == scene.image.shape[:2]
    expected = np.zeros(example.mask.shape, int)
    for label, visible in zip(scene.labels, scene.masks):
      expected[visible] = label
    known = example.mask != 255
    np.testing.assert_array_equal(example.mask[known], expected[known])


def test_values_are_background_twenty_classes_and_outlines(drawn):
  values = {int(v) for e in drawn for v in np.unique(e.mask)}
  assert values <= {*range(21), 255}
  assert len(values) > 18
  shares = np.mean([[np.mean(e.mask == v) for v in (0, 255)] for e in drawn], 0)
  # VOC 2012: about .73 and .05; two to three objects a picture.
  assert 0.6 < shares[0] < 0.8
  assert 0.03 < shares[1] < 0.1


def test_objects_are_few_and_large(mini):
  scenes = [mini.scenes.example(i) for i in range(COUNT)]
  assert 1.5 < np.mean([len(s.labels) for s in scenes]) < 2.6
  boxes = np.concatenate([s.boxes / min(s.image.shape[:2]) for s in scenes])
  longer = (boxes[:, 2:] - boxes[:, :2]).max(1)
  assert 0.5 < np.median(longer) < 0.9


def test_outlines_lie_on_both_sides_of_a_border():
  mask = np.zeros((5, 7), np.uint8)
  mask[:, 3:] = 4
  mask[3:, 5:] = 9
  expected = [
    [0, 0, 255, 255, 4, 4, 4],
    [0, 0, 255, 255, 4, 4, 4],
    [0, 0, 255, 255, 4, 255, 255],
    [0, 0, 255, 255, 255, 255, 255],
    [0, 0, 255, 255, 255, 255, 9],
  ]
  assert voc.with_outlines(mask).tolist() == expected
  wide = voc.with_outlines(mask, 2)
  assert wide[0].tolist() == [0, 255, 255, 255, 255, 4, 4]
  # One class, or one pixel: no border.
  assert not voc.with_outlines(np.zeros((1, 1), np.uint8)).any()
  assert (voc.with_outlines(np.full((4, 4), 7, np.uint8)) == 7).all()


def test_no_class_touches_another_one(drawn):
  for e in drawn:
    for a, b in ((e.mask[1:], e.mask[:-1]), (e.mask[:, 1:], e.mask[:, :-1])):
      assert ((a == b) | (a == 255) | (b == 255)).all()


def test_outlines_grow_with_the_picture():
  widths = []
  for size in (160, 640):
    mask = voc.MiniVoc(seed=3, size=size).example(0).mask
    ignored = (mask == 255).astype(np.uint8)
    widths.append(cv2.distanceTransform(ignored, cv2.DIST_L2, 3).max())
  assert widths[1] > 2 * widths[0]


@pytest.mark.parametrize(
  'knobs, word',
  [({'seed': -1}, 'seed'), ({'size': 32}, 'size'), ({'clutter': 2}, 'clutter')],
)
def test_bad_knobs(knobs, word):
  with pytest.raises(ValueError, match=word) as error:
    voc.MiniVoc(**knobs)
  assert str(next(iter(knobs.values()))) in str(error.value)


def test_bad_index_and_split(mini):
  with pytest.raises(ValueError, match='-2'):
    mini.example(-2)
  with pytest.raises(ValueError, match="train, validation, got 'test'"):
    mini.example(0, 'test')


def test_source_gives_records_that_hold(drawn):
  source = MiniVocSource(6, 3, seed=3)
  assert source.sizes == {'train': 6, 'validation': 3}
  assert source.has_objects and source.options == {'seed': 3}
  assert list(source.hierarchy.names) == list(taxonomy.SEGMENT_CLASSES)
  items = list(source.items())
  assert [i.split for i in items] == ['train'] * 6 + ['validation'] * 3
  assert [i.source_id for i in items[:2]] == [e.source_id for e in drawn[:2]]
  reader = pickle.loads(pickle.dumps(source.reader))
  rules = record_checks.Rules(source.hierarchy.num_classes, source.hierarchy)
  for item, scene in zip(items, drawn[:6]):
    record = reader(item)
    assert (record.height, record.width) == scene.mask.shape
    png = np.frombuffer(record.segmentation_png, np.uint8)
    mask = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, scene.mask)
    there = set(np.unique(mask).tolist()) - {0, 255}
    assert record.label_ids == sorted(v - 1 for v in there)
    back = examples.decode_example(examples.encode_example(record))
    assert record_checks.problems(back, rules) == []
  assert reader(items[6]).source_id == 'mini-voc-3-validation-0'


def test_source_without_evaluation_images_and_bad_numbers():
  assert MiniVocSource(2, 0).sizes == {'train': 2}
  with pytest.raises(ValueError, match='num_images=0'):
    MiniVocSource(0, 1)
  with pytest.raises(ValueError, match='eval_images=-1'):
    MiniVocSource(1, -1)
  with pytest.raises(ValueError, match='size=9'):
    MiniVocSource(1, 1, size=9)
