"""Exports a trained segmentation net as a SavedModel.

  python -m deeplab.export --model_dir=RUN --output=DIR

Signature `serving_default` (B pictures of one size, K classes, the background
first):
  in:  input_tensor   uint8 [B, H, W, 3], RGB
  out: labels         uint8 [B, H, W], class indices
       probabilities  float32 [B, H, W, K]
Padding, scaling to [-1, 1] and upsampling are part of the graph, which sees a
picture as a whole. labels.tsv lies in assets.extra; its label i is class i + 1.
"""

import os

from absl import flags

from official_repro.core import flags as core_flags
from official_repro.core import saved_model


def export(model_dir: str, output: str) -> None:
  """Writes the SavedModel.

  Args:
    model_dir: folder of the run.
    output: folder that is new or empty; it appears when it is complete.

  Raises:
    ValueError: `output` is taken, or the run cannot be used.
  """
  saved_model.check_output(output)
  # Not above, so that a wrong flag is told before TensorFlow has loaded.
  from deeplab import building

  trained = building.load_trained(model_dir)
  module = _serving_module(trained)
  saved_model.save(module, module.serve, output)
  extra = os.path.join(output, 'assets.extra')
  os.makedirs(extra)
  trained.labels.hierarchy.save(os.path.join(extra, 'labels.tsv'))


def _serving_module(trained):
  """Returns a tf.Module whose `serve` is the signature."""
  import tensorflow as tf

  from official_repro.data import batching, images

  module = tf.Module()
  module.model = trained.model

  @tf.function(
    input_signature=[
      tf.TensorSpec([None, None, None, 3], tf.uint8, 'input_tensor')
    ]
  )
  def serve(input_tensor):
    height, width = tf.shape(input_tensor)[1], tf.shape(input_tensor)[2]
    # As in an evaluation, so that a small picture gets the same answer.
    padded = batching.pad_to(
      input_tensor,
      tf.maximum(height, trained.window),
      tf.maximum(width, trained.window),
    )
    likely = trained.model.probabilities(images.normalize(padded))
    likely = likely[:, :height, :width]
    labels = tf.cast(tf.argmax(likely, -1), tf.uint8)
    return {'labels': labels, 'probabilities': likely}

  module.serve = serve
  return module


def main(_):
  """Parses flags, exports, tells where."""
  values = flags.FLAGS
  for name in ('model_dir', 'output'):
    if not values[name].value:
      raise ValueError(f'Flag --{name} is missing: {values[name].help}')
  export(values.model_dir, values.output)
  print(f'Exported to {values.output} (signature serving_default).')


if __name__ == '__main__':
  flags.DEFINE_string('model_dir', None, 'Folder of a training run.')
  flags.DEFINE_string('output', None, 'New folder for the SavedModel.')
  core_flags.define_onednn_flag()
  core_flags.run(main)
