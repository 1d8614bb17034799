"""Skeletons on a user's pictures, the JSON beside, where boxes come from."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from official_repro.data import hierarchy as hierarchy_lib
from official_repro.data import picture_files
from pose import boxes_from, building, drawing, inference, predict
from pose import joints as joints_lib
from tests.deeplab import folders
from tests.object_detection.tiny import call
from tests.pose import fake_run

SIZE = 50, 70
BOX, OTHER = [10.0, 5.0, 30.0, 40.0], [40.0, 0.0, 25.0, 50.0]


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  return fake_run.save(tmp_path_factory.mktemp('run'))[0]


@pytest.fixture
def photos(tmp_path):
  folder = tmp_path / 'photos'
  folder.mkdir()
  (folder / '000000000785.png').write_bytes(folders.png(folders.picture(*SIZE)))
  (folder / 'cat.png').write_bytes(folders.png(folders.picture(*SIZE, 1)))
  return folder


def entry(image_id=785, bbox=BOX, score=0.9, category_id=1, **more):
  return {
    'image_id': image_id,
    'category_id': category_id,
    'bbox': bbox,
    'score': score,
    **more,
  }


def write(path, content):
  path.write_text(json.dumps(content))
  return str(path)


def annotations(*entries, names=('x/cat.png',), categories=(), size=SIZE):
  """A file in the form of COCO's annotations; images count from 1."""
  return {
    'images': [
      {'id': i, 'file_name': name, 'height': size[0], 'width': size[1]}
      for i, name in enumerate(names, 1)
    ],
    'categories': [{'id': i, 'name': n} for i, n in categories],
    'annotations': list(entries),
  }


class Detector(tf.Module):
  """Finds the same objects on each picture."""

  def __init__(self, boxes, classes, scores):
    super().__init__()
    self.found = {
      'detection_boxes': tf.constant([boxes], tf.float32),
      'detection_classes': tf.constant([classes], tf.float32),
      'detection_scores': tf.constant([scores], tf.float32),
      # The last one is padding.
      'num_detections': tf.constant([len(scores) - 1], tf.float32),
    }

  @tf.function(
    input_signature=[
      tf.TensorSpec([1, None, None, 3], tf.uint8, 'input_tensor')
    ]
  )
  def serve(self, input_tensor):
    del input_tensor
    return {k: tf.identity(v) for k, v in self.found.items()}


def save_detector(folder, names, **found):
  module = Detector(**found)
  tf.saved_model.save(module, str(folder), signatures=module.serve)
  if names:
    extra = folder / 'assets.extra'
    extra.mkdir()
    hierarchy_lib.Hierarchy.flat(names).save(extra / 'labels.tsv')
  return str(folder)


def test_writes_pictures_and_coco_json(run, photos, tmp_path):
  (photos / 'broken.jpg').write_bytes(b'no picture')
  file = write(
    tmp_path / 'boxes.json',
    [
      entry(),
      entry(bbox=OTHER, score=0.5),
      entry(bbox=[3, 4, 0, 9], score=0.8),
      entry(bbox=[1, 1, 5, 5], score=0.3),  # not above 0.3
      entry(bbox=OTHER, category_id=18),
      entry(image_id=12),
    ],
  )
  output = tmp_path / 'out'
  predict.predict(run, str(photos), str(output), file)
  result = json.loads((output / 'poses.json').read_text())
  name = str(photos / '000000000785.png')
  assert result['boxes'] == {
    'from': 'boxes_file',
    'path': file,
    'min_score': 0.3,
    'person_category': 1,
  }
  assert [(i['file_name'], i['boxes']) for i in result['images']] == [
    (name, 2),
    (str(photos / 'cat.png'), 0),
  ]
  assert result['left_out'] == [{'file_name': name, 'bbox': [3, 4, 0, 9]}]
  (bad,) = result['unreadable']
  assert bad['file_name'].endswith('broken.jpg')
  _check_people(run, photos, output, result)
  with Image.open(output / 'cat.png') as drawn:
    _, pixels = picture_files.read_image(str(photos / 'cat.png'))
    nobody = drawing.draw_people(pixels, np.zeros((0, 17, 3)))
    np.testing.assert_array_equal(np.asarray(drawn), nobody)


def _check_people(run, photos, output, result):
  """The people of 785 are those of inference, in file and picture."""
  _, pixels = picture_files.read_image(str(photos / '000000000785.png'))
  trained = building.load_trained(run)
  # x, y, width, height -> ymin, xmin, ymax, xmax.
  boxes = np.float32([[5, 10, 45, 40], [0, 40, 50, 65]])
  joints, scores, which = inference.find(
    inference.pose_function(trained), pixels, boxes, trained.oks_threshold
  )
  people = result['annotations']
  assert [a['image_id'] for a in people] == [1] * len(joints)
  assert len(people) == 2
  for found, pose, score, i in zip(people, joints, scores, which):
    keypoints = np.reshape(found['keypoints'], (17, 3))
    np.testing.assert_allclose(keypoints[:, [1, 0]], pose[:, :2], atol=1e-3)
    sure = pose[:, 2] >= drawing.SHOWN_FROM
    np.testing.assert_array_equal(keypoints[:, 2], np.where(sure, 2, 0))
    assert found['num_keypoints'] == sure.sum()
    np.testing.assert_allclose(found['keypoint_scores'], pose[:, 2], atol=1e-5)
    assert found['score'] == pytest.approx(score, abs=1e-5)
    assert found['bbox'] == [BOX, OTHER][i]
    assert found['box_score'] == pytest.approx([0.9, 0.5][i])
  with Image.open(output / '000000000785.png') as drawn:
    expected = drawing.draw_people(
      pixels, joints, drawing.SHOWN_FROM, boxes[which], scores
    )
    np.testing.assert_array_equal(np.asarray(drawn), expected)


def test_file_is_readable_as_coco_annotations(run, photos, tmp_path):
  from pycocotools import coco

  predict.predict(run, str(photos), str(tmp_path / 'out'))
  loaded = coco.COCO(str(tmp_path / 'out' / 'poses.json'))
  (category,) = loaded.loadCats(loaded.getCatIds())
  assert category['keypoints'] == list(joints_lib.NAMES)
  # COCO's own first bone: left ankle to left knee, counted from 1.
  assert category['skeleton'][0] == [16, 14]
  found = loaded.loadAnns(loaded.getAnnIds(imgIds=[1]))
  assert [a['bbox'] for a in found] == [[0, 0, SIZE[1], SIZE[0]]]
  assert loaded.dataset['boxes'] == {'from': 'whole picture'}


def test_min_score_and_flip_test(run, photos, tmp_path):
  picture = str(photos / 'cat.png')
  find = lambda **options: predict.predict(
    run, picture, str(tmp_path), **options
  )['annotations'][0]
  plain, flipped = find(min_score=9.0), find(min_score=0.0, flip_test=True)
  assert plain['num_keypoints'] == 0
  assert set(plain['keypoints'][2::3]) == {0} and any(plain['keypoints'])
  assert flipped['num_keypoints'] == 17
  for flip_test, found in ((False, plain), (True, flipped)):
    function = inference.pose_function(building.load_trained(run), flip_test)
    _, pixels = picture_files.read_image(picture)
    (expected,) = function(pixels, np.float32([[0, 0, *SIZE]])).numpy()
    np.testing.assert_allclose(
      found['keypoint_scores'], expected[:, 2], atol=1e-5
    )
  assert flipped['keypoint_scores'] != plain['keypoint_scores']


def boxes_of(source, name='cat.png'):
  found = source(name, np.zeros((*SIZE, 3), np.uint8))
  return found.boxes.tolist()


# BOX and OTHER as ymin, xmin, ymax, xmax.
FIRST, SECOND = [5, 10, 45, 40], [0, 40, 50, 65]


def test_annotation_form_is_matched_by_file_name(tmp_path):
  content = annotations(
    entry(1, category_id=7),
    entry(1, OTHER, category_id=1),
    entry(2, OTHER, category_id=7),
    entry(1, [0, 0, 70, 50], category_id=7, iscrowd=1),
    names=('elsewhere/cat.png', 'dog.png'),
    categories=[(1, 'cat'), (7, 'person')],
  )
  del content['annotations'][2]['score']  # as annotated: sure
  path = write(tmp_path / 'x.json', content)
  pictures = ['photos/cat.png', 'photos/dog.png', 'photos/cow.png']
  source = boxes_from.File(path, pictures)
  assert boxes_of(source, 'photos/cat.png') == [FIRST]
  assert boxes_of(source, 'photos/dog.png') == [SECOND]
  assert boxes_of(source, 'photos/cow.png') == []
  source = boxes_from.File(path, pictures, person_category=1)
  assert boxes_of(source, 'photos/cat.png') == [SECOND]


def test_equal_file_names_are_told_apart_by_their_folders(tmp_path):
  path = write(
    tmp_path / 'x.json',
    annotations(entry(1), entry(2, OTHER), names=('a/cat.png', 'b/cat.png')),
  )
  source = boxes_from.File(path, ['b/cat.png', './a/cat.png', 'c/cat.png'])
  assert boxes_of(source, './a/cat.png') == [FIRST]
  assert boxes_of(source, 'b/cat.png') == [SECOND]
  assert boxes_of(source, 'c/cat.png') == []


def test_results_are_matched_by_number_or_name(tmp_path):
  path = write(
    tmp_path / 'x.json', [entry('0785'), entry('cat', OTHER), entry(7)]
  )
  source = boxes_from.File(path, ['p/000000000785.jpg', 'p/cat.png'])
  assert boxes_of(source, 'p/000000000785.jpg') == [FIRST]
  assert boxes_of(source, 'p/cat.png') == [SECOND]


def test_of_two_boxes_of_one_person_the_surer_one_is_taken(tmp_path):
  # Intersection over union is 30 * 30 / (30 * 40) = .75, above .6.
  double = [10, 5, 30, 30]
  path = write(
    tmp_path / 'x.json', [entry('cat', double, 0.5), entry('cat', BOX, 0.9)]
  )
  assert boxes_of(boxes_from.File(path, ['cat.png'])) == [FIRST]


@pytest.mark.parametrize(
  'content, message',
  [
    ([entry(7)], 'has boxes of none of the 1 pictures at --images'),
    ([], 'has boxes of none'),
    (annotations(entry(1), names=('dog.png',)), 'has boxes of none'),
    ({'images': []}, 'is no COCO file with boxes'),
    ('text', 'is no COCO file with boxes'),
    ([entry('cat'), {'image_id': 'cat'}], 'entry 1 needs image_id'),
    ([entry('cat', score=float('nan'))], 'entry 0 has .* the score nan'),
    ([entry('cat', [0, 1, float('inf'), 2])], 'entry 0 has the bbox'),
    ([entry('cat', [0, 1, -5, 2])], 'entry 0 has the bbox'),
    ([entry('cat', [0, 1, 2])], 'entry 0 has the bbox'),
    (
      annotations(entry(1), categories=[(3, 'dog')]),
      "no category 'person', but dog; say with --person_category",
    ),
  ],
)
def test_bad_boxes_file(tmp_path, content, message):
  path = write(tmp_path / 'x.json', content)
  with pytest.raises(ValueError, match=message):
    boxes_from.File(path, ['p/cat.png'])


def test_boxes_of_a_picture_of_another_size(tmp_path):
  path = write(tmp_path / 'x.json', annotations(entry(1), size=(100, 140)))
  source = boxes_from.File(path, ['cat.png'])
  with pytest.raises(ValueError, match=r'cat\.png has \(50, 70\) pixels'):
    boxes_of(source)


FOUND = {
  # Of 50 x 70 pixels: FIRST, SECOND and a box without height.
  'boxes': [[0.1, 1 / 7, 0.9, 4 / 7], [0, 4 / 7, 1, 65 / 70], [0, 0, 0, 1]],
  'scores': [0.9, 0.8, 0.7],
}


def detector(folder, names, classes, **found):
  found = {**FOUND, **found}
  boxes = [*found['boxes'], [0, 0, 1, 1]]
  return save_detector(
    folder,
    names,
    boxes=boxes,
    classes=[*classes, *classes[:1]],
    scores=[*found['scores'], 0.6],
  )


@pytest.mark.parametrize(
  'names, classes, person, expected',
  [
    (['cat', 'person'], [2, 1, 2], None, FIRST),
    (None, [2, 1, 1], None, SECOND),
    (['person', 'cat'], [1, 18, 1], 18, SECOND),
  ],
)
def test_people_of_a_detector(tmp_path, names, classes, person, expected):
  folder = detector(tmp_path / 'saved', names, classes)
  source = boxes_from.Detector(folder, person_category=person)
  found = source('cat.png', np.zeros((*SIZE, 3), np.uint8))
  np.testing.assert_allclose(found.boxes, [expected], atol=1e-4)
  assert len(found.left_out) == (classes[2] == source.about['person_category'])


def test_detector_through_prediction(run, photos, tmp_path):
  folder = detector(tmp_path / 'saved', ['person'], [1, 1, 1])
  result = predict.predict(
    run, str(photos), str(tmp_path / 'out'), detector=folder, min_box_score=0.6
  )
  assert result['boxes']['from'] == 'detector'
  assert [i['boxes'] for i in result['images']] == [2, 2]
  assert len(result['left_out']) == 2


def test_bad_detectors(run, tmp_path):
  with pytest.raises(ValueError, match='There is no SavedModel at --detector'):
    boxes_from.Detector(str(tmp_path))
  folder = detector(tmp_path / 'a', ['cat', 'dog'], [1, 1, 1])
  with pytest.raises(ValueError, match=r'does not know people: .*labels\.tsv'):
    boxes_from.Detector(folder)
  folder = detector(
    tmp_path / 'b', None, [1, 1, 1], scores=[0.9, float('nan'), 0.1]
  )
  with pytest.raises(ValueError, match=r'cat\.png: the detector .* score nan'):
    boxes_of(boxes_from.Detector(folder))
  module = tf.Module()
  module.serve = tf.function(
    lambda x: {'y': x}, input_signature=[tf.TensorSpec([])]
  )
  tf.saved_model.save(module, str(tmp_path / 'c'), signatures=module.serve)
  with pytest.raises(ValueError, match='is no detector'):
    boxes_from.Detector(str(tmp_path / 'c'))


def test_network_with_nan_is_told(photos, tmp_path):
  folder, model = fake_run.save(tmp_path)
  model.head.bias.assign([np.nan] * 17 + [0.0] * 34)
  fake_run.write_checkpoint(tmp_path, model)
  with pytest.raises(ValueError, match='head/bias:0 that are not finite'):
    predict.predict(folder, str(photos), str(tmp_path / 'out'))


def test_wrong_arguments_are_told(run, photos, tmp_path):
  output = str(tmp_path / 'out')
  with pytest.raises(ValueError, match=r'has no params\.yaml'):
    predict.predict(str(photos), str(photos), output)
  with pytest.raises(ValueError, match='No picture at --images'):
    predict.predict(run, str(photos / '*.xyz'), output)
  with pytest.raises(ValueError, match='both say where people are'):
    predict.predict(run, str(photos), output, 'a.json', 'b')
  with pytest.raises(FileNotFoundError):
    predict.predict(run, str(photos), output, str(tmp_path / 'no.json'))
  (photos / 'broken.jpg').write_bytes(b'no picture')
  with pytest.raises(ValueError, match='None of the 1 files'):
    predict.predict(run, str(photos / 'broken.jpg'), output)


def test_binary_tells_what_it_wrote(run, photos, tmp_path):
  (photos / 'broken.jpg').write_bytes(b'no picture')
  file = write(
    tmp_path / 'x.json', [entry(), entry(bbox=[3, 4, 0, 9], score=0.8)]
  )
  done = call(
    'pose.predict',
    model_dir=run,
    images=photos,
    output=tmp_path / 'out',
    boxes_file=file,
    min_score=0,
  )
  assert done.returncode == 0, done.stderr
  assert (
    'Found 1 people in 2 pictures (1 without a box of a person), left out 1 '
    'boxes without size, skipped 1 that cannot be read; see '
  ) in done.stdout
  assert 'Unreadable: ' in done.stderr
  assert '785.png: the box [3.0, 4.0, 0.0, 9.0]' in done.stderr


@pytest.mark.parametrize(
  'options, message',
  [
    ({}, 'Flag --model_dir is missing'),
    (
      {'model_dir': 'x', 'images': 'y', 'output': 'z', 'min_box_score': 0.5},
      'Flag --min_box_score is about boxes: give --boxes_file or --detector',
    ),
  ],
)
def test_binary_tells_wrong_flags_in_one_line(options, message):
  done = call('pose.predict', **options)
  assert done.returncode == 1
  assert done.stderr.startswith(f'Error: {message}')
  assert len(done.stderr.splitlines()) == 1
