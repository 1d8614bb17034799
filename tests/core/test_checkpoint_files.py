import os
import resource
import signal

import pytest
import tensorflow as tf

# Called once a write's files lie in its temporary folder.
from tensorflow.python.ops import gen_io_ops

from official_repro.core import checkpoint_files, checkpoints, model_dir
from tests import tiny


def save(folder, *steps, **options):
  """Writes ckpt-STEP of one variable whose value is the step."""
  weight = tf.Variable(tf.zeros([1000]), name='weight')
  step = tf.Variable(0, dtype=tf.int64)
  tracked = tf.train.Checkpoint(
    weight=weight, step=step, metadata=checkpoints.Metadata({'depth': 14})
  )
  manager = checkpoint_files.Manager(
    tracked, str(folder), resume=None, max_to_keep=5, step_counter=step
  )
  for number in steps:
    step.assign(number)
    weight.assign(tf.fill([1000], float(number)))
    manager.save(checkpoint_number=number, **options)
  manager.sync()
  return tracked, manager


def cut(folder, step, name='data-00000-of-00001'):
  path = folder / f'ckpt-{step}.{name}'
  path.write_bytes(path.read_bytes()[:-100])


def test_nothing_there(tmp_path):
  assert checkpoint_files.newest_whole(str(tmp_path)) is None
  assert checkpoint_files.newest_whole(str(tmp_path / 'none')) is None


def test_the_newest_by_number(tmp_path):
  save(tmp_path, 2, 10, 9)
  assert checkpoint_files.newest_whole(str(tmp_path)).endswith('ckpt-10')


def test_a_damaged_one_is_passed_over(tmp_path, capsys):
  save(tmp_path, 1, 2, 3)
  cut(tmp_path, 3)
  (tmp_path / 'ckpt-2.index').write_bytes(b'')
  assert checkpoint_files.newest_whole(str(tmp_path)).endswith('ckpt-1')
  told = capsys.readouterr().err.splitlines()
  assert ['ckpt-3' in told[0], 'ckpt-2' in told[1]] == [True, True]
  assert all('the one before it is used' in line for line in told)


def test_a_changed_byte_is_found(tmp_path):
  save(tmp_path, 1)
  path = tmp_path / 'ckpt-1.data-00000-of-00001'
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)
  damage = checkpoint_files.what_is_damaged(str(tmp_path / 'ckpt-1'))
  assert damage is not None


def test_without_an_index_it_does_not_count(tmp_path):
  save(tmp_path, 1, 2)
  os.remove(tmp_path / 'ckpt-2.index')
  assert checkpoint_files.newest_whole(str(tmp_path)).endswith('ckpt-1')


def test_the_list_of_checkpoints_may_be_damaged(tmp_path):
  # TensorFlow alone would find nothing then, and start anew.
  save(tmp_path, 1, 2)
  (tmp_path / 'checkpoint').write_text('')
  assert model_dir.resume_from(str(tmp_path), 'must').endswith('ckpt-2')


def test_all_damaged(tmp_path):
  save(tmp_path, 1, 2)
  cut(tmp_path, 1)
  cut(tmp_path, 2)
  with pytest.raises(ValueError, match='holds 2 checkpoints, and none can'):
    model_dir.resume_from(str(tmp_path), 'auto')


def test_leftovers_are_removed(tmp_path):
  save(tmp_path, 1)
  left = tmp_path / 'ckpt-2_temp'
  left.mkdir()
  (left / 'part-00000-of-00001.data-00000-of-00001').write_bytes(b'half')
  checkpoint_files.remove_leftovers(str(tmp_path))
  assert not left.exists()
  assert checkpoint_files.newest_whole(str(tmp_path)).endswith('ckpt-1')


def test_a_kill_during_a_write(tmp_path, monkeypatch):
  tracked, manager = save(tmp_path, 1)
  tracked.weight.assign(tf.fill([1000], 2.0))

  def die(*args, **kwargs):
    del args, kwargs
    os.kill(os.getpid(), signal.SIGKILL)

  monkeypatch.setattr(gen_io_ops, 'merge_v2_checkpoints', die)
  child = os.fork()  # a process of its own would import TensorFlow anew
  if not child:
    try:
      signal.alarm(600)
      manager.save(checkpoint_number=2)
    finally:
      os._exit(0)
  assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
  (left,) = tmp_path.glob('ckpt-2*')
  assert left.name == 'ckpt-2_temp'
  assert {p.suffix for p in left.iterdir()} == {
    '.data-00000-of-00001',
    '.index',
  }
  assert checkpoint_files.newest_whole(str(tmp_path)).endswith('ckpt-1')
  checkpoint_files.remove_leftovers(str(tmp_path))
  assert not left.exists()


def test_it_starts_from_what_it_is_told(tmp_path):
  save(tmp_path, 1, 2)
  tracked, _ = save(tmp_path / 'other')
  manager = checkpoint_files.Manager(
    tracked,
    str(tmp_path / 'other'),
    resume=str(tmp_path / 'ckpt-1'),
    max_to_keep=1,
    step_counter=tracked.step,
    checkpoint_interval=1,
  )
  assert manager.restore_or_initialize().endswith('ckpt-1')
  assert tracked.weight.numpy()[0] == 1
  assert manager.save(checkpoint_number=1) is None  # it is there already
  tracked.step.assign(2)
  assert manager.save(checkpoint_number=2)
  # Those of the other folder are not its own to remove.
  assert (tmp_path / 'ckpt-1.index').exists()


def test_in_the_background_the_same_is_written(tmp_path, caplog):
  save(tmp_path / 'a', 1, 2)
  save(
    tmp_path / 'b', 1, 2, options=tf.train.CheckpointOptions(enable_async=True)
  )
  assert 'skipped' not in caplog.text
  for step in (1, 2):
    a, b = (
      checkpoints.open_reader(str(tmp_path / f / f'ckpt-{step}')) for f in 'ab'
    )
    assert checkpoints.read_metadata(b) == {'depth': 14}
    assert checkpoints.weight_keys(a) == checkpoints.weight_keys(b)
    for key in a.get_variable_to_shape_map():
      # save_counter only counts the saves of a process.
      if not key.startswith(('_CHECKPOINTABLE', 'save_counter')):
        assert tf.reduce_all(a.get_tensor(key) == b.get_tensor(key)), key


def test_a_full_disk(tmp_path):
  """The run ends with a sentence; started again, the one before is used."""
  data = tiny.build(tmp_path / 'data', images=24)
  run = tmp_path / 'run'

  def train(steps):
    return tiny.call(
      'train', **tiny.train_options(data, run, steps=steps, mode='train')
    )

  assert train(4).returncode == 0
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  size = (run / 'ckpt-4.data-00000-of-00001').stat().st_size
  resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
  try:
    done = train(8)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
  assert done.returncode == 1
  assert 'ckpt-8' in done.stderr.splitlines()[-1]
  assert checkpoint_files.newest_whole(str(run)).endswith('ckpt-4')
  done = train(8)
  assert done.returncode == 0, done.stderr
  assert 'at step 4.' in done.stdout
  assert not list(run.glob('*_temp'))
