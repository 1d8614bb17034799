"""The real 11,166-category vocabulary from its files to mAP@100."""

import csv
import json

import numpy as np
import pytest

from official_repro import experiments
from official_repro import metrics as metrics_lib
from official_repro import task as task_lib
from official_repro.core import config as config_lib
from official_repro.core import flags as core_flags
from official_repro.core import runner
from official_repro.data import mini, records, sources
from official_repro.data.building import build
from official_repro.data.label_spaces import tencent
from tests.conftest import shared_path

FOLDER = ('data', 'tencent_ml_images')


@pytest.fixture(scope='module')
def built(tmp_path_factory):
  """100 rows with their real labels, on drawn pictures: the photos are away.

  Returns the data folder and the hierarchy.
  """
  folder = tmp_path_factory.mktemp('tencent')
  dictionary = shared_path(*FOLDER, 'dictionary_and_semantic_hierarchy.txt')
  rows = shared_path(*FOLDER, 'train_im_list_tiny.txt')
  hierarchy = tencent.load_dictionary(dictionary)
  hierarchy.save(folder / 'labels.tsv')
  drawn = mini.MiniJft(seed=0, size=64)
  with open(folder / 'images.csv', 'w', newline='', encoding='utf-8') as f:
    writer = csv.writer(f)
    writer.writerow(['image', 'label_ids', 'confidence', 'split'])
    rows = tencent.read_annotations(rows, hierarchy.num_classes)
    for i, row in enumerate(rows):
      name = f'{i:03d}.jpg'
      picture = mini.encode_jpeg(drawn.example(i).image)
      (folder / name).write_bytes(picture)
      writer.writerow(
        [
          name,
          ';'.join(map(str, row.label_ids)),
          ';'.join(map(str, row.confidence)),
          'validation' if i % 10 == 0 else 'train',
        ]
      )
  source = sources.CsvSource(
    folder / 'images.csv', labels=folder / 'labels.tsv'
  )
  build.build(source, folder / 'data', processes=1)
  return folder / 'data', hierarchy


def test_map_at_100_of_the_true_labels_is_one(built):
  data, hierarchy = built
  metric = metrics_lib.MeanAveragePrecisionAtK(
    hierarchy.num_classes, 100, hierarchy.weights
  )
  for record in records.iterate_records(data, 'train'):
    ids = np.asarray(records.decode_example(record).label_ids)
    scores = np.zeros((1, hierarchy.num_classes), np.float32)
    scores[0, ids] = 1
    metric.update_state(ids[None], scores)
  assert metric.result() == 1


def test_one_step_of_the_papers_resnet50_at_11166_labels(built, tmp_path):
  data, hierarchy = built
  examples = [
    records.decode_example(r) for r in records.iterate_records(data, 'train')
  ]
  assert len(examples) == 90
  for example in examples:
    assert list(example.label_ids) == hierarchy.fill(example.given_label_ids)
  config = config_lib.resolve(
    experiments.jft300m_resnet50(),
    flag_values={
      'task.train_data.data_dir': str(data),
      'task.validation_data.data_dir': str(data),
      'task.train_data.global_batch_size': 2,
      'task.validation_data.global_batch_size': 5,
      'trainer.train_steps': 1,
      'trainer.sample_pictures': 0,
    },
  )
  options = core_flags.RunOptions(
    config, 'jft300m_resnet50', 'train_and_eval', str(tmp_path / 'run')
  )
  metrics = runner.run(options, task_lib.ClassificationTask)
  # One step from nothing is no classifier: that the number is there counts.
  assert 0 <= metrics['mAP@100'] <= 1
  assert np.isfinite(metrics['loss'])
  params = (tmp_path / 'run' / 'params.yaml').read_text()
  assert 'num_classes: 11166' in params
  line = json.loads((tmp_path / 'run' / 'metrics.jsonl').read_text())
  assert line['examples_seen'] == 2
