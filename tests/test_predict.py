import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from official_repro import export, predict, task_config, trained
from official_repro import task as task_lib
from official_repro.core import checkpoints
from official_repro.core import config as config_lib
from official_repro.data import hierarchy as hierarchy_lib
from official_repro.data import images as images_lib
from tests import tiny

NAMES = ['animal', 'cat', 'dog', 'plante é', 'cat', 'chair', 'cup']


def _save_run(folder, loss='per_label_logistic'):
  """A model_dir with random weights, as training leaves it."""
  folder.mkdir(exist_ok=True)
  classes = len(NAMES)
  hierarchy = hierarchy_lib.Hierarchy(
    range(classes), NAMES, [(), (0,), (0,), (), (), (), ()], [1.0] * classes
  )
  hierarchy.save(str(folder / 'labels.tsv'))
  config = config_lib.ExperimentConfig(
    task=task_config.TaskConfig(
      model=task_config.ModelConfig(
        depth=14, width=0.125, num_classes=classes, fc_shards=3
      ),
      loss=loss,
    )
  )
  for data in (config.task.train_data, config.task.validation_data):
    data.resize, data.crop = 40, 32
  task = task_lib.ClassificationTask(config.task, logging_dir=str(folder))
  # The data folder of the run need not be there any more.
  config.task.train_data.data_dir = str(folder / 'gone')
  config_lib.save(config, str(folder / 'params.yaml'))
  tf.keras.utils.set_random_seed(3)
  model = task.build_model()
  for variable in model.variables:
    if 'fc/' in variable.name:
      variable.assign(tf.random.normal(variable.shape))
    elif 'moving_mean' in variable.name:
      variable.assign(tf.random.normal(variable.shape, stddev=0.1))
  checkpoint = tf.train.Checkpoint(
    model=model, metadata=checkpoints.Metadata(task.metadata())
  )
  manager = tf.train.CheckpointManager(checkpoint, str(folder), 1)
  manager.save(checkpoint_number=7)
  return folder, model


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  return _save_run(tmp_path_factory.mktemp('run'))


def _pixels(seed, height=48, width=64):
  small = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
  return np.asarray(Image.fromarray(small).resize((width, height)))


@pytest.fixture
def photos(tmp_path):
  folder = tmp_path / 'photos'
  folder.mkdir()
  for i in range(3):
    Image.fromarray(_pixels(i)).save(folder / f'{i}.jpg', quality=95)
  Image.fromarray(_pixels(3)).save(folder / '0.PNG')
  (folder / 'broken.jpg').write_bytes((folder / '0.jpg').read_bytes()[:300])
  (folder / 'notes.txt').write_text('no picture')
  return folder


def _outputs(model, path):
  """Logits, sigmoid scores and features of one file, computed directly."""
  image = images_lib.eval_image(tf.io.read_file(str(path)), resize=40, crop=32)
  outputs = model(images_lib.normalize(image[None]))
  logits = outputs['logits'].numpy()[0]
  return logits, tf.sigmoid(logits).numpy(), outputs['features'].numpy()[0]


def test_loads_weights_and_input_size_without_the_data(run):
  folder, model = run
  loaded = trained.load(str(folder))
  assert (loaded.resize, loaded.crop, loaded.names) == (40, 32, NAMES)
  assert loaded.checkpoint == str(folder / 'ckpt-7')
  assert len(loaded.model.variables) == len(model.variables)
  for a, b in zip(loaded.model.variables, model.variables):
    assert a.name == b.name
    np.testing.assert_array_equal(a, b)


def test_labels_every_picture_of_a_folder_and_skips_the_damaged(
  run, photos, tmp_path
):
  folder, model = run
  output = tmp_path / 'out'
  predict.predict(str(folder), str(photos), str(output), top=3)
  result = json.loads((output / 'predictions.json').read_text())
  assert [p['image'] for p in result['predictions']] == [
    str(photos / n) for n in ('0.PNG', '0.jpg', '1.jpg', '2.jpg')
  ]
  (bad,) = result['unreadable']
  assert bad['image'].endswith('broken.jpg')
  assert 'cannot be decoded' in bad['reason']
  for prediction in result['predictions']:
    logits, expected, _ = _outputs(model, prediction['image'])
    order = np.argsort(-logits)[:3]
    labels = prediction['labels']
    assert [x['id'] for x in labels] == list(order)
    assert [x['name'] for x in labels] == [NAMES[i] for i in order]
    np.testing.assert_allclose(
      [x['score'] for x in labels], expected[order], rtol=1e-5
    )
    with Image.open(output / prediction['picture']) as drawn:
      assert drawn.format == 'PNG'
      assert drawn.size[0] > 400
  # Two inputs with one stem keep a picture each.
  names = [p['picture'] for p in result['predictions']]
  assert names[:2] == ['0.png', '0-2.png']


def test_softmax_run_gives_softmax_scores(photos, tmp_path):
  folder, model = _save_run(tmp_path / 'run', loss='softmax')
  result = predict.predict(
    str(folder), str(photos / '1.jpg'), str(tmp_path / 'out'), top=99
  )
  (prediction,) = result['predictions']
  scores = [x['score'] for x in prediction['labels']]
  assert len(scores) == len(NAMES)
  np.testing.assert_allclose(sum(scores), 1.0, rtol=1e-5)
  expected = tf.nn.softmax(_outputs(model, photos / '1.jpg')[0]).numpy()
  np.testing.assert_allclose(scores, sorted(expected)[::-1], rtol=1e-4)


def test_turns_a_photo_upright(tmp_path):
  upright = _pixels(5)
  exif = Image.Exif()
  exif[0x0112] = 6  # the viewer must turn it clockwise
  path = tmp_path / 'turned.png'
  Image.fromarray(np.rot90(upright)).save(path, exif=exif)
  encoded, picture = predict.read_image(str(path))
  np.testing.assert_array_equal(picture, upright)
  np.testing.assert_array_equal(tf.io.decode_image(encoded), upright)


def test_finds_files_folders_and_patterns(photos):
  (photos / 'deep').mkdir()
  Image.fromarray(_pixels(9)).save(photos / 'deep' / 'x.webp')
  names = lambda images: [
    p[len(str(photos)) + 1 :] for p in predict.find_images(str(images))
  ]
  assert names(photos) == ['0.PNG', '0.jpg', '1.jpg', '2.jpg', 'broken.jpg']
  assert names(photos / '[12].jpg') == ['1.jpg', '2.jpg']
  assert names(photos / '**' / '*.webp') == ['deep/x.webp']
  assert names(photos / 'notes.txt') == ['notes.txt']
  with pytest.raises(ValueError, match=r'No picture at --images .*\*\.xyz'):
    predict.find_images(str(photos / '*.xyz'))


def test_refuses_a_folder_that_is_no_run(run, photos, tmp_path):
  with pytest.raises(ValueError, match=r'has no params\.yaml'):
    trained.load(str(photos))
  folder, _ = run
  (tmp_path / 'params.yaml').write_text((folder / 'params.yaml').read_text())
  with pytest.raises(ValueError, match='no checkpoint'):
    trained.load(str(tmp_path))


def test_refuses_labels_of_another_run(tmp_path):
  folder, _ = _save_run(tmp_path / 'run')
  other = hierarchy_lib.Hierarchy.flat(['a'] + NAMES[1:])
  other.save(str(folder / 'labels.tsv'))
  with pytest.raises(ValueError, match=r'labels\.tsv.*is not the label space'):
    trained.load(str(folder))


def test_refuses_a_checkpoint_of_another_network(tmp_path):
  folder, _ = _save_run(tmp_path / 'run')
  params = (folder / 'params.yaml').read_text()
  (folder / 'params.yaml').write_text(
    params.replace('fc_shards: 3', 'fc_shards: 7')
  )
  with pytest.raises(ValueError, match=r'lacks \d+ variables.*first fc/'):
    trained.load(str(folder))


def test_binary_exit_codes_and_messages(run, photos, tmp_path):
  folder, _ = run
  options = {'model_dir': folder, 'output': tmp_path / 'out'}
  done = tiny.process('predict', images=photos, **options)
  assert done.returncode == 0, done.stderr
  assert 'Labelled 4 pictures, skipped 1' in done.stdout
  assert 'broken.jpg: cannot be decoded' in done.stderr
  done = tiny.call('predict', images=photos / 'notes.txt', **options)
  assert done.returncode == 1
  assert done.stderr.count('\n') == 1
  assert 'None of the 1 files' in done.stderr


def test_saved_model_equals_the_model(run, photos, tmp_path):
  folder, model = run
  output = tmp_path / 'saved'
  output.mkdir()  # empty: may be filled
  done = tiny.call('export', model_dir=folder, output=f'{output}/', top=4)
  assert done.returncode == 0, done.stderr
  assert not (tmp_path / 'saved.tmp').exists()
  serve = tf.saved_model.load(str(output)).signatures['serving_default']
  paths = [photos / '0.jpg', photos / '0.PNG', photos / '2.jpg']
  out = serve(image_bytes=tf.constant([p.read_bytes() for p in paths]))
  assert set(out) == {'labels', 'label_ids', 'scores', 'features'}
  assert out['label_ids'].dtype == tf.int32
  for i, path in enumerate(paths):
    logits, scores, features = _outputs(model, path)
    order = np.argsort(-logits)[:4]
    np.testing.assert_array_equal(out['label_ids'][i], order)
    np.testing.assert_allclose(out['scores'][i], scores[order], rtol=1e-4)
    names = [n.decode() for n in out['labels'][i].numpy()]
    assert names == [NAMES[j] for j in order]
    np.testing.assert_allclose(
      out['features'][i], features, rtol=1e-4, atol=1e-5
    )


def test_export_refuses_a_folder_in_use(run, photos):
  with pytest.raises(ValueError, match='not an empty folder'):
    export.export(str(run[0]), str(photos))
