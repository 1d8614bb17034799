import io
import shutil

import numpy as np
import pytest
from PIL import Image

tfds = pytest.importorskip('tensorflow_datasets')

from official_repro.data import records  # noqa: E402
from official_repro.data.building import build  # noqa: E402
from official_repro.data.sources import BadRecord, TfdsSource  # noqa: E402
from tests.data.fakes import read  # noqa: E402


def picture(i, size=(6, 8)):
  return np.full((*size, 3), 10 * i, np.uint8)


def store(data_dir, title, features, splits, supervised=None):
  """Writes {split: [example]} as a TFDS set."""

  class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    name = title
    VERSION = tfds.core.Version('1.2.0')
    # Otherwise TFDS looks for the package that holds the class.
    code_path = None
    pkg_dir_path = None

    def _info(self):
      return tfds.core.DatasetInfo(
        builder=self,
        features=tfds.features.FeaturesDict(features),
        supervised_keys=supervised,
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


def boxes_set(data_dir, rows, **options):
  """Writes a set whose row i has the boxes rows[i], all of label 1."""

  def features(box):
    parts = {'bbox': box, 'label': tfds.features.ClassLabel(names=['a', 'b'])}
    return {**IMAGE, 'objects': tfds.features.Sequence(parts)}

  examples = [
    {
      'image': picture(i),
      'objects': [
        {'bbox': np.array(sides, np.float32), 'label': 1} for sides in of_row
      ],
    }
    for i, of_row in enumerate(rows)
  ]
  # A plain tensor takes what the box feature would refuse; on disk both are
  # the same four numbers.
  plain = tfds.features.Tensor(shape=(4,), dtype=np.float32)
  store(data_dir, 'boxed', features(plain), {'val': examples})
  meant = tfds.features.BBoxFeature(**options)
  folder = data_dir / 'boxed' / '1.2.0'
  tfds.features.FeaturesDict(features(meant)).save_config(folder)


def test_box_numbers(tmp_path):
  whole, flat, outside = [0, 0, 1, 1], [0, 0.5, 1, 0.5], [0, 0, 1, 2]
  rows = [[], [flat, whole], [outside], [[0, 0, np.nan, 1]]]
  boxes_set(tmp_path, rows)
  source = TfdsSource('boxed', tmp_path)
  found = {}
  for item in source.items():
    example = source.reader(item)
    if isinstance(example, BadRecord):
      found[example.reason] = None
    else:
      found[example.boxes.shape] = example
  assert set(found) == {
    (0, 4),
    (1, 4),
    'box ymin 0, xmin 0, ymax 1, xmax 2 is not within 0 and 1',
    'box ymin 0, xmin 0, ymax nan, xmax 1 is not within 0 and 1',
  }
  # The box without width is left out, with its label.
  assert found[1, 4].boxes.tolist() == [whole]
  assert found[1, 4].box_labels.tolist() == [2]
  assert found[0, 4].label_ids == []


def test_the_file_passes_through_unchanged(tmp_path):
  out = io.BytesIO()
  Image.fromarray(picture(3)).save(out, 'JPEG')
  # Zeros at the end are lost where bytes pass through a NumPy array.
  data = out.getvalue() + b'\0\0'
  box = {'bbox': tfds.features.BBox(0.0, 0.0, 1.0, 1.0), 'label': 0}
  label = tfds.features.ClassLabel(num_classes=2)
  parts = {'bbox': tfds.features.BBoxFeature(), 'label': label}
  features = {**IMAGE, 'objects': tfds.features.Sequence(parts)}
  row = {'image': io.BytesIO(data), 'objects': [box]}
  store(tmp_path, 'boxes', features, {'train': [row]})
  row = {'image': io.BytesIO(data), 'label': 1}
  store(tmp_path, 'labels', {**IMAGE, 'label': label}, {'train': [row]})
  for name in ('boxes', 'labels'):
    source = TfdsSource(name, tmp_path)
    assert source.reader(next(source.items())).encoded == data


def many_labels(data_dir, title, keys, supervised=None):
  """Writes a set whose label i has i + 1 names."""
  labels = {
    key: tfds.features.ClassLabel(num_classes=i + 1)
    for i, key in enumerate(keys)
  }
  row = {'image': picture(1), **dict.fromkeys(keys, 0)}
  store(data_dir, title, {**IMAGE, **labels}, {'train': [row]}, supervised)


def test_which_of_several_labels(tmp_path):
  many_labels(tmp_path, 'usual', ('coarse_label', 'label', 'animal'))
  assert TfdsSource('usual', tmp_path).hierarchy.num_classes == 2
  many_labels(tmp_path, 'told', ('coarse', 'fine', 'label'), ('image', 'fine'))
  assert TfdsSource('told', tmp_path).hierarchy.num_classes == 2
  many_labels(tmp_path, 'unclear', ('coarse', 'fine'))
  with pytest.raises(ValueError, match=r'several labels \(coarse, fine\)'):
    TfdsSource('unclear', tmp_path)


def test_which_of_several_pictures(tmp_path):
  mask = {'a_mask': tfds.features.Image(shape=(None, None, 1))}
  label = {'label': tfds.features.ClassLabel(num_classes=2)}
  row = {'image': picture(2), 'a_mask': picture(1)[..., :1], 'label': 1}
  store(tmp_path, 'masked', {**mask, **IMAGE, **label}, {'train': [row]})
  source = TfdsSource('masked', tmp_path)
  with Image.open(
    io.BytesIO(source.reader(next(source.items())).encoded)
  ) as image:
    assert np.asarray(image).tolist() == picture(2).tolist()


def test_pictures_of_floats(tmp_path):
  image = tfds.features.Image(shape=(None, None, 1), dtype=np.float32)
  label = tfds.features.ClassLabel(num_classes=2)
  row = {'image': np.ones((2, 2, 1), np.float32), 'label': 0}
  store(tmp_path, 'depth', {'image': image, 'label': label}, {'train': [row]})
  with pytest.raises(ValueError, match="picture 'image' is of .*float32"):
    TfdsSource('depth', tmp_path)


def test_boxes_in_other_formats(tmp_path):
  if not hasattr(tfds.features.BBoxFeature(), 'bbox_format'):
    pytest.skip('this version of TFDS has one format only')
  boxes_set(tmp_path / 'unsaid', [[[0, 0, 1, 1]]], bbox_format=None)
  assert TfdsSource('boxed', tmp_path / 'unsaid').has_objects
  boxes_set(tmp_path / 'pixels', [[[0, 0, 1, 1]]], bbox_format='XYWH')
  with pytest.raises(ValueError, match='boxes in the format XYWH'):
    TfdsSource('boxed', tmp_path / 'pixels')


def changed(classified, tmp_path, change):
  """Returns a data folder with a copy of the set in which change(folder)."""
  shutil.copytree(classified / 'insects', tmp_path / 'insects')
  change(tmp_path / 'insects' / '1.2.0')
  return tmp_path


def in_format(kind):
  def change(folder):
    path = folder / 'dataset_info.json'
    path.write_text(path.read_text().replace('"tfrecord"', f'"{kind}"'))

  return change


@pytest.mark.parametrize(
  ('change', 'error', 'message'),
  [
    (in_format('array_record'), ValueError, 'only tfrecord can be read'),
    (
      lambda f: (f / 'dataset_info.json').write_text('{'),
      ValueError,
      'cannot be read as a TFDS set',
    ),
    (
      lambda f: (f / 'features.json').unlink(),
      ValueError,
      'cannot be read as a TFDS set',
    ),
    (
      lambda f: next(f.glob('*train*')).unlink(),
      FileNotFoundError,
      'There is no file .*train',
    ),
  ],
)
def test_damaged_sets(classified, tmp_path, change, error, message):
  data_dir = changed(classified, tmp_path, change)
  with pytest.raises(error, match=message) as e:
    TfdsSource('insects', data_dir)
  assert '\n' not in str(e.value)


def test_a_file_that_lost_records(classified, tmp_path):
  data_dir = changed(classified, tmp_path, lambda folder: None)
  source = TfdsSource('insects', data_dir, ['train'])
  (path,) = (data_dir / 'insects' / '1.2.0').glob('*train*')
  offset = list(source.items())[-1].payload[1]
  path.write_bytes(path.read_bytes()[:offset])
  with pytest.raises(ValueError, match=r'2 records, dataset_info.json says 3'):
    list(source.items())


def test_unfinished_and_newer_versions(classified, tmp_path):
  def copies(folder):
    for name in ('1.10.0', '1.9.0', '2.0.0.incompleteAB9'):
      shutil.copytree(folder, folder.parent / name)
      path = folder.parent / name / 'dataset_info.json'
      path.write_text(path.read_text().replace('1.2.0', name[:6].rstrip('.')))

  data_dir = changed(classified, tmp_path, copies)
  found = TfdsSource('insects', data_dir).options['name']
  assert found == 'insects/1.10.0'


def test_configs(classified, tmp_path):
  shutil.copytree(
    classified / 'insects' / '1.2.0', tmp_path / 'garden' / 'by-night' / '1.2.0'
  )
  assert TfdsSource('garden/by-night', tmp_path).name == 'garden_by-night'
  with pytest.raises(FileNotFoundError, match='has the configs by-night'):
    TfdsSource('garden', tmp_path)


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
