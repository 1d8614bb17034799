r"""Converts a TF-slim resnet_v1 checkpoint to ours, or back.

python -m official_repro.import_checkpoint --format=tf_slim --depth=50 \
      --input=resnet_v1_50.ckpt --output=DIR/ckpt

The result goes wherever --init_checkpoint is asked for. TF-slim's public
checkpoints were trained on mean-subtracted pixels: add
--pixels=mean_subtracted. The network's stride placement is `slim`.
"""

import os

from absl import flags

from official_repro.core import flags as core_flags

_PIXELS = ('minus_one_to_one', 'mean_subtracted')


def define_flags():
  """Defines the flags of this binary."""
  d = flags
  d.DEFINE_enum('format', 'tf_slim', ['tf_slim'], 'The foreign format.')
  d.DEFINE_enum(
    'direction',
    'import',
    ['import', 'export'],
    'import: foreign to ours; export: ours to foreign.',
  )
  d.DEFINE_string('input', None, 'Checkpoint prefix (or our model_dir).')
  d.DEFINE_string('output', None, 'Prefix of the files to write.')
  d.DEFINE_enum('depth', '101', ['50', '101', '152'], 'Of the network.')
  d.DEFINE_integer(
    'num_shards', 1, 'Import: parts of the final layer.', lower_bound=1
  )
  d.DEFINE_integer(
    'num_classes',
    0,
    'Export: labels of the final layer, where the checkpoint does not say; '
    'without it the final layer is left out.',
    lower_bound=0,
  )
  d.DEFINE_enum(
    'pixels',
    'minus_one_to_one',
    _PIXELS,
    'Import: what the checkpoint was trained on. mean_subtracted (0..255 less '
    'the mean colour) is absorbed into conv1, so that the result wants '
    "[-1, 1]; exact but for the picture's border of 3 pixels.",
  )


def main(_):
  """Parses flags and converts."""
  for name in ('input', 'output'):
    if not flags.FLAGS[name].value:
      raise ValueError(f'Flag --{name} is missing: give a checkpoint prefix.')
  values = flags.FLAGS
  if values.direction == 'import':
    import_slim(
      values.input,
      values.output,
      int(values.depth),
      num_shards=values.num_shards,
      pixels=values.pixels,
    )
  else:
    export_slim(
      values.input, values.output, int(values.depth), values.num_classes
    )
  print(f'Wrote {values.output}')


def import_slim(
  source: str,
  output: str,
  depth: int,
  *,
  num_shards: int = 1,
  pixels: str = 'minus_one_to_one',
) -> None:
  """Writes a TF-slim checkpoint as tf.train.Checkpoint(model=, metadata=).

  The model is a Classifier where the checkpoint has logits, else a ResNet.

  Args:
    source: prefix of the TF-slim checkpoint.
    output: prefix to write.
    depth: 50, 101 or 152.
    num_shards: parts of the final layer.
    pixels: minus_one_to_one or mean_subtracted, see the flag.

  Raises:
    ValueError: the checkpoint cannot be read, is of another depth or lacks a
      variable.
  """
  import tensorflow as tf

  from official_repro.core import checkpoints
  from official_repro.modeling import classifier, resnet, slim_names

  prefix = checkpoints.find(source)
  reader = checkpoints.open_reader(prefix)
  names = list(reader.get_variable_to_shape_map())
  depths = {slim_names.depth_of(n) for n in names} - {None}
  if depths != {depth}:
    found = ', '.join(f'resnet_v1_{d}' for d in sorted(depths)) or 'none'
    raise ValueError(
      f"Checkpoint {prefix!r} should hold TF-slim's resnet_v1_{depth}; the "
      f'networks in it: {found}. Set --depth to match.'
    )
  values = slim_names.values_from_slim(
    {n: reader.get_tensor(n) for n in names}, num_shards
  )
  if pixels == 'mean_subtracted':
    values = slim_names.absorb_pixel_means(values)
  metadata = {
    'depth': depth,
    'width': 1.0,
    'stride_placement': 'slim',
    'pixel_range': [-1, 1],
  }
  logits = f'resnet_v1_{depth}/logits/biases'
  if logits in names:
    metadata['num_classes'] = int(reader.get_tensor(logits).size)
    model = classifier.Classifier(
      metadata['num_classes'], num_shards, depth=depth
    )
  else:
    model = resnet.ResNet(depth=depth)
  _assign(model, values, prefix)
  os.makedirs(os.path.dirname(output) or '.', exist_ok=True)
  tf.train.Checkpoint(
    model=model, metadata=checkpoints.Metadata(metadata)
  ).write(output)
  # So that the folder's name is enough for --init_checkpoint.
  tf.compat.v1.train.update_checkpoint_state(os.path.dirname(output), output)


def export_slim(
  source: str, output: str, depth: int, num_classes: int = 0
) -> None:
  """Writes one of our checkpoints under TF-slim's names.

  Args:
    source: prefix or model_dir.
    output: prefix to write.
    depth: 50, 101 or 152.
    num_classes: labels of the final layer; 0 takes what the checkpoint says,
      and leaves the final layer out where it says nothing.

  Raises:
    ValueError: the checkpoint cannot be read or is of another depth.
  """
  import tensorflow as tf

  from official_repro.core import checkpoints
  from official_repro.modeling import slim_names

  prefix = checkpoints.find(source)
  reader = checkpoints.open_reader(prefix)
  found = checkpoints.read_metadata(reader)
  if found.get('depth', depth) != depth:
    raise ValueError(
      f'Checkpoint {prefix!r} has depth {found["depth"]}; set --depth to match.'
    )
  values = {
    name: reader.get_tensor(key)
    for name, key in checkpoints.weight_keys(reader).items()
  }
  tensors = slim_names.values_to_slim(
    values, depth, num_classes or found.get('num_classes', 0)
  )
  if not tensors:
    raise ValueError(f'Checkpoint {prefix!r} holds no ResNet of ours.')
  os.makedirs(os.path.dirname(output) or '.', exist_ok=True)
  names = sorted(tensors)
  tf.raw_ops.SaveV2(
    prefix=output,
    tensor_names=names,
    shape_and_slices=[''] * len(names),
    tensors=[tf.constant(tensors[n]) for n in names],
  )


def _assign(model, values, prefix):
  for variable in model.variables:
    name = variable.name.split(':')[0]
    if name not in values or values[name].shape != tuple(variable.shape):
      found = values[name].shape if name in values else 'nothing'
      raise ValueError(
        f'Checkpoint {prefix!r} has {found} where {name} of shape '
        f'{tuple(variable.shape)} is expected; it is not a whole resnet_v1.'
      )
    variable.assign(values[name])


if __name__ == '__main__':
  define_flags()
  core_flags.run(main)
