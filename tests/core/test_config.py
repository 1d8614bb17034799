import pytest

from official_repro import experiments
from official_repro.core import config as config_lib


def _preset():
  return experiments.mini_jft()


def test_precedence_preset_file_override_flag(tmp_path):
  first, second = tmp_path / 'a.yaml', tmp_path / 'b.yaml'
  first.write_text('trainer: {train_steps: 11, max_to_keep: 9}\n')
  second.write_text('trainer: {train_steps: 12, steps_per_loop: 7}\n')
  config = config_lib.resolve(
    _preset(),
    [str(first), str(second)],
    'trainer.steps_per_loop=8,trainer.validation_interval=77',
    {'trainer.validation_interval': 78},
  )
  assert config.trainer.max_to_keep == 9  # file a
  assert config.trainer.train_steps == 12  # file b over file a
  assert config.trainer.steps_per_loop == 8  # override over file b
  assert config.trainer.validation_interval == 78  # flag over override
  assert config.task.model.depth == 14  # preset


def test_preset_is_left_alone():
  preset = _preset()
  config_lib.resolve(preset, params_override='{task: {model: {depth: 50}}}')
  assert preset.task.model.depth == 14


@pytest.mark.parametrize(
  'text, words',
  [
    ('{task: {modle: {depth: 50}}}', ['task.modle', 'task.model?']),
    ('task.model.dept=50', ['task.model.dept', 'task.model.depth?']),
    ('{task: {model: {depth: deep}}}', ['task.model.depth', "'deep'", 'int']),
    ('{task: {model: 3}}', ['task.model', '3']),
    ('[1, 2]', ['mapping', '[1, 2]']),
    ('{a: [}', ['not valid YAML']),
    ('task.model.depth=[1,2', ["'[1,2'", 'task.model.depth', 'not valid YAML']),
  ],
)
def test_wrong_override_is_one_clear_sentence(text, words):
  with pytest.raises(ValueError) as e:
    config_lib.resolve(_preset(), params_override=text)
  for word in words:
    assert word in str(e.value)
  assert '--params_override' in str(e.value)
  assert '\n' not in str(e.value)


def test_assignments_may_hold_lists():
  text = 'a.b=[[1,2],[3]],c=[x,y],d=e, f=1e-3'
  assert config_lib.parse_yaml(text, 'here') == {
    'a': {'b': [[1, 2], [3]]},
    'c': ['x', 'y'],
    'd': 'e',
    'f': 0.001,
  }


def test_missing_config_file_is_named(tmp_path):
  path = str(tmp_path / 'no.yaml')
  with pytest.raises(ValueError, match='no.yaml'):
    config_lib.resolve(_preset(), [path])


def test_saved_configuration_reads_back(tmp_path):
  path = tmp_path / 'params.yaml'
  config = _preset()
  config_lib.save(config, str(path))
  again = config_lib.resolve(experiments.jft300m_resnet101(), [str(path)])
  assert again.as_dict() == config.as_dict()


def test_yaml_reads_short_exponents_as_numbers():
  parsed = config_lib.parse_yaml('{a.b: 1e-3, a.c: x}', 'here')
  assert parsed == {'a': {'b': 0.001, 'c': 'x'}}
