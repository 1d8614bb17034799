import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.data import pipelines as base


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp('data')
  return base.write(path, [base.example(i) for i in range(base.N)])


@pytest.fixture(scope='module')
def trained(folder):
  """The first 160 rows of the training with seed 0: over four epochs."""
  return base.rows(base.make(folder, True), 160)


# Contents.


def test_what_training_gives(folder):
  dataset = base.make(folder, True, with_confidence=True, max_labels=5)
  assert dataset.element_spec == {
    'image': tf.TensorSpec([8, 8, 8, 3], tf.uint8),
    'label_ids': tf.TensorSpec([8, 5], tf.int32),
    'confidence': tf.TensorSpec([8, 5], tf.float32),
    'source_id': tf.TensorSpec([8], tf.string),
  }
  got = base.rows(dataset, base.N)
  for name, image, ids, confidence in zip(
    got['source_id'], got['image'], got['label_ids'], got['confidence']
  ):
    index = int(name[1:])
    assert ids.tolist() == [0, 1 + index % 9, -1, -1, -1]
    assert confidence.tolist() == [0.25, index / 64, 0, 0, 0]
    # A record of the right size is cut, not resampled: find the window.
    whole = np.asarray(Image.open(io.BytesIO(base.picture(index))))
    windows = [
      whole[y : y + 8, x : x + 8][:, ::step]
      for y in range(5)
      for x in range(5)
      for step in (1, -1)
    ]
    assert any((image == window).all() for window in windows)


def test_training_gives_only_what_is_asked_for(folder):
  dataset = base.make(folder, True, with_source_id=None)
  assert dataset.element_spec.keys() == {'image', 'label_ids'}


def test_evaluation_is_one_pass_in_file_order_of_central_windows(folder):
  dataset = base.make(folder, False, with_source_id=None)
  sizes = [len(batch['image']) for batch in dataset]
  assert sizes == [8, 8, 8, 8, 5]
  got = base.rows(dataset)
  assert base.names(got['source_id']) == base.file_order(folder)
  for name, image in zip(got['source_id'], got['image']):
    whole = np.asarray(Image.open(io.BytesIO(base.picture(int(name[1:])))))
    np.testing.assert_array_equal(image, whole[2:10, 2:10])


def test_evaluation_batches_larger_than_the_split(folder):
  (batch,) = base.make(folder, False, batch_size=100)
  assert batch['image'].shape == (base.N, 8, 8, 3)
  assert not list(base.make(folder, False, batch_size=100, drop_remainder=True))


def test_given_labels(folder):
  got = base.rows(base.make(folder, False, labels='given', max_labels=2))
  for name, ids in zip(got['source_id'], got['label_ids']):
    assert ids.tolist() == [1 + int(name[1:]) % 9, -1]


# Order.


@pytest.mark.parametrize('group', [1, 14, 8192])
def test_each_record_once_per_epoch_in_a_new_order(folder, trained, group):
  if group == base.GROUPS['shuffle_group']:
    order = base.names(trained['source_id'])[: 3 * base.N]
  else:
    order = base.ids(folder, 3 * base.N, shuffle_group=group)
  epochs = [order[e * base.N : (e + 1) * base.N] for e in range(3)]
  assert [sorted(epoch) for epoch in epochs] == [base.ALL] * 3
  assert len({tuple(epoch) for epoch in epochs}) == 3


def test_record_ids_are_those_of_the_batches(folder, trained):
  order = base.names(trained['source_id'])
  assert base.ids(folder, 3 * base.N, **base.GROUPS) == order[: 3 * base.N]
  assert base.ids(folder, 8, start=40, **base.GROUPS) == order[40:48]


def test_training_is_deterministic_and_depends_on_the_seed(folder, trained):
  base.assert_same(base.rows(base.make(folder, True), 160), trained)
  other = base.rows(base.make(folder, True, seed=1), base.N)
  assert base.names(other['source_id']) == base.ids(
    folder, base.N, seed=1, **base.GROUPS
  )
  assert (other['source_id'] != trained['source_id'][: base.N]).any()


def test_windows_differ_between_epochs(trained):
  seen = {}
  for name, image in zip(trained['source_id'], trained['image']):
    seen.setdefault(name, set()).add(image.tobytes())
  # 50 windows: four draws are nearly always different.
  assert np.mean([len(windows) for windows in seen.values()]) > 3.5


# Within the first group, at its end, and at the end of an epoch; in the third.
@pytest.mark.parametrize('start', [1, 13, 36, 37, 100])
def test_a_start_in_the_middle_is_bit_equal_to_skipping(folder, trained, start):
  tail = base.rows(base.make(folder, True, start_position=start), 48)
  base.assert_same(tail, {k: v[start : start + 48] for k, v in trained.items()})


def test_one_record_is_enough_for_training(tmp_path):
  base.write(tmp_path, [base.example(3)])
  got = base.rows(base.make(tmp_path, True, batch_size=4), 8)
  assert base.names(got['source_id']) == ['r03'] * 8


@pytest.mark.parametrize('pipelines, replicas', [(1, 2), (2, 4)])
def test_pipelines_together_give_the_global_batches(
  folder, trained, pipelines, replicas
):
  start, steps = 8, 12
  whole = {k: v[start : start + 8 * steps] for k, v in trained.items()}
  parts = []
  for i in range(pipelines):
    dataset = base.make(
      folder,
      True,
      start_position=start,
      input_context=base.context(pipelines, i, replicas),
    )
    assert dataset.element_spec['image'].shape[0] == 8 // replicas
    parts.append(base.rows(dataset, 8 * steps // pipelines))
  for key, expected in whole.items():
    # [step, pipeline, row] is the order of the global batch.
    split = [p[key].reshape(steps, -1, *p[key].shape[1:]) for p in parts]
    together = np.concatenate(split, axis=1)
    np.testing.assert_array_equal(together.reshape(expected.shape), expected)


def test_pipelines_of_an_evaluation_share_the_records(folder):
  parts = [
    base.rows(base.make(folder, False, input_context=base.context(2, i, 2)))
    for i in range(2)
  ]
  order = base.file_order(folder)
  assert base.names(parts[0]['source_id'])[:8] == order[0:4] + order[8:12]
  assert base.names(parts[1]['source_id'])[:8] == order[4:8] + order[12:16]
  assert (
    sorted(base.names(np.concatenate([p['source_id'] for p in parts])))
    == base.ALL
  )


def test_a_strategy_and_a_traced_function_can_make_it(folder, trained):
  strategy = tf.distribute.OneDeviceStrategy('CPU:0')
  dataset = strategy.distribute_datasets_from_function(
    lambda c: base.make(folder, True, input_context=c)
  )

  @tf.function
  def first_images():
    return base.make(folder, True).take(1).get_single_element()['image']

  expected = trained['image'][:8]
  np.testing.assert_array_equal(next(iter(dataset))['image'], expected)
  np.testing.assert_array_equal(first_images(), expected)


@pytest.mark.parametrize('training', [True, False])
def test_the_graph_holds_no_python_function(folder, training):
  graph = base.make(folder, training)._as_serialized_graph().numpy()
  assert b'TFRecordDatasetV2' in graph
  assert b'PyFunc' not in graph
