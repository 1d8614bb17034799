"""Runs that die, or change their number of replicas, see the same records."""

import json
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf

from official_repro.data import pipeline
from tests import binaries, elastic_process, recording, tiny

# An epoch is 8 steps, in two groups of two shards.
STEPS, EVERY, BATCH, GROUP, SEED = 16, 4, 8, 32, 5
# In the second epoch, between two checkpoints.
KILL_AT = 11


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  return tiny.build(tmp_path_factory.mktemp('data') / 'mini')


@pytest.fixture(scope='module')
def straight(data, tmp_path_factory):
  """A run on one device; its folder, not to be changed, and its records."""
  folder = tmp_path_factory.mktemp('straight') / 'run'
  return folder, _train(data, folder, 'one_device')


def _options(data, folder, steps=STEPS):
  return tiny.train_options(
    data,
    folder,
    steps,
    f'trainer.checkpoint_interval={EVERY},trainer.max_to_keep=9',
    mode='train',
    seed=SEED,
  )


def _train(data, folder, name):
  """Trains to the end in this process; returns {step: record ids}."""
  file = folder.parent / f'{name}.jsonl'
  with recording.to(file):
    done = tiny.call('train', **_options(data, folder))
  assert done.returncode == 0, done.stderr
  return recording.read(file)


def _ended(found, expected, first):
  """Whether the steps from `first` on took the records that they should."""
  return found == {s: expected[s] for s in range(first, STEPS + 1)}


def _tensors(folder):
  """All that a checkpoint at the end has, the optimizer's slots included."""
  reader = tf.train.load_checkpoint(str(folder / f'ckpt-{STEPS}'))
  return {
    name: reader.get_tensor(name)
    for name in reader.get_variable_to_shape_map()
    if name.startswith(('model/', 'optimizer/'))
  }


def test_the_records_of_a_run_are_those_of_the_plan(data, straight):
  _, records = straight
  planned = pipeline.record_ids(
    data,
    'train',
    start_position=0,
    count=STEPS * BATCH,
    seed=SEED,
    shuffle_group=GROUP,
  )
  taken = [i for step in range(1, STEPS + 1) for i in records[step]]
  assert taken == planned


def test_a_killed_run_goes_on_bit_for_bit(data, straight, tmp_path):
  expected_folder, expected = straight
  folder, file = tmp_path / 'run', tmp_path / 'killed.jsonl'
  killed = binaries.process(
    'tests.recording', file, KILL_AT, **_options(data, folder)
  )
  assert killed.returncode == -signal.SIGKILL, killed.stderr
  assert recording.read(file) == {s: expected[s] for s in range(1, KILL_AT + 1)}
  again = _train(data, folder, 'again')
  first, begun = min(again), (KILL_AT - 1) // EVERY * EVERY
  # The newest checkpoint, or the one before where its writing was cut short.
  assert first - 1 in (begun, begun - EVERY)
  assert _ended(again, expected, first)
  found, wanted = _tensors(folder), _tensors(expected_folder)
  assert set(found) == set(wanted)
  for name, value in wanted.items():
    np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.fixture(scope='module')
def elastic(data, straight, tmp_path_factory):
  """Steps 5 to 10 on two replicas, from a checkpoint of the straight run.

  Stopped and begun again between them, evaluated at the end. Returns the
  folder, the records, and what the process printed.
  """
  folder = tmp_path_factory.mktemp('elastic') / 'run'
  folder.mkdir()
  for path in straight[0].glob(f'ckpt-{EVERY}.*'):
    shutil.copy(path, folder)
  (folder / 'checkpoint').write_text(f'model_checkpoint_path: "ckpt-{EVERY}"')
  file = folder.parent / 'two.jsonl'
  done = binaries.process(
    'tests.elastic_process', file, **_options(data, folder, steps=10)
  )
  assert done.returncode == 0, done.stderr
  return folder, recording.read(file), done.stdout


def test_one_replica_to_two_and_back(data, straight, elastic):
  _, expected = straight
  folder, of_two, _ = elastic
  assert of_two == {step: expected[step] for step in range(5, 11)}
  assert _ended(_train(data, folder, 'back'), expected, 11)
  # Batch norm sees other batches, so weights differ; what was taken does not.
  reader = tf.train.load_checkpoint(str(folder / f'ckpt-{STEPS}'))
  position = reader.get_tensor('position/.ATTRIBUTES/VARIABLE_VALUE')
  assert position == STEPS * BATCH


def test_two_replicas_go_on_and_evaluate(elastic):
  folder, _, output = elastic
  for step in (EVERY, elastic_process.STOP):
    assert f'at step {step}.' in output
  line, *others = (folder / 'metrics.jsonl').read_text().splitlines()
  assert not others
  assert json.loads(line)['examples_seen'] == 10 * BATCH


def test_lanes_of_asynchronous_workers_are_disjoint_and_in_order(data, elastic):
  lane = elastic_process
  found = json.loads(elastic[2].splitlines()[-1])
  ids = pipeline.record_ids(
    data,
    'train',
    start_position=lane.START,
    count=2 * len(found) * lane.BATCH,
    seed=lane.SEED,
    shuffle_group=lane.GROUP,
  )
  batches = [ids[i : i + lane.BATCH] for i in range(0, len(ids), lane.BATCH)]
  assert {worker for worker, _ in found} == {0, 1}
  for worker in range(2):
    own = [batch for of, batch in found if of == worker]
    # Which worker takes how many steps is up to their speed.
    assert own == batches[worker::2][: len(own)]
