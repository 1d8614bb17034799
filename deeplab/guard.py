"""Says what batch norm does when it is trained on few images."""

from typing import Optional

# Chen et al. 2017 (arXiv 1706.05587), sec. 4: batch norm was worth training
# from 16 images on.
ENOUGH = 16


def small_batch(
  batch_size: int,
  *,
  freeze_batch_norm: bool,
  freeze: str,
  replicas: int = 1,
  sync_batch_norm: bool = False,
) -> Optional[str]:
  """Returns a warning, or None where there is nothing to say.

  Args:
    batch_size: images of a step over all replicas.
    freeze_batch_norm: of the model.
    freeze: the stage up to which all is fixed, batch norm too.
    replicas: that share a step.
    sync_batch_norm: of the model; else a replica has its own images only.
  """
  shares = 1 if sync_batch_norm else replicas
  images = batch_size // shares
  if freeze_batch_norm or freeze == 'conv5' or images >= ENOUGH:
    return None
  whose = f' (each of the {shares} replicas has its own)' if shares > 1 else ''
  shared = (
    ', share it with --params_override=task.model.sync_batch_norm=true'
    if shares > 1
    else ''
  )
  return (
    f'Warning: batch norm is trained on {images} images a step{whose}, fewer '
    f'than {ENOUGH}. So few give noisy means and variances, their moving '
    'averages, which evaluation uses, do not fit the weights, and the mIoU can '
    'fall far behind the training loss. Freeze batch norm with '
    f'--params_override=task.model.freeze_batch_norm=true{shared}, or give '
    f'--batch_size={ENOUGH * shares} or more.'
  )
