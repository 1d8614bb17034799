import io

import numpy as np
import pytest
from PIL import Image

tfds = pytest.importorskip('tensorflow_datasets')

from official_repro.data import records  # noqa: E402
from official_repro.data.building import build  # noqa: E402
from official_repro.data.sources import TfdsSource  # noqa: E402
from tests.data.fakes import read  # noqa: E402


def picture(i, size=(6, 8)):
  return np.full((*size, 3), 10 * i, np.uint8)


def store(data_dir, title, features, splits):
  """Writes {split: [example]} as a TFDS set."""

  class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    name = title
    VERSION = tfds.core.Version('1.2.0')
    # Otherwise TFDS looks for the package that holds the class.
    code_path = None
    pkg_dir_path = None

    def _info(self):
      return tfds.core.DatasetInfo(
        builder=self, features=tfds.features.FeaturesDict(features)
      )

    def _split_generators(self, dl_manager):
      return {s: self._generate_examples(s) for s in splits}

    def _generate_examples(self, split):
      yield from enumerate(splits[split])

  Builder(data_dir=data_dir).download_and_prepare()


IMAGE = {'image': tfds.features.Image(shape=(None, None, 3))}


@pytest.fixture(scope='module')
def classified(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp('tfds')
  label = tfds.features.ClassLabel(names=['ant', 'bee'])
  rows = [{'image': picture(i), 'label': i % 2} for i in range(5)]
  store(
    data_dir,
    'insects',
    {**IMAGE, 'label': label},
    {'train': rows[:3], 'test': rows[3:]},
  )
  return data_dir


def test_classification_through_a_build(classified, tmp_path):
  source = TfdsSource('insects', classified)
  assert source.sizes == {'test': 2, 'train': 3}
  assert source.hierarchy.names == ['ant', 'bee']
  assert not source.has_objects
  build.build(source, tmp_path / 'out', num_shards=2, processes=1)
  found = {e.source_id: e for e in read(tmp_path / 'out')}
  assert sorted(found) == [f'train/{i:09d}' for i in range(3)]
  # TFDS shuffles what it writes; each picture keeps its label.
  shades = set()
  for example in found.values():
    with Image.open(io.BytesIO(example.encoded)) as image:
      pixels = np.asarray(image)
    assert pixels.shape == (6, 8, 3) == (example.height, example.width, 3)
    shade = int(pixels[0, 0, 0])
    shades.add(shade)
    assert example.label_ids == [shade // 10 % 2]
  assert shades == {0, 10, 20}
  name = records.Dataset.load(tmp_path / 'out').info['options']['name']
  assert name == 'insects/1.2.0'


def test_splits_and_versions(classified):
  assert TfdsSource('insects:1.2.0', classified, ['test']).sizes == {'test': 2}
  with pytest.raises(ValueError, match="no split 'val'; it has"):
    TfdsSource('insects', classified, ['val'])
  for name in ('insects:9.9.9', 'birds'):
    with pytest.raises(FileNotFoundError, match='nothing is downloaded'):
      TfdsSource(name, classified)
  with pytest.raises(ValueError, match='is no name of a set'):
    TfdsSource('../insects', classified)


def test_detection(tmp_path):
  box = lambda *sides: tfds.features.BBox(*sides)
  objects = tfds.features.Sequence(
    {
      'bbox': tfds.features.BBoxFeature(),
      'label': tfds.features.ClassLabel(names=['cat', 'dog']),
      'is_crowd': np.bool_,
      'area': np.int64,
    }
  )
  of = lambda label, crowd, *sides: {
    'bbox': box(*sides),
    'label': label,
    'is_crowd': crowd,
    'area': 12,
  }
  rows = [
    {
      'image': picture(1),
      'objects': [
        of(1, True, 0.0, 0.25, 0.5, 1.0),
        of(0, False, 0.0, 0.0, 1.0, 1.0),
      ],
    },
  ]
  store(tmp_path / 'tfds', 'pets', {**IMAGE, 'objects': objects}, {'val': rows})
  source = TfdsSource('pets', tmp_path / 'tfds')
  assert source.has_objects
  example = source.reader(next(source.items()))
  assert example.boxes.tolist() == [[0, 0.25, 0.5, 1], [0, 0, 1, 1]]
  assert example.box_labels.tolist() == [2, 1]
  assert example.is_crowd.tolist() == [1, 0]
  assert example.area.tolist() == [12, 12]
  assert example.label_ids == [0, 1]


def test_sets_without_picture_or_label(tmp_path):
  rows = [{'image': picture(1)}]
  store(tmp_path, 'bare', dict(IMAGE), {'train': rows})
  with pytest.raises(ValueError, match='no picture with a class label'):
    TfdsSource('bare', tmp_path)


def test_several_labels_and_a_damaged_record(tmp_path):
  labels = tfds.features.Sequence(tfds.features.ClassLabel(num_classes=3))
  rows = [{'image': picture(i), 'labels': [2, i]} for i in range(2)]
  store(tmp_path, 'many', {**IMAGE, 'labels': labels}, {'train': rows})
  source = TfdsSource('many', tmp_path)
  assert source.hierarchy.names == ['0', '1', '2']
  items = list(source.items())
  found = [source.reader(item).label_ids for item in items]
  assert sorted(found) == [[0, 2], [1, 2]]
  (path,) = tmp_path.glob('many/1.2.0/*.tfrecord*')
  data = bytearray(path.read_bytes())
  data[-10] ^= 1
  path.write_bytes(data)
  assert source.reader(items[1]).reason == 'damaged record'
