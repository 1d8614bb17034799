"""Writes a SavedModel whole or not at all."""

import os
import shutil


def check_output(output: str) -> None:
  """Raises ValueError unless --output is new or an empty folder."""
  if os.path.exists(output) and (
    not os.path.isdir(output) or os.listdir(output)
  ):
    raise ValueError(
      f'Flag --output: {output!r} is there already and is not an empty folder; '
      'choose another.'
    )


def save(module, signature, output: str) -> None:
  """Saves a module with its signature `serving_default`.

  Args:
    module: tf.Module that tracks the variables.
    signature: tf.function of it, with an input signature.
    output: see check_output; it appears when it is complete.
  """
  # Not above, so that binaries can check --output without TensorFlow.
  import tensorflow as tf

  output = os.path.normpath(output)
  temporary = output + '.tmp'
  shutil.rmtree(temporary, ignore_errors=True)
  tf.saved_model.save(module, temporary, signatures=signature)
  if os.path.isdir(output):
    os.rmdir(output)
  os.replace(temporary, output)
