import csv
import io
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from official_repro.data import records
from official_repro.data.hierarchy import Hierarchy
from tests import binaries
from tests.conftest import shared_path
from tests.data.fakes import names, read

BUILD_RECORDS = 'official_repro.build_records'


def run(*arguments):
  return binaries.call(BUILD_RECORDS, *arguments, '--processes=1')


def test_omniglot_through_the_binary(tmp_path):
  archive = shared_path('data', 'omniglot', 'images_background_small1.zip')
  alphabets = ('Latin', 'Greek')
  with zipfile.ZipFile(archive) as z:
    files = [
      n
      for n in z.namelist()
      if n.endswith(('_01.png', '_02.png')) and n.split('/')[1] in alphabets
    ]
    z.extractall(tmp_path, files)
  characters = sorted({'/'.join(n.split('/')[1:3]) for n in files})
  assert len(characters) == 26 + 24
  # The alphabets are the parents of their characters.
  Hierarchy(
    range(52),
    [*alphabets, *characters],
    [(), (), *((alphabets.index(c.split('/')[0]),) for c in characters)],
    [1.0] * 52,
  ).save(tmp_path / 'labels.tsv')
  with open(tmp_path / 'table.csv', 'w', newline='') as f:
    rows = csv.writer(f)
    rows.writerow(['image', 'labels', 'split'])
    for name in files:
      split = 'train' if name.endswith('_01.png') else 'validation'
      rows.writerow([name, '/'.join(name.split('/')[1:3]), split])
  output = tmp_path / 'out'
  done = run(
    '--source=csv',
    f'--csv={tmp_path / "table.csv"}',
    f'--labels={tmp_path / "labels.tsv"}',
    f'--output={output}',
    '--num_shards=3',
  )
  assert done.returncode == 0, done.stderr
  assert 'labels per image 1.00 given, 2.00 filled in; 0 bad' in done.stdout
  for split in ('train', 'validation'):
    found = read(output, split)
    assert len(found) == 50
    for example in found:
      alphabet, character = example.label_ids
      assert example.given_label_ids == [character]
      folder = example.source_id.split('/')
      assert alphabets[alphabet] == folder[1]
      assert [*alphabets, *characters][character] == '/'.join(folder[1:3])
      assert (example.height, example.width) == (105, 105)
      # 1-bit drawings come out as 8-bit PNG, which any reader takes.
      assert example.encoded[:4] == b'\x89PNG'
      assert example.encoded[24] == 8


def test_mini_jft_through_the_binary_does_not_depend_on_processes(tmp_path):
  options = ['--source=mini_jft', '--num_images=70', '--eval_images=5']
  options += ['--image_size=24', '--num_shards=3', '--seed=4']
  hashes = []
  for processes in (1, 2):
    output = tmp_path / str(processes)
    words = *options, f'--output={output}', f'--processes={processes}'
    # The second one in a process of its own, with workers of their own.
    start = binaries.call if processes == 1 else binaries.process
    done = start(BUILD_RECORDS, *words)
    assert done.returncode == 0, done.stderr
    assert 'train: 70 records in 3 shard(s)' in done.stdout
    dataset = records.Dataset.load(output)
    assert dataset.split('validation').records == 5
    assert dataset.info['options']['seed'] == 4
    hashes.append(dataset.manifest_hash)
  assert hashes[0] == hashes[1]
  for example in read(output):
    assert example.label_ids == dataset.hierarchy.fill(example.given_label_ids)


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['--output=o'], 'Flag --source is missing'),
    (['--source=csv'], 'Flag --output is missing'),
    (['--source=csv', '--output=o'], 'Flag --csv is missing'),
    (['--source=csv', '--output=o', '--csv=none.csv'], 'none.csv'),
    (['--source=csv', '--output=o', '--noise=1'], '--noise belongs to'),
    (['--source=mini_jft', '--output=o', '--image_size=4'], 'got 4'),
    (['--sorce=csv'], 'did you mean --source?'),
    (['--source=tsv', '--output=o'], 'Unknown --source=tsv'),
    (['--source=coco', '--output=o'], 'Flag --image_root is missing'),
    (['--source=voc', '--output=o'], 'Flag --image_sets is missing'),
    (['--source=tfds:x', '--output=o', '--seed=1'], '--seed belongs to'),
    (['--source=mini_jft', '--output=o', '--max_bad=3'], 'max_bad'),
  ],
)
def test_wrong_use_is_one_line_and_exit_code_1(
  tmp_path, monkeypatch, arguments, message
):
  monkeypatch.chdir(tmp_path)
  done = run(*arguments)
  assert done.returncode == 1
  (line,) = binaries.messages(done)
  assert message in line
  assert done.stdout == ''
  assert names(tmp_path) == []


def test_too_many_bad_files_through_the_binary(tmp_path):
  image = Image.fromarray(np.zeros((4, 4, 3), np.uint8))
  image.save(tmp_path / 'a.png')
  (tmp_path / 't.csv').write_text('image,labels\na.png,x\nb.png,x\n')
  options = ['--source=csv', f'--csv={tmp_path / "t.csv"}', '--eval_fraction=0']
  options.append(f'--output={tmp_path / "out"}')
  done = run(*options)
  assert done.returncode == 1
  assert 'Error: 1 of 2 images are bad, more than --max_bad=0.01' in done.stderr
  assert not list((tmp_path / 'out').glob('*.tfrecord'))
  assert (tmp_path / 'out.bad_records.csv').exists()
  done = run(*options, '--max_bad=0.5')
  assert done.returncode == 0, done.stderr
  listed = (tmp_path / 'out' / 'bad_records.csv').read_text()
  assert 'b.png,no such file or directory' in listed


def photo(height=480, width=640, seed=0):
  """A smooth picture with some grain, as a PIL image."""
  rng = np.random.default_rng(seed)
  coarse = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
  image = Image.fromarray(coarse).resize((width, height), Image.BICUBIC)
  noise = rng.normal(0, 8, (height, width, 1))
  return Image.fromarray(
    np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
  )


def jpeg(image, **options):
  out = io.BytesIO()
  image.save(out, 'JPEG', **{'quality': 90, **options})
  return out.getvalue()


def png(image):
  out = io.BytesIO()
  image.save(out, 'PNG')
  return out.getvalue()


def giant_png(side=20_000):
  """A 1-bit PNG of side x side pixels in a few kilobytes."""

  def chunk(kind, data):
    body = kind + data
    crc = zlib.crc32(body).to_bytes(4, 'big')
    return len(data).to_bytes(4, 'big') + body + crc

  row = b'\0' * (1 + side // 8)
  packer = zlib.compressobj(9)
  pixels = b''.join(packer.compress(row) for _ in range(side))
  size = side.to_bytes(4, 'big') * 2
  return (
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', size + bytes([1, 0, 0, 0, 0]))
    + chunk(b'IDAT', pixels + packer.flush())
    + chunk(b'IEND', b'')
  )


def folder_of(tmp_path, files):
  """Writes {name: bytes} and a table that lists them; returns the flags."""
  (tmp_path / 'images').mkdir()
  for name, data in files.items():
    (tmp_path / 'images' / name).write_bytes(data)
  rows = ['image,labels', *(f'{name},thing' for name in files)]
  (tmp_path / 'table.csv').write_text('\n'.join(rows) + '\n')
  return [
    '--source=csv',
    f'--csv={tmp_path / "table.csv"}',
    f'--image_root={tmp_path / "images"}',
    '--eval_fraction=0',
    f'--output={tmp_path / "out"}',
  ]


@pytest.mark.parametrize('resize', [(), ('--resize=340',)])
def test_bad_and_odd_files(tmp_path, resize):
  good = jpeg(photo())
  files = {
    'good.jpg': good,
    'png_named.jpg': png(photo(60, 80)),
    'cmyk.jpg': jpeg(photo(60, 80).convert('CMYK')),
    'truncated.jpg': good[: len(good) // 2],
    'empty.jpg': b'',
    'giant.png': giant_png(),
    'text.jpg': b'no picture at all',
  }
  flags = [*folder_of(tmp_path, files), '--max_bad=0.7', *resize]
  done = run(*flags)
  assert done.returncode == 0, done.stderr
  found = {e.source_id: e for e in read(tmp_path / 'out')}
  assert sorted(found) == ['cmyk.jpg', 'good.jpg', 'png_named.jpg']
  assert found['png_named.jpg'].encoded == files['png_named.jpg']
  with Image.open(io.BytesIO(found['cmyk.jpg'].encoded)) as image:
    assert (image.mode, image.size) == ('RGB', (80, 60))
  listed = (tmp_path / 'out' / 'bad_records.csv').read_text().splitlines()
  reasons = dict(line.split(',', 2)[1:] for line in listed[1:])
  assert sorted(reasons) == [
    'empty.jpg',
    'giant.png',
    'text.jpg',
    'truncated.jpg',
  ]
  assert reasons['empty.jpg'] == 'empty file'
  assert '20000' in reasons['giant.png'].replace(',', '')


def test_resize_stores_the_size_of_training(tmp_path):
  files = {
    f'{i}.jpg': jpeg(photo(*size, seed=i))
    for i, size in enumerate([(480, 640), (300, 900), (200, 100)])
  }
  done = run(*folder_of(tmp_path, files), '--resize=340')
  assert done.returncode == 0, done.stderr
  found = {e.source_id: e for e in read(tmp_path / 'out')}
  sizes = {name: (e.height, e.width) for name, e in found.items()}
  assert sizes == {
    '0.jpg': (340, 340),
    '1.jpg': (300, 340),
    '2.jpg': (200, 100),
  }
  for name, example in found.items():
    with Image.open(io.BytesIO(example.encoded)) as image:
      assert (image.format, image.size[::-1]) == ('JPEG', sizes[name])
  assert found['2.jpg'].encoded == files['2.jpg']
  before = sum(map(len, files.values()))
  after = sum(len(e.encoded) for e in found.values())
  assert after < before
  assert (
    f'pictures {before / 1e6:,.1f} MB before, {after / 1e6:,.1f} MB after'
    in done.stdout
  )
  assert records.Dataset.load(tmp_path / 'out').info['options']['resize'] == 340


def test_bad_tables_end_in_one_sentence(tmp_path):
  picture = png(photo(6, 8))
  flags = folder_of(tmp_path, {'a.png': picture, 'b.png': picture})
  Hierarchy.flat(['apple', 'rock']).save(tmp_path / 'labels.tsv')
  flags.append(f'--labels={tmp_path / "labels.tsv"}')
  for table, message in (
    ('image,labels\na.png,aple\n', 'apple'),
    ('image,labels\na.png,rock\nb.png,rock\na.png,apple\n', 'a.png'),
    ('image,labels\n../a.png,rock\n', 'leaves the image folder'),
    ('image,labels\n/etc/a.png,rock\n', 'leaves the image folder'),
  ):
    (tmp_path / 'table.csv').write_text(table)
    done = run(*flags)
    assert done.returncode == 1
    (line,) = binaries.messages(done)
    assert message in line
    assert not (tmp_path / 'out').exists()


def test_a_table_from_a_spreadsheet(tmp_path):
  # A byte order mark and Windows line ends.
  flags = folder_of(tmp_path, {'a.png': png(photo(6, 8))})
  (tmp_path / 'table.csv').write_bytes(
    '\ufeffimage,labels\r\na.png,Löwe\r\n'.encode()
  )
  done = run(*flags)
  assert done.returncode == 0, done.stderr
  (example,) = read(tmp_path / 'out')
  space = records.Dataset.load(tmp_path / 'out').hierarchy
  assert [space.names[i] for i in example.label_ids] == ['Löwe']
