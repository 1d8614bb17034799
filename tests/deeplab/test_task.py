"""What the task tells the runner, and one step taken apart."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab import drawing, guard, losses
from deeplab import task as task_lib
from official_repro.data import images as images_lib
from tests.deeplab import folders, tiny


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  rows = tiny.rows()
  return folders.write(
    tmp_path_factory.mktemp('data'), train=rows, validation=rows
  )


def resolve(folder, override=''):
  config = tiny.config_for(folder, override)
  return task_lib.SegmentationTask.resolve(config)


def first_batch(task):
  return next(iter(task.build_inputs(task.task_config.train_data)))


@pytest.fixture(scope='module')
def batch(folder):
  """The first batch of any task that learns from two pictures a step."""
  return first_batch(tiny.make(folder))


def test_number_of_classes_is_the_datas_and_the_background(folder):
  assert resolve(folder).task.model.num_classes == 4
  assert resolve(folder, 'task.model.num_classes=4').task.model.num_classes == 4
  with pytest.raises(ValueError, match='num_classes is 3.* has 4 classes with'):
    resolve(folder, 'task.model.num_classes=3')


def test_crop_must_fit_the_output_stride(folder):
  with pytest.raises(ValueError, match='train_data.crop_size is 40; .* 41'):
    resolve(folder, 'task.train_data.crop_size=40')
  with pytest.raises(ValueError, match='output stride 16, such as 33'):
    resolve(
      folder,
      'task.validation_data.crop_size=41,task.model.output_stride=16',
    )


def test_other_labels_in_validation_are_told(folder, tmp_path):
  other = folders.write(tmp_path, ('cat', 'cow'), validation=tiny.rows(1))
  config = tiny.config_for(folder, **{'task.validation_data.data_dir': other})
  with pytest.raises(ValueError, match=r'different labels\.tsv'):
    task_lib.SegmentationTask.resolve(config)


def test_metadata_is_that_of_the_model(folder):
  task = tiny.make(folder, override='task.model.rates=[2,4]')
  metadata = task.metadata()
  own = task.build_model().metadata()
  assert {k: metadata[k] for k in own} == own
  assert metadata['rates'] == [2, 4]
  assert metadata['label_space'] == task.labels.hierarchy.hash()


def test_record_ids_are_those_of_the_batch(folder):
  task = tiny.make(folder, **{'task.train_data.global_batch_size': 5})
  assert sorted(task.record_ids(0)) == sorted(task.record_ids(5)) == [*'01234']
  assert task.validation_batches() == 3


@pytest.mark.parametrize('full_size', [False, True])
def test_loss_of_a_step_is_that_of_pixels_and_weights(folder, batch, full_size):
  task = tiny.make(
    folder,
    override=f'task.weight_decay=0.5,task.full_size_loss={full_size}'.lower(),
  )
  tf.keras.utils.set_random_seed(1)
  model = task.build_model()
  own = losses.segmentation_loss(
    logits=model(images_lib.normalize(batch['image']), training=True),
    labels=batch['mask'],
    full_size=full_size,
  )
  kernels = [v for v in model.trainable_variables if 'kernel' in v.name]
  decay = 0.5 * sum(float(tf.nn.l2_loss(v)) for v in kernels)
  metrics = task.build_metrics()
  found = task.train_step(
    batch, model, tf.keras.optimizers.legacy.SGD(0.0), metrics
  )
  assert float(found['loss']) == pytest.approx(float(own) + decay, rel=1e-5)
  assert float(metrics[0].result()) == pytest.approx(float(own), rel=1e-5)


def test_x10_head_moves_ten_and_twenty_times_as_far(folder, batch):
  def step(preset):
    task = tiny.make(
      folder, preset=preset, override='task.weight_decay=0.5,task.freeze=none'
    )
    config = tiny.config_for(folder, preset=preset).trainer.optimizer_config
    optimizer = task.create_optimizer(config)
    tf.keras.utils.set_random_seed(1)
    model = task.build_model()
    for bias in model.head.biases:
      bias.assign(tf.random.normal(bias.shape))
    before = {v.name: v.numpy() for v in model.trainable_variables}
    task.train_step(batch, model, optimizer)
    return {
      v.name: v.numpy() - before[v.name] for v in model.trainable_variables
    }

  plain, faster = step('voc2012_resnet101'), step('voc2012_resnet101_x10head')
  for name, value in plain.items():
    factor = 1 if not name.startswith('head/') else 20 if 'bias' in name else 10
    np.testing.assert_allclose(
      faster[name], factor * value, rtol=0.02, atol=2e-7, err_msg=name
    )
    assert value.any(), name


def test_picture_without_a_label_is_no_loss_and_no_gradient(tmp_path):
  nothing = np.full((20, 20), 255, np.uint8)
  rows = [folders.example(str(i), nothing, seed=i) for i in range(2)]
  task = tiny.make(folders.write(tmp_path, train=rows, validation=rows))
  model = task.build_model()
  before = [v.numpy() for v in model.variables]
  found = task.train_step(
    first_batch(task), model, tf.keras.optimizers.legacy.SGD(1.0)
  )
  assert float(found['loss']) == 0
  for variable, old in zip(model.variables, before):
    np.testing.assert_array_equal(variable, old)


def test_evaluation_is_the_same_alone_and_in_batches(folder):
  task = tiny.make(folder)
  tf.keras.utils.set_random_seed(3)
  model = task.build_model()
  for kernel in model.head.kernels:
    kernel.assign(tf.random.normal(kernel.shape))
  alone = tiny.evaluate(task, model, batch_size=1)
  assert 0 < alone['mIoU'] < 1
  assert tiny.evaluate(task, model, batch_size=2) == alone
  assert tiny.evaluate(task, model, batch_size=5) == alone


def test_pictures_above_the_crop_are_each_seen_at_their_own_size(tmp_path):
  sizes = ((20, 33), (41, 41), (12, 50))
  rows = [
    folders.example(f'{i}', tiny.mask(*size), seed=i)
    for i, size in enumerate(sizes)
  ]
  data = folders.write(tmp_path, train=rows, validation=rows)
  # The maps have 5 cells: larger rates would see little but padding.
  task = tiny.make(data, override='task.model.rates=[1,2]')
  tf.keras.utils.set_random_seed(2)
  model = task.build_model()
  for kernel in model.head.kernels:
    kernel.assign(tf.random.normal(kernel.shape))
  params = task.task_config.validation_data
  alone, pairs = (task.make_inputs(params, size) for size in (1, 2))
  step = lambda batch: task.validation_step(batch, model)
  expected = tiny.gathered(task, alone, step)
  found = tiny.gathered(task, pairs, step)
  np.testing.assert_array_equal(found._matrix.matrix, expected._matrix.matrix)
  # Of background and 1, three classes are found.
  assert np.count_nonzero(expected._matrix.matrix) == 6
  # The 20 x 33 picture, which alone is padded to 33 x 33, lies in one of 41 x
  # 41 there: with all of that the network would say something else.
  batch = next(iter(pairs))
  padded = model.labels(images_lib.normalize(batch['image']))
  assert np.any((step(batch)['found_labels'] != padded)[0, :20, :33])


def test_sheets_show_the_masks_and_beside_them_what_was_found(folder):
  task = tiny.make(folder)
  model = task.build_model()
  # Always 3, which the masks of the first two pictures do not have.
  for kernel, bias in zip(model.head.kernels, model.head.biases):
    kernel.assign(tf.zeros_like(kernel))
    bias.assign([0, 0, 0, 1])
  (inputs,) = task.input_sheets(2).values()
  (found,) = task.prediction_sheets(model, 2).values()
  assert inputs.dtype == found.dtype == np.uint8
  # Columns of 320 pixels with 8 around them; two lines with 20 above each.
  assert inputs.shape[1] == 2 * 328 + 8 and found.shape[1] == 3 * 328 + 8
  lines = 2 * (328 + 20) + 8  # the legend is below
  _, truth, answer = (
    found[:lines, 8 + 328 * i :][:, :320].reshape(-1, 3) for i in range(3)
  )
  count = lambda column, value: np.sum(
    (column == drawing.color_map()[value]).all(1)
  )
  # 33 x 33 and 30 x 32 pixels, enlarged eight times.
  assert count(answer, 3) == 64 * (33 * 33 + 30 * 32)
  assert not count(answer, 1) and not count(answer, 2)
  assert not count(truth, 3) and count(truth, 1) and count(truth, 2)


def test_small_batches_with_free_batch_norm_are_told_once(folder, capsys):
  free = 'task.model.freeze_batch_norm=false'

  def told(override=free, **options):
    task = tiny.make(folder, override=override, **options)
    task.make_inputs = lambda *args: None
    for _ in range(2):
      task.build_inputs(task.task_config.train_data)
      task.build_inputs(task.task_config.validation_data)
    return capsys.readouterr().err

  message = told()
  assert message.count('Warning: batch norm') == 1
  assert 'trained on 2 images a step, fewer than 16' in message
  assert '--params_override=task.model.freeze_batch_norm=true' in message
  assert not told('')
  assert not told(free + ',task.freeze=conv5')
  assert not told(**{'task.train_data.global_batch_size': 16})


def test_guard_by_its_rule():
  def told(batch_size, freeze_batch_norm=False, freeze='none', **options):
    return guard.small_batch(
      batch_size,
      freeze_batch_norm=freeze_batch_norm,
      freeze=freeze,
      **options,
    )

  assert told(15)
  assert told(15, freeze='conv4')
  assert not told(16)
  assert not told(1, freeze_batch_norm=True)
  # Two replicas take 15 images each from 30, unless they share them.
  message = told(30, replicas=2)
  assert 'on 15 images a step (each of the 2 replicas has its own)' in message
  assert 'task.model.sync_batch_norm=true, or give --batch_size=32' in message
  assert not told(32, replicas=2)
  assert not told(30, replicas=2, sync_batch_norm=True)
  message = told(15, replicas=3, sync_batch_norm=True)
  assert 'on 15 images a step, fewer' in message
  assert '--batch_size=16 or more' in message
