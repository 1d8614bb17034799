"""From crops to poses, and from a picture with boxes to its people.

Shapes: N crops of h x w pixels, P boxes of a picture, K joints.
"""

import numpy as np
import tensorflow as tf

from official_repro.data import images as images_lib
from pose import building, crops, decode, oks

# Crops that go through the network at a time.
_BATCH = 16


def joints_in_crops(model, images, flip_test: bool = False):
  """Finds the joints of the person in each crop.

  Args:
    model: model.PoseNet.
    images: uint8 [N, h, w, 3].
    flip_test: average with what is found in the mirror image.

  Returns:
    joints: float32 [N, K, 3], y and x in pixels of the crop, and the joint's
      score, the largest sum of votes.
    heatmaps: float32 [N, h, w, K], probabilities.
  """
  run = lambda pixels: model(images_lib.normalize(pixels), training=False)
  found = run(images)
  heatmaps, offsets = tf.sigmoid(found['heatmaps']), found['offsets']
  if flip_test:
    other = run(tf.reverse(images, [2]))
    heatmaps, offsets = decode.merged(
      found['heatmaps'], offsets, other['heatmaps'], other['offsets']
    )
  joints = decode.decode_probabilities(heatmaps, offsets, model.radius)
  return joints, heatmaps


def in_picture(joints, origin, step, width: int):
  """Takes found joints from their crops to the picture.

  Args:
    joints: [N, K, 3], y, x, score.
    origin: [N, 2]; step: [N]: of crops that are not mirrored.
    width: of the crop.

  Returns:
    float32 [N, K, 3].
  """
  crop = crops.Crop(origin, step, tf.zeros_like(step, tf.bool))
  points = crops.to_picture(crop, joints[..., :2], width)
  return tf.concat([points, joints[..., 2:]], -1)


def pose_function(trained: building.TrainedPose, flip_test: bool = False):
  """Returns a graph function from a picture and its boxes to poses.

  It takes uint8 [H, W, 3] and float32 [P, 4] (ymin, xmin, ymax, xmax in
  pixels) and gives float32 [P, K, 3], y, x and score of each joint.

  Args:
    trained: network and size of crops.
    flip_test: see joints_in_crops.
  """
  size = trained.crop.height, trained.crop.width

  @tf.function(
    input_signature=[
      tf.TensorSpec([None, None, 3], tf.uint8),
      tf.TensorSpec([None, 4], tf.float32),
    ]
  )
  def run(image, boxes):
    crop = crops.around(boxes, *size, trained.crop.test_scale)
    images = crops.cut(image, crop, *size)
    joints, _ = joints_in_crops(trained.model, images, flip_test)
    return in_picture(joints, crop.origin, crop.step, size[1])

  return run


def find(run, image, boxes, oks_threshold: float) -> tuple:
  """Finds the people of one picture.

  Args:
    run: from pose_function.
    image: uint8 [H, W, 3].
    boxes: float [P, 4], ymin, xmin, ymax, xmax in pixels.
    oks_threshold: of poses that are more alike than this the one with the
      lower score is left out.

  Returns:
    joints float32 [Q, K, 3] (y, x, score), scores float32 [Q], and which box
    each comes from, int [Q]; best first.
  """
  boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
  parts = [
    run(image, boxes[i : i + _BATCH]).numpy()
    for i in range(0, len(boxes), _BATCH)
  ]
  if not parts:
    return np.zeros((0, 0, 3), np.float32), np.zeros(0, np.float32), []
  joints = np.concatenate(parts)
  kept = distinct(joints, boxes, oks_threshold)
  return joints[kept], pose_scores(joints[kept]), kept


def pose_scores(joints) -> np.ndarray:
  """Mean over joints of their scores: [P, K, 3] -> [P]; G-RMI, sec. 3.3."""
  return np.asarray(joints)[..., 2].mean(-1)


def distinct(joints, boxes, threshold: float) -> np.ndarray:
  """Which of a picture's poses are left when doubles are taken out.

  Args:
    joints: [P, K, 3], y, x, score.
    boxes: [P, 4] that they were looked for in; their areas are the scale of
      OKS.
    threshold: see oks.oks_nms.

  Returns:
    int [Q], best first.
  """
  sides = boxes[:, 2:] - boxes[:, :2]
  return oks.oks_nms(
    joints[..., [1, 0, 2]],
    pose_scores(joints),
    sides[:, 0] * sides[:, 1],
    threshold,
  )
