"""Our detector beside the TF Object Detection API's, on the same weights.

A sample of crop_and_resize that lies on the last row or column of the feature
map to within rounding is either a value or zero, in the reference as here. All
proposals that touch the image's lower or right edge have such samples. So what
comes after the crops is compared on the reference's own proposals, to the last
bit, where both fall on the same side; and once more from the picture on, where
a few such proposals may differ.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import tensorflow as tf

from object_detection import (
  boxes,
  import_checkpoint,
  loading,
  losses,
  postprocess,
  targets,
  tf_names,
)
from object_detection import model as model_lib
from tests.conftest import shared_path
from tests.parity import detector_reference
from tests.parity.test_slim_trunk import BUILD, _publish, reference

PACKAGE = 'tf-models-research-object-detection==2.8.0.post1'
EXACT = 1e-4
CASES = list(detector_reference.CASES)
pytestmark = pytest.mark.usefixtures('no_random_kernels')


def reference_site():
  """The folder of the reference's package, or skips the test."""
  site = BUILD / 'detection_site'
  if site.exists():
    return site
  BUILD.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=BUILD) as folder:
    made = pathlib.Path(folder) / 'made'
    if not _installed(made):
      pytest.skip(f'needs {PACKAGE}, which pip cannot install here')
    _publish(made, site)
  return site


def _installed(folder):
  """Whether pip could install the package; a network that hangs cannot."""
  pip = [sys.executable, '-m', 'pip', 'install', '-q', '--no-deps']
  try:
    done = subprocess.run(
      [*pip, f'--target={folder}', PACKAGE, 'lvis'],
      capture_output=True,
      check=False,
      timeout=600,
    )
  except subprocess.TimeoutExpired:
    return False
  return done.returncode == 0


class Case:
  """One case: the reference's outputs, and our detector on its weights."""

  def __init__(self, name):
    self.depth, _, self.num_classes, *_ = detector_reference.CASES[name]
    tools = shared_path('tools')
    folder = reference(
      'reference_detector',
      detector_reference.__file__,
      tools,
      reference_site(),
      'OUTPUT',
      *CASES,
    )
    self.want = dict(np.load(folder / name / 'outputs.npz'))
    self.height, self.width = self.want['preprocessed'].shape[1:3]
    self.sizes = np.int32([[self.height, self.width]])
    with tempfile.TemporaryDirectory(dir=BUILD) as ours:
      prefix = os.path.join(ours, 'ckpt')
      source = str(folder / name / 'model.ckpt')
      import_checkpoint.import_reference(source, prefix, self.depth)
      self.model = loading.from_checkpoint(prefix)
    pixels = self.want['preprocessed'] + np.float32(tf_names.PIXEL_MEANS)
    self.images = tf.constant(pixels / 127.5 - 1, tf.float32)
    self.found = self._inference(self.images)

  def _inference(self, images):
    return {k: v.numpy() for k, v in self.model(images, self.sizes).items()}

  def second_stage(self, normalised):
    """Class logits [P, K + 1] and codes [P, B, 4] of normalised boxes."""
    # In units of the image, so that nothing is rounded.
    logits, codes = self.model.second_stage(
      self.found['features'], normalised[None], (1.0, 1.0)
    )
    return logits.numpy(), codes.numpy()

  def true_boxes(self):
    """Absolute boxes [1, 4, 4], classes from 1 and validity."""
    size = np.float32([self.height, self.width] * 2)
    classes = self.want['gt_classes'][None].astype(np.int32) + 1
    return self.want['gt_boxes'][None] * size, classes, np.ones((1, 4), bool)

  def loss(self, name):
    return float(self.want[f'loss_{name}'])


@pytest.fixture(scope='module', params=CASES)
def case(request):
  return Case(request.param)


def assert_close(found, want, tolerance, what):
  assert found.shape == want.shape, what
  error = np.abs(found - want).max() / np.abs(want).max()
  assert error < tolerance, f'{what}: {error:.2g} of the largest value'


def unmatched(rows, others, size):
  """How many rows [class, score, box] have no equal among the others."""
  scale = np.float32([1, 1, size, size, size, size])
  if not len(others):
    return len(rows)
  difference = np.abs(rows[:, None] - others[None]) / scale
  return int((difference.max(-1).min(1) > 1e-3).sum())


def rows(classes, scores, found, floor=0.0):
  """[D, 6]: class, score and box of the detections above `floor`."""
  joined = np.concatenate([classes[:, None], scores[:, None], found], 1)
  return joined[scores > floor]


def reference_rows(case, floor=0.0):
  size = np.float32([case.height, case.width] * 2)
  count = int(case.want['num_detections'][0])
  return rows(
    case.want['detection_classes'][:count] + 1,
    case.want['detection_scores'][:count],
    case.want['detection_boxes'][:count] * size,
    floor,
  )


def our_rows(found, floor=0.0):
  count = int(found['count'][0])
  parts = ('classes', 'scores', 'boxes')
  return rows(*(found[k][0, :count].numpy() for k in parts), floor)


def test_region_proposal_network(case):
  anchors = boxes.clip(case.found['anchors'], case.height, case.width).numpy()
  assert_close(anchors, case.want['anchors'], 1e-6, 'anchors')
  codes, logits = case.found['rpn_codes'][0], case.found['rpn_logits'][0]
  assert_close(codes, case.want['rpn_boxes'], EXACT, 'codes')
  assert_close(logits, case.want['rpn_scores'], EXACT, 'logits')


def test_proposals(case):
  count = int(case.want['num_proposals'][0])
  assert int(case.found['num_proposals'][0]) == count
  found, want = case.found['proposals'][0], case.want['proposals']
  assert not found[count:].any() and not want[count:].any()
  size = max(case.height, case.width)
  distance = np.abs(found[:count, None] - want[None, :count]).max(-1)
  assert distance.min(0).max() < 1e-3 * size, 'one of theirs is missing'
  assert distance.min(1).max() < 1e-3 * size, 'one of ours is not theirs'


def test_classifier_on_the_same_proposals(case):
  count = int(case.want['num_proposals'][0])
  logits, codes = case.second_stage(case.want['normalised'][:count])
  want = case.want['class_logits'][:count], case.want['box_codes'][:count]
  assert_close(logits[0], want[0], EXACT, 'class logits')
  assert_close(codes[0], want[1], EXACT, 'box codes')


def test_detections_of_the_same_classifier_outputs(case):
  refined = postprocess.refine(
    case.want['proposals'][None],
    case.want['box_codes'][None],
    case.want['class_logits'][None],
  )
  found = postprocess.detections(
    *refined, case.want['num_proposals'], case.sizes
  )
  ours, theirs = our_rows(found), reference_rows(case)
  assert len(ours) == len(theirs)
  size = max(case.height, case.width)
  assert unmatched(ours, theirs, size) == unmatched(theirs, ours, size) == 0


def test_classifier_from_the_picture_on(case):
  """All proposals but those at the lower or right edge, see above."""
  count = int(case.want['num_proposals'][0])
  theirs, ours = case.want['proposals'][:count], case.found['proposals'][0]
  same = np.abs(theirs[:, None] - ours[None]).max(-1).argmin(1)
  edge = np.float32([case.height, case.width])
  inner = np.all(theirs[:, 2:] < edge - 1e-2, axis=1)
  assert inner.sum() > 20
  for name in ('class_logits', 'box_codes'):
    found, want = case.found[name][0][same], case.want[name][:count]
    assert_close(found[inner], want[inner], 1e-3, name)


def test_detections_from_the_picture_on(case):
  """All but a few, see above, that come from proposals at the edge."""
  found = case.model.detections_of(case.found, case.sizes)
  ours, theirs = our_rows(found, 1e-3), reference_rows(case, 1e-3)
  assert len(theirs) > 5
  size = max(case.height, case.width)
  assert unmatched(theirs, ours, size) <= 0.1 * len(theirs)
  assert unmatched(ours, theirs, size) <= 0.1 * len(ours)


def test_losses_on_the_same_proposals(case):
  """The second stage's two, on the proposals of the reference's training."""
  count = case.want['training_count']
  normalised = case.want['training_normalised'][: count[0]]
  true_boxes, classes, valid = case.true_boxes()
  size = np.float32([case.height, case.width] * 2)
  wanted = targets.classifier_targets(
    normalised[None] * size, count, true_boxes, classes, valid
  )
  logits, codes = case.second_stage(normalised)
  found = losses.classifier_losses(
    class_logits=logits, codes=codes, targets=wanted, count=count
  )
  for ours, theirs in (
    ('class_loss', 'BoxClassifierLoss_classification_loss'),
    ('box_loss', 'BoxClassifierLoss_localization_loss'),
  ):
    assert case.loss(theirs) > 0
    assert float(found[ours]) == pytest.approx(case.loss(theirs), rel=EXACT)


def test_losses_from_the_picture_on(case):
  everything = model_lib.Sampling(
    rpn=100000,
    classifier=int(case.want['training_count'][0]),
    classifier_positive_fraction=1.0,
  )
  found = case.model.losses_for(
    case.images, case.sizes, *case.true_boxes(), seed=(0, 0), options=everything
  )
  for ours, theirs, tolerance in (
    ('rpn_objectness_loss', 'RPNLoss_objectness_loss', EXACT),
    ('rpn_box_loss', 'RPNLoss_localization_loss', EXACT),
    # Some crops at the edge differ, see above.
    ('class_loss', 'BoxClassifierLoss_classification_loss', 2e-3),
    ('box_loss', 'BoxClassifierLoss_localization_loss', 2e-3),
  ):
    want = case.loss(theirs)
    assert float(found[ours]) == pytest.approx(want, rel=tolerance), ours
