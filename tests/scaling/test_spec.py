import pathlib

import pytest

from official_repro.scaling import axes, spec
from tests.scaling import fakes


def parse(**changes):
  return spec.parse(fakes.content(**changes))


def with_axes(**more):
  return {**fakes.CONTENT['axes'], **more}


def with_task(**more):
  return {'detection': {**fakes.CONTENT['tasks']['detection'], **more}}


def test_a_right_spec():
  found = parse(tasks={**with_task(), 'pretraining': {'metric': 'mAP@100'}})
  assert found.values('images') == (64, 640)
  assert found.values('init') == ('pretrained',)  # no such axis: the default
  assert found.pretrain.metrics == ('mAP@100',)
  assert found.tasks['detection'].module == 'object_detection.train'
  assert found.tasks['detection'].freeze == 'conv5'


def test_paths_count_from_data_root(tmp_path):
  path = tmp_path / 'x.yaml'
  path.write_text(
    'name: x\ndata: {coco: coco2014, far: /far}\naxes: {init: [random]}\n'
    'tasks: {detection: {experiment: mini_coco, data: coco, metric: AP}}\n'
  )
  own = spec.load(str(path))
  assert own.data == {'coco': str(tmp_path / 'coco2014'), 'far': '/far'}
  assert spec.load(str(path), '/data').data['coco'] == '/data/coco2014'


@pytest.mark.parametrize(
  ('changes', 'told'),
  [
    ({'nmae': 'x'}, 'Unknown key nmae; did you mean name?'),
    ({'name': 'A b'}, "Key name must be .* got 'A b'"),
    ({'axes': None}, 'Key axes must hold axes .* got None'),
    ({'axes': {'image': [1]}}, r'axis axes.image; did you mean axes.images\?'),
    ({'axes': {'images': []}}, 'Key axes.images must be a list .* got '),
    ({'axes': {'images': 5}}, 'Key axes.images must be a list .* got 5'),
    ({'axes': {'seed': [0, 0]}}, 'Key axes.seed has 0 twice'),
    ({'axes': {'seed': ['a']}}, "axes.seed takes whole numbers .* got 'a'"),
    ({'axes': {'seed': [True]}}, 'axes.seed takes whole numbers .* got True'),
    ({'axes': {'depth': [34]}}, 'axes.depth takes some of 14.* got 34'),
    ({'axes': {'frozen': ['no']}}, "axes.frozen takes true or false, got 'no'"),
    ({'axes': {'labels': ['all']}}, 'takes filled or given'),
    ({'axes': {'fraction': [0]}}, 'axes.fraction takes .* got 0'),
    ({'axes': with_axes(fraction=[0.5])}, 'axes.images and axes.fraction'),
    ({'axes': with_axes(init=['randm'])}, "'randm'.* did you mean random?"),
    ({'axes': with_axes(init=['x+pretrained'])}, "'x.pretrained', which is"),
    ({'tasks': {}}, 'Key tasks is empty'),
    (
      {'tasks': {'detecton': {}}},
      'task tasks.detecton; did you mean tasks.det',
    ),
    ({'tasks': with_task(metric=None)}, 'Key tasks.detection.metric must be'),
    ({'tasks': with_task(data='cco')}, "data is 'cco', .* did you mean coco?"),
    ({'tasks': with_task(experiment='mini_cco')}, 'did you mean mini_coco?'),
    ({'tasks': with_task(experiment='coco_resnet{depth}')}, 'no axis depth'),
    ({'tasks': with_task(freeze='conv9')}, "freeze must be .* got 'conv9'"),
    ({'tasks': with_task(epochs=2)}, 'epochs and tasks.detection.steps both'),
    ({'tasks': with_task(learning_rates=[1])}, 'no learning_rate says where'),
    ({'tasks': with_task(learning_rates=['x'])}, "numbers above 0, got 'x'"),
    ({'tasks': with_task(learning_rate=0)}, 'numbers above 0, got 0'),
    ({'tasks': with_task(override=3)}, 'override must hold keys .* got 3'),
    (
      {'tasks': with_task(override={'trainer': {'train_steps': 5}})},
      'use tasks.detection.steps',
    ),
    ({'pretrain': None, 'axes': {}}, 'Key pretrain is missing'),
    (
      {'pretrain': None, 'axes': {'init': ['random'], 'images': [5]}},
      'axes.images varies pre-training, but there is no pretrain',
    ),
    ({'data': {'coco': 'x'}}, 'Data coco is in generate and in data'),
    ({'generate': {'jft': {}}}, 'Key generate.jft.source is missing'),
    (
      {'generate': {'jft': {'source': 'mini_jft', 'output': 'x'}}},
      'generate.jft.output is set by the study',
    ),
    ({'dedup': []}, 'Key dedup must be a list'),
    ({'paper': 'data_sise'}, "Key paper .* 'data_sise'.* data_size?"),
  ],
)
def test_a_wrong_spec_is_told_in_one_sentence(changes, told):
  with pytest.raises(ValueError, match=told) as e:
    parse(**changes)
  assert '\n' not in str(e.value)


def test_noise_is_of_generated_data():
  changes = {
    'data': {'real': 'x'},
    'pretrain': {'experiment': 'mini_jft', 'data': 'real'},
    'axes': {'noise': [0.1]},
  }
  with pytest.raises(
    ValueError, match="noise needs .* pretrain.data is 'real'"
  ):
    parse(**changes)


RATES = {'learning_rates': ['1e-3', 1e-2]}  # YAML 1.1 reads 1e-3 as a text


@pytest.mark.parametrize(
  ('choice', 'task', 'told'),
  [
    ({'at': {'seed': 9}}, RATES, 'at lacks images, which has 2 values'),
    ({'at': {'images': 64}}, RATES, 'seed is None; give a seed'),
    ({'at': {'images': 64, 'seed': 1}}, RATES, 'seed is 1; give a seed'),
    ({'at': {'images': 64, 'seed': 9}}, {}, 'learning_rates is missing'),
    ({'at': {'image': 64, 'seed': 9}}, RATES, 'learning_rate.at.images?'),
    ({'at': 3}, RATES, 'learning_rate.at must hold axes .* got 3'),
    (
      {'at': {'images': 64, 'seed': 9}, 'tasks': ['pose']},
      RATES,
      "tasks has 'pose', which is no transfer task",
    ),
    (
      {'at': {'images': 64, 'seed': 9}, 'data': {'detection': 'x'}},
      RATES,
      "learning_rate.data.detection is 'x'",
    ),
  ],
)
def test_a_wrong_choice(choice, task, told):
  choice = {'tasks': ['detection'], **choice}
  with pytest.raises(ValueError, match=told):
    parse(tasks=with_task(**task), learning_rate=choice)


def test_a_right_choice():
  choice = {'tasks': ['detection'], 'at': {'images': 64, 'seed': 9}}
  found = parse(tasks=with_task(**RATES), learning_rate=choice)
  assert found.tasks['detection'].learning_rates == (1e-3, 1e-2)


def test_what_is_no_yaml_names_the_file(tmp_path):
  path = tmp_path / 'broken.yaml'
  path.write_text('name: [')
  with pytest.raises(ValueError, match=r"Spec '.*broken.yaml' is not YAML"):
    spec.load(str(path))
  path.write_text('[]')
  with pytest.raises(ValueError, match=r'broken.yaml.*must hold keys'):
    spec.load(str(path))


def test_labels_of_values():
  point = {'images': 1000, 'frozen': True, 'noise': 0.2, 'seed': 0}
  label = axes.label(point, ['seed', 'frozen', 'images', 'noise'])
  assert label == 'images=1000,noise=0.2,frozen=true,seed=0'
  assert axes.text('lists/imagenet_labels.txt') == 'imagenet_labels'
  assert axes.text('/runs/a/ckpt-100') == 'ckpt-100'


PAPER = (
  'table1_imagenet',
  'detection_coco',
  'detection_voc',
  'segmentation',
  'pose',
  'data_size',
  'epochs',
  'vocabulary',
  'capacity',
  'initialisation',
  'near_duplicates',
)


def test_every_paper_experiment_has_a_spec_and_a_twin():
  folder = pathlib.Path(spec.__file__).parent / 'specs'
  names = {p.stem for p in folder.glob('*.yaml')}
  assert names == {
    *PAPER,
    *(f'mini_{name}' for name in PAPER),
    *('mini_story', 'mini_noise', 'mini_fill_in'),  # not of the paper
  }
  for name in PAPER:
    full, twin = (
      spec.load(str(folder / f'{n}.yaml')) for n in (name, f'mini_{name}')
    )
    assert full.paper == twin.paper == name


def test_the_story_has_four_sizes_and_as_many_epochs_on_each():
  folder = pathlib.Path(spec.__file__).parent / 'specs'
  story = spec.load(str(folder / 'mini_story.yaml'))
  assert len(story.values('images')) == 4
  assert (story.pretrain.epochs, story.pretrain.steps) == (5, None)
  tasks = {'classification', 'detection', 'segmentation', 'pose'}
  assert set(story.tasks) == tasks
  assert story.pretrain.metrics == ('mAP@100',)
