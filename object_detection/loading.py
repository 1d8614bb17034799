"""Weights for the detector: from a classifier, or a whole detector."""

from object_detection.model import AnchorOptions, FasterRCNN
from official_repro.core import checkpoints

# Names that a classification checkpoint lacks.
NEW_LAYERS = ('rpn/', 'head/')
# Arguments of FasterRCNN that a checkpoint records; anchors is the other one.
_RECORDED = (
  'num_classes',
  'depth',
  'width',
  'stride_placement',
  'pixel_range',
  'shared_boxes',
  'crop',
)


def from_checkpoint(path: str, **options) -> FasterRCNN:
  """Builds the detector that a checkpoint holds.

  Args:
    path: see checkpoints.find.
    **options: arguments of FasterRCNN over the recorded ones, e.g. freeze.

  Returns:
    FasterRCNN with all weights loaded.

  Raises:
    ValueError: no checkpoint, or not one of a detector.
  """
  prefix = checkpoints.find(path)
  found = checkpoints.read_metadata(checkpoints.open_reader(prefix))
  if 'anchors' not in found or 'num_classes' not in found:
    raise ValueError(
      f'Checkpoint {prefix!r} holds no detector; train one with python -m '
      'object_detection.train, or convert one with python -m '
      'object_detection.import_checkpoint.'
    )
  anchors = {
    k: tuple(v) if isinstance(v, list) else v
    for k, v in found['anchors'].items()
  }
  recorded = {k: found[k] for k in _RECORDED if k in found}
  model = FasterRCNN(
    **{**recorded, 'anchors': AnchorOptions(**anchors), **options}
  )
  checkpoints.load_weights(model.variables, prefix, head_prefix=())
  return model


def initialize(
  model: FasterRCNN,
  path: str,
  *,
  use_head: bool = True,
  allow_partial: bool = False,
) -> checkpoints.Loaded:
  """Loads a classifier's or a detector's weights into the detector.

  Both stages come from the one checkpoint. RPN and head are loaded where the
  checkpoint has them in the same shape, else left as initialised.

  Args:
    model: to be changed.
    path: see checkpoints.find.
    use_head: False leaves RPN and head as initialised.
    allow_partial: see checkpoints.load_weights.

  Returns:
    The loading report.

  Raises:
    ValueError: the checkpoint is of another depth, width, stride placement or
      pixel range, or lacks variables of the trunk.
  """
  return checkpoints.initialize(
    model,
    path,
    head_prefix=NEW_LAYERS,
    use_head=use_head,
    allow_partial=allow_partial,
  )
