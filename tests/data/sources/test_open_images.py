import json

import pytest

from official_repro.data.sources import BadRecord, labelled
from official_repro.data.sources.open_images import OpenImagesSource
from tests.conftest import shared_path
from tests.data.sources.helpers import (
  check_sizes,
  listed,
  read,
  save_image,
  with_peak,
)

CLASSES = '/m/a,Animal\n/m/d,Dog\n/m/r,Rock\n'
HEADER = 'ImageID,Source,LabelName,Confidence\n'
TREE = {
  'LabelName': '/m/0',
  'Subcategory': [
    {'LabelName': '/m/a', 'Subcategory': [{'LabelName': '/m/d'}]},
  ],
}


def make(tmp_path, rows, header=HEADER, **options):
  (tmp_path / 'classes.csv').write_text(CLASSES)
  (tmp_path / 'tree.json').write_text(json.dumps(TREE))
  (tmp_path / 'labels.csv').write_text(header + rows, encoding='utf-8')
  options.setdefault('eval_fraction', 0)
  return OpenImagesSource(
    tmp_path / 'labels.csv',
    hierarchy=tmp_path / 'tree.json',
    descriptions=tmp_path / 'classes.csv',
    **options,
  )


def test_rows_of_an_image_become_its_labels(tmp_path, capsys):
  source = make(
    tmp_path,
    'x2,verification,/m/d,1\n'
    'x2,verification,/m/r,0\n'
    'x2,machine,/m/a,0.5\n'
    'x1,machine,/m/r,0.6\n'
    'x1,machine,/m/r,0.9\n'
    'x1,machine,/m/a,0.4\n'
    'x0,verification,/m/r,0\n',
  )
  assert listed(source) == [
    ('train', 'x2', (1, 0), (1.0, 0.5)),
    ('train', 'x1', (2,), (0.9,)),
  ]
  check_sizes(source)
  assert source.hierarchy.names == ['Animal', 'Dog', 'Rock']
  assert source.hierarchy.fill([1]) == [0, 1]
  assert '1 image(s) without a label of at least 0.5' in capsys.readouterr().err
  assert json.loads(json.dumps(source.options)) == source.options


def test_least_confidence(tmp_path):
  rows = 'x,machine,/m/d,0.3\nx,machine,/m/r,0.29\n'
  source = make(tmp_path, rows, min_confidence=0.3)
  assert listed(source) == [('train', 'x', (1,), (0.3,))]


def test_what_people_deny_is_no_label(tmp_path):
  source = make(
    tmp_path,
    'x,machine,/m/d,0.9\nx,verification,/m/d,0\nx,machine,/m/r,0.8\n'
    # Denied by one, sure for another.
    'x,verification,/m/a,0\nx,verification,/m/a,1\n',
  )
  assert listed(source) == [('train', 'x', (2, 0), (0.8, 1.0))]


def test_columns_in_another_order_with_a_mark_and_windows_ends(tmp_path):
  source = make(
    tmp_path, '1,/m/d,x\r\n', '\ufeffConfidence,LabelName,ImageID\r\n'
  )
  assert listed(source) == [('train', 'x', (1,), (1.0,))]


def test_reading_by_pattern(tmp_path):
  save_image(tmp_path / 'photos' / 'train' / 'x.png')
  rows = 'x,v,/m/d,1\ny,v,/m/d,1\n'
  source = make(
    tmp_path,
    rows,
    image_root=tmp_path / 'photos',
    pattern='{split}/{image_id}.png',
  )
  there, gone = read(source)
  assert (there.source_id, there.label_ids) == ('x', [1])
  assert there.confidence == [1.0]
  assert there.encoded == (tmp_path / 'photos/train/x.png').read_bytes()
  assert gone == BadRecord('y', 'no such file or directory')


def test_default_pattern(tmp_path):
  save_image(tmp_path / 'x.jpg', kind='JPEG')
  (found,) = read(make(tmp_path, 'x,v,/m/d,1\n'))
  assert found.encoded == (tmp_path / 'x.jpg').read_bytes()


def test_one_file_is_split_by_hash(tmp_path):
  rows = ''.join(f'{i:016x},v,/m/d,1\n' for i in range(50))
  source = make(tmp_path, rows, eval_fraction=0.5)
  check_sizes(source)
  assert set(source.sizes) == {'train', 'validation'}
  for split, name, _, _ in listed(source):
    assert split == labelled.split_of(name, 0.5)


def test_a_file_for_each_split(tmp_path):
  (tmp_path / 'classes.csv').write_text(CLASSES)
  for split, rows in (
    ('train', 'b,v,/m/d,1\n'),
    ('validation', 'a,v,/m/r,1\n'),
  ):
    (tmp_path / f'{split}.csv').write_text(HEADER + rows)
  files = {s: tmp_path / f'{s}.csv' for s in ('validation', 'train')}
  classes = tmp_path / 'classes.csv'
  source = OpenImagesSource(files, descriptions=classes)
  assert listed(source) == [
    ('validation', 'a', (2,), (1.0,)),
    ('train', 'b', (1,), (1.0,)),
  ]
  check_sizes(source)
  assert source.options['eval_fraction'] is None
  with pytest.raises(ValueError, match='leave --eval_fraction=0.1 out'):
    OpenImagesSource(files, descriptions=classes, eval_fraction=0.1)
  (tmp_path / 'train.csv').write_text(HEADER + 'a,v,/m/d,1\n')
  message = r"train.csv, line 2: image 'a' .*\(.*validation.csv, line 2\)"
  with pytest.raises(ValueError, match=message):
    OpenImagesSource(files, descriptions=classes)


@pytest.mark.parametrize(
  ('rows', 'options', 'message'),
  [
    ('', {}, 'no image has a label'),
    ('x,v,/m/d,0.2\n', {}, 'no image has a label of at least 0.5'),
    ('x,v,/m/d\n', {}, 'line 2: 4 columns expected, got 3'),
    (',v,/m/d,1\n', {}, 'line 2: the ImageID is empty'),
    ('x,v,/m/d,2\n', {}, "line 2: Confidence '2' is no number"),
    ('x,v,/m/d,\n', {}, "line 2: Confidence '' is no number"),
    ('x,v,/m/q,1\n', {}, "line 2: Label '/m/q' .* the nearest is '/m/"),
    ('x,v,/m/q,0\n', {}, "line 2: Label '/m/q' is not among"),
    (
      'x,v,/m/d,1\ny,v,/m/d,1\nx,v,/m/r,1\n',
      {},
      r"line 4: image 'x' was listed before \(.*line 2\); sort the rows",
    ),
    ('../x,v,/m/d,1\n', {}, "line 2: the path '../x.jpg' leaves"),
    ('x,v,/m/d,1\n', {'min_confidence': 0}, r'must be in \(0, 1\], got 0'),
    ('x,v,/m/d,1\n', {'pattern': 'x.jpg'}, 'must hold {image_id}'),
    ('x,v,/m/d,1\n', {'pattern': '../{image_id}'}, 'leaves the image folder'),
  ],
)
def test_bad_input(tmp_path, rows, options, message):
  with pytest.raises(ValueError, match=message) as e:
    make(tmp_path, rows, **options)
  assert '\n' not in str(e.value)


def test_wrong_header(tmp_path):
  with pytest.raises(ValueError, match='line 1: the header must name ImageID'):
    make(tmp_path, '', 'ImageID,Label\n')


def test_missing_files(tmp_path):
  make(tmp_path, 'x,v,/m/d,1\n')
  classes = tmp_path / 'classes.csv'
  with pytest.raises(FileNotFoundError, match='none'):
    OpenImagesSource(tmp_path / 'none.csv', descriptions=classes)
  with pytest.raises(FileNotFoundError, match='no image root'):
    make(tmp_path, 'x,v,/m/d,1\n', image_root=tmp_path / 'none')


def test_real_classes(tmp_path):
  folder = shared_path('data', 'openimages_hierarchy')
  path = tmp_path / 'labels.csv'
  path.write_text(HEADER + 'x,v,Brown bear,1\nx,v,Car,0\ny,v,Lady bug,1\n')
  source = OpenImagesSource(
    path, hierarchy=folder / 'bbox_hierarchy.json', eval_fraction=0
  )
  h = source.hierarchy
  first, second = ([h.names[i] for i in h.fill(x[2])] for x in listed(source))
  assert sorted(first) == [
    'Animal',
    'Bear',
    'Brown bear',
    'Carnivore',
    'Mammal',
  ]
  assert 'Beetle' in second


def test_a_long_file_is_not_kept_in_memory(tmp_path):
  classes, path = tmp_path / 'classes.csv', tmp_path / 'labels.csv'
  classes.write_text(CLASSES)
  with open(path, 'w') as f:
    f.write(HEADER)
    for i in range(6000):
      f.write(f'{i // 2:05000x},machine,/m/{"dr"[i % 2]},0.{5 + i % 5}\n')
  source, count, peak = with_peak(
    lambda: OpenImagesSource(path, descriptions=classes)
  )
  assert count == sum(source.sizes.values()) == 3000
  # 8 bytes an image, and a few pieces of 1 MiB for the checksum.
  assert path.stat().st_size > 30e6
  # Threads of other tests allocate a few MB meanwhile.
  assert peak < 16e6
