"""What the task tells the runner, and one step taken apart."""

import numpy as np
import pytest
import tensorflow as tf

from object_detection import experiments, host_evaluation, label_space
from object_detection import task as task_lib
from official_repro.core import config as config_lib
from official_repro.data import hierarchy as hierarchy_lib
from official_repro.data import images as images_lib
from tests.object_detection import tiny

BOX = (0.25, 0.25, 0.75, 0.75)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  rows = [tiny.example(f'{i}', [BOX], [i % 3 + 1], seed=i) for i in range(5)]
  return tiny.write(
    tmp_path_factory.mktemp('data'), train=rows, validation=rows
  )


def config_for(folder, override='', **flags):
  config = config_lib.resolve(
    experiments.mini_coco(),
    params_override=tiny.OVERRIDE + (',' + override if override else ''),
    flag_values={
      'task.train_data.data_dir': folder,
      'task.validation_data.data_dir': folder,
      'task.train_data.global_batch_size': 2,
      **flags,
    },
  )
  return task_lib.DetectionTask.resolve(config)


def make(folder, **options):
  return task_lib.DetectionTask(config_for(folder, **options).task)


def first_batch(task):
  return next(iter(task.build_inputs(task.task_config.train_data)))


def test_number_of_classes_comes_from_the_data(folder):
  assert config_for(folder).task.model.num_classes == 3
  chosen = config_for(folder, override='task.classes=[dog]')
  assert chosen.task.model.num_classes == 1
  with pytest.raises(ValueError, match='num_classes is 7.* has 3 categories'):
    config_for(folder, override='task.model.num_classes=7')


def test_metadata_is_that_of_the_model(folder):
  task = make(folder)
  metadata = task.metadata()
  own = task.build_model().metadata()
  assert {k: metadata[k] for k in own} == own
  assert metadata['category_ids'] == [1, 2, 3]


def test_unknown_metric_is_told(folder):
  with pytest.raises(ValueError, match="task.metric is 'kitti'; use one of"):
    config_for(folder, override='task.metric=kitti')


def test_other_labels_in_validation_are_told(folder, tmp_path):
  row = tiny.example('x', [BOX])
  other = tiny.write(tmp_path, names=('cat', 'cow'), validation=[row])
  with pytest.raises(ValueError, match=r'different labels\.tsv'):
    config_for(folder, **{'task.validation_data.data_dir': other})


def test_record_ids_are_those_of_the_batch(folder):
  task = make(folder)
  assert len(task.record_ids(0)) == 2
  epoch = [i for p in range(0, 10, 2) for i in task.record_ids(p)]
  assert sorted(epoch[:5]) == sorted(epoch[5:]) == list('01234')
  assert task.validation_batches() == 2


def test_loss_of_a_step_is_the_sum_of_its_parts(folder):
  task = make(folder, override='task.weight_decay=0.5')
  tf.keras.utils.set_random_seed(1)
  model = task.build_model()
  batch = first_batch(task)
  parts = model.losses_for(
    images_lib.normalize(batch['image']),
    batch['image_size'],
    batch['boxes'],
    batch['classes'],
    batch['valid'],
    seed=batch['seed'],
    options=task_lib.model_lib.Sampling(64, 0.5, 16, 0.5),
  )
  assert set(parts) == set(task_lib.LOSSES)
  kernels = [v for v in model.trainable_variables if 'kernel' in v.name]
  decay = 0.5 * sum(float(tf.nn.l2_loss(v)) for v in kernels)
  metrics = task.build_metrics()
  optimizer = tf.keras.optimizers.legacy.SGD(0.0)
  found = task.train_step(batch, model, optimizer, metrics)
  expected = sum(float(v) for v in parts.values()) + decay
  assert float(found['loss']) == pytest.approx(expected, rel=1e-5)
  for metric in metrics:
    assert float(metric.result()) == pytest.approx(
      float(parts[metric.name]), rel=1e-5
    )


def test_picture_without_objects_has_a_loss_and_gradients(tmp_path):
  rows = [tiny.example(str(i), seed=i) for i in range(2)]
  rows.append(tiny.example('one', [BOX]))
  task = make(tiny.write(tmp_path, train=rows[:2], validation=rows))
  model = task.build_model()
  batch = first_batch(task)
  assert not batch['valid'].numpy().any()
  before = [v.numpy() for v in model.trainable_variables]
  loss = task.train_step(batch, model, tf.keras.optimizers.legacy.SGD(0.1))
  assert np.isfinite(loss['loss'])
  moved = [
    v.name
    for v, old in zip(model.trainable_variables, before)
    if np.any(v.numpy() != old)
  ]
  assert 'rpn/objectness/kernel:0' in moved
  assert all(np.isfinite(v).all() for v in model.variables)


LABELS = label_space.LabelSpace(
  hierarchy_lib.Hierarchy.flat(['cat', 'dog']), [17, 90], np.arange(3)
)


def batch_of(names, found_boxes, scores=(0.9,), classes=(2,), crowd=False):
  """Images of 100 x 200 pixels, seen at half the size, with one dog."""
  count = len(names)
  number = len(scores)
  source_id = np.zeros((count, 16), np.uint8)
  for i, name in enumerate(names):
    source_id[i, : len(name)] = list(name.encode())
  same = lambda value: np.array([value] * count)
  return {
    'source_id': source_id,
    'image_size': same([50, 100]),
    'original_size': same([100, 200]),
    'boxes': same([[10.0, 20.0, 30.0, 40.0], [0, 0, 0, 0]]),
    'classes': same([2, 0]),
    'valid': same([True, False]),
    'is_crowd': same([crowd, False]),
    'area': same([1600.0, 0.0]),
    'found_boxes': same(found_boxes).astype(np.float32),
    'found_classes': same(classes),
    'found_scores': same(scores).astype(np.float32),
    'found_count': same(number),
  }


def test_detections_are_measured_in_original_pixels(tmp_path):
  state = host_evaluation.HostEvaluation(LABELS)
  state.add(batch_of(['7', '12'], [[10, 20, 30, 40]]))
  assert state.metrics()['AP'] == pytest.approx(1.0)
  # Area 1,600 is medium: 32^2 to 96^2 pixels.
  assert state.metrics()['AP_medium'] == pytest.approx(1.0)
  assert state.metrics()['AP_small'] == -1
  state.save(str(tmp_path), 'val')
  first, second = state.results()
  assert first == {
    'image_id': 7,
    'category_id': 90,
    'bbox': [40.0, 20.0, 40.0, 40.0],
    'score': pytest.approx(0.9),
  }
  assert second['image_id'] == 12
  assert (tmp_path / 'detections-val.json').exists()
  assert 'dog' in (tmp_path / 'classes-val.txt').read_text()


def test_image_ids_stay_text_unless_all_are_numbers():
  state = host_evaluation.HostEvaluation(LABELS)
  state.add(batch_of(['7', 'x1'], [[10, 20, 30, 40]]))
  assert [r['image_id'] for r in state.results()] == ['7', 'x1']


def test_padding_of_detections_does_not_count():
  batch = batch_of(['a'], [[10, 20, 30, 40], [0, 0, 0, 0]], (0.9, 0.0), (2, 0))
  batch['found_count'] = np.array([1])
  state = host_evaluation.HostEvaluation(LABELS)
  state.add(batch)
  assert len(state.results()) == 1


def test_voc_counts_difficult_objects_as_nothing():
  state = host_evaluation.HostEvaluation(LABELS, 'voc')
  state.add(batch_of(['a'], [[10, 20, 30, 40]]))
  state.add(batch_of(['b'], [[0, 0, 5, 5]], scores=(0.1,), crowd=True))
  # The one wrong detection comes after the one right.
  assert state.metrics()['mAP'] == pytest.approx(1.0)
  assert len(state.results()) == 2


def test_empty_evaluation_set_is_one_sentence():
  state = host_evaluation.HostEvaluation(LABELS)
  with pytest.raises(ValueError, match=r'[Nn]o |none|has no'):
    state.metrics()
  batch = batch_of(['a'], [[10, 20, 30, 40]])
  batch['valid'] = np.zeros((1, 2), bool)
  state.add(batch)
  with pytest.raises(ValueError, match='object'):
    state.metrics()


def test_sheets_are_pictures(folder):
  task = make(folder)
  model = task.build_model()
  (inputs,) = task.input_sheets(3).values()
  (found,) = task.prediction_sheets(model, 3).values()
  for sheet in (inputs, found):
    assert sheet.dtype == np.uint8
    assert sheet.ndim == 3
    assert min(sheet.shape[:2]) > 300
