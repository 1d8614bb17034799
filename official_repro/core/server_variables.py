"""The variables of a ParameterServerStrategy: placed by size, read once."""

import contextlib
import math
import re
from collections.abc import Iterable

import tensorflow as tf

# Not public; nothing public shares the reads of a step.
from tensorflow.python.distribute import distribute_utils

from official_repro.core import placement

_SERVER = re.compile(r'/job:ps/replica:\d+/task:(\d+)')


@contextlib.contextmanager
def placed_by_size(strategy: tf.distribute.Strategy):
  """Within it, new variables go to the server that holds the fewest bytes.

  The strategy itself takes its servers in turn, whatever the variables weigh.
  To be entered inside `strategy.scope()`. Slots of an optimizer stay beside
  their variables. Other strategies are left as they are.
  """
  if not isinstance(strategy, tf.distribute.ParameterServerStrategy):
    yield
    return
  extended = strategy.extended
  # The only use of the strategy's own fields; there is no public way.
  loads = placement.Loads(extended._num_ps)

  def creator(next_creator, **kwargs):
    if kwargs.get('colocate_with') is None:
      extended._variable_count = loads.add(_bytes(kwargs))
    return next_creator(**kwargs)

  with tf.variable_creator_scope(creator):
    yield


def _bytes(kwargs):
  """Returns the size of a variable that is about to be made; 0: not known."""
  initial, shape = kwargs.get('initial_value'), kwargs.get('shape')
  if shape is None:
    shape = getattr(initial, 'shape', None)
  dtype = kwargs.get('dtype') or getattr(initial, 'dtype', tf.float32)
  shape = tf.TensorShape(shape)
  if not shape.is_fully_defined():
    return 0
  return math.prod(shape.as_list()) * tf.dtypes.as_dtype(dtype).size


@contextlib.contextmanager
def read_once(variables: Iterable[tf.Variable]):
  """Within it, each variable is sent from its server to the worker only once.

  Without it every read fetches the variable again: weight decay, which is a
  part of the loss, would make the worker pull all weights twice. To be entered
  around what is computed from one state of the variables. The first read of
  each must not be inside of a nested tf.function or tf.cond, whose tensors end
  with it. Workers with several GPUs fetch each time, as each replica has a tape
  of its own. Other strategies are left as they are.

  Args:
    variables: all that are read within.
  """
  strategy = tf.distribute.get_strategy()
  if (
    not isinstance(strategy, tf.distribute.ParameterServerStrategy)
    or strategy.num_replicas_in_sync > 1
  ):
    yield
    return
  with distribute_utils.cache_variable_reads():
    # Scopes are counted by thread, and each trace of a step has a thread of its
    # own: it would take the tensors of an earlier trace for its own.
    count = distribute_utils.caching_scope_local.new_cache_scope_count
    for variable in variables:
      # Mixed precision wraps what the strategy has made.
      variable = getattr(variable, '_variable', variable)
      variable._cache = None
      variable._current_new_cache_scope_count = count
    yield


def by_server(variables: Iterable[tf.Variable]) -> dict[int, list]:
  """Returns {number of the server: its variables}; others are left out."""
  found: dict[int, list] = {}
  for variable in variables:
    match = _SERVER.search(variable.device)
    if match:
      found.setdefault(int(match[1]), []).append(variable)
  return dict(sorted(found.items()))


def table(variables: Iterable[tf.Variable]) -> str:
  """Returns what each server holds, a line each.

  Args:
    variables: the network's and the optimizer's.
  """
  rows = [
    (f'ps {server}', len(held), sum(_size(v) for v in held))
    for server, held in by_server(variables).items()
  ]
  rows.append(('all', sum(r[1] for r in rows), sum(r[2] for r in rows)))
  lines = [f'{"server":8s}{"variables":>10s}{"bytes":>16s}']
  lines += [f'{name:8s}{count:10,d}{size:16,d}' for name, count, size in rows]
  return '\n'.join(lines)


def _size(variable):
  return variable.shape.num_elements() * variable.dtype.size
