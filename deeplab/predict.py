r"""Finds the class of every pixel with a trained segmentation net.

  python -m deeplab.predict --model_dir=RUN --images='photos/*.jpg' --output=DIR

Writes for each picture, at its (upright) size, DIR/NAME.png, whose pixels are
class indices with PASCAL VOC's palette, and DIR/NAME-overlay.png, the picture
under their colours; and DIR/predictions.json: `classes` (names by index),
`images` with the classes found in each and their shares of the pixels.

A picture larger than the training pictures is seen through overlapping windows
of their size (--inference=sliding), or at once (whole), which takes memory in
proportion to its size. Up to one window the two are equal.
"""

import json
import os
import sys
from typing import Optional

import numpy as np
from absl import flags
from PIL import Image

from deeplab import drawing
from official_repro.core import flags as core_flags
from official_repro.data import picture_files

MODES = ('sliding', 'whole')
_OVERLAY = '-overlay.png'


def predict(
  model_dir: str,
  images: str,
  output: str,
  mode: str = 'sliding',
  window: Optional[int] = None,
  overlap: Optional[int] = None,
) -> dict:
  """Finds the classes and writes what `main` promises.

  Args:
    model_dir: folder of the run.
    images: see picture_files.find_images.
    output: folder, made if need be; files of the same names are replaced.
    mode: one of MODES.
    window: side in pixels; None: that of the run's evaluation.
    overlap: see inference.bands.

  Returns:
    What predictions.json holds: `checkpoint`, `classes`, `images` (file_name,
    height, width, mask, overlay, and `found`: class, name, pixels and share of
    each class, the largest first), `unreadable`: [{'file_name', 'reason'}].

  Raises:
    ValueError: no picture could be read, or the run cannot be used.
  """
  paths = picture_files.find_images(images)
  # Not above, so that a wrong --images is told before TensorFlow has loaded.
  from deeplab import building, inference

  trained = building.load_trained(model_dir)
  window = trained.window if window is None else window
  inference.check_window(window, overlap)
  os.makedirs(output, exist_ok=True)
  result = {
    'checkpoint': trained.checkpoint,
    'classes': list(trained.labels.names),
    'images': [],
    'unreadable': [],
  }
  run = inference.graph_function(trained.model)
  names = picture_files.output_names(paths, [_OVERLAY])
  for path in paths:
    try:
      _, pixels = picture_files.read_image(path)
    except ValueError as e:
      reason = ' '.join(str(e).split())
      result['unreadable'].append({'file_name': path, 'reason': reason})
      continue
    mask = inference.labels_of(run, pixels, mode, window, overlap)
    files = names[path], os.path.splitext(names[path])[0] + _OVERLAY
    _write_pictures(pixels, mask, output, files)
    result['images'].append(_entry(path, mask, files, result['classes']))
  if not result['images']:
    first = result['unreadable'][0]
    raise ValueError(
      f'None of the {len(paths)} files at --images {images!r} is a picture '
      f'that can be read; the first is {first["file_name"]}: '
      f'{first["reason"]}'
    )
  _write_json(os.path.join(output, 'predictions.json'), result)
  return result


def _entry(path, mask, files, names):
  """What predictions.json tells of one picture."""
  classes, counts = np.unique(mask, return_counts=True)
  found = [
    {
      'class': int(k),
      'name': names[k],
      'pixels': int(n),
      'share': float(n / mask.size),
    }
    for k, n in zip(classes, counts)
  ]
  return {
    'file_name': path,
    'height': mask.shape[0],
    'width': mask.shape[1],
    'mask': files[0],
    'overlay': files[1],
    'found': sorted(found, key=lambda f: (-f['pixels'], f['class'])),
  }


def _write_pictures(pixels, mask, output, files):
  with open(os.path.join(output, files[0]), 'wb') as f:
    f.write(drawing.palette_png(mask))
  overlay = Image.fromarray(drawing.overlay(pixels, mask))
  overlay.save(os.path.join(output, files[1]))


def _write_json(path, content):
  with open(path + '.tmp', 'w', encoding='utf-8') as f:
    json.dump(content, f, indent=1, ensure_ascii=False)
  os.replace(path + '.tmp', path)


def main(_):
  """Parses flags, finds the classes, tells what was written."""
  values = flags.FLAGS
  for name in ('model_dir', 'images', 'output'):
    if not values[name].value:
      raise ValueError(f'Flag --{name} is missing: {values[name].help}')
  result = predict(
    values.model_dir,
    values.images,
    values.output,
    values.inference,
    values.window,
    values.overlap,
  )
  for bad in result['unreadable']:
    print(f'Unreadable: {bad["file_name"]}: {bad["reason"]}', file=sys.stderr)
  skipped = len(result['unreadable'])
  found = {f['class'] for i in result['images'] for f in i['found']} - {0}
  print(
    f'Found {len(found)} classes beside the background in '
    f'{len(result["images"])} pictures'
    + (f', skipped {skipped} that cannot be read' if skipped else '')
    + f'; see {os.path.join(values.output, "predictions.json")} and the .png '
    'files beside it.'
  )


def define_flags():
  """Defines the flags of this binary."""
  core_flags.define_onednn_flag()
  d = flags
  d.DEFINE_string('model_dir', None, 'Folder of a training run.')
  d.DEFINE_string('images', None, 'File, folder or quoted pattern.')
  d.DEFINE_string('output', None, 'Folder for pictures and JSON.')
  d.DEFINE_enum(
    'inference',
    'sliding',
    MODES,
    'How a picture larger than the window is seen.',
  )
  d.DEFINE_integer(
    'window', None, "Side in pixels; default: that of the run's evaluation."
  )
  d.DEFINE_integer(
    'overlap', None, 'Pixels that windows share; default: a third of one.'
  )


if __name__ == '__main__':
  define_flags()
  core_flags.run(main)
