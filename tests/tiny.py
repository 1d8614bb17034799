"""A tiny data folder and a tiny preset for tests of whole runs."""

from tests import binaries

OVERRIDE = (
  'task.model.width=0.125,'
  'task.train_data.resize=40,task.train_data.crop=32,'
  'task.validation_data.resize=40,task.validation_data.crop=32,'
  'task.validation_data.global_batch_size=8,'
  'task.train_data.shuffle_group=32,'
  'trainer.steps_per_loop=4,trainer.sample_pictures=0'
)


def build(output, images=64, eval_images=16, **options):
  """Generates a small mini_jft folder through the binary."""
  done = call(
    'build_records',
    source='mini_jft',
    output=output,
    num_images=images,
    eval_images=eval_images,
    image_size=40,
    num_shards=4,
    **{'processes': 1, **options},
  )
  assert done.returncode == 0, done.stderr
  return str(output)


def call(binary, **options):
  """Runs a binary in this process, see binaries.call."""
  return binaries.call(f'official_repro.{binary}', **options)


def process(binary, **options):
  """Runs a binary in a process of its own, see binaries.process."""
  return binaries.process(f'official_repro.{binary}', **options)


def train_options(data, model_dir, steps=8, override='', **options):
  """Flags of a tiny run."""
  return dict(
    {
      'experiment': 'mini_jft',
      'data_dir': data,
      'model_dir': model_dir,
      'train_steps': steps,
      'batch_size': 8,
      'params_override': OVERRIDE + (',' + override if override else ''),
    },
    **options,
  )
