import gc
import json
import os
import pathlib
import sys

import pytest

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
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

SHARED = pathlib.Path(__file__).resolve().parents[2] / 'shared'


def pytest_collection_modifyitems(items):
  """Puts the tests of LONG_FIRST at the beginning."""
  tests = pathlib.Path(__file__).parent
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
