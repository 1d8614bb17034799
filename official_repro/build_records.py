r"""Builds a data folder: images and labels to TFRecord shards.

python -m official_repro.build_records --source=mini_jft --output=DIR \
    --num_images=10000 --eval_images=1000
python -m official_repro.build_records --source=csv --output=DIR \
    --csv=FILE --labels=labels.tsv
"""

import signal

from absl import flags

from official_repro.core import flags as core_flags
from official_repro.data import build, sources

_SOURCES = ('mini_jft', 'csv')
# Flags that only one source reads; setting another's is an error.
_FLAGS_OF = {
  'mini_jft': (
    'num_images',
    'eval_images',
    'clean_images',
    'seed',
    'image_size',
    'noise',
    'missing',
    'num_classes',
  ),
  'csv': ('csv', 'labels', 'image_root', 'eval_fraction'),
}


def define_flags() -> None:
  """Defines the flags of this binary."""
  d = flags
  d.DEFINE_enum('source', None, _SOURCES, 'Where the images come from.')
  d.DEFINE_string('output', None, 'Data folder to write.')
  d.DEFINE_integer(
    'num_shards',
    None,
    'Files per split. Default: 8, and more above 80,000 images.',
    lower_bound=1,
  )
  d.DEFINE_integer(
    'resize',
    None,
    'Reduce the sides of the images to at most this many pixels, e.g. 340, '
    'the size of training. Default: as they are.',
    lower_bound=1,
  )
  d.DEFINE_bool('fill', True, 'Labels also hold all their ancestors.')
  d.DEFINE_float(
    'max_bad',
    0.01,
    'Largest share of unreadable images; they are left out and listed.',
    lower_bound=0.0,
    upper_bound=1.0,
  )
  d.DEFINE_bool('overwrite', False, 'Replace the data set in --output.')
  core_flags.define_beam_flags()
  _define_source_flags()


def _define_source_flags():
  d = flags
  d.DEFINE_integer('num_images', 10000, 'mini_jft: training images.')
  d.DEFINE_integer('eval_images', 1000, 'mini_jft: evaluation images.')
  d.DEFINE_integer(
    'clean_images',
    0,
    'mini_jft: training images that also make the split clean, with all their '
    'true labels, so that the report can tell how noisy the others are.',
  )
  d.DEFINE_integer('seed', 0, 'mini_jft: which world is drawn.')
  d.DEFINE_integer('image_size', 72, 'mini_jft: side in pixels.')
  d.DEFINE_float('noise', 0.2, 'mini_jft: share of wrong labels.')
  d.DEFINE_float(
    'missing', 0.5, 'mini_jft: chance that an object stays without label.'
  )
  d.DEFINE_integer(
    'num_classes', None, 'mini_jft: categories in all. Default: all there are.'
  )
  d.DEFINE_string('csv', None, 'csv: table with the columns image, labels.')
  d.DEFINE_string('labels', None, 'csv: labels.tsv. Default: a flat space.')
  d.DEFINE_string('image_root', None, "csv: default: the table's folder.")
  d.DEFINE_float(
    'eval_fraction',
    None,
    'csv: share of the images for evaluation, by a hash of the path. '
    'Default: 0.1, or the column split.',
  )


def main(argv) -> None:
  """Builds the data set that the flags ask for and prints its numbers."""
  del argv
  values = flags.FLAGS
  for name in ('source', 'output'):
    if not values[name].value:
      raise ValueError(f'Flag --{name} is missing; --help lists the flags.')
  signal.signal(signal.SIGTERM, _stop)
  report = build.build(
    _make_source(values),
    values.output,
    num_shards=values.num_shards,
    fill=values.fill,
    resize=values.resize,
    max_bad=values.max_bad,
    overwrite=values.overwrite,
    **core_flags.beam_options(),
  )
  print(report)


def _stop(*_):
  raise core_flags.StoppedError(
    'Stopped; the same command goes on with the shards that are not finished.'
  )


def _make_source(values):
  for source, names in _FLAGS_OF.items():
    wrong = [n for n in names if values[n].present]
    if source != values.source and wrong:
      raise ValueError(
        f'Flag --{wrong[0]} belongs to --source={source}, '
        f'not to --source={values.source}.'
      )
  if values.source == 'mini_jft':
    return sources.MiniJftSource(
      values.num_images,
      values.eval_images,
      values.clean_images,
      seed=values.seed,
      size=values.image_size,
      noise=values.noise,
      missing=values.missing,
      num_classes=values.num_classes,
    )
  if not values.csv:
    raise ValueError('Flag --csv is missing: name the table of the images.')
  return sources.CsvSource(
    values.csv,
    labels=values.labels,
    image_root=values.image_root,
    eval_fraction=values.eval_fraction,
  )


if __name__ == '__main__':
  define_flags()
  core_flags.run(main, beam=True)
