"""What a user sees of bad data and flags: one sentence and exit code 1."""

import numpy as np
import pytest
import tensorflow as tf

from tests.deeplab import folders, tiny


def write(folder, train=None, validation=None):
  good = tiny.rows(2)
  return folders.write(
    folder,
    train=good if train is None else train,
    validation=good if validation is None else validation,
  )


def fails(module, *words, run=tiny.call, **options):
  done = run(f'deeplab.{module}', **options)
  assert done.returncode == 1, done.stderr
  errors = [x for x in done.stderr.splitlines() if x.startswith('Error: ')]
  assert len(errors) == 1, done.stderr
  assert done.stderr.strip().endswith(errors[0])
  assert 'Traceback' not in done.stderr
  for word in words:
    assert word in errors[0]


def test_evaluation_set_with_nothing_but_255(tmp_path):
  row = folders.example('empty', np.full((20, 30), 255, np.uint8))
  task = tiny.make(write(tmp_path, validation=[row]))
  with pytest.raises(ValueError, match=r'All 600 pixels .* 255 \(ignored\)'):
    tiny.evaluate(task, task.build_model(), batch_size=1)


def test_mask_value_above_the_classes(tmp_path):
  row = folders.example('odd-one', np.full((20, 30), 4, np.uint8))
  data = write(tmp_path / 'data', train=[row])
  options = tiny.train_options(data, tmp_path / 'run', steps=1)
  words = 'Mask value above 3', 'odd-one'
  fails('train', *words, run=tiny.process, **options)


def test_pictures_of_1x1_and_of_3000x200_are_no_matter(tmp_path):
  rows = [
    folders.example('dot', np.zeros((1, 1), np.uint8)),
    folders.example('tower', tiny.mask(3000, 200)),
  ]
  task = tiny.make(write(tmp_path, train=rows, validation=rows))
  model = task.build_model()
  batch = next(iter(task.build_inputs(task.task_config.train_data)))
  optimizer = tf.keras.optimizers.legacy.SGD(0.1)
  assert np.isfinite(task.train_step(batch, model, optimizer)['loss'])
  found = tiny.evaluate(task, model, batch_size=1)
  assert 0 <= found['mIoU'] <= 1
  found = tiny.evaluate(task, model, batch_size=2)
  assert 0 <= found['mIoU'] <= 1


def test_missing_and_unknown_flags(tmp_path):
  fails(
    'train', 'did you mean mini_voc?', experiment='mini_vocc', model_dir='x'
  )
  fails('predict', '--model_dir is missing')
  fails('export', '--output is missing', model_dir=str(tmp_path))
