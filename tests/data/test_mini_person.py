import dataclasses
import functools
import pickle

import cv2
import numpy as np
import pytest
from absl import flags

from official_repro import source_flags
from official_repro.data import examples, records
from official_repro.data.checks import records as record_checks
from official_repro.data.mini import coco, figure, jft, person, taxonomy
from official_repro.data.sources.mini_person import MiniPersonSource
from tests import binaries
from tests.data.fakes import read

COUNT = 100
FIELDS = ('image', 'boxes', 'labels', 'is_crowd', 'area', 'keypoints', 'masks')


@pytest.fixture(scope='module')
def mini():
  return person.MiniPerson(seed=3)


@pytest.fixture(scope='module')
def drawn(mini):
  return [mini.example(i) for i in range(COUNT)]


def people_of(example):
  return (example.labels == coco.PERSON) & ~example.is_crowd


def all_joints(drawn):
  """The joints of all people, [P, 17, 3]."""
  return np.concatenate([e.keypoints[people_of(e)] for e in drawn])


def same(a, b):
  return all(np.array_equal(getattr(a, f), getattr(b, f)) for f in FIELDS)


def test_image_is_a_pure_function_of_seed_split_and_index(mini, drawn):
  again = person.MiniPerson(seed=3)
  assert all(same(again.example(i), drawn[i]) for i in reversed(range(8)))
  assert not same(drawn[0], person.MiniPerson(seed=4).example(0))
  assert not same(drawn[0], mini.example(0, 'validation'))
  assert len({e.image.tobytes() for e in drawn}) == COUNT
  assert drawn[5].source_id == 'mini-person-3-train-5'


def test_draws_are_not_those_of_the_other_miniatures():
  assert person._PURPOSE not in (coco._PURPOSE, jft._CONTENT, jft._PIXELS)
  assert person.MiniPerson._purpose == person._PURPOSE


def test_pictures_have_many_shapes_up_to_the_size(drawn):
  shapes = np.array([e.image.shape for e in drawn])
  assert 180 < shapes[:, :2].max() <= 192
  ratios = shapes[:, 0] / shapes[:, 1]
  assert ratios.min() < 0.6 and ratios.max() > 1.45
  assert drawn[0].image.dtype == np.uint8 and (shapes[:, 2] == 3).all()
  assert max(person.MiniPerson(size=64).example(0).image.shape) <= 64


def test_one_to_four_people_and_up_to_two_things(drawn):
  people = np.array([people_of(e).sum() for e in drawn])
  assert (people.min(), people.max()) == (1, person.MAX_PEOPLE) == (1, 4)
  # A nearly hidden person is left out, so the mean is a little lower than
  # 1 * .3 + 2 * .32 + 3 * .22 + 4 * .16 = 2.24.
  assert 1.9 < people.mean() < 2.5
  assert 0.55 < np.mean(people > 1) < 0.85
  things = np.array([np.sum(e.labels != coco.PERSON) for e in drawn])
  # 1 * .4 + 2 * .25 = 0.9, and a crowd in one picture of twelve.
  assert 0.6 < things.mean() < 1.2
  assert things.max() <= person.MAX_THINGS + 1 and (things == 0).any()
  labels = np.concatenate([e.labels for e in drawn])
  assert set(labels) <= set(range(1, 21)) and len(set(labels)) > 15


def test_each_picture_has_a_person_whose_joints_can_be_seen(drawn):
  for e in drawn:
    seen = (e.keypoints[people_of(e), :, 2] == 2).sum(1)
    assert seen.max() >= person.MIN_JOINTS == 5


def test_scenes_are_drawn_until_a_person_shows_enough(monkeypatch, drawn):
  monkeypatch.setattr(person, 'MIN_JOINTS', 17)
  mini, redrawn = person.MiniPerson(seed=3), 0
  for i in range(20):
    e = mini.example(i)
    assert (e.keypoints[people_of(e), :, 2] == 2).all(1).any()
    redrawn += not same(e, drawn[i])
  assert 0 < redrawn < 20


def test_nothing_but_people_has_joints(drawn):
  crowds = 0
  for e in drawn:
    assert e.keypoints.shape == (len(e.boxes), len(figure.JOINT_NAMES), 3)
    assert e.keypoints.dtype == np.float32
    assert not e.keypoints[~people_of(e)].any()
    assert e.keypoints[people_of(e)].any((1, 2)).all()
    crowds += e.is_crowd.sum()
  # In 8% of the pictures.
  assert 1 <= crowds <= 0.16 * COUNT
  none = person.MiniPerson(crowds=0.0)
  assert not any(none.example(i).is_crowd.any() for i in range(20))


def test_a_joint_is_seen_on_the_visible_figure_only(drawn):
  for e in drawn:
    height, width = e.image.shape[:2]
    for k in np.flatnonzero(people_of(e)):
      for y, x, visibility in e.keypoints[k]:
        assert visibility in (0, 1, 2)
        if visibility == 0:
          assert y == x == 0
          continue
        assert 0 <= y < height and 0 <= x < width
        if visibility == 2:
          assert e.masks[k, int(y), int(x)]


def clutter_of(scene):
  """Where each unlabelled thing of a scene shows, bool [H, W]."""
  pairs = zip(scene.items, scene.visible_masks)
  return [mask for item, mask in pairs if item.leaf is None]


def test_clutter_is_drawn_unless_there_shall_be_none():
  some, none = person.MiniPerson(), person.MiniPerson(clutter=0.0)
  counts = []
  for seed in range(100):
    scene, _ = some._composed(np.random.default_rng(seed))
    counts.append(sum(mask.any() for mask in clutter_of(scene)))
  # 6 * .5 * .6 behind and 3 * .5 * .5 before the people are 2.55; a few are
  # covered.
  assert 2 < np.mean(counts) < 3
  # Where it shows, the picture is another one.
  labelled = [item for item in scene.items if item.leaf]
  bare = dataclasses.replace(scene, items=labelled)
  changed = (scene.paint() != bare.paint()).any(-1)
  assert changed[np.any(clutter_of(scene), 0)].mean() > 0.9
  for seed in range(10):
    assert not clutter_of(none._composed(np.random.default_rng(seed))[0])


def person_at(x, y, radius):
  """A standing figure, seen from the front, upright."""
  leaves = taxonomy.make_taxonomy().leaves
  leaf = next(leaf for leaf in leaves if leaf.kind == 'standing')
  rng = np.random.default_rng(1)
  parts, joints = figure.figure(rng, 'standing', from_behind=False)
  placement = coco.scene_lib.Placement(x, y, radius)
  return coco.scene_lib.place(rng, leaf, placement, parts, joints)


def annotated(*people):
  """The example of a picture of 100 x 100 with people, far to near."""
  groups = []
  for item in people:
    coco.add_object(
      groups, np.random.default_rng(0), coco.PERSON, lambda *_, i=item: i
    )
  mini = person.MiniPerson(clutter=0.0)
  scene, placed = mini._scene(np.random.default_rng(0), 100, 100, groups)
  return coco._annotated(scene, placed, 'x')


def test_joints_behind_another_person_are_hidden():
  behind, before = person_at(50.0, 50.0, 40.0), person_at(60.0, 60.0, 36.0)
  alone, both = annotated(behind), annotated(behind, before)
  seen = alone.keypoints[0, :, 2] == 2
  y, x = alone.keypoints[0, :, :2].astype(int).T
  covered = both.masks[1][y, x]
  assert seen.all() and covered.sum() >= 3
  assert (both.keypoints[0, covered, 2] == 1).all()
  assert (both.keypoints[0, ~covered, 2] == 2).all()
  # Hidden joints keep their place, and the nearer person shows all of its own.
  np.testing.assert_array_equal(
    both.keypoints[0, :, :2], alone.keypoints[0, :, :2]
  )
  inside = both.keypoints[1, :, 2] > 0
  assert (both.keypoints[1, inside, 2] == 2).all()


def test_joints_outside_of_the_picture_are_not_given():
  # The shoulders are at y = 30 - 0.42 * 50 = 9, the eyes at 30 - 0.76 * 50 < 0.
  e = annotated(person_at(50.0, 30.0, 50.0))
  assert not e.keypoints[0, :5].any()
  np.testing.assert_allclose(e.keypoints[0, 5:7, 0], 9.0, atol=1e-4)
  assert (e.keypoints[0, 5:, 2] == 2).all()
  assert e.boxes[0, 0] == 0


def test_left_is_on_the_right_of_a_person_seen_from_the_front(drawn):
  def shoulders(e):  # left less right, x
    return e.keypoints[0, 5, 1] - e.keypoints[0, 6, 1]

  # Half a shoulder's width is 0.22 to 0.25 of 40 pixels.
  assert 2 * 8.8 <= shoulders(annotated(person_at(50.0, 50.0, 40.0))) <= 20
  joints = all_joints(drawn)
  whole = joints[(joints[..., 2] == 2).all(1)]
  # Whoever shows both eyes and the nose faces us, mirrored or not.
  assert len(whole) > 20
  assert (whole[:, 5, 1] > whole[:, 6, 1]).all()
  behind = joints[(joints[:, :3, 2] == 1).all(1) & (joints[:, 3, 2] == 2)]
  behind = behind[(behind[:, 4:7, 2] == 2).all(1)]
  assert len(behind) > 10
  assert np.mean(behind[:, 5, 1] < behind[:, 6, 1]) > 0.8


def test_boxes_are_the_tight_extent_of_what_is_visible(drawn):
  for e in drawn:
    assert e.boxes.dtype == e.area.dtype == np.float32
    assert e.masks.shape == (len(e.boxes), *e.image.shape[:2])
    assert e.masks.sum(0).max() <= 1
    for box, mask, area in zip(e.boxes, e.masks, e.area):
      ys, xs = np.nonzero(mask)
      assert box.tolist() == [ys.min(), xs.min(), ys.max() + 1, xs.max() + 1]
      assert area == len(ys) >= 24


def test_people_overlap_are_cut_and_hidden_now_and_then(drawn):
  overlapping, cut, sides = [], [], []
  for e in drawn:
    boxes = e.boxes[people_of(e)]
    shape = np.array(e.image.shape[:2])
    cut += np.any((boxes == 0) | (boxes == [*shape, *shape]), 1).tolist()
    sides += ((boxes[:, 2:] - boxes[:, :2]).max(1) / shape.min()).tolist()
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    overlapping.append(np.triu((high > low).all(-1), 1).any())
  assert 0.3 < np.mean(overlapping) < 0.65
  assert 0.25 < np.mean(cut) < 0.6
  assert np.percentile(sides, 5) > 0.25
  assert np.percentile(sides, 95) > 1.8 * np.percentile(sides, 5)
  visibility = all_joints(drawn)[..., 2]
  assert 0.02 < np.mean(visibility == 0) < 0.1
  assert 0.05 < np.mean(visibility == 1) < 0.15


def test_people_are_placed_apart_and_lean_a_little():
  mini, covers, angles, radii = person.MiniPerson(crowds=0.0), [], [], []
  for seed in range(100):
    groups = mini._groups(np.random.default_rng(seed), 120, 160)
    assert [g.bottom for g in groups] == sorted(g.bottom for g in groups)
    figures = [g.members[0] for g in groups if g.label == coco.PERSON]
    for k, a in enumerate(figures):
      # The second column of a placement's matrix is where its feet point.
      across, down = a.matrix[:, 1]
      angles.append(np.rad2deg(np.arctan2(-across, down)))
      radii.append(np.hypot(*a.matrix[:, 0]) / 120)
      covers += [coco._cover(a.extent, b.extent) for b in figures[k + 1 :]]
  assert np.mean(np.array(covers) > 0.5) < 0.03
  assert 20 < np.max(angles) <= 25 and -25 <= np.min(angles) < -20
  assert 0.18 <= min(radii) < 0.2 and 0.42 < max(radii) <= 0.48


@pytest.mark.parametrize(
  ('knobs', 'message'),
  [
    ({'seed': -1}, 'MiniPerson needs a seed of 0 or more, got -1'),
    ({'size': 32}, 'MiniPerson needs .* 64 to 1024 pixels, got size=32'),
    ({'clutter': 1.5}, 'MiniPerson needs clutter from 0 to 1, got 1.5'),
    ({'crowds': -0.1}, 'MiniPerson needs crowds from 0 to 1, got -0.1'),
  ],
)
def test_bad_knobs(knobs, message):
  with pytest.raises(ValueError, match=message):
    person.MiniPerson(**knobs)


def test_bad_index_and_split(mini):
  with pytest.raises(ValueError, match='MiniPerson has images .* index -2'):
    mini.example(-2)
  with pytest.raises(ValueError, match="MiniPerson .* validation, got 'test'"):
    mini.example(0, 'test')


def test_source_gives_records_that_hold(drawn):
  source = MiniPersonSource(6, 3, seed=3)
  assert source.name == 'mini_person' and source.has_objects
  assert source.sizes == {'train': 6, 'validation': 3}
  assert source.options == {'seed': 3}
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
    assert record.label_ids == sorted({k - 1 for k in scene.labels.tolist()})
    jpeg = cv2.imdecode(np.frombuffer(record.encoded, np.uint8), 1)[..., ::-1]
    assert np.abs(jpeg.astype(int) - scene.image).mean() < 8
    back = examples.decode_example(examples.encode_example(record))
    assert record_checks.problems(back, rules) == []
    sides = np.array([height, width, height, width])
    np.testing.assert_allclose(back.boxes * sides, scene.boxes, atol=1e-4)
    assert back.box_labels.tolist() == scene.labels.tolist()
    assert back.is_crowd.tolist() == scene.is_crowd.tolist()
    assert back.area.tolist() == scene.area.tolist()
    scale = np.array([height, width, 1])
    np.testing.assert_allclose(back.keypoints * scale, scene.keypoints, 0, 1e-3)
  assert reader(items[6]).source_id == 'mini-person-3-validation-0'


def test_source_without_evaluation_images_and_bad_numbers():
  assert MiniPersonSource(2, 0).sizes == {'train': 2}
  with pytest.raises(ValueError, match='mini_person needs .* num_images=0'):
    MiniPersonSource(0, 1)
  with pytest.raises(ValueError, match='eval_images=-1'):
    MiniPersonSource(1, -1)
  with pytest.raises(ValueError, match='size=9'):
    MiniPersonSource(1, 1, size=9)


@pytest.fixture
def parse(monkeypatch):
  """Returns a function: command line words -> the source they ask for."""

  def run(*words):
    values = flags.FlagValues()
    with monkeypatch.context() as patch:
      patch.setattr(flags, 'FLAGS', values)
      for kind in ('string', 'integer', 'float', 'bool', 'list', 'enum'):
        define = functools.partial(
          getattr(flags, f'DEFINE_{kind}'), flag_values=values
        )
        patch.setattr(flags, f'DEFINE_{kind}', define)
      source_flags.define_source_flags()
      values(['build_records', *words])
      return source_flags.make_source()

  return run


def test_flags(parse):
  source = parse('--source=mini_person', '--num_images=5', '--eval_images=2')
  assert isinstance(source, MiniPersonSource)
  assert source.sizes == {'train': 5, 'validation': 2}
  assert source.options == {'seed': 0, 'size': 192}
  source = parse('--source=mini_person', '--seed=7', '--image_size=96')
  assert source.options == {'seed': 7, 'size': 96}
  with pytest.raises(ValueError, match='--noise belongs to --source=mini_jft'):
    parse('--source=mini_person', '--noise=0.1')
  with pytest.raises(ValueError, match='did you mean mini_person?'):
    parse('--source=mini_persons')


def test_a_data_folder_through_the_binary(tmp_path):
  words = ['--source=mini_person', '--num_images=12', '--eval_images=4']
  words += ['--image_size=96', '--seed=5', '--num_shards=2', '--processes=1']
  words.append(f'--output={tmp_path / "out"}')
  done = binaries.call('official_repro.build_records', *words)
  assert done.returncode == 0, done.stderr
  dataset = records.Dataset.load(tmp_path / 'out')
  assert dataset.split('validation').records == 4
  options = dataset.info['options']
  assert (options['seed'], options['size']) == (5, 96)
  mini, found = person.MiniPerson(seed=5, size=96), read(tmp_path / 'out')
  assert len(found) == 12
  for record in found:
    scene = mini.example(int(record.source_id.split('-')[-1]))
    assert record.box_labels.tolist() == scene.labels.tolist()
    assert record.keypoints[..., 2].tolist() == scene.keypoints[..., 2].tolist()
