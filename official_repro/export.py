"""Exports a trained classifier as a SavedModel that takes picture files.

  python -m official_repro.export --model_dir=RUN --output=DIR

Signature `serving_default` (B pictures, k = --top, F features):
  in:  image_bytes  string [B], JPEG, PNG, BMP or GIF files
  out: labels       string [B, k], names, best first
       label_ids    int32 [B, k]
       scores       float32 [B, k], probabilities
       features     float32 [B, F], what the last layer sees
Decoding, the central crop and the scaling to [-1, 1] are part of the graph. A
picture that its EXIF tag turns must be turned before.
"""

from absl import flags

from official_repro.core import flags as core_flags
from official_repro.core import saved_model


def export(model_dir: str, output: str, top: int = 5) -> None:
  """Writes the SavedModel.

  Args:
    model_dir: folder of the run.
    output: folder that is new or empty; it appears when it is complete.
    top: k; more than there are labels means all of them.

  Raises:
    ValueError: `output` is taken, or the run cannot be used.
  """
  saved_model.check_output(output)
  # Not above, so that a wrong flag is told before TensorFlow has loaded.
  from official_repro import trained

  module = _serving_module(trained.load(model_dir), top)
  saved_model.save(module, module.serve, output)


def _serving_module(classifier, top):
  """Returns a tf.Module whose `serve` is the signature."""
  import tensorflow as tf

  module = tf.Module()
  module.model = classifier.model
  names = tf.constant(classifier.names)

  @tf.function(
    input_signature=[tf.TensorSpec([None], tf.string, 'image_bytes')]
  )
  def serve(image_bytes):
    images = tf.map_fn(
      classifier.decode, image_bytes, fn_output_signature=tf.uint8
    )
    images = tf.ensure_shape(
      images, [None, classifier.crop, classifier.crop, 3]
    )
    outputs = classifier(images, top)
    return {**outputs, 'labels': tf.gather(names, outputs['label_ids'])}

  module.serve = serve
  return module


def main(_):
  """Parses flags, exports, tells where."""
  values = flags.FLAGS
  for name in ('model_dir', 'output'):
    if not values[name].value:
      raise ValueError(f'Flag --{name} is missing: {values[name].help}')
  export(values.model_dir, values.output, values.top)
  print(f'Exported to {values.output} (signature serving_default).')


if __name__ == '__main__':
  flags.DEFINE_string('model_dir', None, 'Folder of a training run.')
  flags.DEFINE_string('output', None, 'New folder for the SavedModel.')
  flags.DEFINE_integer('top', 5, 'Labels of each picture.', lower_bound=1)
  core_flags.define_onednn_flag()
  core_flags.run(main)
