import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import coco as pycoco

from official_repro.data import records
from official_repro.data.building import build
from official_repro.data.sources import BadRecord, CocoSource, coco_file
from tests.conftest import shared_path
from tests.data.fakes import read


def content():
  return {
    'images': [
      {'id': 7, 'file_name': 'a.png', 'height': 10, 'width': 20},
      {'id': 5, 'file_name': 'b.png', 'height': 10, 'width': 20},
    ],
    'categories': [{'id': 90, 'name': 'cat'}, {'id': 2, 'name': 'ant'}],
    'annotations': [
      {
        'id': 1,
        'image_id': 7,
        'category_id': 90,
        'bbox': [5, 2, 10, 4],
        'area': 33.5,
        'iscrowd': 0,
      },
      {
        'id': 2,
        'image_id': 7,
        'category_id': 2,
        'bbox': [0, 0, 20.5, 10],
        'area': 200,
        'iscrowd': 1,
      },
      {'id': 3, 'image_id': 7, 'category_id': 2, 'bbox': [1, 1, 0, 4]},
    ],
  }


def write(tmp_path, value, name='train.json'):
  path = tmp_path / name
  path.write_text(json.dumps(value))
  for file in ('a.png', 'b.png'):
    Image.new('RGB', (20, 10), 'red').save(tmp_path / file)
  return {'train': path}


def test_boxes_by_hand(tmp_path, capsys):
  source = CocoSource(write(tmp_path, content()), tmp_path)
  assert '1 object(s) without width or height' in capsys.readouterr().err
  # Category ids have gaps and come in any order.
  assert source.hierarchy.names == ['ant', 'cat']
  assert source.options['category_ids'] == [2, 90]
  assert source.sizes == {'train': 2}
  assert source.has_objects
  first, second = map(source.reader, source.items())
  assert (first.source_id, first.height, first.width) == ('7', 10, 20)
  assert first.label_ids == [0, 1]
  # y 2 to 6 of 10, x 5 to 15 of 20; half a pixel too wide is cut off.
  np.testing.assert_allclose(
    first.boxes, [[0.2, 0.25, 0.6, 0.75], [0, 0, 1, 1]], rtol=1e-6
  )
  assert first.box_labels.tolist() == [2, 1]
  assert first.is_crowd.tolist() == [0, 1]
  assert first.area.tolist() == [33.5, 200]
  assert first.encoded == (tmp_path / 'a.png').read_bytes()
  assert second.boxes.shape == (0, 4)
  assert second.label_ids == []


def test_through_a_build(tmp_path):
  source = CocoSource(write(tmp_path, content()), tmp_path)
  build.build(source, tmp_path / 'out', num_shards=1)
  first, second = read(tmp_path / 'out')
  assert (first.source_id, second.source_id) == ('7', '5')
  assert first.boxes.shape == (2, 4)
  assert second.boxes.shape == (0, 4)
  options = records.Dataset.load(tmp_path / 'out').info['options']
  assert options['category_ids'] == [2, 90]


def test_a_picture_of_another_size_is_bad(tmp_path):
  value = content()
  value['images'][1].update(height=20, width=10)
  source = CocoSource(write(tmp_path, value), tmp_path)
  report = build.build(source, tmp_path / 'out', max_bad=0.5)
  assert report.splits['train'].bad == 1
  listed = (tmp_path / 'out' / 'bad_records.csv').read_text()
  assert '"is 20 x 10 pixels, its annotation says 10 x 20"' in listed


def test_a_box_far_outside_is_bad(tmp_path):
  value = content()
  value['annotations'][0]['bbox'] = [15, 2, 10, 4]
  source = CocoSource(write(tmp_path, value), tmp_path)
  result = source.reader(next(source.items()))
  assert isinstance(result, BadRecord)
  assert 'x 15 to 25' in result.reason
  assert '20 x 10 pixels' in result.reason


def test_an_edge_that_is_cut_off_leaves_nothing(tmp_path, capsys):
  value = content()
  # Half a pixel behind the right edge of 20; within a pixel it is rounding.
  value['annotations'][0]['bbox'] = [20, 2, 0.5, 4]
  source = CocoSource(write(tmp_path, value), tmp_path)
  assert '2 object(s) without width or height' in capsys.readouterr().err
  assert source.reader(next(source.items())).boxes.shape == (1, 4)
  # Far outside it is no rounding.
  value['annotations'][0]['bbox'] = [30, 2, 0.5, 4]
  source = CocoSource(write(tmp_path, value), tmp_path)
  assert isinstance(source.reader(next(source.items())), BadRecord)


def test_area_and_crowd_may_be_left_out(tmp_path):
  value = content()
  del value['annotations'][0]['area'], value['annotations'][0]['iscrowd']
  source = CocoSource(write(tmp_path, value), tmp_path)
  example = source.reader(next(source.items()))
  assert example.area.tolist() == [40, 200]
  assert example.is_crowd.tolist() == [0, 1]


def test_outlines_are_not_kept(tmp_path):
  value = content()
  value['annotations'][0]['segmentation'] = [[1, 2, 3, 4, 5, 6]]
  path = write(tmp_path, value)['train']
  loaded = coco_file.load(path)
  assert all('segmentation' not in a for a in loaded['annotations'])
  assert loaded['images'] == value['images']


def test_a_byte_order_mark(tmp_path):
  files = write(tmp_path, content())
  files['train'].write_text('\ufeff' + files['train'].read_text())
  assert CocoSource(files, tmp_path).sizes == {'train': 2}


def test_keypoints_by_hand(tmp_path):
  value = content()
  value['annotations'] = value['annotations'][:2]
  value['annotations'][0]['keypoints'] = [10, 5, 2, 0, 0, 0]
  source = CocoSource(write(tmp_path, value), tmp_path, kind='keypoints')
  example = source.reader(next(source.items()))
  # x 10 of 20, y 5 of 10; the object without keypoints does not count.
  assert example.boxes.shape == (1, 4)
  np.testing.assert_allclose(
    example.keypoints, [[[0.5, 0.5, 2], [0, 0, 0]]], rtol=1e-6
  )


def keypoint_content(*of_objects):
  value = content()
  box = {'image_id': 7, 'category_id': 2, 'bbox': [1, 1, 5, 5]}
  value['annotations'] = [{**box, 'keypoints': k} for k in of_objects]
  return value


def test_keypoints_outside_the_picture(tmp_path):
  def read_one(*keypoints):
    files = write(tmp_path, keypoint_content(list(keypoints)))
    source = CocoSource(files, tmp_path, kind='keypoints')
    return source.reader(next(source.items()))

  # Up to a pixel is rounding; what is not labelled may be anywhere.
  example = read_one(20.5, -1, 1, 100, 50, 0)
  assert example.keypoints.tolist() == [[[0, 1, 1], [5, 5, 0]]]
  bad = read_one(3, 11.5, 2, 0, 0, 0)
  assert bad.reason.startswith('keypoint x 3, y 11.5 lies outside the picture')


@pytest.mark.parametrize(
  ('value', 'message'),
  [
    (keypoint_content([1, 2]), r'annotations\[0\]: keypoints must be triples'),
    (keypoint_content(None), 'keypoints must be triples .* got null'),
    (keypoint_content(['a', 1, 2]), 'keypoints must be triples'),
    (keypoint_content([1, 2, 3]), 'visibility 3 is none of 0, 1, 2'),
    (
      keypoint_content([1, 2, 2], [1, 2, 2, 3, 4, 2]),
      r'annotations\[1\]: 2 keypoints, where the objects before have 1',
    ),
    (content(), 'has no object with keypoints: .* --kind=instances'),
  ],
)
def test_bad_keypoints(tmp_path, value, message):
  with pytest.raises(ValueError, match=message) as e:
    CocoSource(write(tmp_path, value), tmp_path, kind='keypoints')
  assert 'train.json' in str(e.value)


def test_files_with_other_keypoints(tmp_path):
  files = write(tmp_path, keypoint_content([1, 2, 2]))
  other = keypoint_content([1, 2, 2, 3, 4, 2])
  files['val'] = write(tmp_path, other, 'val.json')['train']
  with pytest.raises(ValueError, match=r'val.json has 2 keypoints an object'):
    CocoSource(files, tmp_path, kind='keypoints')


def test_minival(tmp_path):
  train, val = content(), content()
  names = [f'{i}.png' for i in range(20)]
  val['images'] = [
    {'id': 100 + i, 'file_name': n, 'height': 10, 'width': 20}
    for i, n in enumerate(names)
  ]
  val['annotations'] = []
  files = write(tmp_path, train)
  files['val'] = write(tmp_path, val, 'val.json')['train']
  roots = {'train': tmp_path, 'val': tmp_path / 'val'}
  roots['val'].mkdir()
  Image.new('RGB', (20, 10)).save(roots['val'] / '0.png')
  chosen = {}
  for count in (4, 8):
    source = CocoSource(files, roots, minival=count)
    assert source.sizes == {'train': 22 - count, 'minival': count}
    items = list(source.items())
    chosen[count] = {i.source_id for i in items if i.split == 'minival'}
    assert len(chosen[count]) == count
    assert not chosen[count] & {'5', '7'}
    # A picture of val is read from val's folder wherever it went.
    (moved,) = (i for i in items if i.source_id == '100')
    assert source.reader(moved).encoded == (roots['val'] / '0.png').read_bytes()
  assert chosen[4] < chosen[8]
  for count, wrong in ((21, files), (1, {'train': files['train']})):
    with pytest.raises(ValueError, match=f'--minival={count} needs'):
      CocoSource(wrong, roots, minival=count)


def broken(change):
  value = content()
  change(value)
  return value


def changed(part, **values):
  """Returns `content` with other values in the first entry of a part."""
  return broken(lambda v: v[part][0].update(values))


@pytest.mark.parametrize(
  ('value', 'message'),
  [
    (broken(lambda v: v.pop('images')), "no list 'images'"),
    (broken(lambda v: v.pop('annotations')), "no list 'annotations'"),
    (broken(lambda v: v.pop('categories')), "no list 'categories'"),
    ([], "no list 'images'"),
    (broken(lambda v: v['images'].clear()), 'lists no image'),
    (
      broken(lambda v: v['images'][1].update(id=7)),
      r'images\[1\]: image id 7 was there before',
    ),
    (
      broken(lambda v: v['images'][1].update(file_name='a.png')),
      r"images\[1\]: file 'a.png' was there before, in images\[0\]",
    ),
    (
      broken(lambda v: v['images'][1].update(file_name='../b.png')),
      r'images\[1\]: the path .* leaves the image folder',
    ),
    (
      broken(lambda v: v['images'][1].pop('height')),
      r"images\[1\]: 'height' is missing",
    ),
    (
      broken(lambda v: v['annotations'][1].update(image_id=8)),
      r'annotations\[1\]: image_id 8 is not in the file',
    ),
    (
      broken(lambda v: v['annotations'][1].update(category_id=3)),
      r'annotations\[1\]: category_id 3 is not in the file',
    ),
    (
      broken(lambda v: v['annotations'][1].update(bbox=[1, 2, 3])),
      r'annotations\[1\]: bbox \[1, 2, 3\] must be',
    ),
    (changed('annotations', bbox=None), r'\[0\]: bbox null must be'),
    (changed('annotations', bbox=[1, 2, 3, 'a']), 'bbox .* must be'),
    (changed('annotations', bbox=[1, 2, 3, float('nan')]), 'bbox .* must be'),
    (changed('annotations', area=-1), 'area -1 must be a number from 0'),
    (changed('annotations', area=None), 'area null must be'),
    (changed('annotations', iscrowd=2), 'iscrowd 2 must be 0 or 1'),
    (changed('annotations', category_id=[2]), r'category_id \[2\] is not in'),
    (changed('images', height=0), r'\[0\]: height and width must .* got 0'),
    (changed('images', width='20'), 'height and width must be whole numbers'),
    (changed('images', file_name=3), 'file_name must be a text, got 3'),
    (changed('images', id=None), 'an id is a whole number or a text, got null'),
    (changed('categories', id='a'), 'a whole number as id and a name'),
    (changed('categories', id=2), r'categories\[1\]: id 2 was there before'),
    (broken(lambda v: v['categories'][0].pop('name')), "'name' is missing"),
    (broken(lambda v: v['categories'].clear()), 'lists no category'),
    (broken(lambda v: v['images'].append(3)), r'images\[2\]: an object with'),
  ],
)
def test_bad_files(tmp_path, value, message):
  with pytest.raises(ValueError, match=message) as e:
    CocoSource(write(tmp_path, value), tmp_path)
  assert 'train.json' in str(e.value)
  assert '\n' not in str(e.value)


def test_files_that_do_not_belong_together(tmp_path):
  files = write(tmp_path, content())
  other = content()
  other['categories'][0]['name'] = 'dog'
  files['val'] = write(tmp_path, other, 'val.json')['train']
  with pytest.raises(ValueError, match='other categories'):
    CocoSource(files, tmp_path)
  with pytest.raises(ValueError, match="no folder for split 'val'"):
    CocoSource(files, {'train': tmp_path})
  (tmp_path / 'val.json').write_text('{')
  with pytest.raises(ValueError, match='val.json is no JSON'):
    CocoSource(files, tmp_path)
  with pytest.raises(FileNotFoundError, match='no image root'):
    CocoSource(files, tmp_path / 'none')


def test_real_boxes_agree_with_pycocotools():
  path = shared_path('data', 'coco_eval_golden', 'instances_val2014_100.json')
  source = CocoSource({'val': path}, path.parent)
  reference = pycoco.COCO(str(path))
  assert source.sizes['val'] == len(reference.imgs)
  assert source.hierarchy.num_classes == 80
  ids = source.options['category_ids']
  for item in source.items():
    _, _, (height, width), objects = item.payload
    image = reference.imgs[int(item.source_id)]
    assert (height, width) == (image['height'], image['width'])
    wanted = reference.imgToAnns[image['id']]
    assert [ids[o[1]] for o in objects] == [a['category_id'] for a in wanted]
    assert [list(o[0]) for o in objects] == [a['bbox'] for a in wanted]
    assert [o[2] for o in objects] == [a['iscrowd'] for a in wanted]
    assert [o[3] for o in objects] == [a['area'] for a in wanted]


def test_real_people(tmp_path):
  folder = shared_path('data', 'coco_keypoints')
  source = CocoSource(
    {'val': folder / 'person_keypoints.json'}, folder, kind='keypoints'
  )
  assert source.hierarchy.names == ['person']
  report = build.build(source, tmp_path / 'out', max_bad=0.5)
  # Two of the four listed photos are there.
  assert (report.splits['val'].records, report.splits['val'].bad) == (2, 2)
  reference = pycoco.COCO(str(folder / 'person_keypoints.json'))
  for example in read(tmp_path / 'out', 'val'):
    wanted = reference.imgToAnns[int(example.source_id)]
    points = np.array([a['keypoints'] for a in wanted], float)
    points = points.reshape(len(wanted), 17, 3)
    size = [example.height, example.width, 1]
    np.testing.assert_allclose(
      example.keypoints * size, points[..., [1, 0, 2]], atol=1e-3
    )
    x, y, w, h = np.array([a['bbox'] for a in wanted]).T
    pixels = example.boxes * np.array(size[:2] * 2)
    np.testing.assert_allclose(
      pixels, np.stack([y, x, y + h, x + w], 1), atol=0.02
    )
