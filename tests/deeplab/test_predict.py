"""Masks and overlays of a user's pictures, the JSON beside, the SavedModel."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab import building, drawing, export, inference, predict
from official_repro.core import config as config_lib
from official_repro.data import picture_files
from tests.deeplab import folders, tiny


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """What training leaves, of a network that finds several classes."""
  folder = tmp_path_factory.mktemp('run')
  rows = tiny.rows(1)
  data = folders.write(folder / 'data', train=rows, validation=rows)
  task = tiny.make(data)
  config = tiny.config_for(
    # The data folder of the run need not be there any more.
    str(folder / 'gone'),
    override='task.model.num_classes=4',
  )
  config_lib.save(config, str(folder / 'params.yaml'))
  task.write_assets(str(folder))
  tf.keras.utils.set_random_seed(3)
  model = task.build_model()
  for kernel in model.head.kernels:
    kernel.assign(tf.random.normal(kernel.shape))
  tiny.save(folder, model, task.metadata())
  return str(folder)


@pytest.fixture(scope='module')
def trained(run):
  """The network, and its graph."""
  loaded = building.load_trained(run)
  return loaded, inference.graph_function(loaded.model)


@pytest.fixture
def photos(tmp_path):
  folder = tmp_path / 'photos'
  folder.mkdir()
  (folder / 'a.png').write_bytes(folders.png(folders.picture(20, 70)))
  grey = folders.picture(50, 30, 1)[..., 0]
  (folder / 'a-overlay.png').write_bytes(folders.png(grey))
  damaged = folders.png(folders.picture(20, 70))[:200]
  (folder / 'broken.jpg').write_bytes(damaged)
  return folder


def test_writes_masks_overlays_and_json(run, photos, tmp_path):
  output = tmp_path / 'out'
  done = tiny.call(
    'deeplab.predict',
    model_dir=run,
    images=photos,
    output=output,
    inference='whole',
  )
  assert done.returncode == 0, done.stderr
  assert 'in 2 pictures, skipped 1 that cannot be read' in done.stdout
  assert 'Unreadable: ' in done.stderr
  assert 'broken.jpg' in done.stderr
  result = json.loads((output / 'predictions.json').read_text())
  assert result['classes'] == ['background', *folders.NAMES]
  (bad,) = result['unreadable']
  assert bad['file_name'].endswith('broken.jpg')
  # No file of one picture has the name of another's.
  files = [i[k] for i in result['images'] for k in ('mask', 'overlay')]
  assert len(set(files)) == 4
  by_name = {i['file_name']: i for i in result['images']}
  for name, size in (('a.png', (20, 70)), ('a-overlay.png', (50, 30))):
    entry = by_name[str(photos / name)]
    assert (entry['height'], entry['width']) == size
    with Image.open(output / entry['mask']) as mask:
      assert mask.mode == 'P'
      palette = np.reshape(mask.getpalette(), (-1, 3))
      np.testing.assert_array_equal(palette, drawing.color_map())
      mask = np.asarray(mask)
    assert mask.shape == size
    for found in entry['found']:
      assert result['classes'][found['class']] == found['name']
      assert found['pixels'] == np.sum(mask == found['class'])
      assert found['share'] == pytest.approx(found['pixels'] / mask.size)
    shares = [found['share'] for found in entry['found']]
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)
    _, pixels = picture_files.read_image(str(photos / name))
    with Image.open(output / entry['overlay']) as drawn:
      expected = drawing.overlay(pixels, mask)
      np.testing.assert_array_equal(np.asarray(drawn), expected)


def test_inference_and_window_can_be_chosen(
  run, trained, photos, tmp_path, monkeypatch
):
  picture = str(photos / 'a.png')
  loaded, function = trained
  assert loaded.window == tiny.SIDE
  _, pixels = picture_files.read_image(picture)
  # Not loaded and traced once more for each.
  monkeypatch.setattr(building, 'load_trained', lambda _: loaded)
  monkeypatch.setattr(inference, 'graph_function', lambda _: function)
  for mode, window, overlap in (
    ('whole', None, None),
    ('sliding', None, None),
    ('sliding', 41, 8),
  ):
    output = tmp_path / f'{mode}{window}'
    predict.predict(run, picture, str(output), mode, window, overlap)
    found = np.asarray(Image.open(output / 'a.png'))
    expected = inference.labels_of(
      function, pixels, mode, window or tiny.SIDE, overlap
    )
    np.testing.assert_array_equal(found, expected)
  with pytest.raises(ValueError, match='window is 40 pixels'):
    predict.predict(run, picture, str(tmp_path / 'no'), window=40)


def test_saved_model_gives_the_same(run, trained, tmp_path):
  export.export(run, str(tmp_path / 'saved'))
  serve = tf.saved_model.load(str(tmp_path / 'saved')).signatures[
    'serving_default'
  ]
  pixels = np.stack([folders.picture(20, 70, seed) for seed in range(2)])
  found = serve(tf.constant(pixels))
  assert set(found) == {'labels', 'probabilities'}
  _, function = trained
  for i, picture in enumerate(pixels):
    expected = inference.whole(function, picture, tiny.SIDE)
    np.testing.assert_allclose(found['probabilities'][i], expected, atol=1e-5)
  likely = np.argmax(found['probabilities'], -1)
  np.testing.assert_array_equal(found['labels'], likely)
  names = (tmp_path / 'saved' / 'assets.extra' / 'labels.tsv').read_text()
  assert 'bird' in names
  with pytest.raises(ValueError, match='is not an empty folder'):
    export.export(run, str(tmp_path / 'saved'))


def test_wrong_folders_are_told(run, photos, tmp_path):
  with pytest.raises(ValueError, match=r'has no params\.yaml'):
    predict.predict(str(photos), str(photos), str(tmp_path / 'out'))
  with pytest.raises(ValueError, match='No picture at --images'):
    predict.predict(run, str(photos / '*.xyz'), str(tmp_path / 'out'))
  with pytest.raises(ValueError, match='None of the 1 files'):
    predict.predict(run, str(photos / 'broken.jpg'), str(tmp_path / 'out'))


def test_file_names_leave_room_for_those_beside():
  names = picture_files.output_names(
    ['x/a.jpg', 'y/A.png', 'x/a-more.jpg', 'a-2.gif'], ['-more.png']
  )
  assert names == {
    'x/a.jpg': 'a.png',
    'y/A.png': 'A-2.png',
    'x/a-more.jpg': 'a-more-2.png',
    'a-2.gif': 'a-2-2.png',
  }
