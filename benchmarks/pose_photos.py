"""Photos learnt by heart: does the pose net fit whom it is shown?

  python -m benchmarks.pose_photos --init_checkpoint=RUN_OF_MINI_JFT

Trains on the people of a few photos and evaluates on the same ones, in the
crops that it was trained on: a wrong sign, coordinate order or scale anywhere
between the record and the results file would keep AP low. Prints one JSON
line. The photos lie beside the annotations, in COCO's format; those that are
absent are left out. Batch norm is frozen with an init checkpoint only, as
random weights have no statistics to freeze.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from absl import flags

from benchmarks import detection_photos, machine
from official_repro.core import flags as core_flags

# Everybody in each step: the two photos have five people with joints.
_BATCH = 5
_TEST_SCALE = 1.25
_OVERRIDES = {
  'task.validation_data.split': 'train',
  'task.validation_data.global_batch_size': _BATCH,
  'task.train_data.flip': False,
  'task.crop.train_scales': [_TEST_SCALE, _TEST_SCALE],
  'task.crop.test_scale': _TEST_SCALE,
}


def run(annotations, init_checkpoint, folder: pathlib.Path, steps) -> dict:
  """Builds the records, trains, evaluates; returns the result line."""
  start = time.time()
  photos = detection_photos.write_annotations(
    annotations, folder / 'annotations.json'
  )
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
    'task.model.freeze_batch_norm': bool(init_checkpoint),
    'trainer.validation_interval': steps,
    'trainer.optimizer_config.learning_rate.cosine.decay_steps': steps,
  }
  options = {'init_checkpoint': init_checkpoint} if init_checkpoint else {}
  _call(
    'pose.train',
    experiment='mini_person',
    data_dir=folder / 'data',
    model_dir=folder / 'run',
    batch_size=_BATCH,
    train_steps=steps,
    params_override=json.dumps(settings),
    **options,
  )
  lines = (folder / 'run' / 'metrics.jsonl').read_text().splitlines()
  metrics = json.loads(lines[-1])['metrics']
  return {
    'benchmark': 'pose_photos',
    'photos': photos,
    'init_checkpoint': bool(init_checkpoint),
    'AP': round(metrics['AP/gt_boxes'], 4),
    'AP50': round(metrics['AP50/gt_boxes'], 4),
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
  flags.DEFINE_string(
    'annotations', detection_photos.DEFAULT_ANNOTATIONS, 'COCO file.'
  )
  flags.DEFINE_string('init_checkpoint', None, 'Of mini_jft; default: none.')
  flags.DEFINE_integer('train_steps', 600, 'Optimizer steps.', 1)
  flags.DEFINE_string('keep', None, 'Folder for data and run; default: gone.')
  core_flags.run(main)
