"""Weights for the segmentation net: from a classifier, or a whole net."""

from deeplab.model import DeepLab
from official_repro.core import checkpoints

# Names that a classification checkpoint lacks.
NEW_LAYERS = 'head/'
# Arguments of DeepLab that a checkpoint records.
_RECORDED = (
  'num_classes',
  'depth',
  'width',
  'stride_placement',
  'pixel_range',
  'output_stride',
  'rates',
)


def from_checkpoint(path: str, **options) -> DeepLab:
  """Builds the segmentation net that a checkpoint holds.

  Args:
    path: see checkpoints.find.
    **options: arguments of DeepLab over the recorded ones, e.g. freeze.

  Returns:
    DeepLab with all weights loaded.

  Raises:
    ValueError: no checkpoint, or not one of a segmentation net.
  """
  prefix = checkpoints.find(path)
  found = checkpoints.read_metadata(checkpoints.open_reader(prefix))
  if 'rates' not in found or 'num_classes' not in found:
    raise ValueError(
      f'Checkpoint {prefix!r} holds no segmentation net; train one with python '
      '-m deeplab.train.'
    )
  recorded = {k: found[k] for k in _RECORDED if k in found}
  model = DeepLab(**{**recorded, **options})
  load_all(model, prefix)
  return model


def load_all(model: DeepLab, prefix: str) -> None:
  """Loads every variable.

  Raises:
    ValueError: one is missing or has another shape.
  """
  # No name begins with (), so that none may be missing.
  checkpoints.load_weights(model.variables, prefix, head_prefix=())


def initialize(
  model: DeepLab,
  path: str,
  *,
  use_head: bool = True,
  allow_partial: bool = False,
) -> checkpoints.Loaded:
  """Loads a classifier's or a segmentation net's weights.

  Args:
    model: to be changed.
    path: see checkpoints.find.
    use_head: False leaves the branches as initialised; True loads those that
      the checkpoint has in the same shape.
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
