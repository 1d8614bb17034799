"""Picture files that a user names on a command line."""

import glob
import io
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from official_repro.data import image_files

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.gif', '.tif', '.tiff', '.webp')


def find_images(images: str) -> list[str]:
  """Lists the picture files that --images means.

  Args:
    images: a file; a folder (the files in it with a picture's suffix); or a
      pattern such as 'photos/**/*.jpg' (** = any folders).

  Returns:
    Sorted paths, at least one.

  Raises:
    ValueError: there is none.
  """
  if os.path.isdir(images):
    names = sorted(os.listdir(images))
    found = [
      os.path.join(images, n) for n in names if n.lower().endswith(SUFFIXES)
    ]
  elif os.path.exists(images):
    found = [images]
  else:
    matches = sorted(glob.glob(images, recursive=True))
    found = [path for path in matches if os.path.isfile(path)]
  if not found:
    raise ValueError(
      f'No picture at --images {images!r}; give a file, a folder or a quoted '
      f'pattern (in a folder: {", ".join(s[1:] for s in SUFFIXES)}).'
    )
  return found


def read_image(path: str) -> tuple[bytes, np.ndarray]:
  """Reads a picture file as the builder of the records does.

  Args:
    path: of the file.

  Returns:
    JPEG or PNG bytes, upright, and the picture itself, uint8 [H, W, 3] RGB.

  Raises:
    ValueError: it is no picture, or a damaged one.
  """
  try:
    with open(path, 'rb') as f:
      encoded = image_files.usable_image(f.read()).encoded
  except OSError as e:
    raise ValueError(f'cannot be opened: {e.strerror}') from e
  picture = Image.open(io.BytesIO(encoded)).convert('RGB')
  return encoded, np.asarray(picture)


def output_names(
  paths: Sequence[str], beside: Sequence[str] = ()
) -> dict[str, str]:
  """Maps each path to a file name of its own: cat.png, cat-2.png, ...

  Args:
    paths: of pictures.
    beside: endings of further files of each one, such as '-overlay.png' for
      cat-overlay.png; these names are free too.
  """
  names, taken = {}, set()
  for path in paths:
    stem = name = os.path.splitext(os.path.basename(path))[0]
    count = 1
    while not taken.isdisjoint(own := _files(name, beside)):
      count += 1
      name = f'{stem}-{count}'
    taken |= own
    names[path] = f'{name}.png'
  return names


def _files(name, beside):
  return {f'{name}{ending}'.lower() for ending in ('.png', *beside)}
