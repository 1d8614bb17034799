import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from official_repro.data.building import build
from official_repro.data.sources import BadRecord, VocSource
from tests.conftest import shared_path
from tests.data.fakes import read

SIZE = (20, 10)  # width, height


def voc(tmp_path, objects, year='VOC2012', stem='2008_000001', size=SIZE):
  """Writes a picture with (name, (xmin, ymin, xmax, ymax), difficult)."""
  root = tmp_path / 'VOCdevkit'
  for folder in (
    'Annotations',
    'JPEGImages',
    'ImageSets/Main',
    'ImageSets/Segmentation',
    'SegmentationClass',
  ):
    (root / year / folder).mkdir(parents=True, exist_ok=True)
  nodes = ''.join(
    f'<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>'
    f'<xmin>{box[0]}</xmin><ymin>{box[1]}</ymin>'
    f'<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>'
    for name, box, difficult in objects
  )
  (root / year / 'Annotations' / f'{stem}.xml').write_text(
    f'<annotation><size><width>{size[0]}</width><height>{size[1]}</height>'
    f'<depth>3</depth></size>{nodes}</annotation>'
  )
  Image.new('RGB', size, 'blue').save(
    root / year / 'JPEGImages' / f'{stem}.jpg'
  )
  for kind in ('Main', 'Segmentation'):
    with open(root / year / 'ImageSets' / kind / 'train.txt', 'a') as f:
      f.write(f'{stem}\n')
  return root


def sets(year='VOC2012', name='train'):
  return {'train': [(year, name)]}


def first(source):
  return source.reader(next(source.items()))


def test_boxes_by_hand(tmp_path):
  root = voc(tmp_path, [('dog', (1, 1, 20, 10), 0), ('cat', (6, 3, 15, 6), 1)])
  source = VocSource(root, sets())
  example = first(source)
  assert example.source_id == 'VOC2012/2008_000001'
  # 1 to 20 of 20 is everything; x 5 to 15 of 20, y 2 to 6 of 10.
  np.testing.assert_allclose(
    example.boxes, [[0, 0, 1, 1], [0.2, 0.25, 0.6, 0.75]], rtol=1e-6
  )
  assert example.box_labels.tolist() == [12, 8]
  assert example.is_crowd.tolist() == [0, 1]
  np.testing.assert_allclose(example.area, [200, 40], rtol=1e-5)
  names = [source.hierarchy.names[i] for i in example.label_ids]
  assert names == ['cat', 'dog']


def test_years_together_through_a_build(tmp_path):
  voc(tmp_path, [('dog', (1, 1, 20, 10), 0)], 'VOC2007', '000001')
  root = voc(tmp_path, [], 'VOC2012', '000001')
  source = VocSource(
    root, {'train': [('VOC2007', 'train'), ('VOC2012', 'train')]}
  )
  assert source.sizes == {'train': 2}
  build.build(source, tmp_path / 'out', num_shards=1)
  found = read(tmp_path / 'out')
  assert [e.source_id for e in found] == ['VOC2007/000001', 'VOC2012/000001']
  assert [len(e.boxes) for e in found] == [1, 0]


def test_the_width_is_that_of_vocs_evaluation(tmp_path):
  # The development kit takes xmax - xmin + 1: pixels 3 to 3 are one wide.
  root = voc(tmp_path, [('dog', (3, 5, 3, 8), 0)])
  ymin, xmin, ymax, xmax = first(VocSource(root, sets())).boxes[0].tolist()
  assert (xmax - xmin) * 20 == pytest.approx(1, abs=1e-5)
  assert (ymax - ymin) * 10 == pytest.approx(4, abs=1e-5)


def test_half_a_pixel_outside_is_cut_off(tmp_path):
  root = voc(tmp_path, [('dog', (0, 1, 20.5, 10), 0)])
  assert first(VocSource(root, sets())).boxes.tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize(
  ('objects', 'reason'),
  [
    ([('dog', (1, 1, 23, 10), 0)], 'x 0 to 23, y 0 to 10 lies outside'),
    ([('dgo', (1, 1, 5, 5), 0)], "unknown class 'dgo'; the nearest is 'dog'"),
    ([('dog', (5, 5, 4, 9), 0)], 'without area'),
    ([('dog', ('a', 1, 5, 5), 0)], 'no number'),
    ([('dog', ('nan', 1, 5, 5), 0)], 'x nan to 5, y 0 to 5 lies outside'),
    ([('dog', (1, 1, 5, 5), 9)], '"difficult" 9, neither 0 nor 1'),
  ],
)
def test_bad_annotations(tmp_path, objects, reason):
  result = first(VocSource(voc(tmp_path, objects), sets()))
  assert isinstance(result, BadRecord)
  assert reason in result.reason


def test_a_box_outside_the_picture_through_a_build(tmp_path):
  voc(tmp_path, [('dog', (1, 1, 40, 10), 0)])
  root = voc(tmp_path, [('dog', (1, 1, 9, 9), 0)], stem='2008_000002')
  build.build(VocSource(root, sets()), tmp_path / 'out', max_bad=0.5)
  listed = (tmp_path / 'out' / 'bad_records.csv').read_text()
  assert 'lies outside the picture of 20 x 10 pixels' in listed
  assert len(read(tmp_path / 'out')) == 1


@pytest.mark.parametrize(
  ('text', 'reason'),
  [
    ('<a><size/></a>', 'lacks a size, name or box'),
    (
      '<a><size><width>20</width><height>10</height></size><object><bndbox>'
      '<xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox>'
      '</object></a>',
      'lacks a size, name or box',
    ),
    (
      '<a><size><width>0</width><height>10</height></size></a>',
      'says that the picture is 0 x 10 pixels',
    ),
    ('<?xml version="1.0" encoding="foo"?><a/>', 'no XML (unknown encoding'),
    ('<?xml version="1.0" encoding="shift_jis"?><a/>', 'no XML (multi-byte'),
  ],
)
def test_bad_xml(tmp_path, text, reason):
  root = voc(tmp_path, [])
  path = root / 'VOC2012' / 'Annotations' / '2008_000001.xml'
  path.write_text(text)
  assert reason in first(VocSource(root, sets())).reason


def test_damaged_xml_and_missing_files(tmp_path):
  root = voc(tmp_path, [])
  source = VocSource(root, sets())
  path = root / 'VOC2012' / 'Annotations' / '2008_000001.xml'
  path.write_text('<annotation><size>')
  assert 'is no XML' in first(source).reason
  path.unlink()
  assert first(source).reason == 'no annotation 2008_000001.xml'
  (root / 'VOC2012' / 'JPEGImages' / '2008_000001.jpg').unlink()
  assert first(source).reason == 'no such file or directory'
  with pytest.raises(FileNotFoundError, match=r'no image set .*val\.txt'):
    VocSource(root, sets(name='val'))
  with pytest.raises(FileNotFoundError, match='no folder .*VOC2010'):
    VocSource(root, sets('VOC2010'))
  with pytest.raises(FileNotFoundError, match='VOCdevkit'):
    VocSource(tmp_path / 'none', sets())


def mask_image(values, mode):
  image = Image.fromarray(np.array(values, np.uint8), 'L')
  if mode == 'P':
    image = image.convert('L')
    image.putpalette([i % 256 for i in range(768)])
  return image.convert(mode) if mode == 'RGB' else image


@pytest.mark.parametrize('mode', ['P', 'L'])
def test_masks(tmp_path, mode):
  root = voc(tmp_path, [], size=(4, 2))
  values = [[0, 1, 1, 255], [20, 20, 0, 0]]
  folder = root / 'VOC2012' / 'SegmentationClass'
  mask_image(values, mode).save(folder / '2008_000001.png')
  source = VocSource(root, sets(), task='segmentation')
  build.build(source, tmp_path / 'out', num_shards=1)
  (example,) = read(tmp_path / 'out')
  with Image.open(io.BytesIO(example.segmentation_png)) as image:
    assert image.mode == 'L'
    assert np.asarray(image).tolist() == values
  # aeroplane and tvmonitor.
  assert example.label_ids == [0, 19]


@pytest.mark.parametrize(
  ('values', 'mode', 'reason'),
  [
    ([[21]], 'L', 'has the value 21; classes go up to 20'),
    ([[1]], 'RGB', 'mode RGB'),
  ],
)
def test_bad_masks(tmp_path, values, mode, reason):
  root = voc(tmp_path, [], size=(1, 1))
  path = root / 'VOC2012' / 'SegmentationClass' / '2008_000001.png'
  mask_image(values, mode).save(path)
  result = first(VocSource(root, sets(), task='segmentation'))
  assert reason in result.reason


def png(depth, width, height, rows):
  """Returns a grey PNG file of `depth` bits from its packed rows."""

  def chunk(kind, data):
    check = zlib.crc32(kind + data)
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', check)

  header = struct.pack('>IIBBBBB', width, height, depth, 0, 0, 0, 0)
  pixels = zlib.compress(b''.join(b'\0' + row for row in rows))
  return (
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', header)
    + chunk(b'IDAT', pixels)
    + chunk(b'IEND', b'')
  )


def jpeg():
  out = io.BytesIO()
  Image.new('L', (4, 2), 1).save(out, 'JPEG')
  return out.getvalue()


@pytest.mark.parametrize(
  ('data', 'reason'),
  [
    (None, 'no such file or directory'),
    (b'', 'empty file'),
    (b'hello', 'not an image in a known format'),
    (jpeg(), 'JPEG of mode L; class indices need a PNG'),
    # Pillow would give 1 as 17, which is a class, too.
    (png(4, 4, 2, [b'\x11\x11'] * 2), 'PNG of mode L, 4 bits'),
    # Although no value is above 255.
    (png(16, 4, 2, [b'\0\1' * 4] * 2), 'PNG of mode I;16, 16 bits; class'),
    (png(8, 20_000, 20_000, []), 'more pixels than the limit of 120,000,000'),
    (png(8, 11_000, 11_000, []), 'more than the limit of 120,000,000'),
    # Cut in the middle of its pixels.
    (png(8, 64, 64, [random.Random(0).randbytes(64)] * 64)[:80], 'truncated'),
  ],
)
@pytest.mark.filterwarnings('ignore:Image size')
def test_mask_files_that_do_not_fit(tmp_path, data, reason):
  root = voc(tmp_path, [], size=(4, 2))
  if data is not None:
    folder = root / 'VOC2012' / 'SegmentationClass'
    (folder / '2008_000001.png').write_bytes(data)
  result = first(VocSource(root, sets(), task='segmentation'))
  start = 'mask SegmentationClass/2008_000001.png: '
  assert result.reason.startswith(start)
  assert reason in result.reason


def test_image_sets(tmp_path):
  root = voc(tmp_path, [])
  path = root / 'VOC2012' / 'ImageSets' / 'Main' / 'train.txt'
  # As Windows writes it, and with the mark of the sets of one class.
  path.write_bytes(b'\xef\xbb\xbf2008_000001  1\r\n')
  assert first(VocSource(root, sets())).source_id == 'VOC2012/2008_000001'
  path.write_text('2008_000001 dog\n')
  with pytest.raises(ValueError, match=r'train\.txt, line 1: an id, or'):
    VocSource(root, sets())
  path.write_text('2008_000001\n\n2008_000001\n')
  with pytest.raises(ValueError, match=r'line 3: .* before, in .*line 1;'):
    VocSource(root, sets())
  path.write_bytes(b'2008_000001\n\xff\n')
  with pytest.raises(ValueError, match=r'train\.txt is not UTF-8'):
    VocSource(root, sets())
  path.write_text('\n')
  with pytest.raises(ValueError, match=r'train\.txt lists no image'):
    VocSource(root, sets())


def test_classes(tmp_path):
  root = voc(tmp_path, [('leaf', (1, 1, 5, 5), 0)])
  source = VocSource(root, sets(), classes=('root', 'leaf'))
  assert source.hierarchy.names == ['root', 'leaf']
  assert first(source).box_labels.tolist() == [2]
  for wrong in (('leaf', 'leaf'), (), [str(i) for i in range(255)]):
    with pytest.raises(ValueError, match='1 to 254 different names'):
      VocSource(root, sets(), classes=wrong)


def test_a_mask_of_another_size(tmp_path):
  root = voc(tmp_path, [], size=(4, 2))
  path = root / 'VOC2012' / 'SegmentationClass' / '2008_000001.png'
  mask_image([[1, 2]], 'L').save(path)
  source = VocSource(root, sets(), task='segmentation')
  with pytest.raises(ValueError, match='is 4 x 2 pixels, its annotation says'):
    build.build(source, tmp_path / 'out')


def test_lists_with_paths(tmp_path):
  root = voc(tmp_path, [], size=(1, 1))
  folder = root / 'VOC2012'
  (folder / 'SegmentationClassAug').mkdir()
  mask_image([[3]], 'L').save(folder / 'SegmentationClassAug' / 'x.png')
  Image.new('RGB', (1, 1)).save(folder / 'JPEGImages' / 'x.jpg')
  path = folder / 'ImageSets' / 'Segmentation' / 'trainaug.txt'
  path.write_text('/JPEGImages/x.jpg /SegmentationClassAug/x.png\n')
  example = first(VocSource(root, sets(name='trainaug'), task='segmentation'))
  assert example.source_id == 'VOC2012/x'
  assert example.label_ids == [2]
  path.write_text('/JPEGImages/x.jpg\n')
  with pytest.raises(ValueError, match='line 1: an id, or the paths'):
    VocSource(root, sets(name='trainaug'), task='segmentation')
  path.write_text('../x\n')
  with pytest.raises(ValueError, match='line 1'):
    VocSource(root, sets(name='trainaug'), task='segmentation')


def test_real_boxes(tmp_path):
  folder = shared_path('data', 'voc_ap_golden', 'groundtruths')
  wanted = {}
  for path in sorted(folder.glob('*.txt')):
    rows = [line.split() for line in path.read_text().splitlines()]
    boxes = [tuple(map(int, row[1:])) for row in rows]
    wanted[f'VOC2012/{path.stem}'] = boxes
    # x, y, width, height from 0 become the first and last pixel from 1.
    objects = [
      (row[0], (x + 1, y + 1, x + w, y + h), 0)
      for row, (x, y, w, h) in zip(rows, boxes)
    ]
    root = voc(tmp_path, objects, stem=path.stem, size=(220, 220))
  build.build(VocSource(root, sets()), tmp_path / 'out')
  found = {e.source_id: e for e in read(tmp_path / 'out')}
  assert found.keys() == wanted.keys()
  for source_id, boxes in wanted.items():
    ymin, xmin, ymax, xmax = found[source_id].boxes.T * 220
    np.testing.assert_allclose(
      np.stack([xmin, ymin, xmax - xmin, ymax - ymin], 1), boxes, atol=1e-3
    )
