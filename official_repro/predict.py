r"""Labels pictures with a trained classifier.

  python -m official_repro.predict --model_dir=RUN --images='photos/*.jpg' \
      --output=DIR

Writes DIR/NAME.png, the picture beside its best labels, for each one, and
DIR/predictions.json.
"""

import json
import os
import sys

from absl import flags
from PIL import Image

from official_repro.core import drawing
from official_repro.core import flags as core_flags
from official_repro.data.picture_files import (
  find_images,
  output_names,
  read_image,
)

# Pictures that go through the network together.
_BATCH = 16


def predict(model_dir: str, images: str, output: str, top: int = 5) -> dict:
  """Labels pictures and writes what `main` promises.

  Args:
    model_dir: folder of the run.
    images: see find_images.
    output: folder, made if need be; files of the same names are replaced.
    top: labels of each picture.

  Returns:
    What predictions.json holds: {'checkpoint', 'predictions': [{'image',
    'picture', 'labels': [{'id', 'name', 'score'}, best first]}], 'unreadable':
    [{'image', 'reason'}]}.

  Raises:
    ValueError: no picture could be read, or the run cannot be used.
  """
  paths = find_images(images)
  # Not above, so that a wrong --images is told before TensorFlow has loaded.
  from official_repro import trained

  classifier = trained.load(model_dir)
  os.makedirs(output, exist_ok=True)
  pictures = output_names(paths)
  result = {
    'checkpoint': classifier.checkpoint,
    'predictions': [],
    'unreadable': [],
  }
  for start in range(0, len(paths), _BATCH):
    _predict_batch(
      classifier, paths[start : start + _BATCH], pictures, output, top, result
    )
  if not result['predictions']:
    first = result['unreadable'][0]
    raise ValueError(
      f'None of the {len(paths)} files at --images {images!r} is a picture '
      f'that can be read; the first is {first["image"]}: {first["reason"]}'
    )
  path = os.path.join(output, 'predictions.json')
  with open(path, 'w', encoding='utf-8') as f:
    json.dump(result, f, indent=1, ensure_ascii=False)
  return result


def _predict_batch(classifier, paths, pictures, output, top, result):
  import tensorflow as tf

  good, inputs, shown = [], [], []
  for path in paths:
    try:
      encoded, picture = read_image(path)
      inputs.append(classifier.decode(tf.constant(encoded)))
    except (ValueError, tf.errors.OpError) as e:
      reason = ' '.join((getattr(e, 'message', '') or str(e)).split())
      result['unreadable'].append({'image': path, 'reason': reason})
      continue
    good.append(path)
    shown.append(picture)
  if not good:
    return
  best = classifier(tf.stack(inputs), top)
  for path, picture, ids, values in zip(
    good, shown, best['label_ids'].numpy(), best['scores'].numpy()
  ):
    labels = [
      {'id': int(i), 'name': classifier.names[i], 'score': float(v)}
      for i, v in zip(ids, values)
    ]
    _draw(picture, labels, path, os.path.join(output, pictures[path]))
    result['predictions'].append(
      {'image': path, 'picture': pictures[path], 'labels': labels}
    )


def _draw(picture, labels, path, target):
  drawn = drawing.prediction_picture(
    picture,
    [label['name'] for label in labels],
    [label['score'] for label in labels],
    os.path.basename(path),
  )
  Image.fromarray(drawn).save(target)


def main(_):
  """Parses flags, labels the pictures, tells what was written."""
  values = flags.FLAGS
  for name in ('model_dir', 'images', 'output'):
    if not values[name].value:
      raise ValueError(f'Flag --{name} is missing: {values[name].help}')
  result = predict(values.model_dir, values.images, values.output, values.top)
  for bad in result['unreadable']:
    print(f'Unreadable: {bad["image"]}: {bad["reason"]}', file=sys.stderr)
  skipped = len(result['unreadable'])
  print(
    f'Labelled {len(result["predictions"])} pictures'
    + (f', skipped {skipped} that cannot be read' if skipped else '')
    + f'; see {os.path.join(values.output, "predictions.json")} and the .png '
    'files beside it.'
  )


if __name__ == '__main__':
  flags.DEFINE_string('model_dir', None, 'Folder of a training run.')
  flags.DEFINE_string('images', None, 'File, folder or quoted pattern.')
  flags.DEFINE_string('output', None, 'Folder for pictures and JSON.')
  flags.DEFINE_integer('top', 5, 'Labels of each picture.', lower_bound=1)
  core_flags.define_onednn_flag()
  core_flags.run(main)
