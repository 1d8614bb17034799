"""Says what batch norm does when it is trained on few images."""

from typing import Optional

# Chen et al. 2017 (arXiv 1706.05587), sec. 4: batch norm was worth training
# from 16 images on.
ENOUGH = 16


def small_batch(
  batch_size: int, *, freeze_batch_norm: bool, freeze: str
) -> Optional[str]:
  """Returns a warning, or None where there is nothing to say.

  Args:
    batch_size: images of a step over all replicas.
    freeze_batch_norm: of the model.
    freeze: the stage up to which all is fixed, batch norm too.
  """
  if freeze_batch_norm or freeze == 'conv5' or batch_size >= ENOUGH:
    return None
  return (
    f'Warning: batch norm is trained on {batch_size} images a step, fewer than '
    f'{ENOUGH}. So few give noisy means and variances (each replica takes them '
    'from its own images only), their moving averages, which evaluation uses, '
    'do not fit the weights, and the mIoU can fall far behind the training '
    'loss. Freeze batch norm with '
    '--params_override=task.model.freeze_batch_norm=true, or give '
    f'--batch_size={ENOUGH} or more.'
  )
