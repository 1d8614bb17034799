"""Photos learnt by heart: does the detector fit what it is shown?

  python -m benchmarks.detection_photos --annotations=person_keypoints.json

Trains on a few photos with boxes around people and evaluates on the same ones:
a wrong sign, coordinate order or scale anywhere between the record and the
results file would keep AP50 low. Prints one JSON line. The photos lie beside
the annotations, in COCO's format; those that are absent are left out.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from absl import flags

from benchmarks import machine
from official_repro.core import flags as core_flags

DEFAULT_ANNOTATIONS = '../shared/data/coco_keypoints/person_keypoints.json'
# Whole photos, and anchors from 24 to 384 pixels.
_OVERRIDES = {
  'task.classes': ['person'],
  'task.validation_data.split': 'train',
  'task.model.anchor_base': 192,
  'task.model.anchor_scales': [0.125, 0.25, 0.5, 1, 2],
  **{
    f'task.{split}.{key}': value
    for split in ('train_data', 'validation_data')
    for key, value in (
      ('min_side', 480),
      ('max_side', 640),
      ('pad_multiple', 16),
      ('global_batch_size', 1),
    )
  },
}


def write_annotations(path: str, output: pathlib.Path) -> int:
  """Copies a COCO file without the images that are not there.

  Args:
    path: the annotation file, images beside it.
    output: file to write.

  Returns:
    The number of images.

  Raises:
    ValueError: no such file, or none of its images is there.
  """
  if not os.path.exists(path):
    raise ValueError(f'File {path!r} is missing; give --annotations=FILE.')
  folder = pathlib.Path(path).parent
  content = json.loads(pathlib.Path(path).read_text(encoding='utf-8'))
  content['images'] = [
    x for x in content['images'] if (folder / x['file_name']).exists()
  ]
  if not content['images']:
    raise ValueError(f'None of the images of {path!r} lies beside it.')
  ids = {x['id'] for x in content['images']}
  content['annotations'] = [
    x for x in content['annotations'] if x['image_id'] in ids
  ]
  output.write_text(json.dumps(content), encoding='utf-8')
  return len(ids)


def run(annotations, init_checkpoint, folder: pathlib.Path, steps) -> dict:
  """Builds the records, trains, evaluates; returns the result line."""
  start = time.time()
  photos = write_annotations(annotations, folder / 'annotations.json')
  _call(
    'official_repro.build_records',
    source='coco',
    kind='keypoints',
    annotations=f'train={folder / "annotations.json"}',
    image_root=os.path.dirname(annotations),
    output=folder / 'data',
  )
  settings = {
    **_OVERRIDES,
    'trainer.validation_interval': steps,
    'trainer.optimizer_config.learning_rate.cosine.decay_steps': steps,
  }
  options = {'init_checkpoint': init_checkpoint} if init_checkpoint else {}
  _call(
    'object_detection.train',
    experiment='mini_coco',
    data_dir=folder / 'data',
    model_dir=folder / 'run',
    train_steps=steps,
    params_override=json.dumps(settings),
    **options,
  )
  lines = (folder / 'run' / 'metrics.jsonl').read_text().splitlines()
  metrics = json.loads(lines[-1])['metrics']
  return {
    'benchmark': 'detection_photos',
    'photos': photos,
    'init_checkpoint': bool(init_checkpoint),
    'AP50': round(metrics['AP50'], 4),
    'AP': round(metrics['AP'], 4),
    'steps': steps,
    'seconds': round(time.time() - start, 1),
  }


def _call(module, **options):
  words = [f'--{k}={v}' for k, v in options.items()]
  command = [sys.executable, '-m', module, *words]
  done = subprocess.run(command, stdout=sys.stderr, check=False)
  if done.returncode:
    raise ValueError(f'{module} ended with exit code {done.returncode}.')


def main(_):
  """Runs the check in a temporary folder and prints its line."""
  machine.prepare()
  values = flags.FLAGS
  with tempfile.TemporaryDirectory() as folder:
    result = run(
      values.annotations,
      values.init_checkpoint,
      pathlib.Path(values.keep or folder),
      values.train_steps,
    )
  machine.print_line(result)


if __name__ == '__main__':
  flags.DEFINE_string('annotations', DEFAULT_ANNOTATIONS, 'COCO file.')
  flags.DEFINE_string('init_checkpoint', None, 'Of mini_jft; default: none.')
  flags.DEFINE_integer('train_steps', 600, 'Optimizer steps.', 1)
  flags.DEFINE_string('keep', None, 'Folder for data and run; default: gone.')
  core_flags.run(main)
