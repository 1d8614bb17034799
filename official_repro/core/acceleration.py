"""Precision, compilation and memory of the GPUs, set before the first tensor.

All three hold for the process, as Keras' own policy does.
"""

import contextlib
from collections.abc import Callable, Iterator

import tensorflow as tf

from official_repro.core import flags as core_flags

# The range of float16 is so small that gradients vanish in it unless the loss
# is scaled; bfloat16 has the range of float32.
SCALED = 'mixed_float16'

_jit_compile = False


def configure(runtime) -> None:
  """Sets what the process computes with; to be called before all else.

  Args:
    runtime: config.RuntimeConfig.

  Raises:
    ValueError: an unknown precision; settings that do not go together; or
      memory_growth comes too late, as the process already uses its GPUs.
  """
  global _jit_compile
  _check(runtime)
  _set_memory_growth(runtime.memory_growth)
  tf.keras.mixed_precision.set_global_policy(runtime.precision)
  _jit_compile = runtime.jit_compile


def compiled(function: Callable) -> Callable:
  """Returns the function, compiled by XLA where runtime.jit_compile is set.

  Its gradient is compiled with it.

  Args:
    function: of tensors whose shapes are known when a step is traced. It sends
      no message to other replicas: that must not be part of a compiled graph.
  """
  if not _jit_compile:
    return function
  return tf.function(function, jit_compile=True, autograph=False)


@contextlib.contextmanager
def in_float32() -> Iterator[None]:
  """Networks made inside compute in float32, whatever the process is set to.

  Also a decorator. For loading trained networks: weights are float32 in every
  checkpoint.
  """
  policy = tf.keras.mixed_precision.global_policy()
  tf.keras.mixed_precision.set_global_policy('float32')
  try:
    yield
  finally:
    tf.keras.mixed_precision.set_global_policy(policy)


def _check(runtime):
  if runtime.precision not in core_flags.PRECISIONS:
    raise ValueError(
      f'runtime.precision is {runtime.precision!r}; use one of '
      f'{", ".join(core_flags.PRECISIONS)}.'
    )
  if runtime.strategy != 'parameter_server':
    return
  if runtime.precision == SCALED:
    raise ValueError(
      f'runtime.precision is {SCALED}, which scales the loss, and strategy '
      'parameter_server cannot; use mixed_bfloat16 or float32.'
    )
  if runtime.jit_compile:
    raise ValueError(
      'runtime.jit_compile is true, but with strategy parameter_server the '
      'weights are on other machines, where compiled code cannot read them; '
      'leave --jit_compile out.'
    )


def _set_memory_growth(wanted):
  for gpu in tf.config.list_physical_devices('GPU'):
    if bool(tf.config.experimental.get_memory_growth(gpu)) == wanted:
      continue
    try:
      tf.config.experimental.set_memory_growth(gpu, wanted)
    except (RuntimeError, ValueError) as e:
      raise ValueError(
        f'runtime.memory_growth is {wanted}, but this process already uses '
        f'{gpu.name} with the other setting; set it to {not wanted}, or start '
        'the run in a process of its own.'
      ) from e
