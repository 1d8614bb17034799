"""Segmentation's numbers against Model Garden's, where the two agree."""

import numpy as np
import pytest
import tensorflow as tf
from official.vision.evaluation import segmentation_metrics

from deeplab import evaluate, host_evaluation, label_space
from official_repro.data.hierarchy import Hierarchy

CLASSES = 5


def scene(absent=(), pictures=3, side=17, seed=0):
  """Masks and predictions, without some classes: uint8 [N, side, side]."""
  rng = np.random.default_rng(seed)
  present = [k for k in range(CLASSES) if k not in absent]
  truth = rng.choice(np.uint8([*present, 255]), (pictures, side, side))
  wrong = rng.choice(np.uint8(present), truth.shape)
  right = np.where(truth == 255, wrong, truth)
  return truth, np.where(rng.random(truth.shape) < 0.4, wrong, right)


def reference(metric, truth, prediction, sizes=None):
  """Updates one of theirs, which takes logits and a mask of what counts."""
  valid = truth != 255
  sizes = [truth.shape[1:]] * len(truth) if sizes is None else sizes
  for i, (height, width) in enumerate(sizes):
    valid[i, height:] = valid[i, :, width:] = False
  info = [[s, truth.shape[1:], (1, 1), (0, 0)] for s in sizes]
  metric.update_state(
    {
      'masks': tf.constant(np.where(valid, truth, 0)[..., None], tf.float32),
      'valid_masks': tf.constant(valid[..., None]),
      'image_info': tf.constant(np.array(info, np.float32)),
    },
    tf.one_hot(prediction, CLASSES),
  )
  return metric.result().numpy()


def ours(truth, prediction):
  matrix = evaluate.ConfusionMatrix(CLASSES)
  for pair in zip(truth, prediction):
    matrix.update(*pair)
  return matrix


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('name', ['PerClassIoU', 'PerClassIoUV2'])
def test_iou_of_classes(name, seed):
  truth, prediction = scene(seed=seed)
  metric = getattr(segmentation_metrics, name)(num_classes=CLASSES)
  expected = reference(metric, truth, prediction)
  np.testing.assert_allclose(ours(truth, prediction).iou(), expected, 1e-6)


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('name', ['MeanIoU', 'MeanIoUV2'])
def test_mean_iou(name, seed):
  truth, prediction = scene(seed=seed)
  metric = getattr(segmentation_metrics, name)(num_classes=CLASSES)
  expected = reference(metric, truth, prediction)
  found = ours(truth, prediction).mean_iou()
  assert found == pytest.approx(expected, rel=1e-6)


def test_class_that_is_absent():
  # Left out of the mean by MeanIoU, as here; the second version has 0 for it.
  truth, prediction = scene(absent=[2])
  found = ours(truth, prediction)
  metrics = segmentation_metrics
  mean = reference(metrics.MeanIoU(CLASSES), truth, prediction)
  assert found.mean_iou() == pytest.approx(mean, rel=1e-6)
  second = metrics.MeanIoUV2(num_classes=CLASSES)
  with_zero = reference(second, truth, prediction)
  assert with_zero == pytest.approx(mean * 4 / 5, rel=1e-6)
  classes = reference(metrics.PerClassIoU(CLASSES), truth, prediction)
  assert np.isnan(found.iou()[2])
  np.testing.assert_allclose(np.nan_to_num(found.iou()), classes, 1e-6)


def test_class_that_only_predictions_have():
  truth, prediction = scene(absent=[2])
  prediction[0, :3] = 2
  metric = segmentation_metrics.MeanIoU(CLASSES)
  expected = reference(metric, truth, prediction)
  found = ours(truth, prediction)
  assert found.iou()[2] == 0
  assert found.mean_iou() == pytest.approx(expected, rel=1e-6)


def test_pictures_of_many_sizes_in_a_padded_batch():
  truth, prediction = scene(pictures=4)
  sizes = [(17, 17), (5, 17), (17, 2), (1, 1)]
  metric = segmentation_metrics.MeanIoU(CLASSES)
  expected = reference(metric, truth, prediction, sizes)
  names = [f'c{i}' for i in range(1, CLASSES)]
  evaluation = host_evaluation.HostEvaluation(
    label_space.of(Hierarchy.flat(names))
  )
  evaluation.add(
    {'mask': truth, 'image_size': np.array(sizes), 'found_labels': prediction}
  )
  assert evaluation.metrics()['mIoU'] == pytest.approx(expected, rel=1e-6)
