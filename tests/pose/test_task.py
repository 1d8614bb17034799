"""What the task tells the runner, steps taken apart, a perfect evaluation."""

import json

import numpy as np
import pytest
import tensorflow as tf

from official_repro.data import images as images_lib
from official_repro.data import manifest
from pose import building, coco_files, drawing, inference, losses, targets
from pose import task as task_lib
from tests.pose import folders, perfect, tiny

UNIT = 'conv4/unit_1'
MIDDLE = f'task.model.intermediate={UNIT}'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Pictures of 2, 0 and 1 people who have 11, 12 and 13 labelled joints."""
  people = [
    folders.person(box, visible=[2] * n + [0] * (17 - n))
    for n, box in enumerate(
      [(4, 2, 44, 22), (10, 20, 60, 47), (2, 8, 50, 40)], start=11
    )
  ]
  crowd = folders.person((0, 0, 20, 20), crowd=True)
  rows = [
    folders.example('a', [crowd, *people[:2]]),
    folders.example('nobody'),
    folders.example('c', people[2:]),
  ]
  return folders.write(
    tmp_path_factory.mktemp('data'), train=rows, validation=rows
  )


@pytest.fixture(scope='module')
def middle(folder):
  """A task with a head in the middle and weight decay, its net, a batch."""
  task = tiny.make(
    folder,
    override=f'{MIDDLE},task.weight_decay=0.5',
    **{'task.train_data.global_batch_size': 4},
  )
  tf.keras.utils.set_random_seed(1)
  model = task.build_model()
  batch = next(iter(task.build_inputs(task.task_config.train_data)))
  return task, model, batch


def test_an_example_is_a_person(folder):
  config = tiny.config_for(folder)
  assert task_lib.PoseTask.train_records(config) == 3
  config = tiny.config_for(folder, 'task.train_data.min_joints=12')
  assert task_lib.PoseTask.train_records(config) == 2
  assert tiny.make(folder).validation_batches() == 2


def test_record_ids_are_those_of_the_batch(middle):
  task, _, batch = middle
  names = task.record_ids(0)
  # Number 0 of 'a' is a crowd.
  labelled = {'a#1': 11, 'a#2': 12, 'c#0': 13}
  found = (batch['joints'].numpy()[..., 2] > 0).sum(-1).tolist()
  assert [labelled[name] for name in names] == found
  assert set(names) == set(labelled)


@pytest.mark.parametrize(
  'override, sentence',
  [
    ('task.crop.height=32', 'crop.height is 32; .* multiple of 8, such as 33'),
    ('task.crop.width=257,task.crop.height=352', 'such as 353'),
    ('task.crop.width=1', 'crop.width is 1; .* such as 9'),
  ],
)
def test_crop_must_fit_the_cells(folder, override, sentence):
  with pytest.raises(ValueError, match=sentence):
    task_lib.PoseTask.resolve(tiny.config_for(folder, override))


def test_metadata_is_that_of_the_model(middle):
  task, model, _ = middle
  assert task.metadata() == model.metadata()
  assert task.metadata()['intermediate'] == UNIT
  assert task.metadata()['radius'] == 2.4


def test_loss_of_a_step_is_that_of_its_parts(middle):
  task, model, batch = middle
  found = model(images_lib.normalize(batch['image']), training=True)
  wanted = targets.make_targets(
    batch['joints'], 33, 25, 2.4, others=batch['others']
  )
  parts = losses.pose_loss(
    logits=found['heatmaps'],
    offsets=found['offsets'],
    targets=wanted,
    intermediate_logits=found['intermediate'],
  )
  assert len(parts) == 3
  kernels = [v for v in model.trainable_variables if 'kernel' in v.name]
  decay = 0.5 * sum(float(tf.nn.l2_loss(v)) for v in kernels)
  own = task.build_losses(wanted, found, model.losses)
  assert float(own['regularization']) == pytest.approx(decay, rel=1e-5)
  metrics = task.build_metrics()
  logs = task.train_step(
    batch, model, tf.keras.optimizers.legacy.SGD(0.0), metrics
  )
  # What is shown is without the weight decay.
  expected = sum(float(v) for v in parts.values())
  assert float(logs['loss']) == pytest.approx(expected, rel=1e-5)
  assert {m.name: float(m.result()) for m in metrics} == pytest.approx(
    {k: float(v) for k, v in parts.items()}, rel=1e-5
  )


def gradients(task, model, batch):
  """Of the loss without weight decay, by name."""
  with tf.GradientTape() as tape:
    found = model(images_lib.normalize(batch['image']), training=True)
    loss = tf.add_n(
      list(task.build_losses(task._targets(batch), found).values())
    )
  values = tape.gradient(loss, model.trainable_variables)
  return {v.name: g.numpy() for v, g in zip(model.trainable_variables, values)}


def test_two_halves_give_the_gradient_of_the_whole(middle):
  task, model, batch = middle
  whole = gradients(task, model, batch)
  halves = [
    gradients(task, model, {k: v[part] for k, v in batch.items()})
    for part in (slice(0, 2), slice(2, 4))
  ]
  assert {name.split('/')[0] for name in whole} >= {'head', 'intermediate'}
  for name, value in whole.items():
    assert value.any(), name
    mean = (halves[0][name] + halves[1][name]) / 2
    # Their rounding is that of the largest.
    largest = np.abs(value).max()
    np.testing.assert_allclose(mean, value, atol=2e-4 * largest, err_msg=name)


def test_a_step_moves_all_but_statistics(middle):
  task, model, batch = middle
  before = {v.name: v.numpy() for v in model.variables}
  task.train_step(batch, model, tf.keras.optimizers.legacy.SGD(0.01))
  still = {v.name for v in model.variables if not np.any(v - before[v.name])}
  assert still == {n for n in before if 'moving' in n}


SCENES = {
  0: [
    folders.person((10, 10, 150, 80)),
    # Over the edge of the picture, some joints are hidden, some not labelled.
    folders.person((40, 120, 170, 200), visible=[2, 1, 1, 0, 2] + [2] * 12),
    folders.person((100, 70, 180, 125), visible=[0] * 5 + [1] * 12),
    folders.person((0, 0, 180, 200), crowd=True),
  ],
  1: [],
  # Lying: the box is wider than a crop; and one who is small.
  2: [
    folders.person((60, 20, 110, 210)),
    folders.person((5, 180, 60, 214)),
    folders.person((150, 5, 190, 40), visible=0),
  ],
}
SIZES = {0: (180, 200), 1: (60, 70), 2: (190, 220)}
CROP = 'task.crop.height=65,task.crop.width=49,task.crop.radius=5.0'


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
  rows = [perfect.example(n, SCENES[n], SIZES[n]) for n in SCENES]
  return folders.write(
    tmp_path_factory.mktemp('scenes'), train=rows, validation=rows
  )


@pytest.fixture(scope='module')
def crops_of_scenes(scenes):
  """All batches of an evaluation on the annotated boxes."""
  task = tiny.make(scenes, override=CROP)
  return list(task.make_inputs(task.task_config.validation_data, 3))


def perfect_metrics(
  scenes, logging_dir=None, override='', wrong='', batches=None
):
  task = tiny.make(
    scenes, logging_dir, override=f'{CROP},{override}'.rstrip(',')
  )
  net = perfect.PerfectNet(SCENES, 5.0, wrong)
  return tiny.evaluate(task, net, 3, batches)


@pytest.mark.parametrize('flip', ['false', 'true'])
def test_perfect_network_has_an_ap_of_1(
  scenes, crops_of_scenes, tmp_path, flip
):
  metrics = perfect_metrics(
    scenes,
    str(tmp_path),
    f'task.flip_test={flip}',
    batches=crops_of_scenes,
  )
  # Its areas are 2,145 to 17,000 square pixels: medium and large people.
  assert set(metrics) == {
    f'{kind}{which}/gt_boxes'
    for kind in ('AP', 'AR')
    for which in ('', '50', '75', 'm', 'l')
  }
  assert metrics == pytest.approx(dict.fromkeys(metrics, 1.0))
  poses = json.loads((tmp_path / 'poses-validation.json').read_text())
  # Five people; neither the crowd nor who has no labelled joint is looked at.
  assert [p['image_id'] for p in poses].count(0) == 3
  assert [p['image_id'] for p in poses].count(2) == 2
  for pose in poses:
    found = np.reshape(pose['keypoints'], (17, 3))[:, [1, 0]]
    away = min(
      np.abs(found - p.joints[:, :2])[p.joints[:, 2] > 0].max()
      for p in SCENES[pose['image_id']]
      if p.joints[:, 2].any()
    )
    assert away < 0.4


@pytest.mark.parametrize('wrong', ['order', 'sign', 'sides'])
def test_a_network_with_one_thing_wrong_is_seen(scenes, crops_of_scenes, wrong):
  metrics = perfect_metrics(scenes, wrong=wrong, batches=crops_of_scenes)
  assert metrics['AP/gt_boxes'] < 0.7


def test_detected_boxes_that_are_not_the_annotated_ones(scenes, tmp_path):
  rng = np.random.default_rng(0)
  boxes = [
    (n, (np.array(p.box) + rng.uniform(-3, 3, 4)).tolist(), 0.9 - 0.1 * i)
    for n in SCENES
    for i, p in enumerate(SCENES[n])
    if p.joints[:, 2].any() and not p.crowd
  ]
  # The first once more: OKS finds out that it is the same person.
  boxes.append((0, [8, 12, 149, 81], 0.4))
  path = tiny.write_boxes(tmp_path / 'boxes.json', boxes)
  metrics = perfect_metrics(
    scenes,
    str(tmp_path / 'run'),
    f'task.validation_data.boxes_file={path},'
    'task.validation_data.max_box_overlap=1.0',
  )
  assert metrics['AP/detected_boxes'] == pytest.approx(1)
  poses = json.loads((tmp_path / 'run/poses-validation.json').read_text())
  assert len(poses) == 5


def test_the_same_person_annotated_twice_is_found_once(tmp_path):
  twice = [SCENES[0][0], SCENES[0][0]]
  rows = [perfect.example(0, twice, SIZES[0])]
  folder = folders.write(tmp_path / 'data', train=rows, validation=rows)
  metrics = perfect_metrics(folder, str(tmp_path / 'run'))
  poses = json.loads((tmp_path / 'run/poses-validation.json').read_text())
  assert len(poses) == 1
  # One of two: precision 1 up to a recall of 1/2, 51 of 101 points.
  assert metrics['AP/gt_boxes'] == pytest.approx(51 / 101)


def test_validation_is_what_prediction_finds_picture_by_picture(
  folder, tmp_path
):
  task = tiny.make(folder, str(tmp_path))
  tf.keras.utils.set_random_seed(3)
  model = task.build_model()
  model.head.kernel.assign(tf.random.normal(model.head.kernel.shape))
  found = tiny.evaluate(task, model)
  assert 0 <= found['AP/gt_boxes'] < 1
  config = task.task_config
  run = inference.pose_function(
    building.TrainedPose(model, config.crop, config.oks_threshold, '')
  )
  people = task._people(config.validation_data)
  expected = []
  records = manifest.Dataset.load(folder).split('validation').shards[0].path
  for p, record in enumerate(tf.data.TFRecordDataset(str(records))):
    own = people.of_picture(p)
    boxes = people.boxes[own][people.usable()[own]]
    example = tf.io.parse_single_example(
      record, {'image/encoded': tf.io.FixedLenFeature([], tf.string)}
    )
    image = tf.io.decode_png(example['image/encoded'], 3)
    joints, scores, _ = inference.find(run, image, boxes, config.oks_threshold)
    name = coco_files.image_id(people.source_ids[p])
    expected += [(name, j, s) for j, s in zip(joints, scores)]
  poses = json.loads((tmp_path / 'poses-validation.json').read_text())
  assert len(poses) == len(expected) > 0
  for pose, (name, joints, score) in zip(poses, expected):
    assert pose['image_id'] == name
    np.testing.assert_allclose(
      np.reshape(pose['keypoints'], (17, 3)), joints[:, [1, 0, 2]], atol=1e-3
    )
    assert pose['score'] == pytest.approx(score, abs=1e-4)
  # Alone and in larger batches it is the same.
  assert tiny.evaluate(task, model, 3) == pytest.approx(found, abs=1e-6)
  # Who is on the pictures is kept for the next process.
  assert (tmp_path / 'people-validation.npz').exists()


def test_sheets_are_pictures(middle):
  task, model, _ = middle
  (inputs,) = task.input_sheets(2).values()
  (found,) = task.prediction_sheets(model, 2).values()
  for sheet in (inputs, found):
    assert sheet.dtype == np.uint8
    assert sheet.ndim == 3
    assert sheet.shape[2] == 3
    assert np.unique(sheet).size > 10


@pytest.mark.parametrize('score', [1.0, drawing.SHOWN_FROM / 2])
def test_prediction_sheet_shows_sure_joints_only(middle, monkeypatch, score):
  task, model, _ = middle
  find = inference.joints_in_crops

  def standing(*arguments):
    """Heatmaps of the network, joints where one would like them."""
    joints, heatmaps = find(*arguments)
    places = np.c_[folders.STANDING * [32, 24], np.full(17, score)]
    return tf.broadcast_to(np.float32(places), joints.shape), heatmaps

  monkeypatch.setattr(inference, 'joints_in_crops', standing)
  (sheet,) = task.prediction_sheets(model, 2).values()
  # Columns of 300 pixels with 8 around them; two lines with 20 above each, then
  # the legend.
  crop, found = (
    sheet[: 2 * 328, 8 + 308 * i :][:, :300].reshape(-1, 3) for i in range(2)
  )
  for color in drawing.SIDE_COLORS.values():
    assert (found == color).all(1).any() == (score == 1)
    assert not (crop == color).all(1).any()
