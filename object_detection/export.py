"""Exports a trained detector as a SavedModel.

  python -m object_detection.export --model_dir=RUN --output=DIR

Signature `serving_default`, named as the TF Object Detection API names it:
  in:  input_tensor       uint8 [1, H, W, 3], RGB, of any size
  out: detection_boxes    float32 [1, T, 4], ymin, xmin, ymax, xmax, 0 to 1
       detection_classes  float32 [1, T], category ids (COCO's, else from 1)
       detection_scores   float32 [1, T], best first
       num_detections     float32 [1], how many of the T are no padding
DIR/assets.extra/labels.tsv names the classes. Resizing and the scaling of the
pixels are part of the graph.
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
  from object_detection import building, serving

  detector = building.load_trained(model_dir)
  module = serving.serving_module(detector)
  saved_model.save(module, module.serve, output)
  extra = os.path.join(output, 'assets.extra')
  os.makedirs(extra)
  detector.labels.hierarchy.save(os.path.join(extra, 'labels.tsv'))


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
