r"""Finds people's joints in pictures with a trained pose net.

  python -m pose.predict --model_dir=RUN --images='photos/*.jpg' --output=DIR \
      --boxes_file=detections.json

The net looks into boxes for one person each. They come from --boxes_file, which
object_detection.predict writes or any COCO results file; from --detector, a
folder that object_detection.export has written; with neither, the whole picture
is one box.

Writes DIR/NAME.png, the picture with skeletons, for each one, and
DIR/poses.json in the form of COCO's annotation files: `images`, `categories`
and `annotations`, each with `keypoints` (x, y, v of each joint, in pixels of
the (upright) picture), `keypoint_scores`, a `score` and the `bbox` that was
looked into. v is 2 for joints from --min_score on, which are drawn, else 0.
"""

import json
import os
import sys
from typing import Optional

from absl import flags
from PIL import Image

from official_repro.core import flags as core_flags
from official_repro.data import coco_results, picture_files
from pose import boxes_from, coco_files, drawing
from pose import joints as joints_lib

_VISIBLE, _UNSURE = 2, 0


def predict(
  model_dir: str,
  images: str,
  output: str,
  boxes_file: Optional[str] = None,
  detector: Optional[str] = None,
  min_box_score: float = coco_files.SCORE_ABOVE,
  person_category: Optional[int] = None,
  min_score: float = drawing.SHOWN_FROM,
  flip_test: bool = False,
) -> dict:
  """Finds people and writes what `main` promises.

  Args:
    model_dir: folder of the run.
    images: see picture_files.find_images.
    output: folder, made if need be; files of the same names are replaced.
    boxes_file: see boxes_from.File.
    detector: folder, see boxes_from.Detector.
    min_box_score: boxes of this score or a lower one are not looked into.
    person_category: id of people in the boxes' source; None: found by name.
    min_score: of the joints that are drawn.
    flip_test: average over each crop and its mirror image.

  Returns:
    What poses.json holds: COCO's `images` (also with `picture`, the file that
    was drawn, and `boxes`, how many were looked into), `categories`,
    `annotations` (of a picture: best first); `checkpoint`; `boxes`, where they
    are from; `left_out`: [{'file_name', 'bbox'}] of boxes without height or
    width; `unreadable`: [{'file_name', 'reason'}].

  Raises:
    FileNotFoundError: there is no such boxes_file.
    ValueError: both boxes_file and detector are given, no picture could be
      read, or the boxes or the run cannot be used.
  """
  if boxes_file and detector:
    raise ValueError(
      'Flags --boxes_file and --detector both say where people are: give one.'
    )
  paths = picture_files.find_images(images)
  options = min_box_score, person_category
  source = boxes_from.WholePicture()
  if boxes_file:
    source = boxes_from.File(boxes_file, paths, *options)
  elif detector:
    source = boxes_from.Detector(detector, *options)
  # Not above, so that wrong --images or boxes are told before TensorFlow has
  # loaded.
  from pose import building, inference

  trained = building.load_trained(model_dir)
  run = inference.pose_function(trained, flip_test)
  os.makedirs(output, exist_ok=True)
  result = _empty_result(trained.checkpoint, source.about)
  names = picture_files.output_names(paths)
  for path in paths:
    try:
      _, pixels = picture_files.read_image(path)
    except ValueError as e:
      reason = ' '.join(str(e).split())
      result['unreadable'].append({'file_name': path, 'reason': reason})
      continue
    given = source(path, pixels)
    try:
      found = inference.find(run, pixels, given.boxes, trained.oks_threshold)
    except ValueError as e:
      raise ValueError(f'{path}: {e}') from e
    _add(result, path, names[path], pixels, given, found, min_score)
    shown_boxes = given if source.about['from'] != 'whole picture' else None
    drawn = _drawn(pixels, shown_boxes, found, min_score)
    Image.fromarray(drawn).save(os.path.join(output, names[path]))
  if not result['images']:
    first = result['unreadable'][0]
    raise ValueError(
      f'None of the {len(paths)} files at --images {images!r} is a picture '
      f'that can be read; the first is {first["file_name"]}: '
      f'{first["reason"]}'
    )
  _write_json(os.path.join(output, 'poses.json'), result)
  return result


def _empty_result(checkpoint, about):
  """What poses.json tells before the first picture."""
  return {
    'checkpoint': checkpoint,
    'boxes': about,
    'images': [],
    'categories': [
      {
        'id': coco_files.PERSON,
        'name': 'person',
        'supercategory': 'person',
        'keypoints': list(joints_lib.NAMES),
        # COCO counts joints from 1 here.
        'skeleton': [[a + 1, b + 1] for a, b, _ in joints_lib.SKELETON],
      }
    ],
    'annotations': [],
    'left_out': [],
    'unreadable': [],
  }


def _add(result, path, picture, pixels, given, found, min_score):
  """Adds an image and its people, best first."""
  image_id = len(result['images']) + 1
  height, width = pixels.shape[:2]
  result['images'].append(
    {
      'id': image_id,
      'file_name': path,
      'height': height,
      'width': width,
      'picture': picture,
      'boxes': len(given.boxes),
    }
  )
  for box in coco_results.to_xywh(given.left_out).tolist():
    result['left_out'].append({'file_name': path, 'bbox': box})
  boxes = coco_results.to_xywh(given.boxes)
  for joints, score, i in zip(*found):
    shown = joints[:, 2] >= min_score
    keypoints = [
      value
      for (y, x, _), sure in zip(joints.tolist(), shown)
      for value in (x, y, _VISIBLE if sure else _UNSURE)
    ]
    result['annotations'].append(
      {
        'id': len(result['annotations']) + 1,
        'image_id': image_id,
        'category_id': coco_files.PERSON,
        'keypoints': keypoints,
        'num_keypoints': int(shown.sum()),
        'keypoint_scores': joints[:, 2].tolist(),
        'score': float(score),
        'bbox': boxes[i].tolist(),
        'box_score': float(given.scores[i]),
        'area': float(boxes[i, 2] * boxes[i, 3]),
        'iscrowd': 0,
      }
    )


def _drawn(pixels, given, found, min_score):
  """Draws the people; given: their boxes, None for no boxes."""
  joints, scores, which = found
  if given is None or not len(which):
    return drawing.draw_people(pixels, joints, min_score)
  boxes = given.boxes[which]
  return drawing.draw_people(pixels, joints, min_score, boxes, scores)


def _write_json(path, content):
  with open(path + '.tmp', 'w', encoding='utf-8') as f:
    json.dump(content, f, indent=1, ensure_ascii=False)
  os.replace(path + '.tmp', path)


def main(_):
  """Parses flags, finds the people, tells what was written."""
  values = flags.FLAGS
  for name in ('model_dir', 'images', 'output'):
    if not values[name].value:
      raise ValueError(f'Flag --{name} is missing: {values[name].help}')
  if not values.boxes_file and not values.detector:
    for name in ('min_box_score', 'person_category'):
      if values[name].present:
        raise ValueError(
          f'Flag --{name} is about boxes: give --boxes_file or --detector too.'
        )
  result = predict(
    values.model_dir,
    values.images,
    values.output,
    values.boxes_file,
    values.detector,
    values.min_box_score,
    values.person_category,
    values.min_score,
    values.flip_test,
  )
  for bad in result['unreadable']:
    print(f'Unreadable: {bad["file_name"]}: {bad["reason"]}', file=sys.stderr)
  for bad in result['left_out']:
    print(
      f'Left out: {bad["file_name"]}: the box {bad["bbox"]} (x, y, width, '
      'height) has no height or width.',
      file=sys.stderr,
    )
  print(_summary(result, values.output))


def _summary(result, output):
  people = sum(a['num_keypoints'] > 0 for a in result['annotations'])
  lonely = sum(not i['boxes'] for i in result['images'])
  left_out, skipped = len(result['left_out']), len(result['unreadable'])
  return (
    f'Found {people} people in {len(result["images"])} pictures'
    + (f' ({lonely} without a box of a person)' if lonely else '')
    + (f', left out {left_out} boxes without size' if left_out else '')
    + (f', skipped {skipped} that cannot be read' if skipped else '')
    + f'; see {os.path.join(output, "poses.json")} and the .png files beside '
    'it.'
  )


def define_flags():
  """Defines the flags of this binary."""
  core_flags.define_onednn_flag()
  d = flags
  d.DEFINE_string('model_dir', None, 'Folder of a training run.')
  d.DEFINE_string('images', None, 'File, folder or quoted pattern.')
  d.DEFINE_string('output', None, 'Folder for pictures and JSON.')
  d.DEFINE_string(
    'boxes_file',
    None,
    'detections.json of object_detection.predict, or a COCO results file.',
  )
  d.DEFINE_string(
    'detector', None, 'Folder that object_detection.export has written.'
  )
  d.DEFINE_float(
    'min_box_score',
    coco_files.SCORE_ABOVE,
    'Boxes of this score or a lower one are not looked into.',
    lower_bound=0,
    upper_bound=1,
  )
  d.DEFINE_integer(
    'person_category',
    None,
    "Id of people in the boxes' file or of the detector; default: that of "
    "'person' by name, where names are given, else 1.",
  )
  d.DEFINE_float(
    'min_score',
    drawing.SHOWN_FROM,
    'Joints below it are not drawn.',
    lower_bound=0,
  )
  d.DEFINE_bool(
    'flip_test', False, 'Average over each crop and its mirror image.'
  )


if __name__ == '__main__':
  define_flags()
  core_flags.run(main)
