import pytest
import tensorflow as tf

from official_repro.core import checkpoints


class _Net(tf.Module):
  """Two trunk variables and a head, named as a model's are."""

  def __init__(self, trunk=(2, 3), head=(3, 4), value=1.0):
    super().__init__()
    self.kernel = tf.Variable(tf.fill(trunk, value), name='conv1/conv/kernel')
    self.gamma = tf.Variable(tf.fill(trunk[1:], value), name='conv1/bn/gamma')
    self.fc = tf.Variable(tf.fill(head, value), name='fc/sub_00/kernel')

  @property
  def all(self):
    return [self.kernel, self.gamma, self.fc]


def _save(tmp_path, net, metadata=None, optimizer=None):
  checkpoint = tf.train.Checkpoint(
    model=net,
    optimizer=optimizer or tf.keras.optimizers.legacy.SGD(0.1),
    global_step=tf.Variable(7, dtype=tf.int64),
    position=tf.Variable(224, dtype=tf.int64),
    metadata=checkpoints.Metadata(metadata),
  )
  return checkpoint.save(str(tmp_path / 'ckpt'))


def test_weights_travel_by_name_without_slots(tmp_path):
  source = _Net(value=3.0)
  optimizer = tf.keras.optimizers.legacy.SGD(0.1, momentum=0.9)
  optimizer.apply_gradients([(tf.ones_like(v), v) for v in source.all])
  prefix = _save(tmp_path, source, optimizer=optimizer)
  target = _Net(value=0.0)
  loaded = checkpoints.load_weights(target.all, prefix)
  for a, b in zip(source.all, target.all):
    assert (a.numpy() == b.numpy()).all()
  assert len(loaded.loaded) == 3
  assert not loaded.missing
  assert not loaded.unused
  assert 'Loaded 3 variables' in loaded.report()


def test_another_head_is_left_as_initialised_and_reported(tmp_path):
  prefix = _save(tmp_path, _Net(head=(3, 9), value=3.0))
  target = _Net(value=0.0)
  loaded = checkpoints.load_weights(target.all, prefix)
  assert loaded.mismatched == [('fc/sub_00/kernel', (3, 9), (3, 4))]
  assert target.fc.numpy().sum() == 0
  assert target.kernel.numpy().min() == 3
  assert '(3, 9) -> (3, 4)' in loaded.report()


def test_head_of_another_label_space_is_not_loaded(tmp_path):
  prefix = _save(tmp_path, _Net(value=3.0))
  target = _Net(value=0.0)
  loaded = checkpoints.load_weights(target.all, prefix, use_head=False)
  assert loaded.missing == ['fc/sub_00/kernel']
  assert target.fc.numpy().sum() == 0


def test_another_trunk_fails_unless_allowed(tmp_path):
  prefix = _save(tmp_path, _Net(trunk=(5, 3), value=3.0))
  target = _Net(value=0.0)
  with pytest.raises(ValueError, match='conv1/conv/kernel') as e:
    checkpoints.load_weights(target.all, prefix)
  assert '\n' not in str(e.value)
  assert target.gamma.numpy().sum() == 0  # nothing was half loaded
  loaded = checkpoints.load_weights(target.all, prefix, allow_partial=True)
  assert set(loaded.loaded) == {'conv1/bn/gamma', 'fc/sub_00/kernel'}


def test_metadata_and_position_travel(tmp_path):
  prefix = _save(tmp_path, _Net(), {'depth': 50, 'label_space': 'abc'})
  reader = checkpoints.open_reader(prefix)
  found = checkpoints.read_metadata(reader)
  assert found == {'depth': 50, 'label_space': 'abc'}
  assert checkpoints.read_position(prefix) == 224
  checkpoints.check_metadata(found, {'depth': 50, 'label_space': 'x'}, prefix)
  with pytest.raises(ValueError, match='depth 50, the model has 101'):
    checkpoints.check_metadata(found, {'depth': 101}, prefix)


def test_find_takes_folder_prefix_and_index(tmp_path):
  prefix = _save(tmp_path, _Net())
  for path in (str(tmp_path), prefix, prefix + '.index'):
    assert checkpoints.find(path) == prefix


def test_missing_and_damaged_checkpoints_are_named(tmp_path):
  with pytest.raises(ValueError, match='holds no checkpoint'):
    checkpoints.find(str(tmp_path))
  with pytest.raises(ValueError, match='nothing-1.index is missing'):
    checkpoints.find(str(tmp_path / 'nothing-1'))
  bad = tmp_path / 'bad-1.index'
  bad.write_bytes(b'not a table')
  with pytest.raises(ValueError, match='bad-1') as e:
    checkpoints.open_reader(str(tmp_path / 'bad-1'))
  assert '\n' not in str(e.value)


def test_tensorflow_1_checkpoint_names_the_converter(tmp_path):
  with tf.Graph().as_default():
    v = tf.compat.v1.get_variable('v', [2])
    with tf.compat.v1.Session() as session:
      session.run(v.initializer)
      prefix = tf.compat.v1.train.Saver([v]).save(
        session, str(tmp_path / 'model.ckpt')
      )
  with pytest.raises(ValueError, match='import_checkpoint'):
    checkpoints.load_weights([], prefix)


def test_weights_that_are_not_finite_are_refused(tmp_path):
  prefix = _save(tmp_path, _Net(value=float('nan')))
  with pytest.raises(ValueError, match='conv1/conv/kernel:0 that are not'):
    checkpoints.load_weights(_Net().all, prefix)
