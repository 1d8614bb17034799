"""The whole way from a picture's pixels to its objects, in graph."""

import tensorflow as tf

from object_detection import boxes as boxes_lib
from object_detection import building, input_images
from official_repro.data import images as images_lib


def detect(detector: building.TrainedDetector, image) -> dict:
  """Finds the objects of one picture of any size.

  Args:
    detector: network and input.
    image: uint8 [H, W, 3] RGB.

  Returns:
    What model.detect returns, with one image (T detections, padded), boxes in
    pixels of `image`, cut at its edge.
  """
  resized = input_images.resize(image, detector.min_side, detector.max_side)
  old = tf.cast(tf.shape(image)[:2], tf.float32)
  new = tf.shape(resized)[:2]
  found = detector.model.detect(images_lib.normalize(resized)[None], new[None])
  factor = old / tf.cast(new, tf.float32)
  boxes = boxes_lib.scale(found['boxes'], factor[0], factor[1])
  return {**found, 'boxes': boxes_lib.clip(boxes, old[0], old[1])}


def detect_function(detector: building.TrainedDetector):
  """Returns a graph function: uint8 [H, W, 3] -> detections without padding.

  Its result: boxes float32 [N, 4] in pixels of the picture, classes int32 [N]
  from 1, scores float32 [N], best first.
  """

  @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)])
  def run(image):
    found = detect(detector, image)
    count = found['count'][0]
    return {k: found[k][0, :count] for k in ('boxes', 'classes', 'scores')}

  return run


def serving_module(detector: building.TrainedDetector) -> tf.Module:
  """Returns a module whose `serve` is the exported signature, see export."""
  module = tf.Module()
  module.model = detector.model
  ids = tf.constant([0, *detector.labels.category_ids], tf.float32)

  @tf.function(
    input_signature=[
      tf.TensorSpec([1, None, None, 3], tf.uint8, 'input_tensor')
    ]
  )
  def serve(input_tensor):
    found = detect(detector, input_tensor[0])
    size = tf.shape(input_tensor)
    return {
      'detection_boxes': boxes_lib.normalise(found['boxes'], size[1], size[2]),
      'detection_classes': tf.gather(ids, found['classes']),
      'detection_scores': found['scores'],
      'num_detections': tf.cast(found['count'], tf.float32),
    }

  module.serve = serve
  return module
