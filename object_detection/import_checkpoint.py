r"""Converts a TF Object Detection API checkpoint to ours.

python -m object_detection.import_checkpoint --format=tf_object_detection \
      --depth=50 --input=DIR/model.ckpt --output=DIR/ckpt

Reads the Faster R-CNN ResNet checkpoints of its public model zoo
(faster_rcnn_resnet50_coco, faster_rcnn_resnet101_coco and so on), and those
that its training writes. The result goes wherever --init_checkpoint is asked
for. These networks want pixels in 0..255 less the mean colour; that is
recorded in the checkpoint and our detector then does the same. In the zoo's
COCO models a class is a COCO category id (1..90).
"""

import os

from absl import flags

from official_repro.core import flags as core_flags

DEPTHS = (50, 101, 152)


def define_flags():
  """Defines the flags of this binary."""
  d = flags
  d.DEFINE_enum(
    'format',
    'tf_object_detection',
    ['tf_object_detection'],
    'The foreign format.',
  )
  d.DEFINE_string('input', None, 'Checkpoint prefix, or the folder it is in.')
  d.DEFINE_string('output', None, 'Prefix of the files to write.')
  d.DEFINE_enum('depth', '101', list(map(str, DEPTHS)), 'Of the network.')


def main(_):
  """Parses flags and converts."""
  for name in ('input', 'output'):
    if not flags.FLAGS[name].value:
      raise ValueError(f'Flag --{name} is missing: give a checkpoint prefix.')
  values = flags.FLAGS
  classes = import_reference(values.input, values.output, int(values.depth))
  print(f'Wrote {values.output}: {classes} classes')


def import_reference(source: str, output: str, depth: int) -> int:
  """Writes a reference checkpoint as tf.train.Checkpoint(model=, metadata=).

  The model is a model.FasterRCNN; `model.from_checkpoint(output)` reads it.

  Args:
    source: prefix of the reference's checkpoint.
    output: prefix to write.
    depth: 50, 101 or 152.

  Returns:
    Number of classes, without the background.

  Raises:
    ValueError: the checkpoint cannot be read, is of another depth, is no
      detector or lacks a variable.
  """
  import tensorflow as tf

  from object_detection import model as model_lib
  from object_detection import tf_names
  from official_repro.core import checkpoints

  prefix = checkpoints.find(source)
  reader = checkpoints.open_reader(prefix)
  names = list(reader.get_variable_to_shape_map())
  _check_depth(prefix, tf_names.depths(names), depth)
  values = tf_names.values_from_reference(
    {n: reader.get_tensor(n) for n in names if tf_names.from_reference(n)}
  )
  num_classes, boxes = _head_sizes(prefix, values)
  model = model_lib.FasterRCNN(
    num_classes,
    depth=depth,
    stride_placement='slim',
    shared_boxes=boxes == 1 and num_classes > 1,
    pixel_range=tf_names.PIXEL_RANGE,
  )
  _assign(model, values, prefix, depth)
  os.makedirs(os.path.dirname(output) or '.', exist_ok=True)
  tf.train.Checkpoint(
    model=model, metadata=checkpoints.Metadata(model.metadata())
  ).write(output)
  # So that the folder's name is enough for --init_checkpoint.
  tf.compat.v1.train.update_checkpoint_state(os.path.dirname(output), output)
  return num_classes


def _check_depth(prefix, found, depth):
  if found == {depth}:
    return
  if not found:
    raise ValueError(
      f'Checkpoint {prefix!r} is no Faster R-CNN ResNet of the TF Object '
      'Detection API: it has no FirstStageFeatureExtractor/resnet_v1_*; for '
      'a classification checkpoint use official_repro.import_checkpoint.'
    )
  networks = ', '.join(f'resnet_v1_{d}' for d in sorted(found))
  raise ValueError(
    f'Checkpoint {prefix!r} should hold a detector with resnet_v1_{depth}; '
    f'it has {networks}. Set --depth to match.'
  )


def _head_sizes(prefix, values):
  """Returns the number of classes and of boxes for each proposal."""
  from object_detection import tf_names

  for name in ('head/class/bias', 'head/box/bias'):
    if name not in values:
      reference = tf_names.to_reference(name, depth=0)
      raise ValueError(_missing(prefix, reference))
  num_classes = values['head/class/bias'].size - 1
  boxes = values['head/box/bias'].size // 4
  if boxes not in (1, num_classes):
    raise ValueError(
      f'Checkpoint {prefix!r} has boxes for {boxes} classes beside scores for '
      f'{num_classes}; they must be as many, or one box for all.'
    )
  return num_classes, boxes


def _assign(model, values, prefix, depth):
  from object_detection import tf_names

  for variable in model.variables:
    name = variable.name.split(':')[0]
    if name not in values:
      raise ValueError(_missing(prefix, tf_names.to_reference(name, depth)))
    if values[name].shape != tuple(variable.shape):
      raise ValueError(
        f'Checkpoint {prefix!r} has '
        f'{tf_names.to_reference(name, depth)} of shape '
        f'{values[name].shape}, expected {tuple(variable.shape)}; only the '
        "reference's default Faster R-CNN ResNet can be read."
      )
    variable.assign(values[name])


def _missing(prefix, name):
  return (
    f'Checkpoint {prefix!r} lacks {name}; it is not a whole Faster R-CNN '
    'ResNet of the TF Object Detection API.'
  )


if __name__ == '__main__':
  define_flags()
  core_flags.run(main)
