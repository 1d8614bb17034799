r"""Tells what is in a data folder: report.html to read, report.json to parse.

python -m official_repro.report --data_dir=DIR [--clean_split=NAME] \
    [--output=DIR]
"""

import pathlib

from absl import flags

from official_repro.core import flags as core_flags
from official_repro.data.audit import report


def define_flags() -> None:
  """Defines the flags of this binary."""
  d = flags
  d.DEFINE_string('data_dir', None, 'Folder with dataset.json.')
  d.DEFINE_string('output', None, 'Folder to write to. Default: --data_dir.')
  d.DEFINE_string(
    'clean_split',
    None,
    'Split whose pictures are in --noisy_split too, here with labels that are '
    'all true and complete. Default: clean, if there is such a split.',
  )
  d.DEFINE_string('noisy_split', 'train', 'Split whose labels are judged.')
  d.DEFINE_integer(
    'num_pictures', report.NUM_PICTURES, 'Pictures to show.', lower_bound=0
  )
  core_flags.define_beam_flags()


def main(argv) -> None:
  """Writes the report and prints its main numbers."""
  del argv
  values = flags.FLAGS
  if not values.data_dir:
    raise ValueError(
      'Flag --data_dir is missing: name the folder that build_records wrote.'
    )
  content = report.report_folder(
    values.data_dir,
    values.output,
    noisy_split=values.noisy_split,
    clean_split=values.clean_split,
    num_pictures=values.num_pictures,
    **core_flags.beam_options(),
  )
  print(report.summary(content))
  page = pathlib.Path(values.output or values.data_dir) / report.HTML
  print(f'Report: {page}')


if __name__ == '__main__':
  define_flags()
  core_flags.run(main, beam=True)
