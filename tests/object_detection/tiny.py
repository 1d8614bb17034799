"""A tiny data folder, preset and trunk for tests of whole detection runs."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image

from official_repro.core import checkpoints
from official_repro.data import examples, records
from official_repro.data import hierarchy as hierarchy_lib
from official_repro.modeling import classifier
from tests.binaries import call, process

__all__ = ['call', 'process']

WIDTH = 1 / 16
SIDE = 64
OVERRIDE = (
  f'task.model.width={WIDTH},task.model.num_proposals=12,'
  f'task.train_data.min_side={SIDE},task.train_data.max_side={SIDE},'
  f'task.validation_data.min_side={SIDE},task.validation_data.max_side={SIDE},'
  'task.train_data.shuffle_group=16,task.model.anchor_base=32,'
  'task.validation_data.global_batch_size=4,'
  'trainer.steps_per_loop=2,trainer.sample_pictures=0,'
  'trainer.validation_interval=1000'
)


def build(output, images=16, eval_images=6):
  """Generates a small mini_coco folder through the binary."""
  done = call(
    'official_repro.build_records',
    source='mini_coco',
    output=output,
    num_images=images,
    eval_images=eval_images,
    image_size=SIDE,
    num_shards=4,
    processes=1,
  )
  assert done.returncode == 0, done.stderr
  return str(output)


def train_options(data, model_dir, steps=4, override='', **options):
  """Flags of a tiny run."""
  return dict(
    {
      'experiment': 'mini_coco',
      'data_dir': data,
      'model_dir': model_dir,
      'train_steps': steps,
      'batch_size': 2,
      'params_override': OVERRIDE + (',' + override if override else ''),
    },
    **options,
  )


def picture(height=40, width=60, mode='RGB', seed=0, kind='PNG'):
  """An image file's bytes."""
  rng = np.random.default_rng(seed)
  channels = () if mode == 'L' else (3,)
  pixels = rng.integers(0, 256, (height, width, *channels), np.uint8)
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, kind)
  return file.getvalue()


def example(source_id, boxes=(), labels=None, crowd=None, **options):
  """A record; boxes are ymin, xmin, ymax, xmax from 0 to 1."""
  size = {k: options.pop(k) for k in ('height', 'width') if k in options}
  encoded = picture(**size, **options)
  height, width = size.get('height', 40), size.get('width', 60)
  boxes = np.float32(boxes).reshape(-1, 4)
  if labels is None:
    labels = np.ones(len(boxes), np.int64)
  return examples.Example(
    encoded=encoded,
    height=height,
    width=width,
    source_id=source_id,
    boxes=boxes,
    box_labels=np.array(labels, np.int64),
    is_crowd=None if crowd is None else np.array(crowd, np.int64),
  )


def write(folder, names=('cat', 'dog', 'bird'), info=None, **splits):
  """Writes a data folder of Examples: {split: [Example]}."""
  shards = {}
  for split, rows in splits.items():
    with records.RecordWriter(folder, split, num_shards=1) as writer:
      for row in rows:
        writer.write(row)
    shards[split] = writer.shards
  records.write_manifest(
    folder,
    name='tiny',
    hierarchy=hierarchy_lib.Hierarchy.flat(list(names)),
    splits=shards,
    info=info,
  )
  return str(folder)


def save_classifier(folder, **metadata):
  """Writes a classification checkpoint of the tiny trunk; returns its path."""
  tf.keras.utils.set_random_seed(5)
  options = {'depth': 14, 'width': WIDTH, 'stride_placement': 'slim'}
  options.update({k: v for k, v in metadata.items() if k in options})
  model = classifier.Classifier(num_classes=7, num_shards=1, **options)
  for variable in model.variables:
    if 'moving_mean' in variable.name:
      variable.assign(tf.random.normal(variable.shape, stddev=0.1))
  values = {**options, 'pixel_range': [-1, 1], 'num_classes': 7, **metadata}
  saved = tf.train.Checkpoint(
    model=model, metadata=checkpoints.Metadata(values)
  )
  manager = tf.train.CheckpointManager(saved, str(folder), 1)
  return manager.save(checkpoint_number=3)
