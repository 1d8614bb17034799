r"""Takes near-duplicates out of a split: copies within it, or of other splits.

python -m official_repro.dedup --data_dir=DIR --output=OUT --split=train \
    --against=validation
python -m official_repro.dedup --data_dir=DIR --output=OUT --split=train

OUT becomes a data folder over the same records, without the dropped ones; it
also holds kept.txt, dropped.csv, pairs.jpg and dedup.json.
"""

import functools

from absl import flags

from official_repro.core import flags as core_flags

CONFIRM = ('pixels', 'embedding')
# On the planted copies of benchmarks/dedup_recall.py; features of nearly equal
# pictures are nearly parallel.
_MIN_SCORE = {'pixels': 0.84, 'embedding': 0.95}


def define_flags() -> None:
  """Defines the flags of this binary."""
  core_flags.define_onednn_flag()
  d = flags
  d.DEFINE_string('data_dir', None, 'Folder with dataset.json.')
  d.DEFINE_string('output', None, 'Folder of the data set without copies.')
  d.DEFINE_string('split', 'train', 'Split that loses records.')
  d.DEFINE_list(
    'against',
    [],
    'Evaluation splits: drop what is a copy of a picture there. Default: '
    'drop copies within --split, keeping the largest.',
  )
  d.DEFINE_string(
    'against_dir', None, 'Data folder of these splits. Default: --data_dir.'
  )
  d.DEFINE_enum(
    'confirm', 'pixels', CONFIRM, 'By what candidates are compared.'
  )
  d.DEFINE_string(
    'checkpoint', None, 'Folder of a training run, for --confirm=embedding.'
  )
  d.DEFINE_float(
    'min_score',
    None,
    'Least score of a copy: 1 is the same picture. Default: '
    + ', '.join(f'{v} by {k}' for k, v in _MIN_SCORE.items())
    + '.',
  )
  d.DEFINE_integer(
    'radius', 10, 'Most bits, of 64, between the hashes of candidates.'
  )
  d.DEFINE_bool(
    'crops', True, 'Look for cropped copies too, with seven times the hashes.'
  )
  d.DEFINE_bool('overwrite', False, 'Replace the data set in --output.')
  core_flags.define_beam_flags()


def main(argv) -> None:
  """Removes the copies that the flags ask for and prints the numbers."""
  del argv
  # Here, as Beam takes seconds to import and --help does not need it.
  from official_repro.data.dedup import pipeline, removing

  values = flags.FLAGS
  for name in ('data_dir', 'output'):
    if not values[name].value:
      raise ValueError(f'Flag --{name} is missing; --help lists the flags.')
  min_score = values.min_score
  options = pipeline.Options(
    radius=values.radius,
    min_score=_MIN_SCORE[values.confirm] if min_score is None else min_score,
    crops=values.crops,
    features=_features(values),
  )
  print(
    removing.remove(
      values.data_dir,
      values.output,
      options,
      split=values.split,
      against=values.against,
      against_dir=values.against_dir,
      confirm=values.confirm,
      overwrite=values.overwrite,
      **core_flags.beam_options(),
    )
  )


def _features(values):
  if values.confirm == 'pixels':
    if values.checkpoint:
      raise ValueError('--checkpoint is for --confirm=embedding.')
    return None
  if not values.checkpoint:
    raise ValueError(
      '--confirm=embedding needs --checkpoint, the folder of a training run.'
    )
  # Imports TensorFlow.
  from official_repro import embedding

  embedding.load(values.checkpoint)  # a wrong folder is told at once
  return functools.partial(embedding.features, model_dir=values.checkpoint)


if __name__ == '__main__':
  define_flags()
  core_flags.run(main, beam=True)
