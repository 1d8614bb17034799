import dataclasses

import pytest

from official_repro import experiments
from official_repro.data import records
from official_repro.data.building import plan as building_plan
from official_repro.planning import data_facts, storage

FACTS = data_facts.DataFacts(
  images=90_000,
  classes=20_000,
  given_labels=2,
  filled_labels=5,
  bytes_per_image=1000,
)
OPTIONS = {'resize': 340, 'batch': 32, 'max_labels': 64}


def test_mean_bytes_of_an_id():
  # Ids 0 to 127 take one byte, 128 to 299 two.
  assert storage.mean_id_bytes(128) == 1
  assert storage.mean_id_bytes(300) == pytest.approx((128 + 2 * 172) / 300)
  # 128 + 2 x 16,256 + 3 x 3,616.
  mean = (128 + 32_512 + 10_848) / 20_000
  assert storage.mean_id_bytes(20_000) == pytest.approx(mean)


def test_records_as_the_writer_makes_them(tmp_path):
  facts = dataclasses.replace(FACTS, images=100)
  planned = storage.make_storage(facts, **OPTIONS)
  with records.RecordWriter(tmp_path, 'train', 1) as writer:
    for i in range(facts.images):
      writer.write(
        records.Example(
          encoded=bytes(1000),
          height=340,
          width=340,
          source_id=f'{i:016d}',
          label_ids=[i, 300 + i, 3000 + i, 9000 + i, 17_000 + i],
          given_label_ids=[9000 + i, 17_000 + i],
        )
      )
  (shard,) = writer.shards
  size = (tmp_path / shard.file).stat().st_size
  # 1 + 2 + 2 + 2 + 3 + 2 + 3 bytes of ids, against 7 x 2.17.
  assert size / 100 - planned.other_bytes - 1000 == 15
  assert planned.label_bytes == pytest.approx(7 * 2.1744)
  assert planned.record_bytes == pytest.approx(size / 100, abs=1)
  offsets = next(tmp_path.glob('*.offsets')).stat().st_size
  assert planned.total_bytes == pytest.approx(size + offsets, rel=0.001)


def test_shards_as_build_records_cuts():
  planned = storage.make_storage(FACTS, **OPTIONS)
  assert planned.shards == building_plan.default_shards(90_000) == 9
  assert planned.shard_bytes == pytest.approx(10_000 * planned.record_bytes)
  few = dataclasses.replace(FACTS, images=3)
  assert storage.make_storage(few, **OPTIONS).shards == 3


def test_labels_of_a_step():
  planned = storage.make_storage(FACTS, **OPTIONS)
  assert planned.step_labels == 32 * 64 * 4
  assert planned.step_dense_labels == 32 * 20_000 * 4


def test_the_papers_data():
  facts = data_facts.of_experiment('jft300m_resnet101')
  # 375M labels on 300M images are 1.25; the paper's text has 1.26.
  assert facts.given_labels == pytest.approx(375 / 300, abs=0.02)
  planned = storage.make_storage(facts, **OPTIONS)
  # 340 x 340 x 2.4 / 8.
  assert planned.bytes_per_image == 34_680
  assert planned.shards == 30_000
  # 1.26 given and 7.56 filled labels of 2.1 bytes, about 190 bytes of keys and
  # sizes, 8 of the offset.
  each = 34_680 + 8.82 * 2.1 + 190 + 8
  assert planned.total_bytes == pytest.approx(300e6 * each, rel=0.001)


@pytest.mark.parametrize('name', experiments.EXPERIMENTS)
def test_all_presets_have_data(name):
  facts = data_facts.of_experiment(name)
  assert facts.images >= 10_000
  assert facts.classes >= 300


@pytest.mark.parametrize(
  'change, words',
  [
    ({'images': 0}, 'images is 0; give a number from 1'),
    ({'images': float('nan')}, 'images is nan'),
    ({'classes': 0}, 'classes is 0'),
    ({'bytes_per_image': 0.5}, 'bytes_per_image is 0.5'),
  ],
)
def test_bad_input(change, words):
  with pytest.raises(ValueError, match=words):
    storage.make_storage(dataclasses.replace(FACTS, **change), **OPTIONS)


def test_unknown_data():
  with pytest.raises(ValueError, match="'voc_x' is not known here: give --im"):
    data_facts.of_experiment('voc_x')
