"""Command line of every binary: flags, exit codes, one-line errors.

The flags are defined when a binary asks for them, never on import, and are
read only here and in the binaries.
"""

import dataclasses
import difflib
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any, Callable, Optional

from absl import app, flags, logging

from official_repro.util import onednn

MODES = ('train', 'eval', 'train_and_eval', 'continuous_eval')
STRATEGIES = (
  'one_device',
  'mirrored',
  'multi_worker_mirrored',
  'parameter_server',
)
RESUME = ('auto', 'never', 'must')
PRECISIONS = ('float32', 'mixed_float16', 'mixed_bfloat16')
STAGES = ('none', 'conv1', 'conv2', 'conv3', 'conv4', 'conv5')

# Dedicated flag -> key of the experiment that it sets.
_FLAG_KEYS = {
  'init_checkpoint': 'task.init_checkpoint',
  'freeze': 'task.freeze',
  'allow_partial_init': 'task.allow_partial_init',
  'train_steps': 'trainer.train_steps',
  'batch_size': 'task.train_data.global_batch_size',
  'learning_rate': None,  # its place depends on the schedule
  'seed': 'runtime.seed',
  'strategy': 'runtime.strategy',
  'precision': 'runtime.precision',
  'jit_compile': 'runtime.jit_compile',
  'memory_growth': 'runtime.memory_growth',
}


@dataclasses.dataclass(frozen=True)
class RunOptions:
  """What the command line asks for.

  Attributes:
    config: the resolved ExperimentConfig.
    experiment: name of the preset.
    mode: one of MODES.
    model_dir: folder for checkpoints, events and metrics.
    resume: one of RESUME.
    epochs: passes over the training split, which set the number of steps; None:
      the config has it.
  """

  config: Any
  experiment: str
  mode: str
  model_dir: str
  resume: str = 'auto'
  epochs: Optional[float] = None


def define_training_flags() -> None:
  """Defines the flags that all training binaries share."""
  d = flags
  d.DEFINE_string('experiment', None, 'Preset; "list" prints all of them.')
  d.DEFINE_string('data_dir', None, 'Folder with dataset.json.')
  d.DEFINE_string('model_dir', None, 'Folder for checkpoints and events.')
  d.DEFINE_enum('mode', 'train_and_eval', MODES, 'What to do.')
  d.DEFINE_enum('strategy', None, STRATEGIES, 'tf.distribute strategy.')
  d.DEFINE_enum(
    'precision', None, PRECISIONS, 'What is computed in; weights are float32.'
  )
  d.DEFINE_bool('jit_compile', None, 'Compile the network with XLA.')
  d.DEFINE_bool(
    'memory_growth',
    None,
    'Take memory of a GPU as it is needed (the default), not all at the start.',
  )
  define_onednn_flag()
  d.DEFINE_string('init_checkpoint', None, 'Checkpoint to start from.')
  d.DEFINE_bool(
    'allow_partial_init',
    None,
    'Load what fits of --init_checkpoint even when more than the head differs.',
  )
  d.DEFINE_enum('freeze', None, STAGES, 'Stages up to this one stay fixed.')
  d.DEFINE_integer('train_steps', None, 'Optimizer steps.', lower_bound=1)
  d.DEFINE_float(
    'epochs', None, 'Passes over the training split, instead of --train_steps.'
  )
  d.DEFINE_integer('batch_size', None, 'Global batch size.', lower_bound=1)
  d.DEFINE_float('learning_rate', None, 'Base learning rate.', lower_bound=0)
  d.DEFINE_integer('seed', None, 'Seed of weights, order, augmentation.')
  d.DEFINE_enum(
    'resume',
    'auto',
    RESUME,
    'auto: go on from the newest checkpoint in model_dir, if any; never: '
    'refuse when there is one; must: refuse when there is none.',
  )
  d.DEFINE_multi_string('config_file', [], 'YAML file(s) over the preset.')
  d.DEFINE_string('params_override', '', 'YAML over preset and files.')


def define_onednn_flag() -> None:
  """Defines --onednn, for the binaries that run networks."""
  flags.DEFINE_enum(
    'onednn',
    'auto',
    onednn.CHOICES,
    'Kernels of oneDNN on a CPU. auto: as the environment variable '
    f'{onednn.VARIABLE} says; else, in training, as when the run was started; '
    'else on where the CPU has AVX2, and elsewhere as TensorFlow has it.',
  )


def training_options(
  presets: Mapping[str, Callable[[], Any]],
) -> Optional[RunOptions]:
  """Reads the training flags.

  Args:
    presets: {name: function that returns an ExperimentConfig}.

  Returns:
    RunOptions, or None after `--experiment=list` printed the presets.

  Raises:
    ValueError: a flag is missing or wrong, in one sentence.
  """
  # Here, so that binaries without a model start without TensorFlow.
  from official_repro.core import config as config_lib

  values = flags.FLAGS
  if values.experiment == 'list':
    for name, preset in presets.items():
      print(f'{name:32s} {(preset.__doc__ or "").strip().splitlines()[0]}')
    return None
  preset = _lookup(presets, values.experiment)
  if not values.model_dir:
    raise ValueError(
      'Flag --model_dir is missing: name the folder for checkpoints.'
    )
  _check_epochs(values)
  overrides = {}
  for flag, key in _FLAG_KEYS.items():
    if values[flag].value is not None and key:
      overrides[key] = values[flag].value
  config = config_lib.resolve(
    preset(), values.config_file, values.params_override
  )
  if values.data_dir:
    overrides['task.train_data.data_dir'] = values.data_dir
    overrides['task.validation_data.data_dir'] = values.data_dir
  if values.learning_rate is not None:
    key = config.trainer.optimizer_config.learning_rate_key()
    overrides[f'trainer.optimizer_config.{key}'] = values.learning_rate
  config = config_lib.resolve(config, flag_values=overrides)
  return RunOptions(
    config,
    values.experiment,
    values.mode,
    values.model_dir,
    values.resume,
    values.epochs,
  )


def _check_epochs(values):
  if values.epochs is None:
    return
  if values.train_steps is not None:
    raise ValueError(
      'Flags --epochs and --train_steps both say how long to train: give one.'
    )
  if not (0 < values.epochs < float('inf')):
    raise ValueError(f'Flag --epochs must be above 0, got {values.epochs:g}.')


def _lookup(presets, name):
  if not name:
    raise ValueError(
      f'Flag --experiment is missing: choose one of {", ".join(presets)}.'
    )
  if name not in presets:
    near = difflib.get_close_matches(name, presets, 1, cutoff=0.4)
    hint = f'did you mean {near[0]}?' if near else '--experiment=list shows all'
    raise ValueError(f'Unknown experiment {name!r}; {hint}')
  return presets[name]


class StoppedError(Exception):
  """A signal ended the run after its state was saved; the exit code is 143."""


# What Kubeflow keeps for errors that a program wants to be retried.
LOST_PEER = 138


class LostPeerError(Exception):
  """A task of the cluster was lost or never came; the exit code is 138."""


def define_beam_flags() -> None:
  """Defines the flags of the binaries that run Apache Beam pipelines."""
  flags.DEFINE_integer(
    'processes', None, 'Worker processes; default: one per core.', lower_bound=1
  )
  flags.DEFINE_string(
    'runner',
    None,
    'Beam runner, e.g. FlinkRunner, whose own flags may follow. Default: '
    'worker processes on this machine.',
  )


def beam_options() -> dict:
  """Returns the arguments `processes` and `beam_args` of `data.engine.run`."""
  args = () if flags.FLAGS.runner is None else tuple(_beam_args)
  return {'processes': flags.FLAGS.processes, 'beam_args': args}


# What the command line holds for Beam; `_parse` fills it.
_beam_args: list = []


def run(main: Callable[[list], Any], beam: bool = False) -> None:
  """Runs a binary: parses flags, calls main, turns errors into exit codes.

  0 done; 1 wrong use or bad input, one line on stderr; 138 a task of the
  cluster was lost, start again; 143 stopped by SIGTERM after saving. `--debug`
  adds the traceback.

  Args:
    main: takes the positional arguments; may return an exit code.
    beam: whether the flags of `define_beam_flags` are there; unknown flags are
      Beam's when --runner is given.
  """
  if 'debug' not in flags.FLAGS:
    flags.DEFINE_bool('debug', False, 'Show tracebacks and more log lines.')
  _show_in_help()
  parse = _parse_for_beam if beam else _parse
  app.run(_guarded(main), flags_parser=parse)


def _show_in_help():
  # --help shows the main module's flags; those defined here belong to it.
  for module, defined in list(flags.FLAGS.flags_by_module_dict().items()):
    if module.startswith('official_repro'):
      for flag in defined:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)


def _parse(argv):
  try:
    rest = flags.FLAGS(argv)
  except flags.UnrecognizedFlagError as e:
    near = difflib.get_close_matches(e.flagname, list(flags.FLAGS), 1)
    hint = f'did you mean --{near[0]}?' if near else '--help lists the flags.'
    fail(f'Unknown flag --{e.flagname}; {hint}')
  except flags.Error as e:
    fail(_one_line(str(e)))
  if len(rest) > 1:
    fail(f'Unexpected argument {rest[1]!r}: flags are written --name=value.')
  return rest


def _parse_for_beam(argv):
  """As `_parse`, but leaves what it does not know to Beam's runner."""
  if not any(a.startswith(('--runner', '-runner')) for a in argv[1:]):
    return _parse(argv)
  try:
    rest = flags.FLAGS(argv, known_only=True)
  except flags.Error as e:
    fail(_one_line(str(e)))
  _beam_args[:] = [f'--runner={flags.FLAGS.runner}', *rest[1:]]
  return rest[:1]


def _guarded(main):
  def guarded(argv):
    logging.set_verbosity(logging.INFO if flags.FLAGS.debug else logging.ERROR)
    try:
      _set_onednn()
      return main(argv)
    except StoppedError as e:
      print(_one_line(str(e)), file=sys.stderr)
      sys.exit(143)
    except LostPeerError as e:
      tell_lost_peer(str(e))
    except KeyboardInterrupt:
      print('Interrupted.', file=sys.stderr)
      sys.exit(130)
    except (ValueError, OSError) as e:
      _fail_from(e)
    except Exception as e:
      # TensorFlow's own errors of bad input; anything else is a bug and shows
      # its traceback. Not imported above: some binaries do without TensorFlow.
      if not _is_tensorflow_error(e):
        raise
      _fail_from(e)

  return guarded


def _set_onednn():
  values = flags.FLAGS
  if 'onednn' in values:
    # The training binaries go on with a run, also to evaluate it; the others
    # only read one.
    goes_on = 'resume' in values and values['experiment'].value != 'list'
    model_dir = values['model_dir'].value if goes_on else None
    onednn.apply(values['onednn'].value, model_dir)


def tell_lost_peer(text: str) -> None:
  """Ends the process as it is, with one line on stderr and exit code 138.

  TensorFlow's threads may wait for the lost task for ever, and the end of the
  interpreter for them.
  """
  print(f'Error: {_one_line(text)}', file=sys.stderr)
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(LOST_PEER)


def _is_tensorflow_error(e):
  return any(c.__name__ == 'OpError' for c in type(e).__mro__)


def _fail_from(e):
  if flags.FLAGS.debug:
    traceback.print_exc()
  fail(_one_line(_message(e)))


def _message(e):
  if isinstance(e, OSError) and e.strerror:
    names = ' -> '.join(str(n) for n in (e.filename, e.filename2) if n)
    return f'{names or "Input/output"}: {e.strerror}.'
  text = getattr(e, 'message', None) or str(e) or type(e).__name__
  # Graph errors end in a dump of the nodes that were running.
  return text.split('\n\t [[')[0].split('\nStack')[0]


def _one_line(text):
  return ' '.join(text.split())


def fail(message: str) -> None:
  """Prints one line on stderr and exits with 1."""
  print(f'Error: {message}', file=sys.stderr)
  sys.exit(1)
