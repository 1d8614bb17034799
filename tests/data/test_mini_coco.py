import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest

from official_repro.data import examples
from official_repro.data.checks import records as record_checks
from official_repro.data.mini import coco, figure, jft, taxonomy
from official_repro.data.sources.mini_coco import MiniCocoSource

COUNT = 150
PERSON = taxonomy.SEGMENT_CLASSES.index('person') + 1


@pytest.fixture(scope='module')
def mini():
  return coco.MiniCoco(seed=3, crowds=0.2)


@pytest.fixture(scope='module')
def drawn(mini):
  return [mini.example(i) for i in range(COUNT)]


def same(a, b):
  fields = ('image', 'boxes', 'labels', 'is_crowd', 'area', 'keypoints')
  return all(np.array_equal(getattr(a, f), getattr(b, f)) for f in fields)


def test_image_is_a_pure_function_of_seed_split_and_index(mini, drawn):
  again = coco.MiniCoco(seed=3, crowds=0.2)
  assert all(same(again.example(i), drawn[i]) for i in reversed(range(8)))
  assert not same(drawn[0], coco.MiniCoco(seed=4, crowds=0.2).example(0))
  assert not same(drawn[0], mini.example(0, 'validation'))
  assert len({e.image.tobytes() for e in drawn}) == COUNT
  assert drawn[5].source_id == 'mini-coco-3-train-5'


def test_images_are_the_same_in_another_process_without_tensorflow():
  code = (
    'import hashlib, sys; from official_repro.data.mini import coco;'
    'm = coco.MiniCoco(seed=3);'
    'd = [m.example(i) for i in range(4)];'
    'h = hashlib.sha256(b"".join(e.image.tobytes() + e.boxes.tobytes() '
    'for e in d));'
    'assert "tensorflow" not in sys.modules; print(h.hexdigest())'
  )
  runs = {
    subprocess.run(
      [sys.executable, '-c', code], capture_output=True, text=True, check=True
    ).stdout
    for _ in range(2)
  }
  assert len(runs) == 1 and len(runs.pop().strip()) == 64


def test_pictures_have_many_shapes_up_to_the_size(drawn):
  shapes = np.array([e.image.shape for e in drawn])
  assert shapes[:, :2].max() <= 160
  assert shapes[:, :2].max(1).min() > 120
  ratios = shapes[:, 0] / shapes[:, 1]
  assert ratios.min() < 0.6 and ratios.max() > 1.45
  assert (shapes[:, 2] == 3).all()
  assert drawn[0].image.dtype == np.uint8
  small = coco.MiniCoco(size=64).example(0).image
  assert max(small.shape) <= 64


def test_one_to_six_objects_beside_crowds(drawn):
  counts = np.array([np.sum(~e.is_crowd) for e in drawn])
  assert counts.max() <= coco.MAX_OBJECTS == 6
  assert (counts == 6).any() and (counts == 1).any()
  # A nearly hidden object is left out, so the mean is a little lower than
  # 1 * .22 + 2 * .24 + 3 * .2 + 4 * .15 + 5 * .11 + 6 * .08 = 2.93.
  assert 2.5 < counts.mean() < 3.0
  assert all(len(e.labels) >= 1 for e in drawn)


def test_boxes_are_the_tight_extent_of_what_is_visible(drawn):
  for e in drawn:
    assert e.boxes.dtype == e.area.dtype == np.float32
    assert e.masks.shape == (len(e.boxes), *e.image.shape[:2])
    # Masks never overlap: what is hidden belongs to the nearer object.
    assert e.masks.sum(0).max() <= 1
    for box, mask, area in zip(e.boxes, e.masks, e.area):
      ys, xs = np.nonzero(mask)
      assert box.tolist() == [ys.min(), xs.min(), ys.max() + 1, xs.max() + 1]
      assert area == len(ys) >= 24


def test_scenes_are_crowded_cut_and_of_many_sizes(drawn):
  overlapping = cut = 0
  for e in drawn:
    height, width = e.image.shape[:2]
    cut += np.any((e.boxes == 0) | (e.boxes == [height, width] * 2))
    low = np.maximum(e.boxes[:, None, :2], e.boxes[None, :, :2])
    high = np.minimum(e.boxes[:, None, 2:], e.boxes[None, :, 2:])
    overlap = (high > low).all(-1)
    overlapping += np.triu(overlap, 1).any()
  assert overlapping > 0.3 * COUNT
  assert cut > 0.2 * COUNT
  sides = np.sqrt(np.concatenate([e.area for e in drawn]))
  assert np.percentile(sides, 10) < 17 and np.percentile(sides, 90) > 34


def test_an_object_stays_as_visible_as_promised(mini, monkeypatch):
  kept = []
  shows = coco._shows

  def spy(group, at, scene):
    if shows(group, at, scene):
      shape = scene.background.shape[:2]
      whole = [coco.scene_lib.object_mask(m, *shape) for m in group.members]
      seen = coco._visible(at, scene).sum()
      kept.append(seen / np.any(whole, axis=0).sum())
      return True
    return False

  monkeypatch.setattr(coco, '_shows', spy)
  for i in range(60):
    mini.example(i)
  assert min(kept) >= 0.3
  assert np.mean(kept) > 0.85
  assert np.mean(np.array(kept) < 0.95) > 0.1


def test_classes_are_all_drawn_and_people_are_commonest(drawn):
  labels = np.concatenate([e.labels[~e.is_crowd] for e in drawn])
  counts = np.bincount(labels, minlength=21)
  assert counts[0] == 0 and len(counts) == 21 and (counts[1:] > 0).all()
  assert counts.argmax() == PERSON
  assert abs(counts[PERSON] / len(labels) - 0.15) < 0.05


def test_label_matches_what_is_drawn():
  whole = taxonomy.make_taxonomy()
  for label, (leaves, shares) in coco._leaves_of().items():
    assert shares[-1] == pytest.approx(1)
    for leaf in leaves:
      assert taxonomy.segment_class(whole.hierarchy, leaf.id) == label


def test_crowds(drawn):
  crowds = [(e, k) for e in drawn for k in np.flatnonzero(e.is_crowd)]
  assert 0.1 * COUNT < len(crowds) < 0.3 * COUNT
  for e, k in crowds:
    assert e.is_crowd.sum() == 1
    # Its members have no box of their own, and its joints are not given.
    assert not e.keypoints[k].any()
  names = {taxonomy.SEGMENT_CLASSES[e.labels[k] - 1] for e, k in crowds}
  assert 'person' in names and len(names) >= 3
  none = coco.MiniCoco(crowds=0.0)
  assert not any(none.example(i).is_crowd.any() for i in range(30))
  every = coco.MiniCoco(crowds=1.0)
  assert sum(every.example(i).is_crowd.sum() for i in range(30)) >= 25


def test_keypoints_are_peoples_and_inside_the_picture(drawn):
  people = 0
  for e in drawn:
    height, width = e.image.shape[:2]
    assert e.keypoints.shape == (len(e.boxes), len(figure.JOINT_NAMES), 3)
    for joints, label, crowd, mask in zip(
      e.keypoints, e.labels, e.is_crowd, e.masks
    ):
      if label != PERSON or crowd:
        assert not joints.any()
        continue
      people += 1
      assert set(joints[:, 2]) <= {0, 1, 2}
      for y, x, visibility in joints:
        if visibility:
          assert 0 <= y < height and 0 <= x < width
        if visibility == 2:
          assert mask[int(y), int(x)]
  assert people > 30


def test_an_object_hidden_by_clutter_alone_gets_a_clear_view(monkeypatch):
  cover = lambda rng, height, width, count, low, high: [
    coco.scene_lib.place(
      rng,
      None,
      coco.scene_lib.Placement(width / 2, height / 2, 200.0),
      parts=[coco.sampler.geometry.disc(0, 0, 1)],
      colors={'body': (9.0, 9.0, 9.0)},
    )
  ]
  monkeypatch.setattr(coco.sampler, 'sample_clutter', cover)
  example = coco.MiniCoco().example(0)
  assert len(example.labels) >= 1
  assert example.area.min() >= 24


@pytest.mark.parametrize(
  'knobs, word',
  [
    ({'seed': -1}, 'seed'),
    ({'seed': 0.5}, 'seed'),
    ({'size': 32}, 'size'),
    ({'clutter': 1.5}, 'clutter'),
    ({'crowds': -0.1}, 'crowds'),
  ],
)
def test_bad_knobs(knobs, word):
  with pytest.raises(ValueError, match=word) as error:
    coco.MiniCoco(**knobs)
  assert str(next(iter(knobs.values()))) in str(error.value)


def test_bad_index_and_split(mini):
  with pytest.raises(ValueError, match='-2'):
    mini.example(-2)
  with pytest.raises(ValueError, match="train, validation, got 'test'"):
    mini.example(0, 'test')


def test_source_gives_records_that_hold(mini, drawn):
  source = MiniCocoSource(6, 3, seed=3, crowds=0.2)
  assert source.sizes == {'train': 6, 'validation': 3}
  assert source.has_objects and source.options == {'seed': 3, 'crowds': 0.2}
  assert list(source.hierarchy.names) == list(taxonomy.SEGMENT_CLASSES)
  items = list(source.items())
  assert [i.split for i in items] == ['train'] * 6 + ['validation'] * 3
  reader = pickle.loads(pickle.dumps(source.reader))
  rules = record_checks.Rules(source.hierarchy.num_classes, source.hierarchy)
  for item, scene in zip(items, drawn[:6]):
    record = reader(item)
    height, width = scene.image.shape[:2]
    assert (record.height, record.width) == (height, width)
    assert record.source_id == item.source_id == scene.source_id
    np.testing.assert_allclose(
      record.boxes * np.array([height, width, height, width]),
      scene.boxes,
      atol=1e-4,
    )
    assert record.boxes.dtype == np.float32
    assert record.box_labels.tolist() == scene.labels.tolist()
    assert record.is_crowd.tolist() == scene.is_crowd.tolist()
    assert record.area.tolist() == scene.area.tolist()
    assert record.label_ids == sorted({k - 1 for k in scene.labels.tolist()})
    jpeg = cv2.imdecode(np.frombuffer(record.encoded, np.uint8), 1)[..., ::-1]
    assert np.abs(jpeg.astype(int) - scene.image).mean() < 8
    back = examples.decode_example(examples.encode_example(record))
    assert record_checks.problems(back, rules) == []
    scale = np.array([height, width, 1])
    np.testing.assert_allclose(back.keypoints * scale, scene.keypoints, 0, 1e-3)
  assert reader(items[6]).source_id == 'mini-coco-3-validation-0'


def test_source_without_evaluation_images_and_bad_numbers():
  assert MiniCocoSource(2, 0).sizes == {'train': 2}
  with pytest.raises(ValueError, match='num_images=0'):
    MiniCocoSource(0, 1)
  with pytest.raises(ValueError, match='eval_images=-1'):
    MiniCocoSource(1, -1)
  with pytest.raises(ValueError, match='size=9'):
    MiniCocoSource(1, 1, size=9)


def item(rng, radius, x=60.0, y=60.0):
  """A hexagon, whose outline fills its circle."""
  leaves = taxonomy.make_taxonomy().leaves
  leaf = next(leaf for leaf in leaves if leaf.kind == 'hexagon')
  placement = coco.scene_lib.Placement(x, y, radius)
  return coco.scene_lib.place(rng, leaf, placement)


@pytest.mark.parametrize('radius, kept', [(18, 1), (14, 2)])
def test_an_object_that_is_nearly_hidden_is_left_out(radius, kept):
  rng = np.random.default_rng(0)
  behind = coco._Group(20, (item(rng, 20.0),))
  before = coco._Group(20, (item(rng, radius),))
  # Of the one behind shows 1 - (18 / 20) ** 2 = 0.19, and then 0.51.
  _, placed = coco.MiniCoco(clutter=0.0)._scene(rng, 120, 120, [behind, before])
  assert len(placed) == kept
  assert placed[-1][0] is before
  if kept == 2:
    assert placed[0][0] is behind


def test_what_stands_lower_is_nearer(mini):
  for seed in range(20):
    rng = np.random.default_rng(seed)
    bottoms = [group.bottom for group in mini._groups(rng, 120, 160)]
    assert bottoms == sorted(bottoms)


def test_objects_are_placed_apart():
  mini, covers = coco.MiniCoco(crowds=0.0), []
  for seed in range(100):
    groups = mini._groups(np.random.default_rng(seed), 120, 160)
    extents = [group.members[0].extent for group in groups]
    covers += [
      coco._cover(a, b) for k, a in enumerate(extents) for b in extents[k + 1 :]
    ]
  assert np.mean(np.array(covers) > 0.5) < 0.03
  assert np.mean(np.array(covers) > 0.1) > 0.1


def test_draws_are_not_those_of_mini_jft():
  assert coco._PURPOSE not in (jft._CONTENT, jft._PIXELS)
