import io
import json
import pickle

import numpy as np
import pytest
from PIL import Image

from official_repro.data.sources import BadRecord, CsvSource, MiniJftSource
from tests.data.sources.helpers import (
  check_sizes,
  labels_file,
  listed,
  read,
  save_image,
  with_peak,
)


def table(tmp_path, text):
  path = tmp_path / 'table.csv'
  path.write_text(text, encoding='utf-8')
  return path


def test_names_confidence_and_splits(tmp_path):
  for name in 'abc':
    save_image(tmp_path / f'{name}.png')
  path = table(
    tmp_path,
    'image,split,labels,confidence\n'
    'a.png,train,apple;rock,0.5;1\n'
    'c.png,test,rock,.25\n'
    'b.png,train," apple ; apple ",.5;.75\n',
  )
  source = CsvSource(path, labels=labels_file(tmp_path))
  assert source.name == 'table'
  assert source.hierarchy.names == ['fruit', 'apple', 'rock']
  assert source.sizes == {'test': 1, 'train': 2}
  first, second = read(source)
  assert first.source_id == 'a.png'
  # The builder looks at the picture; the reader gives the file.
  assert (first.height, first.width) == (0, 0)
  assert first.given_label_ids == []
  assert first.encoded == (tmp_path / 'a.png').read_bytes()
  assert first.label_ids == [1, 2]
  assert first.confidence == [0.5, 1.0]
  # Named twice: once, with the larger confidence.
  assert second.label_ids == [1]
  assert second.confidence == [0.75]
  assert [e.label_ids for e in read(source, 'test')] == [[2]]


def test_ids_and_no_confidence(tmp_path):
  save_image(tmp_path / 'images' / 'a.png')
  path = table(tmp_path, 'image,label_ids\na.png,2;0\n')
  source = CsvSource(
    path,
    labels=labels_file(tmp_path),
    image_root=tmp_path / 'images',
    eval_fraction=0,
  )
  (example,) = read(source)
  assert example.label_ids == [2, 0]
  assert example.confidence is None


def test_flat_label_space_without_labels_file(tmp_path, capsys):
  path = table(tmp_path, 'image,labels\na.png,pear\nb.png,fig;pear\n')
  assert CsvSource(path, eval_fraction=0).hierarchy.names == ['fig', 'pear']
  assert 'flat label space of 2 categories' in capsys.readouterr().err
  path = table(tmp_path, 'image,label_ids\na.png,3\n')
  hierarchy = CsvSource(path, eval_fraction=0).hierarchy
  assert hierarchy.names == ['0', '1', '2', '3']


def test_unused_columns_are_reported(tmp_path, capsys):
  path = table(tmp_path, 'image,labels,confidences\na.png,x,1\n')
  CsvSource(path, eval_fraction=0)
  assert 'not used: confidences' in capsys.readouterr().err


def test_evaluation_share_is_stable(tmp_path):
  def splits(names):
    lines = ''.join(f'{n},x\n' for n in names)
    source = CsvSource(
      table(tmp_path, 'image,labels\n' + lines), eval_fraction=0.2
    )
    return {i.source_id: i.split for i in source.items()}

  names = [f'folder/{i}.jpg' for i in range(2000)]
  all_of_them = splits(names)
  share = sum(s == 'validation' for s in all_of_them.values()) / 2000
  # Three standard deviations of 2,000 draws: 3 sqrt(.2 x .8 / 2000) = .027.
  assert abs(share - 0.2) < 0.027
  some = splits(names[500:1500][::-1])
  assert all(all_of_them[n] == s for n, s in some.items())


def test_default_share_and_column_exclude_each_other(tmp_path):
  path = table(tmp_path, 'image,labels,split\na.png,x,train\n')
  assert CsvSource(path).options['eval_fraction'] is None
  with pytest.raises(ValueError, match=r'column split: leave --eval_fraction'):
    CsvSource(path, eval_fraction=0.1)
  path = table(tmp_path, 'image,labels\na.png,x\n')
  assert CsvSource(path).options['eval_fraction'] == 0.1
  with pytest.raises(ValueError, match=r'in \[0, 1\), got 1'):
    CsvSource(path, eval_fraction=1)


def test_files_come_as_they_are_and_missing_ones_with_a_reason(tmp_path):
  (tmp_path / 'text.jpg').write_text('<html>')
  (tmp_path / 'folder.jpg').mkdir()
  rows = ''.join(f'{n},x\n' for n in ('gone.jpg', 'text.jpg', 'folder.jpg'))
  path = table(tmp_path, 'image,labels\n' + rows)
  gone, text, folder = read(CsvSource(path, eval_fraction=0))
  assert gone == BadRecord('gone.jpg', 'no such file or directory')
  assert text.encoded == b'<html>'
  assert folder == BadRecord('folder.jpg', 'is a directory')


def test_items_are_in_the_order_of_the_table(tmp_path):
  text = 'image,split,label_ids\nb.png,test,0\na.png,train,1\n\nc.png,test,0\n'
  source = CsvSource(table(tmp_path, text))
  assert listed(source) == [
    ('test', 'b.png', (0,), None),
    ('train', 'a.png', (1,), None),
    ('test', 'c.png', (0,), None),
  ]
  check_sizes(source)
  assert not source.has_objects


def test_reader_and_items_travel_to_other_processes(tmp_path):
  save_image(tmp_path / 'a.png')
  source = CsvSource(table(tmp_path, 'image,labels\na.png,x\n'))
  (item,) = source.items()
  reader, again = pickle.loads(pickle.dumps((source.reader, item)))
  assert reader(again).encoded == (tmp_path / 'a.png').read_bytes()


def test_byte_order_mark_windows_line_ends_and_quotes(tmp_path):
  path = tmp_path / 'table.csv'
  text = '\ufeffimage, labels\r\n"a, b.png","fig;pear"\r\n\r\nü.png,fig\r\n'
  path.write_bytes(text.encode('utf-8'))
  source = CsvSource(path, eval_fraction=0)
  assert source.hierarchy.names == ['fig', 'pear']
  assert listed(source) == [
    ('train', 'a, b.png', (0, 1), None),
    ('train', 'ü.png', (0,), None),
  ]


def test_options_tell_one_table_from_another(tmp_path):
  first = CsvSource(table(tmp_path, 'image,labels\na.png,x\n')).options
  second = CsvSource(table(tmp_path, 'image,labels\nb.png,x\n')).options
  assert json.loads(json.dumps(first)) == first
  assert first['csv'] == 'table.csv'
  assert first['csv_sha256'] != second['csv_sha256']


def test_a_long_table_is_not_kept_in_memory(tmp_path):
  path = tmp_path / 'table.csv'
  folder = 'a_folder_with_a_long_name_' * 160
  with open(path, 'w') as f:
    f.write('image,labels,confidence\n')
    for i in range(5000):
      f.write(f'{folder}/image_{i:08d}.jpg,c{i % 500};d,0.5;1\n')
  source, count, peak = with_peak(lambda: CsvSource(path))
  assert count == sum(source.sizes.values()) == 5000
  # 8 bytes a row, 501 categories, and a few pieces of 1 MiB for the checksum.
  assert path.stat().st_size > 20e6
  # Threads of other tests allocate a few MB meanwhile.
  assert peak < 16e6


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('', 'line 1: the header must name the column image'),
    ('a.png,x\n', 'line 1: the header must name the column image'),
    ('image,labels,label_ids\n', 'one of labels .names. and label_ids'),
    ('image,labels,labels\n', 'line 1: a column name occurs twice'),
    ('image,labels\n', 'lists no image'),
    ('image,labels\na.png\n', 'line 2: 2 columns expected, got 1'),
    ('image,labels\na.png,rock\n,rock\n', 'line 3: the image path is empty'),
    ('image,labels\na.png,;\n', "line 2: image 'a.png' has no label"),
    ('image,label_ids\na.png,x\n', "line 2: label id 'x' is no number"),
    ('image,label_ids\na.png,3\n', 'line 2: Label id 3 .* range 0..2'),
    ('image,labels\na.png,fig\n', "line 2: Label name 'fig' is not among"),
    (
      'image,labels,confidence\na.png,rock,1;1\n',
      r'line 2: 1 label\(s\), but 2 confidence',
    ),
    ('image,labels,confidence\na.png,rock,2\n', "confidence '2' is no number"),
    ('image,labels,confidence\na.png,rock,x\n', "confidence 'x' is no number"),
    ('image,labels,split\na.png,rock,a/b\n', "line 2: Split name 'a/b' must"),
    (
      'image,labels\na.png,rock\nb.png,rock\na.png,apple\n',
      r"line 4: image 'a.png' was listed before \(.*table.csv, line 2\)",
    ),
    ('image,labels\n"a.png,x\n', r'line \d: '),
    (
      'image,labels\na.png,rocks\n',
      "line 2: Label name 'rocks' is .* 3 categories; the nearest is 'rock'",
    ),
    ('image,labels\n../a.png,rock\n', "line 2: the path '../a.png' leaves"),
    ('image,labels\na/../../b.png,rock\n', 'line 2: the path .* leaves'),
    ('image,labels\n/etc/a.png,rock\n', 'line 2: the path .* leaves'),
    (f'image,label_ids\na.png,{"9" * 5000}\n', 'line 2: label id .* no number'),
  ],
)
def test_bad_tables(tmp_path, text, message):
  path = table(tmp_path, text)
  with pytest.raises(ValueError, match=message) as e:
    CsvSource(path, labels=labels_file(tmp_path))
  assert str(path) in str(e.value)
  assert '\n' not in str(e.value)


def test_an_absurd_id_makes_no_flat_space(tmp_path):
  path = table(tmp_path, 'image,label_ids\na.png,1\nb.png,1000000000000\n')
  with pytest.raises(ValueError, match='line 3: label id 1000000000000 is abo'):
    CsvSource(path)


def test_table_in_another_encoding(tmp_path):
  path = tmp_path / 'table.csv'
  path.write_bytes('image,labels\nä.png,x\n'.encode('latin-1'))
  with pytest.raises(ValueError, match='not UTF-8'):
    CsvSource(path)


def test_missing_files(tmp_path):
  with pytest.raises(FileNotFoundError):
    CsvSource(tmp_path / 'none.csv')
  path = table(tmp_path, 'image,labels\na.png,x\n')
  with pytest.raises(FileNotFoundError, match='no image root'):
    CsvSource(path, image_root=tmp_path / 'none')


def test_mini_jft_is_the_generator(tmp_path):
  from official_repro.data.mini import MiniJft, encode_jpeg

  source = MiniJftSource(3, 2, seed=5, size=32)
  generator = MiniJft(seed=5, size=32)
  assert source.sizes == {'train': 3, 'validation': 2}
  assert source.hierarchy.hash() == generator.hierarchy.hash()
  assert json.loads(json.dumps(source.options)) == {'seed': 5, 'size': 32}
  for split, draw in (
    ('train', generator.example),
    ('validation', generator.dense_example),
  ):
    for i, example in enumerate(read(source, split)):
      drawn = draw(i)
      assert example.label_ids == list(drawn.given_labels)
      assert example.source_id == drawn.source_id
      assert (example.height, example.width) == (32, 32)
      assert example.encoded == encode_jpeg(drawn.image, 92)
      with Image.open(io.BytesIO(example.encoded)) as image:
        assert (image.format, image.mode) == ('JPEG', 'RGB')
        means = np.asarray(image).mean(axis=(0, 1))
      # The channels keep their order; each picture has its own colours.
      np.testing.assert_allclose(means, drawn.image.mean(axis=(0, 1)), atol=3)


def test_mini_jft_without_evaluation_images():
  assert MiniJftSource(1, 0, size=32).sizes == {'train': 1}
  with pytest.raises(ValueError, match='num_images=0'):
    MiniJftSource(0, 1)
