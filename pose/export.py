"""Exports a trained pose net as a SavedModel.

  python -m pose.export --model_dir=RUN --output=DIR [--flip_test]

Signature `serving_default` (P people of one picture, K joints):
  in:  input_tensor     uint8 [1, H, W, 3], RGB, of any size
       boxes            float32 [P, 4], ymin, xmin, ymax, xmax, 0 to 1, such as
                        an exported detector's detection_boxes[0]
  out: keypoints        float32 [P, K, 2], y and x, 0 to 1 inside the picture
       keypoint_scores  float32 [P, K]
       scores           float32 [P], their means
A pose for each box, in their order: doubles are not taken out. All P crops go
through the network at once. Cutting out and the scaling of the pixels are part
of the graph. DIR/assets.extra/keypoints.txt names the joints, one a line.
"""

import os

from absl import flags

from official_repro.core import flags as core_flags
from official_repro.core import saved_model
from pose import joints as joints_lib


def export(model_dir: str, output: str, flip_test: bool = False) -> None:
  """Writes the SavedModel.

  Args:
    model_dir: folder of the run.
    output: folder that is new or empty; it appears when it is complete.
    flip_test: average over each crop and its mirror image.

  Raises:
    ValueError: `output` is taken, or the run cannot be used.
  """
  saved_model.check_output(output)
  # Not above, so that a wrong flag is told before TensorFlow has loaded.
  from pose import building

  trained = building.load_trained(model_dir)
  module = _serving_module(trained, flip_test)
  saved_model.save(module, module.serve, output)
  extra = os.path.join(output, 'assets.extra')
  os.makedirs(extra)
  with open(os.path.join(extra, 'keypoints.txt'), 'w', encoding='utf-8') as f:
    f.writelines(f'{name}\n' for name in joints_lib.NAMES)


def _serving_module(trained, flip_test):
  """Returns a tf.Module whose `serve` is the signature."""
  import tensorflow as tf

  from pose import inference

  module = tf.Module()
  module.model = trained.model
  run = inference.pose_function(trained, flip_test)

  @tf.function(
    input_signature=[
      tf.TensorSpec([1, None, None, 3], tf.uint8, 'input_tensor'),
      tf.TensorSpec([None, 4], tf.float32, 'boxes'),
    ]
  )
  def serve(input_tensor, boxes):
    size = tf.cast(tf.shape(input_tensor)[1:3], tf.float32)
    # Convolutions do not take a batch of none.
    found = tf.cond(
      tf.shape(boxes)[0] > 0,
      lambda: run(input_tensor[0], boxes * tf.tile(size, [2])),
      lambda: tf.zeros([0, len(joints_lib.NAMES), 3]),
    )
    found = tf.ensure_shape(found, [None, len(joints_lib.NAMES), 3])
    return {
      'keypoints': found[..., :2] / size,
      'keypoint_scores': found[..., 2],
      'scores': tf.reduce_mean(found[..., 2], -1),
    }

  module.serve = serve
  return module


def main(_):
  """Parses flags, exports, tells where."""
  values = flags.FLAGS
  for name in ('model_dir', 'output'):
    if not values[name].value:
      raise ValueError(f'Flag --{name} is missing: {values[name].help}')
  export(values.model_dir, values.output, values.flip_test)
  print(f'Exported to {values.output} (signature serving_default).')


if __name__ == '__main__':
  flags.DEFINE_string('model_dir', None, 'Folder of a training run.')
  flags.DEFINE_string('output', None, 'New folder for the SavedModel.')
  flags.DEFINE_bool(
    'flip_test', False, 'Average over each crop and its mirror image.'
  )
  core_flags.define_onednn_flag()
  core_flags.run(main)
