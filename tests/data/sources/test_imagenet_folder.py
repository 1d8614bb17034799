import json
import os
import zipfile

import pytest

from official_repro.data.label_spaces import wordnet_graph
from official_repro.data.sources import labelled
from official_repro.data.sources.imagenet_folder import ImagenetFolderSource
from tests.conftest import shared_path
from tests.data.sources.helpers import (
  check_sizes,
  labels_file,
  listed,
  read,
  save_image,
)

DICTIONARY = ('tencent_ml_images', 'dictionary_and_semantic_hierarchy.txt')


def folder(tmp_path, *paths):
  """Makes empty files: what is in them is the reader's business."""
  root = tmp_path / 'root'
  for path in paths:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(b'')
  return root


def test_splits_and_classes_in_order(tmp_path):
  root = folder(
    tmp_path,
    'val/pear/2.png',
    'train/pear/b.JPEG',
    'train/pear/a.Jpg',
    'train/fig/10.webp',
    'train/fig/9.bmp',
  )
  source = ImagenetFolderSource(root)
  assert source.hierarchy.names == ['fig', 'pear']
  assert listed(source) == [
    ('train', 'train/fig/10.webp', (0,), None),
    ('train', 'train/fig/9.bmp', (0,), None),
    ('train', 'train/pear/a.Jpg', (1,), None),
    ('train', 'train/pear/b.JPEG', (1,), None),
    ('validation', 'val/pear/2.png', (1,), None),
  ]
  check_sizes(source)
  assert source.sizes == {'train': 4, 'validation': 1}
  assert source.name == 'root'
  assert not source.has_objects
  assert json.loads(json.dumps(source.options)) == source.options
  assert source.options['splits'] == {'train': 'train', 'val': 'validation'}


def test_the_reader_gives_the_file(tmp_path):
  save_image(tmp_path / 'fig' / 'a.png')
  save_image(tmp_path / 'pear' / 'b.jpg', kind='JPEG')
  fig, pear = read(ImagenetFolderSource(tmp_path, eval_fraction=0))
  assert (fig.source_id, fig.label_ids) == ('fig/a.png', [0])
  assert fig.confidence is None
  assert (pear.source_id, pear.label_ids) == ('pear/b.jpg', [1])
  assert pear.encoded == (tmp_path / 'pear' / 'b.jpg').read_bytes()


def test_classes_at_the_top_are_split_by_hash(tmp_path):
  root = folder(tmp_path, *(f'{c}/{i}.jpg' for c in 'ab' for i in range(40)))
  source = ImagenetFolderSource(root, eval_fraction=0.5)
  check_sizes(source)
  for split, name, _, _ in listed(source):
    assert split == labelled.split_of(name, 0.5)
  assert set(source.sizes) == {'train', 'validation'}
  assert ImagenetFolderSource(root).options['eval_fraction'] == 0.1


def test_other_files_and_empty_folders_are_told(tmp_path, capsys):
  root = folder(tmp_path, 'a/1.jpg', 'a/notes.txt', 'b/.hidden.jpg', '.git/x')
  source = ImagenetFolderSource(root, eval_fraction=0)
  told = capsys.readouterr().err
  assert '1 class folder(s) without a picture, such as b.' in told
  assert '1 file(s) passed over that are no pictures, such as a/notes.txt' in (
    told
  )
  assert source.hierarchy.names == ['a', 'b']
  assert listed(source) == [('train', 'a/1.jpg', (0,), None)]


def test_split_folders_of_other_names(tmp_path):
  root = folder(tmp_path, 'fold1/a/1.jpg', 'fold2/a/1.jpg', 'fold3/a/1.jpg')
  with pytest.raises(ValueError, match="'fold1' holds .*--split_folders"):
    ImagenetFolderSource(root)
  source = ImagenetFolderSource(root, splits=['fold3', 'fold1'])
  assert [i[:2] for i in listed(source)] == [
    ('fold1', 'fold1/a/1.jpg'),
    ('fold3', 'fold3/a/1.jpg'),
  ]


def test_nested_folders_are_of_the_class_above(tmp_path):
  root = folder(tmp_path, 'a/z.jpg', 'a/deep/er/1.jpg', 'b/c/2.jpg')
  (root / 'b' / 'loop').symlink_to(root / 'b')
  source = ImagenetFolderSource(root, nested=True, eval_fraction=0)
  assert [i[1:3] for i in listed(source)] == [
    ('a/z.jpg', (0,)),
    ('a/deep/er/1.jpg', (0,)),
    ('b/c/2.jpg', (1,)),
  ]


def test_class_folders_called_as_in_a_labels_file(tmp_path):
  root = folder(tmp_path, 'rock/1.jpg', 'apple/1.jpg')
  labels = labels_file(tmp_path)
  source = ImagenetFolderSource(root, labels=labels, eval_fraction=0)
  assert source.hierarchy.names == ['fruit', 'apple', 'rock']
  assert [i[1:3] for i in listed(source)] == [
    ('apple/1.jpg', (1,)),
    ('rock/1.jpg', (2,)),
  ]
  folder(tmp_path, 'aple/1.jpg')
  with pytest.raises(ValueError, match="'aple' is .* nearest is 'apple'"):
    ImagenetFolderSource(root, labels=labels)


def test_wordnet_ids_lead_into_the_real_dictionary(tmp_path):
  dictionary = shared_path('data', *DICTIONARY)
  # Siamese cat and tench.
  root = folder(tmp_path, 'n02123597/1.JPEG', 'n01440764/1.JPEG')
  source = ImagenetFolderSource(root, dictionary=dictionary, eval_fraction=0)
  assert source.hierarchy.num_classes == 11_166
  tench, cat = [i[2][0] for i in listed(source)]
  names = source.hierarchy.names
  assert names[tench].startswith('tench')
  assert names[cat].startswith('Siamese cat')
  above = {names[i].split(',')[0] for i in source.hierarchy.ancestors(cat)}
  assert {'cat', 'feline', 'mammal', 'animal'} <= above
  folder(tmp_path, 'n0144076/1.JPEG')
  with pytest.raises(ValueError, match="'n0144076' is no .* nearest"):
    ImagenetFolderSource(root, dictionary=dictionary)


def test_a_wordnet_graph(tmp_path):
  graph = shared_path(
    'data', 'wordnet_hierarchies', 'TinyImagenet200-graph-wordnet.json'
  )
  root = folder(tmp_path, 'n02124075/1.JPEG')
  source = ImagenetFolderSource(root, graph=graph, eval_fraction=0)
  hierarchy = source.hierarchy
  assert hierarchy.num_classes == 295
  ((_, _, (cat,), _),) = listed(source)
  assert hierarchy.names[cat] == 'egyptian_cat'
  above = [hierarchy.names[i] for i in hierarchy.ancestors(cat)]
  assert {'cat', 'feline', 'carnivore', 'animal'} <= set(above)
  # Two of its nodes are called "food".
  assert sum(n.startswith('food (n') for n in hierarchy.names) == 2


def test_graph_by_hand_and_bad_graphs(tmp_path):
  path = tmp_path / 'graph.json'

  def load(content):
    path.write_text(json.dumps(content))
    return wordnet_graph.load_graph(path)

  nodes = [{'id': 'n2', 'label': 'dog'}, {'id': 'n1'}]
  hierarchy, ids = load(
    {'nodes': nodes, 'links': [{'source': 'n1', 'target': 'n2'}]}
  )
  assert ids == {'n1': 0, 'n2': 1}
  assert hierarchy.names == ['n1', 'dog']
  assert hierarchy.parents == [(), (0,)]
  for content, message in [
    ({}, "KeyError: 'nodes'"),
    ([], 'is no node-link JSON'),
    ({'nodes': nodes, 'links': [{'source': 'n3', 'target': 'n1'}]}, "'n3'"),
    (
      {
        'nodes': nodes,
        'links': [
          {'source': 'n1', 'target': 'n2'},
          {'source': 'n2', 'target': 'n1'},
        ],
      },
      'cycle',
    ),
  ]:
    with pytest.raises(ValueError, match=message) as e:
      load(content)
    assert str(path) in str(e.value)


@pytest.mark.parametrize(
  ('paths', 'options', 'message'),
  [
    ([], {}, 'has no class folders'),
    (['a.jpg'], {}, 'has no class folders'),
    (['a/b.txt'], {}, 'has no picture in its class folders'),
    (['train/a/1.jpg'], {'eval_fraction': 0.1}, 'leave --eval_fraction=0.1'),
    (['a/1.jpg'], {'eval_fraction': 1}, r'must be in \[0, 1\), got 1'),
    (['val/a/1.jpg', 'valid/a/1.jpg'], {}, "two folders for .*'validation'"),
    (['a/1.jpg'], {'labels': 'x', 'graph': 'y'}, 'Give one of --labels'),
    (['f-1/a/1.jpg'], {'splits': ['f-1']}, "Split name 'f-1' must be"),
    (['a/1.jpg'], {'splits': ['../..']}, 'leaves the image folder'),
  ],
)
def test_bad_folders(tmp_path, paths, options, message):
  root = folder(tmp_path, *paths)
  root.mkdir(exist_ok=True)
  with pytest.raises(ValueError, match=message) as e:
    ImagenetFolderSource(root, **options)
  assert '\n' not in str(e.value)


def test_a_file_name_that_is_not_utf8(tmp_path):
  root = folder(tmp_path, 'a/1.jpg')
  try:
    with open(os.fsencode(root / 'a') + b'/\xff.jpg', 'wb'):
      pass
  except OSError:
    pytest.skip('this file system takes UTF-8 names only')
  with pytest.raises(ValueError, match='is not UTF-8; rename the file'):
    ImagenetFolderSource(root)


def test_missing_folders(tmp_path):
  with pytest.raises(FileNotFoundError, match='no image root'):
    ImagenetFolderSource(tmp_path / 'none')
  root = folder(tmp_path, 'a/1.jpg')
  with pytest.raises(FileNotFoundError, match='no split folder'):
    ImagenetFolderSource(root, splits=['train'])


def test_omniglot(tmp_path):
  path = shared_path('data', 'omniglot', 'images_background_small1.zip')
  with zipfile.ZipFile(path) as archive:
    archive.extractall(tmp_path)
  root = tmp_path / 'images_background_small1'
  source = ImagenetFolderSource(root, nested=True, eval_fraction=0)
  assert source.hierarchy.names == [
    'Balinese',
    'Early_Aramaic',
    'Greek',
    'Korean',
    'Latin',
  ]
  # 20 drawings of each of 24 + 22 + 24 + 40 + 26 characters.
  assert source.sizes == {'train': 2720}
  items = list(source.items())
  counts = [sum(i.payload[0] == (c,) for i in items) for c in range(5)]
  assert counts == [480, 440, 480, 800, 520]
  assert items[0].source_id == 'Balinese/character01/0108_01.png'
  assert source.reader(items[0]).encoded.startswith(b'\x89PNG')
  # Each alphabet as a split, each character as a class.
  characters = ImagenetFolderSource(root, splits=source.hierarchy.names)
  assert characters.sizes['Korean'] == 800
  assert characters.hierarchy.num_classes == 40
