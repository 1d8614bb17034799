import json

import pytest

from official_repro.data.label_spaces import open_images
from tests.conftest import golden, shared_path

# Entity <- Animal <- Dog; Entity <- Toy; Toy <- Dog. A tail is part of Dog.
OFFICIAL = {
  'LabelName': '/m/0',
  'Subcategory': [
    {
      'LabelName': '/m/animal',
      'Subcategory': [
        {
          'LabelName': '/m/dog',
          'Part': [
            {'LabelName': '/m/tail', 'Subcategory': [{'LabelName': '/m/tip'}]}
          ],
        }
      ],
    },
    {'LabelName': '/m/toy', 'Subcategory': [{'LabelName': '/m/dog'}]},
  ],
}


def tree_file(tmp_path, tree):
  path = tmp_path / 'tree.json'
  path.write_text(json.dumps(tree))
  return path


def descriptions_file(tmp_path, text):
  path = tmp_path / 'classes.csv'
  path.write_text(text, encoding='utf-8')
  return path


def relations(space):
  return {
    label: {space.labels[p] for p in parents}
    for label, parents in zip(space.labels, space.hierarchy.parents)
  }


def test_official_form():
  parents = open_images.tree_parents(OFFICIAL)
  assert list(parents.items()) == [
    ('/m/animal', []),
    ('/m/dog', ['/m/animal', '/m/toy']),
    ('/m/tail', []),
    ('/m/tip', ['/m/tail']),
    ('/m/toy', []),
  ]


def test_tree_and_descriptions(tmp_path):
  text = (
    'LabelName,DisplayName\n/m/rock,Rock\n/m/dog,"Dog, tame"\n'
    '/m/jag,Jaguar\n/m/car,Jaguar\n'
  )
  space = open_images.load_label_space(
    tree_file(tmp_path, OFFICIAL), descriptions_file(tmp_path, text)
  )
  assert space.hierarchy.names == [
    'Rock',
    'Dog, tame',
    'Jaguar (/m/jag)',
    'Jaguar (/m/car)',
    '/m/animal',
    '/m/tail',
    '/m/tip',
    '/m/toy',
  ]
  assert space.ids['/m/dog'] == space.index('/m/dog') == 1
  assert space.hierarchy.fill([1]) == [1, 4, 7]


def test_visualizer_names_become_mids_where_only_one_fits(tmp_path, capsys):
  tree = {
    'name': 'Entity',
    'children': [
      {'name': 'Fruit', 'children': [{'name': 'Orange'}, {'name': 'Kiwi'}]},
      {'name': 'Polish', 'children': [{'name': 'Quince'}]},
    ],
  }
  text = (
    '/m/f,fruit\n/m/o1,orange\n/m/o2,orange\n/m/k,kiwi\n'
    '/m/p1,polish\n/m/p2,Polish\n'
  )
  space = open_images.load_label_space(
    tree_file(tmp_path, tree), descriptions_file(tmp_path, text)
  )
  assert relations(space) == {
    '/m/f': set(),
    '/m/o1': set(),
    '/m/o2': set(),
    '/m/k': {'/m/f'},
    '/m/p1': set(),
    '/m/p2': set(),
    'Orange': {'/m/f'},
    # Written alike goes before alike but for the case.
    'Quince': {'/m/p2'},
  }
  assert '2 of 5 names belong to no class' in capsys.readouterr().err


def test_the_real_tree():
  space = open_images.load_label_space(
    shared_path('data', 'openimages_hierarchy', 'bbox_hierarchy.json')
  )
  h = space.hierarchy
  # 612 different names, less Entity.
  assert h.num_classes == 611
  assert 'Entity' not in h.names
  assert list(space.labels) == h.names
  bear = h.index('Teddy bear')
  assert {h.names[p] for p in h.parents[bear]} == {'Toy', 'Bear'}


def test_the_real_tree_and_its_real_descriptions(capsys):
  folder = shared_path('data', 'openimages_hierarchy')
  space = open_images.load_label_space(
    folder / 'bbox_hierarchy.json', folder / 'dict.csv'
  )
  h = space.hierarchy
  # 7,881 described classes. Of the 611 names 99 have no description
  # ("Carnivore") and 18 have several ("Orange").
  assert '117 of 611 names' in capsys.readouterr().err
  assert h.num_classes == 7881 + 117
  assert space.labels[0] == '/g/1172hxxrk'
  bear = h.names.index('brown bear')
  assert space.labels[bear].startswith('/m/')
  assert {h.names[i] for i in h.ancestors(bear)} == {
    'animal',
    'bear',
    'Carnivore',
    'mammal',
  }


def test_descriptions_alone_are_flat(tmp_path):
  path = descriptions_file(tmp_path, '/m/a,"a, ""b"""\n\n/m/c,c\n')
  space = open_images.load_label_space(descriptions=path)
  assert space.hierarchy.names == ['a, "b"', 'c']
  assert space.hierarchy.max_depth == 0
  with pytest.raises(ValueError, match="'/m/cc' is .* nearest is '/m/c'"):
    space.index('/m/cc')


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('', 'describes no class'),
    ('/m/a,a\n/m/b\n', "line 2: MID and display name expected, got '/m/b'"),
    ('/m/a,a,b\n', 'line 1: MID and display name expected'),
    ('/m/a,a\n/m/a,b\n', "line 2: '/m/a' has a description already"),
  ],
)
def test_bad_descriptions(tmp_path, text, message):
  path = descriptions_file(tmp_path, text)
  with pytest.raises(ValueError, match=message) as e:
    open_images.load_label_space(descriptions=path)
  assert str(path) in str(e.value)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('{', 'is no hierarchy JSON'),
    ('[]', 'is no hierarchy: the root needs'),
    ('{"a": 1}', 'is no hierarchy: the root needs'),
    ('{"name": "a", "children": [{"LabelName": "b"}]}', "without 'name'"),
    ('{"name": "a", "children": ["b"]}', "a node without 'name': 'b'"),
    (
      '{"name": "r", "children": [{"name": "a", "children": ['
      '{"name": "b", "children": [{"name": "a"}]}]}]}',
      'has a cycle',
    ),
  ],
)
def test_bad_trees(tmp_path, text, message):
  path = tmp_path / 'tree.json'
  path.write_text(text)
  with pytest.raises(ValueError, match=message) as e:
    open_images.load_label_space(path)
  assert str(path) in str(e.value)


def test_one_of_the_two_files_is_needed():
  with pytest.raises(ValueError, match='needs a hierarchy JSON'):
    open_images.load_label_space()


def test_expansion_by_hand():
  space = open_images.label_space(open_images.tree_parents(OFFICIAL))
  expand = lambda label, c: set(open_images.expand_label(space, label, c))
  assert expand('/m/dog', 1) == {'/m/dog', '/m/animal', '/m/toy'}
  assert expand('/m/dog', 0.7) == expand('/m/dog', 1)
  assert expand('/m/dog', 0) == {'/m/dog'}
  assert expand('/m/animal', 0) == {'/m/animal', '/m/dog'}
  both = [space.index('/m/animal'), space.index('/m/tail')]
  below = open_images.expand_negative(space.hierarchy, both)
  assert [space.labels[i] for i in below] == [
    '/m/animal',
    '/m/dog',
    '/m/tail',
    '/m/tip',
  ]


def test_expands_rows_as_the_reference():
  cases = golden('hierarchy_expansion')
  (case,) = [c for name, c in cases.items() if name.startswith('labels')]
  parents = open_images.tree_parents(case['inputs']['hierarchy'])
  space = open_images.label_space(parents)
  expanded = set()
  for row in case['inputs']['rows']:
    image, source, label, confidence = row.split(',')
    for other in open_images.expand_label(space, label, float(confidence)):
      expanded.add(f'{image},{source},{other},{confidence}')
  assert sorted(expanded) == sorted(case['expected'])


def test_expands_classes_as_the_reference():
  space = open_images.load_label_space(
    shared_path('data', 'openimages_hierarchy', 'bbox_hierarchy.json')
  )
  h = space.hierarchy
  cases = golden('hierarchy_expansion')
  cases = [c for name, c in cases.items() if name.startswith('openimages')]
  assert len(cases) == 5
  for case in cases:
    i = space.index(case['inputs']['label'])
    up = [h.names[j] for j in open_images.expand_positive(h, [i])]
    down = [h.names[j] for j in open_images.expand_negative(h, [i])]
    assert sorted(up) == case['expected']['positive_expands_to']
    assert sorted(down) == case['expected']['negative_expands_to']
    assert sorted(h.names[j] for j in h.fill([i])) == sorted(up)


def test_every_class_of_the_real_tree_goes_up_its_paths():
  # Written down anew: the names on the way from the root to each place.
  path = shared_path('data', 'openimages_hierarchy', 'bbox_hierarchy.json')
  expected = {}

  def walk(node, way):
    expected.setdefault(node['name'], set()).update(way)
    for child in node.get('children', ()):
      walk(child, [*way, node['name']])

  walk(json.loads(path.read_text()), [])
  del expected['Entity']
  space = open_images.load_label_space(path)
  for name, above in expected.items():
    found = open_images.expand_label(space, name, 1)
    assert set(found) == (above | {name}) - {'Entity'}
