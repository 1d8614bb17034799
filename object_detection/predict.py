r"""Finds objects in pictures with a trained detector.

  python -m object_detection.predict --model_dir=RUN --images='photos/*.jpg' \
      --output=DIR

Writes DIR/NAME.png, the picture with boxes, names and scores, for each one, and
DIR/detections.json in the form of COCO's annotation files: `images`,
`categories` and `annotations`, each with a `score`; a bbox is x, y, width,
height in pixels of the (upright) picture. Boxes from --min_score on are drawn;
the file has all.
"""

import json
import os
import sys

from absl import flags
from PIL import Image

from object_detection import drawing
from official_repro.core import flags as core_flags
from official_repro.data import picture_files


def predict(
  model_dir: str,
  images: str,
  output: str,
  min_score: float = drawing.SHOWN_FROM,
) -> dict:
  """Finds objects and writes what `main` promises.

  Args:
    model_dir: folder of the run.
    images: see picture_files.find_images.
    output: folder, made if need be; files of the same names are replaced.
    min_score: of the boxes that are drawn.

  Returns:
    What detections.json holds: COCO's `images` (also with `picture`, the file
    that was drawn), `categories`, `annotations`; `checkpoint`; `unreadable`:
    [{'file_name', 'reason'}].

  Raises:
    ValueError: no picture could be read, or the run cannot be used.
  """
  paths = picture_files.find_images(images)
  # Not above, so that a wrong --images is told before TensorFlow has loaded.
  from object_detection import building, serving

  detector = building.load_trained(model_dir)
  labels = detector.labels
  os.makedirs(output, exist_ok=True)
  result = {
    'checkpoint': detector.checkpoint,
    'images': [],
    'categories': [
      {'id': int(i), 'name': n}
      for i, n in zip(labels.category_ids, labels.names)
    ],
    'annotations': [],
    'unreadable': [],
  }
  detect = serving.detect_function(detector)
  pictures = picture_files.output_names(paths)
  for path in paths:
    try:
      _, pixels = picture_files.read_image(path)
    except ValueError as e:
      reason = ' '.join(str(e).split())
      result['unreadable'].append({'file_name': path, 'reason': reason})
      continue
    found = {k: v.numpy() for k, v in detect(pixels).items()}
    _add(result, path, pictures[path], pixels, found)
    _draw(pixels, found, labels.names, min_score, output, pictures[path])
  if not result['images']:
    first = result['unreadable'][0]
    raise ValueError(
      f'None of the {len(paths)} files at --images {images!r} is a picture '
      f'that can be read; the first is {first["file_name"]}: '
      f'{first["reason"]}'
    )
  _write_json(os.path.join(output, 'detections.json'), result)
  return result


def _add(result, path, picture, pixels, found):
  """Adds an image and its detections, best first."""
  image_id = len(result['images']) + 1
  height, width = pixels.shape[:2]
  result['images'].append(
    {
      'id': image_id,
      'file_name': path,
      'height': height,
      'width': width,
      'picture': picture,
    }
  )
  ids = [category['id'] for category in result['categories']]
  for box, k, score in zip(found['boxes'], found['classes'], found['scores']):
    ymin, xmin, ymax, xmax = (float(v) for v in box)
    result['annotations'].append(
      {
        'id': len(result['annotations']) + 1,
        'image_id': image_id,
        'category_id': ids[k - 1],
        'bbox': [xmin, ymin, xmax - xmin, ymax - ymin],
        'area': (xmax - xmin) * (ymax - ymin),
        'iscrowd': 0,
        'score': float(score),
      }
    )


def _draw(pixels, found, names, min_score, output, picture):
  shown = found['scores'] >= min_score
  drawn = drawing.draw_objects(
    pixels,
    found['boxes'][shown],
    [names[k - 1] for k in found['classes'][shown]],
    found['scores'][shown],
  )
  Image.fromarray(drawn).save(os.path.join(output, picture))


def _write_json(path, content):
  with open(path + '.tmp', 'w', encoding='utf-8') as f:
    json.dump(content, f, indent=1, ensure_ascii=False)
  os.replace(path + '.tmp', path)


def main(_):
  """Parses flags, finds the objects, tells what was written."""
  values = flags.FLAGS
  for name in ('model_dir', 'images', 'output'):
    if not values[name].value:
      raise ValueError(f'Flag --{name} is missing: {values[name].help}')
  result = predict(
    values.model_dir, values.images, values.output, values.min_score
  )
  for bad in result['unreadable']:
    print(f'Unreadable: {bad["file_name"]}: {bad["reason"]}', file=sys.stderr)
  shown = sum(a['score'] >= values.min_score for a in result['annotations'])
  skipped = len(result['unreadable'])
  print(
    f'Found {shown} objects in {len(result["images"])} pictures'
    + (f', skipped {skipped} that cannot be read' if skipped else '')
    + f'; see {os.path.join(values.output, "detections.json")} and the .png '
    'files beside it.'
  )


def define_flags():
  """Defines the flags of this binary."""
  core_flags.define_onednn_flag()
  d = flags
  d.DEFINE_string('model_dir', None, 'Folder of a training run.')
  d.DEFINE_string('images', None, 'File, folder or quoted pattern.')
  d.DEFINE_string('output', None, 'Folder for pictures and JSON.')
  d.DEFINE_float(
    'min_score',
    drawing.SHOWN_FROM,
    'Boxes below it are not drawn.',
    lower_bound=0,
    upper_bound=1,
  )


if __name__ == '__main__':
  define_flags()
  core_flags.run(main)
