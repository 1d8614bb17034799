"""Boxes on a user's pictures, the JSON beside them, the SavedModel."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from object_detection import (
  building,
  drawing,
  experiments,
  export,
  predict,
  serving,
)
from object_detection import task as task_lib
from official_repro.core import checkpoints
from official_repro.core import config as config_lib
from official_repro.data import picture_files
from pose import boxes_from
from tests.object_detection import tiny


def save_run(folder, category_ids=(1, 18, 90), score_bias=3.0):
  """Leaves what training leaves, of a network with some sure detections."""
  row = tiny.example('x', [(0.2, 0.2, 0.8, 0.8)])
  data = tiny.write(
    folder / 'data',
    info={'options': {'category_ids': list(category_ids)}},
    train=[row],
    validation=[row],
  )
  config = config_lib.resolve(
    experiments.mini_coco(),
    params_override=tiny.OVERRIDE,
    flag_values={
      'task.train_data.data_dir': data,
      'task.validation_data.data_dir': data,
    },
  )
  config = task_lib.DetectionTask.resolve(config)
  task = task_lib.DetectionTask(config.task, logging_dir=str(folder))
  # The data folder of the run need not be there any more.
  config.task.train_data.data_dir = str(folder / 'gone')
  config.task.validation_data.data_dir = str(folder / 'gone')
  config_lib.save(config, str(folder / 'params.yaml'))
  task.write_assets(str(folder))
  tf.keras.utils.set_random_seed(3)
  model = task.build_model()
  for variable in model.variables:
    if variable.name.startswith('head/class/bias'):
      variable.assign([0.0, 0.0, score_bias, 1.0])
  saved = tf.train.Checkpoint(
    model=model, metadata=checkpoints.Metadata(task.metadata())
  )
  tf.train.CheckpointManager(saved, str(folder), 1).save(checkpoint_number=7)
  return str(folder), model


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  return save_run(tmp_path_factory.mktemp('run'))


@pytest.fixture(scope='module')
def saved(run, tmp_path_factory):
  """The SavedModel of the run."""
  folder = str(tmp_path_factory.mktemp('saved') / 'model')
  export.export(run[0], folder)
  return folder


@pytest.fixture
def photos(tmp_path):
  folder = tmp_path / 'photos'
  folder.mkdir()
  (folder / 'a.jpg').write_bytes(tiny.picture(48, 90, seed=1, kind='JPEG'))
  (folder / 'b.png').write_bytes(tiny.picture(70, 50, mode='L', seed=2))
  (folder / 'broken.jpg').write_bytes((folder / 'a.jpg').read_bytes()[:200])
  return folder


def test_writes_pictures_and_coco_json(run, photos, tmp_path):
  folder, _ = run
  output = tmp_path / 'out'
  predict.predict(folder, str(photos), str(output), min_score=0.3)
  result = json.loads((output / 'detections.json').read_text())
  assert result['categories'] == [
    {'id': 1, 'name': 'cat'},
    {'id': 18, 'name': 'dog'},
    {'id': 90, 'name': 'bird'},
  ]
  first, second = result['images']
  assert (first['height'], first['width']) == (48, 90)
  assert (second['height'], second['width']) == (70, 50)
  assert second['file_name'] == str(photos / 'b.png')
  (bad,) = result['unreadable']
  assert bad['file_name'].endswith('broken.jpg')
  sizes = {i['id']: (i['width'], i['height']) for i in result['images']}
  assert {a['image_id'] for a in result['annotations']} == set(sizes)
  for found in result['annotations']:
    assert found['category_id'] in (1, 18, 90)
    x, y, width, height = found['bbox']
    assert min(x, y) >= 0
    assert x + width <= sizes[found['image_id']][0] + 1e-3
    assert y + height <= sizes[found['image_id']][1] + 1e-3
    assert found['area'] == pytest.approx(width * height)
    assert 0 < found['score'] <= 1
  best = [a for a in result['annotations'] if a['image_id'] == 1]
  assert best[0]['category_id'] == 18
  scores = [a['score'] for a in best]
  assert scores == sorted(scores, reverse=True)
  for image in result['images']:
    with Image.open(output / image['picture']) as drawn:
      assert drawn.format == 'PNG'
      assert max(drawn.size) == 480  # small ones are enlarged


def test_file_is_readable_as_coco_annotations(run, photos, tmp_path):
  from pycocotools import coco

  predict.predict(run[0], str(photos), str(tmp_path / 'out'))
  loaded = coco.COCO(str(tmp_path / 'out' / 'detections.json'))
  assert len(loaded.getImgIds()) == 2
  assert loaded.getCatIds() == [1, 18, 90]
  assert loaded.getAnnIds(imgIds=[1], catIds=[18])


def test_same_as_the_network_on_a_picture_of_its_own_size(run):
  folder, model = run
  detector = building.load_trained(folder)
  rng = np.random.default_rng(0)
  pixels = rng.integers(0, 256, (48, tiny.SIDE, 3), np.uint8)
  found = serving.detect_function(detector)(pixels)
  direct = model.detect(
    tf.cast(pixels[None], tf.float32) / 127.5 - 1, tf.constant([[48, 64]])
  )
  count = int(direct['count'][0])
  assert count == len(found['scores']) > 0
  np.testing.assert_allclose(
    found['boxes'], direct['boxes'][0, :count], atol=1e-3
  )
  np.testing.assert_array_equal(found['classes'], direct['classes'][0, :count])
  # A picture of twice the size gets the boxes of twice the size.
  double = np.asarray(Image.fromarray(pixels).resize((128, 96), 0))
  larger = serving.detect_function(detector)(double)
  assert float(tf.reduce_max(larger['boxes'])) > 64


def test_saved_model_has_the_usual_signature(run, saved):
  folder, _ = run
  serve = tf.saved_model.load(saved).signatures['serving_default']
  rng = np.random.default_rng(1)
  pixels = rng.integers(0, 256, (1, 50, 90, 3), np.uint8)
  found = {k: v.numpy() for k, v in serve(tf.constant(pixels)).items()}
  assert set(found) == {
    'detection_boxes',
    'detection_classes',
    'detection_scores',
    'num_detections',
  }
  count = int(found['num_detections'][0])
  expected = serving.detect_function(building.load_trained(folder))(pixels[0])
  assert count == len(expected['scores']) > 0
  np.testing.assert_allclose(
    found['detection_boxes'][0, :count] * [50, 90, 50, 90],
    expected['boxes'],
    atol=1e-2,
  )
  ids = np.array([1, 18, 90])[expected['classes'].numpy() - 1]
  np.testing.assert_array_equal(found['detection_classes'][0, :count], ids)
  names = pathlib.Path(saved, 'assets.extra', 'labels.tsv').read_text()
  assert 'bird' in names
  with pytest.raises(ValueError, match='is not an empty folder'):
    export.export(folder, saved)


def test_pose_finds_the_same_boxes_in_both(run, saved, photos, tmp_path):
  result = predict.predict(run[0], str(photos), str(tmp_path / 'out'))
  pictures = [str(photos / 'a.jpg'), str(photos / 'b.png')]
  # Dogs, of which there are enough here, in the place of people.
  detector = boxes_from.Detector(saved, person_category=18)
  file = boxes_from.File(
    str(tmp_path / 'out' / 'detections.json'), pictures, person_category=18
  )
  for image, path in zip(result['images'], pictures):
    _, pixels = picture_files.read_image(path)
    found, listed = detector(path, pixels), file(path, pixels)
    assert found.boxes.shape == listed.boxes.shape
    np.testing.assert_allclose(found.boxes, listed.boxes, atol=1e-2)
    np.testing.assert_allclose(found.scores, listed.scores, atol=1e-5)
    best = next(
      a
      for a in result['annotations']
      if (a['image_id'], a['category_id']) == (image['id'], 18)
    )
    x, y, width, height = best['bbox']
    np.testing.assert_allclose(
      found.boxes[0], [y, x, y + height, x + width], atol=1e-2
    )
    assert found.scores[0] == pytest.approx(best['score'], abs=1e-5)


def test_wrong_folders_are_told(run, photos, tmp_path):
  with pytest.raises(ValueError, match=r'has no params\.yaml'):
    predict.predict(str(photos), str(photos), str(tmp_path / 'out'))
  with pytest.raises(ValueError, match='No picture at --images'):
    predict.predict(run[0], str(photos / '*.xyz'), str(tmp_path / 'out'))
  with pytest.raises(ValueError, match='None of the 1 files'):
    predict.predict(run[0], str(photos / 'broken.jpg'), str(tmp_path / 'out'))


def test_labels_of_another_run_are_told(tmp_path):
  folder, _ = save_run(tmp_path)
  (tmp_path / 'labels.tsv').write_text(
    'id\tname\tparent_ids\tweight\n0\tcow\t\t1\n'
  )
  with pytest.raises(ValueError, match=r'labels\.tsv .*is not the label space'):
    building.load_trained(folder)


def test_drawing_marks_the_box_and_nothing_inside():
  image = np.full((500, 600, 3), 128, np.uint8)
  drawn = drawing.draw_objects(image, [[100, 200, 300, 400]], ['cat'], [0.875])
  changed = (drawn != image).any(-1)
  assert changed[100, 300]
  assert changed[299, 300]
  assert changed[200, 200]
  assert changed[200, 399]
  assert not changed[110:290, 210:390].any()
  assert not changed[310:].any()
  assert not changed[:, 410:].any()
  with pytest.raises(ValueError, match='got 1 boxes, 2 names'):
    drawing.draw_objects(image, [[0, 0, 1, 1]], ['a', 'b'])


def test_box_at_the_border_and_an_image_without_boxes():
  image = np.full((40, 30, 3), 7, np.uint8)
  drawn = drawing.draw_objects(image, [[0, 0, 40, 30], [39, 29, 40, 30]], 'ab')
  assert drawn.shape == (480, 360, 3)
  assert drawing.draw_objects(image, np.zeros((0, 4)), []).shape == drawn.shape


def test_sheets_hold_all_pictures():
  pictures = [np.full((50, 80, 3), 40 * i, np.uint8) for i in range(1, 4)]
  sheet = drawing.sheet(pictures, cell=100)
  for i in range(1, 4):
    assert (sheet == 40 * i).all(-1).sum() == 50 * 80
  pairs = drawing.pair_sheet([(pictures[0], pictures[1])] * 3, cell=100)
  assert (pairs == 40).all(-1).sum() == 3 * 50 * 80
  with pytest.raises(ValueError, match='no picture'):
    drawing.sheet([])
  with pytest.raises(ValueError, match='no picture'):
    drawing.pair_sheet([])
