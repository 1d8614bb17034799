"""Checkpoints: reading by variable name, the loading report, metadata.

A checkpoint of ours is a tf.train.Checkpoint with the keys `model`,
`optimizer`, `global_step`, `position` (examples consumed) and `metadata` (a
JSON text: network, preprocessing, label space). Weights are matched by the
variable names that the checkpoint's object graph carries, so a checkpoint
can be read by another network that shares some of its layers.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from official_repro.core import averaging

_GRAPH_KEY = '_CHECKPOINTABLE_OBJECT_GRAPH'
_VALUE = '/.ATTRIBUTES/VARIABLE_VALUE'
_METADATA_KEY = 'metadata/.ATTRIBUTES/py_state'
_POSITION_KEY = 'position' + _VALUE


class Metadata(tf.train.experimental.PythonState):
  """What must travel with the weights; a flat dict, saved as JSON."""

  def __init__(self, values: Optional[Mapping[str, Any]] = None):
    super().__init__()
    self.values = dict(values or {})

  def serialize(self):
    """Called by tf.train.Checkpoint when saving."""
    return json.dumps(self.values, sort_keys=True)

  def deserialize(self, string_value):
    """Called by tf.train.Checkpoint when restoring."""
    self.values = json.loads(string_value)

  def _copy_trackable_to_cpu(self, object_map):
    """Called before a checkpoint is written in the background."""
    object_map.setdefault(self, Metadata(self.values))


@dataclasses.dataclass(frozen=True)
class Loaded:
  """What happened when weights were loaded by name.

  Attributes:
    path: the checkpoint's prefix.
    loaded: names of the variables that took a value.
    missing: variables of the model that the checkpoint lacks.
    unused: names in the checkpoint that the model lacks.
    mismatched: (name, shape in the checkpoint, shape in the model).
  """

  path: str
  loaded: Sequence[str]
  missing: Sequence[str]
  unused: Sequence[str]
  mismatched: Sequence[tuple[str, tuple, tuple]]

  def report(self) -> str:
    """The same for a person: counts, and the first names of each kind."""
    lines = [f'Loaded {len(self.loaded)} variables from {self.path}']
    for title, names in (
      ('missing in the checkpoint (left as initialised)', self.missing),
      ('unused of the checkpoint', self.unused),
      (
        'of another shape (left as initialised)',
        [f'{n} {a} -> {b}' for n, a, b in self.mismatched],
      ),
    ):
      if names:
        more = ', ...' if len(names) > 4 else ''
        lines.append(f'  {len(names)} {title}: {", ".join(names[:4])}{more}')
    return '\n'.join(lines)


def find(path: str) -> str:
  """Returns the checkpoint prefix that `path` means.

  Args:
    path: a prefix such as RUN/ckpt-100, its .index file, or a folder (then the
      newest checkpoint in it).

  Raises:
    ValueError: there is none.
  """
  if tf.io.gfile.isdir(path):
    found = tf.train.latest_checkpoint(path)
    if not found:
      raise ValueError(
        f'Folder {path!r} holds no checkpoint; give a model_dir or a prefix '
        'such as RUN/ckpt-100.'
      )
    return found
  prefix = path[: -len('.index')] if path.endswith('.index') else path
  if not tf.io.gfile.exists(prefix + '.index'):
    raise ValueError(
      f'No checkpoint at {path!r} (file {prefix}.index is missing); give a '
      'model_dir or a prefix such as RUN/ckpt-100.'
    )
  return prefix


def open_reader(prefix: str):
  """tf.train.load_checkpoint with one sentence for a damaged file."""
  try:
    return tf.train.load_checkpoint(prefix)
  except (tf.errors.OpError, ValueError, RuntimeError) as e:
    text = ' '.join(str(e).split())
    raise ValueError(f'Checkpoint {prefix!r} cannot be read: {text}') from e


def read_tensor(reader, key: str, prefix: str) -> Any:
  """Returns a value as an array, with one sentence for a damaged file.

  Args:
    reader: from open_reader.
    key: in the checkpoint.
    prefix: of the checkpoint, for the message.

  Raises:
    ValueError: the file is cut short, or a checksum does not fit.
  """
  try:
    return reader.get_tensor(key)
  except Exception as e:  # errors of many kinds, IndexError among them
    text = ' '.join(str(e).split())
    raise ValueError(f'Checkpoint {prefix!r} cannot be read: {text}') from e


def weight_keys(reader, averaged: bool = False) -> dict[str, str]:
  """Maps variable names to checkpoint keys.

  Optimizer slots and counters are left out: only what hangs below `model`
  (or the root, for a checkpoint of a bare model) and is no slot counts.

  Args:
    reader: tf.train.CheckpointReader of a TF2 checkpoint.
    averaged: the keys of Polyak averages, where the checkpoint has them,
      instead of those of the weights.

  Raises:
    ValueError: not a TF2 checkpoint.
  """
  if not reader.has_tensor(_GRAPH_KEY):
    raise ValueError(
      'The checkpoint is of TensorFlow 1 (it has no object graph); convert it '
      'with python -m official_repro.import_checkpoint --format=tf_slim.'
    )
  graph = trackable_object_graph_pb2.TrackableObjectGraph()
  graph.ParseFromString(reader.get_tensor(_GRAPH_KEY))
  keys = {}
  for node in graph.nodes:
    for attribute in node.attributes:
      key = attribute.checkpoint_key
      if '.OPTIMIZER_SLOT' in key or not key.endswith(_VALUE):
        continue
      if key.split('/')[0] in ('optimizer', 'global_step', 'position'):
        continue
      keys[attribute.full_name.split(':')[0]] = key
  keys.pop('save_counter', None)
  if averaged:
    averages = _average_keys(graph)
    keys = {name: averages.get(key, key) for name, key in keys.items()}
  return keys


def _average_keys(graph):
  """{key of a weight: key of its Polyak average}."""
  key = lambda node: graph.nodes[node].attributes[0].checkpoint_key
  return {
    key(slot.original_variable_node_id): key(slot.slot_variable_node_id)
    for node in graph.nodes
    for slot in node.slot_variables
    if slot.slot_name == averaging.SLOT
  }


def read_metadata(reader) -> dict[str, Any]:
  """Returns the metadata dict, {} where the checkpoint has none."""
  if not reader.has_tensor(_METADATA_KEY):
    return {}
  return json.loads(reader.get_tensor(_METADATA_KEY))


def pixel_range(given: Sequence, model_dir: Optional[str], start: str) -> list:
  """Returns what 0 and 255 become before the first convolution.

  Args:
    given: by the configuration; if empty, the newest checkpoint of the run
      decides; else the one that the run starts from; else it is [-1, 1].
    model_dir: folder of the run, if there is one.
    start: --init_checkpoint, or empty.
  """
  own = [-1, 1]
  if given:
    return [*given]
  prefix = tf.train.latest_checkpoint(model_dir) if model_dir else None
  if not prefix and start:
    prefix = find(start)
  if not prefix:
    return own
  return read_metadata(open_reader(prefix)).get('pixel_range', own)


def read_position(prefix: str) -> int:
  """Returns the number of examples that the checkpoint has consumed."""
  reader = open_reader(prefix)
  if not reader.has_tensor(_POSITION_KEY):
    return 0
  return int(reader.get_tensor(_POSITION_KEY))


def read_weights(path: str, prefix: str = '') -> dict[str, Any]:
  """Returns {variable name: array} of the names that begin with `prefix`."""
  checkpoint = find(path)
  reader = open_reader(checkpoint)
  return {
    name: read_tensor(reader, key, checkpoint)
    for name, key in weight_keys(reader).items()
    if name.startswith(prefix)
  }


def load_weights(
  variables: Sequence[tf.Variable],
  path: str,
  *,
  head_prefix: str = 'fc/',
  use_head: bool = True,
  allow_partial: bool = False,
  averaged: bool = False,
) -> Loaded:
  """Loads weights by variable name.

  Args:
    variables: the model's variables, with stable names.
    path: see `find`.
    head_prefix: names that begin so belong to the head, which may differ.
    use_head: False leaves the head as initialised (another label space).
    allow_partial: also the trunk may differ.
    averaged: take Polyak averages where the checkpoint has them.

  Returns:
    Loaded.

  Raises:
    ValueError: a trunk variable is missing or has another shape, or a value is
      not finite.
  """
  prefix = find(path)
  reader = open_reader(prefix)
  keys = weight_keys(reader, averaged)
  shapes = reader.get_variable_to_shape_map()
  todo: list[tuple[tf.Variable, str]] = []
  missing, mismatched = [], []
  for variable in variables:
    name = variable.name.split(':')[0]
    if name not in keys or (name.startswith(head_prefix) and not use_head):
      missing.append(name)
      continue
    shape = tuple(shapes[keys[name]])
    if shape != tuple(variable.shape):
      mismatched.append((name, shape, tuple(variable.shape)))
    else:
      todo.append((variable, keys[name]))
  done = [v.name.split(':')[0] for v, _ in todo]
  names = {v.name.split(':')[0] for v in variables}
  result = Loaded(prefix, done, missing, sorted(set(keys) - names), mismatched)
  if not allow_partial:
    _check_trunk(result, head_prefix)
  for variable, key in todo:
    value = read_tensor(reader, key, prefix)
    variable.assign(_finite(value, variable.name, prefix))
  return result


def _finite(value, name, prefix):
  """Returns a weight, or tells that its run had gone wrong."""
  if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
    raise ValueError(
      f'Checkpoint {prefix!r} has values in {name} that are not finite; use an '
      'earlier one.'
    )
  return value


def initialize(
  model, path: str, *, head_prefix, use_head: bool, allow_partial: bool
) -> Loaded:
  """Loads what fits from a classifier or from a net of the model's own task.

  Args:
    model: has `variables` and `metadata()`.
    path: see `find`.
    head_prefix, use_head, allow_partial: see load_weights.

  Returns:
    The loading report.

  Raises:
    ValueError: the checkpoint is of another depth, width, stride placement or
      pixel range, or lacks variables of the trunk.
  """
  prefix = find(path)
  found = read_metadata(open_reader(prefix))
  if not allow_partial:
    check_metadata(found, model.metadata(), prefix)
  return load_weights(
    model.variables,
    prefix,
    head_prefix=head_prefix,
    use_head=use_head,
    allow_partial=allow_partial,
  )


def _check_trunk(result, head_prefix):
  bad = [n for n in result.missing if not n.startswith(head_prefix)]
  bad += [n for n, _, _ in result.mismatched if not n.startswith(head_prefix)]
  if bad:
    more = ', ...' if len(bad) > 3 else ''
    raise ValueError(
      f'Checkpoint {result.path!r} does not fit the network: {len(bad)} trunk '
      f'variables are missing or of another shape ({", ".join(bad[:3])}{more});'
      ' use the depth and width that it was trained with, or '
      '--allow_partial_init to load what fits.'
    )


def check_metadata(
  found: Mapping[str, Any], wanted: Mapping[str, Any], path: str
) -> None:
  """Checks that the network and its input are those of the checkpoint.

  Args:
    found: the checkpoint's metadata; {} passes (a foreign checkpoint).
    wanted: the model's.
    path: the checkpoint, for the message.

  Raises:
    ValueError: depth, width, stride placement or pixel range differ.
  """
  for key in ('depth', 'width', 'stride_placement', 'pixel_range'):
    if key in found and key in wanted and found[key] != wanted[key]:
      raise ValueError(
        f'Checkpoint {path!r} was trained with {key} {found[key]!r}, the model '
        f'has {wanted[key]!r}; set task.model.{key} to match, or '
        '--allow_partial_init to load what fits.'
      )
