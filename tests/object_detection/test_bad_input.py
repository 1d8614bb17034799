"""What a user sees of bad data and flags: one sentence and exit code 1."""

from tests.object_detection import tiny

BOX = (0.25, 0.25, 0.75, 0.75)


def fails(module, *words, run=tiny.call, **options):
  done = run(f'object_detection.{module}', **options)
  assert done.returncode == 1, done.stderr
  errors = [x for x in done.stderr.splitlines() if x.startswith('Error: ')]
  assert len(errors) == 1, done.stderr
  assert done.stderr.strip().endswith(errors[0])
  assert 'Traceback' not in done.stderr
  for word in words:
    assert word in errors[0]


def build(folder, train=None, validation=None):
  good = [tiny.example(f'good{i}', [BOX], seed=i) for i in range(2)]
  return tiny.write(
    folder,
    train=good if train is None else train,
    validation=good if validation is None else validation,
  )


def test_wrong_record_in_training(tmp_path):
  rows = [tiny.example('odd-one', [BOX], [9])]
  data = build(tmp_path / 'data', train=rows)
  options = tiny.train_options(data, tmp_path / 'run')
  words = 'Box label outside 1..3', 'odd-one'
  fails('train', *words, run=tiny.process, **options)


def test_evaluation_split_without_any_object(tmp_path):
  data = build(tmp_path / 'data', validation=[tiny.example('nothing')])
  options = tiny.train_options(data, tmp_path / 'run', steps=1)
  fails('train', 'object', **options)


def test_evaluation_split_without_records(tmp_path):
  data = build(tmp_path / 'data')
  options = tiny.train_options(
    data, tmp_path / 'run', override='task.validation_data.split=test'
  )
  fails('train', "'test'", 'train, validation', **options)


def test_unknown_class(tmp_path):
  data = build(tmp_path / 'data')
  options = tiny.train_options(
    data, tmp_path / 'run', override='task.classes=[brid]'
  )
  fails('train', 'brid', **options)


def test_checkpoint_of_another_depth(tmp_path):
  data = build(tmp_path / 'data')
  path = tiny.save_classifier(tmp_path / 'other', depth=26)
  options = tiny.train_options(data, tmp_path / 'run', init_checkpoint=path)
  fails('train', 'depth 26, the model has 14', **options)


def test_missing_and_unknown_flags(tmp_path):
  fails('train', '--experiment is missing')
  fails(
    'train', 'did you mean mini_coco?', experiment='mini_cocoo', model_dir='x'
  )
  fails('predict', '--model_dir is missing')
  fails('export', '--output is missing', model_dir=str(tmp_path))
