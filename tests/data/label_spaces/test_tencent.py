import pytest

from official_repro.data.hierarchy import Hierarchy
from official_repro.data.label_spaces import tencent
from tests.conftest import shared_path

HEADER = (
  'category_index\tcategory_id\tindex_of_parent_category\tcategory name\n'
)
DICTIONARY = 'dictionary_and_semantic_hierarchy.txt'


def data(*names):
  return [shared_path('data', 'tencent_ml_images', n) for n in names]


def dictionary(tmp_path, body, header=HEADER):
  path = tmp_path / 'dictionary.txt'
  path.write_text(header + body)
  return path


def test_the_real_dictionary(tmp_path):
  (path,) = data(DICTIONARY)
  h = tencent.load_dictionary(path)
  assert h.num_classes == 11_166
  assert h.max_depth == 16
  assert sum(not p for p in h.parents) == 4
  assert len(set(h.names)) == h.num_classes
  # Lines of the file: 8 is in 4, 4 is in 0; 9741's parent comes after it.
  assert h.ancestors(9) == (0, 4, 8)
  assert h.fill([17]) == [1, 17]
  assert h.parents[9741] == (10348,)
  h.save(tmp_path / 'labels.tsv')
  assert Hierarchy.load(tmp_path / 'labels.tsv').hash() == h.hash()


def test_the_imagenet_classes_are_in_it():
  (path,) = data(DICTIONARY)
  listed = shared_path('data', 'wordnet_hierarchies', 'Imagenet1000-wnids.txt')
  ids = tencent.load_wordnet_ids(path)
  assert ids[0] == 'n00002452'
  assert len(set(ids)) == 11_166
  assert set(listed.read_text().split()) <= set(ids)


@pytest.mark.parametrize('name', ['train_im_list_tiny', 'train_urls_tiny'])
def test_the_real_lists(name):
  path, list_path = data(DICTIONARY, f'{name}.txt')
  h = tencent.load_dictionary(path)
  annotations = list(tencent.read_annotations(list_path, h.num_classes))
  assert len(annotations) == 100
  labels = [a.label_ids for a in annotations]
  assert sum(map(len, labels)) == 827
  assert sum(len(h.fill(ids)) for ids in labels) == 1103
  assert all(set(ids) <= set(h.fill(ids)) for ids in labels)
  assert {c for a in annotations for c in a.confidence} == {0.8, 0.9, 1.0}


def test_first_line_of_the_real_list():
  path = data('train_im_list_tiny.txt')[0]
  first = next(tencent.read_annotations(path, 11_166))
  assert first == tencent.Annotation(
    '17382017900_f7152f6e1c_o.jpg', (940, 860, 17, 1), (0.8, 0.8, 1.0, 1.0)
  )


def test_names_that_occur_twice_get_their_wordnet_id(tmp_path):
  body = '0\tn1\t-1\tjaguar\n1\tn2\t-1\tcar\n2\tn3\t1\tjaguar\n'
  h = tencent.load_dictionary(dictionary(tmp_path, body))
  assert h.names == ['jaguar (n1)', 'car', 'jaguar (n3)']
  assert h.parents == [(), (), (1,)]


@pytest.mark.parametrize(
  ('body', 'message'),
  [
    ('0\tn1\t-1\n', 'line 2: index, WordNet id'),
    ('0\tn1\tnone\ta\n', 'line 2: index, WordNet id'),
    ('0\tn1\t4\ta\n', 'unknown parent 4'),
    ('0\tn1\t0\ta\n', 'cycle'),
    ('0\tn1\t-1\ta\n0\tn2\t-1\tb\n', 'Duplicate id 0'),
  ],
)
def test_bad_dictionaries(tmp_path, body, message):
  with pytest.raises(ValueError, match=message) as e:
    tencent.load_dictionary(dictionary(tmp_path, body))
  assert 'dictionary.txt' in str(e.value)


def test_wrong_header(tmp_path):
  path = dictionary(tmp_path, '', 'index\tname\n')
  with pytest.raises(ValueError, match='line 1: the header'):
    tencent.load_dictionary(path)


@pytest.mark.parametrize(
  ('line', 'message'),
  [
    ('a.jpg\t1', "line 2: '1' is not index:confidence"),
    ('a.jpg\t1:x', "line 2: '1:x' is not index:confidence"),
    ('a.jpg\t9:1', r'line 2: label id 9 is outside the range 0..4'),
    ('a.jpg\t1:1.5', r'line 2: confidence 1.5 is outside 0..1'),
  ],
)
def test_bad_lists(tmp_path, line, message):
  path = tmp_path / 'list.txt'
  path.write_text(f'b.jpg\t0:1\n{line}\n')
  with pytest.raises(ValueError, match=message):
    list(tencent.read_annotations(path, 5))


def test_an_image_without_labels_and_an_empty_line(tmp_path):
  path = tmp_path / 'list.txt'
  path.write_text('b.jpg\n\n')
  assert list(tencent.read_annotations(path, 5)) == [
    tencent.Annotation('b.jpg', (), ())
  ]
