"""Whoever shares the work: the same global batches, and no more is read."""

import numpy as np
import pytest
import tensorflow as tf

from official_repro.data import manifest, pipeline, reading, slices
from official_repro.data import records as records_lib
from tests.data import pipelines as base
from tests.data import test_parts

# An epoch of 37 records, in three groups; 8 steps are more than one.
BATCH, STEPS = 8, 8


@pytest.fixture(scope='module')
def split(tmp_path_factory):
  folder = tmp_path_factory.mktemp('lanes')
  base.write(folder, [base.example(i) for i in range(base.N)])
  return manifest.Dataset.load(str(folder)).split('train')


def parts_of(split):
  """None, one, two or three parts of a record: 54 examples, 37 records."""
  return test_parts.numbered(split, np.arange(base.N) % 4)


def taken(split, start, count, parts=None, **options):
  """The first `count` rows of a pipeline: (source id, part, draws)."""
  records, _ = pipeline.serialized_records(
    split,
    batch_size=BATCH,
    training=True,
    start_position=start,
    parts=parts,
    **base.GROUPS,
    **options,
  )
  rows = []
  for draws, *number, record in records.take(count):
    name = records_lib.decode_example(record.numpy()).source_id
    numbers = [int(n) for n in number]
    rows.append((name, *numbers, *draws.numpy().tolist()))
  return rows


@pytest.fixture(scope='module')
def straight(split):
  """One pipeline from the start on: {with parts: rows}."""
  count = BATCH * (STEPS + 5)
  return {
    with_parts: taken(split, 0, count, parts_of(split) if with_parts else None)
    for with_parts in (False, True)
  }


@pytest.mark.parametrize(
  'pipelines, start, with_parts',
  [(4, 24, False), (2, 40, True)],
)
def test_global_batches_do_not_depend_on_the_number_of_workers(
  split, straight, pipelines, start, with_parts
):
  own = BATCH // pipelines
  shares = [
    taken(
      split,
      start,
      STEPS * own,
      parts_of(split) if with_parts else None,
      input_context=base.context(pipelines, i, pipelines),
    )
    for i in range(pipelines)
  ]
  for step in range(STEPS):
    together = [
      row for share in shares for row in share[step * own : (step + 1) * own]
    ]
    first = start + step * BATCH
    assert together == straight[with_parts][first : first + BATCH]


def test_lanes_take_whole_batches_in_turn():
  # From position 6 on, batches of 2: 6 7 | 8 9 | 10 11 | 12 13.
  positions = tf.range(6, 14, dtype=tf.int64)
  for index, expected in enumerate([[6, 7, 12, 13], [8, 9], [10, 11]]):
    lane = tf.constant(index, tf.int64), 3
    slice_of, size = slices.slicer(2, 6, base.context(1, 0, 1), lane)
    assert positions[slice_of(positions)].numpy().tolist() == expected
    assert size == 2


def test_a_worker_with_two_devices_halves_its_batches():
  slice_of, size = slices.slicer(4, 0, base.context(1, 0, 2), (1, 2))
  positions = tf.range(16, dtype=tf.int64)
  assert positions[slice_of(positions)].numpy().tolist() == [
    *(4, 5, 6, 7),
    *(12, 13, 14, 15),
  ]
  assert size == 2


def test_there_is_one_lane_without_parameter_servers():
  assert slices.lane() == (0, 1)
  with tf.distribute.OneDeviceStrategy('CPU:0').scope():
    assert tf.function(
      lambda: tf.constant(slices.lane())
    )().numpy().tolist() == [0, 1]


def test_a_resume_near_the_end_of_an_epoch_reads_one_group(
  split, straight, monkeypatch
):
  read, groups = reading.read_shards, []

  def count_and_read(paths, sizes, *selections):
    tf.numpy_function(
      lambda names, counts: groups.append((sorted(names), counts.sum())),
      [paths, sizes],
      [],
    )
    return read(paths, sizes, *selections)

  monkeypatch.setattr(reading, 'read_shards', count_and_read)
  start = 2 * base.N - 2
  rows = taken(split, start, 2)
  assert rows == straight[False][start : start + 2]
  # The last group of an epoch is one shard of five; the next one is read ahead.
  (names, records), *ahead = groups
  assert len(names) == 1 and records in (7, 8)
  assert len(ahead) <= 1
