"""Precision, compilation, memory: what is set, and what is refused."""

import pytest
import tensorflow as tf

from official_repro.core import acceleration
from official_repro.core import config as config_lib
from tests import binaries


@pytest.fixture(autouse=True)
def process_put_back():
  yield
  acceleration.configure(config_lib.RuntimeConfig())


def configure(**fields):
  acceleration.configure(config_lib.RuntimeConfig(**fields))


def policy():
  return tf.keras.mixed_precision.global_policy().name


@pytest.mark.parametrize('precision', ['mixed_float16', 'mixed_bfloat16'])
def test_precision_becomes_the_policy(precision):
  configure(precision=precision)
  assert policy() == precision
  configure()
  assert policy() == 'float32'


@pytest.mark.parametrize(
  'fields, sentence',
  [
    (
      {'precision': 'float16'},
      "precision is 'float16'; use one of float32, mixed_float16, mixed_bfl",
    ),
    (
      {'precision': 'mixed_float16', 'strategy': 'parameter_server'},
      'scales the loss, and .* parameter_server cannot; use mixed_bfloat16',
    ),
    (
      {'jit_compile': True, 'strategy': 'parameter_server'},
      'jit_compile is true, but with strategy parameter_server',
    ),
  ],
)
def test_what_does_not_go_together_is_refused(fields, sentence):
  with pytest.raises(ValueError, match=sentence):
    configure(**fields)
  assert policy() == 'float32'


def test_flag_names_its_choices():
  done = binaries.call('official_repro.train', precision='float16')
  assert done.returncode == 1
  (line,) = done.stderr.splitlines()
  for word in ('--precision', 'float32', 'mixed_float16', 'mixed_bfloat16'):
    assert word in line


def test_loading_is_in_float32_and_leaves_the_process_as_it_is():
  @acceleration.in_float32()
  def load():
    return tf.keras.layers.Dense(1).compute_dtype

  configure(precision='mixed_bfloat16')
  assert (load(), load(), policy()) == ('float32', 'float32', 'mixed_bfloat16')
  with pytest.raises(KeyError), acceleration.in_float32():
    raise KeyError
  assert policy() == 'mixed_bfloat16'


def test_compiled_only_where_asked_for():
  assert acceleration.compiled(tf.square) is tf.square
  configure(jit_compile=True)
  square = acceleration.compiled(tf.square)
  x = tf.Variable([2.0, 3.0])
  with tf.GradientTape() as tape:
    y = square(x)
  assert y.numpy().tolist() == [4, 9]
  assert tape.gradient(y, x).numpy().tolist() == [4, 6]  # 2 x
  function = square.get_concrete_function(x).function_def
  assert function.attr['_XlaMustCompile'].b


class Machine:
  """Two GPUs whose memory has been set up, or not yet."""

  def __init__(self, monkeypatch, growth=False, in_use=False):
    gpus = [
      tf.config.PhysicalDevice(f'/physical_device:GPU:{i}', 'GPU')
      for i in range(2)
    ]
    self.growth, self._in_use = dict.fromkeys(gpus, growth), in_use
    monkeypatch.setattr(tf.config, 'list_physical_devices', lambda _: gpus)
    memory = tf.config.experimental
    monkeypatch.setattr(memory, 'get_memory_growth', self.growth.get)
    monkeypatch.setattr(memory, 'set_memory_growth', self.set)

  def set(self, gpu, wanted):
    if self._in_use:
      raise RuntimeError('Physical devices cannot be modified')
    self.growth[gpu] = wanted


@pytest.mark.parametrize('wanted', [True, False])
def test_memory_growth_of_every_gpu(monkeypatch, wanted):
  machine = Machine(monkeypatch, growth=not wanted)
  configure(memory_growth=wanted)
  assert list(machine.growth.values()) == [wanted] * 2


def test_memory_growth_that_comes_too_late(monkeypatch):
  machine = Machine(monkeypatch, in_use=True)
  with pytest.raises(ValueError, match='already uses .*GPU:0 .* set it to Fal'):
    configure()
  configure(memory_growth=False)  # as it is
  assert not any(machine.growth.values())
