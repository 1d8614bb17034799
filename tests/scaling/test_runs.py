import json
import pathlib
import re

import pytest

from official_repro.scaling import commands, presets, runs, spec
from tests import binaries
from tests.scaling import fakes

FOLDER = pathlib.Path(spec.__file__).parent / 'specs'
SPECS = sorted(p.stem for p in FOLDER.glob('*.yaml'))


def with_axes(**axes):
  return {'axes': axes}


def ids(plan, stage=None):
  return [r.run_id for r in plan.values() if stage in (None, r.stage)]


def made(run, records):
  """Makes the data folder that a run makes, as far as a plan looks."""
  folder = pathlib.Path(run.output)
  folder.mkdir(parents=True)
  content = {'splits': {'train': {'records': records}}}
  (folder / 'dataset.json').write_text(json.dumps(content))


def test_axes_multiply_only_the_stages_they_concern(tmp_path):
  plan = fakes.plan(tmp_path)
  # All 640 images are no part; frozen does not multiply pre-training.
  assert ids(plan, 'data') == [
    'data/jft',
    'data/jft,images=64,seed=0',
    'data/coco',
    'data/jft,images=64,seed=1',
  ]
  assert ids(plan, 'pretrain') == [
    'pretraining/images=64,seed=0',
    'pretraining/images=640,seed=0',
    'pretraining/images=64,seed=1',
    'pretraining/images=640,seed=1',
  ]
  assert len(ids(plan, 'transfer')) == 2 * 2 * 2
  assert ids(plan, 'transfer')[:2] == [
    'detection/images=64,frozen=false,seed=0',
    'detection/images=64,frozen=true,seed=0',
  ]


def test_what_runs_before_what(tmp_path):
  plan = fakes.plan(tmp_path)
  frozen = plan['detection/images=64,frozen=true,seed=1']
  assert frozen.depends == ('data/coco', 'pretraining/images=64,seed=1')
  part = 'data/jft,images=64,seed=1'
  assert plan['pretraining/images=64,seed=1'].depends == (part,)
  assert plan[part].depends == ('data/jft',)
  places = {name: i for i, name in enumerate(plan)}
  for run in plan.values():
    assert all(places[n] < places[run.run_id] for n in run.depends)


def test_each_seed_draws_its_own_part(tmp_path):
  plan = fakes.plan(tmp_path, **with_axes(fraction=[0.1, 1.0], seed=[0, 7]))
  for seed in (0, 7):
    part = plan[f'data/jft,fraction=0.1,seed={seed}']
    assert (part.flags['fraction'], part.flags['seed']) == (0.1, seed)
    small = plan[f'pretraining/fraction=0.1,seed={seed}']
    assert small.flags['data_dir'] == part.output
    # All of it is no draw, and one folder for all seeds.
    large = plan[f'pretraining/fraction=1,seed={seed}']
    assert large.flags['data_dir'] == plan['data/jft'].output
  # A vocabulary draws nothing; images of it do.
  axes = {'vocabulary': ['few.txt'], 'seed': [0, 1]}
  plan = fakes.plan(tmp_path, **with_axes(**axes))
  assert 'seed' not in plan['data/jft,vocabulary=few'].flags
  plan = fakes.plan(tmp_path, **with_axes(images=[64], **axes))
  assert plan['data/jft,images=64,vocabulary=few,seed=1'].flags['seed'] == 1


def test_vocabularies_have_the_same_images(tmp_path):
  axes = {'images': [64], 'vocabulary': ['leaves', 'few.txt', 'all']}
  plan = fakes.plan(tmp_path, **with_axes(**axes, seed=[0]))
  few = str(tmp_path / 'few.txt')
  leaves = str(tmp_path / 'out' / 'labels' / 'jft-leaves.txt')
  found = {
    name: (run.flags.get('labels'), run.flags.get('having'))
    for name, run in plan.items()
    if name.startswith('data/jft,')
  }
  part = 'data/jft,images=64,vocabulary={},seed=0'
  assert found == {
    part.format('leaves'): (leaves, few),
    part.format('few'): (few, leaves),
    part.format('all'): (None, f'{leaves},{few}'),
  }
  for run in plan.values():
    if run.task == 'pretraining':
      assert 'vocabulary=' in run.flags['data_dir']
  parts = [r for r in plan.values() if r.task == 'data' and 'having' in r.flags]
  jft = plan['data/jft'].output
  assert [r.lists for r in parts] == [(('leaves', jft, leaves),)] * 3


def test_all_of_a_folder_that_is_there_is_no_part(tmp_path):
  (tmp_path / 'real').mkdir()
  content = {'splits': {'train': {'records': 500}}}
  (tmp_path / 'real' / 'dataset.json').write_text(json.dumps(content))
  plan = fakes.plan(
    tmp_path,
    data={'real': 'real'},
    pretrain={'experiment': 'mini_jft', 'data': 'real', 'epochs': 2},
    **with_axes(images=[100, 500]),
  )
  assert ids(plan, 'data') == ['data/real,images=100', 'data/coco']
  whole = plan['pretraining/images=500'].flags['data_dir']
  assert whole == str(tmp_path / 'real')


def test_random_weights_need_no_pretraining(tmp_path):
  plan = fakes.plan(
    tmp_path,
    **with_axes(
      images=[64, 640],
      init=['pretrained', 'random'],
      frozen=[False, True],
      seed=[0, 1],
    ),
  )
  random = [n for n in ids(plan) if 'init=random' in n]
  # One a seed, whatever the images; frozen random weights are no run.
  assert random == [
    'detection/init=random,frozen=false,seed=0',
    'detection/init=random,frozen=false,seed=1',
  ]
  run = plan[random[0]]
  assert 'init_checkpoint' not in run.flags
  assert run.depends == ('data/coco',)
  assert run.point['images'] is None


def test_pretraining_from_a_checkpoint_that_the_study_trains(tmp_path):
  plan = fakes.plan(
    tmp_path,
    checkpoints={'other': {'experiment': 'mini_finetune', 'data': 'coco'}},
    **with_axes(init=['other', 'pretrained', 'other+pretrained']),
  )
  assert ids(plan, 'pretrain') == [
    'checkpoint/other/seed=0',
    'pretraining/init=random',
    'pretraining/init=other',
  ]
  start = plan['checkpoint/other/seed=0'].folder
  assert plan['pretraining/init=other'].flags['init_checkpoint'] == start
  assert plan['detection/init=other'].flags['init_checkpoint'] == start
  both = plan['detection/init=other+pretrained']
  assert both.flags['init_checkpoint'] == plan['pretraining/init=other'].folder


def test_a_path_as_start_counts_from_the_data_root(tmp_path):
  plan = fakes.plan(tmp_path, **with_axes(init=['models/ckpt-7']))
  assert ids(plan, 'pretrain') == []
  run = plan['detection/init=ckpt-7']
  assert run.flags['init_checkpoint'] == str(tmp_path / 'models/ckpt-7')


def test_two_files_of_one_name_are_told(tmp_path):
  with pytest.raises(
    ValueError, match="Two runs get the name 'detection/init=a"
  ):
    fakes.plan(tmp_path, **with_axes(init=['x/a', 'y/a']))


def test_the_frozen_command_is_what_a_user_types(tmp_path):
  run = fakes.plan(tmp_path)['detection/images=64,frozen=true,seed=1']
  out = tmp_path / 'out'
  assert commands.shown(run, {}) == (
    'python -m object_detection.train --experiment=mini_coco '
    f'--data_dir={out}/data/coco '
    f'--model_dir={out}/runs/detection/images=64,frozen=true,seed=1 '
    f'--init_checkpoint={out}/runs/pretraining/images=64,seed=1 '
    '--seed=1 --freeze=conv5 --train_steps=40 '
    '\'--params_override={"trainer": {"optimizer_config": {"learning_rate": '
    '{"cosine": {"decay_steps": 40}}}}}\''
  )


def test_steps_and_schedule_follow_the_records_that_there_are(tmp_path):
  plan = fakes.plan(tmp_path, **with_axes(fraction=[0.5]))
  run = plan['pretraining/fraction=0.5']
  assert commands.values(run, {}) is None
  assert '--train_steps=known-when-the-data-is-made' in commands.shown(run, {})
  # 2 epochs of about 320 images at batch 64.
  assert run.length.guess() == 10
  made(plan['data/jft,fraction=0.5'], 330)
  flags = commands.values(run, {})
  assert flags['train_steps'] == 11  # ceil(660 / 64)
  override = json.loads(flags['params_override'])
  config = override['trainer']['optimizer_config']
  assert config['learning_rate'] == {'cosine': {'decay_steps': 11}}
  assert config['warmup'] == {'linear': {'warmup_steps': 1}}  # 100 of 1000


def test_schedules_keep_their_shape():
  of = presets.PRESETS
  coco = of['object_detection.train']['coco_resnet101']
  # The drop at 2.5M of 3M comes at 250 of 300.
  assert coco.stretched(300) == {
    'trainer': {
      'optimizer_config': {'learning_rate': {'stepwise': {'boundaries': [250]}}}
    }
  }
  jft = of['official_repro.train']['jft300m_resnet101']
  rate = jft.stretched(360)['trainer']['optimizer_config']['learning_rate']
  assert rate == {'exponential': {'decay_steps': 30}}  # 3M of 36M
  assert jft.stretched(36_000_000) == {}
  assert of['pose.train']['grmi_resnet101'].stretched(5) == {}
  # Boundaries stay apart in the shortest run.
  imagenet = of['official_repro.train']['imagenet_resnet101'].stretched(2)
  rate = imagenet['trainer']['optimizer_config']['learning_rate']
  assert rate == {'stepwise': {'boundaries': [1, 2, 3, 4]}}


def test_data_axes(tmp_path):
  changes = with_axes(
    images=[64],
    vocabulary=['all', 'leaves', 'few.txt'],
    noise=[0.4],
    duplicates=['removed'],
    labels=['given'],
  )
  plan = fakes.plan(tmp_path, **changes)
  build = plan['data/jft,noise=0.4']
  assert build.flags['noise'] == 0.4
  dedup = plan['data/jft,noise=0.4,duplicates=removed']
  assert dedup.module == 'official_repro.dedup'
  assert dedup.flags['against'] == 'validation'
  base = 'data/jft,noise=0.4,duplicates=removed'
  leaves = plan[f'{base},images=64,vocabulary=leaves']
  ((which, folder, _),) = leaves.lists
  assert (which, folder) == ('leaves', dedup.output)
  few = plan[f'{base},images=64,vocabulary=few']
  assert few.flags['labels'] == str(tmp_path / 'few.txt')
  assert few.flags['num_images'] == 64
  run = plan[
    'pretraining/images=64,vocabulary=all,labels=given,noise=0.4,'
    'duplicates=removed'
  ]
  assert run.override == {'task': {'train_data': {'labels': 'given'}}}
  assert (
    run.flags['data_dir'] == plan[f'{base},images=64,vocabulary=all'].output
  )


def test_more_images_than_there_are_is_told_before_any_run(tmp_path):
  with pytest.raises(ValueError, match="has 641, .*'jft' has 640 training"):
    fakes.plan(tmp_path, **with_axes(images=[64, 641]))


def test_depth_by_override_or_by_name(tmp_path):
  tasks = {
    'detection': {
      'experiment': 'coco_resnet{depth}',
      'data': 'coco',
      'metric': 'AP',
    }
  }
  plan = fakes.plan(tmp_path, tasks=tasks, **with_axes(depth=[50, 152]))
  before = plan['pretraining/depth=152']
  assert before.override == {'task': {'model': {'depth': 152}}}
  run = plan['detection/depth=152']
  assert run.flags['experiment'] == 'coco_resnet152'
  assert run.override == {}


def test_other_presets_for_frozen_and_random(tmp_path):
  tasks = {
    'detection': {
      'experiment': 'coco_resnet101',
      'frozen_experiment': 'coco_resnet101_frozen',
      'random_experiment': 'mini_coco',
      'freeze': 'conv4',
      'data': 'coco',
      'metric': 'AP',
    }
  }
  axes = with_axes(frozen=[False, True], init=['pretrained', 'random'])
  plan = fakes.plan(tmp_path, tasks=tasks, **axes)
  frozen = plan['detection/init=pretrained,frozen=true'].flags
  assert (frozen['experiment'], frozen['freeze']) == (
    'coco_resnet101_frozen',
    'conv4',
  )
  random = plan['detection/init=random,frozen=false'].flags
  assert random['experiment'] == 'mini_coco'


def test_runs_that_choose_a_learning_rate(tmp_path):
  task = {**fakes.CONTENT['tasks']['detection'], 'learning_rates': [1e-3, 1e-2]}
  plan = fakes.plan(
    tmp_path,
    tasks={'detection': task},
    learning_rate={
      'at': {'images': 64, 'seed': 100},
      'tasks': ['detection'],
      'data': {'detection': 'jft'},
    },
  )
  tries = [
    'choice/detection/learning_rate=0.001,images=64,seed=100',
    'choice/detection/learning_rate=0.01,images=64,seed=100',
  ]
  assert ids(plan, 'choice') == [
    'choice/pretraining/images=64,seed=100',
    *tries,
  ]
  before = plan['choice/pretraining/images=64,seed=100']
  assert before.depends == ('data/jft,images=64,seed=100',)
  assert plan[before.depends[0]].flags['seed'] == 100
  assert plan[tries[0]].flags['learning_rate'] == 1e-3
  assert plan[tries[0]].flags['data_dir'] == plan['data/jft'].output
  run = plan['detection/images=640,frozen=true,seed=1']
  assert run.depends[-2:] == tuple(tries)
  assert commands.values(run, {}) is None
  assert '--learning_rate=chosen-before' in commands.shown(run, {})
  assert commands.values(run, {'detection': 0.01})['learning_rate'] == 0.01


def test_the_hash_follows_the_command_and_not_the_place(tmp_path):
  def digest(folder, **changes):
    folder.mkdir(exist_ok=True)
    output = str(folder / 'out')
    run = fakes.plan(folder, **changes)[
      'detection/images=64,frozen=true,seed=1'
    ]
    return commands.digest(run, commands.values(run, {}), output, ['before'])

  first = digest(tmp_path / 'a')
  assert first == digest(tmp_path / 'b')
  task = {**fakes.CONTENT['tasks']['detection'], 'steps': 41}
  assert first != digest(tmp_path / 'a', tasks={'detection': task})


def test_the_hash_follows_the_labels_of_the_users_file(tmp_path):
  axes = {'images': [64], 'vocabulary': ['few.txt', 'leaves'], 'seed': [0]}
  names = [
    f'data/jft,images=64,vocabulary={name},seed=0' for name in ('few', 'leaves')
  ]

  def digests(*labels):
    (tmp_path / 'few.txt').write_text('\n'.join(labels))
    plan = fakes.plan(tmp_path, **with_axes(**axes))
    return [
      commands.digest(run, commands.values(run, {}), str(tmp_path / 'out'), [])
      for run in (plan[name] for name in names)
    ]

  first = digests('cat', 'dog')
  assert first == digests('cat', 'dog')
  # The leaves are those of the images that the file leaves.
  assert not set(first) & set(digests('cat', 'horse'))


def test_nested_overrides():
  flat = {'task.model.depth': 26, 'task': {'freeze': 'conv4'}}
  nested = {'task': {'model': {'depth': 26}, 'freeze': 'conv4'}}
  assert commands.nested(flat) == nested
  assert commands.merged(nested, {'task': {'freeze': 'none'}}) == {
    'task': {'model': {'depth': 26}, 'freeze': 'none'}
  }


@pytest.mark.parametrize('name', SPECS)
def test_each_spec_of_ours_can_be_planned(name, tmp_path):
  loaded = spec.load(str(FOLDER / f'{name}.yaml'), str(tmp_path))
  assert loaded.name == name
  assert loaded.paper
  plan = runs.plan(loaded, str(tmp_path / 'out'))  # checks training flags
  assert any(r.metrics for r in plan)
  for run in plan:
    # Names of folders that shells and TensorFlow take.
    assert re.fullmatch(r'[a-zA-Z0-9_=,./+-]+', run.run_id)
    if run.length:
      presets.find(run.module, run.experiment)
    else:
      _check_flags(run)


_FLAGS: dict = {}


def _check_flags(run):
  """Checks that the binary has the run's flags."""
  if run.module not in _FLAGS:
    done = binaries.call(run.module, '--helpfull')
    text = done.stdout + done.stderr
    _FLAGS[run.module] = set(re.findall(r'--(?:\[no\])?(\w+)', text))
  assert set(run.flags) <= _FLAGS[run.module]
