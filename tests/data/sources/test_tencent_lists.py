import json

import pytest

from official_repro.data import mini
from official_repro.data.sources import BadRecord, labelled
from official_repro.data.sources.tencent_lists import TencentSource
from tests.conftest import shared_path
from tests.data.sources.helpers import (
  check_sizes,
  listed,
  read,
  save_image,
  with_peak,
)

HEADER = (
  'category_index\tcategory_id\tindex_of_parent_category\tcategory name\n'
)


def files(tmp_path, text):
  """Returns (list, dictionary): fruit (0) <- apple (1); rock (2)."""
  dictionary = tmp_path / 'dictionary.txt'
  rows = '0\tn1\t-1\tfruit\n1\tn2\t0\tapple\n2\tn3\t-1\trock\n'
  dictionary.write_text(HEADER + rows)
  path = tmp_path / 'list.txt'
  path.write_text(text, encoding='utf-8')
  return path, dictionary


def test_items_by_hand(tmp_path):
  text = '\ufeffb.png\t1:0.5\t2:1\t1:0.75\r\n\r\na.png\t0:0\r\n'
  source = TencentSource(*files(tmp_path, text), eval_fraction=0)
  assert listed(source) == [
    # Label 1 twice: once, with the larger confidence.
    ('train', 'b.png', (1, 2), (0.75, 1.0)),
    ('train', 'a.png', (0,), (0.0,)),
  ]
  check_sizes(source)
  assert source.hierarchy.names == ['fruit', 'apple', 'rock']
  assert json.loads(json.dumps(source.options)) == source.options
  assert source.options['list'] == 'list.txt'


def test_reading(tmp_path):
  text = 'a.png\t1:0.5\ngone.png\t1:1\n'
  save_image(tmp_path / 'photos' / 'a.png')
  source = TencentSource(
    *files(tmp_path, text), image_root=tmp_path / 'photos', eval_fraction=0
  )
  there, gone = read(source)
  assert there.encoded == (tmp_path / 'photos' / 'a.png').read_bytes()
  assert (there.label_ids, there.confidence) == ([1], [0.5])
  assert gone == BadRecord('gone.png', 'no such file or directory')


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('', 'lists no image'),
    ('a.png\n', "line 1: image 'a.png' has no label"),
    ('a.png\t1:1\nb.png\t3:1\n', r'line 2: label id 3 .* 0..2'),
    ('a.png\t1:1\n\n../b.png\t1:1\n', 'line 3: the path .* leaves'),
    (
      'a.png\t1:1\n\nb.png\t0:1\na.png\t2:1\n',
      r"line 4: image 'a.png' was listed before \(.*list.txt, line 1\)",
    ),
  ],
)
def test_bad_lists(tmp_path, text, message):
  path, dictionary = files(tmp_path, text)
  with pytest.raises(ValueError, match=message) as e:
    TencentSource(path, dictionary)
  assert str(path) in str(e.value)
  assert '\n' not in str(e.value)


def test_not_utf8(tmp_path):
  path, dictionary = files(tmp_path, '')
  path.write_bytes(b'a.png\t1:1\n\xff.png\t1:1\n')
  with pytest.raises(ValueError, match='not UTF-8'):
    TencentSource(path, dictionary)


def test_a_long_list_is_not_kept_in_memory(tmp_path):
  path, dictionary = files(tmp_path, '')
  with open(path, 'w') as f:
    for i in range(5000):
      f.write(f'{i:04000}.jpg\t1:0.5\t2:1\n')
  source, count, peak = with_peak(lambda: TencentSource(path, dictionary))
  assert count == sum(source.sizes.values()) == 5000
  # 8 bytes a line, and a few pieces of 1 MiB for the checksum.
  assert path.stat().st_size > 20e6
  # Threads of other tests allocate a few MB meanwhile.
  assert peak < 16e6


def real(name):
  folder = shared_path('data', 'tencent_ml_images')
  return folder / name, folder / 'dictionary_and_semantic_hierarchy.txt'


def test_the_real_list_on_stand_in_pictures(tmp_path):
  path, dictionary = real('train_im_list_tiny.txt')
  names = [line.split('\t')[0] for line in path.read_text().splitlines()]
  drawn = mini.MiniJft(seed=0, size=32)
  for i in range(0, 100, 10):
    picture = mini.encode_jpeg(drawn.example(i).image)
    (tmp_path / names[i]).write_bytes(picture)
  source = TencentSource(path, dictionary, tmp_path, eval_fraction=0.3)
  check_sizes(source)
  assert sum(source.sizes.values()) == 100
  items = list(source.items())
  assert [i.source_id for i in items] == names
  assert sum(len(i.payload[0]) for i in items) == 827
  assert {i.split for i in items} == {'train', 'validation'}
  assert all(i.split == labelled.split_of(i.source_id, 0.3) for i in items)
  results = [source.reader(i) for i in items]
  good = [i for i, r in enumerate(results) if not isinstance(r, BadRecord)]
  assert good == list(range(0, 100, 10))
  # The list's first line: 940:0.8 860:0.8 17:1 1:1.
  assert results[0].label_ids == [940, 860, 17, 1]
  assert results[0].confidence == [0.8, 0.8, 1.0, 1.0]


def test_of_a_url_the_last_part_is_the_file_name(tmp_path):
  source = TencentSource(*real('train_urls_tiny.txt'), tmp_path)
  assert sum(source.sizes.values()) == 100
  first = next(source.items())
  # https://farm2.staticflickr.com/2034/1557324960_1ae893fed8_o.jpg
  assert first.source_id == '1557324960_1ae893fed8_o.jpg'
