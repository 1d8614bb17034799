"""Experiment configuration: dataclasses and the order of precedence.

preset < --config_file (in order) < --params_override < dedicated flags.
The resolved whole is written to model_dir/params.yaml.
"""

import copy
import dataclasses
import difflib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from official.modeling.hyperparams import base_config

from official_repro.core import optimizers


@dataclasses.dataclass
class TrainerConfig(base_config.Config):
  """How long to train, with which optimizer, and how often to look.

  Attributes:
    optimizer_config: optimizer and learning rate schedule.
    train_steps: optimizer steps in all.
    steps_per_loop: steps between progress lines, signal and loss checks.
    summary_interval: steps between TensorBoard points; a multiple of
      steps_per_loop.
    checkpoint_interval: steps between checkpoints; one more at the end.
    max_to_keep: checkpoints kept, the newest first.
    validation_interval: steps between evaluations in train_and_eval.
    validation_steps: batches of one evaluation, -1 for the whole split.
    continuous_eval_timeout: seconds without a new checkpoint after which
      continuous_eval ends.
    sample_pictures: pictures in each TensorBoard sheet, 0 for none.
    stall_seconds: without a step after which the watchdog prints who is
      missing, and stacks; 0: never.
  """

  optimizer_config: optimizers.OptimizationConfig = dataclasses.field(
    default_factory=optimizers.OptimizationConfig
  )
  train_steps: int = 0
  steps_per_loop: int = 10
  summary_interval: int = 100
  checkpoint_interval: int = 1000
  max_to_keep: int = 3
  validation_interval: int = 1000
  validation_steps: int = -1
  continuous_eval_timeout: int = 3600
  sample_pictures: int = 16
  stall_seconds: int = 600

  # What official.core's Trainer asks for; fixed, hence no fields.
  train_tf_while_loop = False
  train_tf_function = True
  eval_tf_while_loop = False
  eval_tf_function = True
  allow_tpu_summary = False
  best_checkpoint_eval_metric = ''


@dataclasses.dataclass
class RuntimeConfig(base_config.Config):
  """Where and how to run.

  Attributes:
    strategy: one_device, mirrored, multi_worker_mirrored or parameter_server.
    seed: of the initial weights, the record order and the augmentation.
    cluster_timeout: seconds that the tasks of a cluster wait for each other.
    precision: float32; or mixed_float16 or mixed_bfloat16, in which the trunk
      computes, while weights, batch statistics, heads and losses stay in
      float32. mixed_float16 scales the loss, and the scale is saved.
    jit_compile: XLA compiles the network's forward and backward pass in
      training; not detection, whose step XLA has not all operations for.
    memory_growth: take memory of a GPU as it is needed. TensorFlow's own
      default takes nearly all of it at the start, and then a second process,
      such as an evaluation beside the training, finds none. Without it less
      may be lost to gaps where the memory just suffices.
  """

  strategy: str = 'one_device'
  seed: int = 0
  cluster_timeout: int = 600
  precision: str = 'float32'
  jit_compile: bool = False
  memory_growth: bool = True

  # What official.core's Trainer asks for; fixed, hence no fields.
  enable_xla = False
  num_gpus = 0
  tpu_enable_xla_dynamic_padder = None


@dataclasses.dataclass
class ExperimentConfig(base_config.Config):
  """One experiment: what is learnt, how it is trained, where it runs."""

  task: base_config.Config = dataclasses.field(
    default_factory=base_config.Config
  )
  trainer: TrainerConfig = dataclasses.field(default_factory=TrainerConfig)
  runtime: RuntimeConfig = dataclasses.field(default_factory=RuntimeConfig)


def check_keys(
  config: base_config.Config, override: Mapping[str, Any], where: str, path=''
) -> None:
  """Checks that every key of `override` exists in `config`.

  Args:
    config: the experiment as it stands, or a part of it.
    override: nested dict to be laid over it.
    where: what the user wrote it in, for the message.
    path: dotted path of `config` below the root.

  Raises:
    ValueError: an unknown key, with the nearest known one; or a value of
      another type than the present one.
  """
  # Not as_dict(): it leaves out the choices of a OneOfConfig not taken.
  known = {k: v for k, v in vars(config).items() if k in _fields(config)}
  for key, value in override.items():
    name = f'{path}{key}'
    if key not in known:
      near = difflib.get_close_matches(str(key), known, 1, cutoff=0.5)
      hint = (
        f'did you mean {path}{near[0]}?'
        if near
        else f'known there: {", ".join(sorted(known))}.'
      )
      raise ValueError(f'Unknown key {name} in {where}; {hint}')
    present = known[key]
    if isinstance(present, base_config.Config) and isinstance(value, Mapping):
      check_keys(present, value, where, f'{name}.')
    elif isinstance(present, base_config.Config) != isinstance(value, Mapping):
      raise ValueError(
        f'Key {name} in {where} got {value!r}, which has another form than '
        f'the present value {present!r}.'
      )
    else:
      _check_type(present, value, name, where)


def _fields(config):
  return set(vars(config)) - set(config.RESERVED_ATTR)


def _check_type(old, new, name, where):
  number = (int, float)
  same = (
    old is None
    or new is None
    or isinstance(new, type(old))
    or (isinstance(old, number) and isinstance(new, number))
    or (isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)))
  )
  if isinstance(old, bool) != isinstance(new, bool) and old is not None:
    same = False
  if not same:
    raise ValueError(
      f'Key {name} in {where} wants {type(old).__name__}, got {new!r}'
      f' ({type(new).__name__}).'
    )


def parse_yaml(text: str, where: str) -> Mapping[str, Any]:
  """Parses a YAML mapping.

  Numbers as YAML 1.1 misses them (1e-3) are read as numbers.

  Args:
    text: YAML (or JSON) text; 'a.b=c,d=e' is also taken.
    where: name of the source, for messages.

  Returns:
    A nested dict.

  Raises:
    ValueError: not YAML, or not a mapping.
  """
  try:
    value = yaml.safe_load(text)
  except yaml.YAMLError as e:
    raise ValueError(
      f'{where} is not valid YAML: {" ".join(str(e).split())}'
    ) from e
  if isinstance(value, str) and '=' in value:
    value = _from_assignments(value, where)
  if value is None:
    return {}
  if not isinstance(value, dict):
    raise ValueError(
      f'{where} must be a YAML mapping such as '
      f'{{task: {{freeze: conv4}}}}, got {text!r}.'
    )
  return _nested(_numbers(value))


def _from_assignments(text, where):
  out = {}
  for item in _split(text):
    key, sign, value = item.partition('=')
    if not sign:
      raise ValueError(f'{where} wants key=value, got {item!r}.')
    try:
      out[key.strip()] = yaml.safe_load(value)
    except yaml.YAMLError as e:
      raise ValueError(
        f'{where}: the value {value!r} of {key.strip()} is not valid YAML.'
      ) from e
  return out


def _split(text):
  """Splits at the commas that stand in no list."""
  parts, depth = [''], 0
  for letter in text:
    depth += (letter == '[') - (letter == ']')
    if letter == ',' and depth <= 0:
      parts.append('')
    else:
      parts[-1] += letter
  return parts


def _numbers(value):
  if isinstance(value, dict):
    return {k: _numbers(v) for k, v in value.items()}
  if isinstance(value, list):
    return [_numbers(v) for v in value]
  if isinstance(value, str):
    try:
      return float(value) if value[:1] in '+-.0123456789' else value
    except ValueError:
      return value
  return value


def _nested(flat):
  """{'a.b': 1} -> {'a': {'b': 1}}, at any depth."""
  out = {}
  for key, value in flat.items():
    value = _nested(value) if isinstance(value, dict) else value
    *parents, last = str(key).split('.')
    node = out
    for parent in parents:
      node = node.setdefault(parent, {})
    if isinstance(value, dict) and isinstance(node.get(last), dict):
      node[last].update(value)
    else:
      node[last] = value
  return out


def override(config, values: Mapping[str, Any], where: str):
  """Returns a copy of `config` with `values` laid over it (see check_keys)."""
  config = copy.deepcopy(config)
  check_keys(config, values, where)
  config.override(dict(values))
  return config


def resolve(
  preset,
  config_files: Sequence[str] = (),
  params_override: str = '',
  flag_values: Mapping[str, Any] = (),
):
  """Lays config files, the YAML flag and dedicated flags over a preset.

  Args:
    preset: ExperimentConfig.
    config_files: paths of YAML files, later ones win.
    params_override: YAML text.
    flag_values: {'dotted.key': value} of the flags that were given.

  Returns:
    A new ExperimentConfig.

  Raises:
    ValueError: unknown key or unreadable text, naming its source.
  """
  config = preset
  for path in config_files:
    try:
      with open(path, encoding='utf-8') as f:
        text = f.read()
    except OSError as e:
      raise ValueError(
        f'--config_file {path!r} cannot be read: {e.strerror}.'
      ) from e
    where = f'--config_file {path}'
    config = override(config, parse_yaml(text, where), where)
  if params_override:
    where = '--params_override'
    config = override(config, parse_yaml(params_override, where), where)
  if flag_values:
    config = override(config, _nested(dict(flag_values)), 'the flags')
  return config


def read_task(model_dir: str, task: base_config.Config) -> base_config.Config:
  """Reads the task's fields from the params.yaml that a run has left.

  Args:
    model_dir: folder of the run.
    task: a TaskConfig with its defaults.

  Raises:
    ValueError: there is no such file, or it is of another task.
  """
  path = os.path.join(model_dir, 'params.yaml')
  if not os.path.exists(path):
    raise ValueError(
      f'Folder --model_dir {model_dir!r} has no params.yaml; name the folder '
      'of a training run.'
    )
  with open(path, encoding='utf-8') as f:
    values = parse_yaml(f.read(), path)
  return override(task, values.get('task', {}), path)


def save(config, path: str) -> None:
  """Writes the whole configuration as YAML."""
  with open(path, 'w', encoding='utf-8') as f:
    yaml.safe_dump(_plain(config.as_dict()), f, sort_keys=True)


def _plain(value):
  if isinstance(value, Mapping):
    return {k: _plain(v) for k, v in value.items()}
  if isinstance(value, (list, tuple)):
    return [_plain(v) for v in value]
  return value
