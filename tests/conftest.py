import gc
import json
import os
import pathlib
import sys

import pytest

from official_repro.util import onednn

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
# As the binaries do; `make test` runs some tests once more without oneDNN.
onednn.apply('auto')
# Two pytest workers on two cores: more threads each would only get in the way.
os.environ.setdefault('OMP_NUM_THREADS', '1')

# The files that take longest begin first: of two workers none is to be left
# alone with one of them at the end (with --no-loadscope-reorder).
LONG_FIRST = (
  'cluster/test_asynchronous_faults.py',
  'test_train.py',
  'test_elastic_resume.py',
  'test_precision.py',
  'test_gradient_equivalence.py',
  'parity/test_reference_detector.py',
  'cluster/test_synchronous_faults.py',
)

# Tests of what the kernels compute, marked `both_settings`: they also run
# without oneDNN, where convolutions take other forms.
BOTH_SETTINGS = (
  'modeling/',
  'deeplab/test_model.py',
  'object_detection/test_model.py',
  'parity/test_dilated_resnet.py',
  'parity/test_reference_detector.py',
  'parity/test_slim_trunk.py',
  'pose/test_model.py',
  'test_train.py::test_interrupted_run_equals_a_straight_one_bit_for_bit',
)

SHARED = pathlib.Path(__file__).resolve().parents[2] / 'shared'


def pytest_collection_modifyitems(items):
  """Puts LONG_FIRST at the beginning; marks BOTH_SETTINGS."""
  tests = pathlib.Path(__file__).parent
  for item in items:
    name = f'{item.path.relative_to(tests).as_posix()}::{item.name}'
    if name.startswith(BOTH_SETTINGS):
      item.add_marker(pytest.mark.both_settings)
  turn = {str(tests / name): i for i, name in enumerate(LONG_FIRST)}
  items.sort(key=lambda item: turn.get(str(item.path), len(turn)))


def optimize_graphs(wanted):
  """Turns TensorFlow's rewriting of graphs before their first run on or off.

  It takes a third of the time of a run of two steps. Processes of their own do
  it, as users' do.
  """
  import tensorflow as tf

  tf.config.optimizer.set_experimental_options(
    {'disable_meta_optimizer': not wanted}
  )


@pytest.fixture(scope='module', autouse=True)
def few_objects_to_watch():
  """Keeps a module's share of time and memory small.

  Graphs of earlier modules live on, so garbage collection passes them over.
  """
  if 'tensorflow' in sys.modules:  # else the module does without
    optimize_graphs(False)
  yield
  gc.unfreeze()
  gc.collect()
  gc.freeze()


def shared_path(*parts):
  """Returns a path below ../shared, or skips the test with the reason."""
  path = SHARED.joinpath(*parts)
  if not path.exists():
    pytest.skip(f'needs {path.relative_to(SHARED.parent)}, not on this machine')
  return path


def golden(name):
  """Returns {case name: case} of ../shared/golden/NAME.json, or skips."""
  with open(shared_path('golden', f'{name}.json')) as f:
    return {case['name']: case for case in json.load(f)['cases']}


@pytest.fixture(scope='module')
def no_random_kernels():
  """For networks whose kernels come from a checkpoint or are only counted."""
  import tensorflow as tf

  from official_repro.modeling import blocks

  with pytest.MonkeyPatch.context() as patch:
    zeros = tf.keras.initializers.Zeros()
    patch.setattr(blocks, 'slim_initializer', lambda fan_in: zeros)
    yield
