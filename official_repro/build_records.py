r"""Builds a data folder: images and labels to TFRecord shards.

python -m official_repro.build_records --source=mini_jft --output=DIR \
    --num_images=10000 --eval_images=1000
python -m official_repro.build_records --source=csv --output=DIR \
    --csv=FILE --labels=labels.tsv --resize=340

The other sources and their flags: README, "Your own images".
"""

import signal

from absl import flags

from official_repro import source_flags
from official_repro.core import flags as core_flags
from official_repro.data.building import build


def define_flags() -> None:
  """Defines the flags of this binary."""
  d = flags
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
  source_flags.define_source_flags()


def main(argv) -> None:
  """Builds the data set that the flags ask for and prints its numbers."""
  del argv
  values = flags.FLAGS
  for name in ('source', 'output'):
    if not values[name].value:
      raise ValueError(f'Flag --{name} is missing; --help lists the flags.')
  signal.signal(signal.SIGTERM, _stop)
  report = build.build(
    source_flags.make_source(),
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


if __name__ == '__main__':
  define_flags()
  core_flags.run(main, beam=True)
