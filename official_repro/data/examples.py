"""One labelled picture and its TFRecord form (tf.train.Example).

The keys are Model Garden's. The message is declared here, wire-compatible with
tf.train.Example, so that the processes which make records start without
TensorFlow. Glossary: N objects, K keypoints of an object.
"""

import dataclasses
import functools
from typing import Optional

import numpy as np
from google.protobuf import (
  descriptor_pb2,
  descriptor_pool,
  message,
  message_factory,
)

_BOX_SIDES = ('ymin', 'xmin', 'ymax', 'xmax')
_KEYPOINT_PARTS = ('y', 'x', 'visibility')


@dataclasses.dataclass
class Example:
  """One picture with its labels; what is None or empty is left out.

  Attributes:
    encoded: JPEG or PNG file, 8 bits per channel, grey or RGB, upright.
    height: pixels.
    width: pixels.
    source_id: unique in its split.
    label_ids: image labels after the hierarchy's fill-in.
    given_label_ids: image labels before it.
    confidence: float per entry of `label_ids`, or None.
    boxes: float32 [N, 4], ymin, xmin, ymax, xmax from 0 to 1, or None.
    box_labels: int [N], from 1 (0 is the background), or None.
    is_crowd: int or bool [N], or None.
    area: float32 [N], square pixels, or None.
    segmentation_png: PNG file of class indices, or None.
    keypoints: float32 [N, K, 3], y and x from 0 to 1 and visibility 0, 1 or 2,
      or None.
  """

  encoded: bytes
  height: int
  width: int
  source_id: str
  label_ids: list = dataclasses.field(default_factory=list)
  given_label_ids: list = dataclasses.field(default_factory=list)
  confidence: Optional[list] = None
  boxes: Optional[np.ndarray] = None
  box_labels: Optional[np.ndarray] = None
  is_crowd: Optional[np.ndarray] = None
  area: Optional[np.ndarray] = None
  segmentation_png: Optional[bytes] = None
  keypoints: Optional[np.ndarray] = None


def encode_example(example: Example) -> bytes:
  """Returns the serialised tf.train.Example, the same bytes every time.

  Raises:
    ValueError: fields that do not agree in length, an empty image or source
      id, or a box label below 1; names the source id.
  """
  _check(example)
  proto = _example_class()()
  _put(proto, 'image/encoded', 'bytes', [example.encoded])
  _put(proto, 'image/height', 'int64', [int(example.height)])
  _put(proto, 'image/width', 'int64', [int(example.width)])
  _put(proto, 'image/source_id', 'bytes', [example.source_id.encode()])
  _put(proto, 'image/class/label', 'int64', example.label_ids)
  _put(proto, 'image/class/given_label', 'int64', example.given_label_ids)
  if example.confidence is not None:
    _put(proto, 'image/class/confidence', 'float', example.confidence)
  if example.segmentation_png is not None:
    _put(
      proto,
      'image/segmentation/class/encoded',
      'bytes',
      [example.segmentation_png],
    )
  if example.boxes is not None:
    _put_objects(proto, example)
  return proto.SerializeToString(deterministic=True)


def decode_example(serialized: bytes) -> Example:
  """Returns the Example of a serialised tf.train.Example.

  Raises:
    ValueError: the bytes are no tf.train.Example, or a required key is absent.
  """
  proto = _example_class()()
  try:
    proto.ParseFromString(serialized)
  except message.DecodeError as e:
    raise ValueError(f'The record is no tf.train.Example: {e}.') from e
  get = lambda key, kind: _get(proto, key, kind)
  example = Example(
    encoded=_required(proto, 'image/encoded', 'bytes'),
    height=_required(proto, 'image/height', 'int64'),
    width=_required(proto, 'image/width', 'int64'),
    source_id=_required(proto, 'image/source_id', 'bytes').decode(),
    label_ids=get('image/class/label', 'int64') or [],
    given_label_ids=get('image/class/given_label', 'int64') or [],
    confidence=get('image/class/confidence', 'float'),
  )
  png = get('image/segmentation/class/encoded', 'bytes')
  example.segmentation_png = png[0] if png else None
  sides = [get(f'image/object/bbox/{side}', 'float') for side in _BOX_SIDES]
  if sides[0] is not None:
    _get_objects(proto, example, sides)
  return example


def _check(example):
  def require(condition, what):
    if not condition:
      raise ValueError(f'Example {example.source_id!r}: {what}.')

  require(example.source_id, 'the source id is empty')
  require(example.encoded, 'the image is empty')
  require(
    example.height > 0 and example.width > 0,
    f'height and width must be positive, got {example.height} x '
    f'{example.width}',
  )
  n_labels = len(example.label_ids)
  require(
    example.confidence is None or len(example.confidence) == n_labels,
    f'confidence must have one entry per label ({n_labels})',
  )
  fields = ('box_labels', 'is_crowd', 'area', 'keypoints')
  if example.boxes is None:
    for field in fields:
      require(getattr(example, field) is None, f'{field} without boxes')
    return
  boxes = np.asarray(example.boxes)
  require(
    boxes.ndim == 2 and boxes.shape[1] == 4,
    f'boxes must be [N, 4], got {boxes.shape}',
  )
  for field in fields:
    value = getattr(example, field)
    require(
      value is None or len(value) == len(boxes),
      f'{field} must have one entry per box ({len(boxes)})',
    )
  require(example.box_labels is not None, 'boxes without box_labels')
  require(np.all(np.asarray(example.box_labels) >= 1), 'box_labels start at 1')


def _put_objects(proto, example):
  boxes = np.asarray(example.boxes, np.float32)
  for column, side in enumerate(_BOX_SIDES):
    _put(proto, f'image/object/bbox/{side}', 'float', boxes[:, column])
  _put(proto, 'image/object/class/label', 'int64', example.box_labels)
  if example.is_crowd is not None:
    _put(proto, 'image/object/is_crowd', 'int64', example.is_crowd)
  if example.area is not None:
    _put(proto, 'image/object/area', 'float', example.area)
  if example.keypoints is not None:
    parts = np.asarray(example.keypoints, np.float32).reshape(-1, 3)
    for column, part in enumerate(_KEYPOINT_PARTS):
      kind = 'int64' if part == 'visibility' else 'float'
      _put(proto, f'image/object/keypoint/{part}', kind, parts[:, column])


def _get_objects(proto, example, sides):
  get = lambda key, dtype, kind: (
    None
    if (values := _get(proto, f'image/object/{key}', kind)) is None
    else np.array(values, dtype)
  )
  example.boxes = np.stack([np.array(s, np.float32) for s in sides], axis=1)
  example.box_labels = get('class/label', np.int64, 'int64')
  example.is_crowd = get('is_crowd', np.int64, 'int64')
  example.area = get('area', np.float32, 'float')
  parts = [
    get(
      f'keypoint/{part}',
      np.float32,
      'int64' if part == 'visibility' else 'float',
    )
    for part in _KEYPOINT_PARTS
  ]
  n = len(example.boxes)
  if parts[0] is not None and n:
    example.keypoints = np.stack(parts, axis=-1).reshape(n, -1, 3)


def _put(proto, key, kind, values):
  target = getattr(proto.features.feature[key], f'{kind}_list').value
  cast = {'bytes': bytes, 'int64': int, 'float': float}[kind]
  target.extend(map(cast, values))


def _get(proto, key, kind):
  """Returns the list under a key, or None when the key is absent."""
  # Indexing a proto map would insert the key.
  if key not in proto.features.feature:
    return None
  return list(getattr(proto.features.feature[key], f'{kind}_list').value)


def _required(proto, key, kind):
  values = _get(proto, key, kind)
  if not values:
    raise ValueError(f'The record has no {key}: build the data set again.')
  return values[0]


def _declare_messages():
  """Declares Example, Features and Feature as tensorflow/core/example does."""
  field_type = descriptor_pb2.FieldDescriptorProto
  one, many = field_type.LABEL_OPTIONAL, field_type.LABEL_REPEATED
  file = descriptor_pb2.FileDescriptorProto(
    name='official_repro/example.proto',
    package='official_repro',
    syntax='proto3',
  )

  def add_message(parent, name, *fields):
    declared = parent.add(name=name)
    for number, (field, label, kind) in enumerate(fields, start=1):
      is_message = isinstance(kind, str)
      declared.field.add(
        name=field,
        number=number,
        label=label,
        type=field_type.TYPE_MESSAGE if is_message else kind,
        type_name=f'.official_repro.{kind}' if is_message else None,
      )
    return declared

  messages = file.message_type
  lists = {
    'bytes': ('BytesList', field_type.TYPE_BYTES),
    'float': ('FloatList', field_type.TYPE_FLOAT),
    'int64': ('Int64List', field_type.TYPE_INT64),
  }
  for name, kind in lists.values():
    add_message(messages, name, ('value', many, kind))
  feature = add_message(
    messages,
    'Feature',
    *((f'{kind}_list', one, name) for kind, (name, _) in lists.items()),
  )
  feature.oneof_decl.add(name='kind')
  for field in feature.field:
    field.oneof_index = 0
  features = add_message(
    messages, 'Features', ('feature', many, 'Features.FeatureEntry')
  )
  entry = add_message(
    features.nested_type,
    'FeatureEntry',
    ('key', one, field_type.TYPE_STRING),
    ('value', one, 'Feature'),
  )
  entry.options.map_entry = True
  add_message(messages, 'Example', ('features', one, 'Features'))
  return file


@functools.cache
def _example_class():
  # A pool of its own: TensorFlow registers the same messages in the default.
  pool = descriptor_pool.DescriptorPool()
  pool.Add(_declare_messages())
  descriptor = pool.FindMessageTypeByName('official_repro.Example')
  return message_factory.GetMessageClass(descriptor)
